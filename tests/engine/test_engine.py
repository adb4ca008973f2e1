"""The engine as a whole: started, stopped, started anew, and made to forget."""

from __future__ import annotations

import os

import anyio
import pytest
from tests.kit.bench import KEY, Bench, failure, key

from tokenflight.engine.flight import Flight, Minted
from tokenflight.errors import ProviderClosedError
from tokenflight.model.events import TokenForgotten
from tokenflight.model.failure import Failure

pytestmark = pytest.mark.anyio

REFUSED = failure("invalid_client", code="invalid_client", transient=False, counts=False)


class Ear:
    def __init__(self) -> None:
        self.heard: list[str] = []

    def landed(self) -> None:
        self.heard.append("landed")

    def ended(self) -> None:
        self.heard.append("ended")


async def test_what_is_held_outlives_leaving_and_is_renewed_again_after_entering() -> None:
    bench = Bench()
    async with bench.entered():
        token = await bench.ask()
        await bench.engine.asking.token(bench.entry(), 0.0)
    assert bench.cleaned == 1
    await bench.clock.advance(66.0)
    assert len(bench.flown) == 1
    async with bench.entered():
        assert bench.entry().token is token
        await bench.clock.advance(9.0)
        assert bench.triggers == ["call", "schedule"]
    assert bench.cleaned == 2


async def test_leaving_ends_pins_and_tells_who_watches() -> None:
    bench, ear = Bench(), Ear()
    bench.entry().pins = 2
    async with bench.entered():
        bench.engine.landing.watch(KEY, ear)
        await bench.clock.advance(1.0)
        assert ear.heard == ["landed"]
    assert bench.entry().pins == 0
    assert ear.heard == ["landed", "ended"]


async def test_pinned_keys_are_asked_for_on_entering() -> None:
    bench = Bench()
    bench.entry().pins = 1
    bench.entry(key("other"))
    async with bench.entered():
        await bench.clock.advance(1.0)
        assert [(flight.key, flight.trigger) for flight in bench.flown] == [(KEY, "pinned")]


async def test_leaving_before_entering_is_nothing() -> None:
    bench = Bench()
    await bench.engine.stop(1.0)
    assert bench.cleaned == 0


async def test_leaving_cancels_what_is_in_the_air_and_the_key_is_as_before() -> None:
    bench = Bench(latency=10.0)
    async with bench.entered():
        await bench.ask()
        await bench.clock.advance(60.0)
        async with bench.asking():
            await bench.engine.asking.token(bench.entry(), 0.0)
        assert len(bench.state.flights) == 1
    assert bench.state.flights == {}
    entry = bench.entry()
    assert (entry.failures, entry.fresh_until) == (0, 65.0)


async def test_a_flight_of_a_process_that_forked_is_not_the_childs(monkeypatch) -> None:
    bench = Bench(latency=10.0)
    async with bench.entered():
        await bench.ask()
        lane = bench.entry().lane
        await bench.clock.advance(60.0)
        await bench.engine.asking.token(bench.entry(), 0.0)
        await bench.clock.settle()
        gone = key("gone")
        bench.state.flights[gone] = Flight(key=gone, trigger="call", launched_at=0.0)
        lane.health.places.in_air, lane.trial = 5, KEY
        bench.state.begin_anew()
        assert bench.state.flights == {}
        assert bench.entry().fresh_until == 65.0, "the next call launches its own"
        assert (lane.health.places.in_air, lane.trial) == (0, None)
        lane.health.places.in_air = 1


async def test_in_another_loop_it_cannot_be_left() -> None:
    async with Bench().entered() as bench:
        root = bench.state.root
        home, root._home = root._home, object()
        with pytest.raises(ProviderClosedError, match=r"leave it in the loop that entered it$"):
            await bench.engine.stop(1.0)
        with pytest.raises(ProviderClosedError, match="use one provider a loop, with one store"):
            bench.engine.asking.require_open()
        root._home = home
        assert bench.state.open


async def test_one_that_died_with_its_process_may_be_left_anywhere(monkeypatch) -> None:
    bench = Bench()
    async with bench.entered():
        root, pid = bench.state.root, os.getpid()
        home, root._home = root._home, object()
        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", lambda: pid + 1)
            await bench.engine.stop(1.0)
        root._home, root._stopped = home, False
        assert bench.state.open


async def test_who_waits_is_told_even_where_a_flight_outlasts_the_grace() -> None:
    gate = anyio.Event()

    async def stubborn(flight: Flight) -> Minted | Failure:
        with anyio.CancelScope(shield=True):
            await gate.wait()
        return bench.minted()

    bench = Bench()
    await bench.engine.start(bench.mint, cleanup=bench.cleanup, grace=1.0)
    bench.script(stubborn)
    async with bench.asking(KEY) as got:
        await bench.clock.run(bench.engine.stop, 1.0)
        await bench.clock.settle()
        assert [type(error) for error in got] == [ProviderClosedError]
    gate.set()
    await bench.clock.settle()
    assert bench.entry().token is None, "what it brings then is nobody's"


