"""Exchange: one attempt, from what is known to a token: read, build, send, parse, validate, weigh."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial

from attrs import define, frozen

from tokenflight.engine.flight import Minted
from tokenflight.errors import ConfigurationError
from tokenflight.model.clock import Clock
from tokenflight.model.events import ClockSkewLearned
from tokenflight.model.failure import CredentialError, Failure
from tokenflight.model.policy import RefreshPolicy
from tokenflight.model.secret import Secret
from tokenflight.model.token import Token
from tokenflight.protocol.client import OAuthClient
from tokenflight.protocol.client_authentication import Attempt
from tokenflight.protocol.wire import Issued, TokenRequest, build, parse
from tokenflight.provider import skew
from tokenflight.provider.connection import Connection
from tokenflight.provider.credentials import Reader, in_a_thread
from tokenflight.provider.skew import Skews
from tokenflight.provider.trip import Exchange, Trip
from tokenflight.provider.validation import Validation
from tokenflight.transport.carriers import Carrier


@frozen(kw_only=True)
class Told:
    """What an endpoint told, and when it was asked: `sent_at` on the age clock, `wall` in Unix time."""

    issued: Issued
    sent_at: float
    wall: float


@define(eq=False, kw_only=True)
class _Heard:
    """What came of one request; `off` is by how much the server's clock is ahead, where the request was dated."""

    issued: Issued | Failure
    sent_at: float
    wall: float
    took: float
    off: float | None = None
    spends: bool = False


@define(eq=False, kw_only=True)
class WireExchange(Exchange):
    """Asks the client's token endpoint."""

    client: OAuthClient
    resolved: bool
    connection: Connection
    refresh: RefreshPolicy
    validation: Validation
    skews: Skews

    def again(self, result: Failure, now: float) -> bool | None:
        """Say that what is spent by its first send is never sent again, such as a code; else it goes by who waits."""
        return None if self.client.grant.repeatable else False

    async def __call__(self, trip: Trip, deadline: float) -> Minted | Failure:
        """Return a token that is a gain, or why there is none, by *deadline* on the age clock."""
        told = await self.ask(trip, deadline)
        return told if isinstance(told, Failure) else await self.take(trip, told, deadline)

    async def ask(self, trip: Trip, deadline: float, *, refresh_token: Secret | None = None) -> Told | Failure:
        """Make the request, which spends *refresh_token* where there is one, and tell the endpoint's health of it.

        Where the server refuses what was signed because of its date, it is made once more by the server's clock, which
        counts from then on if that was the reason.
        """
        offset = self.skews.offset(str(self.client.token_endpoint))
        heard = await self._once(trip, deadline, offset, refresh_token)
        told = self._told_time(heard, offset) if isinstance(heard, _Heard) else None
        if told is not None:
            heard = await self._once(trip, deadline, told, refresh_token)
            if isinstance(heard, _Heard) and isinstance(heard.issued, Issued):
                self._learn(trip, told)
        if isinstance(heard, Failure):
            return heard
        issued = heard.issued
        failure = issued if isinstance(issued, Failure) else None
        trip.engine.answers.hear(trip.lane, trip.flight.key, failure)
        return issued if isinstance(issued, Failure) else Told(issued=issued, sent_at=heard.sent_at, wall=heard.wall)

    async def _once(self, trip: Trip, deadline: float, offset: float, refresh_token: Secret | None) -> _Heard | Failure:
        """Make one request and read its answer; a Failure as such says that none was sent."""
        clock, reader = trip.engine.state.clock, Reader(self.client, trip.subject)
        attempt = self._attempt(trip, reader, offset, refresh_token)
        unready = await self.validation.ready(self.client, deadline=deadline)
        if unready is not None:
            return unready
        ready = await prepared(
            partial(build, attempt), reader, client=self.client, connection=self.connection, clock=clock, until=deadline
        )
        if isinstance(ready, Failure):
            return ready
        request, carrier = ready
        trip.flight.fingerprint = reader.fingerprint
        trip.lane.changeable = self.resolved or reader.changeable
        if trip.flight.trigger == "look" and reader.fingerprint == trip.lane.refused:
            return trip.still_refused()
        trip.attempts += 1
        wall, sent_at = clock.wall(), clock.now()
        answer = await carrier.send(request, clock=clock, deadline=deadline)
        took = clock.now() - sent_at
        if isinstance(answer, Failure):
            return _Heard(issued=answer, sent_at=sent_at, wall=wall, took=took)
        known = [*reader.seen, *trip.held()]
        issued = parse(answer, client=self.client, key=trip.flight.key, wall=clock.wall(), redact=known)
        off = skew.ahead(answer.headers, wall + took / 2) if attempt.dated else None
        return _Heard(issued=issued, sent_at=sent_at, wall=wall, took=took, off=off, spends=refresh_token is not None)

    def _told_time(self, heard: _Heard, offset: float) -> float | None:
        """Return by how much the server's clock is ahead, where another *offset* than that may be why it refused."""
        failure = heard.issued
        if not isinstance(failure, Failure) or heard.off is None:
            return None
        tolerated = skew.tolerance(failure, spends=heard.spends or not self.client.grant.repeatable)
        if tolerated is None or abs(heard.off - offset) < tolerated + heard.took / 2:
            return None
        if abs(heard.off) > skew.MAX_OFFSET:
            heard.issued = skew.too_far(failure, heard.off)
            return None
        return heard.off

    def _learn(self, trip: Trip, offset: float) -> None:
        label = self.client.endpoint_label
        self.skews.learn(str(self.client.token_endpoint), offset)
        skew.report(label, offset)
        trip.engine.state.hooks.emit(ClockSkewLearned(endpoint=label, offset=offset))

    async def take(self, trip: Trip, told: Told, deadline: float) -> Minted | Failure:
        """Make a token of what was told, where it is valid and a gain."""
        text = told.issued.access_token
        refused = await self.validation.access_token(self.client, trip.flight.key, text, deadline=deadline)
        return refused or weighed(trip, self._minted(trip, told))

    def _attempt(self, trip: Trip, reader: Reader, offset: float, refresh_token: Secret | None) -> Attempt:
        if refresh_token is not None:
            reader.seen.append(refresh_token)
        return Attempt(
            key=trip.flight.key,
            client=self.client,
            wall=trip.engine.state.clock.wall() + offset,
            read=reader.read,
            work=in_a_thread,
            refresh_token=refresh_token,
        )

    def _minted(self, trip: Trip, told: Told) -> Minted:
        issued = told.issued
        token = Token(
            issued.access_token,
            token_type=issued.token_type,
            expires_in=issued.expires_in
            if trip.subject is None
            else trip.subject.lasting(issued.expires_in, told.sent_at),
            scope=issued.scope,
            refresh_token=issued.refresh_token,
            extra=issued.extra,
            issued_at=datetime.fromtimestamp(told.wall, UTC),
        )
        return Minted(
            token=token,
            sent_at=told.sent_at,
            lifetime=issued.expires_in,
            refresh=self.client.refresh or self.refresh,
            refresh_in=issued.refresh_in,
            default_lifetime=self.client.default_lifetime if self.client.grant.repeatable else None,
            attempts=trip.attempts,
            fingerprint=trip.flight.fingerprint,
            oddities=issued.oddities,
        )


