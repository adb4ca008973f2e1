"""Mint: the only way to a token.

find the client ─► board its lane ─► look in the store ─► [ place ─► build ─► send ─► parse ─► weigh ]… ─► save
"""

from __future__ import annotations

from attrs import evolve

from tokenflight.engine.engine import Engine
from tokenflight.engine.flight import Flight, Minted
from tokenflight.errors import ConfigurationError
from tokenflight.model.clock import Clock
from tokenflight.model.failure import Failure
from tokenflight.model.policy import RefreshPolicy
from tokenflight.protocol.client import OAuthClient
from tokenflight.protocol.grants import Fetch, check_key
from tokenflight.provider.clients import Clients
from tokenflight.provider.connection import Connection
from tokenflight.provider.exchange import FetchExchange, WireExchange, misconfigured
from tokenflight.provider.records import Records
from tokenflight.provider.trip import Trip
from tokenflight.stores.contract import Record


class Mint:
    """Brings the token of a flight; the engine calls it for every flight there is."""

    def __init__(
        self,
        *,
        clients: Clients,
        records: Records,
        clock: Clock,
        refresh: RefreshPolicy,
        connection: Connection,
    ) -> None:
        self._clients = clients
        self._records = records
        self._clock = clock
        self._refresh = refresh
        self._connection = connection

    async def __call__(self, flight: Flight, engine: Engine) -> Minted | Failure:
        """Return a token that is saved already, or why there is none."""
        client = await self._clients.find(flight.key.client)
        if isinstance(client, Failure):
            return client
        try:
            check_key(client, flight.key)
        except ConfigurationError as error:
            return misconfigured(str(error))
        trip = self._board(flight, engine, client)
        record = await self._records.load(client, flight.key, engine.hooks.emit)
        stored = None if record is None else self._taken(record, client, flight, engine)
        if stored is not None and self._is_enough(stored, flight, engine):
            return stored
        result = await trip.fly()
        if isinstance(result, Failure):
            return stored or evolve(result, grant_type=client.grant.grant_type)
        if not flight.forgotten:
            await self._records.save(client, flight.key, result, engine.hooks.emit, after=record)
        if flight.forgotten:  # before or while it was saved
            await self._records.discard(client, flight.key, engine.hooks.emit)
        return result

    def _board(self, flight: Flight, engine: Engine, client: OAuthClient) -> Trip:
        """Put the flight on its client's lane at the endpoint; a `Fetch` is an endpoint of its own."""
        grant = client.grant
        if isinstance(grant, Fetch):
            lane = engine.board(flight, f"fetch {flight.key.client}", client.client_id)
            fetch = FetchExchange(client=client, grant=grant, refresh=self._refresh)
            return Trip(engine=engine, flight=flight, lane=lane, exchange=fetch)
        lane = engine.board(flight, str(client.token_endpoint), client.endpoint_label)
        wire = WireExchange(
            client=client, resolved=self._clients.resolving, connection=self._connection, refresh=self._refresh
        )
        return Trip(engine=engine, flight=flight, lane=lane, exchange=wire)

    def _taken(self, record: Record, client: OAuthClient, flight: Flight, engine: Engine) -> Minted | None:
        """Return what a store holds for the key where that is a gain."""
        minted = self._records.minted(record, client, self._refresh)
        return minted if engine.landing.weigh(flight, minted) is None else None

    def _is_enough(self, stored: Minted, flight: Flight, engine: Engine) -> bool:
        """Tell whether no request is needed: who has no token takes any; who renews ahead wants one not yet due."""
        entry = engine.entries.find(flight.key)
        if entry is None or entry.left(self._clock.now()) <= 0:
            return True
        return engine.landing.life(stored).due_at > self._clock.now()
