"""Records: what a store keeps of tokens, and what of it may be taken. A store that fails costs no call anything."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Literal, TypeVar

from attrs import evolve

from tokenflight.engine.flight import Minted
from tokenflight.model.clock import Clock
from tokenflight.model.events import Event, StoreFailed
from tokenflight.model.key import Subject, TokenKey
from tokenflight.model.policy import RefreshPolicy
from tokenflight.model.subject_token import SubjectToken
from tokenflight.protocol.client import OAuthClient
from tokenflight.protocol.grants import Fetch, effective_scope
from tokenflight.stores.contract import Store, TokenRecord, record_name

TIMEOUT: Final = 1.0

T = TypeVar("T")
Emit = Callable[[Event], None]


class Records:
    """Token records of one provider in its store: none without a store, nor where nothing lasting names the request.

    That is so for `Fetch`, and for a subject known by a token, which no other process could tell from another's.
    """

    def __init__(self, store: Store | None, *, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def load(self, client: OAuthClient, key: TokenKey, emit: Emit) -> TokenRecord | None:
        """Return the record of a key, where there is one that is really its own."""
        if self._store is None or not _nameable(client, key):
            return None
        record = await self._bounded("load", key, self._store.load(_name(client, key)), emit)
        return record if isinstance(record, TokenRecord) and record.key == _stored_key(client, key) else None

    async def save(
        self, client: OAuthClient, key: TokenKey, minted: Minted, emit: Emit, *, after: TokenRecord | None
    ) -> None:
        """Keep a new token in place of the record that was found before; a newer one that came meanwhile stays."""
        if self._store is None or not _nameable(client, key):
            return
        record = TokenRecord(
            generation=1 if after is None else after.generation + 1,
            key=_stored_key(client, key),
            token=minted.token,
            sent_at=minted.token.issued_at.timestamp(),
            lifetime=minted.lifetime,
            refresh_in=minted.refresh_in,
        )
        expected = None if after is None else after.generation
        await self._bounded("save", key, self._store.save(_name(client, key), record, expected=expected), emit)

    async def discard(self, client: OAuthClient, key: TokenKey, emit: Emit) -> None:
        """Remove the record of a key."""
        if self._store is not None and _nameable(client, key):
            await self._bounded("discard", key, self._store.discard(_name(client, key)), emit)

    def minted(self, record: TokenRecord, client: OAuthClient, refresh: RefreshPolicy) -> Minted:
        """Return a record's token as a flight would bring it, its age counted by the wall clock and never below 0."""
        age = max(0.0, self._clock.wall() - record.sent_at)
        return Minted(
            token=record.token,
            sent_at=self._clock.now() - age,
            lifetime=record.lifetime,
            refresh=client.refresh or refresh,
            refresh_in=record.refresh_in,
            default_lifetime=client.default_lifetime if client.grant.repeatable else None,
        )

    async def _bounded(
        self, operation: Literal["load", "save", "discard"], key: TokenKey, work: Awaitable[T], emit: Emit
    ) -> T | None:
        """Wait for the store for a second at most; whatever it raises is an event and counts as nothing there."""
        reason = "timeout"
        with self._clock.timeout_at(self._clock.now() + TIMEOUT):
            try:
                return await work
            except Exception as error:
                reason = type(error).__name__
        emit(StoreFailed(key=key, operation=operation, reason=reason))
        return None


def _nameable(client: OAuthClient, key: TokenKey) -> bool:
    return not isinstance(client.grant, Fetch) and not isinstance(key.subject, SubjectToken)


def _stored_key(client: OAuthClient, key: TokenKey) -> TokenKey:
    """Return a key that means the same in every provider: the registered client, the effective scope."""
    return evolve(key, client=client.client_id, scope=effective_scope(client, key))


def _name(client: OAuthClient, key: TokenKey) -> str:
    """Name a record by everything that shapes the request; a secret does not, so that a new one finds the old token."""
    subject, audience = key.subject, key.audience
    return record_name(
        (
            client.issuer,
            client.token_endpoint,
            client.client_id,
            client.authentication.method,
            client.grant.grant_type,
            repr(client.grant),
            client.parameters,
            (subject.type, subject.id) if isinstance(subject, Subject) else None,
            None if audience is None else (audience.type, audience.value),
            effective_scope(client, key),
        )
    )
