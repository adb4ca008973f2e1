"""ServerDouble: what the doubles of real systems share: a clock and jti memory of their own, a script for each path."""

from __future__ import annotations

import json
import ssl
from abc import abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from email.utils import formatdate
from typing import Any, ClassVar, Final

from attrs import evolve
from tests.doubles.visits import Visit, visit

from tokenflight.model.clock import Clock
from tokenflight.testing import Act, Answer, Issue, Refuse, Reply, Request, Reset
from tokenflight.testing.acts import USUAL, Script
from tokenflight.testing.double import ScriptedDouble
from tokenflight.testing.patience import Patience, seconds_to_wait

_JTI_MEMORY: Final = 3600.0


class ServerDouble(ScriptedDouble[Visit]):
    """A double that serves several paths, tells its own time in `Date`, and remembers every assertion that came.

    Args:
        url: origin where it lives in memory.
        clock: what lifetimes, delays and the ledger go by; this machine's where None is given.
        now_offset: seconds by which the server's clock is ahead of *clock*, negative where it is behind. It may be
            changed at any time. A jump of the clock's wall time is none of the server's business.
    """

    url_in_memory: ClassVar[str]

    def __init__(self, *, url: str | None = None, clock: Clock | None = None, now_offset: float = 0.0) -> None:
        super().__init__(url or self.url_in_memory, clock, key=lambda entry: entry.flight)
        self.now_offset = now_offset
        self._epoch = self.clock.wall() - self.clock.now()
        self._queues: dict[str, deque[Script]] = {}
        self._habits: dict[str, Script] = {}
        self._jtis: dict[tuple[str, str], float] = {}
        self._patience = Patience(self.clock)

    def now(self) -> float:
        """Return Unix time by the server's clock."""
        return self._epoch + self.clock.now() + self.now_offset

    def script(self, *acts: Script, at: str | None = None) -> None:
        """Queue *acts* for the next requests, or for the next at that path."""
        if at is None:
            super().script(*acts)
        else:
            self._queues.setdefault(at, deque()).extend(acts)

    def always(self, act: Script = USUAL, *, at: str | None = None) -> None:
        """Perform *act* for every request that no queue says anything of, or for every such request at that path."""
        if at is None:
            super().always(act)
        else:
            self._habits[at] = act

    def visits(self, path: str) -> list[Visit]:
        """Return the requests that came to a path."""
        return [seen for seen in self.ledger if seen.path == path]

    @asynccontextmanager
    async def serve(self, *, ssl_context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
        """Serve on a loopback port of its own and yield the origin; with *ssl_context*, over TLS."""
        async with super().serve(ssl_context=ssl_context) as url:
            yield url.rstrip("/")

    async def browse(self, url: str) -> str:
        """Open *url* as a person's browser does, whose log is nobody's business, and return where it is sent."""
        reply = await self.handle(Request(method="GET", url=url))
        location = reply.header("location")
        assert location is not None, f"the browser stays at a page that says {reply.status}: {reply.body!r}"
        return location

    async def handle(self, request: Request) -> Reply:
        """Answer one request, with the server's time in it."""
        reply = await super().handle(request)
        if reply.header("date") is not None:
            return reply
        return evolve(reply, headers=(*reply.headers, ("date", formatdate(self.now(), usegmt=True))))

    def _entry(self, request: Request) -> Visit:
        seen = visit(request, number=len(self.ledger) + 1, now=self.clock.now())
        if "grant_type" in seen.form:
            self._patience.came(self.ledger, seen, seen.client)
        return seen

    def _next(self, entry: Visit) -> Act:
        act = self._chosen(entry)
        if not isinstance(act, Refuse | Reset):
            now = self.clock.now()
            entry.replayed = frozenset(name for name, jti in entry.jtis.items() if now < self._jtis.get(jti, now))
            self._jtis.update(dict.fromkeys(entry.jtis.values(), now + _JTI_MEMORY))
        return act

    def _chosen(self, entry: Visit) -> Act:
        queue, habit = self._queues.get(entry.path), self._habits.get(entry.path)
        if self._outage is not None or not (queue or habit):
            return super()._next(entry)
        chosen = queue.popleft() if queue else habit
        return chosen if isinstance(chosen, Act) else (chosen(entry) if chosen else None) or USUAL

    def _issue(self, entry: Visit, how: Issue) -> Reply:
        entry.how = how
        reply = self._usual(entry)
        if entry.token is None:
            return reply
        told = {**json.loads(reply.body), **how.fields}
        body = {name: value for name, value in told.items() if name not in how.without}
        headers = (*reply.headers, *how.headers)
        return evolve(reply, status=how.status, headers=headers, body=json.dumps(body).encode())

    def _answered(self, entry: Visit, reply: Reply) -> None:
        super()._answered(entry, reply)
        if reply.fault is not None or reply.status < 400:
            return
        entry.error = _error_code(reply.body)
        wait = seconds_to_wait(reply.header("retry-after"), self.now())
        if wait is not None and "grant_type" in entry.form and (reply.status == 429 or reply.status >= 500):
            self._patience.told(entry.origin, entry.client, wait)

    def _lifetime(self, entry: Visit, usual: Iterator[float] | float) -> Any:
        """Return the lifetime of the token that this request gets: the scripted one, else the usual."""
        if entry.how.expires_in is not ...:
            return entry.how.expires_in
        return usual if isinstance(usual, int | float) else next(usual)

    def _usual(self, entry: Visit) -> Reply:
        for method, path, respond in self._routes():
            if path == entry.path or (path.endswith("/") and entry.path.startswith(path)):
                return respond(entry) if method == entry.method else _NOT_SO.reply()
        return _NOT_HERE.reply()

    @abstractmethod
    def _routes(self) -> tuple[Route, ...]:
        """Return method, path and what answers there; a path that ends in a slash is the beginning of one."""


Route = tuple[str, str, Callable[[Visit], Reply]]

_NOT_HERE: Final = Answer(404, "there is nothing at this path")
_NOT_SO: Final = Answer(405, "this path has another method")


def _error_code(body: bytes) -> str | None:
    try:
        fields = json.loads(body)
        code = fields.get("error") or fields.get("code") or fields.get("errorCode")
    except (ValueError, AttributeError):
        return None
    return code if isinstance(code, str) else None
