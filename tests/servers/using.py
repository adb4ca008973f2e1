"""The servers' clients as users of tokenflight have them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from attrs import evolve
from tests.kit.harbour import AT_ONCE
from tests.kit.oidc import OidcProvider
from tests.kit.opinions import Opinion

from tokenflight import (
    Audience,
    ClientSecretBasic,
    ClientSecretPost,
    OAuthClient,
    Token,
    TokenProvider,
    TokenRequestError,
)

JWT = Audience("https://api.test/jwt/ttl/30", "resource")
OPAQUE = Audience("https://api.test/opaque/ttl/30/orders", "resource")
METHODS: dict[str, type[ClientSecretBasic] | type[ClientSecretPost]] = {"post": ClientSecretPost}


def client_of(server: OidcProvider | Opinion, name: str = "basic", **fields: Any) -> OAuthClient:
    """Return a client of a server as it is registered there."""
    known = server.clients[name]
    authentication = None if known.secret is None else METHODS.get(name, ClientSecretBasic)(known.secret)
    fields = {"client_id": known.client_id, "authentication": authentication} | fields
    return OAuthClient(token_endpoint=server.token_endpoint, **fields)


@asynccontextmanager
async def provider(client: OAuthClient, **retry: Any) -> AsyncIterator[TokenProvider]:
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
