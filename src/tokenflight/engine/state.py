"""State: what an engine knows. All else in this package reads and changes it, one idea a module.

    asking ─┐
            ├─► launching ─► (mint) ─► landing ─► planning ─► state
    renewing┘                  └► answers ────────┘

Everything that changes it runs in the provider's loop without an await in between, so no lock is needed.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Final, TypeAlias

from tokenflight.engine.dependants import Dependants
from tokenflight.engine.entries import Entries, Entry
from tokenflight.engine.flight import Flight
from tokenflight.engine.health import Brake, Health, Lane
from tokenflight.engine.hooks import EventQueue
from tokenflight.engine.lanes import Lanes
from tokenflight.engine.root_task import RootTask
from tokenflight.engine.scheduler import Scheduler
from tokenflight.model.clock import Clock
from tokenflight.model.events import TokenEvicted
from tokenflight.model.failure import CLOSED
from tokenflight.model.key import TokenKey
from tokenflight.model.policy import RetryPolicy

logger = logging.getLogger(__name__)

Planned: TypeAlias = Entry | Lane | Health
"""What the schedule holds: a key to renew, a client that may go again, an endpoint to probe."""

WARN_EVERY: Final = 60.0
TRIES_TO_EVICT: Final = 4


class State:
    """Who is kept, who is in the air, what is planned, and what each endpoint allows; it outlives leaving."""

    def __init__(self, *, clock: Clock, retry: RetryPolicy, max_keys: int, max_flights: int, hooks: EventQueue) -> None:
        self.clock = clock
        self.retry = retry
        self.hooks = hooks
        self.entries = Entries(max_keys, clock.uniform)
        self.flights: dict[TokenKey, Flight] = {}
        self.dependants = Dependants()
        self.lanes = Lanes(max_flights=max_flights, retry=retry)
        self.schedule: Scheduler[Planned] = Scheduler(clock)
        self.root: RootTask | None = None
        self._warned_at = -WARN_EVERY

    @property
    def open(self) -> bool:
        """Tell whether something can be started here and now."""
        return self.root is not None and self.root.open

    @property
    def entered(self) -> bool:
        """Tell whether it runs, here or in another loop."""
        return self.root is not None and self.root.alive

    def __repr__(self) -> str:
        how = "open" if self.open else "closed"
        return f"{how}, held={len(self.entries)}, airborne={len(self.flights)}, planned={len(self.schedule)}"

    def undisturbed(self) -> AbstractContextManager[None]:
        """Return a context whose block is let finish where the provider is left meanwhile, within the grace."""
        return nullcontext() if self.root is None else self.root.undisturbed()

    def spawn(self, function: Callable[..., Awaitable[None]], *args: object) -> bool:
        """Start a task that no caller owns; return whether something can be started here and now."""
        if self.root is None or not self.root.open:
            return False
        self.root.spawn(function, *args)
        return True

    def entry(self, key: TokenKey) -> Entry:
        """Find or make the entry of *key*; who makes room for a new one is closed."""
        entry = self.entries.find(key)
        if entry is None:
            entry = self.entries.add(key)
            if self.entries.too_many():
                self.make_room(spare=entry)
        return entry

    def brake(self, entry: Entry, now: float, *, bare: bool) -> Brake | None:
        """Say what keeps a key from being asked for, the one that ends last.

        To who is *bare* (has no usable token, or rejects it) neither Pace nor the backoff of a live token counts; to a
        key that rests on one that moved on, no Pace.
        """
        brakes: list[Brake] = []
        lifted = (entry.brake == "backoff" and bare) or (entry.brake == "client" and not entry.client_held)
        if now < entry.not_before and entry.last is not None and not lifted:
            brakes.append(Brake(entry.not_before, entry.brake, entry.last))
        paced = not bare and entry.life is not None and not self.dependants.overtaken(entry.key)
        if paced and entry.life is not None and now < entry.life.paced_until:
            brakes.append(Brake(entry.life.paced_until, "pace", CLOSED))
        if entry.lane is not None and (lane := entry.lane.brake(entry.key, now)) is not None:
            brakes.append(lane)
        return max(brakes, key=lambda brake: brake.until, default=None)

    def board(self, flight: Flight, endpoint: str, label: str) -> Lane:
        """Put a flight on the lane of its client, now that its endpoint is known."""
        flight.boarded = True
        lane = self.lanes.lane(flight.key.client, endpoint, label, self.clock.now())
        entry = self.entries.find(flight.key)
        if entry is not None and entry.lane is not lane and not flight.forgotten:
            if entry.lane is not None:
                entry.lane.end(entry.key)
            entry.lane = lane
        return lane

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
        self.close(entry)
        self.hooks.emit(TokenEvicted(key=entry.key, reason=reason, live=live))

    def close(self, entry: Entry) -> None:
        """Let go of a key: of its token, its plan, and what it rests on."""
        self.schedule.drop(entry)
        self.dependants.drop(entry.key)
        self.entries.close(entry)

    def abandon(self, flight: Flight) -> None:
        """Expect nothing of a flight any more: it answers who joined it and leaves nothing behind."""
        flight.forgotten = True
        self.flights.pop(flight.key, None)
        if (entry := self.entries.find(flight.key)) is not None:
            entry.unsettle()
            if entry.lane is not None:
                entry.lane.end(entry.key)

    def begin_anew(self) -> None:
        """Drop what a root task left that died without a word: its loop was closed, or it was a parent process's."""
        for flight in list(self.flights.values()):
            self.abandon(flight)
        self.schedule.reset()
        self.lanes.reset()
