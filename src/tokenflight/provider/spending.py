"""Spending: one attempt that spends a session's refresh token, whatever becomes of it (RFC 6749, section 6)."""

from __future__ import annotations

from typing import Final

from attrs import define, evolve

from tokenflight.engine.flight import Minted
from tokenflight.model.events import SessionLost
from tokenflight.model.failure import Failure
from tokenflight.model.policy import RetryPolicy
from tokenflight.model.secret import Secret
from tokenflight.protocol.authorization import AuthorizationCode
from tokenflight.protocol.refreshing import LOST_REPLY_WINDOW, RefreshToken
from tokenflight.provider.exchange import Told, WireExchange
from tokenflight.provider.lineage import IN_DOUBT, LOGGED_OUT, Lineage, lost
from tokenflight.provider.lineages import Lineages
from tokenflight.provider.trip import Exchange, Trip
from tokenflight.stores.contract import SessionRecord

_TRIES_IN_GRACE: Final = 3


@define(eq=False, kw_only=True)
class Spending(Exchange):
    """Asks the client's token endpoint with the refresh token of a session; whoever flies has the lineage's turn."""

    wire: WireExchange
    lineages: Lineages
    lineage: Lineage

    def deadline(self, now: float, latest: float, left: float | None, retry: RetryPolicy) -> float:
        """Return when an attempt ends, however late it begins: cut short, it may leave the session's fate unknown.

        Where the server's grace is known, there is time for two more within it.
        """
        grant = self.wire.client.grant
        grace = grant.grace if isinstance(grant, RefreshToken | AuthorizationCode) else None
        return now + (min(LOST_REPLY_WINDOW, grace) / _TRIES_IN_GRACE if grace else retry.total_timeout)

    def again(self, result: Failure, now: float) -> bool | None:
        """Say whether to try again at once, whoever waits; None where that goes by who waits."""
        if result.reason == IN_DOUBT.reason:
            return False
        doubt = self.lineage.doubt
        return doubt.in_window(now) if result.lost and doubt is not None else None

    async def __call__(self, trip: Trip, deadline: float) -> Minted | Failure:
        """Return a token, by *deadline* on the age clock; what came in place of the refresh token is kept before."""
        lineage, state = self.lineage, trip.engine.state
        await self.lineages.look(lineage, trip.flight.key)
        refusal = lineage.refusal(state.clock.now(), bare=trip.bare)
        if refusal is not None:
            return refusal
        return await self._spend(trip, deadline, lineage.session) if lineage.session else LOGGED_OUT

    async def _spend(self, trip: Trip, deadline: float, session: SessionRecord) -> Minted | Failure:
        """Send, and keep what comes back: from the one to the other nothing may come between."""
        lineage, epoch = self.lineage, self.lineage.epoch
        with trip.engine.state.undisturbed():
            was = lineage.sending(trip.engine.state.clock.now())
            told = await self.wire.ask(trip, deadline, refresh_token=session.refresh_token)
            replaced = lineage.epoch != epoch
            if isinstance(told, Told) and not replaced:
                await self._keep(trip, told)
            elif not replaced and not (isinstance(told, Failure) and told.lost):
                lineage.heard(was)
        if isinstance(told, Told):
            issued = evolve(told.issued, refresh_token=None)  # it is the session's: who else spent it would end it
            return await self.wire.take(trip, evolve(told, issued=issued), deadline)
        return told if replaced else await self._failed(trip, deadline, told, session)

    async def _keep(self, trip: Trip, told: Told) -> None:
        plain = told.issued.refresh_token
        await self.lineages.rotate(self.lineage, None if plain is None else Secret(plain), trip.flight.key)

    async def _failed(self, trip: Trip, deadline: float, told: Failure, session: SessionRecord) -> Minted | Failure:
        """Say what a failed attempt means for the session."""
        lineage, doubt = self.lineage, self.lineage.doubt
        if told.lost and doubt is not None and doubt.last_tried:
            return self._over(trip, lost(ambiguous=True, detail="the reply to its last refresh was lost, again"))
        if told.transient or not _says_spent(told):
            lineage.unsure |= (told.status or 0) >= 500
            return told
        await self.lineages.look(lineage, trip.flight.key)
        if lineage.session is None:
            return LOGGED_OUT
        if lineage.session.refresh_token != session.refresh_token:
            return await self(trip, deadline)
        return self._over(trip, lost(ambiguous=doubt is not None or lineage.unsure, detail=told.detail), told)

    def _over(self, trip: Trip, failure: Failure, told: Failure | None = None) -> Failure:
        """Give the session up: nothing is sent for it until somebody has logged in again."""
        if told is not None:
            failure = evolve(failure, status=told.status, code=told.code, request_id=told.request_id)
        self.lineage.lost = failure
        trip.engine.state.hooks.emit(SessionLost(key=trip.flight.key, ambiguous=failure.ambiguous))
        return failure


def _says_spent(told: Failure) -> bool:
    """Tell whether a refusal is about the refresh token; some servers say `invalid_request` where it is unknown."""
    about = (told.description or "").lower().replace("_", " ")
    return told.code == "invalid_grant" or (told.code == "invalid_request" and "refresh token" in about)
