"""A call for a held token: through a bound source, and through the provider."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Awaitable, Callable

import httpx

from benchmarks.measure import Figure, interleaved, nanoseconds, ratio, timed
from benchmarks.world import Cache, answering, wire_client
from tokenflight import Subject, Token, TokenProvider

CALLS = 1_000
ROUNDS = 400
COUNTED = 100_000
AUDIENCE = "https://api.example.com"


async def run(scale: float) -> list[Figure]:
    """Measure."""
    rounds = max(5, int(ROUNDS * scale))
    async with (
        httpx.AsyncClient(transport=answering()) as http,
        TokenProvider({"orders": wire_client()}, http=http) as tokens,
    ):
        source = tokens.source()
        cache = Cache(await source.token())
        loops = _source_loops(cache.token, source.token) | _provider_loops(tokens) | _subject_loops(tokens)
        times = await interleaved(rounds, {name: timed(loop, CALLS) for name, loop in loops.items()})
        size = f"{rounds} rounds of {CALLS:,} awaited calls"
        figures = [Figure(name="floor: a dict lookup and a comparison", value=nanoseconds(times, "floor"), unit="ns")]
        for name in times:
            if name != "floor":
                value, spread = ratio(times, name, "floor")
                target = 1.0 if name.startswith("source") else None if "Subject" in name else 2.0
                figures.append(Figure(name=name, value=value, unit="×", target=target, spread=spread, size=size))
        figures.append(_kept_allocated(await _blocks(source.token, int(COUNTED * scale)), "blocks", scale))
        figures.append(_kept_allocated(await _bytes(source.token, int(COUNTED * scale)), "bytes", scale))
        return figures


Loops = dict[str, Callable[[], Awaitable[None]]]
"""What is measured, each loop written out: a lambda around the call would be measured with it."""


def _source_loops(of_cache: Callable[[], Awaitable[Token]], of_source: Callable[[], Awaitable[Token]]) -> Loops:
    async def floor() -> None:
        for _ in range(CALLS):
            await of_cache()

    async def source() -> None:
        for _ in range(CALLS):
            await of_source()

    return {"floor": floor, "source.token()": source}


def _provider_loops(tokens: TokenProvider) -> Loops:
    async def bare() -> None:
        for _ in range(CALLS):
            await tokens.token()

    async def named() -> None:
        for _ in range(CALLS):
            await tokens.token("orders")

    async def whole() -> None:
        for _ in range(CALLS):
            await tokens.token("orders", subject="user-1", audience=AUDIENCE)

    return {
        "provider.token()": bare,
        "provider.token(client)": named,
        "provider.token(client, subject=str, audience=str)": whole,
    }


def _subject_loops(tokens: TokenProvider) -> Loops:
    same = Subject("user-1")

    async def one_subject() -> None:
        for _ in range(CALLS):
            await tokens.token("orders", subject=same, audience=AUDIENCE)

    async def new_subject() -> None:
        for _ in range(CALLS):
            await tokens.token("orders", subject=Subject("user-1"), audience=AUDIENCE)

    async def only_subject() -> None:
        for _ in range(CALLS):
            Subject("user-1")

    return {
        "the same with one Subject object": one_subject,
        "the same with a new Subject each call": new_subject,
        "of which making the Subject": only_subject,
    }


async def _blocks(ask: Callable[[], Awaitable[Token]], calls: int) -> int:
    """Return how many blocks more are allocated after *calls* calls than after one."""
    counts = [0, 0]
    for index, times in enumerate((1, calls)):
        gc.collect()
        for _ in range(times):
            await ask()
        counts[index] = sys.getallocatedblocks()
    return counts[1] - counts[0]


async def _bytes(ask: Callable[[], Awaitable[Token]], calls: int) -> int:
    """Return how many bytes more are held after *calls* calls than after one, all that this loop holds included."""
    tracemalloc.start()
    try:
        sizes = [0, 0]
        for index, times in enumerate((1, calls)):
            for _ in range(times):
                await ask()
            sizes[index] = tracemalloc.get_traced_memory()[0]
        return sizes[1] - sizes[0]
    finally:
        tracemalloc.stop()


def _kept_allocated(value: int, unit: str, scale: float) -> Figure:
    # The last clock reading and the loop's last number stay: a handful, however many the calls.
    return Figure(
        name=f"{unit} kept after source.token()",
        value=value,
        unit=unit,
        target=10.0 if unit == "blocks" else 500.0,
        size=f"{int(COUNTED * scale):,} calls",
    )
