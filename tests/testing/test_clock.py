from __future__ import annotations

import asyncio
import itertools
import math
import time
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from tokenflight.model.clock import Clock
from tokenflight.testing import VirtualClock

pytestmark = pytest.mark.anyio


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


async def test_it_is_a_clock(clock: VirtualClock) -> None:
    as_clock: Clock = clock
    assert as_clock.now() == 0.0


async def test_time_stands_still_until_it_is_advanced(clock: VirtualClock) -> None:
    before = clock.wall()
    await clock.settle()
    assert (clock.now(), clock.wall()) == (0.0, before)
    await clock.advance(2.5)
    assert (clock.now(), clock.wall()) == (2.5, before + 2.5)


async def test_sleepers_wake_in_order_of_time_each_at_its_own_moment(clock: VirtualClock) -> None:
    woken: list[tuple[float, float]] = []

    async def sleep(until: float) -> None:
        await clock.sleep_until(until)
        woken.append((until, clock.now()))

    async with anyio.create_task_group() as tasks:
        for until in (3.0, 1.0, 2.0, 0.0, -1.0):
            tasks.start_soon(sleep, until)
        await clock.advance(10)
    assert sorted(woken[:2]) == [(-1.0, 0.0), (0.0, 0.0)]
    assert woken[2:] == [(1.0, 1.0), (2.0, 2.0), (3.0, 3.0)]


async def test_what_a_sleeper_does_next_happens_before_time_goes_on(clock: VirtualClock) -> None:
    seen: list[str] = []

    async def hop() -> None:
        await clock.sleep_until(1)
        for _ in range(50):
            await anyio.lowlevel.checkpoint()
        seen.append(f"hopped at {clock.now():g}")
        await clock.sleep_until(1.5)
        seen.append(f"again at {clock.now():g}")

    async def other() -> None:
        await clock.sleep_until(1.25)
        seen.append(f"other at {clock.now():g}")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hop)
        tasks.start_soon(other)
        await clock.advance(2)
    assert seen == ["hopped at 1", "other at 1.25", "again at 1.5"]


async def test_waiting_for_an_event_tells_whether_it_came_in_time(clock: VirtualClock) -> None:
    event, answers = anyio.Event(), []

    async def wait(until: float) -> None:
        answers.append((await clock.wait(event, until), clock.now()))

    async with anyio.create_task_group() as tasks:
        for until in (1.0, 5.0, math.inf):
            tasks.start_soon(wait, until)
        await clock.advance(2)
        event.set()
    assert answers == [(False, 1.0), (True, 2.0), (True, 2.0)]
    assert await clock.wait(event, clock.now() - 1)
    assert clock.pending == 0


async def test_a_timeout_cancels_at_its_virtual_moment(clock: VirtualClock) -> None:
    cut: list[float] = []

    async def work() -> None:
        with clock.timeout_at(3) as scope:
            await anyio.sleep_forever()
        assert scope.cancelled_caught
        cut.append(clock.now())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work)
        await clock.advance(2.9)
        assert not cut
        await clock.advance(10)
    assert cut == [3.0]


async def test_a_timeout_that_lies_behind_cancels_the_first_await(clock: VirtualClock) -> None:
    with clock.timeout_at(0) as scope:
        await anyio.sleep_forever()
    assert scope.cancelled_caught


async def test_a_timeout_that_is_not_reached_leaves_nothing_behind(clock: VirtualClock) -> None:
    with clock.timeout_at(3) as scope:
        await anyio.lowlevel.checkpoint()
    await clock.advance(5)
    assert not scope.cancel_called
    assert clock.pending == 0


async def test_cancelled_sleepers_leave_no_rubbish(clock: VirtualClock) -> None:
    for _ in range(3):
        async with anyio.create_task_group() as tasks:
            for number in range(1_000):
                tasks.start_soon(clock.sleep_until, 1e6 + number)
            await clock.settle()
            assert clock.pending == 1_000
            tasks.cancel_scope.cancel()
        assert clock.pending == 0


async def test_files_that_worker_threads_read_are_waited_for(clock: VirtualClock, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("read")
    read: list[str] = []

    async def work() -> None:
        await clock.sleep_until(1)
        read.append(await anyio.Path(tmp_path / "secret").read_text())
        await to_thread.run_sync(time.sleep, 0.01)
        read.append("slept")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work)
        await clock.advance(1)
        assert read == ["read", "slept"]


