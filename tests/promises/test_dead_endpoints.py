"""An endpoint that is down past expiry: it sees a schedule and not the callers, and is found when it is back."""

from __future__ import annotations

import logging
from itertools import pairwise

import pytest
from tests.kit.town import client, records, town

from tokenflight.model.events import EndpointDown, EndpointUp, FlightLaunched
from tokenflight.testing import Answer, Delay, Error, Hang, Refuse, Throttle

pytestmark = pytest.mark.anyio

RATES = pytest.mark.parametrize("rate", [20, pytest.param(1000, marks=pytest.mark.long)])


@RATES
@pytest.mark.parametrize("act", [Refuse(), Answer(503), Hang()], ids=["refusing", "503", "hanging"])
async def test_ten_minutes_without_an_endpoint_are_three_hundred_requests_whatever_a_hundred_keys_are_asked(act, rate):
    place = town(expires_in=60)
    async with place.provider() as tokens:
        sources = [tokens.source(subject=f"s{number}") for number in range(100)]
        await place.once(*sources)
        await place.clock.advance(61)
        place.endpoint.always(act)
        start = place.clock.now()
        await place.traffic(sources, rate=rate, seconds=600, lanes=10)
        sent = place.requests(since=start)
        failed = len(place.failures)
        assert 50 <= len(sent) <= 300
        assert failed == place.calls - 100
        assert all(call.error.transient and 0 < call.error.retry_after <= 30 for call in place.failures)
        place.endpoint.always()
        back = place.clock.now()
        await place.traffic(sources, rate=50, seconds=30, lanes=10)
        late = [call for call in place.failures[failed:] if call.at > back + 12]
    assert not late
    assert len(place.requests(since=back)) <= 130


async def test_the_probes_come_one_at_a_time_and_ever_more_slowly():
    place = town()
    place.endpoint.always(Delay(0.05, Answer(500)))
    async with place.provider() as tokens:
        sources = [tokens.source(subject=f"s{number}") for number in range(10)]
        await place.traffic(sources, rate=100, seconds=120, lanes=10)
        [health] = tokens.health()
    [down] = place.told(EndpointDown)
    assert down.reason == "http_500"
    probes = [entry for entry in place.requests() if entry.started > 1.0]
    gaps = [after.started - before.finished for before, after in pairwise(probes)]
    assert all(gap > 0 for gap in gaps)
    assert all(2.5 <= gap <= 5.1 for gap in gaps[4:])
    assert health.state == "probing"
    assert health.last_error == "http_500"
    assert 0 <= health.next_probe_in <= 5


async def test_an_endpoint_is_probed_for_the_key_asked_for_most_recently():
    place = town()
    place.endpoint.down()
    async with place.provider() as tokens:
        sources = {name: tokens.source(subject=name) for name in "abcdef"}
        await place.once(*sources.values())
        await place.clock.advance(30)
        for name in "fedcb":
            await place.once(sources[name])
        [health] = tokens.health()
        assert health.state == "probing"
        mark = place.clock.now()
        await place.clock.advance(health.next_probe_in + 0.01)
    assert [entry.form["subject"] for entry in place.requests(since=mark)][-1] == "b"


async def test_nobody_asks_and_nobody_probes():
    place = town(expires_in=60)
    async with place.provider() as tokens:
        sources = [tokens.source(subject=f"s{number}") for number in range(10)]
        await place.once(*sources)
        place.endpoint.down()
        await place.once(*(tokens.source(subject=f"cold{number}") for number in range(5)))
        await place.clock.advance(120)
        mark = place.clock.now()
        await place.clock.advance(3600)
    assert len(place.requests(since=mark)) <= 2


async def test_an_endpoint_that_answers_again_is_opened_in_steps_of_one_two_four():
    place = town()
    place.endpoint.down()
    async with place.provider(max_flights=16) as tokens:
        sources = [tokens.source(subject=f"s{number}") for number in range(100)]
        await place.traffic(sources, rate=100, seconds=20, lanes=10)
        assert tokens.health()[0].state == "probing"
        place.endpoint.up()
        place.endpoint.always(Delay(0.2))
        start = place.clock.now()
        place.failures.clear()
        await place.everybody(sources, every=1.0, seconds=20)
        [health] = tokens.health()
    sent = place.requests(since=start)
    most = 0
    for number, entry in enumerate(sent):
        in_air = sum(1 for other in sent[:number] if other.finished is None or other.finished > entry.started) + 1
        answered = sum(1 for other in sent[:number] if other.finished is not None and other.finished <= entry.started)
        most = max(most, in_air)
        assert in_air <= max(1, answered)  # each answer makes room for one more: 1, 2, 4 …
    assert most == 16
    assert health.state == "up"
    assert [type(event) for event in place.told(EndpointUp)] == [EndpointUp]
    assert max(call.at for call in place.failures) <= start + 6


