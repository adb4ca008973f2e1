"""Whatever a flight runs into, those who wait get an error of the tree, and everybody else notices nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import anyio
import httpx
import pytest
from tests.kit.house import client_of, house, state_of

from tokenflight import (
    ClientSecretPost,
    ConfigurationError,
    Fetch,
    OAuthClient,
    Token,
    TokenFlightError,
    TokenKey,
    TokenProvider,
    TokenRequestError,
)
from tokenflight.model.events import Event
from tokenflight.testing import FakeTokenEndpoint, VirtualClock

pytestmark = pytest.mark.anyio


class Odd(BaseException):
    pass


RAISED = [KeyError, SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError, Odd]
CALLER: ContextVar[str] = ContextVar("caller", default="nobody")

Raise = Callable[[], Awaitable[Any]]


class Transport(httpx.AsyncBaseTransport):
    def __init__(self, call: Raise) -> None:
        self.call = call

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await self.call()
        return httpx.Response(200, json={"access_token": "good", "expires_in": 3600})


def by_resolver(call: Raise, clock: VirtualClock) -> TokenProvider:
    endpoint = FakeTokenEndpoint(clock=clock)

    async def resolver(name: str) -> OAuthClient:
        await call()
        return client_of(endpoint)

    return TokenProvider(resolver, http=httpx.AsyncClient(transport=endpoint.transport()), clock=clock)


def by_fetch(call: Raise, clock: VirtualClock) -> TokenProvider:
    async def fetch(key: TokenKey) -> Token:
        await call()
        return Token("good", expires_in=3600)

    return TokenProvider({"it": OAuthClient(client_id="label", grant=Fetch(fetch))}, clock=clock)


def by_secret(call: Raise, clock: VirtualClock) -> TokenProvider:
    async def secret() -> str:
        await call()
        return "hush"

    endpoint = FakeTokenEndpoint(clock=clock)
    client = client_of(endpoint, authentication=ClientSecretPost(secret))
    return TokenProvider({"it": client}, http=httpx.AsyncClient(transport=endpoint.transport()), clock=clock)


def by_transport(call: Raise, clock: VirtualClock) -> TokenProvider:
    http = httpx.AsyncClient(transport=Transport(call))
    return TokenProvider({"it": client_of(FakeTokenEndpoint())}, http=http, clock=clock)


PLACES = [by_resolver, by_fetch, by_secret, by_transport]


@pytest.fixture(params=PLACES, ids=lambda place: place.__name__)
def place(request: pytest.FixtureRequest) -> Callable[[Raise, VirtualClock], TokenProvider]:
    return request.param


async def gather(calls: list[Callable[[], Awaitable[Token]]]) -> list[Token | BaseException]:
    results: list[Token | BaseException] = []

    async def one(call: Callable[[], Awaitable[Token]]) -> None:
        try:
            results.append(await call())
        except TokenFlightError as error:
            results.append(error)

    async with anyio.create_task_group() as tasks:
        for call in calls:
            tasks.start_soon(one, call)
    return results


@pytest.mark.parametrize("kind", RAISED)
async def test_what_a_flight_raises_is_a_typed_error_and_the_body_goes_on(
    place: Callable[[Raise, VirtualClock], TokenProvider], kind: type[BaseException]
) -> None:
    clock, broken = VirtualClock(), True

    async def call() -> None:
        await clock.sleep_until(clock.now() + 0.1)
        if broken:
            raise kind

    async with place(call, clock) as provider:
        # Keys of one client ask its resolver together: who joined must not take its end for the provider's.
        source = [provider.source("it", audience=f"api-{n % 3}").token for n in range(9)]
        errors = await clock.run(gather, source, limit=60.0)
        assert len(errors) == 9
        assert all(isinstance(error, TokenRequestError) for error in errors), errors
        assert all(error.transient and error.__cause__ is None and error.__context__ is None for error in errors)
        broken = False
        for _ in range(3):  # a transport that fails is an endpoint that is down: key by key it is asked again
            await clock.advance(10.0)
            served = await clock.run(gather, source)
        assert all(isinstance(token, Token) for token in served), served
        health = [health.places.in_air for health in state_of(provider).lanes._healths.values()]
        assert set(health) == {0}


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_fetch_that_cancels_its_own_task_is_a_typed_error(anyio_backend: str) -> None:
    async def call() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    clock = VirtualClock()
    async with by_fetch(call, clock) as provider:
        with pytest.raises(TokenRequestError, match="cancelled from outside"):
            await provider.token()
        assert not state_of(provider).flights
        assert await _still_renews(provider, clock)


async def _still_renews(provider: TokenProvider, clock: VirtualClock) -> bool:
    await clock.advance(31.0)
    return state_of(provider).open


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_stranger_who_cancels_every_task_but_his_own_ends_the_provider_with_a_typed_error(
    anyio_backend: str,
) -> None:
    at = house()
    at.endpoint.hang()
    mine = asyncio.all_tasks()
    await at.provider.__aenter__()
    at.provider.source(audience="orders", keep_warm=True)
    await at.clock.settle()
    for task in asyncio.all_tasks() - mine:
        task.cancel()
    await at.clock.settle()
    with pytest.raises(TokenFlightError):
        await at.get()
    await at.provider.__aexit__(None, None, None)
    at.endpoint.up()
    async with at.provider:
        assert (await at.get()).access_token


async def test_a_flight_sees_nothing_of_its_callers_context() -> None:
    seen: list[tuple[str, str]] = []
    clock = VirtualClock()

    async def fetch(key: TokenKey) -> Token:
        seen.append(("fetch", CALLER.get()))
        await clock.sleep_until(clock.now() + 5.0)
        return Token("good", expires_in=100)

    async def resolver(name: str) -> OAuthClient:
        seen.append(("resolver", CALLER.get()))
        return OAuthClient(client_id="label", grant=Fetch(fetch))

    async def hook(event: Event) -> None:
        seen.append(("hook", CALLER.get()))

    CALLER.set("who enters")
    async with TokenProvider(resolver, clock=clock, hooks=[hook]) as provider:
        CALLER.set("who calls")
        with clock.timeout_at(clock.now() + 1.0) as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(clock.advance, 2.0)
                await provider.token("it")
        assert scope.cancelled_caught
        await clock.advance(4.0)
        assert (await provider.token("it")).access_token.reveal() == "good"
        await clock.advance(200.0)
    assert {name for name, _ in seen} == {"fetch", "resolver", "hook"}
    assert {caller for _, caller in seen} == {"nobody"}


async def test_a_thousand_who_wait_each_get_an_exception_of_their_own() -> None:
    at, errors = house(), []
    at.endpoint.down()

    async def ask() -> None:
        try:
            await at.get()
        except TokenRequestError as error:
            errors.append(error)

    async with at.provider:
        async with anyio.create_task_group() as tasks:
            for _ in range(1000):
                tasks.start_soon(ask)
            await at.clock.advance(10.0)
        assert len(at.endpoint.ledger) == 3
    assert len({id(error) for error in errors}) == 1000
    assert len({_length(error) for error in errors}) == 1
    assert _length(errors[0]) <= 6
    assert {(error.__cause__, error.__context__) for error in errors} == {(None, None)}
    frames = {frame for error in errors for frame in _modules(error)}
    assert all(name.startswith(("tokenflight", "tests", "test_")) for name in frames), frames


def _length(error: BaseException) -> int:
    return len(list(_modules(error)))


def _modules(error: BaseException) -> list[str]:
    names, trace = [], error.__traceback__
    while trace is not None:
        names.append(trace.tb_frame.f_globals["__name__"])
        trace = trace.tb_next
    return names


async def test_a_fetch_that_asks_for_its_own_key_is_told() -> None:
    told: list[str] = []

    async def fetch(key: TokenKey) -> Token:
        with pytest.raises(ConfigurationError) as caught:
            await provider.token()
        told.append(str(caught.value))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_told, provider, told)
        return Token("good", expires_in=100)

    provider = TokenProvider(OAuthClient(client_id="label", grant=Fetch(fetch)), clock=VirtualClock())
    async with provider:
        assert (await provider.token()).access_token.reveal() == "good"
    assert len(told) == 2
    assert all(text.endswith("ask a provider of its own there") for text in told)


async def _told(provider: TokenProvider, told: list[str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        await provider.token()
    told.append(str(caught.value))


async def test_a_resolver_that_asks_for_its_own_client_is_told(audiences: list[str]) -> None:
    clock, endpoint = VirtualClock(), FakeTokenEndpoint()

    async def resolver(name: str) -> OAuthClient:
        for audience in audiences:
            with pytest.raises(TokenFlightError):
                await provider.token(name, audience=audience)
        return client_of(endpoint)

    provider = TokenProvider(resolver, http=httpx.AsyncClient(transport=endpoint.transport()), clock=clock)
    async with provider:
        before = clock.now()
        assert (await provider.token("it", audience="orders")).access_token
        assert clock.now() == before


@pytest.fixture(params=[["orders"], ["another"]], ids=["the same key", "another key of it"])
def audiences(request: pytest.FixtureRequest) -> list[str]:
    return list(request.param)


async def test_a_secret_that_is_fetched_with_another_key_of_the_provider_works() -> None:
    clock, endpoint = VirtualClock(), FakeTokenEndpoint()

    async def secret() -> str:
        return (await provider.token("vault", audience="secrets")).access_token.reveal()

    provider = TokenProvider(
        {
            "vault": client_of(endpoint),
            "app": client_of(endpoint, client_id="app", authentication=ClientSecretPost(secret)),
        },
        http=httpx.AsyncClient(transport=endpoint.transport()),
        clock=clock,
    )
    async with provider:
        assert (await provider.token("app", audience="orders")).access_token
    assert len(endpoint.ledger) == 2


async def test_two_fetches_that_wait_for_each_other_end_in_time() -> None:
    clock = VirtualClock()

    async def fetch(key: TokenKey) -> Token:
        other = "b" if key.client == "a" else "a"
        return await provider.token(other)

    fetching = OAuthClient(client_id="label", grant=Fetch(fetch))
    provider = TokenProvider({"a": fetching, "b": fetching}, clock=clock)
    async with provider:
        errors = await clock.run(gather, [lambda: provider.token("a"), lambda: provider.token("b")], limit=120.0)
    assert all(isinstance(error, TokenFlightError) for error in errors)
    assert clock.now() <= 31.0


@pytest.mark.parametrize("kind", [KeyError, SystemExit, KeyboardInterrupt, Odd])
async def test_a_hook_that_raises_misses_an_event_and_the_next_one_is_told(kind: type[BaseException]) -> None:
    told: list[Event] = []

    def hook(event: Event) -> None:
        told.append(event)
        raise kind

    at = house(hooks=[hook])
    async with at.provider:
        await at.get()
        await at.clock.settle()
        await at.get("other")
        await at.clock.settle()
    assert len(told) == 4


async def test_a_hook_may_ask_for_a_token_and_may_hang() -> None:
    told: list[Event] = []

    async def hook(event: Event) -> None:
        told.append(event)
        await at.get("asked by a hook")
        await anyio.sleep_forever()

    at = house(hooks=[hook])
    async with at.provider:
        before = at.clock.now()
        for number in range(10):
            assert (await at.get(f"api-{number}")).access_token
        assert at.clock.now() == before
        await at.clock.advance(100.0)
    assert told
    assert at.quiet()
