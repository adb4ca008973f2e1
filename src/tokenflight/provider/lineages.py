"""Lineages: who may spend a session's refresh token when, and how what becomes of it is kept."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

import anyio
from attrs import evolve

from tokenflight.engine.state import State
from tokenflight.model.key import Subject, TokenKey
from tokenflight.model.secret import Secret
from tokenflight.protocol.authorization import AuthorizationCode
from tokenflight.protocol.client import OAuthClient
from tokenflight.protocol.refreshing import RefreshToken
from tokenflight.provider.lineage import Lineage
from tokenflight.provider.shelf import Failed, Shelf
from tokenflight.stores.contract import SessionRecord, record_name

logger = logging.getLogger(__name__)

SAVE_AGAIN: Final = 1.0
LONGEST_SAVE_AGAIN: Final = 60.0
_TRIES_TO_SAVE: Final = 3


class Lineages:
    """The sessions of one provider: in memory, which is the newest there is, and in its store."""

    def __init__(self, shelf: Shelf | None, state: State) -> None:
        self._shelf = shelf
        self._state = state
        self._by_name: dict[str, Lineage] = {}

    def __repr__(self) -> str:
        return f"Lineages({len(self._by_name)})"

    def reset(self) -> None:
        """Forget who has which turn: the tasks that had them are gone."""
        for lineage in self._by_name.values():
            lineage.turn, lineage.desk = anyio.Lock(), anyio.Lock()
            lineage.saving = False

    def of(self, client: OAuthClient, key: TokenKey) -> Lineage | None:
        """Return the lineage that a request for *key* belongs to; None where it spends no refresh token.

        Who is not at its turn or its desk before the next await has to ask again.
        """
        if not isinstance(client.grant, RefreshToken | AuthorizationCode) or not isinstance(key.subject, Subject):
            return None
        server = client.issuer or str(client.token_endpoint)
        name = record_name(("session", server, client.client_id, key.subject.type, key.subject.id, None))
        lineage = self._by_name.get(name)
        if lineage is None:
            lineage = self._by_name[name] = Lineage(name, server, client.client_id, key.subject)
        lineage.keys.add(key)
        return lineage

    def of_client(self, client: str) -> list[Lineage]:
        """Return the lineages that keys of the client with that name belong to."""
        return [each for each in self._by_name.values() if any(key.client == client for key in each.keys)]

    def let_go(self, lineage: Lineage) -> None:
        """Drop a lineage that holds nothing, so that subjects without a session leave nothing behind."""
        if lineage.idle and self._by_name.get(lineage.name) is lineage:
            del self._by_name[lineage.name]

    async def look(self, lineage: Lineage, key: TokenKey) -> None:
        """Take over what the store has that is newer, or the news that the session was ended there."""
        async with lineage.desk:
            await self._find(lineage, key)

    async def rotate(self, lineage: Lineage, refresh_token: Secret | None, key: TokenKey) -> None:
        """Keep what came in place of the refresh token that was spent; where nothing came, that one stays."""
        session = lineage.session
        if session is not None and refresh_token is not None and refresh_token != session.refresh_token:
            session = evolve(
                session,
                generation=session.generation + 1,
                refresh_token=refresh_token,
                saved_at=self._state.clock.wall(),
            )
        lineage.replace(session)
        await self._save(lineage, key)

    async def adopt(self, lineage: Lineage, refresh_token: Secret, key: TokenKey) -> None:
        """Begin a session anew with a refresh token that came from outside; whole, even where that is cancelled."""
        with anyio.CancelScope(shield=True):
            async with lineage.desk:
                await self._find(lineage, key)
                known = (lineage.session, lineage.stored)
                session = SessionRecord(
                    generation=1 + max((record.generation for record in known if record is not None), default=0),
                    server=lineage.server,
                    client_id=lineage.client_id,
                    subject=lineage.subject,
                    refresh_token=refresh_token,
                    saved_at=self._state.clock.wall(),
                )
                lineage.begin_anew(session, owed=self._shelf is not None)
            await self._save(lineage, key)

    async def drop(self, lineages: Iterable[Lineage]) -> None:
        """End sessions, here and in the store."""
        dropped = list(lineages)
        for lineage in dropped:
            lineage.begin_anew(None, owed=self._shelf is not None)
        for lineage in dropped:
            await self._save(lineage, next(iter(lineage.keys)))
            self.let_go(lineage)

    async def flush(self) -> None:
        """Try once more to save what is not saved; for the end."""
        async with anyio.create_task_group() as tasks:
            for lineage in self._by_name.values():
                if lineage.unsaved:
                    lineage.saving = False  # who tried again is gone
                    tasks.start_soon(self._save, lineage, next(iter(lineage.keys)))

    async def _save(self, lineage: Lineage, key: TokenKey) -> None:
        """Tell the store of what is newest; where that fails, it is in memory, and tried again until it is kept."""
        if await self._saved(lineage, key) or lineage.saving:
            return
        logger.error("the session of %r could not be saved: it is kept in memory, and saved as soon as can be", key)
        if self._state.open:
            lineage.saving = True
            self._state.root.spawn(self._save_later, lineage, key)  # type: ignore[union-attr]  # open, so there is one

    async def _save_later(self, lineage: Lineage, key: TokenKey) -> None:
        pause, kept = SAVE_AGAIN, False
        while not kept:
            await self._state.clock.sleep_until(self._state.clock.now() + pause)
            pause, kept = min(LONGEST_SAVE_AGAIN, 2 * pause), await self._saved(lineage, key)
        lineage.saving = False
        self.let_go(lineage)

    async def _saved(self, lineage: Lineage, key: TokenKey) -> bool:
        """Try to save what is newest, or to discard what was ended; return whether nothing is left to be saved.

        Where another came first, theirs counts, but for what was begun here on purpose. What is unreadable there stays.
        """
        if self._shelf is None:
            return True
        async with lineage.desk:
            for _ in range(_TRIES_TO_SAVE):
                if not lineage.unsaved:
                    return True
                told = await self._tell(self._shelf, lineage, key)
                if isinstance(told, Failed) or (not told and not await self._find(lineage, key)):
                    break
        return not lineage.unsaved

    async def _tell(self, shelf: Shelf, lineage: Lineage, key: TokenKey) -> bool | Failed:
        """Make the store hold what is held here; False where something else lies there than was thought."""
        session, stored, epoch = lineage.session, lineage.stored, lineage.epoch
        emit = self._state.hooks.emit
        told: bool | Failed
        if session is None:
            told = await shelf.discard(lineage.name, key, emit) or True
        else:
            if stored is not None and session.generation <= stored.generation:
                session = lineage.session = evolve(session, generation=stored.generation + 1)
            expected = None if stored is None else stored.generation
            told = await shelf.save(lineage.name, session, key, emit, expected=expected)
        if told is True:
            lineage.stored = session
            lineage.owed &= lineage.epoch != epoch
        return told

    async def _find(self, lineage: Lineage, key: TokenKey) -> bool:
        """Read what the store has; return whether that can be gone by."""
        if self._shelf is None:
            return True
        record = await self._shelf.load(lineage.name, key, self._state.hooks.emit)
        if isinstance(record, SessionRecord) and lineage.is_of(record):
            lineage.found(record)
        elif record is None:
            lineage.found(None)
        else:
            return False
        return True
