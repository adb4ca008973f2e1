"""A short outage inside a token's life: nobody who calls notices it."""

from __future__ import annotations

import random

import pytest
from tests.kit.town import Town, client, town

from tokenflight.testing import Answer, Delay, Hang, Refuse

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
        if entry.number <= 40:
            return Delay(LATENCY)
        start = began.setdefault(entry.client, place.clock.now())
        return act if place.clock.now() < start + outage else Delay(LATENCY)

    place.endpoint.always(weather)
    clients = {f"c{number}": client(f"c{number}", host=f"c{number}.test") for number in range(40)}
    async with place.provider(clients) as tokens:
        sources = [tokens.source(name) for name in clients]
        await place.once(*sources)
        place.waits.clear()
        await place.everybody(sources, every=life / 50, seconds=1.2 * life)
    assert len(began) == 40
    assert not place.failures
    assert not place.dead
    assert max((call.waited for call in place.waits), default=0.0) <= min(1.0, 0.025 * life) + 1e-9


async def test_keys_in_use_notice_nothing_of_an_endpoint_that_fails_three_requests_in_ten():
    place = town(seed=6, expires_in=60)
    chance = random.Random(3)
    place.endpoint.always(lambda entry: Answer(503) if chance.random() < 0.3 else Delay(LATENCY))
    async with place.provider() as tokens:
        sources = [tokens.source(subject=f"s{number}") for number in range(30)]
        while any(call.error for call in await place.once(*sources)):
            await place.clock.advance(1)
        place.failures.clear()
        await place.everybody(sources, every=1.0, seconds=600)
    assert not place.failures
    assert not place.dead


@pytest.mark.parametrize(("life", "longest"), [(6.0, 0.7), (90.0, 10.0)])
async def test_an_attempt_for_a_held_token_ends_after_a_third_of_what_it_has_left(life, longest):
    place = town(expires_in=life)
    async with place.provider() as tokens:
        source = tokens.source()
        await place.once(source)
        await place.once(source)
        place.endpoint.hang()
        await place.clock.advance(0.99 * life)
    tries = place.requests(since=0.5)
    assert len(tries) >= 2
    for entry in tries:
        assert entry.finished is not None
        bound = min(10.0, max(0.25, (life - entry.started) / 3))
        assert entry.finished - entry.started <= bound + 1e-9
    assert max(entry.finished - entry.started for entry in tries) <= longest + 1e-9
