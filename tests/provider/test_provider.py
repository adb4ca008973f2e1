"""The front door: normalise, judge, delegate; and its own words for what cannot work."""

from __future__ import annotations

from typing import Any

import anyio
import httpx
import pytest
from tests.kit.bench import chosen_town
from tests.kit.town import client

from tokenflight import (
    Audience,
    ConfigurationError,
    ProviderClosedError,
    RetryPolicy,
    Subject,
    TokenAuth,
    TokenKey,
    TokenProvider,
    TokenRequestError,
    WarmUpError,
)
from tokenflight.model.origin import ANY
from tokenflight.testing import Answer, Delay, Hang, ProtectedApp

pytestmark = pytest.mark.anyio
API = "https://api.test"


def step(coroutine: Any) -> object:
    """Run a coroutine that must not wait for anything, and return what it returns."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    coroutine.close()
    raise AssertionError("it waits")


async def test_the_quickstart_works_without_a_client_of_the_users() -> None:
    place = chosen_town()
    async with TokenProvider(client(), clock=place.clock) as tokens:
        assert isinstance(tokens._connection.http, httpx.AsyncClient)
        own = tokens._connection.http
    assert own.is_closed


async def test_the_users_client_is_never_closed() -> None:
    async with httpx.AsyncClient() as http:
        async with TokenProvider(client(), http=http):
            pass
        assert not http.is_closed


async def test_what_is_typed_differently_and_means_the_same_is_one_key() -> None:
    place = chosen_town()
    async with place.provider() as tokens:
        token = await place.clock.run(lambda: tokens.token(subject="s", audience="a", scope="x y"))
        for words in (
            {"subject": Subject("s"), "audience": Audience("a"), "scope": ["y", "x"]},
            {"client": "default", "subject": "s", "audience": "a", "scope": {"x", "y"}},
            {"subject": "s", "audience": "a", "scope": frozenset("xy")},
        ):
            assert await tokens.token(**words) is token
        assert len(place.endpoint.ledger) == 1


@pytest.mark.parametrize("scope", ["x", ["x"]])
async def test_a_repeated_call_for_a_fresh_token_waits_for_nothing_and_is_a_use(scope) -> None:
    place = chosen_town(expires_in=100)
    async with place.provider() as tokens:
        token = await place.clock.run(lambda: tokens.token(scope=scope))
        for at in (10.0, 20.0):
            await place.clock.advance(10.0)
            assert step(tokens.token(scope=scope)) is token
            assert tokens.status()[0].used_ago == 0.0
            assert place.clock.now() == at


async def test_the_same_words_find_the_key_again_after_eviction_and_after_forgetting() -> None:
    place = chosen_town()
    async with place.provider(max_keys=1) as tokens:
        for number, subject in enumerate("aba"):
            token = await place.clock.run(lambda: tokens.token(subject=subject))  # noqa: B023
            assert len(place.endpoint.ledger) == number + 1
            assert step(tokens.token(subject=subject)) is token
        await tokens.forget(subject="a")
        assert await place.clock.run(lambda: tokens.token(subject="a")) is not token


async def test_a_min_ttl_makes_a_repeated_call_look_at_what_is_left() -> None:
    place = chosen_town(expires_in=100)
    async with place.provider() as tokens:
        token = await place.clock.run(tokens.token)
        await place.clock.advance(30.0)
        assert await tokens.token(min_ttl=70.0) is token
        assert await place.clock.run(lambda: tokens.token(min_ttl=70.1)) is not token


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), "7", True])
async def test_a_min_ttl_is_a_number_of_seconds(seconds) -> None:
    async with TokenProvider(client()) as tokens:
        with pytest.raises(ConfigurationError, match="min_ttl"):
            await tokens.token(min_ttl=seconds)
        with pytest.raises(ConfigurationError, match="min_ttl"):
            tokens.source(min_ttl=seconds)


@pytest.mark.parametrize(
    "options", [{"max_keys": 0}, {"max_flights": 0}, {"shutdown_grace": -1}, {"max_keys": 2.5}, {"max_flights": True}]
)
def test_what_cannot_be_a_count_or_a_time_is_refused(options) -> None:
    [name] = options
    with pytest.raises(ConfigurationError, match=name):
        TokenProvider(client(), **options)


async def test_entered_twice_at_once_it_says_so_and_is_still_entered() -> None:
    async with TokenProvider(client()) as tokens:
        with pytest.raises(ConfigurationError, match=r"enter it once, and share it with who needs it$"):
            await tokens.__aenter__()
        assert tokens._engine.state.open


async def test_left_it_may_be_entered_again_and_holds_what_it_held() -> None:
    place = chosen_town()
    transport = place.endpoint.transport()
    async with httpx.AsyncClient(transport=transport) as http:
        provider = TokenProvider(client(), http=http, clock=place.clock)
        async with provider as tokens:
            token = await place.clock.run(tokens.token)
        async with provider as tokens:
            assert await tokens.token() is token
    assert len(place.endpoint.ledger) == 1


async def test_entered_again_nobody_waits_for_a_resolver_call_that_died_with_its_loop() -> None:
    place = chosen_town()
    async with httpx.AsyncClient(transport=place.endpoint.transport()) as http:
        provider = TokenProvider(lambda name: client(), http=http, clock=place.clock)
        provider._holdings.clients._asking._under_way["tenant"] = object()  # type: ignore[assignment]
        async with provider as tokens:
            assert place.endpoint.is_live(await place.clock.run(tokens.token, "tenant"))


async def test_what_the_block_raises_comes_out_as_it_is() -> None:
    with pytest.raises(LookupError, match="the body's own"):
        async with TokenProvider(client()):
            raise LookupError("the body's own")


async def test_leaving_takes_no_longer_than_its_grace() -> None:
    place = chosen_town()

    async def shielded() -> str:
        with anyio.CancelScope(shield=True):
            await place.clock.sleep_until(50.0)
        return "late"

    provider = TokenProvider(
        client(secret=shielded), clock=place.clock, shutdown_grace=2.0, retry=RetryPolicy(attempts=1)
    )
    await provider.__aenter__()
    async with anyio.create_task_group() as tasks:

        async def call() -> None:
            with pytest.raises(ProviderClosedError):
                await provider.token()

        tasks.start_soon(call)
        await place.clock.settle()
        await place.clock.run(provider.__aexit__, None, None, None)
        assert place.clock.now() == 2.0
    await place.clock.advance(100.0)


async def test_sources_and_auths_may_be_made_at_any_time() -> None:
    provider = TokenProvider(client())
    assert provider.source(audience="a").key == TokenKey(client="default", audience=Audience("a"))
    assert isinstance(provider.auth(audience="a"), TokenAuth)
    for call in (provider.token, provider.renew, provider.warm_up):
        with pytest.raises(ProviderClosedError, match="is not entered"):
            await call()


async def test_a_warm_source_made_before_entering_is_fetched_on_entering_and_while_entered_at_once() -> None:
    place = chosen_town(expires_in=100)
    async with httpx.AsyncClient(transport=place.endpoint.transport()) as http:
        provider = TokenProvider(client(), http=http, clock=place.clock)
        early = provider.source(subject="early", keep_warm=True)
        async with provider:
            await place.clock.settle()
            assert early.status().verdict == "fresh"
            late = provider.source(subject="late", keep_warm=True)
            provider.source(subject="cold")
            await place.clock.settle()
            assert late.status().verdict == "fresh"
            assert len(place.endpoint.ledger) == 2
            await place.clock.advance(150.0)
            assert len(place.endpoint.ledger) == 6
        assert not early.status().pinned


async def test_an_auth_signs_for_its_origins_and_heals_a_401_once() -> None:
    place = chosen_town()
    api = ProtectedApp(place.endpoint, audience="a")
    async with place.provider() as tokens:
        auth = tokens.auth(audience="a", origins=API)
        async with httpx.AsyncClient(transport=api.transport(), auth=auth) as http:
            assert (await place.clock.run(http.get, API)).status_code == 200
            place.endpoint.revoke()
            assert (await place.clock.run(http.get, API)).status_code == 200
            with pytest.raises(ConfigurationError):
                await http.get("https://elsewhere.test")
        never = tokens.auth(audience="a", origins=ANY, retry_unauthorized=False)
        async with httpx.AsyncClient(transport=api.transport(), auth=never) as http:
            place.endpoint.revoke()
            assert (await http.get("https://anywhere.test")).status_code == 401
        assert len(place.endpoint.ledger) == 2


async def test_an_auth_asks_for_its_min_ttl() -> None:
    place = chosen_town(expires_in=100)
    async with place.provider() as tokens:
        auth = tokens.auth(subject="s", scope="x", min_ttl=60.0)
        assert auth.tokenflight_source.key == tokens.source(subject="s", scope="x").key
        await place.clock.run(auth.tokenflight_source.token)
        await place.clock.advance(50.0)
        await place.clock.run(auth.tokenflight_source.token)
        assert len(place.endpoint.ledger) == 2


async def test_to_renew_is_one_flight_however_many_ask() -> None:
    place = chosen_town()
    async with place.provider() as tokens:
        token = await place.clock.run(tokens.token)
        newer = await place.clock.run(lambda: tokens.renew(rejected=token, origin=API))
        assert await tokens.renew("default", rejected=token, origin=API) is newer
        with pytest.raises(TokenRequestError) as shut:
            await tokens.renew(rejected=newer, origin=API)
        assert shut.value.reason == "rejected"
        assert len(place.endpoint.ledger) == 2


# warm_up


async def test_warming_up_fetches_what_is_named_at_once_and_says_how_it_stands() -> None:
    place = chosen_town()
    place.endpoint.always(Delay(1.0))
    async with place.provider() as tokens:
        sources = [tokens.source(subject=name) for name in "abc"]
        statuses = await place.clock.run(tokens.warm_up, *sources)
        assert place.clock.now() == 1.0
        assert [(status.key, status.verdict) for status in statuses] == [(source.key, "fresh") for source in sources]
        assert await place.clock.run(tokens.warm_up, *sources)
        assert len(place.endpoint.ledger) == 3


async def test_with_none_named_it_is_the_pinned_keys() -> None:
    place = chosen_town()
    async with place.provider() as tokens:
        tokens.source(subject="pinned", keep_warm=True)
        tokens._engine.state.entry(TokenKey(client="default"))
        [status] = await place.clock.run(tokens.warm_up)
        assert (status.key.subject, status.verdict) == (Subject("pinned"), "fresh")


async def test_it_ends_after_its_timeout_and_the_flights_go_on() -> None:
    place = chosen_town()
    place.endpoint.always(Delay(8.0))
    async with place.provider() as tokens:
        source = tokens.source()
        [status] = await place.clock.run(lambda: tokens.warm_up(source, timeout=5.0))
        assert (place.clock.now(), status.verdict, status.in_flight) == (5.0, "none", True)
        await place.clock.advance(3.0)
        assert source.status().verdict == "fresh"


async def test_strict_it_names_what_is_not_ready() -> None:
    place = chosen_town()
    place.endpoint.always(lambda entry: Answer(503) if entry.form.get("subject") == "bad" else None)
    async with place.provider(retry=RetryPolicy(attempts=1)) as tokens:
        good, bad = tokens.source(subject="good"), tokens.source(subject="bad")
        with pytest.raises(WarmUpError, match=r"^1 of 2 keys have no usable token, such as TokenKey") as raised:
            await place.clock.run(lambda: tokens.warm_up(good, bad, strict=True))
        assert [status.key for status in raised.value.failed] == [bad.key]
        assert raised.value.transient
        assert (await place.clock.run(lambda: tokens.warm_up(good, strict=True)))[0].verdict == "fresh"
        loose = await place.clock.run(lambda: tokens.warm_up(good, bad))
        assert [status.verdict for status in loose] == ["fresh", "none"]


async def test_strict_an_expired_token_is_none() -> None:
    place = chosen_town(expires_in=10)
    async with place.provider() as tokens:
        source = tokens.source()
        await place.clock.run(source.token)
        place.endpoint.always(Hang())
        await place.clock.advance(10.0)
        with pytest.raises(WarmUpError):
            await place.clock.run(lambda: tokens.warm_up(source, strict=True, timeout=1.0))


@pytest.mark.parametrize("timeout", [-1, "soon"])
async def test_its_timeout_is_a_number_of_seconds(timeout) -> None:
    async with TokenProvider(client()) as tokens:
        with pytest.raises(ConfigurationError, match="timeout"):
            await tokens.warm_up(timeout=timeout)


async def test_a_status_of_an_unknown_client_or_of_no_keys_is_refused() -> None:
    provider = TokenProvider({"a": client(), "b": client()})
    with pytest.raises(ConfigurationError, match="name one of a, b"):
        provider.status("c")
    with pytest.raises(ConfigurationError, match="limit"):
        provider.status(limit=0)
    assert provider.status() == ()


async def test_its_health_is_that_of_its_endpoints() -> None:
    place = chosen_town()
    async with place.provider({"a": client(), "b": client("b", host="other.test")}) as tokens:
        assert tokens.health() == ()
        for name in "ab":
            await place.clock.run(tokens.token, name)
        await place.clock.advance(5.0)
        assert [(one.endpoint, one.since, one.keys) for one in tokens.health()] == [
            ("https://auth.test", 5.0, 1), ("https://other.test", 5.0, 1),
        ]  # fmt: skip


def test_its_repr_shows_clients_and_counts() -> None:
    provider = TokenProvider({"b": client(), "a": client()})
    assert repr(provider) == "TokenProvider(Clients(a, b), Engine(closed, held=0, airborne=0, planned=0))"
