"""Loops: one after another they share what is held; at once they are told apart; a dead one leaves no trace."""

from __future__ import annotations

import asyncio
import gc
import threading
import unittest
from collections.abc import Awaitable, Callable

import anyio
import httpx
import pytest
from anyio.lowlevel import checkpoint
from tests.kit.house import client_of, house, real_house, state_of
from tests.kit.watch import Watch

from tokenflight import ConfigurationError, ProviderClosedError, Token, TokenProvider
from tokenflight.model.events import Event, TokenEvicted
from tokenflight.testing import FakeTokenEndpoint


def fetching(provider: TokenProvider, audience: str = "orders") -> Callable[[], Awaitable[Token]]:
    async def fetch() -> Token:
        async with provider:
            return await provider.token(audience=audience)

    return fetch


async def seen(endpoint: FakeTokenEndpoint, requests: int) -> None:
    while len(endpoint.ledger) < requests:
        await checkpoint()


def test_a_hundred_asyncio_runs_on_one_provider_are_one_request() -> None:
    provider, endpoint = real_house()
    tokens = {id(asyncio.run(fetching(provider)())) for _ in range(100)}
    assert len(tokens) == len(endpoint.ledger) == 1


def test_a_hundred_loops_on_a_provider_with_a_connection_of_its_own_are_one_request_a_key() -> None:
    endpoint = FakeTokenEndpoint()

    async def go() -> None:
        async with endpoint.serve() as url:
            provider = TokenProvider(client_of(FakeTokenEndpoint(url=url)))
            for audience in "abc":
                await anyio.to_thread.run_sync(lambda key=audience: asyncio.run(fetching(provider, key)()))
                await anyio.to_thread.run_sync(lambda key=audience: anyio.run(fetching(provider, key), backend="trio"))

    asyncio.run(go())
    assert len(endpoint.ledger) == 3


@pytest.mark.parametrize("backends", [("trio", "asyncio"), ("asyncio", "trio"), ("trio", "trio")])
def test_what_one_kind_of_loop_fetched_serves_the_other(backends: tuple[str, str]) -> None:
    provider, endpoint = real_house()
    first, second = (anyio.run(fetching(provider), backend=backend) for backend in backends)
    assert first is second
    assert len(endpoint.ledger) == 1
    assert anyio.run(fetching(provider, "other"), backend=backends[1]) is not first


def test_a_second_loop_in_another_thread_is_told_to_use_a_provider_of_its_own() -> None:
    provider, endpoint = real_house()
    errors: list[Exception] = []

    async def foreign() -> None:
        assert (await provider.token(audience="orders")).access_token
        for call in (
            lambda: provider.token(audience="cold"),
            lambda: provider.renew(audience="orders"),
            lambda: provider.__aexit__(None, None, None),
            provider.__aenter__,
        ):
            try:
                await call()
            except (ProviderClosedError, ConfigurationError) as error:
                errors.append(error)

    async def home() -> None:
        async with provider:
            await provider.token(audience="orders")
            await anyio.to_thread.run_sync(lambda: asyncio.run(foreign()))
            await anyio.to_thread.run_sync(lambda: anyio.run(foreign, backend="trio"))
            assert (await provider.token(audience="cold")).access_token

    asyncio.run(home())
    kinds = [ProviderClosedError, ProviderClosedError, ProviderClosedError, ConfigurationError]
    assert [type(error) for error in errors] == kinds * 2
    assert str(errors[0]).endswith("use one provider a loop, with one store if they should share tokens")
    assert str(errors[2]).endswith("leave it in the loop that entered it")
    assert len(endpoint.ledger) == 2


