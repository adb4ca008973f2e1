"""What is done later, and for which key a dead endpoint is tried next."""

from __future__ import annotations

import pytest
from tests.kit.bench import KEY, Bench, failure, key

from tokenflight.engine.entries import Entry
from tokenflight.engine.health import Brake, Lane
from tokenflight.engine.planning import Planning

pytestmark = pytest.mark.anyio


def planned(bench: Bench) -> dict[object, float]:
    """Return what is planned: keys by name, and lanes and endpoints by themselves."""
    live = [
        (moment.when, item) for _, moment in bench.state.schedule._heap for item in moment.items if item.plan is moment
    ]
    return {item.key if isinstance(item, Entry) else item: when for when, item in live}


def planning(bench: Bench) -> Planning:
    return bench.engine.planning


def boarded(bench: Bench, name: str) -> tuple[Entry, Lane]:
    entry = bench.entry(key(name))
    entry.lane = bench.state.lanes.lane("c", "https://auth.test/token", "https://auth.test", bench.clock.now())
    return entry, entry.lane


def down(bench: Bench, lane: Lane) -> None:
    for _ in range(3):
        lane.health.failed(key("any"), failure(), bench.clock.now(), bench.clock.uniform)


async def test_a_pinned_key_without_a_token_is_asked_for_at_once() -> None:
    bench = Bench()
    await bench.clock.advance(7.0)
    planning(bench).keep_warm(bench.entry())
    assert planned(bench) == {KEY: 7.0}


async def test_one_with_a_token_when_that_is_due_and_not_before_now() -> None:
    bench = Bench()
    async with bench.entered():
        await bench.ask()
    entry = bench.entry()
    bench.state.schedule.drop(entry)
    planning(bench).keep_warm(entry)
    assert planned(bench) == {KEY: 65.0}
    bench.state.schedule.drop(entry)
    await bench.clock.advance(80.0 - bench.clock.now())
    planning(bench).keep_warm(entry)
    assert planned(bench) == {KEY: 80.0}


async def test_one_whose_token_expired_is_asked_for_at_once() -> None:
    bench = Bench()
    async with bench.entered():
        await bench.ask()
    bench.state.schedule.drop(bench.entry())
    await bench.clock.advance(200.0 - bench.clock.now())
    planning(bench).keep_warm(bench.entry())
    assert planned(bench) == {KEY: 200.0}


async def test_what_is_planned_or_in_the_air_stays_as_it_is() -> None:
    async with Bench().entered() as bench:
        async with bench.asking(KEY):
            planning(bench).keep_warm(bench.entry())
            assert planned(bench) == {}
        bench.state.schedule.plan(bench.entry(), 50.0)
        planning(bench).keep_warm(bench.entry())
        assert planned(bench) == {KEY: 50.0}


@pytest.mark.parametrize(
    ("reason", "spread"),
    [("retry_after", 5.0), ("client", 5.0), ("backoff", 0.0), ("failed", 0.0), ("permanent", 0.0), ("pace", 0.0)],
)
async def test_the_next_try_is_planned_for_the_end_of_the_brake_and_spread_where_many_share_it(reason, spread) -> None:
    bench = Bench()
    entry, _ = boarded(bench, "a")
    planning(bench).postpone(entry, Brake(20.0, reason, failure()), 10.0)
    assert planned(bench) == {key("a"): 20.0 + spread}
    planning(bench).postpone(entry, Brake(5.0, reason, failure()), 10.0)
    assert planned(bench) == {key("a"): 10.0 + spread}, "never in the past"


async def test_a_key_whose_endpoint_is_down_is_parked_until_it_is_back() -> None:
    bench = Bench()
    entry, lane = boarded(bench, "a")
    down(bench, lane)
    planning(bench).postpone(entry, Brake(20.0, "probing", failure()), 10.0)
    assert list(lane.health.parked) == [key("a")]
    assert lane.health.wanted == key("a")
    assert planned(bench) == {lane.health: lane.health.next_probe_at}


async def test_a_key_that_is_postponed_stays_on_the_fast_path() -> None:
    async with Bench().entered() as bench:
        await bench.ask()
        planning(bench).postpone(bench.entry(), Brake(80.0, "backoff", failure()), 70.0)
        assert bench.entry().fresh_until == 90.0


async def test_a_dead_endpoint_is_probed_while_somebody_wants_it() -> None:
    bench = Bench()
    entry, lane = boarded(bench, "a")
    planning(bench).want(entry)
    assert (lane.health.wanted, planned(bench)) == (None, {}), "it is up"
    down(bench, lane)
    planning(bench).probe(lane.health)
    assert planned(bench) == {}, "nobody wants it"
    planning(bench).want(entry)
    assert (lane.health.wanted, planned(bench)) == (key("a"), {lane.health: 0.5})
    planning(bench).want(bench.entry(key("nowhere yet")))
    assert lane.health.wanted == key("a")


async def test_it_is_probed_for_who_is_parked_too() -> None:
    bench = Bench()
    _, lane = boarded(bench, "a")
    down(bench, lane)
    lane.health.parked[key("a")] = None
    planning(bench).probe(lane.health)
    assert planned(bench) == {lane.health: 0.5}


async def test_while_a_probe_is_in_the_air_no_other_is_planned() -> None:
    bench = Bench()
    entry, lane = boarded(bench, "a")
    down(bench, lane)
    lane.health.begin(key("b"))
    planning(bench).want(entry)
    assert (lane.health.wanted, planned(bench)) == (key("a"), {})


async def test_a_client_is_held_until_its_retry_after_is_over() -> None:
    async with Bench().entered() as bench:
        _, lane = boarded(bench, "a")
        lane.told_to_wait(failure(retry_after=8.0), 0.0)
        planning(bench).hold(lane)
        assert planned(bench) == {lane: 8.0}
        assert lane.health.places._blocked == {"c"}
        await bench.clock.advance(8.0)
        assert lane.health.places._blocked == set()


async def test_who_waited_for_an_endpoint_comes_back_spread_over_a_quarter_of_what_it_has_left() -> None:
    async with Bench(latency=0.0).entered() as bench:
        bench.lifetime = 60.0
        await bench.ask(key("short"))
        bench.lifetime = 10_000.0
        await bench.ask(key("long"))
    entry, lane = boarded(bench, "none")
    down(bench, lane)
    planning(bench).want(entry)
    for name in ("short", "long", "none", "gone"):
        lane.health.parked[key(name)] = None
    planning(bench).call_back(lane.health, 20.0)
    assert planned(bench) == {key("short"): 30.0, key("long"): 50.0, key("none"): 20.0}
    assert (lane.health.parked, lane.health.wanted) == ({}, None)
