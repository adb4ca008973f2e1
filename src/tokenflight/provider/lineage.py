"""Lineage: one session as it is known here: what is newest, what the store has, what is in doubt. It sends nothing."""

from __future__ import annotations

from typing import Final

import anyio
from attrs import define, field, frozen

from tokenflight.errors import SessionLostError
from tokenflight.model.failure import Failure
from tokenflight.model.key import Subject, TokenKey
from tokenflight.protocol.refreshing import LOST_REPLY_WINDOW
from tokenflight.stores.contract import SessionRecord

REPLAYS: Final = 2


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

    Who sends has the `turn`; who compares memory with the store is at the `desk`. `epoch` goes up when the session is
    replaced or dropped on purpose, so that a refresh that is on its way by then leaves nothing behind. `stored` is what
    the store is known to hold; `owed` tells that what was begun or ended here has to replace whatever lies there.
    """

    name: str
    server: str
    client_id: str
    subject: Subject
    turn: anyio.Lock = field(factory=anyio.Lock, repr=False)
    desk: anyio.Lock = field(factory=anyio.Lock, repr=False)
    keys: set[TokenKey] = field(factory=set, repr=False)
    session: SessionRecord | None = None
    stored: SessionRecord | None = None
    owed: bool = False
    saving: bool = False
    epoch: int = 0
    doubt: Doubt | None = None
    unsure: bool = False
    lost: Failure | None = None

    @property
    def unsaved(self) -> bool:
        """Tell whether the store has to be told of what is newest."""
        return self.owed or (self.session is not None and not _same(self.session, self.stored))

    @property
    def idle(self) -> bool:
        """Tell whether it holds nothing, and nobody is about to change that."""
        kept = self.session is not None or self.owed or self.lost is not None
        return not (kept or self.turn.locked() or self.desk.locked())

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

    def replace(self, session: SessionRecord | None) -> None:
        """Go on with another refresh token, about which nothing is in doubt; None ends the session."""
        self.session = session
        self.doubt = self.lost = None
        self.unsure = False

    def begin_anew(self, session: SessionRecord | None, *, owed: bool) -> None:
        """Replace the session on purpose: what is on its way for the old one leaves nothing behind."""
        self.epoch += 1
        self.owed = owed
        self.replace(session)

    def is_of(self, record: SessionRecord) -> bool:
        """Tell whether *record* is really its own."""
        return (record.server, record.client_id, record.subject) == (self.server, self.client_id, self.subject)

    def found(self, record: SessionRecord | None) -> None:
        """Take note of what lies in the store, and go on with it where it is somebody else's and newer."""
        was, self.stored = self.stored, record
        if self.owed:
            return
        if record is not None and self._is_newer(record, was):
            self.replace(record)
        elif record is None and was is not None:  # ended elsewhere
            self.begin_anew(None, owed=False)

    def _is_newer(self, record: SessionRecord, was: SessionRecord | None) -> bool:
        """Tell a newer record from one of ours that was overtaken while it was saved.

        One that counts from the start again is newer too: the session was ended elsewhere, and begun anew.
        """
        if self.session is None or record.generation >= self.session.generation:
            return not _same(record, self.session)
        return was is not None and record.generation <= was.generation and not _same(record, was)


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


def _same(one: SessionRecord | None, other: SessionRecord | None) -> bool:
    """Tell whether both hold one refresh token."""
    return one is not None and other is not None and one.refresh_token == other.refresh_token
