"""How the servers in Python stand: settings from the first line of stdin, one line when ready, an end with stdin."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

from werkzeug.serving import BaseWSGIServer, make_server


def settings() -> dict[str, Any]:
    """Return what the test session says."""
    said: dict[str, Any] = json.loads(sys.stdin.readline())
    return said


def listening(app: Callable[..., Any]) -> tuple[BaseWSGIServer, str]:
    """Listen on a free port of loopback, a thread for each request; return the server and its origin."""
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    return server, f"http://127.0.0.1:{server.port}"


def stand(server: BaseWSGIServer, issuer: str) -> None:
    """Say that the server is ready, and serve until stdin ends."""
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    sys.stdout.write(json.dumps({"ready": True, "issuer": issuer, "pid": os.getpid()}) + "\n")
    sys.stdout.flush()
    server.serve_forever()


def _end_with_stdin() -> None:
    sys.stdin.read()
    os._exit(0)
