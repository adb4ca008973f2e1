"""SystemClock: the time of this machine."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Final

import anyio

_NAP: Final = 30.0
"""Timers of the event loop stand still while the machine is suspended, so none is set for longer than this."""


def _age_clock() -> Callable[[], float]:
    """Return the clock that counts through suspend where one can be read, else the monotonic one."""
    which = getattr(time, "CLOCK_BOOTTIME", None)
    if which is None:
        return time.monotonic
    try:
        time.clock_gettime(which)
    except OSError:
        return time.monotonic
    return partial(time.clock_gettime, which)


class SystemClock:
    """Tell, await and draw by this machine: `Clock` for real use.

    `now` is CLOCK_BOOTTIME where it exists, else `time.monotonic`. `uniform` draws from the system's entropy, so that
    forked processes and a program that seeds `random` still spread out.
    """

    __slots__ = ()

    # Plain C callables, not methods: `now` is read on every use of a token.
    now = staticmethod(_age_clock())
    wall = staticmethod(time.time)
    uniform = staticmethod(random.SystemRandom().uniform)

    def __repr__(self) -> str:
        return "SystemClock()"

    async def sleep_until(self, when: float) -> None:
        """Return when `now()` has reached *when*; a checkpoint even where it has already."""
        await self.wait(anyio.Event(), when)

    async def wait(self, event: anyio.Event, until: float) -> bool:
        """Wait for *event*, until `now()` reaches *until* at most; return whether the event is set."""
        if until == math.inf:
            await event.wait()
            return True
        while True:
            with anyio.move_on_after(min(until - self.now(), _NAP)):
                await event.wait()
            if event.is_set() or self.now() >= until:
                return event.is_set()

    def timeout_at(self, when: float) -> AbstractContextManager[anyio.CancelScope]:
        """Cancel what runs inside when `now()` reaches *when*; no exception leaves, `cancelled_caught` tells."""
        return anyio.CancelScope(deadline=anyio.current_time() + (when - self.now()))
