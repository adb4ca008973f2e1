"""Published keys: fetched once for everybody, kept while they serve, and asked for again where one is missing."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
import pytest
from attrs import define, field
from tests.kit.jwts import Server
from tests.kit.key_server import JWKS, KeyServer
from tests.kit.town import client

from tokenflight import AccessTokenValidation, Endpoints, OAuthClient, TokenKey, TokenProvider
from tokenflight.errors import ConfigurationError, TokenRequestError
from tokenflight.model.failure import Failure
from tokenflight.model.key import Audience
from tokenflight.protocol.verification import KeySet
from tokenflight.provider import keysets
from tokenflight.provider.keysets import MAX_URLS, KeySets
from tokenflight.testing import VirtualClock

pytestmark = pytest.mark.anyio

ISSUER, API = "https://auth.test", "https://api.test"
KEY = TokenKey(client="default", audience=Audience(API))


def validating(**fields: Any) -> OAuthClient:
    fields = {"issuer": ISSUER, "validation": AccessTokenValidation(), "endpoints": Endpoints(jwks=JWKS)} | fields
    return client(**fields)


@define(eq=False)
class Office:
    """An entered provider whose server publishes keys; and the validations that are asked of it."""

    clock: VirtualClock
    keys: KeyServer
    tokens: TokenProvider
    client: OAuthClient
    results: list[Any] = field(factory=list)

    @property
    def key_sets(self) -> KeySets:
        return self.tokens._holdings.key_sets

    def jwt(self, kid: str, **claims: Any) -> str:
        return self.keys.server.jwt(kid, {"iss": ISSUER, "aud": API, "exp": self.clock.wall() + 1e6} | claims)

    async def validate(self, text: str, *, within: float = 10.0) -> Failure | None:
        validation = self.tokens._holdings.validation
        return await validation.access_token(self.client, KEY, text, deadline=self.clock.now() + within)

    async def validated(self, *texts: str, within: float = 10.0) -> list[str | None]:
        """Validate all at the same moment; return the reason of each refusal, None for none."""
        results: list[Failure | None] = [None] * len(texts)

        async def one(number: int) -> None:
            results[number] = await self.validate(texts[number], within=within)

        async def all_of_them() -> None:
            async with anyio.create_task_group() as tasks:
                for number in range(len(texts)):
                    tasks.start_soon(one, number)

        await self.clock.run(all_of_them)
        return [result and result.reason for result in results]

    async def get(self, url: str = JWKS, *, within: float = 10.0) -> KeySet | Failure:
        return await self.clock.run(lambda: self.key_sets.get(url, deadline=self.clock.now() + within))


@asynccontextmanager
async def office(who: OAuthClient | None = None, **options: Any) -> AsyncIterator[Office]:
    clock, who = VirtualClock(), who or validating()
    server = Server()
    server.add("one")
    keys = KeyServer(clock, server)
    http = httpx.AsyncClient(transport=keys)
    async with http, TokenProvider(who, http=http, clock=clock, **options) as tokens:
        yield Office(clock, keys, tokens, who)


async def test_a_thousand_validations_at_once_are_one_fetch() -> None:
    async with office() as place:
        place.keys.latency = 0.3
        text = place.jwt("one")
        assert await place.validated(*[text] * 1000) == [None] * 1000
        assert await place.validated(text) == [None]
        assert len(place.keys.asked) == 1
        assert not {"authorization", "cookie"} & set(place.keys.headers[0])


async def test_one_that_is_cancelled_takes_no_fetch_along() -> None:
    async with office() as place:
        place.keys.latency = 2.0
        text, results = place.jwt("one"), list[Failure | None]()
        hasty = anyio.CancelScope()

        async def in_a_hurry() -> None:
            with hasty:
                await place.validate(text)

        async def patient() -> None:
            results.append(await place.validate(text))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(in_a_hurry)
            await place.clock.settle()
            tasks.start_soon(patient)
            await place.clock.advance(1.0)
            hasty.cancel()
            await place.clock.advance(2.0)
        assert hasty.cancelled_caught
        assert results == [None]
        assert len(place.keys.asked) == 1


async def test_a_rotated_key_is_one_fetch_more_for_all() -> None:
    async with office() as place:
        assert await place.validated(place.jwt("one")) == [None]
        await place.clock.advance(5.0)
        place.keys.latency = 0.3
        place.keys.server.add("two", which=1)
        assert await place.validated(*[place.jwt("two")] * 100, place.jwt("one")) == [None] * 101
        assert place.keys.asked == [0.0, 5.0]


async def test_made_up_names_of_keys_are_one_fetch_in_thirty_seconds() -> None:
    async with office() as place:
        place.keys.server.add("lost", which=1)
        made_up = place.jwt("lost")
        del place.keys.server.keys["lost"]
        assert await place.validated(place.jwt("one")) == [None]
        for _ in range(900):
            assert await place.validated(*[made_up] * 3) == ["unknown_key"] * 3
            await place.clock.advance(0.1)
        assert [round(moment, 1) for moment in place.keys.asked] == [0.0, 0.0, 30.0, 60.0]
        assert await place.validated(place.jwt("one")) == [None]


async def test_a_key_that_is_listed_and_did_not_sign_is_not_looked_for_again() -> None:
    async with office() as place:
        place.keys.server.add("two", which=1)
        forged = place.jwt("two")
        place.keys.server.add("two", which=2)
        assert await place.validated(forged) == ["signature"]
        assert len(place.keys.asked) == 1


BAD: dict[str, Any] = {
    "a page": b"<html>",
    "no keys": {"keys": []},
    "secrets": {"keys": [{"kty": "oct", "k": "AAAA"}]},
    "status 500": 500,
    "status 404": 404,
    "a redirect": 302,
    "too much": b" " * (1024 * 1024 + 1),
    "no connection": httpx.ConnectError("refused"),
    "a bug of a hook": RuntimeError("canary"),
}


@pytest.mark.parametrize("name", BAD)
async def test_keys_that_cannot_be_had_are_a_transient_failure_of_who_needs_them(name: str) -> None:
    async with office() as place:
        place.keys.says = BAD[name]
        failure = await place.clock.run(place.validate, place.jwt("one"))
        assert failure is not None
        assert (failure.reason, failure.transient, failure.counts, failure.throttled) == ("key_set", True, False, False)
        assert failure.error is TokenRequestError
        assert failure.detail.startswith("the server's keys could not be had: ")
        assert "https://auth.test" in failure.detail
        assert await place.validated(*[place.jwt("one")] * 10) == ["key_set"] * 10
        assert len(place.keys.asked) == 3, "tried a few times, and nobody tries again at once"
        place.keys.says = None
        await place.clock.advance(1.0)
        assert await place.validated(place.jwt("one")) == [None]


async def test_what_goes_wrong_once_is_not_noticed_by_who_has_no_keys_yet() -> None:
    async with office() as place:
        place.keys.says = 503
        async with anyio.create_task_group() as tasks:
            results = list[list[str | None]]()

            async def wait() -> None:
                results.append(await place.validated(*[place.jwt("one")] * 10))

            tasks.start_soon(wait)
            while not place.keys.asked:
                await anyio.lowlevel.checkpoint()
            place.keys.says = None
        assert results == [[None] * 10]
        assert len(place.keys.asked) == 2


@pytest.mark.parametrize("name", BAD)
async def test_who_has_keys_that_are_too_old_tries_as_often_as_who_has_none(name: str) -> None:
    async with office() as place:
        await place.get()
        await place.clock.advance(keysets.KEPT_FOR)
        place.keys.says = BAD[name]
        assert isinstance(await place.get(), Failure)
        assert len(place.keys.asked) == 4
        place.keys.says = None
        await place.clock.advance(1.0)
        assert isinstance(await place.get(), KeySet)


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_document_never_replaces_a_good_one(name: str) -> None:
    async with office() as place:
        assert await place.validated(place.jwt("one")) == [None]
        place.keys.says = BAD[name]
        await place.clock.advance(keysets.FRESH_FOR)
        assert await place.validated(*[place.jwt("one")] * 10) == [None] * 10
        assert len(place.keys.asked) == 2
        await place.clock.advance(keysets.KEPT_FOR - keysets.FRESH_FOR - 1)
        assert await place.validated(place.jwt("one")) == [None]
        await place.clock.advance(1.0)
        assert await place.validated(place.jwt("one")) == ["key_set"], "no key is good for more than a day"


async def test_where_newer_keys_cannot_be_had_an_unknown_one_is_no_verdict() -> None:
    async with office() as place:
        assert await place.validated(place.jwt("one")) == [None]
        place.keys.server.add("two", which=1)
        place.keys.says = 503
        assert await place.validated(place.jwt("two"), place.jwt("one")) == ["key_set", None]
        assert await place.validated(place.jwt("two")) == ["key_set"]
        assert len(place.keys.asked) == 2
        place.keys.says = None
        await place.clock.advance(30.0)
        assert await place.validated(place.jwt("two")) == [None]


async def test_old_keys_leave_time_to_use_them_where_new_ones_hang() -> None:
    async with office() as place:
        held = await place.get()
        await place.clock.advance(keysets.FRESH_FOR)
        place.keys.latency = 1000.0
        before = place.clock.now()
        assert await place.get(within=4.0) is held
        assert place.clock.now() == before + 2.0


async def test_a_fetch_that_hangs_ends_by_itself_and_by_who_waits() -> None:
    async with office() as place:
        place.keys.latency = 1000.0
        hasty = await place.get(within=1.0)
        assert isinstance(hasty, Failure)
        assert (hasty.reason, place.clock.now()) == ("key_set", 1.0)
        assert hasty.detail.endswith("they did not come in time")
        patient = await place.get()
        assert isinstance(patient, Failure)
        assert (patient.reason, place.clock.now(), len(place.keys.asked)) == ("key_set", 10.0, 2)


async def test_as_many_urls_are_known_as_fit_and_the_one_used_last_stays() -> None:
    async with office() as place:
        await place.get()
        for number in range(MAX_URLS):
            await place.get(f"https://auth.test/{number}")
            if number == MAX_URLS - 2:
                await place.get()
        assert len(place.key_sets._shelves) == MAX_URLS
        asked = len(place.keys.asked)
        await place.get()
        assert len(place.keys.asked) == asked
        await place.get("https://auth.test/0")
        assert len(place.keys.asked) == asked + 1


async def test_keys_that_somebody_else_has_fetched_meanwhile_are_taken() -> None:
    async with office() as place:
        old = await place.get()
        await place.clock.advance(keysets.FRESH_FOR)
        new = await place.get()
        assert isinstance(old, KeySet)
        assert old is not new
        got = await place.clock.run(lambda: place.key_sets.newer(JWKS, old, deadline=place.clock.now() + 1))
        assert got is new
        assert len(place.keys.asked) == 2


async def test_outside_of_its_provider_nothing_is_fetched() -> None:
    async with office() as place:
        pass
    failure = await place.get()
    assert isinstance(failure, Failure)
    assert failure.detail.endswith("fetching them from https://auth.test was broken off")


async def test_a_provider_that_is_entered_again_waits_for_no_fetch_of_the_last_time() -> None:
    clock, keys = VirtualClock(), KeyServer(VirtualClock())
    keys.clock, keys.latency = clock, 1000.0
    keys.server.add("one")
    async with httpx.AsyncClient(transport=keys) as http:
        tokens = TokenProvider(validating(), http=http, clock=clock)
        for _ in range(2):
            async with tokens, anyio.create_task_group() as tasks:
                tasks.start_soon(lambda: tokens._holdings.key_sets.get(JWKS, deadline=clock.now() + 100))
                await clock.settle()
                tasks.cancel_scope.cancel()
    assert len(keys.asked) == 2


async def test_an_http_client_that_was_closed_is_a_mistake_and_no_bad_luck() -> None:
    async with office() as place:
        await place.tokens._connection.http.aclose()
        failure = await place.get()
        assert isinstance(failure, Failure)
        assert (failure.error, failure.reason) == (ConfigurationError, "client_closed")


async def test_what_a_tests_own_transport_asserts_comes_out() -> None:
    async with office() as place:
        place.keys.says = AssertionError("nobody may ask")
        failure = await place.get()
        assert isinstance(failure, Failure)
        assert isinstance(failure.exception(KEY), AssertionError)


async def test_without_joserfc_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    async with office() as place:
        monkeypatch.setitem(sys.modules, "joserfc", None)
        failure = await place.get()
        assert isinstance(failure, Failure)
        assert failure.error is ConfigurationError
        assert "pip install" in failure.detail


async def test_the_repr_shows_servers() -> None:
    async with office() as place:
        await place.get()
        assert repr(place.key_sets) == "KeySets(https://auth.test)"
        assert repr(place.tokens._holdings.validation) == "Validation(KeySets(https://auth.test))"
