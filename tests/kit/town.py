"""A town in virtual time: providers over a token endpoint in memory, and the callers that live on their tokens."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import anyio
import httpx
from attrs import define, field

from tokenflight import ClientSecretPost, Dialect, OAuthClient, Token, TokenFlightError, TokenKey, TokenProvider
from tokenflight.model.events import Event
from tokenflight.testing import FakeTokenEndpoint, TokenEntry, VirtualClock

E = TypeVar("E", bound=Event)


def _with_subject(key: TokenKey, fields: dict[str, str]) -> Mapping[str, str]:
    return fields if key.subject is None else fields | {"subject": key.subject.id}


SUBJECTS = Dialect(form=_with_subject)
"""Sends the subject along, so that client credentials tell subjects apart."""


def client(client_id: str = "service", secret: Any = "hush", *, host: str = "auth.test", **fields: Any) -> OAuthClient:
    """Return a client that is registered at *host* and may ask for any subject."""
    fields = {"authentication": ClientSecretPost(secret), "dialect": SUBJECTS} | fields
    return OAuthClient(client_id=client_id, token_endpoint=f"https://{host}/token", **fields)


@define
class Call:
    """One call for a token: when it began, how long it waited, and what it got."""

    at: float
    waited: float
    token: Token | None = field(repr=False)
    error: TokenFlightError | None
    source: Any = field(repr=False)


@define(eq=False)
class Town:
    """A clock, an endpoint, the events that providers told, and the calls that were not answered well at once."""

    clock: VirtualClock
    endpoint: FakeTokenEndpoint
    events: list[Event] = field(factory=list, repr=False)
    calls: int = 0
    waits: list[Call] = field(factory=list, repr=False)
    failures: list[Call] = field(factory=list, repr=False)
    dead: list[Call] = field(factory=list, repr=False)

    @asynccontextmanager
    async def provider(self, clients: Any = None, **options: Any) -> AsyncIterator[TokenProvider]:
        """Enter a provider whose token requests go to the endpoint; at the end the ledger's rules must hold."""
        transport = self.endpoint.transport()
        clients = client() if clients is None else clients
        options = {"hooks": [self.events.append], "clock": self.clock} | options
        http = httpx.AsyncClient(transport=transport, trust_env=False)
        async with http, TokenProvider(clients, http=http, **options) as tokens:
            yield tokens
            await self.clock.settle()
        self.endpoint.ledger.check()

    def told(self, kind: type[E]) -> list[E]:
        """Return the events of one kind, in order."""
        return [event for event in self.events if isinstance(event, kind)]

    def requests(self, since: float = 0.0, until: float = float("inf")) -> list[TokenEntry]:
        """Return the requests that came from *since* on and before *until*."""
        return [entry for entry in self.endpoint.ledger if since <= entry.started < until]

    async def call(self, source: Any, *, alive: bool = True) -> Call:
        """Ask for a token once; note where it waited, failed, or got what the endpoint knows to be dead."""
        began, token, error = self.clock.now(), None, None
        try:
            token = await source.token()
        except TokenFlightError as raised:
            error = raised
        call = Call(began, self.clock.now() - began, token, error, source)
        self.calls += 1
        if call.waited:
            self.waits.append(call)
        if error is not None:
            self.failures.append(call)
        elif token is not None and alive and not self.endpoint.is_live(token):
            self.dead.append(call)
        return call

    async def once(self, *sources: Any) -> list[Call]:
        """Ask for a token of each source at the same moment and let the time pass that it takes."""
        calls: list[Call] = []

        async def one(source: Any) -> None:
            calls.append(await self.call(source))

        async def all_of_them() -> None:
            async with anyio.create_task_group() as tasks:
                for source in sources:
                    tasks.start_soon(one, source)

        await self.clock.run(all_of_them)
        order = {id(source): number for number, source in enumerate(sources)}
        return sorted(calls, key=lambda call: order[id(call.source)])

    async def traffic(self, sources: Sequence[Any], *, rate: float, seconds: float, lanes: int = 1) -> None:
        """Let *seconds* pass in which *lanes* callers, *rate* calls a second in all, ask the sources in turn.

        A caller that waits makes up for it afterwards as far as the rate goes, as a queue of work does.
        """
        start, every = self.clock.now(), lanes / rate
        count = round(seconds / every)

        async def caller(lane: int) -> None:
            for number in range(count):
                await self.clock.sleep_until(start + number * every)
                await self.call(sources[(number * lanes + lane) % len(sources)])

        async def callers() -> None:
            async with anyio.create_task_group() as tasks:
                for lane in range(lanes):
                    tasks.start_soon(caller, lane)

        await self.clock.run(callers, limit=seconds + 3600)
        await self.clock.advance(max(0.0, start + seconds - self.clock.now()))

    async def everybody(self, sources: Iterable[Any], *, every: float, seconds: float) -> None:
        """Let *seconds* pass in which each source has a caller of its own that asks *every* so often."""
        start = self.clock.now()

        async def caller(source: Any) -> None:
            for number in range(round(seconds / every)):
                await self.clock.sleep_until(start + number * every)
                await self.call(source)

        async def callers() -> None:
            async with anyio.create_task_group() as tasks:
                for source in sources:
                    tasks.start_soon(caller, source)

        await self.clock.run(callers, limit=seconds + 3600)
        await self.clock.advance(max(0.0, start + seconds - self.clock.now()))


def town(*, seed: int = 0, **endpoint: Any) -> Town:
    """Return a town whose endpoint issues tokens of an hour, or what *endpoint* says."""
    clock = VirtualClock(seed)
    return Town(clock=clock, endpoint=FakeTokenEndpoint(clock=clock, **endpoint))


def records(caplog: Any, level: int) -> list[logging.LogRecord]:
    """Return the library's log records of one level."""
    return [record for record in caplog.records if record.levelno == level and record.name.startswith("tokenflight")]
