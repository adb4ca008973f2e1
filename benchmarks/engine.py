"""The parts that work behind callers: the schedule, making room at max_keys, and calls off the fast path."""

from __future__ import annotations

from statistics import median

import httpx

from benchmarks.measure import Figure, interleaved, nanoseconds, ratio, timed
from benchmarks.world import LIFETIME, Cache, answering, fetch_client, wire_client
from tokenflight import SystemClock, TokenKey, TokenProvider
from tokenflight.engine.entries import Entry
from tokenflight.engine.scheduler import Scheduler

PLANS = 10_000
NEW_KEYS = 200
CALLS = 1_000
ROUNDS = 51


async def run(scale: float) -> list[Figure]:
    """Measure."""
    rounds = max(5, int(ROUNDS * scale))
    return [*await _schedule(rounds), *await _eviction(rounds, int(10_000 * scale)), *await _off_the_fast_path(rounds)]


async def _schedule(rounds: int) -> list[Figure]:
    """Plan, and plan again, as every landing does; the schedule is that of 10,000 keys."""
    schedule: Scheduler[Entry] = Scheduler(SystemClock())
    entries = [Entry(TokenKey(client="bench")) for _ in range(PLANS)]
    moments = [LIFETIME * (0.6 + number * 0.6180339887498949 % 1.0) for number in range(PLANS)]

    async def plan() -> None:
        for entry, moment in zip(entries, moments, strict=True):
            schedule.plan(entry, moment)

    times = await interleaved(rounds, {"plan": timed(plan, PLANS)})
    value = 1 / median(times["plan"])
    return [Figure(name="plans", value=value, unit="a second", size=f"{PLANS:,} keys, planned anew")]


async def _eviction(rounds: int, max_keys: int) -> list[Figure]:
    """Bring tokens for new keys: where there is room, and where each new key has to push another out."""
    numbers = iter(range(10_000_000))
    async with TokenProvider(fetch_client()) as roomy, TokenProvider(fetch_client(), max_keys=max_keys) as full:
        for _ in range(max_keys):
            await full.token(subject=f"tenant-{next(numbers)}")

        async def bring(tokens: TokenProvider) -> None:
            for _ in range(NEW_KEYS):
                await tokens.token(subject=f"tenant-{next(numbers)}")

        runs = {"roomy": timed(lambda: bring(roomy), NEW_KEYS), "full": timed(lambda: bring(full), NEW_KEYS)}
        times = await interleaved(rounds, runs)
    value, spread = ratio(times, "full", "roomy")
    size = f"{max_keys:,} keys, {rounds} rounds of {NEW_KEYS}"
    return [
        Figure(
            name="floor: a new key where there is room", value=nanoseconds(times, "roomy") / 1e3, unit="µs", size=size
        ),
        Figure(name="a new key that pushes another out", value=value, unit="×", spread=spread, size=size),
    ]


async def _off_the_fast_path(rounds: int) -> list[Figure]:
    """Ask for a token that is due while its next try is planned, by a call whose min_ttl sends it off the fast path."""
    async with (
        httpx.AsyncClient(transport=answering()) as http,
        TokenProvider(wire_client(), http=http) as tokens,
    ):
        source, particular = tokens.source(), tokens.source(min_ttl=60.0)
        cache = Cache(await source.token())
        await particular.token()

        async def floor() -> None:
            for _ in range(CALLS):
                await cache.token()

        async def slow() -> None:
            for _ in range(CALLS):
                await particular.token()

        times = await interleaved(rounds, {"floor": timed(floor, CALLS), "slow": timed(slow, CALLS)})
    value, spread = ratio(times, "slow", "floor")
    return [Figure(name="source(min_ttl=60).token()", value=value, unit="×", spread=spread, size=f"{CALLS:,} calls")]
