"""Records: what a store keeps of tokens, and what of it may be taken. A store that fails costs no call anything."""

from __future__ import annotations

from attrs import evolve

from tokenflight.engine.flight import Minted
from tokenflight.model.clock import Clock
from tokenflight.model.key import Subject, TokenKey
from tokenflight.model.policy import RefreshPolicy
from tokenflight.model.subject_token import SubjectToken
from tokenflight.protocol.client import OAuthClient
from tokenflight.protocol.grants import Fetch, Named, effective_scope
from tokenflight.provider.shelf import Emit, Shelf
from tokenflight.stores.contract import TokenRecord, record_name


class Records:
    """Token records of one provider in its store: none without a store, nor where nothing lasting names the request.

    That is so for `Fetch`, and for a subject known by a token, which no other process could tell from another's.
    """

    def __init__(self, shelf: Shelf | None, *, clock: Clock) -> None:
        self._shelf = shelf
        self._clock = clock

    async def load(self, client: OAuthClient, key: TokenKey, emit: Emit) -> TokenRecord | None:
        """Return the record of a key, where there is one that is really its own."""
        if self._shelf is None or not _nameable(client, key):
            return None
        record = await self._shelf.load(_name(client, key), key, emit)
        return record if isinstance(record, TokenRecord) and record.key == _stored_key(client, key) else None

    async def save(
        self, client: OAuthClient, key: TokenKey, minted: Minted, emit: Emit, *, after: TokenRecord | None
    ) -> None:
        """Keep a new token in place of the record that was found before; a newer one that came meanwhile stays."""
        if self._shelf is None or not _nameable(client, key):
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
        await self._shelf.save(_name(client, key), record, key, emit, expected=expected)

    async def discard(self, client: OAuthClient, key: TokenKey, emit: Emit) -> None:
        """Remove the record of a key."""
        if self._shelf is not None and _nameable(client, key):
            await self._shelf.discard(_name(client, key), key, emit)

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


def _nameable(client: OAuthClient, key: TokenKey) -> bool:
    return not isinstance(client.grant, Fetch) and not isinstance(key.subject, SubjectToken)


def _stored_key(client: OAuthClient, key: TokenKey) -> TokenKey:
    """Return a key that means the same in every provider: the registered client, the effective scope."""
    return evolve(key, client=client.client_id, scope=effective_scope(client, key))


def _name(client: OAuthClient, key: TokenKey) -> str:
    """Name a record by everything that shapes the request; a secret does not, so that a new one finds the old token.

    How its token was validated counts too: what was kept without is nothing to who demands it.
    """
    subject, audience, validation = key.subject, key.audience, client.validation
    return record_name(
        (
            client.issuer,
            client.token_endpoint,
            client.client_id,
            client.authentication.method,
            client.grant.grant_type,
            repr(client.grant),
            client.grant.named_by if isinstance(client.grant, Named) else None,
            client.parameters,
            (subject.type, subject.id) if isinstance(subject, Subject) else None,
            None if audience is None else (audience.type, audience.value),
            effective_scope(client, key),
            None if validation is None else repr(validation),
        )
    )
