"""The root task: what runs in it ends with it, and nothing crosses between it and who entered or left."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import anyio
import pytest
import trio

from tokenflight.engine.root_task import RootTask
from tokenflight.testing import VirtualClock

pytestmark = pytest.mark.anyio
SPAN: ContextVar[str] = ContextVar("span", default="none")


class Child:
    """Something that runs until it is stopped, and tells what became of it."""

    def __init__(self) -> None:
        self.steps: list[str] = []

    async def __call__(self) -> None:
        self.steps.append("runs")
        try:
            await anyio.sleep_forever()
        finally:
            self.steps.append("ends")


class House:
    def __init__(self, *services: Any, cleanup: Any = None) -> None:
        self.clock = VirtualClock()
        self.cleaned = 0
        self.root = RootTask(self.clock, *services, cleanup=cleanup or self.cleanup)

    async def cleanup(self) -> None:
        self.cleaned += 1

    @asynccontextmanager
    async def entered(self) -> AsyncIterator[RootTask]:
        await self.root.start(1.0)
        await self.clock.settle()
        try:
            yield self.root
        finally:
            await self.root.stop(1.0)


async def test_services_run_from_start_to_stop_and_the_cleanup_comes_last() -> None:
    one, other = Child(), Child()
    house = House(one, other)
    assert (house.root.open, repr(house.root)) == (False, "RootTask(closed)")
    async with house.entered() as root:
        assert (root.alive, root.open, root.here) == (True, True, True)
        assert repr(root) == "RootTask(open)"
        assert one.steps == other.steps == ["runs"]
        assert house.cleaned == 0
    assert one.steps == other.steps == ["runs", "ends"]
    assert house.cleaned == 1
    assert (root.alive, root.open, root.closing) == (False, False, True)
    assert repr(root) == "RootTask(closed)"


async def test_a_child_runs_beside_the_services_with_what_it_is_given() -> None:
    got: list[object] = []

    async def child(*args: object) -> None:
        got.append(args)

    house = House()
    async with house.entered() as root:
        root.spawn(child, 1, "two")
        await house.clock.settle()
    assert got == [(1, "two")]


async def test_no_context_of_the_caller_reaches_a_child() -> None:
    seen: list[str] = []

    async def child() -> None:
        seen.append(SPAN.get())

    SPAN.set("the caller's")
    house = House(child)
    async with house.entered() as root:
        root.spawn(child)
        await house.clock.settle()
    assert seen == ["none", "none"]


async def test_a_child_that_raises_leaves_its_siblings_alone(caplog: pytest.LogCaptureFixture) -> None:
    async def child(error: BaseException) -> None:
        raise error

    sibling = Child()
    house = House(sibling)
    async with house.entered() as root:
        for error in (KeyError("no secret text"), SystemExit(3), KeyboardInterrupt()):
            root.spawn(child, error)
        await house.clock.settle()
        assert root.open
        assert sibling.steps == ["runs"]
    messages = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert sorted(messages) == [
        f"a child of the provider raised {name}; its siblings go on"
        for name in ("KeyError", "KeyboardInterrupt", "SystemExit")
    ]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # trio cannot cancel one task
async def test_a_child_that_somebody_cancels_leaves_its_siblings_alone() -> None:
    tasks: list[asyncio.Task[Any]] = []

    async def child() -> None:
        tasks.append(asyncio.current_task())  # type: ignore[arg-type]
        await anyio.sleep_forever()

    house = House(Child())
    async with house.entered() as root:
        root.spawn(child)
        await house.clock.settle()
        tasks[0].cancel()
        await house.clock.settle()
        assert tasks[0].done()
        assert root.open


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_cancellation_seen_inside_is_its_own_end_only_once_it_is_ending() -> None:
    async with House().entered() as root:
        assert not root.closing
        task: Any = root._task
        task.cancel()
        assert root.closing, "its loop cancels all tasks one by one"
        await anyio.lowlevel.checkpoint()


async def test_who_spawns_where_nothing_runs_spawns_nothing() -> None:
    house, child = House(), Child()
    house.root.spawn(child)
    async with house.entered():
        pass
    house.root.spawn(child)
    await house.clock.settle()
    assert child.steps == []


async def test_leaving_in_a_cancelled_scope_still_ends_everything() -> None:
    child = Child()
    house = House(child)
    await house.root.start(1.0)
    await house.clock.settle()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await house.root.stop(1.0)
    assert child.steps == ["runs", "ends"]
    assert not house.root.alive


async def test_a_stop_waits_no_longer_than_its_grace() -> None:
    gate = anyio.Event()

    async def stubborn() -> None:
        with anyio.CancelScope(shield=True):
            await gate.wait()

    house = House(stubborn)
    await house.root.start(1.0)
    await house.clock.settle()
    before = house.clock.now()
    await house.clock.run(house.root.stop, 2.0)
    assert house.clock.now() - before == 2.0
    assert house.root.alive
    assert not house.root.open
    gate.set()
    await house.clock.settle()
    assert not house.root.alive
    assert house.cleaned == 1


@pytest.mark.parametrize(("takes", "ended_at"), [(2.0, 2.0), (60.0, 5.0)])
async def test_what_must_not_be_disturbed_is_let_finish_within_the_grace_and_broken_off_then(
    takes: float, ended_at: float
) -> None:
    steps: list[str] = []

    async def delicate() -> None:
        with house.root.undisturbed():
            try:
                await house.clock.sleep_until(takes)
                steps.append("done")
            finally:
                steps.append("over")
        await anyio.sleep_forever()

    house = House()
    await house.root.start(5.0)
    house.root.spawn(delicate)
    await house.clock.settle()
    await house.clock.run(house.root.stop, 5.0)
    assert house.clock.now() == ended_at
    assert steps == ["done", "over"] if takes < 5.0 else steps == ["over"]
    assert not house.root.alive
    assert house.cleaned == 1


async def test_what_does_not_even_end_when_it_is_broken_off_is_left_a_second_later() -> None:
    gate = anyio.Event()

    async def stubborn() -> None:
        with house.root.undisturbed(), anyio.CancelScope(shield=True):
            await gate.wait()

    house = House()
    await house.root.start(1.0)
    house.root.spawn(stubborn)
    await house.clock.settle()
    await house.clock.run(house.root.stop, 2.0)
    assert house.clock.now() == 3.0
    assert house.root.alive
    gate.set()
    await house.clock.settle()
    assert not house.root.alive


async def test_a_cleanup_takes_no_longer_than_its_grace() -> None:
    house = House(cleanup=anyio.sleep_forever)
    await house.root.start(3.0)
    await house.clock.run(house.root.stop, 10.0)
    assert house.clock.now() == 3.0
    assert not house.root.alive


async def test_a_cleanup_that_fails_is_told_and_no_more(caplog: pytest.LogCaptureFixture) -> None:
    async def fails() -> None:
        raise OSError("a text that might say too much")

    house = House(cleanup=fails)
    async with house.entered():
        pass
    assert [record.getMessage() for record in caplog.records] == ["cleaning up after the provider raised OSError"]


async def test_a_stop_before_the_start_or_after_the_end_is_none() -> None:
    house = House()
    await house.root.stop(1.0)
    async with House().entered() as root:
        pass
    await root.stop(1.0)


async def test_entering_that_is_cancelled_leaves_nothing_behind() -> None:
    child = Child()
    house = House(child)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await house.root.start(1.0)
    await house.clock.settle()
    assert (house.root.alive, house.root.open) == (False, False)
    assert child.steps in ([], ["runs", "ends"])
    assert house.cleaned == 1


class NeverBegun:
    """What entering waits for, which fails before the root task has had its first turn."""

    async def wait(self) -> None:
        raise RuntimeError("no entering")

    def set(self) -> None:
        """Begin nothing."""


async def test_entering_that_fails_before_the_first_turn_starts_nothing_and_cleans_up() -> None:
    child = Child()
    house = House(child)
    house.root._begun = NeverBegun()  # type: ignore[assignment]
    with pytest.raises(RuntimeError, match="no entering"):
        await house.root.start(1.0)
    assert (house.root.alive, child.steps, house.cleaned) == (False, [], 1)


async def test_another_process_has_only_its_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    async with house.entered() as root:
        pid = os.getpid()
        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", lambda: pid + 1)
            assert (root.alive, root.open) == (False, False)
        assert (root.alive, root.open) == (True, True)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_another_loop_is_not_here() -> None:
    house = House()
    async with house.entered() as root:

        def elsewhere() -> tuple[bool, bool, bool]:
            async def look() -> tuple[bool, bool, bool]:
                return root.alive, root.open, root.here

            return asyncio.run(look())

        assert await anyio.to_thread.run_sync(elsewhere) == (True, False, False)
        assert await anyio.to_thread.run_sync(lambda: root.here) is False, "nor is no loop at all"


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_one_whose_loop_was_closed_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    async with house.entered() as root:
        with monkeypatch.context() as patch:
            patch.setattr(asyncio.get_running_loop(), "is_closed", lambda: True)
            assert not root.alive
            await root.stop(1.0)
        assert root.alive, "nothing of a dead loop was waited for"


def throw_away(house: House) -> None:
    del house.root
    gc.collect()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_one_that_was_never_stopped_says_so_when_it_is_thrown_away() -> None:
    house = House()
    await house.root.start(1.0)
    task: Any = house.root._task
    task.cancel()
    await house.clock.settle()
    del task
    with pytest.warns(ResourceWarning, match="entered and never left: use `async with`"):
        throw_away(house)


async def test_a_forked_child_says_nothing_of_what_its_parent_entered(monkeypatch: pytest.MonkeyPatch) -> None:
    house, pid = House(), os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: pid + 1)
    throw_away(house)


def test_its_cleanup_is_whole_even_where_trio_ends_under_it(watch: Any) -> None:
    watch.waive("tasks", because="trio ends with the root task in it, which is the point")
    cleaned: list[RootTask] = []

    async def main() -> None:
        async def cleanup() -> None:
            await anyio.lowlevel.checkpoint()
            cleaned.append(root)

        root = RootTask(VirtualClock(), cleanup=cleanup)
        await root.start(1.0)

    trio.run(main)
    assert len(cleaned) == 1
    anyio.run(cleaned[0].stop, 1.0)