async def test_a_wall_jump_moves_wall_time_alone(clock: VirtualClock) -> None:
    before = clock.wall()
    clock.jump_wall(-86_400)
    assert (clock.now(), clock.wall()) == (0.0, before - 86_400)
    await clock.advance(1)
    assert clock.wall() == before - 86_399


async def test_sleepers_wake_late_from_a_suspend(clock: VirtualClock) -> None:
    woken: list[float] = []

    async def sleep() -> None:
        await clock.sleep_until(1)
        woken.append(clock.now())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sleep)
        await clock.settle()
        clock.suspend(3_600)
        assert not woken
        await clock.settle()
        assert woken == [3_600.0]


async def test_tasks_may_advance_the_clock_at_the_same_time(clock: VirtualClock) -> None:
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(clock.advance, 2)
    assert clock.now() == 6.0


async def test_run_lets_pass_what_a_call_needs_and_no_more(clock: VirtualClock) -> None:
    async def call(result: str) -> str:
        await clock.sleep_until(10)
        await clock.sleep_until(20)
        return result

    assert await clock.run(call, "done") == "done"
    assert clock.now() == 20.0


async def test_run_hands_on_what_the_call_raises(clock: VirtualClock) -> None:
    async def call() -> None:
        await clock.sleep_until(10)
        raise KeyError("lost")

    with pytest.raises(KeyError, match="lost"):
        await clock.run(call)


async def test_run_gives_up_at_its_limit(clock: VirtualClock) -> None:
    with pytest.raises(TimeoutError, match="100 virtual seconds"):
        await clock.run(clock.sleep_until, 101.0, limit=100)
    assert (clock.now() <= 100, clock.pending) == (True, 0)


@pytest.mark.parametrize("seconds", [-1, math.inf, math.nan])
async def test_time_does_not_pass_backwards_or_for_ever(clock: VirtualClock, seconds: float) -> None:
    with pytest.raises(ValueError, match="0 or more"):
        await clock.advance(seconds)
    with pytest.raises(ValueError, match="0 or more"):
        clock.suspend(seconds)


async def test_thousands_of_advances_and_sleepers_leave_nobody_asleep(clock: VirtualClock) -> None:
    async with anyio.create_task_group() as tasks:
        for number in range(5_000):
            tasks.start_soon(clock.sleep_until, number / 100)
        for _ in range(5_000):
            await clock.advance(0.01)
    assert clock.pending == 0


def test_the_same_seed_draws_the_same_numbers() -> None:
    rows = [[VirtualClock(seed).uniform(2, 3) for _ in range(5)] for seed in (1, 1, 2)]
    assert rows[0] == rows[1] != rows[2]
    assert all(2 <= number <= 3 for number in itertools.chain(*rows))


@pytest.mark.parametrize("backend", [("asyncio", {}), ("trio", {}), ("asyncio", {"use_uvloop": True})])
def test_one_clock_serves_several_loops_one_after_another(backend: tuple[str, dict[str, bool]]) -> None:
    name, options = backend
    if options:
        pytest.importorskip("uvloop")
    clock = VirtualClock()

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(clock.sleep_until, clock.now() + 5)
            await clock.advance(10)

    for _ in range(3):
        anyio.run(main, backend=name, backend_options=options)
    assert clock.now() == 30.0


def test_sleepers_of_a_loop_that_was_torn_down_disturb_no_other() -> None:
    clock = VirtualClock()
    loop = asyncio.new_event_loop()

    async def abandon() -> asyncio.Task[None]:
        task = asyncio.ensure_future(clock.sleep_until(1))
        await asyncio.sleep(0)
        return task

    async def advance() -> None:
        await clock.advance(2)

    task = loop.run_until_complete(abandon())
    asyncio.run(advance())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    loop.close()
    assert clock.now() == 2.0


def test_a_task_that_never_waits_is_named_instead_of_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenflight.testing.settling._PASSES", 1_000)
    clock = VirtualClock()

    async def spin() -> None:
        while True:  # noqa: ASYNC110 - the very fault
            await asyncio.sleep(0)

    async def main() -> None:
        task = asyncio.ensure_future(spin())
        try:
            with pytest.raises(RuntimeError, match="never settles"):
                await clock.settle()
        finally:
            task.cancel()

    asyncio.run(main())
