"""A harbour: a token endpoint on loopback, providers that ask it over real sockets, and APIs that take its tokens."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import anyio
import httpx
from attrs import define, field, frozen
from tests.kit.canary import canary
from tests.kit.town import SUBJECTS

from tokenflight import ClientSecretPost, OAuthClient, RetryPolicy, TokenFlightError, TokenProvider
from tokenflight.model.events import Event
from tokenflight.testing import ApiEntry, FakeTokenEndpoint, ProtectedApp

E = TypeVar("E", bound=Event)
T = TypeVar("T")

_TLS = ssl.create_default_context()
AT_ONCE = RetryPolicy(base=0.01, cap=0.02)
"""The attempts of a flight follow each other at once, so that a failing one does not take a second."""


@frozen
class Api:
    """An API that is served: what it saw, and where it is."""

    app: ProtectedApp
    url: str

    @property
    def statuses(self) -> list[int | None]:
        return [entry.status for entry in self.app.ledger]

    def sent(self) -> list[ApiEntry]:
        return list(self.app.ledger)


@define(eq=False)
class Harbour:
    """A served token endpoint, and the events that the providers before it told."""

    endpoint: FakeTokenEndpoint
    url: str
    secret: str = field(factory=lambda: canary("secret"), repr=False)
    events: list[Event] = field(factory=list, repr=False)

    @property
    def requests(self) -> int:
        return len(self.endpoint.ledger)

    def client(self, client_id: str = "service", *, url: str | None = None, **fields: Any) -> OAuthClient:
        """Return a client that may ask for any subject."""
        fields = {"authentication": ClientSecretPost(self.secret), "dialect": SUBJECTS} | fields
        return OAuthClient(client_id=client_id, token_endpoint=url or self.url, **fields)

    @asynccontextmanager
    async def provider(self, clients: Any = None, **options: Any) -> AsyncIterator[TokenProvider]:
        """Enter a provider with its own http client, which tells its events here."""
        async with TokenProvider(clients or self.client(), **{"hooks": [self.events.append]} | options) as tokens:
            yield tokens

    @asynccontextmanager
    async def api(self, **options: Any) -> AsyncIterator[Api]:
        """Serve an API that takes the endpoint's tokens."""
        app = ProtectedApp(self.endpoint, **options)
        async with app.serve() as url:
            yield Api(app, url)

    async def told(self, kind: type[E]) -> list[E]:
        """Return the events of one kind so far, in order."""
        seen = -1
        while seen < (seen := len(self.events)):  # noqa: ASYNC110 - they are told by a task of the provider's
            await anyio.sleep(0.01)
        return [event for event in self.events if isinstance(event, kind)]


@asynccontextmanager
async def harbour(**options: Any) -> AsyncIterator[Harbour]:
    """Serve a token endpoint while the block runs."""
    endpoint = FakeTokenEndpoint(**options)
    async with endpoint.serve() as url:
        yield Harbour(endpoint, url)


@asynccontextmanager
async def calling(auth: Any, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Open an httpx client that signs its requests and has as many connections as it wants."""
    options = {
        "limits": httpx.Limits(max_connections=None),
        "timeout": 30,
        "trust_env": False,
        "verify": _TLS,
    } | options
    async with httpx.AsyncClient(auth=auth, **options) as http:
        yield http


@asynccontextmanager
async def fleet(*auths: Any) -> AsyncIterator[list[httpx.AsyncClient]]:
    """Open one httpx client for each auth: a pool takes quadratic time in the connections that it has."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(calling(auth)) for auth in auths]


async def at_once(*calls: Callable[[], Awaitable[T]]) -> list[T | TokenFlightError]:
    """Make all calls at the same time; return what each gave or raised, in order."""
    results: dict[int, T | TokenFlightError] = {}

    async def one(number: int, call: Callable[[], Awaitable[T]]) -> None:
        try:
            results[number] = await call()
        except TokenFlightError as error:
            results[number] = error

    async with anyio.create_task_group() as group:
        for number, call in enumerate(calls):
            group.start_soon(one, number, call)
    return [results[number] for number in range(len(calls))]


async def soon(condition: Callable[[], bool], *, within: float = 10.0) -> None:
    """Return when *condition* holds; TimeoutError where it does not come to hold."""
    with anyio.fail_after(within):
        while not condition():  # noqa: ASYNC110 - what is waited for happens across a socket
            await anyio.sleep(0.002)


def sockets() -> int:
    """Return how many sockets this process has open; 0 where the system does not tell."""
    place = Path("/proc/self/fd")
    return sum(_target(link).startswith("socket:") for link in place.iterdir()) if place.exists() else 0


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:  # the descriptor of this very listing
        return ""
