"""Waiting in line: who may wait for a Retry-After that ends in time does so without a turn of the loop."""

from __future__ import annotations

from contextlib import suppress

import anyio
import pytest
from tests.kit.house import house

from tokenflight import TokenRequestError
from tokenflight.testing import Throttle, VirtualClock

pytestmark = pytest.mark.anyio


async def test_a_new_key_waits_for_the_rest_of_a_long_retry_after() -> None:
    at = house()
    at.endpoint.script(Throttle(40))
    async with at.provider:
        with pytest.raises(TokenRequestError):
            await at.get()
        await at.clock.advance(15.0)
        assert (await at.clock.run(at.get, "another")).access_token
        assert 40.0 <= at.clock.now() <= 45.0
    assert [entry.started for entry in at.endpoint.ledger] == [0.0, 40.0]


async def test_a_retry_after_holds_for_who_comes_after_it_was_left_and_entered_again() -> None:
    at = house()
    at.endpoint.script(Throttle(20))
    async with at.provider:
        with at.clock.timeout_at(0.0):
            await at.get()
        await at.clock.settle()
    async with at.provider:
        assert (await at.clock.run(at.get, "another")).access_token
        assert 20.0 <= at.clock.now() <= 25.0
    assert at.quiet()


@pytest.mark.parametrize("seed", range(12))
async def test_a_forgotten_flight_does_not_stay_the_probe_of_an_endpoint_that_is_down(seed: int) -> None:
    at = house(clock=VirtualClock(seed))
    at.endpoint.down()

    async def ask(audience: str) -> None:
        with suppress(TokenRequestError):
            await at.get(audience)

    async with at.provider, anyio.create_task_group() as tasks:
        tasks.start_soon(ask, "forgotten")
        await at.clock.settle()
        await at.provider.forget(audience="forgotten")
        for audience in ("second", "third"):
            with at.clock.timeout_at(0.0):  # nobody waits, so neither tries again
                await at.get(audience)
        await at.clock.advance(30.0)
        assert [health.state for health in at.provider.health()] == ["probing"]
        at.endpoint.up()
        tasks.start_soon(ask, "wants it back")
        await at.clock.advance(10.0)
        assert (await at.get("second")).access_token
        assert [health.state for health in at.provider.health()] != ["probing"]
    assert at.quiet()
