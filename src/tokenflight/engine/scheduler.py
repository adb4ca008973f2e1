"""Scheduler: one task, one heap of moments; it pops what is due and never scans."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator
from typing import Any, Final, Generic, Protocol, TypeVar

import anyio
from attrs import define, field

from tokenflight.model.clock import Clock

LONGEST_SLEEP: Final = 30.0
RESUMED_AFTER: Final = 5.0
PAUSE_AFTER_FAILURE: Final = 1.0
SLACK: Final = 1_024


NEAR: Final = 60.0
COARSE: Final = 10
"""What lies further ahead than a minute may come 1/512 later, a second at most: who is due closely shares a wake-up."""


@define(eq=False)
class Moment:
    """A time on the age clock, with those who are or were planned for it; `first` counts who is done with."""

    when: float
    items: list[Any] = field(factory=list, repr=False)
    first: int = 0


class Plannable(Protocol):
    """What can be planned: it carries the one moment that it is planned for, None for none."""

    plan: Moment | None


T = TypeVar("T", bound=Plannable)


class Scheduler(Generic[T]):
    """Keep what is planned, and work through it.

    An item has one plan; a new one replaces it, and the stale one is skipped when it comes up. The task sleeps at most
    30 s at a time, so that a clock that ran on through a suspend is noticed; what came due in one is handed over with
    `resumed=True`.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[float, Moment]] = []
        self._moments: dict[float, Moment] = {}
        self._earlier: anyio.Event | None = None
        self._wake_at = math.inf
        self._live = self._listed = 0

    def __len__(self) -> int:
        return self._live

    def __repr__(self) -> str:
        return f"Scheduler(planned={self._live})"

    def plan(self, item: T, when: float) -> None:
        """Plan *item* for *when*, in place of its present plan, or for a moment right after it that others share."""
        self.drop(item)
        when = _shared(when, self._clock.now())
        moment = self._moments.get(when)
        if moment is None:
            moment = self._moments[when] = Moment(when)
            heapq.heappush(self._heap, (when, moment))
        moment.items.append(item)
        item.plan = moment
        self._live += 1
        self._listed += 1
        if when < self._wake_at and self._earlier is not None:
            self._earlier.set()
        if self._listed > 2 * self._live + SLACK:
            self._tidy()

    def drop(self, item: T) -> None:
        """Plan *item* no more."""
        self._live -= item.plan is not None
        item.plan = None

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
            first = self._first()
            asleep_until = self._wake_at = min(math.inf if first is None else first.when, now + LONGEST_SLEEP)
            await self._clock.wait(self._earlier, asleep_until)

    def _pop(self, now: float) -> Iterator[T]:
        while (moment := self._first()) is not None and moment.when <= now:
            item = moment.items[moment.first]
            self.drop(item)
            yield item

    def _first(self) -> Moment | None:
        """Return the earliest moment that somebody is planned for; the stale ones before it go."""
        while self._heap:
            moment = self._heap[0][1]
            while moment.first < len(moment.items) and moment.items[moment.first].plan is not moment:
                moment.first += 1
                self._listed -= 1
            if moment.first < len(moment.items):
                return moment
            heapq.heappop(self._heap)
            del self._moments[moment.when]
        return None

    def _tidy(self) -> None:
        """Let go of stale plans, which are more than those that count; who was planned anew is listed twice."""
        for moment in self._moments.values():
            moment.items = list(dict.fromkeys(item for item in moment.items if item.plan is moment))
            moment.first = 0
        self._moments = {when: moment for when, moment in self._moments.items() if moment.items}
        self._heap = list(self._moments.items())
        heapq.heapify(self._heap)
        self._listed = self._live


def _shared(when: float, now: float) -> float:
    """Round *when* up to a grain that what lies further ahead makes coarser: a power of two, one second at most."""
    if not NEAR < when - now < math.inf:
        return when
    grain = 2.0 ** min(0, math.frexp(when - now)[1] - COARSE)
    return math.ceil(when / grain) * grain
