"""What a caller gets: min_ttl, urgency, forgetting, updates, warm-up, status and health."""

from __future__ import annotations

import math

import anyio
import pytest
from tests.kit.town import client, town

from tokenflight import EndpointHealth, ProviderClosedError, TokenRequestError, WarmUpError
from tokenflight.model.events import FlightLaunched, TokenUrgent
from tokenflight.testing import Delay, Hang, Issue, Refuse

pytestmark = pytest.mark.anyio


async def test_a_held_token_with_less_than_min_ttl_counts_as_none_for_this_call():
    place = town(expires_in=100)
    place.endpoint.always(Delay(0.5))
    async with place.provider() as tokens:
        patient, plain = tokens.source(min_ttl=60), tokens.source()
        [first] = await place.once(plain)
        await place.clock.advance(50)
        [same], [longer] = await place.once(plain), await place.once(patient)
    assert same.token is first.token
    assert longer.token is not first.token
    assert longer.waited == 0.5
    assert [event.trigger for event in place.told(FlightLaunched)] == ["call", "min_ttl"]


async def test_a_min_ttl_longer_than_any_life_takes_what_lands_and_never_loops():
    place = town(expires_in=100)
    async with place.provider() as tokens:
        greedy = tokens.source(min_ttl=500)
        await place.traffic([greedy], rate=20, seconds=50)
    assert not place.failures
    assert len(place.requests()) <= 50 / 5 + 2  # pace: one in 0.05 of the lifetime
    assert not place.dead


async def test_who_wants_more_life_gets_the_held_token_where_the_renewal_fails():
    place = town(expires_in=100)
    async with place.provider() as tokens:
        [first] = await place.once(tokens.source())
        await place.clock.advance(20)
        place.endpoint.down()
        [call] = await place.once(tokens.source(min_ttl=90))
        assert call.token is first.token
        [again] = await place.once(tokens.source(min_ttl=90))
    assert again.token is first.token
    assert again.waited == 0


@pytest.mark.parametrize(("left", "waited"), [(0.8, 0.2), (0.4, 0.1)])
async def test_an_urgent_token_is_waited_for_a_quarter_of_what_it_has_left(left, waited):
    place = town(expires_in=10)
    async with place.provider() as tokens:
        source = tokens.source()
        [first] = await place.once(source)
        await place.clock.advance(10 - left)
        place.endpoint.always(Hang())
        [call] = await place.once(source)
    assert call.token is first.token
    assert call.waited == pytest.approx(waited)
    assert len(place.told(TokenUrgent)) == 1


async def test_an_urgent_call_takes_what_lands_meanwhile():
    place = town(expires_in=100)
    async with place.provider() as tokens:
        source = tokens.source()
        [first] = await place.once(source)
        await place.clock.advance(95)
        place.endpoint.always(Delay(0.3))
        [call] = await place.once(source)
    assert call.token is not first.token
    assert call.waited == pytest.approx(0.3)


async def test_nobody_waits_for_a_flight_that_has_been_up_for_a_second():
    place = town(expires_in=100)
    async with place.provider() as tokens:
        source = tokens.source()
        await place.once(source)
        await place.once(source)
        place.endpoint.always(Delay(1000.0))
        await place.everybody([source], every=0.5, seconds=99.5)
        after_launch = [call for call in place.waits if call.at > 1]
    assert not place.failures
    assert len(after_launch) <= 8  # the first second of each urgent try
    assert max((call.waited for call in after_launch), default=0) <= 1.0 + 1e-9


async def test_callers_who_joined_before_forget_are_answered_and_nothing_is_left_behind():
    place = town()
    place.endpoint.always(Delay(1.0))
    place.endpoint.ledger.waive("flights", "the second call launches its own, as it must")
    async with place.provider() as tokens:
        source = tokens.source()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(place.call, source)
            await place.clock.advance(0.5)
            assert await source.forget() is False
            assert source.status().verdict == "none"
            tasks.start_soon(place.call, source)
            await place.clock.advance(0.6)
            assert place.calls == 1
            assert source.status().verdict == "none"
            await place.clock.advance(1.0)
        assert place.calls == 2
        assert source.status().verdict == "fresh"
    assert not place.failures
    assert len(place.requests()) == 2


async def test_updates_bring_the_present_token_then_the_newest_and_end_with_forget():
    place = town(expires_in=100)
    seen = []
    async with place.provider() as tokens:
        source = tokens.source()
        updates = source.updates()

        async def read() -> None:
            async for token in updates:
                seen.append((place.clock.now(), token))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            await place.clock.advance(1)
            assert source.status().pinned
            assert len(seen) == 1
            await place.clock.advance(1000)
            await source.forget()
            await place.clock.settle()
        assert len(seen) == len(place.requests())
        assert 12 <= len(seen) <= 16
        assert len({token.header for _, token in seen}) == len(seen)


async def test_a_slow_reader_of_updates_skips_to_the_newest_and_closing_unpins():
    place = town(expires_in=100)
    async with place.provider() as tokens:
        source = tokens.source()
        updates = source.updates()
        first = await anext(updates)
        await place.clock.advance(500)
        second = await anext(updates)
        assert second is not first
        assert place.endpoint.is_live(second)
        await updates.aclose()
        assert not source.status().pinned
        sent = len(place.requests())
        await place.clock.advance(500)
        assert len(place.requests()) == sent
        with pytest.raises(StopAsyncIteration):
            await anext(updates)


