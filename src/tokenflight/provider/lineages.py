"""Lineages: sessions, and who may spend a refresh token when. A session's keys spend its one refresh token in turn."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

import anyio
from attrs import define, evolve, field, frozen

from tokenflight.engine.state import State
from tokenflight.errors import SessionLostError
from tokenflight.model.failure import Failure
from tokenflight.model.key import Subject, TokenKey
from tokenflight.model.secret import Secret
from tokenflight.protocol.authorization import AuthorizationCode
from tokenflight.protocol.client import OAuthClient
from tokenflight.protocol.refreshing import LOST_REPLY_WINDOW, RefreshToken
from tokenflight.provider.shelf import Failed, Shelf
from tokenflight.stores.contract import SessionRecord, record_name

logger = logging.getLogger(__name__)

REPLAYS: Final = 2
SAVE_AGAIN: Final = 1.0
LONGEST_SAVE_AGAIN: Final = 60.0


@frozen
class Doubt:
    """A refresh token was sent and its reply is not known: it may be spent, and its successor is unknown.

    `since` is when it was first sent, on the age clock; `sends` how often since; `last_tried` tells that the one try
    was made that is left after the window.
    """

    since: float
    sends: int = 1
    last_tried: bool = False

    def in_window(self, now: float) -> bool:
        """Tell whether it may be sent again at once, whoever waits for it."""
        return now < self.since + LOST_REPLY_WINDOW and self.sends <= REPLAYS

    def sent_again(self, now: float) -> Doubt:
        """Count another send."""
        return Doubt(self.since, self.sends + 1, last_tried=not self.in_window(now))


@define(eq=False)
class Lineage:
    """One session, and those who share its refresh token.

    `epoch` goes up when the session is replaced or dropped on purpose, so that a refresh that is on its way by then
    leaves nothing behind; `stored` is the generation that the store is known to hold.
    """

    name: str
    server: str
    client_id: str
    subject: Subject
    turn: anyio.Lock = field(factory=anyio.Lock, repr=False)
    keys: set[TokenKey] = field(factory=set, repr=False)
    session: SessionRecord | None = None
    stored: int | None = None
    epoch: int = 0
    doubt: Doubt | None = None
    unsure: bool = False
    lost: Failure | None = None

    def refusal(self, now: float, *, bare: bool) -> Failure | None:
        """Say why the refresh token must not be sent now; *bare* where no usable access token is left."""
        if self.lost is not None or self.doubt is None or self.doubt.in_window(now) or bare:
            return self.lost
        return IN_DOUBT

    def sending(self, now: float) -> Doubt | None:
        """Take the refresh token for sent, with no reply yet; return what was in doubt before, for `heard`."""
        was = self.doubt
        self.doubt = Doubt(now) if was is None else was.sent_again(now)
        return was

    def heard(self, was: Doubt | None) -> None:
        """Take back the doubt of a send: it was answered, or never left."""
        self.doubt = was

    def replace(self, session: SessionRecord | None, *, stored: int | None) -> None:
        """Go on with another refresh token, about which nothing is in doubt; None ends the session."""
        self.session, self.stored = session, stored
        self.doubt = self.lost = None
        self.unsure = False

    def begin_anew(self, session: SessionRecord | None, *, stored: int | None = None) -> None:
        """Replace the session on purpose: what is on its way for the old one leaves nothing behind."""
        self.epoch += 1
        self.replace(session, stored=stored)


class Lineages:
    """The sessions of one provider: in memory, which is the newest there is, and in its store."""

    def __init__(self, shelf: Shelf | None, state: State) -> None:
        self._shelf = shelf
        self._state = state
        self._by_name: dict[str, Lineage] = {}
        self._saving: set[str] = set()

    def __repr__(self) -> str:
        return f"Lineages({len(self._by_name)})"

    def reset(self) -> None:
        """Forget who has which turn: the tasks that had them are gone."""
        self._saving.clear()
        for lineage in self._by_name.values():
            lineage.turn = anyio.Lock()

    def of(self, client: OAuthClient, key: TokenKey) -> Lineage | None:
        """Return the lineage that a request for *key* belongs to; None where it spends no refresh token."""
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

    async def look(self, lineage: Lineage, key: TokenKey) -> None:
        """Take over what the store has that is newer, or the news that the session was ended there."""
        if self._shelf is None:
            return
        record = await self._shelf.load(lineage.name, key, self._state.hooks.emit)
        if isinstance(record, SessionRecord) and _is_of(record, lineage):
            if lineage.session is None or record.generation > lineage.session.generation:
                lineage.replace(record, stored=record.generation)
            else:
                lineage.stored = record.generation
        elif record is None and lineage.stored is not None:
            lineage.begin_anew(None)

    async def rotate(self, lineage: Lineage, refresh_token: Secret | None, key: TokenKey) -> None:
        """Keep what came in place of the refresh token that was spent; where nothing came, that one stays."""
        session = lineage.session
        if session is None or refresh_token is None or refresh_token == session.refresh_token:
            lineage.replace(session, stored=lineage.stored)
            return
        newer = evolve(
            session,
            generation=session.generation + 1,
            refresh_token=refresh_token,
            saved_at=self._state.clock.wall(),
        )
        lineage.replace(newer, stored=lineage.stored)
        await self._save(lineage, key)

    async def adopt(self, lineage: Lineage, refresh_token: Secret, key: TokenKey) -> None:
        """Begin a session anew with a refresh token that came from outside."""
        await self.look(lineage, key)
        known = max(lineage.stored or 0, 0 if lineage.session is None else lineage.session.generation)
        session = SessionRecord(
            generation=known + 1,
            server=lineage.server,
            client_id=lineage.client_id,
            subject=lineage.subject,
            refresh_token=refresh_token,
            saved_at=self._state.clock.wall(),
        )
        lineage.begin_anew(session, stored=lineage.stored)
        await self._save(lineage, key)

    async def drop(self, lineages: Iterable[Lineage]) -> None:
        """End sessions, here and in the store."""
        for lineage in lineages:
            lineage.begin_anew(None)
            self._by_name.pop(lineage.name, None)
            if self._shelf is not None:
                key = next(iter(lineage.keys))
                await self._shelf.discard(lineage.name, key, self._state.hooks.emit)

    async def _save(self, lineage: Lineage, key: TokenKey) -> None:
        """Keep the newest refresh token in the store; where that fails, in memory, and try again until it is kept."""
        if await self._kept(lineage, key) or lineage.name in self._saving:
            return
        logger.error("a refresh token of %r could not be saved: it is kept in memory, and saved as soon as can be", key)
        if self._state.open:
            self._saving.add(lineage.name)
            self._state.root.spawn(self._save_later, lineage, key)  # type: ignore[union-attr]  # open, so there is one

    async def _save_later(self, lineage: Lineage, key: TokenKey) -> None:
        pause = SAVE_AGAIN
        while True:
            await self._state.clock.sleep_until(self._state.clock.now() + pause)
            if await self._kept(lineage, key):
                self._saving.discard(lineage.name)
                return
            pause = min(LONGEST_SAVE_AGAIN, 2 * pause)

    async def flush(self) -> None:
        """Try once more to save what is not saved; for the end."""
        for lineage in self._by_name.values():
            if lineage.name in self._saving:
                await self._kept(lineage, next(iter(lineage.keys)))
        self._saving.clear()

    async def _kept(self, lineage: Lineage, key: TokenKey) -> bool:
        """Save what is newest; where another came first, theirs counts. Return whether nothing is left to be saved."""
        session = lineage.session
        if session is None or self._shelf is None or lineage.stored == session.generation:
            return True
        emit = self._state.hooks.emit
        kept = await self._shelf.save(lineage.name, session, key, emit, expected=lineage.stored)
        if isinstance(kept, Failed):
            return False
        if kept:
            lineage.stored = session.generation
            return lineage.session is session
        theirs = await self._shelf.load(lineage.name, key, emit)
        if isinstance(theirs, SessionRecord) and _is_of(theirs, lineage):
            lineage.replace(theirs, stored=theirs.generation)
        elif theirs is None:
            lineage.begin_anew(None)
        return not isinstance(theirs, Failed)


def lost(*, ambiguous: bool, detail: str) -> Failure:
    """Return the failure of a session that only a person can bring back."""
    return Failure(
        error=SessionLostError,
        reason="session_lost",
        detail=f"the session is lost: {detail}",
        transient=False,
        ambiguous=ambiguous,
        hint="let the person log in again; where another program or process spends the same refresh token, let both "
        "share one store",
    )


LOGGED_OUT: Final = Failure(
    error=SessionLostError,
    reason="no_session",
    detail="there is no session of this subject",
    transient=False,
    hint="let the person log in (sessions.begin and redeem), or hand over a refresh token (sessions.adopt)",
)

IN_DOUBT: Final = Failure(
    reason="in_doubt",
    detail="the reply to the last refresh was lost: one more try is made when the access token is over",
)


def _is_of(record: SessionRecord, lineage: Lineage) -> bool:
    return (record.server, record.client_id, record.subject) == (lineage.server, lineage.client_id, lineage.subject)
