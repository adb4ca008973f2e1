"""The Clock protocol: the only way in which engine and transport know or await time."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

import anyio


class Clock(Protocol):
    """Tell, await and draw.

    `now` runs evenly, never backwards, and counts through suspend where the system can; its zero means nothing and
    it is not valid in another process. `wall` is Unix time, for what is stored or shown. All values are seconds.
    """

    def now(self) -> float:
        """Return the age clock's reading."""
        ...

    def wall(self) -> float:
        """Return Unix time; it may jump."""
        ...

    def uniform(self, low: float, high: float, /) -> float:
        """Draw from [low, high], for all jitter there is; a clock for tests draws the same each run."""
        ...

    async def sleep_until(self, when: float) -> None:
        """Return when `now()` has reached *when*; a checkpoint even where it has already."""
        ...

    async def wait(self, event: anyio.Event, until: float) -> bool:
        """Wait for *event*, until `now()` reaches *until* at most; return whether the event is set."""
        ...

    def timeout_at(self, when: float) -> AbstractContextManager[anyio.CancelScope]:
        """Cancel what runs inside when `now()` reaches *when*; no exception leaves, `cancelled_caught` tells."""
        ...
