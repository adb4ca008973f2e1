"""Asking: what a caller gets, by the verdict on the held token.

fresh    the token, on the fast path of whoever holds the entry
due      the token; the first call after an idle stretch launches a flight and does not wait
urgent   the token, after a moment for the flight at most
expired  what the flight brings, or its error
"""

from __future__ import annotations

from typing import Final

from tokenflight.engine.entries import Entry
from tokenflight.engine.flight import AIRBORNE, Flight, Minted
from tokenflight.engine.health import Brake
from tokenflight.engine.launching import Launching
from tokenflight.engine.planning import Planning
from tokenflight.engine.state import State
from tokenflight.errors import ConfigurationError, ProviderClosedError, TokenFlightError, TokenRequestError
from tokenflight.model.events import RenewalRefused, TokenRejected, TokenUrgent, Trigger
from tokenflight.model.failure import Failure
from tokenflight.model.key import TokenKey
from tokenflight.model.token import Token

URGENT_WAIT: Final = 1.0


class Asking:
    """Answers callers, from what is held or by joining and launching flights."""

    def __init__(self, state: State, planning: Planning, launching: Launching) -> None:
        self._state = state
        self._planning = planning
        self._launching = launching

    def entry(self, key: TokenKey) -> Entry:
        """Find or make the entry of *key*. Raises ProviderClosedError rather than make one that nothing can fill."""
        entry = self._state.entries.find(key)
        if entry is None:
            self.require_open()
            entry = self._state.entry(key)
        return entry

    async def token(self, entry: Entry, min_ttl: float) -> Token:
        """Return a usable token; see the table above. Raises the flight's error where there is none."""
        now = self._state.clock.now()
        left, life, token = entry.left(now), entry.life, entry.token
        if token is None or life is None or left <= 0:
            return await self._bare(entry)
        entry.used_at = now
        if left < min_ttl:
            return await self._longer(entry, token, now)
        if now >= life.urgent_at:
            return await self._urgent(entry, token, now)
        if now >= life.due_at:
            self._due(entry, now)
        return token

    async def renew(self, entry: Entry, rejected: Token | None, origin: str | None) -> Token:
        """Return another token than the one that was *rejected* (None: than the held one), renewed where need be.

        Raises TokenRequestError where that is held back (`reason` "held_back") or shut (`reason` "rejected").
        """
        now = self._state.clock.now()
        held = entry.token
        if held is None or entry.left(now) <= 0:
            return await self._bare(entry)
        if rejected is not None and rejected.header != held.header:
            entry.used_at = now
            return held
        flight = self._flight(entry) or self._launch_rejection(entry, held, origin, now)
        outcome = await self._wait(flight)
        if isinstance(outcome, Minted):
            return outcome.token
        if entry.token is not None and entry.token is not held:
            return entry.token
        raise self._error(entry, outcome)

    def reject(self, entry: Entry, rejected: Token, origin: str | None) -> None:
        """Launch the renewal that `renew` would, and wait for nothing; a refusal is an event."""
        now = self._state.clock.now()
        held = entry.token
        if held is None or entry.left(now) <= 0 or rejected.header != held.header:
            return
        try:
            if self._flight(entry) is None:
                self._launch_rejection(entry, held, origin, now)
        except TokenFlightError:
            return  # told as RenewalRefused, or the provider was left: the caller has its 401 either way

    async def _bare(self, entry: Entry) -> Token:
        """Wait for the flight of a key without a usable token."""
        state = self._state
        if entry.closed:
            entry = self.entry(entry.key)
        now = state.clock.now()
        entry.seen_at = now
        outcome = await self._wait(self._flight(entry) or self._launch_bare(entry, now))
        if isinstance(outcome, Minted):
            return outcome.token
        if entry.token is not None and entry.left(state.clock.now()) > 0:
            return entry.token
        raise self._error(entry, outcome)

    async def _longer(self, entry: Entry, token: Token, now: float) -> Token:
        """Wait for one flight that may bring a token with more left; else the held one, while it lives."""
        state = self._state
        flight = state.flights.get(entry.key)
        if not state.open or (flight is None and state.brake(entry, now, bare=False) is not None):
            return token
        outcome = await self._wait(flight or self._launching.launch(entry, "min_ttl"))
        if isinstance(outcome, Minted):
            return outcome.token
        if entry.left(state.clock.now()) > 0:
            return entry.token or token
        raise self._error(entry, outcome)

    async def _urgent(self, entry: Entry, token: Token, now: float) -> Token:
        """Give the flight until it has been up for 1 s, or a quarter of what is left; then hand out what is held."""
        state = self._state
        flight = state.flights.get(entry.key)
        if not state.open or (flight is None and state.brake(entry, now, bare=False) is not None):
            return token
        flight = flight or self._launching.launch(entry, "due")
        left = entry.left(now)
        until = min(flight.launched_at + URGENT_WAIT, now + left / 4)
        if until > now:
            state.hooks.emit(TokenUrgent(key=entry.key, left=left))
            await flight.wait_until(until, state.clock)
        if entry.token is not None and entry.left(state.clock.now()) > 0:
            return entry.token
        return await self._bare(entry)

    def _due(self, entry: Entry, now: float) -> None:
        """See that a renewal is in the air or planned; from then on callers stay on the fast path until urgent."""
        state = self._state
        if entry.key in state.flights or entry.plan is not None:
            entry.settle()
        elif state.open:
            brake = state.brake(entry, now, bare=False)
            if brake is None:
                self._launching.launch(entry, "due")
            else:
                self._planning.postpone(entry, brake, now)

    async def _wait(self, flight: Flight) -> Minted | Failure:
        mine = AIRBORNE.get()
        if mine is not None and flight.depends_on(mine):
            raise ConfigurationError(
                f"{flight.key!r} is asked for by what is to bring it: ask a provider of its own there"
            )
        flight.join()
        if mine is not None:
            mine.awaited.append(flight)
        try:
            await flight.wait()
        finally:
            flight.leave()
            if mine is not None:
                mine.awaited.remove(flight)
        return flight.outcome

    def require_open(self) -> None:
        """Raise ProviderClosedError where nothing can be started: not entered, left, or in another loop."""
        if not self._state.open:
            raise ProviderClosedError(
                "the provider runs in another loop: use one provider a loop, with one store if they should share tokens"
                if self._state.entered
                else "the provider is not entered: put `async with provider:` around whatever asks for tokens"
            )

    def _flight(self, entry: Entry) -> Flight | None:
        """Return the flight in the air, if there is one. Raises ProviderClosedError where none could be joined."""
        self.require_open()
        return self._state.flights.get(entry.key)

    def _launch_bare(self, entry: Entry, now: float) -> Flight:
        state = self._state
        brake = state.brake(entry, now, bare=True)
        if brake is None:
            return self._launching.launch(entry, "call")
        if self._may_look(entry, brake, now):
            return self._launching.launch(entry, "look")
        self._planning.want(entry)
        raise brake.last.held_back().exception(entry.key, retry_after=brake.until - now)

    def _launch_rejection(self, entry: Entry, held: Token, origin: str | None, now: float) -> Flight:
        state = self._state
        age = None if entry.life is None else now - entry.life.sent_at
        state.hooks.emit(TokenRejected(key=entry.key, origin=origin, age=age))
        shut = None if entry.rejections is None else entry.rejections.shut_until(origin, now)
        if shut is not None:
            raise self._refused(entry, origin, "rejected", shut - now)
        brake = state.brake(entry, now, bare=True)
        if brake is None or self._may_look(entry, brake, now):
            trigger: Trigger = "rejection" if brake is None else "look"
            return self._launching.launch(entry, trigger, rejected=held, origin=origin)
        self._planning.want(entry)
        raise self._refused(entry, origin, "held_back", brake.until - now)

    def _may_look(self, entry: Entry, brake: Brake, now: float) -> bool:
        """Tell whether to ask the credentials' source again although they were refused."""
        refused = brake.reason in ("permanent", "client")
        return refused and entry.lane is not None and entry.lane.may_look(now)

    def _refused(self, entry: Entry, origin: str | None, reason: str, retry_after: float) -> TokenRequestError:
        self._state.hooks.emit(RenewalRefused(key=entry.key, origin=origin, reason=reason))
        what = (
            "the API keeps refusing fresh tokens" if reason == "rejected" else "its token endpoint cannot be asked now"
        )
        return TokenRequestError(
            f"{entry.key!r} is not renewed: {what}",
            key=entry.key,
            retry_after=retry_after,
            reason=reason,
            detail=f"not renewed: {what}",
            transient=True,
        )

    def _error(self, entry: Entry, failure: Failure) -> BaseException:
        """Make the caller's own exception; its `retry_after` says when the key may be asked for again."""
        now = self._state.clock.now()
        brake = self._state.brake(entry, now, bare=True)
        return failure.exception(entry.key, retry_after=None if brake is None else brake.until - now)
