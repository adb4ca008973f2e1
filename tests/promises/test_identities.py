"""A login with OpenID tells who it was; one whose ID token is not to be believed is nobody's, and leaves nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from attrs import define
from tests.kit.jwts import Server
from tests.kit.key_server import JWKS, KeyServer
from tests.kit.rotating import RotatingServer, app, login_app, session_town
from tests.kit.town import Town

from tokenflight import (
    AuthorizationCode,
    AuthorizationResponseError,
    Endpoints,
    MemoryStore,
    OAuthClient,
    SessionLostError,
    Token,
    TokenFlightError,
    TokenProvider,
    TokenValidationError,
)
from tokenflight.testing import Issue, TokenEntry

pytestmark = pytest.mark.anyio

ISSUER = "https://auth.test"
ENDPOINTS = Endpoints(authorization="https://auth.test/authorize", jwks=JWKS)
METADATA = {
    "issuer": ISSUER,
    "authorization_endpoint": "https://auth.test/authorize",
    "token_endpoint": "https://auth.test/token",
    "jwks_uri": JWKS,
    "response_types_supported": ["code"],
    "authorization_response_iss_parameter_supported": True,
}


def openid(**fields: Any) -> OAuthClient:
    return login_app(**{"issuer": ISSUER, "endpoints": ENDPOINTS, "scope": "openid"} | fields)


@define(eq=False)
class Place:
    """A rotating server that adds ID tokens to what it tells, and a provider in front of it."""

    town: Town
    keys: KeyServer
    store: MemoryStore
    tokens: TokenProvider
    nonce: str = ""

    @property
    def server(self) -> RotatingServer:
        return self.town.endpoint  # type: ignore[return-value]

    def id_token(self, **claims: Any) -> str:
        wall = self.town.clock.wall()
        values = {"iss": ISSUER, "sub": "u-7", "aud": "app", "exp": wall + 600, "iat": wall, "nonce": self.nonce}
        told = {name: value for name, value in (values | claims).items() if value is not ...}
        return self.keys.server.jwt("one", told)

    async def login(self, told: Mapping[str, Any] | None = None, **claims: Any) -> Any:
        """Log in with an ID token of these *claims*, or with what else is *told*; return the token or the error."""
        request = await self.town.clock.run(lambda: self.tokens.sessions.begin())
        [self.nonce] = parse_qs(urlsplit(request.url).query)["nonce"]

        def issue(entry: TokenEntry) -> Issue:
            return Issue(fields={"id_token": self.id_token(**claims)} if told is None else told)

        self.server.script(issue)
        callback = self.server.authorize(request.url)
        try:
            return await self.town.clock.run(lambda: self.tokens.sessions.redeem(request, callback, subject=named))
        except TokenFlightError as error:
            return error


def named(token: Token) -> str:
    return str(token.extra["id_token_claims"]["sub"])


@asynccontextmanager
async def placed(client: OAuthClient | None = None, **documents: Any) -> AsyncIterator[Place]:
    town, server, store = session_town(issuer=ISSUER), Server(), MemoryStore()
    server.add("one")
    keys = KeyServer(town.clock, server, beside=town.endpoint.transport(), documents=documents)
    async with (
        httpx.AsyncClient(transport=keys) as http,
        TokenProvider(client or openid(), http=http, store=store, clock=town.clock) as tokens,
    ):
        yield Place(town, keys, store, tokens)
        await town.clock.settle()


async def test_a_login_is_its_who_says_the_validated_id_token() -> None:
    async with placed() as place:
        token = await place.login()
        assert token.extra["id_token_claims"]["sub"] == "u-7"
        [call] = await place.town.once(place.tokens.source(subject="u-7"))
        assert call.token is token


WRONG = [
    ({"iss": "https://evil.test"}, "issuer"),
    ({"iss": ...}, "issuer"),
    ({"sub": ...}, "subject"),
    ({"aud": "another"}, "audience"),
    ({"aud": ["app", "another"]}, "authorized_party"),
    ({"azp": "another"}, "authorized_party"),
    ({"exp": 1_750_000_000 - 600}, "expired"),
    ({"exp": ...}, "expired"),
    ({"nbf": 1_750_000_000 + 600}, "not_yet_valid"),
    ({"iat": 1_750_000_000 + 600}, "issued_at"),
    ({"nonce": "another login's"}, "nonce"),
    ({"nonce": ...}, "nonce"),
    ({"at_hash": base64.urlsafe_b64encode(hashlib.sha256(b"another").digest()[:16]).decode().rstrip("=")}, "at_hash"),
]


@pytest.mark.parametrize(("claims", "reason"), WRONG, ids=[f"{n}-{case[1]}" for n, case in enumerate(WRONG)])
async def test_with_any_claim_wrong_it_is_refused_and_nothing_is_kept(claims: dict[str, Any], reason: str) -> None:
    async with placed() as place:
        error = await place.login(**claims)
        assert isinstance(error, TokenValidationError)
        assert error.reason == reason
        assert place.store._records == {}
        assert place.tokens.status() == ()
        [call] = await place.town.once(place.tokens.source(subject="u-7"))
        assert isinstance(call.error, SessionLostError)
        assert len(place.server.spent("authorization_code")) == 1


@pytest.mark.parametrize("told", [{}, {"id_token": None}, {"id_token": 7}])
async def test_where_openid_was_asked_for_an_id_token_has_to_come(told: dict[str, Any]) -> None:
    async with placed() as place:
        error = await place.login(told)
        assert isinstance(error, TokenValidationError)
        assert error.reason == "no_id_token"
        assert place.store._records == {}


async def test_one_that_somebody_else_signed_is_refused() -> None:
    async with placed() as place:
        forger = Server()
        forger.add("one", which=1)
        error = await place.login({"id_token": forger.jwt("one", {"iss": ISSUER})})
        assert isinstance(error, TokenValidationError)
        assert place.store._records == {}


FOUND = f"{ISSUER}/.well-known/oauth-authorization-server"


def found() -> OAuthClient:
    """Return a client that knows its issuer alone."""
    kept = app()
    return OAuthClient(
        client_id="app", issuer=ISSUER, authentication=kept.authentication, grant=AuthorizationCode(), scope="openid"
    )


async def test_an_issuer_alone_is_enough_for_a_login_and_its_answer_has_to_name_it() -> None:
    async with placed(found(), **{FOUND: METADATA}) as place:
        assert isinstance(await place.login(), Token)
        place.server.issuer = None
        error = await place.login()
        assert isinstance(error, AuthorizationResponseError)
        assert error.reason == "issuer"


@pytest.mark.parametrize("says", [503, b"no document"])
async def test_where_the_issuer_cannot_be_asked_the_code_is_not_sent_and_the_login_stays_good(says: Any) -> None:
    async with placed(found(), **{FOUND: METADATA}) as first:
        request = await first.town.clock.run(lambda: first.tokens.sessions.begin())
        callback = first.server.authorize(request.url)
    async with placed(found()) as place:
        place.keys.says = says
        with pytest.raises(TokenFlightError):
            await place.town.clock.run(lambda: place.tokens.sessions.redeem(request, callback, subject="ann"))
        assert len(place.server.ledger) == 0
        assert place.tokens.sessions._redeemed == {}
