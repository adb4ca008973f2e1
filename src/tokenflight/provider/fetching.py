"""Fetching: one attempt of a client whose tokens a function of the user's brings."""

from __future__ import annotations

from attrs import define

from tokenflight.engine.flight import Minted
from tokenflight.engine.launching import as_it_is
from tokenflight.errors import TokenFlightError
from tokenflight.model.failure import Failure
from tokenflight.model.policy import RefreshPolicy
from tokenflight.model.token import Token
from tokenflight.protocol.client import OAuthClient
from tokenflight.protocol.grants import Fetch
from tokenflight.provider.exchange import misconfigured, weighed
from tokenflight.provider.trip import Exchange, Trip


@define(eq=False, kw_only=True)
class FetchExchange(Exchange):
    """Asks a function of the user's."""

    client: OAuthClient
    grant: Fetch
    refresh: RefreshPolicy

    async def __call__(self, trip: Trip, deadline: float) -> Minted | Failure:
        """Return the token it gives, by *deadline* on the age clock; what it raises counts for this key alone."""
        clock = trip.engine.state.clock
        trip.attempts += 1
        wall, sent_at = clock.wall(), clock.now()
        token = await self._fetched(trip, deadline)
        if isinstance(token, Failure):
            return token
        trip.lane.health.issued += 1
        ends = token.expires_at
        minted = Minted(
            token=token,
            sent_at=sent_at,
            lifetime=None if ends is None else ends.timestamp() - wall,
            refresh=self.client.refresh or self.refresh,
            default_lifetime=self.client.default_lifetime,
            attempts=trip.attempts,
        )
        return weighed(trip, minted)

    async def _fetched(self, trip: Trip, deadline: float) -> Token | Failure:
        with trip.engine.state.clock.timeout_at(deadline):
            try:
                token: object = await self.grant.fetch(trip.flight.key)
            except TokenFlightError as error:
                return as_it_is(error, transient=error.transient)
            except AssertionError:
                raise
            except Exception as error:
                return Failure(reason="fetch", detail=f"the fetch function raised {type(error).__name__}")
            if isinstance(token, Token):
                return token
            return misconfigured(f"the fetch function gave a {type(token).__name__}: let it return a Token")
        return Failure(reason="timeout", detail="the fetch function took too long")
