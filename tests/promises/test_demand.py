"""Which keys are renewed, which make room, and what a machine that slept wakes up to."""

from __future__ import annotations

import logging

import pytest
from tests.kit.town import client, records, town

from tokenflight.model.events import SchedulerFailed, TokenEvicted
from tokenflight.testing import Delay, Issue

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("keys", [500, pytest.param(10_000, marks=pytest.mark.long)])
async def test_of_many_keys_the_one_in_use_is_renewed_and_the_others_lapse(keys):
    place = town(expires_in=100)
    async with place.provider() as tokens:
        sources = [tokens.source(subject=f"s{number}") for number in range(keys)]
        await place.once(*sources)
        await place.traffic([sources[7]], rate=1, seconds=500)
        verdicts = [status.verdict for status in tokens.status(limit=keys)]
    later = place.requests(since=1)
    assert {entry.form["subject"] for entry in later} == {"s7"}
    assert 5 <= len(later) <= 8
    assert verdicts.count("expired") == keys - 1


async def test_the_calls_that_waited_for_a_token_do_not_make_it_one_in_use():
    place = town(expires_in=100)
    place.endpoint.always(Delay(1.0))
    async with place.provider() as tokens:
        source = tokens.source()
        await place.once(*[source] * 50)
        await place.clock.advance(300)
    assert len(place.requests()) == 1


async def test_a_key_that_was_used_once_in_its_life_is_renewed_once_and_then_lapses():
    place = town(expires_in=100)
    async with place.provider() as tokens:
        source = tokens.source()
        await place.once(source)
        await place.clock.advance(10)
        await place.once(source)
        await place.clock.advance(1000)
    assert len(place.requests()) == 2


async def test_the_first_call_after_an_idle_stretch_launches_a_flight_and_does_not_wait():
    place = town(expires_in=100)
    place.endpoint.always(Delay(1.0))
    async with place.provider() as tokens:
        source = tokens.source()
        await place.once(source)
        await place.clock.advance(84)
        assert source.status().verdict == "due"
        assert len(place.requests()) == 1
        mark = place.clock.now()
        [call] = await place.once(source)
        assert call.waited == 0
        await place.clock.advance(1.5)
        assert [entry.started for entry in place.requests(since=mark)] == [mark]
        assert source.status().verdict == "fresh"


async def test_a_pinned_key_is_fetched_and_kept_renewed_though_nobody_asks():
    place = town(expires_in=100)
    async with place.provider() as tokens:
        source = tokens.source(keep_warm=True)
        await place.clock.settle()
        assert source.status().verdict == "fresh"
        assert source.status().pinned
        await place.clock.advance(1000)
        assert 12 <= len(place.requests()) <= 16
        assert await source.forget()
        sent = len(place.requests())
        await place.clock.advance(1000)
        assert len(place.requests()) == sent


async def test_a_key_pinned_before_the_provider_is_entered_is_fetched_on_entering():
    place = town()
    await place.clock.settle()
    provider = place.provider()
    async with provider as tokens:
        tokens.source(subject="later", keep_warm=True)
        await place.clock.settle()
        assert [entry.form["subject"] for entry in place.requests()] == ["later"]


async def test_a_pinned_key_outlives_a_dead_endpoint():
    place = town(expires_in=20)
    async with place.provider() as tokens:
        source = tokens.source(keep_warm=True)
        await place.clock.advance(1)
        place.endpoint.down()
        await place.clock.advance(300)
        assert source.status().verdict == "expired"
        place.endpoint.up()
        await place.clock.advance(10)
        assert source.status().verdict in ("fresh", "due")
    assert len(place.requests()) <= 100


