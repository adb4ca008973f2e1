"""What is measured against: providers whose tokens cost no network, and the least that could do the same."""

from __future__ import annotations

import random
import string
from collections.abc import Callable

import anyio
import httpx
from attrs import define

from tokenflight import ClientSecretPost, Dialect, Fetch, OAuthClient, SystemClock, Token, TokenKey

LIFETIME = 3600.0
LETTERS = string.ascii_letters + string.digits


def access_token(length: int) -> str:
    """Make up an access token."""
    return "".join(random.choices(LETTERS, k=length))


def answering(latency: float = 0.0, *, length: int = 40) -> httpx.MockTransport:
    """Make a token endpoint in memory that answers after *latency* seconds and counts what it was asked."""

    async def answer(request: httpx.Request) -> httpx.Response:
        answer.asked += 1  # type: ignore[attr-defined]
        if latency:
            await anyio.sleep(latency)
        fields = {"access_token": access_token(length), "token_type": "Bearer", "expires_in": LIFETIME}
        return httpx.Response(200, json=fields)

    answer.asked = 0  # type: ignore[attr-defined]
    return httpx.MockTransport(answer)


def wire_client() -> OAuthClient:
    """Make a client of the endpoint in memory."""
    return OAuthClient(
        client_id="bench",
        token_endpoint="https://auth.example.com/token",
        authentication=ClientSecretPost("a secret of the benchmarks"),
        dialect=Dialect(form=_with_subject),
    )


def _with_subject(key: TokenKey, fields: dict[str, str]) -> dict[str, str]:
    return fields if key.subject is None else {**fields, "organization": key.subject.id}


def fetch_client(*, length: int = 40, lifetime: Callable[[], float] = lambda: LIFETIME) -> OAuthClient:
    """Make a client whose tokens a function brings: all of a flight but the HTTP exchange."""

    async def fetch(key: TokenKey) -> Token:
        return Token(access_token(length), expires_in=lifetime())

    return OAuthClient(client_id="bench", grant=Fetch(fetch))


@define(eq=False)
class Held:
    """What a hand-written cache keeps for a key."""

    token: Token
    fresh_until: float


class Cache:
    """The floor of the fast path: a coroutine that does one dict lookup and one comparison.

    It reads the same clock through the same attribute as a bound source does, and can do nothing else.
    """

    __slots__ = ("_held", "_now")

    def __init__(self, token: Token) -> None:
        self._now = SystemClock().now
        self._held = {"api": Held(token, self._now() + LIFETIME)}

    async def token(self) -> Token:
        """Return the token while it is fresh."""
        held = self._held["api"]
        if self._now() < held.fresh_until:
            return held.token
        raise LookupError
