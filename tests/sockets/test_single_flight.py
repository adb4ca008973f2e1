"""One request for a key, over a real socket, however many ask and whoever gives up."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from functools import partial

import anyio
import pytest
from tests.kit.harbour import AT_ONCE, Harbour, at_once, fleet, harbour, sockets, soon

from tokenflight import EndpointUnreachableError, InvalidClientError, Token, TokenFlightError
from tokenflight.testing import Delay, Error, Reset

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("hushed")]

LATENCY = Delay(0.2)


@pytest.fixture
async def port() -> AsyncIterator[Harbour]:
    async with harbour() as port:
        port.endpoint.always(LATENCY)
        yield port


async def test_10_000_callers_of_one_cold_key_are_one_request(port: Harbour) -> None:
    async with port.provider() as tokens:
        source = tokens.source()
        got = await at_once(*[source.token] * 10_000)
    assert port.requests == 1
    assert isinstance(got[0], Token)
    assert all(token is got[0] for token in got)


async def test_100_keys_with_100_callers_each_are_100_requests(port: Harbour) -> None:
    port.endpoint.always(Delay(0.03))
    async with port.provider() as tokens:
        sources = [tokens.source(audience=f"https://api{number}.test") for number in range(100)]
        got = await at_once(*[source.token for _ in range(100) for source in sources])
    assert port.requests == 100
    assert port.endpoint.ledger.max_in_flight <= 20
    assert [len(set(map(id, got[number::100]))) for number in range(100)] == [1] * 100
    assert len({token.header for token in got if isinstance(token, Token)}) == 100


@pytest.mark.parametrize("gone", [1, 99, 100], ids=["the first", "99 of 100", "all"])
async def test_callers_that_are_cancelled_take_nothing_from_the_others(port: Harbour, gone: int) -> None:
    leaving = {0} if gone == 1 else set(random.Random(7).sample(range(100), gone))
    got: list[Token] = []

    async def call(scope: anyio.CancelScope) -> None:
        with scope:
            got.append(await tokens.token())

    async with port.provider() as tokens, anyio.create_task_group() as callers:
        scopes = [anyio.CancelScope() for _ in range(100)]
        for scope in scopes:
            callers.start_soon(call, scope)
        await soon(lambda: port.requests == 1)
        for number in leaving:
            scopes[number].cancel()
        await soon(lambda: tokens.status()[0].verdict == "fresh")
        again = await tokens.token()
    assert len(got) == 100 - gone
    assert {token.header for token in got} <= {again.header}
    assert port.requests == 1


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_first_caller_may_be_cancelled_as_asyncio_does_it(port: Harbour) -> None:
    async with port.provider() as tokens:
        first = asyncio.ensure_future(asyncio.wait_for(tokens.token(), 30))
        await soon(lambda: port.requests == 1)
        others = [asyncio.ensure_future(tokens.token()) for _ in range(99)]
        first.cancel()
        got = await asyncio.gather(*others)
        with pytest.raises(asyncio.CancelledError):
            await first
    assert len(got) == 99
    assert len({id(token) for token in got}) == 1
    assert port.requests == 1


async def test_a_refusal_is_one_request_and_an_error_of_its_own_for_each_caller(port: Harbour) -> None:
    port.endpoint.always(Delay(0.1, Error("invalid_client")))
    async with port.provider() as tokens:
        got = await at_once(*[tokens.token] * 1_000)
    assert port.requests == 1
    assert {type(error) for error in got} == {InvalidClientError}
    assert len({id(error) for error in got}) == 1_000


async def test_an_outage_is_one_row_of_attempts_for_all_callers(port: Harbour) -> None:
    port.endpoint.always(Delay(0.05, Reset()))
    async with port.provider(retry=AT_ONCE) as tokens:
        got = await at_once(*[tokens.token] * 1_000)
    assert port.requests == 3
    assert {(type(error), error.attempts, error.transient) for error in got if isinstance(error, TokenFlightError)} == {
        (EndpointUnreachableError, 3, True)
    }


async def test_callers_that_are_cancelled_by_the_thousand_leave_no_socket_behind(port: Harbour) -> None:
    """They leave while they wait for a token, for an answer, for a renewal; the provider keeps its idle 20 at most."""
    async with port.api() as served:
        before = sockets()
        port.endpoint.always(Delay(0.05))
        served.app.always(Delay(0.1))
        async with port.provider() as tokens:
            async with fleet(*[None] * 5) as apis:
                for number, patience in enumerate((0.02, 0.06, 0.12, 0.2) * 2):
                    auth = tokens.auth(subject=f"s{number % 6}")
                    port.endpoint.revoke()
                    with anyio.move_on_after(patience):
                        await at_once(*[partial(api.get, served.url, auth=auth) for api in apis for _ in range(25)])
            await soon(lambda: not any(status.in_flight for status in tokens.status()))
            await soon(lambda: sockets() <= before + 2 * 20)
            assert (await tokens.token(subject="one more")).header
        await soon(lambda: sockets() <= before)
