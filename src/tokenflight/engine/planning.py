"""Planning: what is to be done later, and for which key an endpoint that is down is tried next."""

from __future__ import annotations

import math
from typing import Final

from attrs import evolve

from tokenflight.engine.entries import Entry
from tokenflight.engine.health import Brake, Health, Lane
from tokenflight.engine.state import State

SPREAD: Final = 5.0
LONGEST_SPREAD: Final = 30.0
PINNED_FOR: Final = 60.0


class Planning:
    """Puts keys, clients and endpoints on the schedule."""

    def __init__(self, state: State) -> None:
        self._state = state

    def keep_warm(self, entry: Entry) -> None:
        """See that a pinned key gets a token and keeps one; its pin is counted by who sets it."""
        now = self._state.clock.now()
        if entry.key not in self._state.flights and entry.plan is None:
            due_at = entry.life.due_at if entry.life is not None and entry.left(now) > 0 else now
            self._state.schedule.plan(entry, max(now, due_at))

    def let_go(self, entry: Entry, now: float, *, grace: float = 0.0) -> None:
        """Close a fleeting key once its token is over, or its hold-back where it has none; plan that for then.

        A token without an end goes when nobody used it for as long as others live: keys of this kind come for ever. One
        that is pinned is looked at again later. Nothing is closed within *grace* seconds.
        """
        until = max(entry.not_before, now + grace)
        if entry.life is not None:
            end = entry.life.expires_at
            idle = max(entry.life.sent_at, entry.last_use()) + entry.life.length
            until = max(until, end if end < math.inf else idle)
        if until <= now and not entry.pins:
            self._state.close(entry)
        else:
            self._state.schedule.plan(entry, until if until > now else now + PINNED_FOR)

    def overtake(self, entry: Entry, now: float, width: float) -> None:
        """Make a key due that rests on one that moved on; if it is renewed ahead, then within *width* seconds."""
        if entry.life is None or entry.left(now) <= 0:
            return
        self._state.dependants.overtake(entry.key)
        entry.life = evolve(entry.life, due_at=min(entry.life.due_at, now))
        if entry.key in self._state.flights:
            return
        if entry.in_demand and entry.plan is not None:
            entry.settle()
            self.spread(entry, now, min(width, entry.left(now) / 4))
        else:
            entry.unsettle()
            self._state.schedule.drop(entry)

    def postpone(self, entry: Entry, brake: Brake, now: float) -> None:
        """Plan the next try of a key in demand for the end of its brake; an endpoint that is down calls it back."""
        entry.settle()
        if brake.reason == "probing" and entry.lane is not None:
            entry.lane.health.parked[entry.key] = None
            self.want(entry)
            return
        spread = SPREAD if brake.reason in ("retry_after", "client") else 0.0
        self._state.schedule.plan(entry, max(now, brake.until) + self._state.clock.uniform(0.0, spread))

    def want(self, entry: Entry) -> None:
        """Make a key the one that its endpoint is probed with next, if that is down."""
        if entry.lane is not None and entry.lane.health.state == "probing":
            entry.lane.health.wanted = entry.key
            self.probe(entry.lane.health)

    def probe(self, health: Health) -> None:
        """Plan the next probe of an endpoint that is down, while somebody wants it."""
        wanted = health.parked or health.wanted is not None
        if health.state == "probing" and wanted and health.probe is None:
            self._state.schedule.plan(health, health.next_probe_at)

    def hold(self, lane: Lane) -> None:
        """Let nobody of a client go before its Retry-After is over."""
        lane.health.places.block(lane.client)
        self._state.schedule.plan(lane, lane.retry_after_at)

    def call_back(self, health: Health, now: float) -> None:
        """Plan what waited for an endpoint that is back, spread out."""
        self._state.schedule.drop(health)
        parked, health.parked, health.wanted = health.parked, {}, None
        for key in parked:
            entry = self._state.entries.find(key)
            if entry is not None:
                self.spread(entry, now, min(LONGEST_SPREAD, max(0.0, entry.left(now)) / 4))

    def spread(self, entry: Entry, now: float, width: float) -> None:
        """Plan a key for a moment drawn from the next *width* seconds."""
        self._state.schedule.plan(entry, now + self._state.clock.uniform(0.0, width))
