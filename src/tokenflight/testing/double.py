"""ScriptedDouble: what all doubles of servers share: a script, a ledger, and three ways to reach them."""

from __future__ import annotations

import ssl
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Generic, TypeVar

import httpx
from attrs import evolve, frozen

from tokenflight.model.clock import Clock
from tokenflight.testing.acts import USUAL, Act, Hang, Issue, Refuse, Script
from tokenflight.testing.asgi import ASGIApp, asgi_app
from tokenflight.testing.exchange import AskerGoneError, Reply, Request
from tokenflight.testing.ledger import Entry, Ledger
from tokenflight.testing.server import LoopbackServer
from tokenflight.testing.transport import HandlerTransport
from tokenflight.transport.clock import SystemClock

E = TypeVar("E", bound=Entry)


class ScriptedDouble(ABC, Generic[E]):
    """A double of a server, told by acts what to do and writing down what it saw.

    Attributes:
        url: where it lives while it is reached in memory.
        clock: what its delays and moments go by.
        ledger: what it saw.
    """

    def __init__(self, url: str, clock: Clock | None, key: Callable[[E], object] | None = None) -> None:
        self.url = url
        self.clock: Clock = SystemClock() if clock is None else clock
        self.ledger: Ledger[E] = Ledger(url, self.clock.now, key=key)
        self._queue: deque[Script] = deque()
        self._standing: Script = USUAL
        self._outage: Act | None = None
        self._servers: set[LoopbackServer] = set()

    def __repr__(self) -> str:
        state = type(self._outage).__name__.lower() if self._outage else "up"
        return f"{type(self).__name__}({self.url}, {state}, {len(self._queue)} scripted, {self.ledger!r})"

    def script(self, *acts: Script) -> None:
        """Queue *acts* for the next requests, one each; after them comes what `always` said, else business as usual."""
        self._queue.extend(acts)

    def always(self, act: Script = USUAL) -> None:
        """Perform *act* for every request that the queue says nothing of; without an argument, business as usual."""
        self._standing = act

    def down(self) -> None:
        """Refuse all connections from now on; those that a loopback server has open are reset."""
        self._outage = Refuse()
        for server in self._servers:
            server.down()

    def hang(self) -> None:
        """Take requests from now on and answer none."""
        self._outage = Hang()

    def up(self) -> None:
        """End `down` or `hang`. Who is hanging already hangs on."""
        self._outage = None
        for server in self._servers:
            server.up()

    @property
    def asgi(self) -> ASGIApp:
        """Return an ASGI app. A fault, a cut and raw bytes have no ASGI form: they raise RuntimeError out of it."""
        return asgi_app(self.handle)

    def transport(self) -> httpx.AsyncBaseTransport:
        """Return a transport for an `httpx.AsyncClient`: in memory, for any URL, faults as httpx's own exceptions."""
        return HandlerTransport(self.handle, self.clock)

    @asynccontextmanager
    async def serve(self, *, ssl_context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
        """Serve on a loopback port of its own and yield the URL; with *ssl_context*, over TLS."""
        path = httpx.URL(self.url).path
        server = LoopbackServer(self.handle, ssl_context=ssl_context)
        async with server.running():
            self._servers.add(server)
            try:
                yield server.url + path
            finally:
                self._servers.discard(server)

    async def handle(self, request: Request) -> Reply:
        """Answer one request: what all three ways lead to."""
        entry = self._entry(request)
        self.ledger.opened(entry)
        try:
            reply = await self._next(entry).perform(_Call(self, entry))
            self._answered(entry, reply)
        except BaseException:
            self.ledger.closed(entry)
            raise
        return evolve(reply, ended=partial(self.ledger.closed, entry))

    @abstractmethod
    def _entry(self, request: Request) -> E:
        """Make the ledger's entry of a request."""

    @abstractmethod
    def _usual(self, entry: E) -> Reply:
        """Do the ordinary business."""

    def _issue(self, entry: E, how: Issue) -> Reply:
        raise TypeError(f"{type(self).__name__} issues no tokens: script Issue() on a FakeTokenEndpoint")

    def _answered(self, entry: E, reply: Reply) -> None:
        self.ledger.answered(entry, reply)

    def _next(self, entry: E) -> Act:
        if self._outage is not None:
            return self._outage
        chosen = self._queue.popleft() if self._queue else self._standing
        return _resolved(chosen, entry)


def _resolved(chosen: Script, entry: Entry) -> Act:
    if isinstance(chosen, Act):
        return chosen
    return chosen(entry) or USUAL


@frozen
class _Call(Generic[E]):
    """An act's view of its double."""

    double: ScriptedDouble[E]
    entry: E

    @property
    def request(self) -> Request:
        return self.entry.request

    async def pause(self, seconds: float) -> None:
        clock = self.double.clock
        with clock.timeout_at(clock.now() + seconds):
            await self.request.gone()
            raise AskerGoneError

    async def vanish(self) -> None:
        await self.request.gone()
        raise AskerGoneError

    def usual(self) -> Reply:
        return self.double._usual(self.entry)

    def issue(self, how: Issue) -> Reply:
        return self.double._issue(self.entry, how)
