"""Trip: the attempts of one flight: take a place, look again at the brakes, make the request, hear the answer."""

from __future__ import annotations

from abc import ABC, abstractmethod

from attrs import define, evolve, field

from tokenflight.engine.engine import Engine
from tokenflight.engine.flight import Flight, Minted
from tokenflight.engine.health import Brake, Lane
from tokenflight.engine.places import RETURNED, SCHEDULED, WAITING, Ticket
from tokenflight.model.events import AttemptFailed
from tokenflight.model.failure import CLOSED, Failure
from tokenflight.model.policy import RetryPolicy, attempt_limit, retry_pause
from tokenflight.model.secret import Secret
from tokenflight.provider.subject_tokens import SubjectTokens
from tokenflight.transport.endpoint import drive


class Exchange(ABC):
    """What one attempt is."""

    @abstractmethod
    async def __call__(self, trip: Trip, deadline: float) -> Minted | Failure:
        """Make one request, which ends at *deadline* on the age clock; counts it in `trip.attempts` when it is sent."""

    def deadline(self, now: float, latest: float, left: float | None, retry: RetryPolicy) -> float:
        """Return when it ends that begins *now*: by *latest*, for a held token with *left* seconds; None for none."""
        return min(now + attempt_limit(left, retry), latest)

    def again(self, result: Failure, now: float) -> bool | None:
        """Say whether to try again after a transient failure; None where that goes by who waits.

        True: even where the endpoint seems to be down.
        """
        return None


@define(eq=False, kw_only=True)
class Trip:
    """One flight on its client's lane.

    `tries` counts what was tried, `attempts` what reached the wire; the time limit counts from the first place taken.
    One that is `grounded` has nothing to present.
    """

    engine: Engine
    flight: Flight
    lane: Lane
    exchange: Exchange = field(repr=False)
    subject: SubjectTokens | None = None
    tries: int = 0
    attempts: int = 0
    throttles: int = 0
    started_at: float | None = None
    insists: bool = False
    grounded: bool = False

    @property
    def bare(self) -> bool:
        """Tell whether no usable token is left to it: there is none, or an API refused it."""
        entry = self.engine.state.entries.find(self.flight.key)
        return self.flight.rejects or entry is None or entry.left(self.engine.state.clock.now()) <= 0

    async def fly(self) -> Minted | Failure:
        """Try until there is a token, or no reason to go on."""
        return await drive(self._attempt, pause=self._pause, clock=self.engine.state.clock)

    def held(self) -> tuple[Secret, ...]:
        """Return the held token, which no error text may show either."""
        entry = self.engine.state.entries.find(self.flight.key)
        return () if entry is None or entry.token is None else (entry.token.access_token,)

    def refuse(self, brake: Brake) -> Failure:
        """End the flight because of a brake: what those get who ask meanwhile."""
        self.flight.refused = brake
        entry = self.engine.state.entries.find(self.flight.key)
        if entry is not None:
            self.engine.planning.want(entry)
        return brake.last.held_back()

    def still_refused(self) -> Failure:
        """End a look at credentials that are still the ones that were refused."""
        now = self.engine.state.clock.now()
        entry = self.engine.state.entries.find(self.flight.key)
        last = (entry and entry.last) or self.lane.last or CLOSED
        until = max(self.lane.held_until, now if entry is None else entry.not_before)
        return self.refuse(Brake(until, "permanent", last))

    async def _attempt(self) -> Minted | Failure:
        places, clock = self.lane.health.places, self.engine.state.clock
        while True:
            now = clock.now()
            brake = self._brake(now)
            if brake is not None:
                if brake.reason != "retry_after" or brake.until > self._latest(now):
                    return self.refuse(brake)
                self.engine.planning.hold(self.lane)  # in line, and no place is given before it is over
            if (lack := await self._unready()) is not None:
                return lack
            await self._take_place()
            try:
                now = clock.now()
                if self._brake(now) is None and not (self.subject is not None and self.subject.over(now)):
                    if not self.flight.forgotten:  # nobody would free what a forgotten one takes: its key may fly anew
                        self.lane.begin(self.flight.key)
                    return self._heard(await self._exchange(now))
            finally:
                places.give_back()

    async def _unready(self) -> Failure | None:
        """Get what is to be presented, before a place is taken; a Failure says that there is nothing and ends it all.

        What its parent needs is asked for by the parent's own flight. That one may have to be the trial of an endpoint
        or a client that is held back, so while it is waited for, this one is not.
        """
        if self.subject is None:
            return None
        if self.subject.sources and not self.flight.forgotten:
            self.lane.end(self.flight.key)
        lack = await self.subject.ready(self.flight)
        self.grounded = lack is not None
        return lack

    async def _take_place(self) -> None:
        flight = self.flight
        rank = RETURNED if self.throttles else WAITING if flight.waiting else SCHEDULED
        flight.ticket = Ticket(self.lane.client, self.lane.health.places, rank)
        await self.lane.health.places.take(flight.ticket)

    async def _exchange(self, now: float) -> Minted | Failure:
        if self.started_at is None:
            self.started_at = now
        self.tries += 1
        entry = self.engine.state.entries.find(self.flight.key)
        left = entry.left(now) if entry is not None and not self.flight.rejects else 0.0
        known = left if left > 0 else None
        deadline = self.exchange.deadline(now, self._latest(now), known, self.engine.state.retry)
        return await self.exchange(self, deadline)

    def _heard(self, result: Minted | Failure) -> Minted | Failure:
        """Tell the endpoint's health, unless nothing was sent; report a failed attempt."""
        if not isinstance(result, Failure):
            return result
        if result.throttled:
            self.throttles += 1
            self.tries -= 1
        if self.flight.refused is None:
            event = AttemptFailed(
                key=self.flight.key, attempt=self.attempts, reason=result.reason, status=result.status
            )
            self.engine.state.hooks.emit(event)
        return evolve(result, attempts=self.attempts) if self.flight.refused is None else result

    def _pause(self, result: Minted | Failure) -> float | None:
        """Say after which pause to try again; None to land with what there is."""
        if not isinstance(result, Failure) or self.flight.refused is not None or self.grounded:
            return None
        if not result.transient:
            return 0.0 if self.subject is not None and self.subject.mends(result) else None
        now, retry, draw = self.engine.state.clock.now(), self.engine.state.retry, self.engine.state.clock.uniform
        asked, again = self.lane.retry_after_at - now, self.exchange.again(result, now)
        self.insists = again is True
        if again is False:
            return None
        if result.throttled:
            pause = asked if asked > 0 else retry_pause(self.throttles, retry, draw)
        elif not (self.insists or self._worth_another()):
            return None
        else:
            pause = max(asked, retry_pause(self.tries, retry, draw))
        return pause if now + pause < self._latest(now) else None

    def _worth_another(self) -> bool:
        return (
            self.flight.waiting > 0
            and self.tries < self.engine.state.retry.attempts
            and self.lane.health.state != "probing"
        )

    def _brake(self, now: float) -> Brake | None:
        brake = self.lane.brake(self.flight.key, now, looking=self.flight.trigger == "look")
        return None if self.insists and brake is not None and brake.reason == "probing" else brake

    def _latest(self, now: float) -> float:
        return (now if self.started_at is None else self.started_at) + self.engine.state.retry.total_timeout
