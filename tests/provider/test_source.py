"""A key bound once: at once while its token is fresh, and found again after it was closed."""

from __future__ import annotations

import httpx
import pytest
from tests.kit.bench import chosen_town
from tests.kit.town import client

from tokenflight import (
    BoundSource,
    ConfigurationError,
    ProviderClosedError,
    TokenKey,
    TokenProvider,
    TokenRequestError,
    TokenSource,
)
from tokenflight.testing import Delay

pytestmark = pytest.mark.anyio
API = "https://api.test"


def step(coroutine) -> object:
    """Run a coroutine that must not wait for anything, and return what it returns."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    coroutine.close()
    raise AssertionError("it waits")


async def test_a_fresh_token_is_had_without_waiting_for_anything() -> None:
    place = chosen_town(expires_in=100)
    async with place.provider() as tokens:
        source = tokens.source()
        token = await place.clock.run(source.token)
        for at in (0.0, 30.0, 64.0):
            await place.clock.advance(at - place.clock.now())
            assert step(source.token()) is token
            assert tokens._engine.state.entry(source.key).used_at == at


async def test_it_shares_its_key_with_all_who_ask_for_it() -> None:
    place = chosen_town()
    async with place.provider() as tokens:
        one, other = tokens.source(subject="s"), tokens.source("default", subject="s")
        assert one.key == other.key
        assert await place.clock.run(one.token) is await other.token() is await tokens.token(subject="s")


async def test_it_finds_its_key_again_after_eviction_and_after_forgetting() -> None:
    place = chosen_town()
    async with place.provider(max_keys=1) as tokens:
        source, other = tokens.source(subject="a"), tokens.source(subject="b")
        first = await place.clock.run(source.token)
        await place.clock.run(other.token)
        second = await place.clock.run(source.token)
        assert second is not first
        assert step(source.token()) is second
        assert await source.forget() is True
        third = await place.clock.run(source.token)
        assert third is not second
        assert len(place.endpoint.ledger) == 4


async def test_a_min_ttl_is_asked_for_each_time() -> None:
    place = chosen_town(expires_in=100)
    async with place.provider() as tokens:
        source = tokens.source(min_ttl=50.0)
        token = await place.clock.run(source.token)
        await place.clock.advance(49.0)
        assert await source.token() is token
        await place.clock.advance(2.0)
        assert await place.clock.run(source.token) is not token


async def test_one_with_a_min_ttl_finds_its_key_again_too() -> None:
    place = chosen_town()
    async with place.provider() as tokens:
        source = tokens.source(min_ttl=5.0)
        token = await place.clock.run(source.token)
        assert await source.forget() is True
        assert await place.clock.run(source.token) is not token


async def test_to_renew_is_to_ask_for_another() -> None:
    place = chosen_town()
    async with place.provider() as tokens:
        source = tokens.source()
        token = await place.clock.run(source.token)
        newer = await place.clock.run(lambda: source.renew(token, origin=API))
        assert newer is not token
        assert await source.renew(token, origin=API) is newer


async def test_to_reject_launches_and_waits_for_nothing() -> None:
    place = chosen_town()
    place.endpoint.always(Delay(1.0))
    async with place.provider() as tokens:
        source = tokens.source()
        token = await place.clock.run(source.token)
        source.reject(token, origin=API)
        assert step(source.token()) is token
        await place.clock.advance(1.0)
        assert step(source.token()) is not token


@pytest.mark.parametrize("min_ttl", [0.0, 5.0])
async def test_a_token_that_the_api_accepted_may_be_rejected_like_any_other(min_ttl) -> None:
    place = chosen_town()
    async with place.provider() as tokens:
        source = tokens.source(min_ttl=min_ttl)
        token = await place.clock.run(source.token)
        newer = await place.clock.run(lambda: source.renew(token, origin=API))
        source.accepted(newer, origin="https://other.test")
        with pytest.raises(TokenRequestError):
            await source.renew(newer, origin=API)
        await place.clock.advance(120.0)
        newest = await place.clock.run(lambda: source.renew(newer, origin=API))
        source.accepted(newest, origin=API)
        assert await place.clock.run(lambda: source.renew(newest, origin=API)) is not newest


async def test_an_acceptance_where_nothing_was_rejected_or_kept_is_nothing() -> None:
    place = chosen_town()
    async with place.provider() as tokens:
        source = tokens.source()
        token = await place.clock.run(source.token)
        source.accepted(token, origin=API)
        await source.forget()
        source.accepted(token, origin=API)
        assert tokens.status() == ()


async def test_it_says_how_its_key_stands() -> None:
    place = chosen_town()
    async with place.provider() as tokens:
        source = tokens.source()
        assert source.status().verdict == "none"
        await place.clock.run(source.token)
        assert source.status() == tokens.status()[0]


async def test_it_may_be_made_before_entering_and_used_after_leaving_while_its_token_lives() -> None:
    place = chosen_town(expires_in=100)
    loose = TokenProvider(client(), clock=place.clock)
    with pytest.raises(ProviderClosedError):
        await loose.source().token()
    async with place.provider() as tokens:
        source = tokens.source()
        token = await place.clock.run(source.token)
    assert step(source.token()) is token
    await place.clock.advance(100.0)
    with pytest.raises(ProviderClosedError):
        await source.token()


def test_it_knows_where_its_clients_tokens_may_go() -> None:
    assert TokenProvider(client(origins=API)).source().origins == frozenset({API})
    assert TokenProvider(client()).source().origins is None


async def test_of_a_resolvers_client_it_knows_that_from_the_first_flight_on() -> None:
    place = chosen_town()
    async with place.provider(lambda name: client(origins=API)) as tokens:
        source = tokens.source("tenant")
        assert source.origins is None
        await place.clock.run(source.token)
        assert source.origins == {API}
        assert tokens.source("tenant").origins == {API}
        assert tokens.source("another").origins is None


async def test_a_resolved_clients_token_goes_nowhere_but_to_its_origins_from_the_first_request_on() -> None:
    place, sent = chosen_town(), []

    def api(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200)

    echo = httpx.MockTransport(api)
    async with place.provider(lambda name: client(origins=API)) as tokens, httpx.AsyncClient(transport=echo) as http:
        auth = tokens.auth("tenant")
        for _ in range(2):
            with pytest.raises(ConfigurationError, match="this token only to"):
                await http.get("https://elsewhere.test/", auth=auth)
        await http.get(API, auth=auth)
    assert [request.url.host for request in sent] == [httpx.URL(API).host]


def test_two_that_ask_one_provider_for_one_key_are_equal() -> None:
    tokens, other = TokenProvider(client()), TokenProvider(client())
    source = tokens.source(audience=API)

    assert source == tokens.source(audience=API)
    assert hash(source) == hash(tokens.source(audience=API))
    for another in (tokens.source(), tokens.source(audience=API, min_ttl=5.0), other.source(audience=API), API):
        assert source != another


def test_its_repr_shows_its_key() -> None:
    source = TokenProvider(client()).source(audience="a")
    assert repr(source) == "BoundSource(TokenKey('default', audience='a'))"
    assert isinstance(source, BoundSource)
    assert source.key == TokenKey(client="default", audience=source.key.audience)
    as_protocol: TokenSource = source
    assert as_protocol is source
