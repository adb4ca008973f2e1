"""A launch: the one way to a flight, whose end is an outcome whatever happens on the way."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import pytest
from tests.kit.bench import KEY, Bench, failure

from tokenflight.engine.flight import AIRBORNE, Flight, Minted
from tokenflight.engine.launching import as_it_is
from tokenflight.errors import ProviderClosedError, StoreError, TokenRequestError
from tokenflight.model.events import FlightLaunched
from tokenflight.model.failure import CLOSED, Failure

pytestmark = pytest.mark.anyio


async def test_a_launch_takes_over_from_the_plan_and_keeps_callers_on_the_fast_path() -> None:
    async with Bench().entered() as bench:
        await bench.ask()
        entry = bench.entry()
        flight = bench.engine.launching.launch(entry, "schedule")
        assert bench.state.flights == {KEY: flight}
        assert (flight.key, flight.trigger, flight.launched_at) == (KEY, "schedule", bench.clock.now())
        assert len(bench.state.schedule) == 0
        assert entry.fresh_until == 90.0
        await bench.clock.settle()
        assert bench.told(FlightLaunched)[-1] == FlightLaunched(key=KEY, trigger="schedule")


async def test_a_launch_is_the_probe_before_it_has_sent_anything() -> None:
    async with Bench(latency=0.0).entered() as bench:
        bench.script(*[failure()] * 3)
        for _ in range(3):
            bench.entry().not_before = 0.0
            await bench.fails()
        await bench.clock.advance(5.0)
        bench.engine.launching.launch(bench.entry(), "call")
        assert bench.entry().lane.health.probe == KEY


async def test_a_flight_knows_itself_in_its_own_context_alone() -> None:
    async def look(flight: Flight) -> Minted | Failure:
        seen.append(AIRBORNE.get() is flight)
        return bench.minted()

    seen: list[bool] = []
    async with Bench().entered() as bench:
        bench.script(look)
        await bench.ask()
        assert seen == [True]
        assert AIRBORNE.get() is None


@pytest.mark.parametrize("error", [KeyError("CNRY-form"), SystemExit(3), KeyboardInterrupt()])
async def test_whatever_a_flight_raises_is_an_outcome_that_names_its_type_alone(error) -> None:
    async with Bench().entered() as bench:
        bench.script(error)
        async with bench.asking(KEY, KEY) as got:
            await bench.clock.advance(0.1)
        for each in got:
            assert type(each) is TokenRequestError
            assert (each.reason, each.transient) == ("unexpected", True)
            assert each.detail == f"the request for a token ended unexpectedly ({type(error).__name__})"
            assert each.__cause__ is each.__context__ is None
        assert bench.state.flights == {}
        await bench.clock.advance(5.0)
        assert (await bench.ask()).header == "Bearer t1"


async def test_an_assertion_of_a_test_reaches_its_callers_as_it_is_and_at_each_call() -> None:
    async with Bench().entered() as bench:
        bench.script(AssertionError("the mock was not asked for that"), AssertionError("nor for that"))
        with pytest.raises(AssertionError, match="the mock was not asked for that"):
            await bench.ask()
        with pytest.raises(AssertionError, match="nor for that"):
            await bench.ask()
        assert len(bench.flown) == 2


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_flight_that_somebody_cancels_from_outside_is_a_transient_failure() -> None:
    tasks: list[asyncio.Task[Any]] = []

    async def mint(flight: Flight) -> Minted | Failure:
        tasks.append(asyncio.current_task())  # type: ignore[arg-type]
        await anyio.sleep_forever()
        raise AssertionError("unreachable")

    async with Bench().entered() as bench:
        bench.script(mint)
        async with bench.asking(KEY) as got:
            tasks[0].cancel()
            await bench.clock.settle()
            assert [(error.reason, error.transient) for error in got] == [("unexpected", True)]
            assert "cancelled from outside" in got[0].detail
        assert bench.state.open


async def test_who_waits_when_the_engine_is_left_is_told_that_it_was() -> None:
    bench = Bench(latency=100.0)
    got: list[Any] = []

    async def caller() -> None:
        try:
            await bench.engine.asking.token(bench.entry(), 0.0)
        except ProviderClosedError as error:
            got.append(str(error))

    async with anyio.create_task_group() as tasks, bench.entered():
        tasks.start_soon(caller)
        await bench.clock.settle()
    assert got == [CLOSED.detail]
    assert "was left while this token was on its way" in got[0]
    assert bench.entry().last is None, "leaving is no failure of the key"


async def test_before_a_mint_is_given_nothing_is_brought() -> None:
    bench = Bench()
    flight = Flight(key=KEY, trigger="call", launched_at=0.0)
    assert await bench.engine.launching.mint(flight) is CLOSED


def test_an_exception_is_carried_without_its_frames_and_causes() -> None:
    with pytest.raises(StoreError) as raised:
        raise StoreError("outer") from KeyError("inner")
    carried = as_it_is(raised.value, transient=True)
    assert raised.value.__cause__ is not None, "the original is left alone"
    made = carried.exception(KEY)
    assert (type(made), str(made), carried.reason, carried.transient) == (StoreError, "outer", "StoreError", True)
    assert made.__cause__ is made.__context__ is made.__traceback__ is None
    assert carried.exception(KEY) is not made
    assert not as_it_is(StoreError("x")).transient


class WilfulError(Exception):
    def __init__(self, one: str, other: str) -> None:
        super().__init__(one + other)


def test_one_that_cannot_be_copied_is_told_by_its_type() -> None:
    carried = as_it_is(WilfulError("CNRY-a", "b"))
    assert carried.prototype is None
    assert carried.detail == "the request for a token ended unexpectedly (WilfulError)"


async def test_a_flight_apart_is_no_renewal_of_its_key_and_nothing_is_held_of_it() -> None:
    async def work(flight: Flight) -> Minted | Failure:
        seen.append(AIRBORNE.get())
        await bench.clock.sleep_until(1.0)
        return bench.minted("apart")

    seen: list[Flight | None] = []
    async with Bench().entered() as bench:
        flight = bench.engine.launching.apart(KEY, "login", work)
        assert bench.state.flights == {}
        assert (await bench.ask()).header == "Bearer t1"
        await bench.clock.run(flight.wait)
        assert isinstance(flight.outcome, Minted)
        assert flight.outcome.token.header == "Bearer apart"
        assert bench.entry().token.header == "Bearer t1"
        assert seen == [flight]


async def test_one_that_fails_holds_nothing_back() -> None:
    async def work(flight: Flight) -> Minted | Failure:
        raise KeyError("CNRY-code")

    async with Bench().entered() as bench:
        flight = bench.engine.launching.apart(KEY, "login", work)
        await bench.clock.run(flight.wait)
        assert isinstance(flight.outcome, Failure)
        assert flight.outcome.detail == "the request for a token ended unexpectedly (KeyError)"
        assert bench.state.entries.find(KEY) is None
