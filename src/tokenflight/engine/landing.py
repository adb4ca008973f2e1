"""Landing: what a flight's outcome means for its key, its client's lane, the schedule, and those who watch."""

from __future__ import annotations

import math
from typing import Final, Protocol

from tokenflight.engine.entries import Entry
from tokenflight.engine.flight import Flight, Minted
from tokenflight.engine.health import Brake
from tokenflight.engine.planning import LONGEST_SPREAD, SPREAD, Planning
from tokenflight.engine.rejections import Rejections
from tokenflight.engine.state import State
from tokenflight.model.events import AnswerOdd, ClientHeldBack, FlightFailed, TokenLanded
from tokenflight.model.failure import CLOSED, Failure
from tokenflight.model.key import TokenKey
from tokenflight.model.policy import Life, backoff_alive, backoff_permanent, backoff_without, live
from tokenflight.model.token import Token

PAUSE: Final = 1.0
AHEAD: Final = frozenset({"schedule", "due", "probe"})
"""Triggers of a renewal ahead: a token that ends no later than the held one is no gain to it."""

ROUNDING: Final = 1.0


class Watcher(Protocol):
    """Somebody who wants to know of a key's newest token."""

    def landed(self) -> None:
        """Take note that another token is held."""

    def ended(self) -> None:
        """Take note that there will be none: the key was forgotten, or the provider left."""


