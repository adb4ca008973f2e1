"""One task, one heap: what is planned comes up at its time, once, and nothing that it does ends the scheduler."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import pytest

from tokenflight.engine.scheduler import LONGEST_SLEEP, SLACK, Moment, Scheduler
from tokenflight.testing import VirtualClock

pytestmark = pytest.mark.anyio


class Item:
    def __init__(self, name: str) -> None:
        self.name = name
        self.plan: Moment | None = None


class Watched:
    """A scheduler at work; `came` has what came up, when, and whether a suspend lay in between."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.schedule: Scheduler[Item] = Scheduler(self.clock)
        self.came: list[tuple[str, float]] = []
        self.resumed: list[str] = []
        self.errors: list[str] = []
        self.act: Callable[[Item], None] = lambda item: None

    def due(self, item: Item, now: float, resumed: bool) -> None:
        self.came.append((item.name, now))
        if resumed:
            self.resumed.append(item.name)
        self.act(item)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.schedule.run, self.due, lambda error: self.errors.append(str(error)))
            await self.clock.settle()
            yield
            tasks.cancel_scope.cancel()


async def test_items_come_up_in_order_of_time_each_at_its_own() -> None:
    watched = Watched()
    for name, when in (("c", 3.0), ("a", 1.0), ("b", 2.5)):
        watched.schedule.plan(Item(name), when)
    assert len(watched.schedule) == 3
    assert repr(watched.schedule) == "Scheduler(planned=3)"
    async with watched.running():
        await watched.clock.advance(10.0)
    assert watched.came == [("a", 1.0), ("b", 2.5), ("c", 3.0)]
    assert len(watched.schedule) == 0


async def test_a_new_plan_replaces_the_old_one_be_it_earlier_or_later() -> None:
    watched = Watched()
    sooner, later = Item("sooner"), Item("later")
    async with watched.running():
        for item in (sooner, later):
            watched.schedule.plan(item, 5.0)
        watched.schedule.plan(sooner, 2.0)
        watched.schedule.plan(later, 7.0)
        assert len(watched.schedule) == 2
        await watched.clock.advance(10.0)
    assert watched.came == [("sooner", 2.0), ("later", 7.0)]


async def test_what_is_dropped_does_not_come_up() -> None:
    watched = Watched()
    item, other = Item("dropped"), Item("other")
    async with watched.running():
        watched.schedule.plan(item, 1.0)
        watched.schedule.plan(other, 2.0)
        watched.schedule.drop(item)
        watched.schedule.drop(item)
        assert len(watched.schedule) == 1
        await watched.clock.advance(5.0)
    assert watched.came == [("other", 2.0)]


async def test_an_item_that_came_up_may_be_planned_again() -> None:
    watched = Watched()
    item = Item("again")
    watched.act = lambda item: watched.schedule.plan(item, watched.clock.now() + 1.0)
    watched.schedule.plan(item, 1.0)
    async with watched.running():
        await watched.clock.advance(3.5)
    assert watched.came == [("again", 1.0), ("again", 2.0), ("again", 3.0)]
    assert item.plan


async def test_an_earlier_plan_wakes_the_sleeping_task_and_a_later_one_lets_it_sleep() -> None:
    watched, woken = Watched(), []
    inner = watched.clock.wait

    async def wait(event: anyio.Event, until: float) -> bool:
        woken.append(watched.clock.now())
        return await inner(event, until)

    watched.clock.wait = wait  # type: ignore[method-assign]
    watched.schedule.plan(Item("late"), 20.0)
    async with watched.running():
        await watched.clock.advance(1.0)
        watched.schedule.plan(Item("soon"), 2.0)
        await watched.clock.advance(1.5)
        assert watched.came == [("soon", 2.0)]
        watched.schedule.plan(Item("later"), 30.0)
        await watched.clock.settle()
        assert woken == [0.0, 1.0, 2.0]


async def test_it_sleeps_thirty_seconds_at_most_so_that_a_clock_that_ran_on_is_noticed() -> None:
    clock = VirtualClock()
    slept: list[float] = []
    inner = clock.wait

    async def wait(event: anyio.Event, until: float) -> bool:
        slept.append(until - clock.now())
        return await inner(event, until)

    clock.wait = wait  # type: ignore[method-assign]
    watched = Watched()
    watched.clock = clock
    watched.schedule = Scheduler(clock)
    watched.schedule.plan(Item("far"), 1000.0)
    async with watched.running():
        await clock.advance(100.0)
    assert slept == [LONGEST_SLEEP] * 4


