"""The event queue: in order, in nobody's way, whatever a hook does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from threading import Thread
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from tokenflight.engine.hooks import HOOK_TIMEOUT, MAX_QUEUED, EventQueue, Hook
from tokenflight.errors import ConfigurationError
from tokenflight.model.events import ClientChanged, Event
from tokenflight.testing import VirtualClock

pytestmark = pytest.mark.anyio


def event(number: int = 0) -> ClientChanged:
    return ClientChanged(client="c", forgotten=number)


class Ear:
    """A hook that remembers the numbers of what it heard."""

    def __init__(self) -> None:
        self.heard: list[int] = []

    def __call__(self, event: Event) -> None:
        assert isinstance(event, ClientChanged)
        self.heard.append(event.forgotten)


@asynccontextmanager
async def running(queue: EventQueue) -> AsyncIterator[None]:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(queue.run)
        yield
        tasks.cancel_scope.cancel()


def queue_of(*hooks: Hook, clock: VirtualClock | None = None) -> EventQueue:
    return EventQueue.of(hooks, clock=clock or VirtualClock())


async def settled(clock: VirtualClock) -> None:
    await clock.advance(0)


async def test_events_are_told_in_order_to_every_hook() -> None:
    clock, one, other = VirtualClock(), Ear(), Ear()
    queue = queue_of(one, other, clock=clock)

    async with running(queue):
        for number in range(100):
            queue.emit(event(number))
        await settled(clock)

    assert one.heard == other.heard == list(range(100))


async def test_an_asynchronous_hook_is_awaited_before_the_next_event() -> None:
    steps: list[str] = []

    async def slow(event: Any) -> None:
        steps.append(f"{event.forgotten} in")
        await checkpoint()
        steps.append(f"{event.forgotten} out")

    queue = queue_of(slow)
    queue.emit(event(1))
    queue.emit(event(2))

    await queue.drain()

    assert steps == ["1 in", "1 out", "2 in", "2 out"]


async def test_emit_without_hooks_keeps_nothing_and_run_returns_at_once() -> None:
    queue = queue_of()

    queue.emit(event())
    await queue.run()

    assert repr(queue) == "EventQueue(hooks=0, queued=0, dropped=0)"


async def test_what_comes_to_a_full_queue_is_dropped_and_counted() -> None:
    ear = Ear()
    queue = queue_of(ear)

    for number in range(MAX_QUEUED + 7):
        queue.emit(event(number))

    assert repr(queue) == "EventQueue(hooks=1, queued=1024, dropped=7)"
    await queue.drain()
    assert ear.heard == list(range(MAX_QUEUED))
    assert queue.dropped == 7


async def test_events_from_before_and_after_a_run_wait_for_the_next() -> None:
    clock, ear = VirtualClock(), Ear()
    queue = queue_of(ear, clock=clock)
    queue.emit(event(1))
    async with running(queue):
        await settled(clock)
    queue.emit(event(2))
    async with running(queue):
        await settled(clock)

    assert ear.heard == [1, 2]


def test_it_runs_in_one_loop_after_another() -> None:
    clock, ear = VirtualClock(), Ear()
    queue = queue_of(ear, clock=clock)

    async def one_run(number: int) -> None:
        async with running(queue):
            await settled(clock)
            queue.emit(event(number))
            await settled(clock)

    for number, backend in enumerate(["asyncio", "trio", "asyncio"]):
        anyio.run(one_run, number, backend=backend)

    assert ear.heard == [0, 1, 2]


async def test_an_event_from_another_thread_waits_for_the_next_one_of_this() -> None:
    clock, ear = VirtualClock(), Ear()
    queue = queue_of(ear, clock=clock)

    async with running(queue):
        await settled(clock)
        thread = Thread(target=queue.emit, args=[event(1)])
        thread.start()
        thread.join()
        await settled(clock)
        assert ear.heard == []
        queue.emit(event(2))
        await settled(clock)

    assert ear.heard == [1, 2]


async def test_a_hook_may_emit() -> None:
    ear = Ear()

    def echo(heard: Any) -> None:
        if heard.forgotten < 3:
            queue.emit(event(heard.forgotten + 1))

    queue = queue_of(echo, ear)
    queue.emit(event(0))
    await queue.drain()

    assert ear.heard == [0, 1, 2, 3]


async def raises_async(event: Event) -> None:
    raise ValueError("canary")


def raises_sync(event: Event) -> None:
    raise ValueError("canary")


def leaves(event: Event) -> None:
    raise SystemExit(3)


async def leaves_async(event: Event) -> None:
    raise SystemExit(3)


@pytest.mark.parametrize("bad", [raises_async, raises_sync, leaves, leaves_async])
async def test_a_hook_that_raises_is_logged_and_the_others_hear_everything(
    bad: Hook, caplog: pytest.LogCaptureFixture
) -> None:
    ear = Ear()
    queue = queue_of(bad, ear)
    for number in range(3):
        queue.emit(event(number))

    await queue.drain()

    assert ear.heard == [0, 1, 2]
    [line] = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"the hook {bad.__module__}.{bad.__qualname__} raised ")
    assert "canary" not in caplog.text


async def test_a_hook_that_keeps_raising_is_logged_once_a_minute_with_a_count(caplog: pytest.LogCaptureFixture) -> None:
    clock = VirtualClock()
    queue = queue_of(raises_sync, clock=clock)
    for _ in range(60):
        queue.emit(event())
        await queue.drain()
        await clock.advance(1.0)
    queue.emit(event())
    await queue.drain()

    first, second = (record.getMessage() for record in caplog.records)
    assert "more since" not in first
    assert "(and 59 more since the last warning)" in second


async def test_a_hook_that_hangs_is_cut_left_out_for_a_minute_and_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    clock, ear = VirtualClock(), Ear()
    calls: list[float] = []

    async def hangs(event: Event) -> None:
        calls.append(clock.now())
        await anyio.sleep_forever()

    queue = queue_of(hangs, ear, clock=clock)
    async with running(queue):
        queue.emit(event(1))
        queue.emit(event(2))
        await settled(clock)
        assert ear.heard == [1]
        await clock.advance(HOOK_TIMEOUT)
        assert ear.heard == [1, 2]
        queue.emit(event(3))
        await settled(clock)
        assert ear.heard == [1, 2, 3]
        assert calls == [0.0]
        await clock.advance(60.0)
        queue.emit(event(4))
        await settled(clock)
        assert calls == [0.0, 65.0]

    [line] = [record.getMessage() for record in caplog.records]
    assert "hangs took longer than 5 s and is left out for 60 s" in line


async def test_hooks_that_wait_wait_side_by_side() -> None:
    clock = VirtualClock()
    done: list[float] = []

    async def waits(event: Event) -> None:
        await clock.sleep_until(clock.now() + 4.0)
        done.append(clock.now())

    queue = queue_of(waits, waits, waits, clock=clock)
    async with running(queue):
        queue.emit(event())
        await clock.advance(4.0)

    assert done == [4.0, 4.0, 4.0]


async def test_a_cancelled_run_leaves_the_rest_in_the_queue() -> None:
    clock, ear = VirtualClock(), Ear()

    async def hangs(event: Event) -> None:
        await anyio.sleep_forever()

    queue = queue_of(hangs, ear, clock=clock)
    async with running(queue):
        for number in range(3):
            queue.emit(event(number))
        await settled(clock)

    assert ear.heard == [0]
    assert "queued=2" in repr(queue)


async def test_two_drains_at_once_tell_each_event_once() -> None:
    ear = Ear()
    queue = queue_of(ear)
    for number in range(20):
        queue.emit(event(number))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(queue.drain)
        tasks.start_soon(queue.drain)

    assert ear.heard == list(range(20))


def test_a_hook_that_awaits_something_cancelled_ends_itself_alone() -> None:
    ear = Ear()

    async def unlucky(event: Event) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    async def main() -> None:
        queue = queue_of(unlucky, ear)
        queue.emit(event(1))
        queue.emit(event(2))
        await queue.drain()

    anyio.run(main, backend="asyncio")

    assert ear.heard == [1, 2]


def an_awaitable(event: Event) -> Awaitable[None]:
    return checkpoint()


@pytest.mark.parametrize(
    ("hook", "name"),
    [
        (raises_sync, f"{__name__}.raises_sync"),
        (Ear(), f"{__name__}.Ear"),
        (Ear().__call__, f"{__name__}.Ear.__call__"),
    ],
)
async def test_a_hook_is_called_by_its_name(
    hook: Callable[[Event], None], name: str, caplog: pytest.LogCaptureFixture
) -> None:
    queue = queue_of(hook)
    queue.emit(Event())

    await queue.drain()

    [line] = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"the hook {name} raised")
    assert caplog.records[0].levelno == logging.WARNING


async def test_a_plain_awaitable_is_awaited() -> None:
    queue = queue_of(an_awaitable)
    queue.emit(event())

    await queue.drain()


@pytest.mark.parametrize("wrong", [None, "print", 1])
def test_what_cannot_be_called_is_no_hook(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"a hook is a callable.*: pass one"):
        EventQueue.of([wrong], clock=VirtualClock())
