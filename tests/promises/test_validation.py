"""A client that demands validation: a token that fails it is nobody's, and one that passes is everybody's."""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from attrs import define, evolve
from tests.kit.jwts import Server
from tests.kit.key_server import JWKS, KeyServer
from tests.kit.town import Town, client, town

from tokenflight import (
    AccessTokenValidation,
    ConfigurationError,
    Endpoints,
    MemoryStore,
    OAuthClient,
    TokenFlightError,
    TokenProvider,
    TokenRequestError,
    TokenValidationError,
)
from tokenflight.model.events import FlightFailed
from tokenflight.model.failure import Failure
from tokenflight.testing import Issue

pytestmark = pytest.mark.anyio

ISSUER, API = "https://auth.test", "https://api.test"
METADATA = {
    "issuer": ISSUER,
    "token_endpoint": "https://auth.test/token",
    "jwks_uri": JWKS,
    "response_types_supported": ["code"],
}


def validating(**fields: Any) -> OAuthClient:
    fields = {"issuer": ISSUER, "validation": AccessTokenValidation(), "endpoints": Endpoints(jwks=JWKS)} | fields
    return client(**fields)


@define(eq=False)
class Place:
    """A town whose token endpoint issues JWTs, good ones unless it is told otherwise."""

    town: Town
    keys: KeyServer
    issued: list[str]

    def jwt(self, kid: str = "one", **claims: Any) -> str:
        wall = self.town.clock.wall()
        values = {"iss": ISSUER, "aud": API, "exp": wall + 3600, "iat": wall, "jti": str(len(self.issued))} | claims
        text = self.keys.server.jwt(kid, {name: value for name, value in values.items() if value is not ...})
        self.issued.append(text)
        return text

    def issue(self, text: str | None = None, **claims: Any) -> str:
        """Let the endpoint issue *text* from now on, or a JWT with these claims."""
        text = text or self.jwt(**claims)
        self.town.endpoint.always(Issue(fields={"access_token": text}))
        return text

    @property
    def asked(self) -> int:
        return len(self.town.requests())

    async def run(self, call: Any, *args: Any) -> Any:
        """Return what a call brings, or the error that it raises."""
        try:
            return await self.town.clock.run(call, *args)
        except TokenFlightError as error:
            return error

    async def get(self, tokens: TokenProvider, *client: str) -> Any:
        result = await self.run(lambda: tokens.token(*client, audience=API))
        return result if isinstance(result, TokenFlightError) else result.access_token.reveal()


@asynccontextmanager
async def validation(who: Any = None, **options: Any) -> AsyncIterator[tuple[Place, TokenProvider]]:
    place = town()
    server = Server()
    server.add("one")
    keys = KeyServer(place.clock, server, beside=place.endpoint.transport())
    options = {"clock": place.clock, "hooks": [place.events.append]} | options
    async with (
        httpx.AsyncClient(transport=keys) as http,
        TokenProvider(who or validating(), http=http, **options) as tokens,
    ):
        here = Place(place, keys, [])
        here.issue()
        yield here, tokens
        await place.clock.settle()


async def test_a_good_token_is_handed_out_and_its_keys_are_asked_for_once() -> None:
    async with validation() as (place, tokens):
        good = place.issued[0]
        assert await place.get(tokens) == good
        await place.town.clock.advance(3700.0)
        again = place.issue()
        assert await place.get(tokens) == again
        assert place.asked == 2
        assert len(place.keys.asked) == 2, "once, and once more after an hour"


def other_key(place: Place) -> str:
    place.keys.server.add("two", which=1)
    text = place.jwt("two")
    del place.keys.server.keys["two"]
    return text


WRONG: dict[str, Any] = {
    "not_a_jwt": lambda place: "opaque-0123456789abcdef",
    "algorithm": lambda place: "e30." + place.jwt().partition(".")[2],
    "signature": lambda place: place.jwt()[:-8] + "AAAAAAAA",
    "unknown_key": other_key,
    "issuer": lambda place: place.jwt(iss="https://evil.test"),
    "audience": lambda place: place.jwt(aud="https://other.test"),
    "expired": lambda place: place.jwt(exp=place.town.clock.wall() - 60),
    "not_yet_valid": lambda place: place.jwt(nbf=place.town.clock.wall() + 3600),
}


