"""One session as it is known here: doubts, and what the store's word means beside memory's."""

from __future__ import annotations

import anyio
import pytest
from attrs import evolve

from tokenflight import Secret, SessionLostError, Subject, TokenKey
from tokenflight.provider.lineage import IN_DOUBT, LOGGED_OUT, REPLAYS, Doubt, Lineage, lost
from tokenflight.stores import SessionRecord

pytestmark = pytest.mark.anyio


def record(value: str = "r1", generation: int = 1, **fields: object) -> SessionRecord:
    known = {"server": "https://auth.test", "client_id": "c", "subject": Subject("ann"), "saved_at": 0.0}
    return SessionRecord(generation=generation, refresh_token=Secret(value), **known | fields)  # type: ignore[arg-type]


def lineage(session: SessionRecord | None = None, stored: SessionRecord | None = None, **fields: object) -> Lineage:
    made = Lineage("name", "https://auth.test", "c", Subject("ann"), **fields)  # type: ignore[arg-type]
    made.session, made.stored = session, stored
    return made


def test_without_a_doubt_the_refresh_token_may_be_sent() -> None:
    assert lineage(record()).refusal(0.0, bare=False) is None


def test_for_ten_seconds_and_two_more_sends_a_lost_reply_is_no_refusal() -> None:
    held = lineage(record())
    for at in (0.0, 3.0, 6.0):
        assert held.refusal(at, bare=False) is None
        held.sending(at)
    assert held.doubt == Doubt(0.0, sends=1 + REPLAYS)
    assert held.refusal(6.0, bare=False) is IN_DOUBT
    assert held.refusal(6.0, bare=True) is None
    slow = lineage(record())
    slow.sending(0.0)
    assert slow.refusal(9.999, bare=False) is None
    assert slow.refusal(10.0, bare=False) is IN_DOUBT
    assert slow.refusal(10.0, bare=True) is None


def test_what_is_sent_after_that_is_the_last_try() -> None:
    held = lineage(record())
    held.sending(0.0)
    assert held.doubt is not None
    assert not held.doubt.last_tried
    held.sending(5.0)
    assert not held.doubt.last_tried
    was = held.sending(60.0)
    assert held.doubt == Doubt(0.0, sends=3, last_tried=True)
    held.heard(was)
    assert held.doubt == Doubt(0.0, sends=2), "it was answered, so the try is still left"


def test_a_lost_session_is_refused_whatever_else_holds() -> None:
    held = lineage(record())
    held.lost = failure = lost(ambiguous=True, detail="gone")
    assert held.refusal(0.0, bare=True) is failure
    held.begin_anew(record("r2", 2), owed=False)
    assert held.refusal(0.0, bare=True) is None


def test_another_refresh_token_takes_doubt_and_loss_away() -> None:
    held = lineage(record())
    held.sending(0.0)
    held.unsure, held.lost = True, LOGGED_OUT
    held.replace(record("r2", 2))
    assert (held.doubt, held.unsure, held.lost) == (None, False, None)
    assert held.epoch == 0
    held.begin_anew(None, owed=True)
    assert (held.epoch, held.session, held.owed) == (1, None, True)


FOUND = [
    ("nothing here", None, None, record("s", 4), "s"),
    ("a newer one", record("a", 2), record("a", 2), record("b", 3), "b"),
    ("another of the same count", record("a", 2), record("z", 1), record("b", 2), "b"),
    ("ours", record("a", 2), record("a", 2), record("a", 2), "a"),
    ("ours under a later count", record("a", 2), record("a", 2), record("a", 3), "a"),
    ("ours of before, which is saved late", record("c", 3), record("a", 1), record("b", 2), "c"),
    ("ours of before, unsaved so far", record("c", 3), None, record("b", 2), "c"),
    ("what was there before", record("c", 3), record("a", 1), record("a", 1), "c"),
    ("one that counts from 1 again", record("e", 5), record("e", 5), record("n", 1), "n"),
    ("one that counts again, beside an unsaved one", record("e", 5), record("d", 4), record("n", 4), "n"),
]


@pytest.mark.parametrize(("here", "known", "there", "newest"), [case[1:] for case in FOUND], ids=[c[0] for c in FOUND])
def test_what_lies_in_the_store_counts_where_it_is_somebody_elses_and_newer(
    here: SessionRecord | None, known: SessionRecord | None, there: SessionRecord, newest: str
) -> None:
    held = lineage(here, known)
    held.found(there)
    assert held.session is not None
    assert held.session.refresh_token.reveal() == newest
    assert held.stored is there
    assert held.unsaved is (held.session.refresh_token != there.refresh_token)


def test_one_that_was_there_and_is_gone_was_ended_and_one_that_never_was_is_still_to_be_saved() -> None:
    ended = lineage(record(), record())
    ended.found(None)
    assert (ended.session, ended.stored, ended.epoch, ended.unsaved) == (None, None, 1, False)
    new = lineage(record())
    new.found(None)
    assert new.session is not None
    assert new.unsaved


@pytest.mark.parametrize("there", [None, record("b", 7)])
def test_what_was_begun_or_ended_here_on_purpose_is_not_replaced(there: SessionRecord | None) -> None:
    for session in (record("mine", 2), None):
        held = lineage(session, record("a", 1), owed=True)
        held.found(there)
        assert held.session is session
        assert held.stored is there
        assert held.unsaved


@pytest.mark.parametrize("other", [{"server": "x"}, {"client_id": "x"}, {"subject": Subject("ann", "kind")}])
def test_a_record_is_its_own_only_where_all_of_it_says_so(other: dict[str, object]) -> None:
    assert lineage().is_of(record())
    assert not lineage().is_of(evolve(record(), **other))


async def test_it_is_idle_where_it_holds_nothing_and_nobody_is_at_it() -> None:
    held = lineage()
    assert held.idle
    for lock in (held.turn, held.desk):
        async with lock:
            assert not held.idle
    held.lost = LOGGED_OUT
    assert not held.idle
    assert not lineage(record()).idle
    assert not lineage(owed=True).idle
    assert held.turn.statistics() == anyio.Lock().statistics()


def test_nothing_of_it_shows_in_its_repr() -> None:
    held = lineage(record("CNRY-refresh"), record("CNRY-stored"))
    held.keys.add(TokenKey(client="c", subject=Subject("ann")))
    assert "CNRY" not in repr(held)
    assert "ann" not in repr(held)


def test_what_a_lost_session_says() -> None:
    error = lost(ambiguous=True, detail="it was told so").exception(TokenKey(client="c"))
    assert isinstance(error, SessionLostError)
    assert (error.ambiguous, error.transient, error.reason) == (True, False, "session_lost")
    assert "let both share one store" in str(error)
    assert IN_DOUBT.transient
