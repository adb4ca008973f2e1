"""Ahead of its end, for who uses it: what happens when the planned time has come."""

from __future__ import annotations

import logging

import pytest
from tests.kit.bench import KEY, Bench, failure, key

from tokenflight.engine.renewing import Renewing
from tokenflight.model.events import SchedulerFailed

pytestmark = pytest.mark.anyio


async def use(bench: Bench, which=KEY) -> None:
    await bench.engine.asking.token(bench.entry(which), 0.0)


async def test_a_key_in_use_is_renewed_ahead_and_its_callers_never_wait() -> None:
    async with Bench().entered() as bench:
        await bench.ask()
        for _ in range(50):
            await bench.clock.advance(10.0)
            before = bench.clock.now()
            await use(bench)
            assert bench.clock.now() == before
        assert set(bench.triggers[1:]) == {"schedule"}
        assert len(bench.flown) == 8


async def test_a_key_that_nobody_used_since_its_token_landed_lapses() -> None:
    async with Bench().entered() as bench:
        async with bench.asking(*[KEY] * 5):
            await bench.clock.advance(0.1)
        await bench.clock.advance(300.0)
        assert len(bench.flown) == 1
        assert len(bench.state.schedule) == 0


async def test_a_lapsing_key_that_is_used_once_it_is_due_is_renewed_by_that_use() -> None:
    async with Bench().entered() as bench:
        await bench.ask()
        await bench.clock.advance(65.0)
        assert bench.entry().fresh_until == 65.0
        await use(bench)
        await bench.clock.settle()
        assert bench.triggers == ["call", "due"]


async def test_a_key_whose_pin_ended_before_its_next_try_is_left_to_the_next_call() -> None:
    async with Bench().entered() as bench:
        bench.entry().pins = 1
        await bench.ask()
        bench.script(failure())
        await bench.clock.advance(65.5)
        entry = bench.entry()
        assert entry.fresh_until == 90.0, "its next try is planned"
        entry.pins = 0
        await bench.clock.advance(2.0)
        assert len(bench.flown) == 2
        assert entry.fresh_until == 65.0
        await use(bench)
        await bench.clock.settle()
        assert bench.triggers == ["call", "schedule", "due"]


async def test_a_pinned_key_is_renewed_unused() -> None:
    async with Bench().entered() as bench:
        bench.entry().pins = 1
        await bench.ask()
        await bench.clock.advance(300.0)
        assert bench.triggers[1:] == ["schedule"] * 4


async def test_a_pinned_key_whose_token_expired_is_asked_for_as_such() -> None:
    async with Bench().entered() as bench:
        bench.entry().pins = 1
        bench.engine.planning.keep_warm(bench.entry())
        await bench.clock.advance(1.0)
        assert bench.triggers == ["pinned"]


async def test_a_key_in_demand_that_is_bare_and_not_pinned_is_renewed_by_schedule() -> None:
    async with Bench().entered() as bench:
        await bench.ask()
        await use(bench)
        bench.state.schedule.plan(bench.entry(), 150.0)
        await bench.clock.advance(151.0)
        assert bench.triggers == ["call", "schedule"]


async def test_a_renewal_under_a_brake_is_planned_for_its_end() -> None:
    async with Bench().entered() as bench:
        await bench.ask()
        await use(bench)
        bench.entry().lane.told_to_wait(failure(retry_after=10.0), 60.0)
        await bench.clock.advance(74.8)
        assert len(bench.flown) == 1
        await bench.clock.advance(0.3)
        assert bench.launches[1:] == [75.0]


async def test_what_is_in_the_air_or_closed_is_left_alone() -> None:
    async with Bench(latency=5.0).entered() as bench:
        await bench.ask()
        await use(bench)
        async with bench.asking(lambda: bench.renew()):
            bench.state.schedule.plan(bench.entry(), bench.clock.now() + 0.5)
            await bench.clock.advance(1.0)
            assert len(bench.flown) == 2
        entry = bench.entry()
        bench.engine.forget(entry)
        bench.state.schedule.plan(entry, bench.clock.now())
        await bench.clock.settle()
        assert len(bench.flown) == 2


async def test_after_a_suspend_what_came_due_is_spread_and_not_fired_at_once() -> None:
    async with Bench(latency=0.0).entered() as bench:
        for which in (KEY, key("b")):
            await bench.ask(which)
            await use(bench, which)
        bench.lifetime = 1000.0
        await bench.ask(key("long"))
        await use(bench, key("long"))
        bench.state.schedule.plan(bench.entry(key("long")), 50.0)
        bench.clock.suspend(80.0)
        await bench.clock.settle()
        assert len(bench.flown) == 3
        await bench.clock.advance(40.0)
        assert sorted(bench.launches[3:]) == [85.0, 85.0, 110.0], "a quarter of what is left, 30 s at most"


async def test_what_expired_in_a_suspend_is_spread_over_ten_seconds() -> None:
    async with Bench(latency=0.0).entered() as bench:
        bench.entry().pins = 1
        await bench.ask()
        bench.clock.suspend(500.0)
        await bench.clock.advance(11.0)
        assert bench.launches[1:] == [510.0]
        assert bench.triggers[1:] == ["pinned"]


async def three_fail(bench: Bench) -> None:
    bench.script(*[failure()] * 3)
    for name in "abc":
        await bench.fails(key(name))
    assert bench.entry(key("a")).lane.health.state == "probing"