@pytest.mark.parametrize("reason", WRONG)
async def test_a_wrong_token_reaches_neither_caller_nor_store_nor_log(
    reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    store = MemoryStore()
    async with validation(store=store) as (place, tokens):
        wrong = place.issue(WRONG[reason](place))
        error = await place.get(tokens)
        assert type(error) is TokenValidationError
        assert (error.reason, error.transient, error.attempts) == (reason, False, 1)
        assert str(error).startswith("the access token that came failed validation: ")
        assert store._records == {}
        [status] = tokens.status()
        assert (status.verdict, status.holding_back, status.last_error) == ("none", "permanent", reason)
        assert [event.reason for event in place.town.told(FlightFailed)] == [reason]
        [health] = tokens.health()
        assert (health.state, health.last_error) == ("up", None)
        for text in (str(error), repr(vars(error)), repr(place.town.events), caplog.text, repr(status)):
            assert wrong not in text
        again = await place.get(tokens)
        assert (type(again), again.attempts, place.asked) == (TokenValidationError, 0, 1), "held back: nothing is sent"
        good = place.issue()
        await place.town.clock.advance(30.0)
        assert await place.get(tokens) == good


async def test_the_held_token_lives_on_while_its_renewals_bring_wrong_ones() -> None:
    async with validation() as (place, tokens):
        source = tokens.source(audience=API, keep_warm=True)
        await place.town.clock.settle()
        good = place.issued[0]
        place.issue(iss="https://evil.test")
        for _ in range(59):
            await place.town.clock.advance(60.0)
            assert (await source.token()).access_token.reveal() == good
        assert place.asked > 2
        await place.town.clock.advance(120.0)
        assert (await place.get(tokens)).reason == "issuer"
        healed = place.issue()
        await place.town.clock.advance(300.0)
        assert await place.get(tokens) == healed


async def test_a_wrong_token_is_none_that_heals_a_401() -> None:
    seen = list[str]()

    def api(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["authorization"])
        return httpx.Response(401, headers={"www-authenticate": "Bearer"})

    async with validation() as (place, tokens):
        good = await place.get(tokens)
        wrong = place.issue(aud="https://other.test")
        async with httpx.AsyncClient(transport=httpx.MockTransport(api), auth=tokens.auth(audience=API)) as http:
            response = await place.town.clock.run(http.get, API)
        assert response.status_code == 401
        assert place.asked == 2
        assert seen == [f"Bearer {good}"]
        renewed = await place.run(lambda: tokens.renew(audience=API))
        assert isinstance(renewed, TokenRequestError)
        assert await place.get(tokens) == good
        assert wrong not in repr(seen)


async def test_without_keys_no_token_is_asked_for_and_no_endpoint_is_blamed() -> None:
    clients = {"strict": validating(), "plain": client("another")}
    async with validation(clients) as (place, tokens):
        place.keys.says = 503
        for _ in range(5):
            error = await place.get(tokens, "strict")
            assert type(error) is TokenRequestError
            assert (error.reason, error.transient, error.attempts) == ("key_set", True, 0)
            await place.town.clock.advance(60.0)
        assert place.asked == 0
        assert {health.state for health in tokens.health()} == {"up"}
        assert not isinstance(await place.run(lambda: tokens.token("plain")), TokenFlightError)
        place.keys.says = None
        assert await place.get(tokens, "strict") == place.issued[0]


async def test_a_rotated_key_is_found_with_the_token_that_it_signed() -> None:
    async with validation() as (place, tokens):
        await place.get(tokens)
        place.keys.server.add("two", which=1)
        rotated = place.issue(kid="two")
        assert await place.run(lambda: tokens.renew(audience=API)) is not None
        assert await place.get(tokens) == rotated
        assert len(place.keys.asked) == 2


async def test_newer_keys_that_cannot_be_had_are_a_transient_failure_of_the_key_alone() -> None:
    async with validation() as (place, tokens):
        await place.get(tokens)
        place.keys.server.add("two", which=1)
        place.issue(kid="two")
        place.keys.says = 500
        error = await place.run(lambda: tokens.renew(audience=API))
        assert (error.reason, error.transient) == ("key_set", True)
        [health] = tokens.health()
        assert health.state == "up"


async def test_a_record_that_was_kept_without_validation_is_nothing_to_who_demands_it() -> None:
    store, strict = MemoryStore(), validating()
    async with validation(evolve(strict, validation=None), store=store) as (place, tokens):
        assert await place.get(tokens) == place.issued[0]
    async with validation(strict, store=store) as (place, tokens):
        wrong = place.issue(iss="https://evil.test")
        assert (await place.get(tokens)).reason == "issuer"
        assert wrong in place.issued
        good = place.issue()
        await place.town.clock.advance(30.0)
        assert await place.get(tokens) == good
    async with validation(strict, store=store) as (place, tokens):
        assert await place.get(tokens) == good
        assert place.asked == 0, "validated before it was kept"


async def test_an_issuer_alone_tells_where_its_keys_are() -> None:
    bare = evolve(validating(), token_endpoint=None, endpoints=Endpoints())
    for who in (bare, evolve(bare, token_endpoint="https://auth.test/token")):
        async with validation(who) as (place, tokens):
            place.keys.documents["https://auth.test/.well-known/openid-configuration"] = METADATA
            place.keys.documents["https://auth.test/.well-known/oauth-authorization-server"] = METADATA
            assert await place.get(tokens) == place.issued[0]
            assert place.keys.urls[-1] == JWKS


async def test_an_issuer_that_does_not_tell_where_its_keys_are_is_a_mistake_to_mend() -> None:
    without = {name: value for name, value in METADATA.items() if name != "jwks_uri"}
    async with validation(evolve(validating(), endpoints=Endpoints())) as (place, tokens):
        place.keys.documents["https://auth.test/.well-known/openid-configuration"] = without
        place.keys.documents["https://auth.test/.well-known/oauth-authorization-server"] = without
        error = await place.get(tokens)
        assert type(error) is ConfigurationError
        assert "give endpoints=Endpoints(jwks=...)" in str(error)
        assert place.asked == 0


async def test_an_issuer_that_is_down_is_a_transient_failure_of_the_key_alone() -> None:
    async with validation(evolve(validating(), endpoints=Endpoints())) as (place, tokens):
        place.keys.says = 429
        error = await place.get(tokens)
        assert (type(error) is ConfigurationError, error.transient, place.asked) == (False, True, 0)
        [health] = tokens.health()
        assert health.state == "up"


async def test_an_issuer_that_hangs_holds_nobody_up_for_longer_than_an_attempt() -> None:
    async with validation(evolve(validating(), endpoints=Endpoints())) as (place, tokens):
        place.keys.latency = 1000.0
        guard = tokens._holdings.validation
        before = place.town.clock.now()
        failure = await place.run(lambda: guard.ready(validating(endpoints=Endpoints()), deadline=before + 3.0))
        assert isinstance(failure, Failure)
        assert (failure.reason, place.town.clock.now()) == ("key_set", before + 3.0)


async def test_a_key_without_audience_is_refused_before_anything_is_sent() -> None:
    async with validation() as (place, tokens):
        with pytest.raises(ConfigurationError, match="pass audience"):
            await tokens.token()
        assert (place.asked, place.keys.asked) == (0, [])


async def test_without_validation_nobody_asks_for_keys() -> None:
    async with validation(client()) as (place, tokens):
        place.issue("opaque-0123456789abcdef")
        assert await place.get(tokens) == "opaque-0123456789abcdef"
        assert place.keys.asked == []


def half(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()[:16]).rstrip(b"=").decode()


async def id_token(place: Place, tokens: TokenProvider, text: str, who: OAuthClient | None = None) -> Any:
    guard, deadline = tokens._holdings.validation, place.town.clock.now() + 10.0
    who = who or client(issuer=ISSUER, endpoints=Endpoints(jwks=JWKS))
    return await place.run(lambda: guard.id_token(who, text, nonce="n", access_token="at", deadline=deadline))


LOGIN = {"aud": "service", "sub": "user", "nonce": "n", "at_hash": half("at")}


async def test_an_id_token_is_validated_with_the_same_keys() -> None:
    async with validation() as (place, tokens):
        await place.get(tokens)
        claims = await id_token(place, tokens, place.jwt(**LOGIN))
        assert isinstance(claims, Mapping)
        assert claims["sub"] == "user"
        assert len(place.keys.asked) == 1


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"iss": "https://evil.test"}, "issuer"),
        ({"aud": "other"}, "audience"),
        ({"nonce": "m"}, "nonce"),
        ({"nonce": ...}, "nonce"),
        ({"at_hash": half("another")}, "at_hash"),
        ({"azp": "other"}, "authorized_party"),
        ({"exp": 0}, "expired"),
    ],
)
async def test_an_id_token_with_a_wrong_claim_is_refused(claims: dict[str, Any], reason: str) -> None:
    async with validation() as (place, tokens):
        failure = await id_token(place, tokens, place.jwt(**LOGIN | claims))
        assert isinstance(failure, Failure)
        assert (failure.error, failure.reason, failure.transient) == (TokenValidationError, reason, False)
        assert failure.detail.startswith("the ID token that came failed validation: ")


async def test_an_id_token_needs_the_clients_issuer_and_its_keys() -> None:
    async with validation() as (place, tokens):
        text = place.jwt(**LOGIN)
        for who in (client(), client(issuer=ISSUER, endpoints=Endpoints(jwks=JWKS))):
            place.keys.says = 500
            failure = await id_token(place, tokens, text, who)
            assert isinstance(failure, Failure)
            assert failure.reason == ("configuration" if who.issuer is None else "key_set")