def test_of_two_loops_that_enter_one_provider_at_once_one_gets_it() -> None:
    provider, endpoint = real_house()
    outcomes: list[str] = []
    barrier = threading.Barrier(2)

    async def go() -> None:
        try:
            async with provider:
                await anyio.to_thread.run_sync(barrier.wait)
                await provider.token(audience="orders")
                outcomes.append("served")
        except ConfigurationError:
            outcomes.append("refused")
            await anyio.to_thread.run_sync(barrier.wait)

    threads = [threading.Thread(target=asyncio.run, args=(go(),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(outcomes) == ["refused", "served"]
    assert len(endpoint.ledger) == 1


def test_asyncio_run_is_cancelled_while_a_flight_is_in_the_air() -> None:
    provider, endpoint = real_house()

    async def go() -> None:
        async with provider:
            endpoint.hang()
            await provider.token(audience="orders")

    async def cancelled() -> None:
        task = asyncio.ensure_future(go())
        await seen(endpoint, 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(cancelled())
    assert not state_of(provider).entered
    endpoint.up()
    assert asyncio.run(fetching(provider)()).access_token
    assert len(endpoint.ledger) == 2


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_loop_that_ends_without_leaving_is_survived(backend: str, watch: Watch) -> None:
    watch.waive("tasks", because="nobody left, so the loop's end is what ends them")
    provider, endpoint = real_house()

    async def never_left() -> Token:
        await provider.__aenter__()
        token = await provider.token(audience="orders")
        endpoint.hang()
        provider.source(audience="other", keep_warm=True)
        await seen(endpoint, 2)
        return token

    token = anyio.run(never_left, backend=backend)
    endpoint.up()
    assert not state_of(provider).entered
    with pytest.warns(ResourceWarning, match="entered and never left"):  # noqa: PT031 - whichever comes first
        assert anyio.run(fetching(provider), backend=backend) is token
        gc.collect()
    assert anyio.run(fetching(provider, "other"), backend=backend).access_token
    assert len(endpoint.ledger) == 3


def test_a_loop_that_was_closed_under_its_tasks_is_survived() -> None:
    provider, endpoint = real_house()
    endpoint.ledger.waive("flights", because="what was in the air when its loop was closed stays there for ever")
    loop = asyncio.new_event_loop()

    async def never_left() -> Token:
        await provider.__aenter__()
        token = await provider.token(audience="orders")
        endpoint.hang()
        for number in range(25):
            asyncio.ensure_future(provider.token(audience=f"other-{number}")).add_done_callback(lambda _: None)
        await seen(endpoint, 21)
        return token

    token = loop.run_until_complete(never_left())
    loop.close()
    endpoint.up()
    assert not state_of(provider).entered
    provider.source(audience="other-0", keep_warm=True)

    async def again() -> None:
        async with provider:
            assert await provider.token(audience="orders") is token
            async with anyio.create_task_group() as tasks:
                for number in range(25):
                    tasks.start_soon(lambda key=f"other-{number}": provider.token(audience=key))
            places = [health.places for health in state_of(provider).lanes._healths.values()]
            assert [place.in_air for place in places] == [0]

    asyncio.run(again())
    assert len(endpoint.ledger) == 21 + 25


def test_a_hook_of_a_closed_loop_is_not_woken() -> None:
    told: list[Event] = []
    provider, _ = real_house(hooks=[told.append], max_keys=1)
    loop = asyncio.new_event_loop()

    async def never_left() -> None:
        await provider.__aenter__()
        await provider.token(audience="orders")
        await asyncio.sleep(0)

    async def bound_elsewhere() -> None:
        provider.source(audience="makes room", keep_warm=True)

    loop.run_until_complete(never_left())
    loop.close()
    told.clear()
    with pytest.raises(ProviderClosedError):
        asyncio.run(provider.token(audience="cannot be asked for"))
    assert len(state_of(provider).entries) == 1, "who cannot ask makes nobody make room"
    asyncio.run(bound_elsewhere())
    assert not told
    assert asyncio.run(fetching(provider)()).access_token
    assert TokenEvicted in map(type, told)


class TestAsUnittestHasIt(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self) -> None:
        self.at = house()
        await self.at.provider.__aenter__()
        self.addAsyncCleanup(self.at.provider.__aexit__, None, None, None)

    async def test_a_token_is_fetched_between_set_up_and_clean_up(self) -> None:
        assert (await self.at.get()).access_token
        assert isinstance(self.at.provider._connection.http, httpx.AsyncClient)

    async def test_a_context_is_entered_for_the_length_of_a_test(self) -> None:
        at = house()
        await self.enterAsyncContext(at.provider)
        assert (await at.get()).access_token
