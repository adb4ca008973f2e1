"""Every await on the way cancelled in turn, and thousands of schedules: no hang, no task left, no request twice."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import anyio
import httpx
import pytest
from anyio.lowlevel import checkpoint
from attrs import frozen
from tests.kit.house import House, client_of, house, watchdog
from tests.kit.steps import Stepped

from tokenflight import (
    ClientSecretPost,
    MemoryStore,
    OAuthClient,
    ProviderClosedError,
    Store,
    Token,
    TokenFlightError,
    TokenProvider,
    TokenRequestError,
)
from tokenflight.stores.contract import Record
from tokenflight.testing import Answer, Delay, Drip, Error, FakeTokenEndpoint, Hang, Reset, Throttle, VirtualClock

pytestmark = pytest.mark.anyio

MANY: Final = 300
"""More moments than any life has."""


class SlowStore(MemoryStore):
    """A store whose every operation lets go of the loop."""

    async def load(self, name: str) -> Record | None:
        await checkpoint()
        return await super().load(name)

    async def save(self, name: str, record: Record, *, expected: int | None) -> bool:
        await checkpoint()
        return await super().save(name, record, expected=expected)

    async def discard(self, name: str) -> None:
        await checkpoint()
        await super().discard(name)


def long_way(tmp_path: Path, **settings: Any) -> House:
    """Make a house in which a token's way is as long as it gets: each station lets go of the loop at least once."""
    clock = VirtualClock()
    endpoint = FakeTokenEndpoint(clock=clock)
    secret = tmp_path / "secret"
    secret.write_text("hush")

    async def callable_secret() -> str:
        await checkpoint()
        return await anyio.Path(secret).read_text()

    async def resolver(name: str) -> OAuthClient:
        await checkpoint()
        return client_of(endpoint, authentication=ClientSecretPost(callable_secret))

    async def hook(event: object) -> None:
        await checkpoint()

    store: Store = SlowStore()
    http = httpx.AsyncClient(transport=endpoint.transport())
    provider = TokenProvider(resolver, http=http, store=store, clock=clock, hooks=[hook], max_flights=1, **settings)
    endpoint.script(Delay(0.1, Answer(503)), Delay(0.1, Drip(size=40, pause=0.01)))
    return House(clock=clock, endpoint=endpoint, provider=provider)


async def ask(at: House, results: list[object] | None = None, audience: str = "orders") -> Token | None:
    try:
        token = await at.provider.token("it", audience=audience)
    except TokenFlightError as error:
        if results is not None:
            results.append(error)
        return None
    if results is not None:
        results.append(token)
    return token


def step_flights(at: House, moment: int, act: Callable[[], object], counts: list[int]) -> None:
    """Call *act* when the first flight lets go for the *moment*-th time; to be called before entering."""
    holdings = at.provider._holdings
    mint = holdings.mint

    async def stepped(flight: Any) -> Any:
        holdings.mint = at.provider._holdings.engine.launching.mint = mint
        steps = Stepped(partial(mint, flight), at=moment, act=act)
        try:
            return await steps
        finally:
            counts.append(steps.count)

    holdings.mint = stepped  # type: ignore[assignment]


async def over_all_moments(one: Callable[[int], Awaitable[int]], at_least: int) -> None:
    """Run *one* for the first moment, the second, until it tells that there were fewer."""
    with watchdog(60):
        for moment in range(1, MANY):
            if await one(moment) < moment:
                assert moment > at_least
                return
    raise AssertionError("there is no end of moments")


