"""The machine's clock."""

import subprocess
import sys
import time

import anyio
import pytest

from tokenflight.model.clock import Clock
from tokenflight.transport import clock as module
from tokenflight.transport.clock import SystemClock

pytestmark = pytest.mark.anyio
CLOCK: Clock = SystemClock()


def test_now_counts_through_suspend_where_the_system_can() -> None:
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert before <= CLOCK.now() <= time.clock_gettime(time.CLOCK_BOOTTIME)


def test_now_is_monotonic_where_there_is_no_clock_that_counts_through_suspend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(time, "CLOCK_BOOTTIME")
    assert module._age_clock() is time.monotonic


def test_now_is_monotonic_where_the_better_clock_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(which: int) -> float:
        raise OSError("no such clock")

    monkeypatch.setattr(time, "clock_gettime", refuse)
    assert module._age_clock() is time.monotonic


def test_now_is_no_python_function() -> None:
    assert not hasattr(CLOCK.now, "__code__")


def test_wall_is_unix_time() -> None:
    assert abs(CLOCK.wall() - time.time()) < 1.0


def test_draws_do_not_follow_a_seeded_random() -> None:
    code = (
        "import random; random.seed(1);"
        "from tokenflight.transport.clock import SystemClock; print(SystemClock().uniform(0, 1))"
    )
    draws = {subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout for _ in range(2)}
    assert len(draws) == 2


def test_repr_says_what_it_is() -> None:
    assert repr(SystemClock()) == "SystemClock()"


async def test_sleep_until_ends_at_the_moment_and_not_before() -> None:
    when = CLOCK.now() + 0.02
    await CLOCK.sleep_until(when)
    assert CLOCK.now() >= when


async def test_sleep_until_a_moment_in_the_past_is_a_checkpoint() -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        await CLOCK.sleep_until(CLOCK.now() - 1.0)
    assert scope.cancelled_caught


async def test_a_long_sleep_is_cut_into_naps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_NAP", 0.005)
    when = CLOCK.now() + 0.02
    await CLOCK.sleep_until(when)
    assert CLOCK.now() >= when


async def test_wait_returns_true_once_the_event_is_set() -> None:
    event = anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(_set_soon, event)
        assert await CLOCK.wait(event, CLOCK.now() + 5.0) is True


async def test_wait_without_end_returns_once_the_event_is_set() -> None:
    event = anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(_set_soon, event)
        assert await CLOCK.wait(event, float("inf")) is True


async def test_wait_returns_false_when_the_moment_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_NAP", 0.005)
    until = CLOCK.now() + 0.02
    assert await CLOCK.wait(anyio.Event(), until) is False
    assert CLOCK.now() >= until


@pytest.mark.parametrize("left", [-1.0, float("-inf"), 0.0])
async def test_wait_until_a_moment_in_the_past_only_looks(left: float) -> None:
    event = anyio.Event()
    assert await CLOCK.wait(event, CLOCK.now() + left) is False
    event.set()
    assert await CLOCK.wait(event, CLOCK.now() + left) is True


async def test_timeout_at_cancels_what_is_inside_and_tells_so() -> None:
    with CLOCK.timeout_at(CLOCK.now() + 0.01) as scope:
        await anyio.sleep_forever()
    assert scope.cancelled_caught


async def test_timeout_at_leaves_what_ends_in_time_alone() -> None:
    with CLOCK.timeout_at(CLOCK.now() + 5.0) as scope:
        await anyio.lowlevel.checkpoint()
    assert not scope.cancelled_caught


async def _set_soon(event: anyio.Event) -> None:
    await anyio.sleep(0.01)
    event.set()
