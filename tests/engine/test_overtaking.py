"""What rests on the token of another key moves on with it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.kit.bench import Bench, failure, key

from tokenflight.engine.flight import Flight, Minted
from tokenflight.errors import ConfigurationError
from tokenflight.model.failure import Failure
from tokenflight.model.policy import RefreshPolicy

pytestmark = pytest.mark.anyio
PARENT, CHILD = key("parent"), key("child")


def bought(bench: Bench, **fields: Any) -> Minted:
    """Return a child's token, bought with what the parent holds now."""
    parent = bench.entry(PARENT)
    rests_on = ((PARENT, parent.token),)
    return bench.minted(**{"lifetime": 1000.0, "ends_by": parent.life.expires_at, "rests_on": rests_on} | fields)


async def family(bench: Bench, *, used: bool = True, **fields: Any) -> None:
    await bench.ask(PARENT)
    bench.script(bought(bench, **fields))
    await bench.ask(CHILD)
    if used:
        await bench.ask(CHILD)


async def test_a_child_in_use_is_renewed_within_half_a_minute_of_its_parent() -> None:
    async with Bench(share=0.5).entered() as bench:
        await family(bench)
        assert bench.entry(CHILD).life.expires_at == bench.entry(PARENT).life.expires_at
        await bench.clock.advance(20.0)
        await bench.ask(PARENT, min_ttl=90.0)
        at = bench.entry(CHILD).plan.when - bench.clock.now()
        assert at == pytest.approx((100.0 - 20.1) / 8, rel=0.1), "half of a quarter of what it has left"
        assert bench.entry(CHILD).fresh_until == bench.entry(CHILD).life.urgent_at
        await bench.clock.advance(15.0)
        assert [flight.key for flight in bench.flown] == [PARENT, CHILD, PARENT, CHILD]
        assert len(bench.state.dependants) == 0, "the second one rests on nobody"


async def test_one_that_nobody_uses_or_renews_ahead_is_due_for_its_next_caller() -> None:
    for fields in ({"used": False}, {"refresh": RefreshPolicy(proactive=False)}):
        async with Bench().entered() as bench:
            await family(bench, **fields)
            await bench.clock.advance(2.0)
            await bench.renew(which=PARENT)
            assert bench.entry(CHILD).plan is None
            await bench.clock.advance(30.0)
            assert len(bench.flown) == 3
            await bench.ask(CHILD)
            await bench.clock.advance(1.0)
            assert bench.triggers[-1] == "due"


async def test_pace_holds_back_no_child_whose_parent_moved_on() -> None:
    async with Bench(share=0.0).entered() as bench:
        await family(bench)
        parent = bench.entry(PARENT).token
        await bench.renew(parent, "https://api", which=PARENT)
        assert bench.clock.now() < bench.entry(CHILD).life.paced_until
        await bench.clock.advance(0.2)
        assert [flight.key for flight in bench.flown] == [PARENT, CHILD, PARENT, CHILD]


async def test_another_token_is_a_gain_then_although_it_ends_no_later() -> None:
    async with Bench(share=0.0).entered() as bench:
        await family(bench)
        flight = Flight(key=CHILD, trigger="schedule", launched_at=0.0)
        shorter = bought(bench, lifetime=50.0)
        assert bench.engine.landing.weigh(flight, shorter) == "it ends no later than the held one"
        await bench.renew(which=PARENT)
        assert bench.engine.landing.weigh(flight, shorter) is None


async def test_one_in_flight_meanwhile_is_due_when_it_lands() -> None:
    async def slow(flight: Flight) -> Minted | Failure:
        minted = bought(bench)
        await bench.clock.sleep_until(bench.clock.now() + 3.0)
        return minted

    async with Bench(share=1.0).entered() as bench:
        await family(bench)
        bench.script(slow)
        async with bench.asking(lambda: bench.engine.asking.renew(bench.entry(CHILD), None, None)):
            await bench.clock.advance(1.0)
            await bench.renew(which=PARENT)
            await bench.clock.advance(2.5)
        assert bench.state.dependants.overtaken(CHILD)
        assert bench.entry(CHILD).verdict(bench.clock.now()) == "due"


async def test_one_that_failed_meanwhile_is_still_due() -> None:
    async def fail(flight: Flight) -> Minted | Failure:
        await bench.clock.sleep_until(bench.clock.now() + 3.0)
        return failure()

    async with Bench(share=1.0).entered() as bench:
        await family(bench)
        bench.script(fail)
        async with bench.asking(lambda: bench.engine.asking.renew(bench.entry(CHILD), None, None)):
            await bench.clock.advance(1.0)
            await bench.renew(which=PARENT)
            await bench.clock.advance(2.5)
        await bench.clock.advance(3.0)
        assert bench.flown[-1].key == CHILD
        assert not bench.state.dependants.overtaken(CHILD)


async def test_children_that_are_gone_or_expired_are_left() -> None:
    async with Bench().entered() as bench:
        await family(bench)
        entry = bench.entry(CHILD)
        entry.life = None
        await bench.renew(which=PARENT)
        assert not bench.state.dependants.overtaken(CHILD)
        bench.engine.forget(entry)
        assert len(bench.state.dependants) == 0
        bench.state.dependants.note(CHILD, [PARENT])
        await bench.renew(origin="https://another", which=PARENT)


async def test_one_that_rests_on_a_key_that_is_gone_lives_on() -> None:
    async with Bench().entered() as bench:
        await bench.ask(PARENT)
        minted = bought(bench)
        bench.engine.forget(bench.entry(PARENT))
        bench.script(minted)
        await bench.ask(CHILD)
        assert bench.entry(CHILD).token is minted.token


async def test_a_circle_of_flights_is_told_however_long() -> None:
    names = [key(name) for name in "abc"]

    async def next_one(flight: Flight) -> Minted | Failure:
        await bench.engine.asking.token(bench.entry(names[(names.index(flight.key) + 1) % 3]), 0.0)
        return bench.minted()

    async with Bench().entered() as bench:
        bench.script(next_one, next_one, next_one)
        error = await bench.fails(names[0])
        assert not isinstance(error, ConfigurationError), "each is told by its own flight's failure"
        assert error.reason == "unexpected"
        assert len(bench.flown) == 3
        assert not bench.state.flights
        assert not any(flight.awaited for flight in bench.flown)
