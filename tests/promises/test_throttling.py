"""A server that says "later": obeyed by all keys of that client at that endpoint, and by nobody else."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from tests.kit.town import Town, client, town

from tokenflight import TokenEndpointError
from tokenflight.model.events import EndpointDown, EndpointThrottled
from tokenflight.testing import Delay, Throttle

pytestmark = pytest.mark.anyio

SUBJECTS = pytest.mark.parametrize("subjects", [600, pytest.param(50_000, marks=pytest.mark.long)])


async def _served_in_the_end(place: Town, sources: list, *, rounds: int) -> int:
    """Ask all at once; who fails asks again after the error's `retry_after`. Return how many rounds it took."""
    for number in range(rounds):
        calls = await place.once(*sources)
        refused = [call for call in calls if call.error is not None]
        assert all(call.error.transient and call.error.retry_after is not None for call in refused)
        assert all(call.error.reason != "pool" for call in refused)
        if not refused:
            return number + 1
        sources = [call.source for call in refused]
        await place.clock.advance(max(call.error.retry_after for call in refused) + 0.01)
    raise AssertionError(f"{len(sources)} are not served after {rounds} rounds")


@SUBJECTS
@pytest.mark.parametrize("retry_after", [None, 1.0], ids=["without Retry-After", "with Retry-After"])
async def test_cold_subjects_at_an_endpoint_that_answers_429_beyond_100_a_second_are_all_served(subjects, retry_after):
    place = town(seed=subjects)
    place.endpoint.always(Delay(0.05))
    place.endpoint.limit(100, retry_after=retry_after)
    async with place.provider(max_flights=20) as tokens:
        sources = [tokens.source(subject=f"s{number}") for number in range(subjects)]
        await _served_in_the_end(place, sources, rounds=3 + subjects // 500)
        took = place.clock.now()
    assert place.endpoint.ledger.max_in_flight <= 20
    refused = sum(entry.status == 429 for entry in place.requests())
    assert len(place.requests()) == subjects + refused
    assert refused <= subjects / 2
    assert took <= 3 * subjects / 100 + 60
    assert not place.told(EndpointDown)


@pytest.mark.parametrize("form", ["seconds", "date"])
@pytest.mark.parametrize("status", [429, 503])
async def test_both_forms_of_retry_after_hold_for_all_keys_of_that_client_at_that_endpoint_and_for_no_other(
    form, status
):
    place = town()
    wall = place.clock.wall() + 120
    value = 120.0 if form == "seconds" else format_datetime(datetime.fromtimestamp(wall, UTC), usegmt=True)
    there = "https://auth.test"
    place.endpoint.always(
        lambda entry: (
            Throttle(value, status=status)
            if entry.client == "busy" and entry.request.origin == there and place.clock.now() < 120
            else None
        )
    )
    clients = {"busy": client("busy"), "idle": client("idle"), "away": client("busy", host="other.test")}
    async with place.provider(clients) as tokens:
        [first] = await place.once(tokens.source("busy", subject="a"))
        assert isinstance(first.error, TokenEndpointError)
        assert first.error.retry_after == pytest.approx(120, abs=1)
        others = [tokens.source("busy", subject=f"b{n}") for n in range(5)]
        [learner] = await place.once(others[0])
        idle, away = await place.once(tokens.source("idle"), tokens.source("away"))
        assert learner.error is not None
        assert idle.error is None
        assert away.error is None
        sent = len(place.requests())
        await place.everybody(others, every=1.0, seconds=118)
        assert len(place.requests()) == sent
        assert tokens.status("busy")[0].holding_back == "retry_after"
        await place.clock.advance(3)
        again = await place.once(*others)
    assert [call.error for call in again] == [None] * 5


async def test_who_waits_for_a_short_retry_after_is_served_in_the_same_call():
    place = town()
    place.endpoint.script(Throttle(5.0))
    async with place.provider() as tokens:
        [call] = await place.once(tokens.source())
    assert call.error is None
    assert call.waited == pytest.approx(5.0, abs=0.1)
    assert [entry.started for entry in place.requests()] == [0.0, pytest.approx(5.0, abs=0.1)]


async def test_a_retry_after_of_an_hour_raises_at_once_and_sends_nothing_while_it_holds():
    place = town()
    place.endpoint.always(Throttle(3540.0))
    async with place.provider() as tokens:
        source = tokens.source()
        [call] = await place.once(source)
        assert call.waited == 0
        assert call.error.transient
        assert call.error.retry_after == pytest.approx(600)
        await place.traffic([source], rate=2, seconds=599)
        assert len(place.requests()) == 1
        assert len(place.failures) == place.calls


async def test_a_repeated_retry_after_doubles_its_cap_up_to_the_servers_word():
    place = town()
    place.endpoint.always(Throttle(3540.0))
    async with place.provider() as tokens:
        await place.traffic([tokens.source()], rate=1, seconds=12_000)
    assert [event.held for event in place.told(EndpointThrottled)] == [600, 1200, 2400, 3540, 3540, 3540]
    place.endpoint.ledger.check()


@pytest.mark.parametrize("value", ["-5", "soon", "1e9", "inf", "nan", "", "1000000000"])
async def test_a_retry_after_that_makes_no_sense_holds_nobody_for_long(value):
    place = town()
    if not value.isdigit():
        place.endpoint.ledger.waive("retry_after", "the ledger reads numbers that RFC 9110 does not have")
    place.endpoint.script(Throttle(value))
    async with place.provider() as tokens:
        source = tokens.source()
        [call] = await place.once(source)
        if call.error is not None:
            assert call.error.retry_after <= 600
            await place.clock.advance(call.error.retry_after + 0.01)
            [call] = await place.once(source)
    assert call.error is None


async def test_a_held_token_is_served_throughout_a_retry_after():
    place = town(expires_in=100)
    async with place.provider() as tokens:
        source = tokens.source()
        await place.once(source)
        place.endpoint.always(lambda entry: Throttle(20.0) if place.clock.now() < 85 else None)
        await place.traffic([source], rate=10, seconds=300)
    assert not place.failures
    assert not place.dead
    assert not place.waits


async def test_a_429_halves_the_places_and_a_full_round_of_answers_doubles_them():
    place = town()
    slow = Delay(1.0)
    place.endpoint.always(slow)
    place.endpoint.script(*[Delay(1.0, Throttle())] * 16)
    async with place.provider(max_flights=16) as tokens:
        await place.once(*(tokens.source(subject=f"s{n}") for n in range(150)))
    assert place.endpoint.ledger.max_in_flight == 16
    assert [len(place.requests(second, second + 0.5)) for second in range(7)] == [16, 1, 2, 4, 8, 16, 16]
    assert not place.failures


async def test_clients_wait_in_turn_and_callers_before_the_schedule():
    place = town(expires_in=[10_000])
    place.endpoint.always(Delay(0.1))
    clients = {"crowd": client("crowd"), "single": client("single")}
    async with place.provider(clients, max_flights=4) as tokens:
        crowd = [tokens.source("crowd", subject=f"s{n}") for n in range(600)]
        calls = await place.once(*crowd, tokens.source("single"))
    alone = next(call for call in calls if call.source.key.client == "single")
    assert alone.error is None
    assert alone.waited <= 0.3 + 1e-9
