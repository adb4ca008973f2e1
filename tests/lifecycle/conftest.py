from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.kit.house import watchdog


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    """Fail what hangs: a promise broken here is often a test that never ends."""
    with watchdog(30):
        yield
