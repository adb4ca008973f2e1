"""Asking the odd double as a program does: by a provider, whose requests end in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from tests.doubles.odd import OddDouble
from tests.kit.harbour import AT_ONCE

from tokenflight import OAuthClient, Token, TokenProvider, TokenRequestError


@asynccontextmanager
async def provider(client: Any, double: OddDouble, **options: Any) -> AsyncIterator[TokenProvider]:
    """Yield a provider of a client, of several, or of a resolver's."""
    async with (
        httpx.AsyncClient(transport=double.transport(), trust_env=False) as http,
        TokenProvider(client, http=http, **({"retry": AT_ONCE} | options)) as tokens,
    ):
        yield tokens
    double.ledger.check()


async def token(client: OAuthClient, double: OddDouble, **how: Any) -> Token:
    """Return the token of one call."""
    async with provider(client, double) as tokens:
        return await tokens.token(**how)


async def refusal(client: OAuthClient, double: OddDouble, **how: Any) -> TokenRequestError:
    """Return the error of one call."""
    async with provider(client, double) as tokens:
        with pytest.raises(TokenRequestError) as caught:
            await tokens.token(**how)
    return caught.value


def lifetime(token: Token) -> float:
    """Return for how many seconds a token was given, to the second."""
    assert token.expires_at is not None
    return round((token.expires_at - token.issued_at).total_seconds())
