"""Ten thousand tasks at once: cold callers of one key beside as many who wait for a bare event; and cancelling them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from statistics import median
from time import perf_counter

import anyio
import httpx

from benchmarks.measure import Figure, interleaved, ratio, timed
from benchmarks.world import answering, wire_client
from tokenflight import TokenProvider

CALLERS = 10_000
ROUNDS = 9
LATENCY = 0.05
Everybody = Callable[[], Awaitable[object]]


async def run(scale: float) -> list[Figure]:
    """Measure."""
    callers, rounds = int(CALLERS * scale), max(5, int(ROUNDS * scale))
    requests: list[int] = []

    async def cold() -> float:
        seconds, asked = await _cold(callers)
        requests.append(asked)
        return seconds

    times = await interleaved(rounds, {"floor": timed(lambda: _bare(callers), 1, perf_counter), "ours": cold})
    value, spread = ratio(times, "ours", "floor")
    size = f"{callers:,} tasks, {LATENCY * 1e3:.0f} ms of latency, {rounds} rounds"
    cancel = await interleaved(
        rounds,
        {
            "one": lambda: _cancelled_on_event(callers),
            "ours": lambda: _cancelled_callers(callers),
        },
    )
    gone, gone_spread = ratio(cancel, "ours", "one")
    return [
        Figure(
            name="floor: one anyio.Event, set after the latency",
            value=median(times["floor"]) * 1e3,
            unit="ms",
            size=size,
        ),
        Figure(name="cold callers of one key", value=value, unit="×", target=1.3, spread=spread, size=size),
        Figure(name="token requests they made", value=max(requests), unit="requests", target=1.0, size=size),
        Figure(name="floor: cancelling who waits for one anyio.Event", value=median(cancel["one"]) * 1e3, unit="ms"),
        Figure(name="cancelling waiting callers", value=gone, unit="×", spread=gone_spread, size=size),
    ]


async def _bare(callers: int) -> None:
    """Wake as many tasks as there are callers, after the latency."""
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


async def _cold(callers: int) -> tuple[float, int]:
    """Ask a new provider from as many tasks; return how long that took, and how many requests it was."""
    transport = answering(LATENCY)
    async with httpx.AsyncClient(transport=transport) as http, TokenProvider(wire_client(), http=http) as tokens:
        start = perf_counter()
        async with anyio.create_task_group() as group:
            for _ in range(callers):
                group.start_soon(tokens.token)
        return perf_counter() - start, int(transport.handler.asked)  # type: ignore[attr-defined, union-attr]


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
