"""A short outage inside a token's life: nobody who calls notices it."""

from __future__ import annotations

import pytest
from tests.kit.town import Town, client, town

from tokenflight.testing import Delay, Hang, Refuse

pytestmark = pytest.mark.anyio

LIFE, OUTAGE, LATENCY = 10.0, 1.5, 0.03


async def _200_moments(act: object, seed: int) -> Town:
    """Let 200 endpoints go down for 1.5 s, each at another moment of its token's 10 s."""
    place = town(seed=seed, expires_in=LIFE)
    moments = {f"c{number}": 1.0 + number * LIFE / 200 for number in range(200)}

    def weather(entry: object) -> object:
        began = moments[entry.client]
        return act if began <= place.clock.now() < began + OUTAGE else Delay(LATENCY)

    place.endpoint.always(weather)
    clients = {name: client(name, host=f"{name}.test") for name in moments}
    async with place.provider(clients) as tokens:
        sources = [tokens.source(name) for name in clients]
        await place.once(*sources)
        place.waits.clear()
        await place.everybody(sources, every=0.1, seconds=LIFE + 2 * OUTAGE)
    return place


@pytest.mark.parametrize("act", [Refuse(), Hang()], ids=["refusing", "hanging"])
async def test_no_call_fails_and_none_waits_long_when_an_endpoint_is_down_for_a_moment_of_a_life(act):
    place = await _200_moments(act, seed=1)
    assert not place.failures
    assert not place.dead
    assert max((call.waited for call in place.waits), default=0.0) <= 0.25 + 1e-9


@pytest.mark.parametrize("act", [Refuse(), Hang()], ids=["refusing", "hanging"])
@pytest.mark.parametrize(("life", "outage"), [(10.0, 1.5), (60.0, 9.0)])
async def test_no_call_fails_when_the_outage_begins_with_the_renewal_itself(act, life, outage):
    place = town(seed=2, expires_in=life)
    began: dict[str, float] = {}

    def weather(entry: object) -> object:
        if entry.number <= 60:
            return Delay(LATENCY)
        start = began.setdefault(entry.client, place.clock.now())
        return act if place.clock.now() < start + outage else Delay(LATENCY)

    place.endpoint.always(weather)
    clients = {f"c{number}": client(f"c{number}", host=f"c{number}.test") for number in range(60)}
    async with place.provider(clients) as tokens:
        sources = [tokens.source(name) for name in clients]
        await place.once(*sources)
        place.waits.clear()
        await place.everybody(sources, every=life / 100, seconds=1.2 * life)
    assert len(began) == 60
    assert not place.failures
    assert not place.dead
    assert max((call.waited for call in place.waits), default=0.0) <= min(1.0, 0.025 * life) + 1e-9
