"""Asking a server: token requests and public documents, the client that they go through, and repeating them."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, TypeVar

import httpx

from tokenflight.errors import ConfigurationError
from tokenflight.model.clock import Clock
from tokenflight.model.failure import Failure
from tokenflight.model.origin import origin_of
from tokenflight.protocol.wire import TokenAnswer, TokenRequest, plain_headers
from tokenflight.transport.causes import Asked
from tokenflight.transport.exchange import Outgoing, exchange

if TYPE_CHECKING:
    from tenacity import RetryCallState

T = TypeVar("T")


async def send(
    http: httpx.AsyncClient, request: TokenRequest, *, clock: Clock, deadline: float, endpoint: str = "token"
) -> TokenAnswer | Failure:
    """Post a form to an *endpoint* of that name, until `clock.now()` reaches *deadline* at most; see `exchange`."""
    setting = "token_endpoint" if endpoint == "token" else f"endpoints.{endpoint}"
    outgoing = Outgoing(
        asked=Asked(f"the {endpoint} endpoint {origin_of(request.url)}", setting),
        method=request.method,
        url=request.url,
        headers=request.headers,
        body=request.body,
    )
    return await exchange(http, outgoing, clock=clock, deadline=deadline)


async def fetch(http: httpx.AsyncClient, url: str, *, clock: Clock, deadline: float) -> TokenAnswer | Failure:
    """Get a public document, such as a server's metadata or keys, as `send` posts; no secret travels.

    The answer has any status but a redirect. *url* is one that `origin_of` takes.
    """
    asked = Asked(f"the document at {origin_of(url)}", "issuer and endpoints")
    outgoing = Outgoing(asked=asked, method="GET", url=url, headers=plain_headers())
    return await exchange(http, outgoing, clock=clock, deadline=deadline)


def token_client(tls: ssl.SSLContext | None = None) -> httpx.AsyncClient:
    """Make the client that a provider uses where it was given none; *tls* is another context than the usual one.

    It has no limit of connections (flights are limited elsewhere, and a pool that queues loses places to cancelled
    requests), keeps no cookie, reads no environment and speaks HTTP/1.1, whose library logs no header.
    """
    return httpx.AsyncClient(
        verify=tls or _usual_context(),
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=20),
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        http1=True,
        http2=False,
        trust_env=False,
        follow_redirects=False,
    )


def trusting_context() -> ssl.SSLContext:
    """Return a context of its own that trusts the public authorities, as our clients do."""
    return httpx.create_ssl_context(trust_env=False)


@cache
def _usual_context() -> ssl.SSLContext:
    """Read the certificates that are trusted, once: that takes longer than all else that entering does."""
    return trusting_context()


def checked_client(http: object) -> httpx.AsyncClient:
    """Return *http* where token requests can go through it; raise ConfigurationError where they cannot."""
    if isinstance(http, httpx.Client):
        raise ConfigurationError("http is a synchronous httpx.Client: pass an httpx.AsyncClient")
    if not isinstance(http, httpx.AsyncClient):
        raise ConfigurationError(f"http is a {type(http).__name__}: pass an httpx.AsyncClient, or leave it out")
    if http.is_closed:
        raise ConfigurationError("http is closed already: pass an httpx.AsyncClient that stays open with the provider")
    if getattr(http.auth, "tokenflight_source", None) is not None:
        raise ConfigurationError(
            "http carries a TokenAuth: it would need a token to get a token; pass a client of its own, without auth"
        )
    return http


async def drive(attempt: Callable[[], Awaitable[T]], *, pause: Callable[[T], float | None], clock: Clock) -> T:
    """Repeat *attempt* until *pause* says None to its result; what it says else is slept, in seconds on the clock.

    *pause* is asked once per result. What *attempt* raises leaves as it is.
    """
    from tenacity import AsyncRetrying, stop_never  # here: a program that imports the library pays 10 ms less

    rest = 0.0

    def again(state: RetryCallState) -> bool:
        nonlocal rest
        if state.outcome is None or state.outcome.failed:
            return False
        wish = pause(state.outcome.result())
        rest = wish or 0.0
        return wish is not None

    async def once() -> T:
        return await attempt()

    async def sleep(seconds: float) -> None:
        await clock.sleep_until(clock.now() + seconds)

    attempts = AsyncRetrying(retry=again, wait=lambda _: rest, stop=stop_never, sleep=sleep)
    return await attempts(once)