async def test_a_forgotten_key_holds_nothing_is_planned_no_more_and_ends_for_who_watches() -> None:
    async with Bench().entered() as bench:
        ear = Ear()
        bench.entry().pins = 1
        await bench.ask()
        bench.engine.landing.watch(KEY, ear)
        entry = bench.entry()
        bench.engine.forget(entry)
        assert (entry.closed, entry.token, bench.state.entries.find(KEY)) == (True, None, None)
        assert ear.heard == ["ended"]
        assert len(bench.state.schedule) == 0
        await bench.clock.advance(500.0)
        assert len(bench.flown) == 1


async def test_what_is_forgotten_is_told() -> None:
    bench = Bench()
    async with bench.entered():
        await bench.ask()
        bench.engine.forget(bench.entry())
    assert bench.events[-1] == TokenForgotten(key=KEY)


async def test_a_call_after_forgetting_launches_its_own_flight() -> None:
    async with Bench(latency=1.0).entered() as bench:
        async with bench.asking(KEY) as first:
            bench.engine.forget(bench.entry())
            async with bench.asking(KEY) as second:
                await bench.clock.advance(1.0)
                assert {token.header for token in (*first, *second)} == {"Bearer t1", "Bearer t2"}
        assert bench.entry().token is second[0]


async def test_forgetting_lifts_what_held_the_client_back_and_frees_its_probe() -> None:
    async with Bench(latency=1.0).entered() as bench:
        bench.script(REFUSED)
        await bench.fails()
        lane = bench.entry().lane
        assert lane.brake(KEY, bench.clock.now()) is not None
        await bench.clock.advance(40.0)
        lane.health.state, lane.health.last = "probing", failure()
        async with bench.asking(KEY):
            assert (lane.health.probe, lane.trial) == (KEY, KEY)
            bench.engine.forget(bench.entry())
            assert (lane.health.probe, lane.trial, lane.last) == (None, None, None)
        lane.health.state = "up"


async def test_a_cleared_client_holds_nothing_but_keeps_its_pins_and_bound_entries() -> None:
    async with Bench().entered() as bench:
        pinned, other = bench.entry(key("pinned")), key("other", "another client")
        pinned.pins = 1
        for which in (KEY, key("pinned"), other):
            await bench.ask(which)
        bench.entry(key("empty"))
        assert set(bench.engine.clear_client("c")) == {KEY, key("pinned")}
        assert bench.entry(KEY).token is None
        assert (pinned.closed, pinned.token, pinned.pins) == (False, None, 1)
        assert bench.entry(other).token is not None
        assert len(bench.state.lanes._lanes) == 1
        await bench.clock.advance(1.0)
        assert [flight.key for flight in bench.flown[3:]] == [key("pinned")]
        assert bench.triggers[3:] == ["pinned"]


async def test_a_flight_for_the_client_as_it_was_answers_who_joined_and_no_more() -> None:
    async with Bench().entered() as bench:
        async with bench.asking(KEY) as got:
            bench.engine.clear_client("c")
            await bench.clock.advance(0.1)
            assert len(got) == 1
        assert bench.entry().token is None


async def test_a_flight_that_is_still_finding_its_client_goes_on() -> None:
    async def late(flight: Flight) -> Minted | Failure:
        flight.boarded = False
        assert bench.engine.clear_client("c") == []
        return bench.minted()

    async with Bench().entered() as bench:
        bench.script(late)
        token = await bench.ask()
        assert bench.entry().token is token


async def test_a_key_that_was_never_asked_for_may_be_forgotten() -> None:
    async with Bench().entered() as bench:
        entry = bench.entry()
        bench.engine.forget(entry)
        assert entry.closed


async def test_a_flight_that_has_not_found_its_endpoint_may_be_forgotten() -> None:
    async def early(flight: Flight) -> Minted | Failure:
        entry = bench.entry()
        entry.lane = None
        bench.engine.forget(entry)
        bench.state.abandon(flight)
        return bench.minted()

    async with Bench().entered() as bench:
        bench.script(early)
        assert (await bench.ask()).header == "Bearer t1"
        assert bench.state.entries.find(KEY) is None


async def test_who_changed_something_on_purpose_lifts_keys_and_their_client_and_no_others() -> None:
    async with Bench().entered() as bench:
        bench.script(REFUSED, failure("invalid_scope", transient=False, counts=False))
        for which in (KEY, key("other", "another client")):
            await bench.fails(which)
        lane = bench.entry().lane
        assert lane is not None
        assert lane.last is not None
        unasked = bench.entry(key("unasked"))
        bench.engine.lift([KEY, unasked.key, key("unknown")])
        assert (lane.last, bench.entry().failures) == (None, 0)
        assert bench.entry(key("other", "another client")).failures == 1
        assert bench.state.entries.find(key("unknown")) is None
        assert (await bench.ask()).header == "Bearer t1"


class DeadEvent:
    """The wake-up call of a loop that was closed."""

    def set(self) -> None:
        raise RuntimeError("Event loop is closed")


def test_nothing_of_a_dead_loop_is_touched() -> None:
    bench = Bench()
    bench.state.schedule._earlier = DeadEvent()  # type: ignore[assignment]
    bench.state.begin_anew()
    bench.state.schedule.plan(bench.entry(), 1.0)
    assert len(bench.state.schedule) == 1
