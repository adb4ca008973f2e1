"""One suite for every store: a new one joins STORES."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tokenflight.stores import MemoryStore, Store

STORES: dict[str, Callable[[], Store]] = {"memory": MemoryStore}


@pytest.fixture(params=sorted(STORES))
def store(request: pytest.FixtureRequest) -> Store:
    return STORES[request.param]()
