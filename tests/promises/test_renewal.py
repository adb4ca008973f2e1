"""Renewal by the token's own life: when, how often, and what counts as one."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from tests.kit.town import client, town

from tokenflight import RefreshPolicy
from tokenflight.model.events import AnswerOdd, FlightFailed, TokenLanded
from tokenflight.model.policy import live
from tokenflight.testing import Delay, Issue, Straggle, VirtualClock

pytestmark = pytest.mark.anyio

DAY = 86_400.0


@pytest.mark.parametrize("lifetime", [0, 1, 2, 5, 30, 60, 300, 3600])
async def test_three_lifetimes_under_steady_calls_are_a_handful_of_requests(lifetime):
    place = town(seed=lifetime, expires_in=lifetime)
    place.endpoint.always(Straggle(0.02, Issue()))
    seconds = max(10, 3 * lifetime)
    rate = 100 if lifetime <= 30 else 10 if lifetime <= 300 else 1
    async with place.provider() as tokens:
        source = tokens.source()
        await place.once(source)
        place.waits.clear()
        place.dead.clear()
        await place.traffic([source], rate=rate, seconds=seconds)
    sent = place.requests()
    gaps = [after.started - before.started for before, after in pairwise(sent)]
    assert not place.failures
    assert min(gaps, default=math.inf) >= max(1.0, 0.05 * lifetime) - 1e-9
    assert len(sent) <= (seconds / lifetime / 0.65 + 2 if lifetime >= 2 else seconds + 2)
    if lifetime >= 2:
        assert not place.waits
        assert not place.dead


@pytest.mark.parametrize(("lifetime", "earliest", "latest"), [(10, 2, 3.5), (3600, 718.2, 1260), (86_400, 2052, 3600)])
async def test_a_token_in_use_is_renewed_a_share_of_its_life_before_its_end(lifetime, earliest, latest):
    place = town(seed=lifetime, expires_in=lifetime)
    async with place.provider() as tokens:
        sources = [tokens.source(subject=f"s{n}") for n in range(60)]
        await place.once(*sources)
        await place.clock.advance(1)
        await place.once(*sources)
        await place.clock.advance(lifetime - 1.5)
    ahead = [lifetime - entry.started for entry in place.requests(since=0.5)]
    assert len(ahead) == 60
    assert earliest - 1e-6 <= min(ahead) < earliest + 0.2 * (latest - earliest)
    assert latest - 0.2 * (latest - earliest) < max(ahead) <= latest + 1e-6


async def test_the_moment_is_drawn_once_a_token_and_not_by_each_call():
    place = town(expires_in=1000)
    async with place.provider() as tokens:
        source = tokens.source()
        await place.once(source)
        await place.once(source)
        dues = set()
        for _ in range(60):
            await place.clock.advance(10)
            await place.once(source)
            dues.add(round(source.status().due_in + place.clock.now(), 6))
    assert len(dues) == 1
    assert 650 <= dues.pop() <= 1000 - 199.5


@pytest.mark.parametrize(("wish", "earliest", "latest"), [(100, 100, 190), (990, 850, 850), (0, 50, 100)])
async def test_a_servers_refresh_in_moves_the_renewal(wish, earliest, latest):
    place = town(seed=wish, expires_in=1000)
    place.endpoint.script(*[Issue(fields={"refresh_in": wish})] * 30)
    async with place.provider() as tokens:
        sources = [tokens.source(subject=f"s{n}") for n in range(30)]
        await place.once(*sources)
        await place.clock.advance(0.5)
        await place.once(*sources)
        await place.clock.advance(900)
    times = [entry.started for entry in place.requests(since=0.5)][:30]
    assert earliest - 1e-6 <= min(times)
    assert max(times) <= latest + 1e-6


async def test_a_token_without_an_end_is_renewed_once_per_default_lifetime_while_in_use():
    place = town(expires_in=None)
    async with place.provider(client(default_lifetime=100.0)) as tokens:
        source = tokens.source()
        await place.once(source)
        await place.traffic([source], rate=1, seconds=1000)
        assert 8 <= len(place.requests()) - 1 <= 10
        assert source.status().verdict == "fresh"
        assert source.status().expires_at is None
        used = len(place.requests())
        place.endpoint.down()
        await place.traffic([source], rate=0.1, seconds=3000)
    assert not place.failures
    assert not place.waits
    assert used == 9 or used <= 11


@pytest.mark.parametrize("odd", [True, "soon", -5, "NaN", [3600], {}, "9" * 5000])
async def test_an_end_that_makes_no_sense_counts_as_none_and_is_told(odd):
    place = town()
    place.endpoint.always(Issue(fields={"expires_in": odd}))
    async with place.provider() as tokens:
        source = tokens.source()
        [call] = await place.once(source)
        await place.traffic([source], rate=1, seconds=250)
        assert source.status().expires_at is None
    assert call.error is None
    assert len(place.requests()) == 1
    assert place.told(AnswerOdd)


@pytest.mark.parametrize("huge", [2**31, 2**53, 1e12, 1e308])
async def test_an_end_in_the_far_future_is_one_request(huge):
    place = town()
    place.endpoint.always(Issue(expires_in=huge))
    async with place.provider() as tokens:
        source = tokens.source()
        await place.once(source)
        await place.traffic([source], rate=1 / 3600, seconds=DAY)
    assert len(place.requests()) == 1
    assert not place.failures


async def test_the_same_token_with_less_and_less_left_is_no_gain_and_asked_for_ever_more_slowly():
    place = town(expires_in=60)
    place.endpoint.always(Issue(again=True))
    async with place.provider() as tokens:
        source = tokens.source()
        await place.once(source)
        await place.traffic([source], rate=20, seconds=59.9)
        assert len(place.requests()) <= 18  # the backoff of a live token, from due to the end
        assert tokens.health()[0].state == "up"
        await place.clock.advance(0.2)
        [call] = await place.once(source)
    assert not place.failures
    assert call.error is None
    assert {event.reason for event in place.told(FlightFailed)} == {"no_gain"}


async def test_another_token_that_ends_no_later_is_no_gain_to_the_schedule():
    place = town(expires_in=100)
    place.endpoint.script(Issue(expires_in=100), Issue(expires_in=10), Issue(expires_in=100))
    async with place.provider() as tokens:
        source = tokens.source()
        [first] = await place.once(source)
        await place.traffic([source], rate=5, seconds=99)
    assert not place.failures
    assert [event.lifetime for event in place.told(TokenLanded)] == [100, 100]
    assert [event.reason for event in place.told(FlightFailed)] == ["no_gain"]
    assert place.endpoint.is_live(first.token)


async def test_a_token_that_is_past_its_end_on_arrival_is_a_transient_failure_of_its_key_alone():
    place = town(expires_in=1)
    place.endpoint.always(Straggle(1.5, Issue()))
    async with place.provider() as tokens:
        [call] = await place.once(tokens.source())
        assert tokens.health()[0].state == "up"
    assert call.error.transient
    assert call.error.reason == "no_gain"
    assert len(place.requests()) == 3


async def test_a_thousand_processes_that_start_together_have_parted_after_two_generations():
    clock, policy, lifetime = VirtualClock(4), RefreshPolicy(), 3600.0
    times = [0.0] * 1000
    for _ in range(2):
        times = [live(policy, sent_at=sent, lifetime=lifetime, draw=clock.uniform).due_at for sent in times]
    third = [live(policy, sent_at=sent, lifetime=lifetime, draw=clock.uniform).due_at for sent in times]
    window = 60.0
    counts: dict[int, int] = {}
    for moment in third:
        counts[int(moment // window)] = counts.get(int(moment // window), 0) + 1
    mean = 1000 / ((max(third) - min(third)) / window)
    assert max(counts.values()) <= 3 * mean


async def test_without_proactive_renewal_only_a_caller_renews():
    place = town(expires_in=100)
    place.endpoint.always(Delay(0.5))
    async with place.provider(refresh=RefreshPolicy(proactive=False)) as tokens:
        source = tokens.source()
        await place.once(source)
        place.waits.clear()
        await place.once(source)
        await place.clock.advance(85)
        assert len(place.requests()) == 1
        await place.once(source)
        await place.clock.advance(1)
        assert len(place.requests()) == 2
    assert not place.waits


@pytest.mark.parametrize("jump", [3600.0, -3600.0, 3.2e8, -3.2e8, -1_750_000_000.0])
async def test_a_wall_clock_that_jumps_neither_extends_a_token_nor_makes_a_loop(jump):
    place = town(expires_in=60)
    async with place.provider() as tokens:
        source = tokens.source()
        await place.once(source)
        await place.traffic([source], rate=5, seconds=10)
        place.clock.jump_wall(jump)
        await place.traffic([source], rate=5, seconds=170)
    assert not place.failures
    assert not place.dead
    assert not place.waits
    assert 4 <= len(place.requests()) <= 6
