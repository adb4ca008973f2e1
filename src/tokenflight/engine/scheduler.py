"""Scheduler: one task, one heap; it pops what is due and never scans."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator
from itertools import count
from typing import Final, Generic, Protocol, TypeVar

import anyio

from tokenflight.model.clock import Clock

LONGEST_SLEEP: Final = 30.0
RESUMED_AFTER: Final = 5.0
PAUSE_AFTER_FAILURE: Final = 1.0
SLACK: Final = 1_024


class Plannable(Protocol):
    """What can be planned: it carries the number of its one valid plan, 0 for none."""

    plan: int


T = TypeVar("T", bound=Plannable)


class Scheduler(Generic[T]):
    """Keep what is planned, and work through it.

    An item has one plan; a new one replaces it, and the stale one is skipped by its number when it comes up. The task
    sleeps at most 30 s at a time, so that a clock that ran on through a suspend is noticed; what came due in one is
    handed over with `resumed=True`.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[float, int, T]] = []
        self._numbers = count(1)
        self._earlier: anyio.Event | None = None
        self._wake_at = math.inf
        self._live = 0

    def __len__(self) -> int:
        return self._live

    def __repr__(self) -> str:
        return f"Scheduler(planned={self._live})"

    def plan(self, item: T, when: float) -> None:
        """Plan *item* for *when*, in place of its present plan."""
        self._live += not item.plan
        item.plan = next(self._numbers)
        heapq.heappush(self._heap, (when, item.plan, item))
        if when < self._wake_at and self._earlier is not None:
            self._earlier.set()
        if len(self._heap) > 2 * self._live + SLACK:
            self._heap = [plan for plan in self._heap if plan[2].plan == plan[1]]
            heapq.heapify(self._heap)

    def drop(self, item: T) -> None:
        """Plan *item* no more."""
        self._live -= bool(item.plan)
        item.plan = 0

    def reset(self) -> None:
        """Forget the task that ran it: its loop may be gone, and an event of a closed loop cannot be set."""
        self._earlier = None

    async def run(self, due: Callable[[T, float, bool], None], failed: Callable[[Exception], None]) -> None:
        """Call *due* with each item when its time has come, until cancelled; what it raises goes to *failed*."""
        while True:
            try:
                await self._work(due, failed)
            except Exception as error:
                failed(error)
                await self._clock.sleep_until(self._clock.now() + PAUSE_AFTER_FAILURE)

    async def _work(self, due: Callable[[T, float, bool], None], failed: Callable[[Exception], None]) -> None:
        asleep_until = min(self._wake_at, self._clock.now())
        while True:
            self._earlier = anyio.Event()
            now = self._clock.now()
            resumed = now > asleep_until + RESUMED_AFTER
            for item in self._pop(now):
                try:
                    due(item, now, resumed)
                except Exception as error:
                    failed(error)
            asleep_until = self._wake_at = min(self._next(), now + LONGEST_SLEEP)
            await self._clock.wait(self._earlier, asleep_until)

    def _pop(self, now: float) -> Iterator[T]:
        while self._heap and self._heap[0][0] <= now:
            _, number, item = heapq.heappop(self._heap)
            if item.plan == number:
                self.drop(item)
                yield item

    def _next(self) -> float:
        while self._heap and self._heap[0][2].plan != self._heap[0][1]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else math.inf
