"""Bytes a key beside its token's own string, as flights leave them; and what a provider does while nobody asks."""

from __future__ import annotations

import asyncio
import gc
import sys
import tracemalloc
from collections.abc import Iterable
from time import process_time

import anyio
import httpx
from attrs import evolve

from benchmarks.measure import Figure
from benchmarks.world import LIFETIME, answering, fetch_client, wire_client
from tokenflight import OAuthClient, SystemClock, TokenProvider

SIZES = (1_000, 10_000, 100_000)
AUDIENCE = "https://api.example.com"
AT_ONCE = 20
IDLE_SECONDS = 20.0
PARTS = 600
LATEST_DUE = 0.80
LONGEST_SLEEP = 30.0


async def run(scale: float) -> list[Figure]:
    """Measure."""
    sizes = [int(size * scale) for size in SIZES]
    async with httpx.AsyncClient(transport=answering()) as http:
        figures = [*await _bytes_a_key("from the wire", wire_client(), sizes[:1], http=http)]
    figures += await _bytes_a_key("of 1,000 characters", fetch_client(length=1_000), sizes[:1])
    figures += await _bytes_a_key("of 40 characters", fetch_client(), sizes)
    figures = [
        evolve(figure, target=800.0) if index + 1 == len(figures) else figure for index, figure in enumerate(figures)
    ]
    return [*figures, *await _idle(sizes[-1], IDLE_SECONDS * min(1.0, scale * 2))]


async def _bytes_a_key(
    what: str, client: OAuthClient, sizes: Iterable[int], *, http: httpx.AsyncClient | None = None
) -> list[Figure]:
    """Measure what a key takes beside its token's string: key, subject, entry, life, plan, indexes and aliases."""
    figures, held = [], 0
    async with TokenProvider(client, http=http) as tokens:
        await _ask(tokens, range(-50, 0))
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for keys in sizes:
            await _ask(tokens, range(held, keys))
            held = keys
            gc.collect()
            traced = tracemalloc.get_traced_memory()[0] - before
            header = sys.getsizeof((await tokens.token(subject="tenant-00000000", audience=AUDIENCE)).header)
            figures.append(
                Figure(name=f"tokens {what}", value=traced / keys - header, unit="bytes", size=f"{keys:,} keys")
            )
        tracemalloc.stop()
    return figures


async def _ask(tokens: TokenProvider, numbers: Iterable[int]) -> None:
    """Have a token brought for each of many subjects, a few at once."""
    waiting = iter(numbers)

    async def worker() -> None:
        for number in waiting:
            await tokens.token(subject=f"tenant-{number:08d}", audience="".join(AUDIENCE))

    async with anyio.create_task_group() as group:
        for _ in range(AT_ONCE):
            group.start_soon(worker)


async def _idle(keys: int, seconds: float) -> list[Figure]:
    """Measure the processor time of a stretch in which nobody asks.

    *none falls due*: tokens of one age. *some all the time*: tokens that were fetched one after the other while the
    clock went on by the most that a token lives until it is due, so that a share of them comes up and lapses.
    """
    size = f"{keys:,} keys, {seconds:.0f} s"
    async with TokenProvider(fetch_client()) as tokens:
        await _ask(tokens, range(keys))
        calm = await _processor_share(0.5, seconds)
    clock = _FastForward()
    async with TokenProvider(fetch_client(), clock=clock) as tokens:
        for part in range(PARTS):
            await _ask(tokens, range(part * keys // PARTS, (part + 1) * keys // PARTS))
            clock.ahead += LIFETIME * LATEST_DUE / PARTS
        steady = await _processor_share(LONGEST_SLEEP + 5.0, seconds)
    before = len(asyncio.all_tasks())
    async with TokenProvider(fetch_client(), hooks=[lambda event: None]):
        await anyio.sleep(0.1)
        tasks = len(asyncio.all_tasks()) - before
    return [
        Figure(name="idle processor time, none falls due", value=calm, unit="%", target=0.05, size=size),
        Figure(name="idle processor time, some all the time", value=steady, unit="%", target=0.05, size=size),
        Figure(name="tasks of an idle provider with hooks, its root task too", value=tasks, unit="tasks", target=3.0),
    ]


async def _processor_share(rest: float, seconds: float) -> float:
    """Return which share of a processor this process takes, in percent, *rest* seconds from now."""
    gc.collect()
    await anyio.sleep(rest)
    start = process_time()
    await anyio.sleep(seconds)
    return (process_time() - start) / seconds * 100


class _FastForward(SystemClock):
    """A clock that can be put ahead."""

    ahead = 0.0

    def now(self) -> float:  # type: ignore[override]
        """Return the age clock's reading, put ahead."""
        return SystemClock.now() + self.ahead