async def test_warm_up_fetches_what_is_named_side_by_side_and_says_how_it_stands():
    place = town()
    place.endpoint.always(lambda entry: Hang() if entry.form["subject"] == "s3" else Delay(0.5))
    async with place.provider() as tokens:
        sources = [tokens.source(subject=f"s{n}") for n in range(10)]

        async def warm(**options: object) -> object:
            return await tokens.warm_up(*sources, timeout=2.0, **options)

        statuses = await place.clock.run(warm)
        assert place.clock.now() == 2.0
        assert [status.verdict for status in statuses] == ["fresh"] * 3 + ["none"] + ["fresh"] * 6
        with pytest.raises(WarmUpError) as caught:
            await place.clock.run(lambda: warm(strict=True))
        assert [status.key.subject.id for status in caught.value.failed] == ["s3"]
        assert statuses[3].in_flight  # it goes on
    assert len(place.requests()) >= 10


async def test_status_tells_the_worst_first_and_each_field_is_true():
    place = town(expires_in=100)
    async with place.provider() as tokens:
        good, bad = tokens.source(subject="good"), tokens.source(subject="bad")
        await place.once(good)
        await place.once(good)
        await place.clock.advance(10)
        place.endpoint.always(Refuse())
        await place.once(bad)
        worst, best = tokens.status()
    assert (worst.key.subject.id, worst.verdict, worst.holding_back) == ("bad", "none", "failed")
    assert worst.last_error == "connect"
    assert worst.failures == 1
    assert worst.expires_at is None
    assert worst.due_in is None
    assert 0 < worst.not_before_in <= 5
    assert (best.key.subject.id, best.verdict, best.holding_back) == ("good", "fresh", "probing")
    assert best.used_ago == pytest.approx(place.clock.now() - 0)
    assert 100 - 35 <= best.due_in + place.clock.now() <= 100 - 19
    assert best.expires_at.timestamp() == pytest.approx(place.clock.wall() - place.clock.now() + 100)


async def test_pace_is_told_in_the_first_twentieth_of_a_life():
    place = town(expires_in=100)
    async with place.provider() as tokens:
        source = tokens.source()
        await place.once(source)
        assert source.status().holding_back == "pace"
        assert source.status().not_before_in == pytest.approx(5)
        await place.clock.advance(5)
        assert source.status().holding_back is None


async def test_health_counts_keys_and_says_for_how_long_they_last():
    place = town(expires_in=100)
    async with place.provider({"a": client("a"), "b": client("b", host="other.test")}) as tokens:
        await place.once(*[tokens.source("a", subject=f"s{n}") for n in range(3)], tokens.source("b"))
        await place.once(tokens.source("a", subject="s0"))
        await place.clock.advance(40)
        healths = {health.endpoint: health for health in tokens.health()}
    assert healths["https://auth.test"] == EndpointHealth(
        endpoint="https://auth.test",
        state="up",
        since=40.0,
        last_error=None,
        next_probe_in=None,
        keys=3,
        keys_without_token=0,
        survives_for=60.0,
        issued=3,
    )
    assert healths["https://other.test"].survives_for is None
    assert math.isclose(healths["https://other.test"].since, 40.0)


async def test_who_waits_when_the_provider_is_left_is_told_so():
    place = town()
    place.endpoint.hang()
    async with anyio.create_task_group() as tasks, place.provider() as tokens:
        tasks.start_soon(place.call, tokens.source())
        await place.clock.advance(1)
    [call] = place.failures
    assert isinstance(call.error, ProviderClosedError)


async def test_a_waiter_gets_three_attempts_within_thirty_seconds():
    place = town()
    place.endpoint.always(Hang())
    async with place.provider() as tokens:
        [call] = await place.once(tokens.source())
    assert isinstance(call.error, TokenRequestError)
    assert call.error.attempts == 3
    assert call.error.reason == "timeout"
    assert 29 <= call.waited <= 30 + 1e-9
    assert len(place.requests()) == 3


async def test_a_failure_that_heals_between_attempts_costs_a_waiter_a_moment():
    place = town()
    place.endpoint.script(Refuse(), Refuse(), Issue())
    async with place.provider() as tokens:
        [call] = await place.once(tokens.source())
    assert call.error is None
    assert call.waited <= 1.5


async def test_callers_with_a_deadline_shorter_than_the_exchange_leave_and_the_next_one_is_served():
    place = town()
    place.endpoint.always(Delay(2.0))
    async with place.provider() as tokens:
        source = tokens.source()

        async def hasty() -> bool:
            with place.clock.timeout_at(place.clock.now() + 0.05) as scope:
                await source.token()
            return scope.cancelled_caught

        gave_up = [await place.clock.run(hasty) for _ in range(30)]
        await place.clock.advance(0.6)
        [call] = await place.once(source)
    assert gave_up == [True] * 30
    assert call.error is None
    assert call.waited == 0
    assert len(place.requests()) == 1
