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

from tokenflight import BoundSource, OAuthClient, Subject, SubjectToken, TokenAuth, TokenFlightError, TokenProvider
from tokenflight.demo.api import CALL, FILES, ME, Api, audience_of
from tokenflight.demo.authority import Authority
from tokenflight.demo.books import Asked, Books, asked_for
from tokenflight.demo.box_desk import PERSON
from tokenflight.demo.clients import ENTERPRISE, LIFETIMES, SECRETIVE, SIGNING, TENANTS, Clients
from tokenflight.demo.faults import Faults
from tokenflight.demo.hosting import Site, hosted
from tokenflight.demo.patience import LONGEST, until
from tokenflight.demo.signatures import KeyPair
from tokenflight.demo.tally import Tally
from tokenflight.demo.turnstile import Turnstile
from tokenflight.dialects import auth0, box

CLIENTS: Final = 25
CONNECTIONS: Final = 4
"""By client. httpx looks at each connection for each request that waits for one: few of either keep it quick."""


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
    """What acts use. Books, turnstiles and faults are the servers'; everything else is a user's program.

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
    faults: Faults
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

    def backup(self, subject: Subject) -> Caller:
        """Return a caller whose tokens are bought with a signature for whom it acts for."""
        return self._caller(self.tokens.source("backup", subject=subject), ME)

    def file(self, number: str) -> Caller:
        """Return a caller of one file, with a token of the enterprise that is narrowed to it."""
        parent = SubjectToken(self.backup(box.enterprise(ENTERPRISE)).source)
        audience, scope = box.file(number), "item_preview"
        source = self.tokens.source("backup by file", subject=parent, audience=audience, scope=scope)
        return self._caller(source, f"{FILES}/{number}")

    def desk(self, name: str, person: str) -> Caller:
        """Return a caller in the name of somebody who has logged in."""
        return self._caller(self.tokens.source(name, subject=person), ME)

    def invoices(self, organization: str) -> Caller:
        """Return a caller on behalf of an organization, whose client has a key and no secret."""
        subject, audience = auth0.organization(organization), audience_of("invoices")
        return self._caller(self.tokens.source("billing", subject=subject, audience=audience), "/invoices")

    async def log_in(self, name: str, person: str) -> None:
        """Let somebody log in, as their browser would, and keep the session."""
        request = await self.tokens.sessions.begin(client=name)
        page = await self.web[0].get(request.url, headers={PERSON: person})
        try:
            await self.tokens.sessions.redeem(request, page.headers.get("location", ""), subject=person)
        except TokenFlightError as error:
            self.troubles.append(f"nobody is logged in: {error}")

    async def call(self, caller: Caller) -> bool:
        """Let a caller call once; return whether it was served."""
        return await self.numbered_call(caller, self.number())

    def number(self) -> int:
        """Return a call's number; consecutive ones go through different httpx clients."""
        return next(self._numbers)

    async def numbered_call(self, caller: Caller, number: int) -> bool:
        """Let a caller call once under a given number; return whether it was served."""
        self.calls += 1
        status = await self._send(caller, caller.url, number)
        if status == 200:
            self.served += 1
        elif status is not None:
            self.troubles.append(f"the API answered {status}")
        return status == 200

    async def kept_out(self, caller: Caller, other: Caller) -> bool:
        """Let a caller try what is another's; return whether that was forbidden."""
        return await self._send(caller, other.url, self.number()) == 403

    async def told(self, callers: Iterable[Caller]) -> None:
        """Return when the tally knows of all tokens that were issued: hooks are told a little later."""
        await until(
            lambda: all(
                self.tally.landed[caller.source.key] >= self.books.requests[caller.asked] for caller in callers
            ),
            patience=3.0,
        )

    async def _send(self, caller: Caller, url: str, number: int) -> int | None:
        """Send a caller's request; return the status of the answer, None where there was none."""
        web = self.web[number % len(self.web)]
        try:
            response = await web.get(url, auth=caller.auth, headers={CALL: str(number)})
        except httpx.HTTPError as error:
            self.troubles.append(f"{type(error).__name__}: {error}")
            return None
        return response.status_code

    def _caller(self, source: BoundSource, path: str) -> Caller:
        auth = TokenAuth(source, origins=self.api_site.url)
        return Caller(source=source, auth=auth, url=self.api_site.url + path)


@asynccontextmanager
async def put_up() -> AsyncIterator[Stage]:
    """Put the stage up for a block."""
    keys = {name: KeyPair.made() for name in SIGNING}
    books = Books(secrets={name: secrets.token_urlsafe(16) for name in SECRETIVE}, lifetimes=LIFETIMES)
    token_turnstile, api_turnstile, faults = Turnstile(), Turnstile(), Faults()
    authority = Authority(books, token_turnstile, faults=faults, keys=keys)
    async with AsyncExitStack() as stack:
        sites = hosted(authority.app(), Api(books, api_turnstile).app())
        token_site, api_site = await stack.enter_async_context(sites)
        tally, lookups, clients = Tally(), dict.fromkeys(TENANTS, 0), Clients(books, keys, token_site.url)

        async def tenant(name: str) -> OAuthClient | None:
            lookups[name] += 1
            await anyio.sleep(0.005)  # as a database would
            return clients.orders(name) if name in books.secrets else None

        tokens = await stack.enter_async_context(TokenProvider(clients.all(), hooks=[tally]))
        tenants = await stack.enter_async_context(TokenProvider(tenant, hooks=[tally]))
        web = tuple([await stack.enter_async_context(client) for client in _clients()])
        yield Stage(
            books=books,
            token_site=token_site,
            api_site=api_site,
            token_turnstile=token_turnstile,
            api_turnstile=api_turnstile,
            faults=faults,
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