async def test_a_dead_endpoint_that_nobody_wants_is_left_in_peace() -> None:
    async with Bench().entered() as bench:
        await three_fail(bench)
        await bench.clock.advance(60.0)
        assert len(bench.flown) == 3


async def test_a_dead_endpoint_is_probed_for_the_key_asked_for_most_recently() -> None:
    async with Bench(latency=0.0).entered() as bench:
        await three_fail(bench)
        for name in "abcb":
            await bench.fails(key(name))
        await bench.clock.advance(0.5)
        probe = bench.flown[-1]
        assert (probe.trigger, probe.key, bench.launches[-1]) == ("probe", key("b"), 0.5)
        assert len(bench.flown) == 4


async def test_where_nobody_asks_it_is_probed_for_the_key_parked_last() -> None:
    async with Bench(latency=0.0).entered() as bench:
        await three_fail(bench)
        health = bench.entry(key("a")).lane.health
        health.parked = dict.fromkeys([key("a"), key("b"), key("gone")])
        bench.engine.planning.probe(health)
        bench.script(failure())
        await bench.clock.advance(0.5)
        assert (bench.triggers[3:], bench.flown[3].key) == (["probe"], key("b"))
        assert key("b") not in health.parked, "it is in the air, and parked anew where somebody wants it"


async def test_keys_in_use_outlive_a_dead_endpoint_that_comes_back_in_time() -> None:
    async with Bench(latency=0.0).entered() as bench:
        for name in ("x", "y"):
            await bench.ask(key(name))
            await use(bench, key(name))
        await bench.clock.advance(64.0)
        await three_fail(bench)
        bench.script(*[failure()] * 2)
        await bench.clock.advance(60.0)
        assert {flight.key for flight in bench.flown[5:]} == {key("x"), key("y")}
        assert all(bench.entry(key(name)).left(bench.clock.now()) > 0 for name in ("x", "y"))
        assert bench.entry(key("a")).lane.health.parked == {}


async def test_a_probe_for_who_is_gone_or_in_the_air_is_none() -> None:
    async with Bench(latency=0.0).entered() as bench:
        await three_fail(bench)
        health = bench.entry(key("a")).lane.health
        await bench.fails(key("a"))
        health.parked[key("gone")] = None
        bench.engine.forget(bench.entry(key("a")))
        await bench.clock.advance(5.0)
        assert len(bench.flown) == 3
        assert health.wanted is None


async def test_a_key_that_is_held_back_for_reasons_of_its_own_is_no_probe_and_comes_up_at_their_end() -> None:
    async with Bench(latency=0.0).entered() as bench:
        await three_fail(bench)
        entry, health = bench.entry(key("b")), bench.entry(key("a")).lane.health
        entry.pins, entry.brake, entry.not_before = 1, "permanent", 20.0
        health.parked = dict.fromkeys([key("a"), key("b")])
        bench.engine.planning.probe(health)
        bench.script(failure())
        await bench.clock.advance(0.5)
        assert (bench.triggers[3:], bench.flown[3].key) == (["probe"], key("a"))
        assert key("b") not in health.parked
        await bench.clock.advance(20.0)
        assert [flight.trigger for flight in bench.flown if flight.key == key("b")] == ["call", "pinned"]
        assert bench.launches[bench.flown.index(next(f for f in bench.flown if f.trigger == "pinned"))] >= 20.0


async def test_one_that_was_only_wanted_is_dropped_then() -> None:
    async with Bench(latency=0.0).entered() as bench:
        await three_fail(bench)
        entry, health = bench.entry(key("b")), bench.entry(key("a")).lane.health
        await bench.fails(key("b"))
        entry.brake, entry.not_before = "permanent", 20.0
        await bench.clock.advance(30.0)
        assert len(bench.flown) == 3
        assert health.wanted is None


async def test_an_endpoint_that_came_back_or_is_being_probed_is_not_probed() -> None:
    async with Bench(latency=0.0).entered() as bench:
        await three_fail(bench)
        health = bench.entry(key("a")).lane.health
        renewing: Renewing = bench.engine._renewing
        health.wanted, health.probe = key("a"), key("b")
        renewing._due(health, 1.0, False)
        assert health.wanted == key("a")
        health.probe = None
        health.answered(1.0)
        renewing._due(health, 1.0, False)
        assert len(bench.state.flights) == 0


async def test_an_endpoint_that_is_back_is_used_again_by_all_who_waited() -> None:
    async with Bench(latency=0.0).entered() as bench:
        names = [str(number) for number in range(5)]
        for name in names:
            await bench.ask(key(name))
            await use(bench, key(name))
        bench.script(*[failure()] * 4)
        await bench.clock.advance(99.0)
        assert bench.entry(key("0")).lane.health.state in ("up", "opening")
        for name in names:
            assert bench.entry(key(name)).left(bench.clock.now()) > 60.0


async def test_a_step_that_fails_is_told_and_the_schedule_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    async with Bench().entered() as bench:
        broken, good = bench.entry(key("broken")), bench.entry()
        broken.pins = good.pins = 1
        broken.life = "no life"  # type: ignore[assignment]
        for entry in (broken, good):
            bench.state.schedule.plan(entry, 1.0)
        await bench.clock.advance(2.0)
        assert bench.triggers == ["pinned"]
        assert bench.told(SchedulerFailed) == [SchedulerFailed(error="AttributeError")]
        broken.life = None
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert told == ["a step of the scheduler raised AttributeError; it goes on"]