async def prepared(
    make: Callable[[], Awaitable[TokenRequest]],
    reader: Reader,
    *,
    client: OAuthClient,
    connection: Connection,
    clock: Clock,
    until: float,
) -> tuple[TokenRequest, Carrier] | Failure:
    """Return the request of *client* that *make* makes, and who carries it, to be sent before anything else is awaited.

    It ends when `clock.now()` reaches *until*. Whatever is raised is a Failure.
    """
    with clock.timeout_at(until):
        try:
            request = await make()
            return request, await connection.carrier(client, reader, clock)
        except CredentialError as error:
            return error.failure
        except ConfigurationError as error:
            return misconfigured(str(error))
        except Exception as error:  # client authentication of the user's own
            method = type(client.authentication).__name__
            return Failure(reason="credential", detail=f"{method} raised {type(error).__name__}")
    return Failure(reason="credential", detail="reading the client's credentials took too long")


def weighed(trip: Trip, minted: Minted) -> Minted | Failure:
    """Return *minted*, or the Failure that it is where it brings nothing."""
    minted = minted if trip.subject is None else trip.subject.bound(minted)
    lack = trip.engine.landing.weigh(trip.flight, minted)
    if lack is None:
        return minted
    return Failure(reason="no_gain", detail=f"the token endpoint gave a token that is no gain: {lack}")


def misconfigured(detail: str) -> Failure:
    """Return the Failure of a set-up that cannot work."""
    return Failure(error=ConfigurationError, reason="configuration", detail=detail, transient=False)
