"""Entries: the verdict on what is held, and who makes room."""

from __future__ import annotations

import math

import pytest
from tests.kit.bench import key

from tokenflight.engine.entries import NEVER, SAMPLE, VACANT, Entries, Entry
from tokenflight.engine.rejections import Rejections
from tokenflight.model.key import TokenKey
from tokenflight.model.policy import Life, Span
from tokenflight.model.subject_token import SubjectToken
from tokenflight.model.token import Token

NOBODY: frozenset[object] = frozenset()


def life(sent_at: float = 0.0) -> Life:
    return Life(sent_at, sent_at + 70.0, Span(100.0, 90.0, 100.0))


def first(low: float, high: float) -> float:
    return low


def entries(max_keys: int = 3, draw=first) -> Entries:
    return Entries(max_keys, draw)


def held(kept: Entries, name: str, client: str = "c", *, sent_at: float = 0.0, used: float | None = None) -> Entry:
    entry = kept.add(key(name, client))
    entry.hold(Token(name), life(sent_at))
    if used is not None:
        entry.used_at = used
    return entry


def test_a_new_entry_holds_nothing_and_nobody_wants_it() -> None:
    entry = entries().add(key("a"))
    assert (entry.token, entry.life, entry.verdict(0.0), entry.left(0.0)) == (None, None, "none", 0.0)
    assert (entry.fresh_until, entry.last_use(), entry.in_demand, entry.closed) == (NEVER, NEVER, False, False)
    assert repr(entry) == f"Entry({key('a')!r}, empty)"


@pytest.mark.parametrize(
    ("now", "verdict"), [(0.0, "fresh"), (69.9, "fresh"), (70.0, "due"), (90.0, "urgent"), (100.0, "expired")]
)
def test_the_verdict_goes_by_the_life_of_what_is_held(now, verdict) -> None:
    entry = held(entries(), "a")
    assert entry.verdict(now) == verdict
    assert entry.left(now) == 100.0 - now
    assert repr(entry) == f"Entry({key('a')!r}, held)"


def test_what_lands_ends_the_brake_and_the_failures_and_starts_demand_anew() -> None:
    entry = entries().add(key("a"))
    entry.failures = entry.refusals = 3
    entry.not_before = 50.0
    entry.used_at, entry.seen_at = 20.0, 10.0
    entry.hold(Token("a"), life())
    assert (entry.failures, entry.refusals, entry.not_before, entry.last) == (0, 0, NEVER, None)
    assert (entry.used_at, entry.in_demand) == (NEVER, False)
    assert entry.last_use() == 20.0, "but when it was used last is remembered"
    assert entry.fresh_until == 70.0


def test_a_token_used_since_it_landed_or_pinned_is_in_demand() -> None:
    entry = held(entries(), "a")
    entry.used_at = 5.0
    assert entry.in_demand
    assert entry.last_use() == 5.0
    other = held(entries(), "b")
    other.pins = 1
    assert other.in_demand


def test_with_a_renewal_on_its_way_callers_stay_on_the_fast_path_until_urgent() -> None:
    entry = held(entries(), "a")
    entry.settle()
    assert entry.fresh_until == 90.0
    entry.unsettle()
    assert entry.fresh_until == 70.0


def test_without_a_token_there_is_no_fast_path() -> None:
    entry = entries().add(key("a"))
    entry.settle()
    entry.unsettle()
    assert entry.fresh_until == NEVER


def test_cleared_it_keeps_its_pins_and_nothing_of_the_token() -> None:
    entry = held(entries(), "a", used=1.0)
    entry.pins, entry.seen_at = 2, 3.0
    entry.rejections = Rejections()
    entry.clear()
    assert (entry.pins, entry.seen_at, entry.closed) == (2, 3.0, False)
    assert (entry.token, entry.life, entry.fresh_until, entry.used_at, entry.rejections, entry.lane) == (
        None, None, NEVER, NEVER, None, None,
    )  # fmt: skip


def test_a_vacant_entry_is_closed_and_never_fresh() -> None:
    assert VACANT.closed
    assert VACANT.fresh_until == -math.inf
    assert "closed" in repr(VACANT)


def test_entries_are_found_by_their_keys_until_closed() -> None:
    kept = entries()
    a, b, c = (held(kept, name) for name in "abc")
    kept.close(a)
    assert kept.find(key("a")) is None
    assert (a.closed, a.token, a.fresh_until) == (True, None, NEVER)
    assert [kept.find(key(name)) for name in "bc"] == [b, c]
    kept.close(c)
    kept.close(b)
    assert (len(kept), list(kept)) == (0, [])


def test_closing_in_any_order_leaves_each_other_entry_where_it_is_found() -> None:
    kept = entries(100)
    made = [held(kept, str(number)) for number in range(20)]
    for number in (0, 19, 7, 18, 1):
        kept.close(made[number])
    left = [entry for number, entry in enumerate(made) if number not in (0, 19, 7, 18, 1)]
    assert set(kept) == set(left)
    assert [list(kept)[entry.index] for entry in left] == left


def test_the_entries_of_a_client_are_its_own() -> None:
    kept = entries()
    a, _ = held(kept, "a", "mine"), held(kept, "b", "theirs")
    assert kept.of_client("mine") == [a]
    assert kept.of_client("nobody") == []


