"""A flight: any number may wait for it, none can stop it, and nobody gets nothing."""

from __future__ import annotations

import anyio
import pytest
from tests.kit.bench import KEY, failure

from tokenflight.engine.flight import BUCKET, Flight
from tokenflight.engine.places import SCHEDULED, WAITING, Places, Ticket
from tokenflight.model.failure import CLOSED
from tokenflight.model.token import Token
from tokenflight.testing import VirtualClock

pytestmark = pytest.mark.anyio


def flight(**fields: object) -> Flight:
    return Flight(key=KEY, trigger="call", launched_at=0.0, **fields)  # type: ignore[arg-type]


def test_it_starts_life_as_closed_so_that_nobody_gets_nothing() -> None:
    assert flight().outcome is CLOSED


async def test_it_wakes_all_who_wait_when_it_lands() -> None:
    up, clock, woken = flight(), VirtualClock(), []

    async def wait(number: int) -> None:
        await up.wait()
        woken.append(number)

    async with anyio.create_task_group() as tasks:
        for number in range(3 * BUCKET):
            tasks.start_soon(wait, number)
        await clock.settle()
        assert up.joined == 3 * BUCKET
        assert woken == []
        up.outcome = failure()
        up.land()
    assert sorted(woken) == list(range(3 * BUCKET))


async def test_waiters_share_events_by_the_bucket() -> None:
    up, clock = flight(), VirtualClock()
    async with anyio.create_task_group() as tasks:
        for _ in range(2 * BUCKET + 1):
            tasks.start_soon(up.wait)
        await clock.settle()
        assert len(up._buckets) == 3
        up.land()


async def test_who_comes_after_it_landed_waits_for_nothing() -> None:
    up = flight()
    up.land()
    await up.wait()
    assert await up.wait_until(0.0, VirtualClock())
    assert up.joined == 0


async def test_a_wait_may_have_an_end() -> None:
    up, clock, landed = flight(), VirtualClock(), []

    async def wait(until: float) -> None:
        it_did = await up.wait_until(until, clock)
        landed.append((until, clock.now(), it_did))

    async with anyio.create_task_group() as tasks:
        for until in (1.0, 5.0):
            tasks.start_soon(wait, until)
        await clock.advance(2.0)
        up.land()
    assert landed == [(1.0, 1.0, False), (5.0, 2.0, True)]


def test_the_first_who_waits_without_a_token_moves_it_up_in_the_line() -> None:
    up = flight()
    up.ticket = Ticket("c", Places(1), SCHEDULED)
    up.join()
    assert up.ticket.rank == WAITING
    up.join()
    up.leave()
    assert up.waiting == 1


def test_it_counts_waiters_before_it_stands_in_line_too() -> None:
    up = flight()
    up.join()
    up.leave()
    up.join()
    assert up.waiting == 1


def test_to_a_flight_of_a_rejection_the_held_token_counts_as_none() -> None:
    assert flight(rejected=Token("t")).rejects
    assert not flight().rejects


def test_its_repr_shows_no_waiters_and_no_token() -> None:
    up = flight(rejected=Token("CNRY-t"))
    assert "CNRY" not in repr(up)
    assert "_buckets" not in repr(up)
