"""Engine: launches flights, lands them, and says what holds a key back. Keys, callables and clocks; nothing else.

    ask / schedule / reject ──► launch ──► mint (a callable) ──► land ──► hold, plan, wake

Everything that changes an entry runs in the provider's loop without an await in between, so no lock is needed.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import anyio

from tokenflight.engine.answers import Answers
from tokenflight.engine.asking import Asking
from tokenflight.engine.entries import Entries, Entry
from tokenflight.engine.flight import AIRBORNE, Flight, Minted
from tokenflight.engine.health import Brake, Lane
from tokenflight.engine.hooks import EventQueue, Hook
from tokenflight.engine.landing import Landing
from tokenflight.engine.lanes import Lanes
from tokenflight.engine.renewing import Renewing
from tokenflight.engine.root_task import RootTask
from tokenflight.errors import ProviderClosedError
from tokenflight.model.clock import Clock
from tokenflight.model.events import FlightLaunched, TokenEvicted, Trigger
from tokenflight.model.failure import CLOSED, Failure
from tokenflight.model.key import TokenKey
from tokenflight.model.policy import RetryPolicy
from tokenflight.model.token import Token

logger = logging.getLogger(__name__)

Mint: TypeAlias = "Callable[[Flight, Engine], Awaitable[Minted | Failure]]"
"""Brings a token for a flight; only cancellation leaves it as an exception, all else is a Failure."""

WARN_EVERY: Final = 60.0
TRIES_TO_EVICT: Final = 4


class Engine:
    """The heart of one provider; it outlives leaving, its root task does not."""

    def __init__(
        self,
        *,
        clock: Clock,
        retry: RetryPolicy,
        max_keys: int,
        max_flights: int,
        mint: Mint,
        hooks: tuple[Hook, ...] = (),
    ) -> None:
        self.clock = clock
        self.retry = retry
        self.hooks = EventQueue.of(hooks, clock=clock)
        self.entries = Entries(max_keys, clock.uniform)
        self.flights: dict[TokenKey, Flight] = {}
        self.lanes = Lanes(max_flights=max_flights, retry=retry)
        self.renewing = Renewing(self)
        self.landing = Landing(self)
        self.answers = Answers(self)
        self.asking = Asking(self)
        self._mint = mint
        self._root: RootTask | None = None
        self._warned_at = -WARN_EVERY

    def __repr__(self) -> str:
        state = "open" if self.open else "closed"
        held, airborne, planned = len(self.entries), len(self.flights), len(self.renewing.scheduler)
        return f"Engine({state}, held={held}, airborne={airborne}, planned={planned})"

    @property
    def open(self) -> bool:
        """Tell whether something can be started here and now."""
        return self._root is not None and self._root.open

    @property
    def entered(self) -> bool:
        """Tell whether it runs, here or in another loop."""
        return self._root is not None and self._root.alive

    async def start(self, cleanup: Callable[[], Awaitable[None]], grace: float) -> None:
        """Start the root task; *cleanup* runs last in it."""
        self._begin_anew()
        self._root = RootTask(self.renewing.scheduler.run, self.hooks.run, cleanup=cleanup)
        for entry in self.entries:
            if entry.pins:
                self.renewing.keep_warm(entry)
        await self._root.start(grace)

    async def stop(self, grace: float) -> None:
        """End the root task and with it every flight; what is held stays, pins end."""
        root = self._root
        if root is not None:
            if root.alive and not root.here:
                raise ProviderClosedError("the provider runs in another loop: leave it in the loop that entered it")
            await root.stop(grace)
        for flight in list(self.flights.values()):  # one that shields itself may outlast the grace; who waits must not
            self._abandon(flight)
            flight.land()
        for entry in self.entries:
            entry.pins = 0
        self.landing.end_all()

    def entry(self, key: TokenKey) -> Entry:
        """Find or make the entry of *key*; who makes room for a new one is closed."""
        entry = self.entries.find(key)
        if entry is None:
            entry = self.entries.add(key)
            if self.entries.too_many():
                self.make_room(spare=entry)
        return entry

    def launch(
        self, entry: Entry, trigger: Trigger, *, rejected: Token | None = None, origin: str | None = None
    ) -> Flight:
        """Start the one flight of a key; the caller has seen that it is open, none is up and no brake is on."""
        now = self.clock.now()
        flight = Flight(key=entry.key, trigger=trigger, launched_at=now, rejected=rejected, origin=origin)
        self.flights[entry.key] = flight
        if entry.lane is not None:
            entry.lane.begin(entry.key)
        self.renewing.scheduler.drop(entry)
        entry.settle()
        self.hooks.emit(FlightLaunched(key=entry.key, trigger=trigger))
        if self._root is not None:
            self._root.spawn(self._fly, flight)
        return flight

    def brake(self, entry: Entry, now: float, *, bare: bool) -> Brake | None:
        """Say what keeps a key from being asked for, the one that ends last.

        To who is *bare* (has no usable token, or rejects it) neither Pace nor the backoff of a live token counts.
        """
        brakes: list[Brake] = []
        if now < entry.not_before and entry.last is not None and not (bare and entry.brake == "backoff"):
            brakes.append(Brake(entry.not_before, entry.brake, entry.last))
        if not bare and entry.life is not None and now < entry.life.paced_until:
            brakes.append(Brake(entry.life.paced_until, "pace", CLOSED))
        if entry.lane is not None and (lane := entry.lane.brake(entry.key, now)) is not None:
            brakes.append(lane)
        return max(brakes, key=lambda brake: brake.until, default=None)

    def board(self, flight: Flight, endpoint: str, label: str) -> Lane:
        """Put a flight on the lane of its client, now that its endpoint is known."""
        flight.boarded = True
        lane = self.lanes.lane(flight.key.client, endpoint, label, self.clock.now())
        entry = self.entries.find(flight.key)
        if entry is not None and entry.lane is not lane:
            if entry.lane is not None:
                entry.lane.end(entry.key)
            entry.lane = lane
        return lane

    def forget(self, entry: Entry) -> None:
        """Close a key: a flight in the air answers who joined it and leaves nothing behind."""
        flight = self.flights.pop(entry.key, None)
        if flight is not None:
            flight.forgotten = True
            if entry.lane is not None:
                entry.lane.end(entry.key)
        if entry.lane is not None:
            entry.lane.lift()
        self.renewing.scheduler.drop(entry)
        self.landing.end(entry.key)
        self.entries.close(entry)

    def clear_client(self, client: str) -> list[TokenKey]:
        """Empty every key of a client; their pins and bound sources stay. Return the keys that held a token.

        A flight that is past finding its client answers who joined it and leaves nothing behind.
        """
        dropped = []
        for entry in self.entries.of_client(client):
            flight = self.flights.get(entry.key)
            if flight is not None and flight.boarded:
                flight.forgotten = True
                del self.flights[entry.key]
            if entry.token is not None:
                dropped.append(entry.key)
            if entry.lane is not None:
                entry.lane.end(entry.key)
            self.renewing.scheduler.drop(entry)
            entry.clear()
            if entry.pins and entry.key not in self.flights:
                self.renewing.keep_warm(entry)
        self.lanes.drop_client(client)
        return dropped

    async def _fly(self, flight: Flight) -> None:
        try:
            AIRBORNE.set(flight)
            flight.outcome = await self._mint(flight, self)
        except anyio.get_cancelled_exc_class():
            if self._root is not None and not self._root.closing:
                flight.outcome = _unexpected("cancelled from outside")
            raise
        except AssertionError as error:  # a test's own verdict, such as respx's: its caller sees it as it is
            flight.outcome = as_it_is(error)
        except BaseException as error:
            flight.outcome = _unexpected(type(error).__name__)
        finally:
            self.landing.land(flight)

    def make_room(self, spare: Entry) -> None:
        """Close the entry that is missed least, but not *spare*; none where all are pinned or in flight."""
        now = self.clock.now()
        for _ in range(TRIES_TO_EVICT):
            if (choice := self.entries.victim(now, self.flights, spare)) is not None:
                break
        else:
            return
        entry, reason = choice
        live = entry.left(now) > 0
        if live and now >= self._warned_at + WARN_EVERY:
            self._warned_at = now
            logger.warning(
                "live tokens make room for new keys: more than max_keys=%d keys are in use; raise max_keys",
                self.entries.max_keys,
            )
        self.renewing.scheduler.drop(entry)
        self.entries.close(entry)
        self.hooks.emit(TokenEvicted(key=entry.key, reason=reason, live=live))

    def _begin_anew(self) -> None:
        """Drop what a root task left that died without a word: its loop was closed, or it was a parent process's."""
        for flight in list(self.flights.values()):
            self._abandon(flight)
        self.renewing.scheduler.reset()
        self.lanes.reset()

    def _abandon(self, flight: Flight) -> None:
        """Expect nothing of a flight any more: its outcome stays "closed", and it leaves nothing behind."""
        flight.forgotten = True
        self.flights.pop(flight.key, None)
        if (entry := self.entries.find(flight.key)) is not None:
            entry.unsettle()


def as_it_is(error: BaseException, *, transient: bool = False) -> Failure:
    """Carry an exception to every waiter as a copy of itself, without its frames and causes."""
    error = copy.copy(error)
    error.__traceback__ = error.__cause__ = error.__context__ = None
    return Failure(reason=type(error).__name__, detail="", transient=transient, prototype=error)


def _unexpected(what: str) -> Failure:
    return Failure(reason="unexpected", detail=f"the request for a token ended unexpectedly ({what})")
