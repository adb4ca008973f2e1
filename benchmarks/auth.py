"""A request that carries a token, beside one with a fixed header, over kept-alive loopback connections."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from statistics import median, quantiles
from time import perf_counter

import httpx

from benchmarks.measure import Figure, quiet
from benchmarks.world import answering, wire_client
from tokenflight import TokenProvider

PAIRS = 6_000
BLOCK = 200


async def run(scale: float) -> list[Figure]:
    """Measure pairs of single requests, one of each kind, whichever first in turn.

    The floor is measured twice, as two clients that are alike: how far their ratio is from 1 is what this machine
    makes of nothing at all, now.
    """
    async with (
        httpx.AsyncClient(transport=answering()) as http,
        TokenProvider(wire_client(), http=http) as tokens,
    ):
        header = {"Authorization": (await tokens.token()).header}
        with raw_server() as url:
            async with (
                httpx.AsyncClient(headers=header, trust_env=False) as floor,
                httpx.AsyncClient(headers=header, trust_env=False) as twin,
                httpx.AsyncClient(auth=tokens.auth(origins=[url]), trust_env=False) as ours,
            ):
                kinds = {"floor": floor, "twin": twin, "ours": ours}
                times = await _in_turn(url, kinds, max(3 * BLOCK, int(PAIRS * scale)))
    return [
        Figure(
            name="floor: a fixed header", value=median(times["floor"]) * 1e6, unit="µs", size=f"{len(times['floor']):,}"
        ),
        _figure("a second client with a fixed header", times, "twin", None),
        _figure("TokenAuth", times, "ours", 1.01),
    ]


async def _in_turn(url: str, kinds: dict[str, httpx.AsyncClient], pairs: int) -> dict[str, list[float]]:
    names = list(kinds)
    times: dict[str, list[float]] = {name: [] for name in names}
    with quiet():
        for number in range(pairs + BLOCK):
            first = number % len(names)
            for name in names[first:] + names[:first]:
                seconds = await _once(kinds[name].get, url)
                if number >= BLOCK:
                    times[name].append(seconds)
    return times


async def _once(get: Callable[[str], Awaitable[httpx.Response]], url: str) -> float:
    start = perf_counter()
    response = await get(url)
    seconds = perf_counter() - start
    response.raise_for_status()
    return seconds


def _figure(name: str, times: dict[str, list[float]], kind: str, target: float | None) -> Figure:
    """Compare medians of blocks: a single request tells nothing on a shared machine."""
    ratios = [
        median(times[kind][start : start + BLOCK]) / median(times["floor"][start : start + BLOCK])
        for start in range(0, len(times[kind]) - BLOCK + 1, BLOCK)
    ]
    low, _, high = quantiles(ratios, n=4)
    size = f"{len(ratios)} blocks of {BLOCK} requests of each kind in turn"
    return Figure(name=name, value=median(ratios), unit="×", target=target, spread=(low, high), size=size)


@contextmanager
def raw_server() -> Iterator[str]:
    """Run the raw server in a process of its own and yield its URL."""
    command = [sys.executable, "-m", "benchmarks.raw_server"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.communicate("")
