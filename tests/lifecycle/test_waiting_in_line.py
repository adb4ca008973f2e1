"""Waiting in line: who may wait for a Retry-After that ends in time does so without a turn of the loop."""

from __future__ import annotations

import pytest
from tests.kit.house import house

from tokenflight import TokenRequestError
from tokenflight.testing import Throttle

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
