"""How everything here is measured: rounds that interleave a subject with its floor, medians, no garbage collection."""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from statistics import median, quantiles
from time import thread_time

from attrs import frozen

Round = Callable[[], Awaitable[float]]
"""Does one round of something and returns the seconds that a unit of it took."""


@frozen(kw_only=True)
class Figure:
    """One measured number; *spread* is its lower and upper quartile over the rounds."""

    name: str
    value: float
    unit: str
    target: float | None = None
    spread: tuple[float, float] | None = None
    size: str = ""

    @property
    def kept(self) -> bool | None:
        """Tell whether it is within its target; None where it has none."""
        return None if self.target is None else self.value <= self.target


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the garbage collector out of what is timed."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def timed(work: Callable[[], Awaitable[object]], units: int, clock: Callable[[], float] = thread_time) -> Round:
    """Make a round of *work*, which does *units* of something.

    Its own processor time counts, not that of others on a shared machine; for what waits, pass `perf_counter`.
    """

    async def once() -> float:
        start = clock()
        await work()
        return (clock() - start) / units

    return once


async def interleaved(rounds: int, runs: Mapping[str, Round]) -> dict[str, list[float]]:
    """Do every run once a round, each round beginning with the next one; the first round warms up and is dropped."""
    names = list(runs)
    times: dict[str, list[float]] = {name: [] for name in names}
    with quiet():
        for number in range(rounds + 1):
            first = number % len(names)
            for name in names[first:] + names[:first]:
                seconds = await runs[name]()
                if number:
                    times[name].append(seconds)
    return times


def ratio(times: Mapping[str, list[float]], name: str, floor: str) -> tuple[float, tuple[float, float]]:
    """Return the median over the rounds of *name*'s time to *floor*'s in the same round, and its quartiles."""
    ratios = [one / other for one, other in zip(times[name], times[floor], strict=True)]
    low, _, high = quantiles(ratios, n=4)
    return median(ratios), (low, high)


def nanoseconds(times: Mapping[str, list[float]], name: str) -> float:
    """Return the median time of *name* in nanoseconds."""
    return median(times[name]) * 1e9
