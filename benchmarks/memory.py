"""Bytes a key beside its token's own string, as flights leave them; and what a provider does while nobody asks."""

from __future__ import annotations

import asyncio
import gc
import sys
import tracemalloc
from collections.abc import Callable, Iterable
from time import process_time

import anyio
import httpx
from attrs import evolve

from benchmarks.measure import Figure
from benchmarks.world import LIFETIME, answering, fetch_client, wire_client
from tokenflight import OAuthClient, TokenProvider

SIZES = (1_000, 10_000, 100_000)
AUDIENCE = "https://api.example.com"
AT_ONCE = 20
IDLE_SECONDS = 20.0


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

    *none falls due*: tokens of one age. *some all the time*: tokens whose due moments are spread over their
    whole lifetime, so that its share of them comes up in the stretch and lapses.
    """
    figures = []
    lifetimes: dict[str, Callable[[], float]] = {"none falls due": lambda: LIFETIME, "some all the time": _spread()}
    tasks = 0
    for name, lifetime in lifetimes.items():
        before = len(asyncio.all_tasks())
        async with TokenProvider(fetch_client(lifetime=lifetime)) as tokens:
            await anyio.sleep(0.1)
            tasks = len(asyncio.all_tasks()) - before
            await _ask(tokens, range(keys))
            gc.collect()
            await anyio.sleep(0.5)
            start = process_time()
            await anyio.sleep(seconds)
            used = (process_time() - start) / seconds * 100
        size = f"{keys:,} keys, {seconds:.0f} s"
        figures.append(Figure(name=f"idle processor time, {name}", value=used, unit="%", target=0.05, size=size))
    figures.append(
        Figure(name="tasks of an idle provider, its root task among them", value=tasks, unit="tasks", target=3.0)
    )
    return figures


def _spread() -> Callable[[], float]:
    """Return lifetimes that make tokens look as if they were fetched at any moment of the past hour."""
    number = 0

    def lifetime() -> float:
        nonlocal number
        number += 1
        return 60.0 + (number * 0.6180339887498949 % 1.0) * LIFETIME * 1.28  # due on average 0.78 of the way

    return lifetime