async def test_hundreds_of_expired_keys_are_back_within_seconds_and_the_herd_is_bounded():
    place = town(expires_in=60)
    async with place.provider() as tokens:
        sources = [tokens.source(subject=f"s{number}") for number in range(200)]
        await place.once(*sources)
        place.endpoint.down()
        await place.everybody(sources, every=10.0, seconds=300)
        place.endpoint.up()
        place.endpoint.always(Delay(0.05))
        place.endpoint.limit(100)
        back = place.clock.now()
        place.failures.clear()
        await place.everybody(sources, every=1.0, seconds=40)
    assert max(call.at for call in place.failures) <= back + 15
    early = place.requests(since=back, until=back + 25)
    assert sum(entry.status == 200 for entry in early) == 200
    assert len(early) <= 1.25 * 200


async def test_no_held_token_is_refused_while_its_endpoint_is_down_and_nobody_waits():
    place = town(expires_in=600)
    async with place.provider() as tokens:
        sources = [tokens.source(subject=f"s{number}") for number in range(20)]
        await place.once(*sources)
        await place.clock.advance(300)
        place.endpoint.down()
        await place.everybody(sources, every=1.0, seconds=299)
        assert not place.failures
        assert not place.waits
        place.endpoint.up()
        await place.everybody(sources, every=1.0, seconds=300)
    assert max((call.at for call in place.failures), default=0) <= 599 + 6
    assert not place.dead


async def test_a_dead_endpoint_that_names_a_retry_after_is_left_alone_for_so_long():
    place = town()
    place.endpoint.always(Delay(0.1, Throttle(120.0, status=503)))
    async with place.provider() as tokens:
        sources = [tokens.source(subject=f"s{number}") for number in range(10)]
        await place.once(*sources)
        assert tokens.health()[0].state == "probing"
        sent, flights = len(place.requests()), len(place.told(FlightLaunched))
        await place.everybody(sources, every=1.0, seconds=118)
        assert len(place.requests()) == sent
        assert len(place.told(FlightLaunched)) == flights
        place.endpoint.always()
        await place.everybody(sources, every=1.0, seconds=20)
        again = await place.once(*sources)
    assert [call.error for call in again] == [None] * 10


async def test_a_key_that_is_refused_for_itself_is_no_probe():
    place = town()
    place.endpoint.always(lambda entry: Error("invalid_scope") if entry.form["subject"] == "bad" else Answer(503))
    async with place.provider() as tokens:
        good, bad = [tokens.source(subject=f"s{n}") for n in range(10)], tokens.source(subject="bad")
        await place.once(bad)
        await place.once(*good)
        await place.traffic([bad, *good] * 3, rate=20, seconds=300, lanes=2)
        assert tokens.health()[0].state == "probing"
    assert len([entry for entry in place.requests() if entry.form["subject"] == "bad"]) <= 5
    assert len(place.requests()) <= 150


async def test_an_endpoint_is_told_of_once_when_it_goes_down_and_once_when_it_is_back(caplog):
    caplog.set_level(logging.DEBUG, "tokenflight")
    place = town(expires_in=30)
    async with place.provider() as tokens:
        sources = [tokens.source(subject=f"s{number}") for number in range(30)]
        await place.once(*sources)
        place.endpoint.down()
        await place.everybody(sources, every=0.5, seconds=120)
        place.endpoint.up()
        await place.everybody(sources, every=0.5, seconds=60)
    assert len(records(caplog, logging.WARNING)) == 1
    assert len(records(caplog, logging.INFO)) == 1
    assert len(place.told(EndpointDown)) == len(place.told(EndpointUp)) == 1


async def test_refusals_and_throttles_do_not_make_an_endpoint_count_as_down():
    place = town()
    place.endpoint.always(lambda entry: Error("invalid_scope") if entry.number % 2 else Throttle())
    async with place.provider({"a": client("a"), "b": client("b")}) as tokens:
        await place.once(*(tokens.source("a", subject=f"s{n}") for n in range(20)))
        [health] = tokens.health()
    assert health.state == "up"
    assert not place.told(EndpointDown)
