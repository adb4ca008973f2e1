"""The Clock protocol is what the clocks of this library are."""

from __future__ import annotations

import inspect

import pytest

from tokenflight.model.clock import Clock
from tokenflight.testing import VirtualClock
from tokenflight.transport.clock import SystemClock

METHODS = [name for name, value in vars(Clock).items() if inspect.isfunction(value) and not name.startswith("_")]


@pytest.mark.parametrize("clock", [VirtualClock(), SystemClock()])
@pytest.mark.parametrize("name", METHODS)
def test_a_clock_has_every_method_and_waits_where_the_protocol_does(clock: Clock, name: str) -> None:
    promised, kept = getattr(Clock, name), getattr(clock, name)

    assert callable(kept)
    assert inspect.iscoroutinefunction(promised) == inspect.iscoroutinefunction(kept)


def test_the_protocol_is_six_methods() -> None:
    assert METHODS == ["now", "wall", "uniform", "sleep_until", "wait", "timeout_at"]
