"""The servers' clients as users of tokenflight have them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from attrs import evolve
from tests.kit.harbour import AT_ONCE
from tests.kit.oidc import OidcProvider
from tests.kit.opinions import Opinion

from tokenflight import (
    Audience,
    ClientCredentials,
    ClientSecretBasic,
    ClientSecretPost,
    Grant,
    OAuthClient,
    SessionLostError,
    Token,
    TokenProvider,
    TokenRequestError,
)

JWT = Audience("https://api.test/jwt/ttl/30", "resource")
OPAQUE = Audience("https://api.test/opaque/ttl/30/orders", "resource")
AS_ITSELF = ClientCredentials()
METHODS: dict[str, type[ClientSecretBasic] | type[ClientSecretPost]] = {"post": ClientSecretPost}


def client_of(server: OidcProvider | Opinion, name: str = "basic", **fields: Any) -> OAuthClient:
    """Return a client of a server as it is registered there."""
    known = server.clients[name]
    authentication = None if known.secret is None else METHODS.get(name, ClientSecretBasic)(known.secret)
    fields = {"client_id": known.client_id, "authentication": authentication} | fields
    return OAuthClient(token_endpoint=server.token_endpoint, **fields)


@asynccontextmanager
async def provider(client: OAuthClient | Mapping[str, OAuthClient], **retry: Any) -> AsyncIterator[TokenProvider]:
    async with TokenProvider(client, retry=evolve(AT_ONCE, **retry)) as tokens:
        yield tokens


def lifetime(token: Token) -> float:
    """Return the seconds that a token was given for."""
    assert token.expires_at is not None
    return round((token.expires_at - token.issued_at).total_seconds())


async def refusal(client: OAuthClient, **how: Any) -> TokenRequestError:
    """Return the error of a call that fails; a second one sends nothing and gets the same."""
    async with provider(client) as tokens:
        with pytest.raises(TokenRequestError) as caught:
            await tokens.token(**how)
        with pytest.raises(TokenRequestError) as again:
            await tokens.token(**how)
    assert again.value.attempts == 0
    return caught.value


def found(server: OidcProvider | Opinion, grant: Grant = AS_ITSELF, name: str = "web", **fields: Any) -> OAuthClient:
    """Return a client that knows of its server the issuer alone."""
    known = server.clients[name]
    fields = {"client_id": known.client_id, "authentication": known.secret} | fields
    return OAuthClient(issuer=server.issuer, grant=grant, **fields)


@asynccontextmanager
async def adopting(client: OAuthClient, refresh_token: str, **retry: Any) -> AsyncIterator[TokenProvider]:
    async with TokenProvider(client, retry=evolve(AT_ONCE, **retry)) as tokens:
        await tokens.sessions.adopt(subject="alice", refresh_token=refresh_token)
        yield tokens


async def spent(tokens: TokenProvider, audience: Audience | None = None) -> Token:
    """Have the session's refresh token spent."""
    return await tokens.renew(subject="alice", audience=audience)


async def lost(tokens: TokenProvider, audience: Audience | None = None) -> SessionLostError:
    with pytest.raises(SessionLostError) as caught:
        await spent(tokens, audience)
    return caught.value