async def test_an_idle_schedule_wakes_up_no_oftener() -> None:
    watched = Watched()
    async with watched.running():
        await watched.clock.advance(29.0)
        assert watched.clock.pending == 1
        watched.schedule.plan(Item("new"), 29.5)
        await watched.clock.advance(1.0)
    assert watched.came == [("new", 29.5)]


async def test_what_came_due_in_a_suspend_is_handed_over_as_such_and_what_comes_after_is_not() -> None:
    watched = Watched()
    watched.schedule.plan(Item("slept through"), 3.0)
    watched.schedule.plan(Item("likewise"), 500.0)
    watched.schedule.plan(Item("after"), 1005.0)
    async with watched.running():
        watched.clock.suspend(1000.0)
        await watched.clock.advance(10.0)
    assert watched.came == [("slept through", 1000.0), ("likewise", 1000.0), ("after", 1005.0)]
    assert watched.resumed == ["slept through", "likewise"]


async def test_a_few_seconds_late_are_no_suspend() -> None:
    watched = Watched()
    watched.schedule.plan(Item("late"), 3.0)
    async with watched.running():
        watched.clock.suspend(8.0)
        await watched.clock.settle()
    assert watched.came == [("late", 8.0)]
    assert watched.resumed == []


async def test_what_lay_overdue_while_nobody_ran_it_counts_as_slept_through() -> None:
    watched = Watched()
    item = Item("overdue")
    async with watched.running():
        watched.schedule.plan(item, 20.0)
    watched.clock.suspend(100.0)
    async with watched.running():
        await watched.clock.settle()
    assert watched.came == [("overdue", 100.0)]
    assert watched.resumed == ["overdue"]


async def test_a_schedule_that_starts_late_in_the_day_has_slept_through_nothing() -> None:
    watched = Watched()
    watched.clock.suspend(1e6)
    watched.schedule.plan(Item("now"), 1e6)
    async with watched.running():
        await watched.clock.settle()
    assert watched.came == [("now", 1e6)]
    assert watched.resumed == []


async def test_what_an_item_raises_is_told_and_the_others_come_up_all_the_same() -> None:
    watched = Watched()

    def act(item: Item) -> None:
        if item.name == "bad":
            raise RuntimeError("out of order")

    watched.act = act
    for name in ("bad", "good"):
        watched.schedule.plan(Item(name), 1.0)
    async with watched.running():
        await watched.clock.advance(1.0)
    assert sorted(watched.came) == [("bad", 1.0), ("good", 1.0)]
    assert watched.errors == ["out of order"]


async def test_it_survives_even_a_failure_of_its_own_and_rests_a_second() -> None:
    watched = Watched()
    failing = [True]
    inner = watched.clock.wait

    async def wait(event: anyio.Event, until: float) -> bool:
        if failing:
            failing.clear()
            raise OSError("no clock")
        return await inner(event, until)

    watched.clock.wait = wait  # type: ignore[method-assign]
    watched.schedule.plan(Item("late"), 0.5)
    async with watched.running():
        assert watched.errors == ["no clock"]
        await watched.clock.advance(0.9)
        assert watched.came == []
        await watched.clock.advance(0.1)
        assert watched.came == [("late", 1.0)]


async def test_an_item_may_be_planned_while_nobody_runs_it() -> None:
    watched = Watched()
    async with watched.running():
        pass
    watched.schedule.plan(Item("later"), 1.0)
    async with watched.running():
        await watched.clock.advance(1.0)
    assert watched.came == [("later", 1.0)]


async def test_it_stops_when_it_is_cancelled() -> None:
    watched = Watched()
    async with watched.running():
        assert watched.clock.pending == 1
    assert watched.clock.pending == 0


def test_plans_that_were_replaced_take_no_room_for_long() -> None:
    schedule: Scheduler[Item] = Scheduler(VirtualClock())
    items = [Item(str(number)) for number in range(10)]
    for when in range(1000):
        for item in items:
            schedule.plan(item, float(when))
    assert len(schedule) == 10
    listed = sum(len(moment.items) for _, moment in schedule._heap)
    assert listed <= 2 * len(items) + SLACK + 1


async def test_replaced_plans_are_swept_without_a_plan_being_lost() -> None:
    watched = Watched()
    busy, quiet = Item("busy"), Item("quiet")
    watched.schedule.plan(quiet, 5.0)
    for _ in range(2 * SLACK):
        watched.schedule.plan(busy, 7.0)
    async with watched.running():
        await watched.clock.advance(math.ceil(7.0))
    assert watched.came == [("quiet", 5.0), ("busy", 7.0)]
