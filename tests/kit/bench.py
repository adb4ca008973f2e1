"""A workbench for the engine: no OAuth, a clock whose draws are chosen, and a mint that the test plays."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

import anyio
from tests.kit.town import Town

from tokenflight.engine.engine import Engine
from tokenflight.engine.entries import Entry
from tokenflight.engine.flight import Flight, Minted
from tokenflight.errors import TokenFlightError
from tokenflight.model.events import Event
from tokenflight.model.failure import Failure
from tokenflight.model.key import TokenKey
from tokenflight.model.policy import RefreshPolicy, RetryPolicy
from tokenflight.model.token import Token
from tokenflight.testing import FakeTokenEndpoint, VirtualClock

E = TypeVar("E", bound=Event)
KEY = TokenKey(client="c")


def key(name: str, client: str = "c") -> TokenKey:
    """Return a key of its own for each *name*."""
    return TokenKey(client=client, audience=None, scope=frozenset({name}))


def failure(reason: str = "http_503", **fields: Any) -> Failure:
    """Return a transient failure, of the server's making."""
    return Failure(**{"reason": reason, "detail": "it failed", "counts": True} | fields)


class ChosenClock(VirtualClock):
    """A virtual clock that draws the same share of each range: 1.0 its end, 0.0 its start."""

    def __init__(self, share: float = 1.0) -> None:
        super().__init__()
        self.share = share
        self.drawn: list[tuple[float, float]] = []

    def uniform(self, low: float, high: float) -> float:
        self.drawn.append((low, high))
        return low + self.share * (high - low)


def chosen_town(share: float = 1.0, **endpoint: Any) -> Town:
    """Return a town whose clock draws the same share of each range."""
    clock = ChosenClock(share)
    return Town(clock=clock, endpoint=FakeTokenEndpoint(clock=clock, **endpoint))


Script = Minted | Failure | BaseException | Callable[[Flight], Awaitable[Minted | Failure]]


class Bench:
    """An engine whose flights take *latency* seconds and bring tokens of 100 s, or what is scripted."""

    def __init__(self, *, share: float = 1.0, latency: float = 0.1, **options: Any) -> None:
        self.clock = ChosenClock(share)
        self.latency = latency
        self.events: list[Event] = []
        self.flown: list[Flight] = []
        self.launches: list[float] = []
        self.serial = 0
        self.lifetime: float | None = 100.0
        self.endpoint = "https://auth.test/token"
        self.cleaned = 0
        self._script: deque[Script] = deque()
        options = {"retry": RetryPolicy(), "max_keys": 1000, "max_flights": 8} | options
        self.engine = Engine(clock=self.clock, hooks=[self.events.append], **options)
        self.state = self.engine.state

    def script(self, *outcomes: Script) -> None:
        """Say what the next flights bring, one each."""
        self._script.extend(outcomes)

    def minted(self, value: str | None = None, **fields: Any) -> Minted:
        """Return a token asked for now."""
        self.serial += 1
        fields = {"sent_at": self.clock.now(), "lifetime": self.lifetime, "refresh": RefreshPolicy()} | fields
        asked_at = datetime.fromtimestamp(self.clock.wall() - self.clock.now() + fields["sent_at"], UTC)
        token = Token(value or f"t{self.serial}", expires_in=fields["lifetime"], issued_at=asked_at)
        return Minted(token=token, **{"attempts": 1, "fingerprint": b"good"} | fields)

    async def mint(self, flight: Flight) -> Minted | Failure:
        self.flown.append(flight)
        self.launches.append(self.clock.now())
        lane = self.state.board(flight, self.endpoint, "https://auth.test")
        lane.begin(flight.key)
        outcome = self._script.popleft() if self._script else None
        if callable(outcome):
            return await outcome(flight)
        await self.clock.sleep_until(self.clock.now() + self.latency)
        if isinstance(outcome, BaseException):
            raise outcome
        if isinstance(outcome, Failure):
            self.engine.answers.hear(lane, flight.key, outcome)
            return outcome
        self.engine.answers.hear(lane, flight.key, None)
        return outcome or self.minted(sent_at=self.clock.now() - self.latency)

    async def cleanup(self) -> None:
        self.cleaned += 1

    @asynccontextmanager
    async def entered(self, *, grace: float = 1.0) -> AsyncIterator[Bench]:
        await self.engine.start(self.mint, cleanup=self.cleanup, grace=grace)
        try:
            yield self
            await self.clock.settle()
        finally:
            await self.engine.stop(grace)

    def entry(self, which: TokenKey = KEY) -> Entry:
        return self.state.entry(which)

    async def ask(self, which: TokenKey = KEY, *, min_ttl: float = 0.0) -> Token:
        """Ask as a caller does, and let the time pass that it takes."""
        return await self.clock.run(self.engine.asking.token, self.entry(which), min_ttl)

    async def fails(self, which: TokenKey = KEY, *, min_ttl: float = 0.0) -> TokenFlightError:
        """Ask, and return the error."""
        try:
            token = await self.ask(which, min_ttl=min_ttl)
        except TokenFlightError as error:
            return error
        raise AssertionError(f"it got {token!r}")

    async def renew(self, rejected: Token | None = None, origin: str | None = None, which: TokenKey = KEY) -> Token:
        """Renew as a door does, and let the time pass that it takes."""
        return await self.clock.run(self.engine.asking.renew, self.entry(which), rejected, origin)

    @asynccontextmanager
    async def asking(self, *callers: Any, min_ttl: float = 0.0) -> AsyncIterator[list[Any]]:
        """Let callers wait for the keys named, or call what is named, while the block goes on; yield what they got."""
        got: list[Any] = []

        async def one(what: Any) -> None:
            try:
                asked = self.engine.asking.token(self.entry(what), min_ttl) if isinstance(what, TokenKey) else what()
                got.append(await asked)
            except Exception as error:
                got.append(error)

        async with anyio.create_task_group() as tasks:
            for caller in callers:
                tasks.start_soon(one, caller)
            await self.clock.settle()
            yield got
            tasks.cancel_scope.cancel()

    def told(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def triggers(self) -> list[str]:
        return [flight.trigger for flight in self.flown]
