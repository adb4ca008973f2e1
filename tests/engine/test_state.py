"""What an engine knows: its entries, its brakes, and who makes room for whom."""

from __future__ import annotations

import logging

import pytest
from tests.kit.bench import KEY, Bench, failure, key

from tokenflight.model.events import TokenEvicted
from tokenflight.model.failure import CLOSED

pytestmark = pytest.mark.anyio


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


async def test_it_tells_where_it_stands() -> None:
    bench = Bench()
    assert (bench.state.open, bench.state.entered) == (False, False)
    assert repr(bench.engine) == "Engine(closed, held=0, airborne=0, planned=0)"
    async with bench.entered():
        assert (bench.state.open, bench.state.entered) == (True, True)
        await bench.ask()
        async with bench.asking(key("other")):
            assert repr(bench.engine) == "Engine(open, held=2, airborne=1, planned=1)"
    assert (bench.state.open, bench.state.entered) == (False, False)


def test_a_key_has_one_entry() -> None:
    bench = Bench()
    assert bench.entry() is bench.entry()
    assert bench.entry(key("other")) is not bench.entry()


async def test_nothing_brakes_a_new_key() -> None:
    bench = Bench()
    assert bench.state.brake(bench.entry(), 0.0, bare=True) is None


async def test_pace_brakes_who_has_a_token_for_a_twentieth_of_its_life() -> None:
    async with Bench().entered() as bench:
        await bench.ask()
        entry = bench.entry()
        brake = bench.state.brake(entry, 4.9, bare=False)
        assert brake is not None
        assert (brake.reason, brake.until, brake.last) == ("pace", 5.0, CLOSED)
        assert bench.state.brake(entry, 5.0, bare=False) is None
        assert bench.state.brake(entry, 4.9, bare=True) is None


@pytest.mark.parametrize(("reason", "bare", "braked"), [
    ("backoff", False, True), ("backoff", True, False), ("failed", True, True), ("permanent", True, True),
])  # fmt: skip
async def test_the_backoff_of_a_live_token_counts_for_nothing_once_it_is_gone(reason, bare, braked) -> None:
    bench = Bench()
    entry = bench.entry()
    entry.not_before, entry.brake, entry.last = 10.0, reason, failure()
    brake = bench.state.brake(entry, 9.9, bare=bare)
    assert (brake is not None) is braked
    if brake is not None:
        assert (brake.until, brake.reason, brake.last) == (10.0, reason, entry.last)
    assert bench.state.brake(entry, 10.0, bare=bare) is None


async def test_of_several_brakes_the_one_that_ends_last_counts() -> None:
    async with Bench().entered() as bench:
        await bench.ask()
        entry = bench.entry()
        entry.not_before, entry.brake, entry.last = 3.0, "permanent", failure()
        brake = bench.state.brake(entry, 1.0, bare=False)
        assert brake is not None
        assert brake.reason == "pace"
        entry.lane.told_to_wait(failure(retry_after=20.0), 0.0)
        brake = bench.state.brake(entry, 1.0, bare=False)
        assert brake is not None
        assert (brake.reason, brake.until) == ("retry_after", 20.0)


async def test_a_flight_boards_the_lane_of_its_client_and_leaves_the_one_it_was_on() -> None:
    async with Bench().entered() as bench:
        await bench.ask()
        entry, old = bench.entry(), bench.entry().lane
        for _ in range(3):
            old.health.failed(key("any"), failure(), 0.0, bench.clock.uniform)
        old.begin(KEY)
        assert old.health.probe == KEY
        bench.endpoint = "https://other.test/token"
        await bench.clock.advance(100.0)
        await bench.ask()
        assert entry.lane is not old
        assert entry.lane.health is not old.health
        assert old.health.probe is None
        assert bench.flown[1].boarded


async def test_a_flight_whose_entry_is_gone_boards_all_the_same() -> None:
    bench = Bench()
    async with bench.entered():
        await bench.ask()
    flight = bench.flown[0]
    bench.engine.forget(bench.entry())
    assert bench.state.board(flight, bench.endpoint, "x").client == "c"


async def test_who_makes_room_for_a_new_key_is_closed_and_told(caplog) -> None:
    async with Bench(max_keys=2).entered() as bench:
        await bench.ask(key("lapsed"))
        await bench.ask(key("used"))
        await bench.engine.asking.token(bench.entry(key("used")), 0.0)
        lapsed = bench.entry(key("lapsed"))
        bench.entry(key("new"))
        assert lapsed.closed
        assert len(bench.state.schedule) == 1, "nobody renews what was closed"
        await bench.clock.settle()
        assert bench.told(TokenEvicted) == [TokenEvicted(key=key("lapsed"), reason="lapsed", live=True)]
        assert len(bench.state.entries) == 2


async def test_one_warning_a_minute_says_that_live_tokens_make_room(caplog) -> None:
    async with Bench(max_keys=1, latency=0.0).entered() as bench:
        for number in range(5):
            await bench.ask(key(str(number)))
        text = "live tokens make room for new keys: more than max_keys=1 keys are in use; raise max_keys"
        assert warnings(caplog) == [text]
        await bench.clock.advance(59.9)
        await bench.ask(key("before"))
        assert len(warnings(caplog)) == 1
        await bench.clock.advance(0.1)
        await bench.ask(key("after"))
        assert warnings(caplog) == [text, text]


async def test_who_has_no_live_token_makes_room_without_a_warning(caplog) -> None:
    async with Bench(max_keys=1).entered() as bench:
        bench.entry(key("empty"))
        bench.entry(key("new"))
        await bench.clock.settle()
        assert bench.told(TokenEvicted) == [TokenEvicted(key=key("empty"), reason="expired", live=False)]
        assert warnings(caplog) == []


async def test_where_all_are_pinned_there_are_more_than_the_maximum(caplog) -> None:
    async with Bench(max_keys=2).entered() as bench:
        for name in "abc":
            bench.entry(key(name)).pins = 1
        assert len(bench.state.entries) == 3
        assert bench.told(TokenEvicted) == []


async def test_a_sample_that_finds_nobody_is_drawn_again() -> None:
    bench = Bench(max_keys=100)
    for number in range(100):
        bench.entry(key(str(number))).pins = 1
    bench.entry(key("99")).pins = 0
    draws = iter([0.0] * 64 + [99.0] * 64)
    bench.state.entries._draw = lambda low, high: next(draws)
    bench.entry(key("new"))
    assert bench.state.entries.find(key("99")) is None


async def test_without_a_root_task_there_is_nothing_to_disturb() -> None:
    bench = Bench()
    with bench.state.undisturbed():
        pass
    async with bench.entered():
        assert bench.state.root is not None
        with bench.state.undisturbed():
            assert len(bench.state.root._undisturbed) == 1
        assert not bench.state.root._undisturbed