class Landing:
    """Lands flights; also keeps who watches which key."""

    def __init__(self, state: State, planning: Planning) -> None:
        self._state = state
        self._planning = planning
        self._watchers: dict[TokenKey, set[Watcher]] = {}

    def land(self, flight: Flight) -> None:
        """Take a flight out of the air, by identity, and let its outcome take effect before anybody wakes."""
        state = self._state
        if state.flights.get(flight.key) is flight:
            del state.flights[flight.key]
        entry = state.entries.find(flight.key)
        if entry is not None and not flight.forgotten:
            if entry.lane is not None:
                entry.lane.end(flight.key)
            if isinstance(flight.outcome, Minted):
                self._hold(entry, flight, flight.outcome)
            elif flight.outcome is CLOSED:
                entry.unsettle()
            else:
                self._fail(entry, flight, flight.outcome)
            if state.entries.too_many():
                state.make_room(spare=entry)
        flight.land()

    def weigh(self, flight: Flight, minted: Minted) -> str | None:
        """Say why a token brings nothing, None where it does; nothing is held yet.

        The held token come again is no gain, but where the endpoint gives it a later end that end is believed.
        """
        now, entry = self._state.clock.now(), self._state.entries.find(flight.key)
        life = self.life(flight.key, minted)
        if life.expires_at <= now:
            return "it was past its end on arrival"
        if entry is None or entry.token is None or entry.life is None:
            return None
        if entry.token.header == minted.token.header:
            if not flight.rejects and _ends_later(entry.token, entry.life, minted.token, life):
                entry.life = life
            return "it is the held one"
        known = life.expires_at < math.inf and entry.life.expires_at < math.inf
        known = known and not self._state.dependants.overtaken(flight.key)
        if known and life.expires_at <= entry.life.expires_at and flight.trigger in AHEAD:
            return "it ends no later than the held one"
        return None

    def watch(self, key: TokenKey, watcher: Watcher) -> None:
        """Tell *watcher* of each landing of *key* from now on."""
        self._watchers.setdefault(key, set()).add(watcher)

    def unwatch(self, key: TokenKey, watcher: Watcher) -> None:
        """Tell it no more."""
        watchers = self._watchers.get(key, set())
        watchers.discard(watcher)
        if not watchers:
            self._watchers.pop(key, None)

    def end(self, key: TokenKey) -> None:
        """Tell who watches *key* that there will be no more tokens."""
        for watcher in self._watchers.pop(key, ()):
            watcher.ended()

    def end_all(self) -> None:
        """Tell everybody who watches."""
        for key in list(self._watchers):
            self.end(key)

    def _hold(self, entry: Entry, flight: Flight, minted: Minted) -> None:
        state, now = self._state, self._state.clock.now()
        life = self.life(entry.key, minted)
        entry.hold(minted.token, life)
        if flight.rejects:
            entry.rejections = entry.rejections or Rejections()
            entry.rejections.renewed(flight.origin, born_at=now, length=life.length)
        if entry.lane is not None and minted.attempts:
            entry.lane.succeeded(minted.fingerprint, now)
        if entry.key.fleeting:
            self._planning.let_go(entry, now)
        elif (minted.refresh.proactive or entry.pins) and life.due_at < math.inf:
            state.schedule.plan(entry, life.due_at)
        for watcher in self._watchers.get(entry.key, ()):
            watcher.landed()
        self._pass_on(entry, flight, minted, now)
        for oddity in minted.oddities:
            state.hooks.emit(AnswerOdd(key=entry.key, oddity=oddity))
        state.hooks.emit(
            TokenLanded(
                key=entry.key,
                trigger=flight.trigger,
                lifetime=minted.lifetime,
                attempts=minted.attempts,
                waiters=flight.joined,
                took=now - flight.launched_at,
            )
        )

    def _fail(self, entry: Entry, flight: Flight, failure: Failure) -> None:
        state, now = self._state, self._state.clock.now()
        alive = entry.left(now) > 0
        if flight.refused is None and not (failure.local and not alive):
            self._hold_back(entry, flight, failure, now)
        if entry.key.fleeting and not entry.pins:
            self._planning.let_go(entry, now, grace=PAUSE)  # who waited still asks what holds it back
        elif alive or entry.pins:
            self._plan_again(entry, flight, now)
        state.hooks.emit(
            FlightFailed(
                key=entry.key,
                trigger=flight.trigger,
                reason=failure.reason,
                transient=failure.transient,
                attempts=failure.attempts,
                waiters=flight.joined,
                token_left=entry.left(now) if alive else None,
            )
        )

    def plant(self, key: TokenKey, minted: Minted) -> None:
        """Hold a token that came by no flight of *key*; one that is up leaves nothing behind."""
        flight = self._state.flights.get(key)
        if flight is not None:
            self._state.abandon(flight)
        now = self._state.clock.now()
        self._hold(self._state.entry(key), Flight(key=key, trigger="login", launched_at=now), minted)

    def _pass_on(self, entry: Entry, flight: Flight, minted: Minted, now: float) -> None:
        """Make due what rests on a key that moved on, and the key itself where what it rests on did so meanwhile."""
        state = self._state
        state.dependants.note(entry.key, [key for key, _ in minted.rests_on])
        for key in state.dependants.of(entry.key):
            child = state.entries.find(key)
            if child is not None:
                self._planning.overtake(child, now, SPREAD if flight.rejects else LONGEST_SPREAD)
        for key, token in minted.rests_on:
            parent = state.entries.find(key)
            if parent is not None and parent.token is not None and parent.token.header != token.header:
                self._planning.overtake(entry, now, SPREAD)

    def life(self, key: TokenKey, minted: Minted) -> Life:
        """Lay out the life of a token that was brought for *key*; each call draws anew."""
        return live(
            minted.refresh,
            sent_at=minted.sent_at,
            lifetime=minted.lifetime,
            draw=self._state.clock.uniform,
            refresh_in=minted.refresh_in,
            default_lifetime=minted.default_lifetime,
            ends_by=minted.ends_by,
            fleeting=key.fleeting,
        )

    def _plan_again(self, entry: Entry, flight: Flight, now: float) -> None:
        """Plan the next try: when the token is due and nothing holds it back; nobody in demand of it, none."""
        state = self._state
        due_at = now if entry.life is None or entry.left(now) <= 0 else entry.life.due_at
        entry.unsettle()
        if now < due_at:
            if due_at < math.inf:
                state.schedule.plan(entry, due_at)
        elif entry.in_demand and state.open:
            brake = flight.refused or state.brake(entry, now, bare=entry.left(now) <= 0)
            self._planning.postpone(entry, brake or Brake(now + PAUSE, "backoff", CLOSED), now)

    def _hold_back(self, entry: Entry, flight: Flight, failure: Failure, now: float) -> None:
        """Set the key's own brake, or its client's."""
        draw, left = self._state.clock.uniform, entry.left(now)
        entry.failures += 1
        entry.last = failure
        if not failure.transient and not failure.local:
            self._refuse(entry, flight, failure, now)
        elif entry.life is not None and left > 0 and not flight.rejects:
            entry.brake = "backoff"
            pause = backoff_alive(entry.failures, left=left, length=entry.life.length, draw=draw)
            entry.not_before = now + pause
            if entry.lane is not None:
                entry.lane.health.hasten(entry.not_before)
        else:
            entry.brake = "failed"
            entry.not_before = now + backoff_without(entry.failures, self._state.retry, draw)

    def _refuse(self, entry: Entry, flight: Flight, failure: Failure, now: float) -> None:
        draw, lane = self._state.clock.uniform, entry.lane
        held = None
        if lane is not None:
            lane.refuse(flight.fingerprint)
            entry.refused_since = min(entry.refused_since, now)
            held = lane.widen(failure, flight.fingerprint, now, draw, since=entry.refused_since)
        if lane is not None and held is not None:
            self._state.hooks.emit(ClientHeldBack(endpoint=lane.health.label, client=lane.client, held=held))
            entry.brake, entry.not_before = "client", now + held + SPREAD  # let another key be the one that tries
            return
        entry.refusals += 1
        entry.brake = "permanent"
        entry.not_before = now + backoff_permanent(entry.refusals, draw)


def _ends_later(held: Token, life: Life, again: Token, new: Life) -> bool:
    """Tell whether the held token, come again, was given a later end, by more than its rounding.

    One that comes with the same date, as from a store, has no later end, whatever the wall clock did meanwhile.
    """
    return again.expires_at not in (None, held.expires_at) and new.expires_at > life.expires_at + ROUNDING
