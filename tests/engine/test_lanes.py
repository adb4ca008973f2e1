"""Lanes: one health an endpoint, one lane a client at it, and what is said of them."""

from __future__ import annotations

import pytest
from tests.kit.bench import failure, key

from tokenflight.engine.entries import Entries, Entry
from tokenflight.engine.health import Lane
from tokenflight.engine.lanes import COUNTED_EACH_TIME, Lanes
from tokenflight.model.policy import Life, RetryPolicy, Span
from tokenflight.model.token import Token

URL, LABEL = "https://auth.test/token", "https://auth.test"


def highest(low: float, high: float) -> float:
    return high


def lanes() -> Lanes:
    return Lanes(max_flights=4, retry=RetryPolicy())


def entries() -> Entries:
    return Entries(1_000_000, highest)


def held(kept: Entries, lane: Lane | None, name: str, *, ends: float, used: bool = True) -> Entry:
    entry = kept.add(key(name))
    entry.lane = lane
    entry.hold(Token(name), Life(0.0, ends, Span(ends, ends, ends)))
    if used:
        entry.used_at = 0.0
    return entry


def test_a_client_at_an_endpoint_has_one_lane() -> None:
    all_lanes = lanes()
    first = all_lanes.lane("c", URL, LABEL, 1.0)
    assert all_lanes.lane("c", URL, LABEL, 2.0) is first
    assert (first.client, first.health.label, first.health.since, first.health.places.maximum) == ("c", LABEL, 1.0, 4)


def test_clients_at_one_endpoint_share_its_health_and_at_another_they_do_not() -> None:
    all_lanes = lanes()
    mine, theirs = all_lanes.lane("c", URL, LABEL, 0.0), all_lanes.lane("d", URL, LABEL, 0.0)
    elsewhere = all_lanes.lane("c", "https://other.test", "other", 0.0)
    assert mine is not theirs
    assert mine.health is theirs.health
    assert mine.health is not elsewhere.health
    assert repr(all_lanes) == "Lanes(3 clients at 2 endpoints)"


def test_a_dropped_client_is_known_no_more_and_neither_is_an_endpoint_that_nobody_else_flies_to() -> None:
    all_lanes = lanes()
    mine, theirs = all_lanes.lane("c", URL, LABEL, 0.0), all_lanes.lane("d", URL, LABEL, 0.0)
    all_lanes.drop_client("c")
    assert all_lanes.lane("c", URL, LABEL, 0.0) is not mine
    assert all_lanes.lane("c", URL, LABEL, 0.0).health is theirs.health
    all_lanes.drop_client("c")
    all_lanes.drop_client("d")
    assert repr(all_lanes) == "Lanes(0 clients at 0 endpoints)"


def test_an_endpoint_that_is_down_stays_known_whoever_leaves() -> None:
    all_lanes = lanes()
    mine = all_lanes.lane("c", URL, LABEL, 0.0)
    for _ in range(3):
        mine.health.failed(key("a"), failure(), 0.0, highest)
    all_lanes.drop_client("c")
    assert all_lanes.lane("d", URL, LABEL, 1.0).health is mine.health


def test_in_a_new_loop_nobody_is_in_the_air() -> None:
    all_lanes = lanes()
    mine = all_lanes.lane("c", URL, LABEL, 0.0)
    mine.trial = mine.health.probe = key("a")
    mine.health.places.in_air = 3
    all_lanes.reset()
    assert (mine.trial, mine.health.probe, mine.health.places.in_air) == (None, None, 0)


def test_the_report_says_how_each_endpoint_is() -> None:
    all_lanes, kept = lanes(), entries()
    mine = all_lanes.lane("c", URL, LABEL, 10.0)
    all_lanes.lane("c", "https://other.test", "other", 20.0)
    held(kept, mine, "long", ends=500.0)
    held(kept, mine, "short", ends=300.0)
    held(kept, mine, "unused", ends=200.0, used=False)
    held(kept, mine, "expired", ends=50.0)
    held(kept, None, "never asked", ends=1.0)
    mine.health.issued = 7
    one, other = all_lanes.report(kept, 100.0)
    assert (one.endpoint, one.state, one.since, one.last_error, one.next_probe_in) == (LABEL, "up", 90.0, None, None)
    assert (one.keys, one.keys_without_token, one.survives_for, one.issued) == (4, 1, 200.0, 7)
    assert (other.endpoint, other.since, other.keys, other.keys_without_token) == ("other", 80.0, 0, 0)
    assert (other.survives_for, other.issued) == (None, 0)


def test_the_shortest_life_counts_whatever_the_order() -> None:
    all_lanes, kept = lanes(), entries()
    mine = all_lanes.lane("c", URL, LABEL, 0.0)
    for name, ends in (("short", 30.0), ("long", 50.0)):
        held(kept, mine, name, ends=ends)
    assert all_lanes.report(kept, 0.0)[0].survives_for == 30.0


def test_of_an_endpoint_that_is_down_it_says_why_and_when_it_is_probed() -> None:
    all_lanes = lanes()
    mine = all_lanes.lane("c", URL, LABEL, 0.0)
    for _ in range(3):
        mine.health.failed(key("a"), failure("timeout"), 100.0, highest)
    [one] = all_lanes.report(entries(), 100.2)
    assert (one.state, one.last_error) == ("probing", "timeout")
    assert one.since == pytest.approx(0.2)
    assert one.next_probe_in == pytest.approx(0.3)
    [late] = all_lanes.report(entries(), 103.0)
    assert late.next_probe_in == 0.0


def test_the_report_is_fresh_while_there_are_few_keys_and_counted_once_a_second_where_there_are_many() -> None:
    all_lanes, kept = lanes(), entries()
    mine = all_lanes.lane("c", URL, LABEL, 0.0)
    for number in range(COUNTED_EACH_TIME - 1):
        kept.add(key(str(number))).lane = mine
    for now in (0.0, 0.5):
        assert all_lanes.report(kept, now)[0].since == now
    kept.add(key("one more"))
    assert [all_lanes.report(kept, now)[0].since for now in (0.6, 1.4)] == [0.5, 0.5]
    assert [all_lanes.report(kept, now)[0].since for now in (1.5, 2.0, 2.5)] == [1.5, 1.5, 2.5]
    assert all_lanes.report(kept, 1.0)[0].since == 1.0, "a clock of another boot is believed"
