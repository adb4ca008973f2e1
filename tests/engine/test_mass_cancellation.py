"""A crowd that is cancelled at once: it costs what the same crowd costs on bare events, and leaves nothing."""

from __future__ import annotations

import gc
import statistics
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from tests.kit.house import house, watchdog

from tokenflight.testing import Delay
from tokenflight.testing.settling import settle

pytestmark = pytest.mark.anyio

BUCKET = 64


async def stall(wait: Callable[[int], Awaitable[Any]], crowd: int) -> float:
    """Return the longest time in which the loop came to nobody else while *crowd* tasks were cancelled at once."""
    longest, done = 0.0, False

    async def beat() -> None:
        nonlocal longest
        before = time.perf_counter()
        while not done:
            await anyio.lowlevel.checkpoint()
            now = time.perf_counter()
            longest, before = max(longest, now - before), now

    async with anyio.create_task_group() as watching:
        async with anyio.create_task_group() as tasks:
            for number in range(crowd):
                tasks.start_soon(wait, number)
            await settle()
            gc.collect()
            watching.start_soon(beat)
            await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
        done = True
    return longest


async def compared(crowd: int, rounds: int) -> float:
    """Return how many times the stall of bare events that of a provider's callers is; medians of turns."""
    ours, bare = [], []
    for _ in range(rounds):
        at = house()
        at.endpoint.hang()
        async with at.provider:
            ours.append(await stall(lambda _, at=at: at.get(), crowd))
            assert len(at.endpoint.ledger) == 1
            (flight,) = at.state.flights.values()
            assert flight.waiting == 0
            assert flight.joined == crowd
            assert all(event.statistics().tasks_waiting == 0 for event in flight._buckets)
        events = [anyio.Event() for _ in range(crowd // BUCKET + 1)]
        bare.append(await stall(lambda number, events=events: events[number // BUCKET].wait(), crowd))
    return statistics.median(ours) / statistics.median(bare)


async def test_a_crowd_cancelled_at_once_stalls_the_loop_no_longer_than_one_on_bare_events() -> None:
    with watchdog(60):
        assert await compared(2_000, rounds=3) < 12.0


async def test_nobody_waits_in_a_long_line_that_a_cancelled_one_is_searched_in() -> None:
    at = house()
    at.endpoint.hang()
    async with at.provider, anyio.create_task_group() as tasks:
        for _ in range(1_000):
            tasks.start_soon(at.get)
        await at.clock.settle()
        (flight,) = at.state.flights.values()
        assert max(event.statistics().tasks_waiting for event in flight._buckets) <= BUCKET
        tasks.cancel_scope.cancel()


@pytest.mark.long
async def test_fifty_thousand_cancelled_at_once_stall_the_loop_no_longer_and_give_back_their_memory() -> None:
    with watchdog(600):
        assert await compared(50_000, rounds=1) < 10.0  # where the collector of cycles has more frames to walk
        await crowd_that_lands(1_000)
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        await crowd_that_lands(10_000)
        gc.collect()
        kept = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        assert kept < 10_000 * 8


async def crowd_that_lands(crowd: int) -> None:
    """Cancel a crowd, let its flight land after it, and leave."""
    at = house()
    at.endpoint.script(Delay(5.0))
    async with at.provider:
        await stall(lambda _: at.get(), crowd)
        await at.clock.advance(6.0)
        assert (await at.get()).access_token
    assert len(at.endpoint.ledger) == 1
