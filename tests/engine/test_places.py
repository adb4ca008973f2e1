"""Who goes next at an endpoint: never more than the limit, waiters before the schedule, clients in turn."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from tokenflight.engine.places import RETURNED, SCHEDULED, WAITING, Places, Ticket
from tokenflight.testing import VirtualClock

pytestmark = pytest.mark.anyio


class Line:
    """Flights in line for places; `went` has the names of those that were let go, in order."""

    def __init__(self, maximum: int = 1) -> None:
        self.places = Places(maximum)
        self.clock = VirtualClock()
        self.went: list[str] = []
        self.tickets: dict[str, Ticket] = {}
        self.scopes: dict[str, anyio.CancelScope] = {}

    async def stand(self, name: str, lane: str, rank: int) -> None:
        self.tickets[name] = Ticket(lane, self.places, rank)
        with anyio.CancelScope() as self.scopes[name]:
            await self.places.take(self.tickets[name])
            self.went.append(name)

    @asynccontextmanager
    async def of(self, *who: tuple[str, str, int]) -> AsyncIterator[Any]:
        async with anyio.create_task_group() as tasks:

            async def more(*who: tuple[str, str, int]) -> None:
                for name, lane, rank in who:
                    tasks.start_soon(self.stand, name, lane, rank)
                    await self.clock.settle()

            await more(*who)
            yield more
            tasks.cancel_scope.cancel()

    async def free(self, times: int = 1) -> None:
        for _ in range(times):
            self.places.give_back()
            await self.clock.settle()


async def test_no_more_go_than_there_are_places() -> None:
    line = Line(2)
    async with line.of(*((name, "c", WAITING) for name in "abcd")):
        assert line.went == ["a", "b"]
        assert line.places.in_air == 2
        await line.free()
        assert line.went == ["a", "b", "c"]
        await line.free(3)
        assert line.went == ["a", "b", "c", "d"]
        assert line.places.in_air == 0


async def test_who_was_sent_back_goes_first_then_who_is_waited_for_then_the_schedule() -> None:
    line = Line()
    who = [("first", "c", WAITING), ("planned", "c", SCHEDULED), ("waiting", "c", WAITING), ("back", "c", RETURNED)]
    async with line.of(*who):
        await line.free(3)
        assert line.went == ["first", "back", "waiting", "planned"]


async def test_clients_take_turns_however_long_the_line_of_one_is() -> None:
    line = Line()
    who = [("a0", "a", WAITING), ("a1", "a", WAITING), ("a2", "a", WAITING), ("a3", "a", WAITING)]
    async with line.of(*who, ("b1", "b", WAITING), ("b2", "b", WAITING), ("c1", "c", WAITING)):
        await line.free(6)
        assert line.went == ["a0", "a1", "b1", "c1", "a2", "b2", "a3"]


async def test_a_flight_of_the_schedule_that_somebody_joins_queues_with_the_waiters() -> None:
    line = Line()
    who = [("first", "c", WAITING), ("planned", "c", SCHEDULED), ("other", "d", SCHEDULED), ("waiting", "c", WAITING)]
    async with line.of(*who):
        line.tickets["other"].promote()
        line.tickets["other"].promote()
        await line.free(3)
        assert line.went == ["first", "waiting", "other", "planned"]
        await line.free()
        assert repr(line.places) == "Places(in_air=0, limit=1 of 1, queued=0)"


async def test_who_has_gone_or_left_or_waits_already_is_not_put_in_line_again() -> None:
    line = Line()
    async with line.of(("first", "c", SCHEDULED), ("left", "c", SCHEDULED), ("waiting", "c", WAITING)):
        line.scopes["left"].cancel()
        await line.clock.settle()
        for ticket in line.tickets.values():
            ticket.promote()
        await line.free()
        assert line.went == ["first", "waiting"]
        assert "queued=1" in repr(line.places), "only the one that left, passed over when its turn comes"


async def test_who_stops_waiting_leaves_no_gap() -> None:
    line = Line()
    async with line.of(("first", "c", WAITING), ("left", "c", WAITING), ("next", "c", WAITING)):
        line.scopes["left"].cancel()
        await line.clock.settle()
        await line.free()
        assert line.went == ["first", "next"]
        assert line.places.in_air == 1


async def test_who_is_let_go_and_cancelled_at_once_gives_the_place_to_the_next() -> None:
    line = Line()
    async with line.of(("first", "c", WAITING), ("left", "c", WAITING), ("next", "c", WAITING)):
        line.scopes["left"].cancel()
        line.places.give_back()
        await line.clock.settle()
        assert line.went == ["first", "next"]
        assert line.places.in_air == 1


async def test_a_client_that_must_wait_keeps_its_turn_and_stops_nobody_else() -> None:
    line = Line()
    async with line.of(("first", "a", WAITING), ("a1", "a", WAITING), ("b1", "b", WAITING), ("b2", "b", SCHEDULED)):
        line.places.block("a")
        await line.free(3)
        assert line.went == ["first", "b1", "b2"]
        line.places.unblock("a")
        await line.clock.settle()
        assert line.went == ["first", "b1", "b2", "a1"]


async def test_a_client_that_must_wait_is_not_let_in_by_an_empty_line_either() -> None:
    line = Line()
    line.places.block("a")
    async with line.of(("a1", "a", WAITING)):
        assert line.went == []
        line.places.unblock("a")
        await line.clock.settle()
        assert line.went == ["a1"]


def test_a_429_halves_the_places_down_to_one() -> None:
    places, limits = Places(20), []
    for _ in range(6):
        places.throttled()
        limits.append(places.limit)
    assert limits == [10, 5, 2, 1, 1, 1]


def test_a_full_round_of_other_answers_doubles_them_up_to_the_maximum() -> None:
    places, limits = Places(20), []
    places.narrow()
    for _ in range(32):
        places.answered()
        limits.append(places.limit)
    assert limits == [2] * 2 + [4] * 4 + [8] * 8 + [16] * 16 + [20] * 2


def test_a_round_starts_over_with_a_429_and_with_one_place() -> None:
    for start_over in (Places.throttled, Places.narrow):
        places = Places(4)
        places.throttled()
        places.answered()
        start_over(places)
        assert places.limit == 1
        places.answered()
        assert places.limit == 2
        places.answered()
        assert places.limit == 2, "the answers before count no more"


async def test_a_narrower_limit_lets_nobody_go_until_enough_have_landed() -> None:
    line = Line(4)
    async with line.of(*((name, "c", WAITING) for name in "abcdef")):
        line.places.throttled()
        await line.free(2)
        assert line.went == list("abcd")
        await line.free()
        assert line.went == list("abcde")


async def test_a_new_loop_starts_with_empty_places_and_lines() -> None:
    line = Line()
    line.places.block("c")
    async with line.of(("a", "c", WAITING), ("b", "d", WAITING), ("c", "d", SCHEDULED)):
        line.places.reset()
        assert repr(line.places) == "Places(in_air=0, limit=1 of 1, queued=0)"
    async with line.of(("new", "c", WAITING)):
        assert line.went == ["b", "new"]


def test_a_ticket_shows_where_it_stands() -> None:
    assert repr(Ticket("c", Places(1), WAITING)) == "Ticket(lane='c', rank=1, granted=False, left=False)"
