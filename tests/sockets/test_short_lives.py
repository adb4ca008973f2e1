"""Tokens of three seconds under load: after the first, nobody waits and nobody fails."""

from __future__ import annotations

import anyio
import httpx
import pytest
from tests.kit.harbour import fleet, harbour

from tokenflight.model.events import FlightFailed, TokenLanded, TokenUrgent
from tokenflight.testing import Delay

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("hushed")]

LIFE, LANES, RATE = 3.0, 20, 400


@pytest.mark.parametrize("seconds", [6, pytest.param(20, marks=pytest.mark.long)])
async def test_after_the_first_token_no_call_joins_a_flight_and_none_fails(seconds: int) -> None:
    statuses: list[int] = []

    async def lane(api: httpx.AsyncClient, url: str, start: float) -> None:
        for number in range(seconds * RATE // LANES):
            await anyio.sleep_until(start + number * LANES / RATE)
            statuses.append((await api.get(url)).status_code)

    async with harbour(expires_in=LIFE) as port, port.provider() as tokens, port.api() as served:
        port.endpoint.always(Delay(0.02))
        await tokens.token()
        first = len(await port.told(TokenLanded))
        async with fleet(*[tokens.auth()] * 4) as apis, anyio.create_task_group() as lanes:
            start = anyio.current_time()
            for number in range(LANES):
                lanes.start_soon(lane, apis[number % 4], served.url, start + number / RATE)
        landed = await port.told(TokenLanded)
        assert await port.told(TokenUrgent) == []
        assert await port.told(FlightFailed) == []
    assert first == 1
    assert statuses == [200] * seconds * RATE
    assert served.statuses == statuses
    assert len(landed) - 1 >= seconds / LIFE
    assert sum(event.waiters for event in landed[1:]) == 0
    assert {event.trigger for event in landed[1:]} == {"schedule"}
    assert port.requests == len(landed)
