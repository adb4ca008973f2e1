"""One attempt of a client whose tokens a function of the user's brings."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from tests.kit.bench import chosen_town
from tests.kit.town import Town

from tokenflight import (
    OAuthClient,
    RefreshPolicy,
    RetryPolicy,
    Token,
    TokenFlightError,
    TokenKey,
    TokenRequestError,
)
from tokenflight.errors import ConfigurationError, SessionLostError, StoreError
from tokenflight.model.events import AttemptFailed
from tokenflight.protocol.grants import Fetch

pytestmark = pytest.mark.anyio
API = "https://api.test"


async def fails(place: Town, call: Any, *args: Any) -> Any:
    with pytest.raises(TokenFlightError) as raised:
        await place.clock.run(call, *args)
    return raised.value


def fetching(act: Any, **fields: Any) -> OAuthClient:
    async def fetch(key: TokenKey) -> Token:
        result = act(key)
        return await result if hasattr(result, "__await__") else result

    return OAuthClient(client_id="label", grant=Fetch(fetch), **fields)


def raising(error: BaseException) -> Any:
    def act(key: TokenKey) -> Token:
        raise error

    return act


async def test_a_function_of_the_users_brings_the_token_of_a_key() -> None:
    place, keys = chosen_town(), []

    def act(key: TokenKey) -> Token:
        keys.append(key)
        return Token("fetched", expires_in=100, issued_at=None)

    async with place.provider(fetching(act)) as tokens:
        token = await place.clock.run(lambda: tokens.token(subject="s", audience="a", scope="x"))
        assert token.header == "Bearer fetched"
        assert (keys[0].client, keys[0].subject.id, keys[0].audience.value) == ("default", "s", "a")
        [health] = tokens.health()
        assert (health.endpoint, health.issued) == ("label", 1)


async def test_what_it_gives_lives_until_its_own_end_counted_from_the_call() -> None:
    place = chosen_town()

    async def act(key: TokenKey) -> Token:
        from datetime import UTC, datetime

        end = datetime.fromtimestamp(place.clock.wall() + 60.0, UTC)
        await place.clock.sleep_until(place.clock.now() + 5.0)
        return Token("fetched", expires_at=end)

    async with place.provider(fetching(act, refresh=RefreshPolicy(early=0.5, spread=0.0))) as tokens:
        await place.clock.run(tokens.token)
        life = tokens._engine.state.entry(tokens.status()[0].key).life
        assert (life.sent_at, life.expires_at, life.due_at) == (0.0, 60.0, 30.0)


async def test_one_without_end_is_fetched_once_per_default_lifetime() -> None:
    place, count = chosen_town(), []

    def act(key: TokenKey) -> Token:
        count.append(place.clock.now())
        return Token(f"t{len(count)}")

    async with place.provider(fetching(act, default_lifetime=40.0)) as tokens:
        source = tokens.source()
        await place.once(source)
        await source.token()
        await place.clock.advance(50.0)
        assert len(count) == 2


async def test_an_error_of_the_tree_counts_as_it_is() -> None:
    place = chosen_town()
    for error, transient in ((SessionLostError("log in again", ambiguous=True), False), (StoreError("later"), True)):
        async with place.provider(fetching(raising(error))) as tokens:
            got = await fails(place, tokens.token)
            assert (type(got), str(got), got.transient) == (type(error), str(error), transient)
            assert got is not error
            attempts = 3 if transient else 1
            assert place.told(AttemptFailed)[-1].attempt == attempts


async def test_any_other_exception_is_transient_and_never_counts_towards_probing() -> None:
    place = chosen_town()
    async with place.provider(fetching(raising(LookupError("CNRY-x")))) as tokens:
        for _ in range(3):
            error = await fails(place, tokens.token)
            assert (type(error), error.reason, error.transient) == (TokenRequestError, "fetch", True)
            assert error.detail == "the fetch function raised LookupError"
            await place.clock.advance(5.0)
        assert tokens.health()[0].state == "up"


async def test_what_is_no_token_is_told_to_be_one() -> None:
    place = chosen_town()
    async with place.provider(fetching(lambda key: "a string")) as tokens:
        error = await fails(place, tokens.token)
        assert type(error) is ConfigurationError
        assert str(error) == "the fetch function gave a str: let it return a Token"


async def test_an_assertion_of_a_test_comes_out_as_it_is() -> None:
    place = chosen_town()
    async with place.provider(fetching(raising(AssertionError("not this key")))) as tokens:
        with pytest.raises(AssertionError, match="not this key"):
            await place.clock.run(tokens.token)


async def test_one_that_takes_longer_than_an_attempt_is_transient() -> None:
    async def act(key: TokenKey) -> Token:
        await anyio.sleep_forever()
        raise AssertionError("unreachable")

    place = chosen_town()
    async with place.provider(fetching(act), retry=RetryPolicy(attempts=1)) as tokens:
        error = await fails(place, tokens.token)
        assert (error.reason, error.transient, error.attempts) == ("timeout", True, 1)
        assert place.clock.now() == 10.0


async def test_one_that_brings_a_dead_token_brings_no_gain() -> None:
    place = chosen_town()
    dead = fetching(lambda key: Token("dead", expires_in=-50.0))
    async with place.provider(dead, retry=RetryPolicy(attempts=1)) as tokens:
        token = await place.clock.run(tokens.token)
        assert token.header == "Bearer dead", "a lifetime below a second is kept as a second"
        same = await fails(place, lambda: tokens.renew(rejected=token, origin=API))
        assert (same.reason, same.transient) == ("no_gain", True)


async def test_each_client_is_an_endpoint_of_its_own() -> None:
    place = chosen_town()
    clients = {name: fetching(lambda key: Token("t", expires_in=9)) for name in "ab"}
    async with place.provider(clients) as tokens:
        for name in "ab":
            await place.clock.run(tokens.token, name)
        assert len(tokens.health()) == 2
