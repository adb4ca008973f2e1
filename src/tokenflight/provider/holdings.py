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
from tokenflight.model.status import KeyStatus
from tokenflight.protocol.client import OAuthClient
from tokenflight.provider.clients import Clients, ClientsArgument
from tokenflight.provider.lineages import Lineages
from tokenflight.provider.mint import Mint
from tokenflight.provider.records import Records
from tokenflight.provider.reports import key_status
from tokenflight.provider.shelf import Shelf
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
        self._connection = connection
        self.clients = Clients(clients, clock=clock, timeout=retry.total_timeout, changed=self._changed)
        self.engine = Engine(clock=clock, retry=retry, max_keys=max_keys, max_flights=max_flights, hooks=hooks)
        shelf = None if store is None else Shelf(store, clock=clock)
        self.records = Records(shelf, clock=clock)
        self.lineages = Lineages(shelf, self.engine.state)
        self.mint = Mint(
            clients=self.clients,
            records=self.records,
            lineages=self.lineages,
            engine=self.engine,
            connection=connection,
            refresh=refresh,
        )

    def reset(self) -> None:
        """Forget what tasks were doing that are gone."""
        self.clients.reset()
        self.lineages.reset()

    async def close(self) -> None:
        """Save what is not saved yet, and close what was opened."""
        try:
            await self.lineages.flush()
        finally:
            await self._connection.close()

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
        entry = self.engine.state.entries.find(key)
        held = entry is not None and entry.token is not None
        if entry is not None:
            self.engine.forget(entry)
        client = self.clients.known(key.client)
        if client is not None:
            await self.records.discard(client, key, self.engine.state.hooks.emit)
        return held

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
