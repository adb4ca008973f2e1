"""Ten thousand tasks at once: cold callers of one key beside as many who wait for a bare event; and cancelling them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from statistics import median
from time import perf_counter, thread_time

import anyio
import httpx

from benchmarks.measure import Figure, interleaved, ratio
from benchmarks.world import answering, wire_client
from tokenflight import TokenProvider

CALLERS = 10_000
ROUNDS = 9
LATENCY = 0.05
Everybody = Callable[[], Awaitable[object]]


async def run(scale: float) -> list[Figure]:
    """Measure by the wall, which is what callers see, and by processor time, which other work does not disturb."""
    callers, rounds = int(CALLERS * scale), max(5, int(ROUNDS * scale))
    size = f"{callers:,} tasks, {LATENCY * 1e3:.0f} ms of latency, {rounds} rounds"
    figures = []
    for by, clock in (("wall", perf_counter), ("processor", thread_time)):
        bare, cold = partial(_bare, callers, clock), partial(_cold, callers, clock)
        times = await interleaved(rounds, {"floor": bare, "ours": cold})
        value, spread = ratio(times, "ours", "floor")
        floor = median(times["floor"]) * 1e3
        figures += [
            Figure(name=f"floor: one anyio.Event, {by} time", value=floor, unit="ms", size=size),
            Figure(name=f"cold callers, {by} time", value=value, unit="×", target=1.3, spread=spread, size=size),
        ]
    runs = {"floor": lambda: _cancelled_on_event(callers), "ours": lambda: _cancelled_callers(callers)}
    times = await interleaved(rounds, runs)
    value, spread = ratio(times, "ours", "floor")
    floor = median(times["floor"]) * 1e3
    return [
        *figures,
        Figure(name="floor: cancelling who waits for one anyio.Event", value=floor, unit="ms"),
        Figure(name="cancelling waiting callers", value=value, unit="×", spread=spread, size=size),
    ]


async def _bare(callers: int, clock: Callable[[], float]) -> float:
    """Wake as many tasks as there are callers, after the latency."""
    start = clock()
    event = anyio.Event()

    async def waiter() -> None:
        await event.wait()

    async def waker() -> None:
        await anyio.sleep(LATENCY)
        event.set()

    async with anyio.create_task_group() as group:
        group.start_soon(waker)
        for _ in range(callers):
            group.start_soon(waiter)
    return clock() - start


async def _cold(callers: int, clock: Callable[[], float]) -> float:
    """Ask a new provider from as many tasks, which makes one request."""
    transport = answering(LATENCY)
    async with httpx.AsyncClient(transport=transport) as http, TokenProvider(wire_client(), http=http) as tokens:
        start = clock()
        async with anyio.create_task_group() as group:
            for _ in range(callers):
                group.start_soon(tokens.token)
        seconds = clock() - start
        assert transport.handler.asked == 1  # type: ignore[attr-defined, union-attr]
        return seconds


async def _cancelled_on_event(callers: int) -> float:
    return await _cancelled(anyio.Event().wait, callers)


async def _cancelled_callers(callers: int) -> float:
    transport = answering(60.0)
    async with httpx.AsyncClient(transport=transport) as http, TokenProvider(wire_client(), http=http) as tokens:
        return await _cancelled(tokens.token, callers)


async def _cancelled(wait: Everybody, callers: int) -> float:
    """Return how long it takes to cancel all who wait."""
    start = 0.0
    async with anyio.create_task_group() as group:
        for _ in range(callers):
            group.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        start = perf_counter()
        group.cancel_scope.cancel()
    return perf_counter() - start
