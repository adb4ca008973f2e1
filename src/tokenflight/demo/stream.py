"""Stream: calls at a steady rate, whatever becomes of those before."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Final

import anyio

from tokenflight.demo.stage import Caller, Stage

RATE: Final = 200


class Stream:
    """200 calls a second, by several callers in turn. After a stall it catches up: none is left out."""

    def __init__(self, stage: Stage, callers: Sequence[Caller]) -> None:
        self._stage = stage
        self._callers = callers
        self._over = anyio.Event()
        self.calls = 0
        self.served = 0

    async def run(self, *, seconds: float) -> None:
        """Return when all calls of so many seconds are answered."""
        await self._run(int(seconds * RATE))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Let it run beside the block, and return when all calls are answered."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._run)
            try:
                yield
            finally:
                self._over.set()

    async def _run(self, limit: int | None = None) -> None:
        start = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            for number in count():
                if self._over.is_set() or number == limit:
                    return
                await anyio.sleep_until(start + number / RATE)
                tasks.start_soon(self._call, self._callers[number % len(self._callers)])

    async def _call(self, caller: Caller) -> None:
        self.calls += 1
        if await self._stage.call(caller):
            self.served += 1