def test_there_are_too_many_only_above_the_maximum() -> None:
    kept = entries(2)
    for name in "ab":
        held(kept, name)
    assert not kept.too_many()
    held(kept, "c")
    assert kept.too_many()
    assert repr(kept) == "Entries(3 of 2)"


def closed_in_turn(kept: Entries, spare: Entry) -> list[tuple[str, str]]:
    order = []
    while (choice := kept.victim(30.0, NOBODY, spare)) is not None:
        kept.close(choice[0])
        order.append((next(iter(choice[0].key.scope or "")), choice[1]))
    return order


def test_room_is_made_by_the_expired_then_the_lapsed_then_the_longest_unused() -> None:
    kept = entries(4)
    held(kept, "expired", sent_at=-100.0, used=29.0)
    held(kept, "lapsed")
    for used, name in ((22.0, "recent"), (20.0, "old"), (21.0, "middle")):
        held(kept, name, used=used)
    assert closed_in_turn(kept, held(kept, "new")) == [
        ("expired", "expired"),
        ("lapsed", "lapsed"),
        ("old", "unused"),
        ("middle", "unused"),
        ("recent", "unused"),
    ]


def test_what_one_token_alone_can_buy_goes_before_what_is_in_use_whoever_holds_less() -> None:
    kept = entries(3)
    held(kept, "in use", "mine", used=1.0)
    fleeting = kept.add(TokenKey(client="theirs", subject=SubjectToken("bearer")))
    fleeting.hold(Token("t"), life())
    fleeting.used_at = 29.0
    spare = held(kept, "new", "mine")
    assert kept.victim(30.0, NOBODY, spare) == (fleeting, "fleeting")
    fleeting.used_at = NEVER
    assert kept.victim(30.0, NOBODY, spare) == (fleeting, "lapsed")


def test_among_several_clients_only_one_with_its_share_or_more_makes_room_for_what_is_in_use() -> None:
    kept = entries(6)
    for number in range(4):
        held(kept, f"many{number}", "many", used=20.0 + number)
    for number in range(2):
        held(kept, f"few{number}", "few", used=1.0)
    spare = held(kept, "new", "many")
    assert kept.victim(30.0, NOBODY, spare) == (kept.find(key("many0", "many")), "crowding")
    busy = {key(f"many{number}", "many") for number in range(4)}
    assert kept.victim(30.0, busy, spare) is None, "nobody makes room until one of the crowd has landed"


def test_a_client_with_exactly_its_share_counts_as_crowding() -> None:
    kept = entries(3)
    mine = held(kept, "mine", "mine", used=1.0)
    held(kept, "theirs", "theirs", used=2.0)
    spare = held(kept, "new", "theirs")
    kept.close(spare)
    assert kept.victim(30.0, NOBODY, spare) == (mine, "crowding")


def test_pinned_keys_and_keys_in_flight_and_the_new_one_stay() -> None:
    kept = entries(1)
    pinned, flying, spare = held(kept, "pinned"), held(kept, "flying"), held(kept, "new")
    pinned.pins = 1
    assert kept.victim(1000.0, {flying.key}, spare) is None


def test_who_lacks_a_token_goes_with_the_expired() -> None:
    kept = entries(2)
    empty, spare = kept.add(key("empty")), held(kept, "new")
    held(kept, "live", used=1.0)
    assert kept.victim(2.0, NOBODY, spare) == (empty, "expired")


def test_among_equals_the_one_asked_for_longest_ago_goes() -> None:
    kept = entries(2)
    recent, old, spare = kept.add(key("recent")), kept.add(key("old")), held(kept, "new")
    recent.seen_at, old.seen_at = 5.0, 4.0
    assert kept.victim(10.0, NOBODY, spare) == (old, "expired")


def test_of_many_a_sample_is_looked_at() -> None:
    drawn = []

    def draw(low: float, high: float) -> float:
        drawn.append((low, high))
        return high  # a draw from the closed range may be its very end

    kept = entries(SAMPLE, draw)
    many = [held(kept, str(number), used=float(number)) for number in range(SAMPLE + 1)]
    assert kept.victim(50.0, NOBODY, many[0]) == (many[-1], "unused")
    assert drawn == [(0, SAMPLE + 1)] * SAMPLE


def test_few_are_looked_at_one_and_all() -> None:
    def draw(low: float, high: float) -> float:
        raise AssertionError("no draw")

    kept = entries(SAMPLE - 1, draw)
    many = [held(kept, str(number), used=float(number)) for number in range(SAMPLE)]
    assert kept.victim(50.0, NOBODY, many[0]) == (many[1], "unused")


def test_a_client_whose_last_key_closed_has_no_share_any_more() -> None:
    kept = entries(4)
    gone = held(kept, "gone", "gone")
    mine = [held(kept, str(number), "mine", used=1.0 + number) for number in range(3)]
    assert kept.victim(50.0, {gone.key}, mine[2]) == (mine[0], "crowding")
    kept.close(gone)
    assert kept.victim(50.0, NOBODY, mine[2]) == (mine[0], "unused"), "its only client has no share to keep to"