async def test_room_is_made_by_the_expired_then_by_the_lapsed_then_by_the_longest_unused(caplog):
    caplog.set_level(logging.WARNING, "tokenflight")
    place = town(expires_in=1000)
    place.endpoint.always(
        lambda entry: Issue(expires_in=50) if entry.form["subject"].startswith("short") else Issue(expires_in=1000)
    )
    async with place.provider(max_keys=12) as tokens:
        short = [tokens.source(subject=f"short{n}") for n in range(4)]
        unused = [tokens.source(subject=f"unused{n}") for n in range(4)]
        used = [tokens.source(subject=f"used{n}") for n in range(4)]
        await place.once(*short, *unused, *used)
        await place.clock.advance(60)
        for source in used:
            await place.once(source)
            await place.clock.advance(1)
        pinned = [tokens.source(subject=f"used{n}", keep_warm=True) for n in range(2)]
        for number in range(11):
            await place.once(tokens.source(subject=f"new{number}"))
            await place.once(tokens.source(subject=f"new{number}"))
            await place.clock.advance(1)
        assert len(tokens.status()) == 12
        assert all(source.status().verdict == "fresh" for source in pinned)
    told = place.told(TokenEvicted)
    assert [event.reason for event in told] == ["expired"] * 4 + ["lapsed"] * 4 + ["unused"] * 3
    gone = [event.key.subject.id for event in told]
    assert gone[8:] == ["used2", "used3", "new0"]
    assert [event.live for event in told] == [False] * 4 + [True] * 7
    warnings = records(caplog, logging.WARNING)
    assert len(warnings) == 1
    assert "max_keys" in warnings[0].getMessage()


async def test_a_key_in_flight_never_makes_room_and_an_evicted_source_finds_its_key_again():
    place = town()
    place.endpoint.always(Delay(1.0))
    async with place.provider(max_keys=10, max_flights=100) as tokens:
        sources = [tokens.source(subject=f"s{number}") for number in range(60)]
        calls = await place.once(*sources)
        assert not [call for call in calls if call.error]
        assert len(place.requests()) == 60
        assert len(tokens.status()) == 10
        again = await place.once(*sources)
    assert not [call for call in again if call.error]
    assert place.endpoint.ledger.max_in_flight_by_key
    assert max(place.endpoint.ledger.max_in_flight_by_key.values()) == 1


@pytest.mark.parametrize("subjects", [800, pytest.param(100_000, marks=pytest.mark.long)])
async def test_very_many_subjects_keep_no_more_than_max_keys(subjects):
    place = town()
    async with place.provider(max_keys=100) as tokens:
        for number in range(subjects):
            await place.call(tokens.source(subject=f"s{number}"))
        assert len(tokens.status(limit=subjects)) == 100
    assert not place.failures


async def test_what_came_due_in_a_suspend_is_spread_out_after_it():
    place = town(expires_in=3600)
    place.endpoint.always(Delay(0.01))
    async with place.provider(max_flights=1000) as tokens:
        sources = [tokens.source(subject=f"s{number}") for number in range(200)]
        await place.once(*sources)
        await place.once(*sources)
        await place.clock.advance(60)
        place.clock.suspend(3440)
        mark = place.clock.now()
        await place.clock.advance(30)
    times = [entry.started - mark for entry in place.requests(since=mark)]
    assert len(times) == 200
    busiest = max(sum(second <= moment < second + 1 for moment in times) for second in range(30))
    assert busiest <= 30
    assert max(times) >= 15


async def test_the_first_call_after_a_long_suspend_gets_a_new_token():
    place = town(expires_in=3600)
    async with place.provider() as tokens:
        source = tokens.source()
        await place.once(source)
        await place.once(source)
        await place.clock.advance(10)
        place.clock.suspend(7200)
        [call] = await place.once(source)
    assert call.error is None
    assert not place.dead


async def test_the_schedule_goes_on_after_a_step_that_raises(monkeypatch, caplog):
    place = town(expires_in=100)
    async with place.provider() as tokens:
        sources = [tokens.source(subject=f"s{number}") for number in range(10)]
        await place.once(*sources)
        await place.once(*sources)
        launching = tokens._engine._renewing._launching
        real, steps = launching.launch, []

        def stumbling(*args, **kwargs):
            steps.append(args)
            if len(steps) == 3:
                raise KeyError("a bug")
            return real(*args, **kwargs)

        monkeypatch.setattr(launching, "launch", stumbling)
        await place.everybody(sources, every=1.0, seconds=300)
    assert len(place.told(SchedulerFailed)) == 1
    assert not place.failures
    assert not place.dead
    assert {entry.form["subject"] for entry in place.requests(since=150)} == {f"s{n}" for n in range(10)}


async def test_two_clients_of_one_provider_keep_their_tokens_apart():
    place = town()
    async with place.provider({"a": client("a"), "b": client("b")}) as tokens:
        first, second = await place.once(tokens.source("a"), tokens.source("b"))
    assert first.token.header != second.token.header