async def test_all_callers_cancelled_at_each_moment_of_a_flight_leave_it_alone(tmp_path: Path) -> None:
    async def one(moment: int) -> int:
        at, counts = long_way(tmp_path), []
        callers = anyio.CancelScope()
        step_flights(at, moment, callers.cancel, counts)
        async with at.provider:
            with callers:
                async with anyio.create_task_group() as tasks:
                    for _ in range(3):
                        tasks.start_soon(ask, at)
                    tasks.start_soon(at.clock.advance, 1.0)
            requests = len(at.endpoint.ledger)
            assert requests <= 2
            assert all(flight.waiting == 0 for flight in at.state.flights.values())
            await at.clock.advance(10.0)
            assert await at.clock.run(ask, at) is not None
            assert at.quiet()
            # Where nobody waited any more the flight ended at its first failure, and the next call asked once more.
            assert len(at.endpoint.ledger) == 2
            return counts[0]

    await over_all_moments(one, at_least=15)


async def test_one_caller_of_three_cancelled_at_each_moment_leaves_two_tokens_and_no_more_requests(
    tmp_path: Path,
) -> None:
    async def one(moment: int) -> int:
        at, counts, results = long_way(tmp_path), [], []
        leader = anyio.CancelScope()
        step_flights(at, moment, leader.cancel, counts)

        async def first() -> None:
            with leader:
                await ask(at, results)

        async with at.provider, anyio.create_task_group() as tasks:
            tasks.start_soon(first)
            tasks.start_soon(ask, at, results)
            tasks.start_soon(ask, at, results)
            await at.clock.advance(10.0)
            assert len(results) == 3 - leader.cancelled_caught
            assert len({id(result) for result in results}) == 1
            assert isinstance(results[0], Token)
            assert len(at.endpoint.ledger) == 2
            assert at.quiet()
        return counts[0]

    await over_all_moments(one, at_least=15)


async def test_leaving_at_each_moment_of_a_flight_ends_it_and_tells_who_waits(tmp_path: Path) -> None:
    told: list[int] = []

    async def one(moment: int) -> int:
        at, counts, results = long_way(tmp_path), [], []
        step_flights(at, moment, lambda: at.state.root._group.cancel_scope.cancel(), counts)  # type: ignore[union-attr]
        await at.provider.__aenter__()
        async with anyio.create_task_group() as tasks:
            for audience in ("orders", "orders", "in line", "in line too"):
                tasks.start_soon(ask, at, results, audience)
            tasks.start_soon(at.clock.advance, 10.0)
        await at.provider.__aexit__(None, None, None)
        assert len(results) == 4
        closed = sum(isinstance(result, ProviderClosedError) for result in results)
        tokens = sum(isinstance(result, Token) for result in results)
        assert closed + tokens == 4
        told.append(closed)
        assert at.quiet()
        assert not at.state.entered
        async with at.provider:
            assert await at.clock.run(ask, at) is not None
            assert at.quiet()
        return max(counts)

    await over_all_moments(one, at_least=10)
    assert told[0] == 4
    assert told[-1] == 0
    assert sum(map(bool, told)) >= 10


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_stranger_who_cancels_the_flights_task_at_each_moment_gives_a_typed_error(
    anyio_backend: str, tmp_path: Path
) -> None:
    async def one(moment: int) -> int:
        at, counts, results = long_way(tmp_path), [], []

        def cancel() -> None:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()

        step_flights(at, moment, cancel, counts)
        async with at.provider:
            async with anyio.create_task_group() as tasks:
                for _ in range(3):
                    tasks.start_soon(ask, at, results)
                tasks.start_soon(at.clock.advance, 10.0)
            assert len(results) == 3
            landed = moment > counts[0]
            assert all(isinstance(result, Token if landed else TokenRequestError) for result in results), results
            assert at.quiet()
            await at.clock.advance(10.0)
            assert await at.clock.run(ask, at) is not None
        return counts[0]

    await over_all_moments(one, at_least=15)


CALLS: Final[dict[str, Callable[[House], Awaitable[object]]]] = {
    "token": lambda at: at.provider.token("it", audience="orders"),
    "min_ttl": lambda at: at.provider.token("it", audience="held", min_ttl=1e6),
    "renew": lambda at: at.provider.renew("it", audience="held"),
    "source": lambda at: at.provider.source("it", audience="orders").token(),
    "updates": lambda at: anext(at.provider.source("it", audience="orders").updates()),
    "warm_up": lambda at: at.provider.warm_up(*(at.provider.source("it", audience=audience) for audience in "abc")),
    "forget": lambda at: at.provider.forget("it", audience="held"),
    "forget_client": lambda at: at.provider.forget_client("it"),
    "auth": lambda at: through_httpx(at),
}


