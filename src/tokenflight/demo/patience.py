"""Patience: waiting for what happens in another thread, of which no event tells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import anyio

LONGEST: Final = 20.0


async def until(condition: Callable[[], bool], *, patience: float = LONGEST) -> bool:
    """Wait for *condition*, *patience* seconds at most; return whether it holds."""
    with anyio.move_on_after(patience):
        while not condition():  # noqa: ASYNC110 - see above
            await anyio.sleep(0.01)
    return condition()
