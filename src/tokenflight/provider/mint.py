"""Mint: the only way to a token.

find the client ─► take the session's turn ─► board its lane ─► look in the store
    ─► [ ask for the subject's token ─► place ─► build ─► send ─► parse ─► check ─► weigh ]… ─► save

A client whose issuer has to be asked for its endpoints first boards after the look in the store.
"""

from __future__ import annotations

from attrs import evolve

from tokenflight.engine.engine import Engine
from tokenflight.engine.flight import Flight, Minted
from tokenflight.errors import ConfigurationError
from tokenflight.model.failure import Failure
from tokenflight.model.key import TokenKey
from tokenflight.model.policy import RefreshPolicy
from tokenflight.protocol.client import OAuthClient
from tokenflight.protocol.grants import Fetch, check_key
from tokenflight.provider.clients import Clients
from tokenflight.provider.connection import Connection
from tokenflight.provider.discovery import Discovery
from tokenflight.provider.exchange import WireExchange, misconfigured
from tokenflight.provider.fetching import FetchExchange
from tokenflight.provider.lineage import Lineage
from tokenflight.provider.lineages import Lineages
from tokenflight.provider.records import Records
from tokenflight.provider.skew import Skews
from tokenflight.provider.spending import Spending
from tokenflight.provider.subject_tokens import SubjectTokens
from tokenflight.provider.trip import Trip
from tokenflight.provider.validation import Validation
from tokenflight.stores.contract import TokenRecord


class Mint:
    """Brings the token of a flight; the engine calls it for every flight there is."""

    def __init__(
        self,
        *,
        clients: Clients,
        discovery: Discovery,
        validation: Validation,
        skews: Skews,
        records: Records,
        lineages: Lineages,
        engine: Engine,
        refresh: RefreshPolicy,
        connection: Connection,
    ) -> None:
        self._clients = clients
        self._discovery = discovery
        self._validation = validation
        self._records = records
        self._lineages = lineages
        self._engine = engine
        self._refresh = refresh
        self._connection = connection
        self._skews = skews

    async def __call__(self, flight: Flight) -> Minted | Failure:
        """Return a token that is saved already, or why there is none."""
        client = await self._clients.find(flight.key.client)
        if isinstance(client, Failure):
            return client
        try:
            check_key(client, flight.key)
        except ConfigurationError as error:
            return misconfigured(str(error))
        lineage = self._lineages.of(client, flight.key)
        if lineage is None:
            return await self._bring(flight, client, None)
        try:
            async with lineage.turn:
                return await self._bring(flight, client, lineage)
        finally:
            self._lineages.let_go(lineage)

    async def _bring(self, flight: Flight, client: OAuthClient, lineage: Lineage | None) -> Minted | Failure:
        """Take what the store has, or fly; save what is brought."""
        trip = self._boarded(flight, client, lineage)
        record = await self._records.load(client, flight.key, self._engine.state.hooks.emit)
        stored = None if record is None else self._taken(record, client, flight)
        if stored is not None and self._is_enough(stored, flight):
            return stored
        ready = trip or await self._discovered(flight, client, lineage)
        result = ready if isinstance(ready, Failure) else await ready.fly()
        if isinstance(result, Failure):
            return stored or evolve(result, grant_type=result.grant_type or client.grant.grant_type)
        if not flight.forgotten:
            with self._engine.state.undisturbed():
                await self._records.save(client, flight.key, result, self._engine.state.hooks.emit, after=record)
        if flight.forgotten:  # before or while it was saved
            await self._records.discard(client, flight.key, self._engine.state.hooks.emit)
        return result

    async def once(self, flight: Flight, client: OAuthClient) -> Minted | Failure:
        """Make a request that is no renewal of its key: nothing is looked for or kept."""
        return await self._board(flight, client, None).fly()

    async def keep(self, client: OAuthClient, key: TokenKey, minted: Minted) -> None:
        """Save a token that came by no flight of *key*, in place of the one before."""
        emit = self._engine.state.hooks.emit
        before = await self._records.load(client, key, emit)
        await self._records.save(client, key, minted, emit, after=before)

    def _boarded(self, flight: Flight, client: OAuthClient, lineage: Lineage | None) -> Trip | None:
        """Board where it is known by now where to ask."""
        flight.boarded = True  # its client is found: it is none of the flights that will find another one
        whole = self._discovery.known(client)
        return None if whole is None else self._board(flight, whole, lineage)

    async def _discovered(self, flight: Flight, client: OAuthClient, lineage: Lineage | None) -> Trip | Failure:
        """Board once it is known where to ask; records go on being named by the client as it was given."""
        whole = await self._discovery.complete(client)
        return whole if isinstance(whole, Failure) else self._board(flight, whole, lineage)

    def _board(self, flight: Flight, client: OAuthClient, lineage: Lineage | None) -> Trip:
        """Put the flight on its client's lane at the endpoint; a `Fetch` is an endpoint of its own."""
        grant = client.grant
        if isinstance(grant, Fetch):
            lane = self._engine.state.board(flight, f"fetch {flight.key.client}", client.client_id)
            fetch = FetchExchange(client=client, grant=grant, refresh=self._refresh)
            subject = SubjectTokens.of(flight.key, self._engine, client.endpoint_label, asks=False)
            return Trip(engine=self._engine, flight=flight, lane=lane, exchange=fetch, subject=subject)
        lane = self._engine.state.board(flight, str(client.token_endpoint), client.endpoint_label)
        wire = WireExchange(
            client=client,
            resolved=self._clients.resolving,
            connection=self._connection,
            refresh=self._refresh,
            validation=self._validation,
            skews=self._skews,
        )
        exchange = wire if lineage is None else Spending(wire=wire, lineages=self._lineages, lineage=lineage)
        subject = SubjectTokens.of(flight.key, self._engine, client.endpoint_label)
        return Trip(engine=self._engine, flight=flight, lane=lane, exchange=exchange, subject=subject)

    def _taken(self, record: TokenRecord, client: OAuthClient, flight: Flight) -> Minted | None:
        """Return what a store holds for the key where that is a gain."""
        minted = self._records.minted(record, client, self._refresh)
        return minted if self._engine.landing.weigh(flight, minted) is None else None

    def _is_enough(self, stored: Minted, flight: Flight) -> bool:
        """Tell whether no request is needed: who has no token takes any; who renews ahead wants one not yet due."""
        entry = self._engine.state.entries.find(flight.key)
        if entry is None or entry.left(self._engine.state.clock.now()) <= 0:
            return True
        return self._engine.landing.life(flight.key, stored).due_at > self._engine.state.clock.now()