async def through_httpx(at: House) -> httpx.Response:
    auth = at.provider.auth("it", audience="held")
    async with httpx.AsyncClient(transport=httpx.MockTransport(_unauthorized), auth=auth) as api:
        return await api.get("https://api.test/")


def _unauthorized(request: httpx.Request) -> httpx.Response:
    return httpx.Response(401)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("how", ["scope", "task"])
async def test_each_call_cancelled_at_each_of_its_own_moments_leaves_the_house_in_order(
    anyio_backend: str, tmp_path: Path, name: str, how: str
) -> None:
    if (anyio_backend, how) == ("trio", "task"):
        return  # trio cancels by scopes alone

    async def one(moment: int) -> int:
        at, scope = long_way(tmp_path), anyio.CancelScope()
        at.endpoint.script()
        async with at.provider:
            at.endpoint._queue.clear()
            await at.provider.token("it", audience="held")
            at.endpoint.script(Delay(0.1))
            await at.clock.advance(1000.0)
            steps = Stepped(partial(CALLS[name], at), at=moment, act=scope.cancel if how == "scope" else _cancel_me)

            async def call() -> None:
                try:
                    with scope:
                        await steps
                except asyncio.CancelledError:
                    if how == "scope":
                        raise

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(call)
                await at.clock.advance(5.0)
            assert all(flight.waiting == 0 for flight in at.state.flights.values())
            assert at.quiet()
            for audience in ("held", "orders"):
                assert await at.clock.run(ask, at, None, audience) is not None
        assert at.quiet()
        at.endpoint.ledger.check()
        return steps.count

    await over_all_moments(one, at_least=0)


def _cancel_me() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()


@pytest.mark.parametrize("how", ["scope", "task"])
@pytest.mark.parametrize("door", ["__aenter__", "__aexit__"])
async def test_entering_and_leaving_cancelled_at_each_moment_leave_no_task(
    anyio_backend: str, tmp_path: Path, door: str, how: str
) -> None:
    if (anyio_backend, how) == ("trio", "task"):
        return

    async def one(moment: int) -> int:
        at, results = long_way(tmp_path), []
        scopes = {"__aenter__": anyio.CancelScope(), "__aexit__": anyio.CancelScope()}
        act = scopes[door].cancel if how == "scope" else _cancel_me
        entering = Stepped(at.provider.__aenter__, at=moment if door == "__aenter__" else 0, act=act)
        leaving = Stepped(
            partial(at.provider.__aexit__, None, None, None), at=moment if door == "__aexit__" else 0, act=act
        )

        async def walk() -> None:
            with scopes["__aenter__"]:
                await entering
            if at.state.open:
                tasks.start_soon(ask, at, results)
                await at.clock.settle()
                with scopes["__aexit__"]:
                    await leaving

        async def through() -> None:
            try:
                await walk()
            except asyncio.CancelledError:
                if how == "scope":
                    raise

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(through)
        if not leaving.count:
            await at.provider.__aexit__(None, None, None)
        await at.clock.settle()
        assert not at.state.entered
        assert at.quiet()
        assert all(isinstance(result, ProviderClosedError) for result in results)
        async with at.provider:
            assert await at.clock.run(ask, at) is not None
        return entering.count if door == "__aenter__" else leaving.count

    await over_all_moments(one, at_least=0)


FAULTS: Final = (
    Reset(),
    Hang(),
    Throttle(),
    Throttle(1.5),
    Answer(500),
    Error("invalid_client"),
    Delay(0.7),
    Delay(3.0),
)


