"""Keys that one token alone can buy: never renewed ahead, and let go when they are over."""

from __future__ import annotations

import pytest
from tests.kit.bench import Bench, failure

from tokenflight.engine.flight import Flight, Minted
from tokenflight.model.failure import Failure
from tokenflight.model.key import TokenKey
from tokenflight.model.subject_token import SubjectToken

pytestmark = pytest.mark.anyio
KEY = TokenKey(client="c", subject=SubjectToken("bearer"))
REFUSED = failure("invalid_grant", transient=False, counts=False)


def kept(bench: Bench) -> int:
    return len(bench.state.entries)


async def test_it_is_fresh_to_its_end_and_gone_then() -> None:
    async with Bench().entered() as bench:
        await bench.ask(KEY)
        for _ in range(9):
            await bench.clock.advance(11.0)
            await bench.ask(KEY)
            assert bench.entry(KEY).verdict(bench.clock.now()) == "fresh"
        assert kept(bench) == 1
        await bench.clock.advance(1.0)
        assert kept(bench) == 0
        assert len(bench.flown) == 1
        assert len(bench.state.schedule) == 0


async def test_a_pinned_one_is_fetched_and_lapses_at_its_end_and_stays_pinned() -> None:
    async with Bench().entered() as bench:
        entry = bench.entry(KEY)
        entry.pins = 1
        bench.script(failure())
        bench.engine.planning.keep_warm(entry)
        await bench.clock.advance(400.0)
        assert bench.triggers == ["pinned", "pinned"]
        assert (entry.closed, entry.verdict(bench.clock.now())) == (False, "expired")
        await bench.ask(KEY)
        assert bench.triggers == ["pinned", "pinned", "call"]


async def test_one_that_is_pinned_beyond_its_end_goes_soon_after_that_pin() -> None:
    async with Bench().entered() as bench:
        entry = bench.entry(KEY)
        entry.pins = 1
        await bench.ask(KEY)
        await bench.clock.advance(130.0)
        assert not entry.closed
        entry.pins = 0
        await bench.clock.advance(60.0)
        assert entry.closed


async def test_one_that_failed_is_remembered_while_it_is_held_back() -> None:
    async with Bench().entered() as bench:
        bench.script(REFUSED)
        await bench.fails(KEY)
        await bench.clock.advance(29.0)
        await bench.fails(KEY)
        assert (kept(bench), len(bench.flown)) == (1, 1)
        await bench.clock.advance(2.0)
        assert kept(bench) == 0


async def test_one_that_nothing_holds_back_itself_goes_after_a_second_and_who_waited_hears_when_to_come_again() -> None:
    async def braked(flight: Flight) -> Minted | Failure:
        lane = bench.entry(KEY).lane
        lane.told_to_wait(failure(retry_after=20.0), bench.clock.now())
        flight.refused = lane.brake(KEY, bench.clock.now())
        return failure()

    async with Bench().entered() as bench:
        bench.script(braked)
        error = await bench.fails(KEY)
        assert error.retry_after == 20.0
        await bench.clock.advance(1.0)
        assert kept(bench) == 0


async def test_one_without_an_end_goes_when_it_was_not_used_for_as_long_as_others_live() -> None:
    async with Bench().entered() as bench:
        bench.lifetime = None
        minted = bench.minted(default_lifetime=50.0)
        bench.script(minted)
        await bench.ask(KEY)
        await bench.clock.advance(40.0)
        await bench.ask(KEY)
        await bench.clock.advance(45.0)
        assert kept(bench) == 1
        await bench.clock.advance(10.0)
        assert kept(bench) == 0


async def test_one_in_flight_when_its_time_comes_is_left_to_the_flight() -> None:
    async with Bench().entered() as bench:
        await bench.ask(KEY)
        entry = bench.entry(KEY)
        bench.state.schedule.plan(entry, 99.0)
        await bench.clock.advance(99.0 - bench.clock.now())
        assert (entry.closed, entry.plan is not None) == (False, True)
        bench.latency = 5.0
        async with bench.asking(KEY, min_ttl=50.0) as got:
            await bench.clock.advance(5.0)
            assert len(got) == 1
        assert kept(bench) == 1
        await bench.clock.advance(100.0)
        assert kept(bench) == 0
