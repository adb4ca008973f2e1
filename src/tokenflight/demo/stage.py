"""The stage: two servers, a provider that knows both dialects, and an httpx client. What the acts play on."""

from __future__ import annotations

import secrets
import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from typing import Final

import anyio
import httpx
from attrs import define, field, frozen

from tokenflight import BoundSource, OAuthClient, Subject, TokenAuth, TokenProvider
from tokenflight.demo.api import CALL, ME, Api, audience_of
from tokenflight.demo.authority import AUTH0, BOX, Authority
from tokenflight.demo.books import Asked, Books, asked_for
from tokenflight.demo.hosting import Site, hosted
from tokenflight.demo.patience import LONGEST, until
from tokenflight.demo.tally import Tally
from tokenflight.demo.turnstile import Turnstile
from tokenflight.dialects import auth0, box

CLIENTS: Final = 25
CONNECTIONS: Final = 4
"""By client. httpx looks at each connection for each request that waits for one: few of either keep it quick."""
TENANTS: Final = tuple(f"tenant-{number:03}" for number in range(300))


@frozen(kw_only=True)
class Caller:
    """Somebody who calls one resource of the API with the token of one key."""

    source: BoundSource
    auth: TokenAuth
    url: str

    @property
    def asked(self) -> Asked:
        """Return the key in the servers' words."""
        return asked_for(self.source.key)


@define(eq=False, kw_only=True)
class Stage:
    """What acts use. The books and turnstiles are the servers'; everything else is a user's program.

    Attributes:
        showing: the provider whose keys are looked at now.
        lookups: how often the resolver was asked, by tenant.
        troubles: what went wrong with calls that were not served.
    """

    books: Books
    token_site: Site
    api_site: Site
    token_turnstile: Turnstile
    api_turnstile: Turnstile
    web: tuple[httpx.AsyncClient, ...]
    tokens: TokenProvider
    tenants: TokenProvider
    tally: Tally
    lookups: dict[str, int]
    showing: TokenProvider
    calls: int = 0
    served: int = 0
    troubles: list[str] = field(factory=list)
    _numbers: count[int] = field(factory=count)

    def orders(self, resource: str, *, organization: str | None = None) -> Caller:
        """Return a caller of a resource behind Auth0's tokens."""
        subject = None if organization is None else auth0.organization(organization)
        source = self.tokens.source("orders", subject=subject, audience=audience_of(resource))
        return self._caller(source, f"/{resource}")

    def files(self, subject: Subject) -> Caller:
        """Return a caller of the resource behind Box's tokens."""
        return self._caller(self.tokens.source("files", subject=subject), ME)

    def tenant(self, name: str) -> Caller:
        """Return a caller on behalf of a tenant."""
        return self._caller(self.tenants.source(name, audience=audience_of("orders")), "/orders")

    async def call(self, caller: Caller) -> bool:
        """Let a caller call once; return whether it was served."""
        return await self.numbered_call(caller, self.number())

    def number(self) -> int:
        """Return a call's number; consecutive ones go through different httpx clients."""
        return next(self._numbers)

    async def numbered_call(self, caller: Caller, number: int) -> bool:
        """Let a caller call once under a given number; return whether it was served."""
        self.calls += 1
        web = self.web[number % len(self.web)]
        try:
            response = await web.get(caller.url, auth=caller.auth, headers={CALL: str(number)})
        except httpx.HTTPError as error:
            self.troubles.append(f"{type(error).__name__}: {error}")
            return False
        if response.status_code == 200:
            self.served += 1
            return True
        self.troubles.append(f"the API answered {response.status_code}")
        return False

    async def told(self, callers: Iterable[Caller]) -> None:
        """Return when the tally knows of all tokens that were issued: hooks are told a little later."""
        await until(
            lambda: all(
                self.tally.landed[caller.source.key] >= self.books.requests[caller.asked] for caller in callers
            ),
            patience=3.0,
        )

    def _caller(self, source: BoundSource, path: str) -> Caller:
        auth = TokenAuth(source, origins=self.api_site.url)
        return Caller(source=source, auth=auth, url=self.api_site.url + path)


@asynccontextmanager
async def put_up() -> AsyncIterator[Stage]:
    """Put the stage up for a block."""
    books = Books(secrets={name: secrets.token_urlsafe(16) for name in ("orders", "files", *TENANTS)})
    token_turnstile, api_turnstile = Turnstile(), Turnstile()
    apps = Authority(books, token_turnstile).app(), Api(books, api_turnstile).app()
    async with AsyncExitStack() as stack:
        token_site, api_site = await stack.enter_async_context(hosted(*apps))
        tally, lookups = Tally(), dict.fromkeys(TENANTS, 0)

        async def tenant(name: str) -> OAuthClient | None:
            lookups[name] += 1
            await anyio.sleep(0.005)  # as a database would
            return _orders(name, books, token_site) if name in books.secrets else None

        clients = {"orders": _orders("orders", books, token_site), "files": _files("files", books, token_site)}
        tokens = await stack.enter_async_context(TokenProvider(clients, hooks=[tally]))
        tenants = await stack.enter_async_context(TokenProvider(tenant, hooks=[tally]))
        web = tuple([await stack.enter_async_context(client) for client in _clients()])
        yield Stage(
            books=books,
            token_site=token_site,
            api_site=api_site,
            token_turnstile=token_turnstile,
            api_turnstile=api_turnstile,
            web=web,
            tokens=tokens,
            tenants=tenants,
            tally=tally,
            lookups=lookups,
            showing=tokens,
        )


def _clients() -> list[httpx.AsyncClient]:
    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    trust = ssl.create_default_context()  # made once: loading certificates takes its time
    return [httpx.AsyncClient(limits=limits, timeout=LONGEST, verify=trust, trust_env=False) for _ in range(CLIENTS)]


def _orders(name: str, books: Books, site: Site) -> OAuthClient:
    return auth0.client(
        domain="demo.auth0.example",
        client_id=name,
        client_secret=books.secrets[name],
        token_endpoint=f"{site.url}{AUTH0}",
    )


def _files(name: str, books: Books, site: Site) -> OAuthClient:
    return box.client(client_id=name, client_secret=books.secrets[name], token_endpoint=f"{site.url}{BOX}")