@frozen
class Part:
    """One thing that happens in a schedule: when, and what."""

    at: float
    what: str
    audience: str
    patience: float


def drawn(seed: int) -> list[Part]:
    """Draw a schedule: callers who lose patience, renewals, forgetting, leaving and entering, trouble."""
    draw = random.Random(seed)
    whats = ["call"] * 8 + ["renew", "renew", "forget", "trouble", "trouble", "trouble", "well", "again", "idle"]
    return [
        Part(draw.uniform(0, 6), draw.choice(whats), draw.choice("abc"), draw.choice([0.0, 0.01, 0.3, 2.0, 60.0]))
        for _ in range(draw.randint(6, 14))
    ]


class Played:
    """One schedule in one house."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed + 1)
        self.at = house(
            clock=VirtualClock(seed), expires_in=[1.0, 2.0, 10.0, 60.0], max_flights=self.draw.choice([1, 2])
        )
        self.waiting = 0
        self.ended: Counter[str] = Counter()
        self.door = anyio.Lock()

    async def play(self, parts: list[Part]) -> None:
        at = self.at
        await at.provider.__aenter__()
        async with anyio.create_task_group() as tasks:
            for part in sorted(parts, key=lambda part: part.at):
                tasks.start_soon(self._perform, part)
            await at.clock.advance(7.0)
            at.endpoint.up()
            at.endpoint._queue.clear()
            at.endpoint.always()
            await at.clock.advance(400.0)
            assert self.waiting == 0, "somebody waits for ever"
        await at.provider.__aexit__(None, None, None)
        assert at.quiet()
        assert at.clock.pending == 0
        assert not at.state.entered
        at.endpoint.ledger.check()

    async def _perform(self, part: Part) -> None:
        at = self.at
        await at.clock.sleep_until(part.at)
        if part.what == "call":
            await self._ask(partial(at.get, part.audience, min_ttl=self.draw.choice([0.0, 0.0, 5.0])), part)
        elif part.what == "renew":
            await self._ask(partial(at.provider.renew, audience=part.audience), part)
        elif part.what == "forget":
            key = at.provider.source(audience=part.audience).key
            if key in at.state.flights:
                at.endpoint.ledger.waive("flights", because="a flight that is forgotten goes on for who joined it")
            await at.provider.forget(audience=part.audience)
        elif part.what == "trouble":
            at.endpoint.script(*(self.draw.choice(FAULTS) for _ in range(3)))
        elif part.what == "well":
            at.endpoint.up()
        elif part.what == "again":
            async with self.door:
                await at.provider.__aexit__(None, None, None)
                assert at.quiet()
                await at.provider.__aenter__()

    async def _ask(self, call: Callable[[], Awaitable[Token]], part: Part) -> None:
        self.waiting += 1
        with self.at.clock.timeout_at(part.at + part.patience) as scope:
            try:
                token = await call()
                assert isinstance(token, Token)
                self.ended["token"] += 1
            except TokenFlightError as error:
                self.ended[type(error).__name__] += 1
            finally:
                self.waiting -= 1
        self.ended["cancelled"] += scope.cancelled_caught


async def play(seeds: range) -> Counter[str]:
    ended: Counter[str] = Counter()
    for seed in seeds:
        played = Played(seed)
        with watchdog(20):
            try:
                await played.play(drawn(seed))
            except BaseException as error:
                error.add_note(f"seed {seed}: {drawn(seed)}")
                raise
        ended += played.ended
    return ended


@pytest.mark.parametrize("hundred", range(10))
async def test_a_hundred_random_schedules_end_in_order(hundred: int) -> None:
    ended = await play(range(hundred * 100, hundred * 100 + 100))
    assert ended.keys() >= {"token", "cancelled"}
    assert ended["token"] > 200


@pytest.mark.long
async def test_a_hundred_thousand_random_schedules_end_in_order() -> None:
    ended = await play(range(1_000_000, 1_100_000))
    assert ended["token"] > 200_000
