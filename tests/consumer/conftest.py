from __future__ import annotations

import importlib
import warnings

with warnings.catch_warnings():  # newer starlettes ask for another client than the one that they still take
    warnings.simplefilter("ignore")
    importlib.import_module("starlette.testclient")
