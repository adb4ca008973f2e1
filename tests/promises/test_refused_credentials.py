"""A server that refuses a client or a key: asked rarely, and never for more than what it refuses."""

from __future__ import annotations

from itertools import pairwise

import pytest
from tests.kit.town import client, town

from tokenflight import InvalidClientError, TokenEndpointError
from tokenflight.model.events import ClientHeldBack
from tokenflight.testing import Error

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("rate", [20, pytest.param(100, marks=pytest.mark.long)])
async def test_invalid_client_for_ten_minutes_of_calls_is_at_most_seven_requests(rate):
    place = town()
    place.endpoint.always(Error("invalid_client"))
    async with place.provider() as tokens:
        await place.traffic([tokens.source()], rate=rate, seconds=600, lanes=10)
    assert place.calls == 600 * rate == len(place.failures)
    assert not place.waits
    assert 3 <= len(place.requests()) <= 7
    errors = [call.error for call in place.failures]
    assert all(isinstance(error, InvalidClientError) and not error.transient for error in errors)
    assert all(error.retry_after is not None and 0 < error.retry_after <= 300 for error in errors)


async def test_a_refused_key_waits_thirty_seconds_doubling_to_five_minutes():
    place = town(seed=3)
    place.endpoint.always(Error("invalid_scope"))
    async with place.provider() as tokens:
        await place.traffic([tokens.source(scope="nonsense")], rate=4, seconds=1800)
    times = [entry.started for entry in place.requests()]
    gaps = [after - before for before, after in pairwise(times)]
    for gap, full in zip(gaps, [30.0, 60.0, 120.0, 240.0, *[300.0] * 20], strict=False):
        assert 0.75 * full <= gap <= full + 0.3
    assert len(gaps) >= 7


@pytest.mark.parametrize("code", ["invalid_scope", "invalid_client"])
@pytest.mark.parametrize("keys", [200, pytest.param(1000, marks=pytest.mark.long)])
async def test_one_refused_key_of_many_holds_back_itself_alone(code, keys):
    place = town(expires_in=300)
    bad = "s50"
    place.endpoint.always(lambda entry: Error(code) if entry.form["subject"] == bad else None)
    async with place.provider() as tokens:
        sources = [tokens.source(subject=f"s{number}") for number in range(keys)]
        first = await place.once(*sources)
        assert [call.source.key.subject.id for call in first if call.error is not None] == [bad]
        await place.everybody(sources, every=30.0, seconds=360)
        [status] = tokens.status(subject=bad)
        reasons = {status.holding_back for status in tokens.status() if status.key.subject.id != bad}
    assert {call.source.key.subject.id for call in place.failures} == {bad}
    assert status.holding_back == "permanent"
    assert status.failures >= 2
    assert reasons <= {None, "pace"}
    assert not place.told(ClientHeldBack)
    assert len([entry for entry in place.requests() if entry.form["subject"] == bad]) <= 5


async def test_a_key_that_alone_is_invalid_client_stops_widening_once_another_has_succeeded_beside_it():
    place = town(seed=1, expires_in=3600)
    place.endpoint.always(lambda entry: Error("invalid_client") if entry.form["subject"] == "bad" else None)
    async with place.provider() as tokens:
        bad, good = tokens.source(subject="bad"), [tokens.source(subject=f"s{n}") for n in range(20)]
        await place.once(*good)
        await place.clock.advance(300)
        await place.traffic([bad], rate=1, seconds=200)
        assert place.told(ClientHeldBack)  # nobody has succeeded for a while: it may be the client
        await place.clock.advance(tokens.status(subject="bad")[0].not_before_in)
        before = len(place.told(ClientHeldBack))
        [cold] = await place.once(tokens.source(subject="cold"))
        await place.everybody([bad, *good], every=10.0, seconds=3600)
        later = await place.once(*(tokens.source(subject=f"late{n}") for n in range(10)))
    assert cold.error is None
    assert len(place.told(ClientHeldBack)) == before
    assert {call.source.key.subject.id for call in place.failures} == {"bad"}
    assert [call.error for call in later] == [None] * 10


async def test_invalid_client_holds_back_the_whole_client_and_no_other():
    place = town(expires_in=100)
    place.endpoint.always(lambda entry: Error("invalid_client") if entry.client == "expelled" else None)
    clients = {"expelled": client("expelled"), "welcome": client("welcome")}
    async with place.provider(clients) as tokens:
        [refused] = await place.once(tokens.source("expelled", subject="a"))
        before = len(place.requests())
        others = await place.once(*(tokens.source("expelled", subject=f"b{n}") for n in range(50)))
        [fine] = await place.once(tokens.source("welcome", subject="a"))
        [status] = tokens.status("expelled", subject="a")
    assert isinstance(refused.error, InvalidClientError)
    assert all(isinstance(call.error, InvalidClientError) for call in others)
    assert all(22.5 <= call.error.retry_after <= 30 for call in others)
    assert fine.error is None
    assert len(place.requests()) - before <= 2  # the one before the lane was known, and the welcome one's
    assert status.holding_back == "client"
    [held] = place.told(ClientHeldBack)
    assert held.client == "expelled"


async def test_a_widened_hold_back_ends_with_one_flight_and_the_others_follow_its_outcome():
    place = town(expires_in=100)
    place.endpoint.always(Error("invalid_client"))
    async with place.provider() as tokens:
        sources = [tokens.source(subject=f"s{n}") for n in range(40)]
        await place.once(*sources)
        sent = len(place.requests())
        await place.traffic(sources, rate=8, seconds=25 * 60, lanes=4)
        trials = place.requests()[sent:]
        assert 5 <= len(trials) <= 9  # 30, 60, 120, 240 and 300 s, each one flight
        assert place.endpoint.ledger.max_in_flight <= 20
        place.endpoint.always()
        [status] = tokens.status(subject="s7")
        await place.clock.advance(status.not_before_in + 0.001)
        mark = place.clock.now()
        [trial] = await place.once(sources[7])
        assert trial.error is None
        assert len(place.requests(since=mark)) == 1
        again = await place.once(*sources)
    assert [call.error for call in again] == [None] * 40


async def test_a_permanent_refusal_leaves_the_held_token_in_use_to_its_end():
    place = town(expires_in=100)
    async with place.provider() as tokens:
        source = tokens.source()
        await place.once(source)
        place.endpoint.always(Error("unauthorized_client"))
        await place.traffic([source], rate=10, seconds=99.9)
        assert not place.failures
        assert not place.dead
        assert source.status().holding_back == "permanent"
        await place.clock.advance(0.2)
        [call] = await place.once(source)
    assert isinstance(call.error, TokenEndpointError)
    assert 2 <= len(place.requests()) <= 3


async def test_forget_lifts_a_hold_back():
    place = town()
    place.endpoint.script(Error("invalid_client"))
    async with place.provider() as tokens:
        source = tokens.source()
        [refused] = await place.once(source)
        await source.forget()
        [served] = await place.once(source)
    assert refused.error is not None
    assert served.error is None
