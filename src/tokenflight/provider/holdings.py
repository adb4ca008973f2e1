"""Holdings: everything that is held for a provider, here and in its store, and how it is let go."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tokenflight.engine.engine import Engine
from tokenflight.engine.hooks import Hook
from tokenflight.errors import TokenFlightError
from tokenflight.model.clock import Clock
from tokenflight.model.events import ClientChanged
from tokenflight.model.key import AnySubject, TokenKey
from tokenflight.model.policy import RefreshPolicy, RetryPolicy
from tokenflight.model.secret import Secret
from tokenflight.model.status import KeyStatus
from tokenflight.model.token import Token
from tokenflight.protocol.client import OAuthClient
from tokenflight.provider.clients import Clients, ClientsArgument
from tokenflight.provider.discovery import Discovery
from tokenflight.provider.keysets import KeySets
from tokenflight.provider.lineages import Lineages
from tokenflight.provider.mint import Mint
from tokenflight.provider.records import Records
from tokenflight.provider.reports import key_status
from tokenflight.provider.revoking import Revoking
from tokenflight.provider.shelf import Shelf
from tokenflight.provider.skew import Skews
from tokenflight.provider.validation import Validation
from tokenflight.stores.contract import Store

if TYPE_CHECKING:
    from tokenflight.provider.connection import Connection


class Holdings:
    """The clients, the engine that keeps their tokens, and the records of them: made together, from one clock."""

    def __init__(
        self,
        clients: ClientsArgument,
        *,
        connection: Connection,
        store: Store | None,
        refresh: RefreshPolicy,
        retry: RetryPolicy,
        hooks: Iterable[Hook],
        max_keys: int,
        max_flights: int,
        clock: Clock,
    ) -> None:
        self.connection = connection
        self.clients = Clients(clients, clock=clock, timeout=retry.total_timeout, changed=self._changed)
        for client in self.clients:
            connection.check(client)
        self.engine = Engine(clock=clock, retry=retry, max_keys=max_keys, max_flights=max_flights, hooks=hooks)
        shelf = None if store is None else Shelf(store, clock=clock)
        self.records = Records(shelf, clock=clock)
        self.lineages = Lineages(shelf, self.engine.state)
        self.discovery = Discovery(state=self.engine.state, connection=connection)
        skews = Skews()
        self._revoking = self._made_revoking(skews)
        self.key_sets = KeySets(state=self.engine.state, connection=connection)
        self.validation = Validation(state=self.engine.state, discovery=self.discovery, key_sets=self.key_sets)
        self.mint = Mint(
            clients=self.clients,
            discovery=self.discovery,
            validation=self.validation,
            skews=skews,
            records=self.records,
            lineages=self.lineages,
            engine=self.engine,
            connection=connection,
            refresh=refresh,
        )

    def _made_revoking(self, skews: Skews) -> Revoking:
        return Revoking(
            state=self.engine.state,
            clients=self.clients,
            discovery=self.discovery,
            records=self.records,
            connection=self.connection,
            skews=skews,
            end_session=self._end_session,
        )

    def reset(self) -> None:
        """Forget what tasks were doing that are gone."""
        self.clients.reset()
        self.discovery.reset()
        self.key_sets.reset()
        self.lineages.reset()
        self._revoking.reset()

    async def close(self) -> None:
        """Save what is not saved yet, and close what was opened."""
        try:
            await self.lineages.flush()
        finally:
            await self.connection.close()

    def status(self, key: TokenKey) -> KeyStatus:
        """Say how one key stands."""
        state = self.engine.state
        return key_status(state, key, state.entries.find(key), state.clock.now())

    async def warm(self, key: TokenKey) -> None:
        """Get a token for a key that has none; a failure shows in its status."""
        try:
            await self.engine.asking.token(self.engine.state.entry(key), 0.0)
        except TokenFlightError:
            return

    async def forget(self, key: TokenKey) -> bool:
        """Let go of one key; return whether a token was held here."""
        held = self._let_go(key)
        client = self.clients.known(key.client)
        if client is not None:
            await self.records.discard(client, key, self.engine.state.hooks.emit)
        return held is not None

    async def revoke(self, key: TokenKey) -> bool:
        """Let go of one key, at once, and have its tokens revoked; return whether they were.

        It goes on where its caller is cancelled. Raises ProviderClosedError where nothing can be sent; the key is let
        go of even there.
        """
        if not self.engine.state.open:
            await self.forget(key)
            self.engine.asking.require_open()
        return await self._revoking.run(key, self._let_go(key))

    def _let_go(self, key: TokenKey) -> Token | None:
        """Drop what is held here of a key, and return it."""
        entry = self.engine.state.entries.find(key)
        if entry is None:
            return None
        token = entry.token
        self.engine.forget(entry)
        return token

    async def _end_session(self, client: OAuthClient, key: TokenKey) -> Secret | None:
        """End the session that a key lives on, for all its keys, and return its newest refresh token.

        A refresh that is on its way is waited for: what it brings would outlive the session.
        """
        lineage = self.lineages.of(client, key)
        if lineage is None:
            return None
        async with lineage.turn:
            await self.lineages.look(lineage, key)
            session = lineage.session
            await self.lineages.drop([lineage])
        self.lineages.let_go(lineage)
        for other in lineage.keys - {key}:
            await self.forget(other)
        return None if session is None else session.refresh_token

    async def forget_client(self, name: str, subject: AnySubject | None) -> int:
        """Let go of a client's keys and sessions, or of one subject's of them; return how many keys there were."""
        await self._end_sessions(name, subject)
        keys = [entry.key for entry in self.engine.state.entries.of_client(name)]
        chosen = [key for key in keys if subject is None or key.subject == subject]
        for key in chosen:
            await self.forget(key)
        if subject is None:
            self.clients.drop(name)
            self.engine.state.lanes.drop_client(name)
        return len(chosen)

    async def _end_sessions(self, name: str, subject: AnySubject | None) -> None:
        """End a client's sessions, or a subject's, which may be one that only the store knows."""
        client = None if subject is None else self.clients.known(name) or await self.clients.find(name)
        if isinstance(client, OAuthClient):
            self.lineages.of(client, TokenKey(client=name, subject=subject))
        sessions = self.lineages.of_client(name)
        await self.lineages.drop(each for each in sessions if subject is None or each.subject == subject)

    async def _changed(self, name: str, was: OAuthClient) -> None:
        """Let go of what is held under a name that stands for another client from now on."""
        await self.lineages.drop(self.lineages.of_client(name))
        dropped = self.engine.clear_client(name)
        self.engine.state.hooks.emit(ClientChanged(client=name, forgotten=len(dropped)))
        for key in dropped:
            await self.records.discard(was, key, self.engine.state.hooks.emit)
