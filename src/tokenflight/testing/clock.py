"""VirtualClock: time that passes only when a test says so."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Final, TypeAlias, TypeVar

import anyio
from anyio.lowlevel import RunVar, checkpoint

from tokenflight.testing.settling import settle

T = TypeVar("T")
_Timer: TypeAlias = list[Any]
"""When it falls due, its number, and what to call; None in the last place where it was cancelled."""

_WHEN, _CALL = 0, 2
_FEW: Final = 64


class VirtualClock:
    """A Clock (see `tokenflight.model.clock`) that stands still until `advance` moves it.

    `now` starts at 0, *wall* is the Unix time at that moment, *seed* decides what `uniform` draws. It may serve several
    event loops one after another; the time goes on, and each loop's sleepers are its own. Not for several threads.

    It goes with transports in memory. A real socket takes real time, of which this clock knows nothing.
    """

    def __init__(self, seed: int = 0, *, wall: float = 1_750_000_000.0) -> None:
        self._now = 0.0
        self._wall_ahead = wall
        self._random = random.Random(seed)  # noqa: S311 - jitter, and repeatable
        self._timers: RunVar[_Timers] = RunVar("tokenflight virtual timers")

    def __repr__(self) -> str:
        return f"VirtualClock(now={self._now:g}, wall={self.wall():.3f})"

    def now(self) -> float:
        """Return the seconds that have passed since the clock was made."""
        return self._now

    def wall(self) -> float:
        """Return virtual Unix time."""
        return self._wall_ahead + self._now

    def uniform(self, low: float, high: float) -> float:
        """Draw from [low, high], the same row of numbers for the same seed."""
        return self._random.uniform(low, high)

    async def sleep_until(self, when: float) -> None:
        """Return when `now()` has reached *when*; a checkpoint even where it has already."""
        if when <= self._now:
            await checkpoint()
            return
        due = anyio.Event()
        timers = self._own()
        timer = timers.add(when, due.set)
        try:
            await due.wait()
        finally:
            timers.cancel(timer)

    async def wait(self, event: anyio.Event, until: float) -> bool:
        """Wait for *event*, until `now()` reaches *until* at most; return whether the event is set."""
        with self.timeout_at(until):
            await event.wait()
        return event.is_set()

    def timeout_at(self, when: float) -> AbstractContextManager[anyio.CancelScope]:
        """Cancel what runs inside when `now()` reaches *when*; no exception leaves, `cancelled_caught` tells."""
        return _Timeout(self._own(), when, overdue=when <= self._now)

    @property
    def pending(self) -> int:
        """Return how many sleepers and deadlines of the running loop lie ahead."""
        return len(self._own())

    async def advance(self, seconds: float) -> None:
        """Let *seconds* pass: what falls due happens in order of time, and all tasks settle after each moment.

        Raises ValueError for a number that is negative or not finite: time passes forwards, and it arrives.
        """
        if not 0 <= seconds < math.inf:
            raise ValueError("a clock advances by a finite number of seconds, 0 or more; see jump_wall() for the rest")
        timers = self._own()
        async with timers.turn:
            await self._advance_to(timers, self._now + seconds)

    async def settle(self) -> None:
        """Let no time pass, but everything happen that can: what is overdue fires, and all tasks settle."""
        await self.advance(0.0)

    async def run(self, call: Callable[..., Awaitable[T]], *args: Any, limit: float = 3600.0) -> T:
        """Await ``call(*args)`` and let as much time pass as it needs, moment by moment.

        Raises TimeoutError, and cancels the call, where it is not done after *limit* seconds.
        """
        outcome: list[tuple[T | None, BaseException | None]] = []

        async def watch() -> None:
            try:
                outcome.append((await call(*args), None))
            except Exception as error:
                outcome.append((None, error))

        timers = self._own()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            async with timers.turn:
                end = self._now + limit
                while not await self._done(timers, outcome) and (ahead := timers.first()) <= end:
                    self._now = max(self._now, ahead)
            tasks.cancel_scope.cancel()
        if not outcome:
            raise TimeoutError(f"the call was not done after {limit:g} virtual seconds, or waits for no moment at all")
        result, error = outcome[0]
        if error is not None:
            raise error
        return result  # type: ignore[return-value]  # None only where T allows it

    def jump_wall(self, seconds: float) -> None:
        """Move wall time alone, either way, as a corrected system clock does."""
        self._wall_ahead += seconds

    def suspend(self, seconds: float) -> None:
        """Let *seconds* pass without anything happening, as in a laptop that sleeps.

        Sleepers whose time has come wake late: at the next `advance` or `settle`.
        """
        if not 0 <= seconds < math.inf:
            raise ValueError("a machine is suspended for a finite number of seconds, 0 or more")
        self._now += seconds

    def _own(self) -> _Timers:
        try:
            return self._timers.get()
        except LookupError:
            timers = _Timers()
            self._timers.set(timers)
            return timers

    async def _advance_to(self, timers: _Timers, end: float) -> None:
        await settle()
        while (ahead := timers.first()) <= end:
            self._now = max(self._now, ahead)
            timers.fire(self._now)
            await settle()
        self._now = max(self._now, end)

    async def _done(self, timers: _Timers, outcome: list[Any]) -> bool:
        timers.fire(self._now)
        await settle()
        return bool(outcome)


class _Timers:
    """What lies ahead in one event loop: a heap, from which the cancelled are swept once they are the majority."""

    def __init__(self) -> None:
        self.turn = anyio.Lock()
        self._heap: list[_Timer] = []
        self._count = 0
        self._cancelled = 0

    def __len__(self) -> int:
        return len(self._heap) - self._cancelled

    def add(self, when: float, call: Callable[[], object]) -> _Timer:
        self._count += 1
        timer: _Timer = [when, self._count, call]
        heapq.heappush(self._heap, timer)
        return timer

    def cancel(self, timer: _Timer) -> None:
        if timer[_CALL] is None:
            return
        timer[_CALL] = None
        self._cancelled += 1
        if self._cancelled > _FEW and self._cancelled * 2 > len(self._heap):
            self._heap = [timer for timer in self._heap if timer[_CALL] is not None]
            heapq.heapify(self._heap)
            self._cancelled = 0

    def first(self) -> float:
        """Return when the next one falls due; infinity where there is none."""
        while self._heap and self._heap[0][_CALL] is None:
            heapq.heappop(self._heap)
            self._cancelled -= 1
        return float(self._heap[0][_WHEN]) if self._heap else math.inf

    def fire(self, now: float) -> None:
        """Fire all that fell due, in order of time, then in the order in which they were set."""
        while self.first() <= now:
            timer = heapq.heappop(self._heap)
            call, timer[_CALL] = timer[_CALL], None
            call()


class _Timeout(AbstractContextManager[anyio.CancelScope]):
    """A cancel scope whose deadline is virtual."""

    __slots__ = ("_overdue", "_scope", "_timer", "_timers", "_when")

    def __init__(self, timers: _Timers, when: float, *, overdue: bool) -> None:
        self._timers = timers
        self._when = when
        self._overdue = overdue

    def __enter__(self) -> anyio.CancelScope:
        self._scope = scope = anyio.CancelScope()
        ahead = not self._overdue and self._when < math.inf
        self._timer = self._timers.add(self._when, scope.cancel) if ahead else None
        if self._overdue:
            scope.cancel()
        return scope.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        if self._timer is not None:
            self._timers.cancel(self._timer)
        return self._scope.__exit__(kind, error, trace)
