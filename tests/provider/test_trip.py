"""The attempts of one flight: how often, how long, when again, and when not at all."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from tests.kit.bench import chosen_town
from tests.kit.town import Town, client

from tokenflight import RetryPolicy, TokenProvider, TokenRequestError
from tokenflight.errors import EndpointUnreachableError, TokenFlightError
from tokenflight.model.events import AttemptFailed, EndpointThrottled, FlightFailed
from tokenflight.model.failure import Failure
from tokenflight.testing import Answer, Delay, Error, Hang, Refuse, Throttle

pytestmark = pytest.mark.anyio


def state(tokens: TokenProvider) -> Any:
    return tokens._engine.state


def starts(place: Town) -> list[float]:
    return [entry.started for entry in place.endpoint.ledger]


async def fails(place: Town, call: Any, *args: Any) -> TokenFlightError:
    with pytest.raises(TokenFlightError) as raised:
        await place.clock.run(call, *args)
    return raised.value


async def test_while_somebody_waits_three_attempts_are_made_with_full_jitter_from_half_a_second() -> None:
    place = chosen_town()
    place.endpoint.always(Answer(503))
    async with place.provider() as tokens:
        error = await fails(place, tokens.token)
        assert starts(place) == [0.0, 0.5, 1.5]
        assert (error.attempts, error.reason, error.transient) == (3, "http_503", True)
        assert error.grant_type == "client_credentials"
    assert [(told.attempt, told.reason, told.status) for told in place.told(AttemptFailed)] == [
        (1, "http_503", 503), (2, "http_503", 503), (3, "http_503", 503),
    ]  # fmt: skip


async def test_the_pauses_are_the_policys() -> None:
    place = chosen_town()
    place.endpoint.always(Error("invalid_scope", status=503))
    retry = RetryPolicy(attempts=4, base=1.0, cap=1.5)
    async with place.provider(retry=retry) as tokens:
        await fails(place, tokens.token)
        assert starts(place) == [0.0, 1.0, 2.5], "the endpoint is down by now, and a fourth not made"


async def test_an_attempt_that_succeeds_ends_it() -> None:
    place = chosen_town()
    place.endpoint.script(Refuse(), Answer(500))
    async with place.provider() as tokens:
        assert place.endpoint.is_live(await place.clock.run(tokens.token))
        assert starts(place) == [0.0, 0.5, 1.5]


async def test_a_permanent_failure_lands_at_once() -> None:
    place = chosen_town()
    place.endpoint.always(Error("invalid_scope"))
    async with place.provider() as tokens:
        error = await fails(place, tokens.token)
        assert (error.attempts, error.transient) == (1, False)
        assert len(place.endpoint.ledger) == 1


async def test_where_nobody_waits_the_schedule_decides_and_not_the_flight() -> None:
    place = chosen_town(expires_in=1000)
    async with place.provider() as tokens:
        source = tokens.source()
        await place.once(source)
        await source.token()
        place.endpoint.script(Answer(503))
        await place.clock.advance(651.0)
        assert len(place.endpoint.ledger) == 2
        [landed] = place.told(FlightFailed)
        assert (landed.attempts, landed.trigger) == (1, "schedule")


async def test_a_flight_goes_on_for_who_joined_in_the_meantime_and_not_for_who_gave_up() -> None:
    place = chosen_town()
    place.endpoint.always(Delay(1.0, Answer(503)))
    async with place.provider() as tokens:
        with anyio.move_on_after(0):
            await tokens.token()
        await place.clock.advance(20.0)
        assert starts(place) == [0.0]


async def test_without_a_token_an_attempt_ends_after_ten_seconds() -> None:
    place = chosen_town()
    place.endpoint.always(Hang())
    async with place.provider() as tokens:
        error = await fails(place, tokens.token)
        assert type(error) is EndpointUnreachableError
        assert starts(place) == pytest.approx([0.0, 10.5, 21.5])
        assert place.clock.now() == pytest.approx(30.0), "and all of them after thirty"
        assert error.attempts == 3


@pytest.mark.parametrize(("lifetime", "limit"), [(100, 35.0 / 3), (10, 3.5 / 3), (1.5, 0.25)])
async def test_while_a_token_is_held_after_a_third_of_what_it_has_left(lifetime, limit) -> None:
    place = chosen_town(expires_in=lifetime)
    async with place.provider() as tokens:
        source = tokens.source()
        await place.once(source)
        await source.token()
        place.endpoint.always(Hang())
        await place.clock.advance(lifetime)
        first = place.endpoint.ledger[1]
        left = lifetime - first.started
        assert first.finished - first.started == pytest.approx(min(10.0, max(0.25, left / 3)))


async def test_a_renewal_of_a_rejected_token_has_the_time_of_one_without() -> None:
    place = chosen_town(expires_in=100)
    async with place.provider() as tokens:
        token = await place.clock.run(tokens.token)
        await place.clock.advance(95.0)
        place.endpoint.script(Hang())
        call = place.clock.run(lambda: tokens.renew(rejected=token, origin="https://api.test"))
        assert place.endpoint.is_live(await call)
        assert place.endpoint.ledger[1].finished - place.endpoint.ledger[1].started == pytest.approx(10.0)


async def test_no_pause_leads_beyond_the_thirty_seconds() -> None:
    place = chosen_town()
    place.endpoint.always(Delay(9.9, Answer(503)))
    retry = RetryPolicy(attempts=10, base=5.0, cap=20.0, total_timeout=20.0)
    async with place.provider(retry=retry) as tokens:
        error = await fails(place, tokens.token)
        assert (error.attempts, place.clock.now()) == (2, pytest.approx(20.0))
        assert starts(place) == pytest.approx([0.0, 14.9])


async def test_an_endpoint_that_went_down_is_left_to_its_probe() -> None:
    place = chosen_town()
    place.endpoint.always(Refuse())
    async with place.provider() as tokens:
        calls = [tokens.source(subject=name) for name in "ab"]
        got = await place.once(*calls)
        assert all(call.error for call in got)
        assert len(place.endpoint.ledger) == 3, "the third takes it down, and the fourth stays where it is"


async def test_a_new_key_that_finds_its_endpoint_down_is_the_next_to_be_probed() -> None:
    place = chosen_town()
    place.endpoint.always(Refuse())
    async with place.provider(retry=RetryPolicy(attempts=1)) as tokens:
        for name in "abc":
            await fails(place, lambda: tokens.token(subject=name))  # noqa: B023
        error = await fails(place, lambda: tokens.token(subject="new"))
        assert (error.reason, error.attempts, len(place.endpoint.ledger)) == ("connect", 0, 3)
        place.endpoint.always()
        await place.clock.advance(0.6)
        assert [entry.form["subject"] for entry in place.endpoint.ledger[3:]] == ["new"]
        assert (await tokens.token(subject="new")).header


async def test_of_new_keys_that_find_it_down_one_goes_as_the_probe_and_the_others_are_told() -> None:
    place = chosen_town()
    place.endpoint.always(Refuse())
    async with place.provider(retry=RetryPolicy(attempts=1)) as tokens:
        for name in "abc":
            await fails(place, lambda: tokens.token(subject=name))  # noqa: B023
        await place.clock.advance(3.0)
        place.endpoint.always(Delay(1.0, Answer(503)))
        calls = await place.once(*[tokens.source(subject=name) for name in ("x", "y", "z")])
        assert len(place.endpoint.ledger) == 4
        assert sorted(call.waited for call in calls) == [0.0, 0.0, 1.0]


# 429


async def test_a_429_uses_up_no_attempt_and_queues_the_flight_again() -> None:
    place = chosen_town()
    place.endpoint.script(*[Throttle()] * 5, Answer(503), Answer(503))
    async with place.provider() as tokens:
        assert place.endpoint.is_live(await place.clock.run(tokens.token))
        assert len(place.endpoint.ledger) == 8
        pauses = [later - earlier for earlier, later in zip(starts(place), starts(place)[1:], strict=False)]
        assert pauses[:5] == pytest.approx([0.5, 1.0, 2.0, 4.0, 5.0])
        assert pauses[5:] == pytest.approx([0.5, 1.0])
    attempts = [told.attempt for told in place.told(AttemptFailed)]
    assert attempts == list(range(1, 8))


async def test_one_that_was_sent_back_goes_first_of_all_in_line() -> None:
    place = chosen_town()
    place.endpoint.script(Throttle())
    place.endpoint.always(Delay(1.0))
    async with place.provider(max_flights=1) as tokens:
        calls = await place.once(*[tokens.source(subject=name) for name in "abc"])
        assert all(call.token for call in calls)
        order = [entry.form["subject"] for entry in place.endpoint.ledger]
        assert order[2] == order[0], "after half a second, behind the one in the air and before the third"
        assert len(order) == 4


async def test_a_long_retry_after_of_another_answer_lands_the_flight_at_once() -> None:
    place = chosen_town()
    place.endpoint.script(Throttle(60, status=503))
    async with place.provider() as tokens:
        error = await fails(place, tokens.token)
        assert (place.clock.now(), error.reason, error.retry_after) == (0.0, "http_503", 60.0)


async def test_a_429_lands_the_flight_only_when_the_time_is_up() -> None:
    place = chosen_town()
    place.endpoint.always(Throttle())
    async with place.provider() as tokens:
        error = await fails(place, tokens.token)
        assert (error.status, error.transient) == (429, True)
        assert place.clock.now() == pytest.approx(27.5), "the next would be at 32.5"
        assert error.retry_after == pytest.approx(1.0)


async def test_a_429_to_nobody_in_particular_is_tried_again_as_well() -> None:
    place = chosen_town(expires_in=1000)
    async with place.provider() as tokens:
        source = tokens.source()
        await place.once(source)
        await source.token()
        place.endpoint.script(Throttle())
        await place.clock.advance(655.0)
        assert len(place.endpoint.ledger) == 3
        assert place.told(FlightFailed) == []


async def test_after_a_429_the_flight_waits_as_long_as_it_was_told() -> None:
    place = chosen_town()
    place.endpoint.script(Throttle(7))
    async with place.provider() as tokens:
        assert place.endpoint.is_live(await place.clock.run(tokens.token))
        assert starts(place) == [0.0, 7.0]
    assert [told.held for told in place.told(EndpointThrottled)] == [7.0]


async def test_a_429_that_ends_beyond_the_thirty_seconds_lands_it() -> None:
    place = chosen_town()
    place.endpoint.script(Throttle(31))
    async with place.provider() as tokens:
        error = await fails(place, tokens.token)
        assert (place.clock.now(), error.retry_after) == (0.0, 31.0)
        again = await fails(place, tokens.token)
        assert (again.retry_after, again.attempts) == (31.0, 0)
        await place.clock.advance(31.0)
        assert place.endpoint.is_live(await place.clock.run(tokens.token))


async def test_a_retry_after_of_another_answer_is_obeyed_by_the_next_attempt() -> None:
    place = chosen_town()
    place.endpoint.script(Throttle(4, status=503))
    async with place.provider() as tokens:
        assert place.endpoint.is_live(await place.clock.run(tokens.token))
        assert starts(place) == [0.0, 4.0]


async def test_other_keys_of_the_client_wait_in_line_for_a_short_retry_after() -> None:
    place, told = chosen_town(), []

    def weather(entry: Any) -> Any:
        if entry.client == "service" and not told:
            told.append(entry)
            return Throttle(6)
        return Delay(0.1)

    place.endpoint.always(weather)
    clients = {"mine": client(), "theirs": client("other")}
    async with place.provider(clients, max_flights=1) as tokens:
        calls = await place.once(
            tokens.source("mine", subject="a"), tokens.source("mine", subject="b"), tokens.source("theirs", subject="c")
        )
        assert all(call.token for call in calls)
        assert all(6.0 < call.waited < 6.4 for call in calls[:2])
        assert calls[2].waited < 0.4, "another client does not wait"


async def test_a_brake_that_came_on_while_it_stood_in_line_keeps_it_from_being_sent() -> None:
    place = chosen_town()
    place.endpoint.always(Delay(1.0, Throttle(60)))
    async with place.provider(max_flights=1) as tokens:
        calls = await place.once(*[tokens.source(subject=name) for name in "abc"])
        assert all(isinstance(call.error, TokenRequestError) for call in calls)
        assert len(place.endpoint.ledger) == 1
        assert [call.error.retry_after for call in calls] == pytest.approx([60.0] * 3)
        assert sorted(call.error.attempts for call in calls) == [0, 0, 1]


async def test_one_that_was_forgotten_in_line_is_told_of_the_brake_like_the_others() -> None:
    place = chosen_town()
    place.endpoint.always(Delay(1.0, Throttle(60)))
    async with place.provider(max_flights=1) as tokens:
        sources = [tokens.source(subject=name) for name in "abc"]

        async def forget() -> None:
            await place.clock.sleep_until(0.5)
            for source in sources:
                await source.forget()

        calls: list[Any] = []

        async def everybody() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(forget)
                for source in sources:
                    tasks.start_soon(lambda source=source: keep(source))

        async def keep(source: Any) -> None:
            calls.append(await place.call(source))

        await place.clock.run(everybody)
        assert [call.error.reason for call in calls] == ["http_429"] * 3
        assert len(place.endpoint.ledger) == 1
        assert tokens.status() == ()


async def test_one_that_was_forgotten_in_line_answers_who_joined_and_is_nobodys_trial() -> None:
    place = chosen_town()
    place.endpoint.script(Delay(1.0, Error("invalid_scope")), Delay(1.0))
    async with place.provider(max_flights=1) as tokens:
        first, second = tokens.source(subject="a"), tokens.source(subject="b")
        got: list[Any] = []

        async def keep(source: Any) -> None:
            got.append(await place.call(source))

        async with anyio.create_task_group() as tasks:
            for source in (first, second):
                tasks.start_soon(keep, source)
                await place.clock.settle()
            [lane] = state(tokens).lanes._lanes.values()
            await second.forget()
            lane.last = Failure(reason="invalid_client", detail="refused a while ago")
            await place.clock.advance(1.5)
            assert lane.trial is None, "nobody would free it"
            await place.clock.advance(0.5)
        assert [call.token is not None for call in got] == [False, True]


async def test_never_more_than_max_flights_are_in_the_air_and_all_are_served() -> None:
    place = chosen_town()
    place.endpoint.always(Delay(1.0))
    async with place.provider(max_flights=3) as tokens:
        calls = await place.once(*[tokens.source(subject=str(number)) for number in range(10)])
        assert place.endpoint.ledger.max_in_flight == 3
        assert sorted(call.waited for call in calls) == pytest.approx([1.0] * 3 + [2.0] * 3 + [3.0] * 3 + [4.0])
        assert state(tokens).lanes.report(state(tokens).entries, 0.0)[0].issued == 10


async def test_the_clock_of_an_attempt_starts_when_it_gets_its_place() -> None:
    place = chosen_town()
    place.endpoint.always(Delay(8.0))
    async with place.provider(max_flights=1) as tokens:
        calls = await place.once(*[tokens.source(subject=str(number)) for number in range(6)])
        assert all(call.token for call in calls)
        assert max(call.waited for call in calls) == pytest.approx(48.0)


async def test_who_is_waited_for_goes_before_the_schedule() -> None:
    place = chosen_town(expires_in=100)
    async with place.provider(max_flights=1) as tokens:
        ahead = [tokens.source(subject=f"ahead{number}") for number in range(3)]
        await place.once(*ahead)
        for source in ahead:
            await source.token()
        place.endpoint.always(Delay(1.0))
        await place.clock.advance(65.5)
        [call] = await place.once(tokens.source(subject="cold"))
        assert call.waited == pytest.approx(1.5), "behind the one that is in the air, and before the other two"


async def test_a_scheduled_flight_that_somebody_joins_moves_up() -> None:
    place = chosen_town(expires_in=100)
    async with place.provider(max_flights=1) as tokens:
        ahead = {name: tokens.source(subject=name) for name in "abcd"}
        await place.once(*ahead.values())
        for source in ahead.values():
            await source.token()
        place.endpoint.always(Delay(5.0))
        place.endpoint.ledger.clear()
        await place.clock.advance(65.5)
        in_line = [name for name in ahead if name != place.endpoint.ledger[0].form["subject"]]

        async def renew(source: Any) -> None:
            await source.renew(await source.token(), origin="https://api.test")

        async with anyio.create_task_group() as tasks:
            for name in in_line[1:]:
                tasks.start_soon(renew, ahead[name])
            await place.clock.advance(30.0)
        assert place.endpoint.ledger[3].form["subject"] == in_line[0], "for which nobody waits"


async def test_a_failed_attempt_frees_its_place() -> None:
    place = chosen_town()
    place.endpoint.always(Error("invalid_scope"))
    async with place.provider(max_flights=1) as tokens:
        for number in range(5):
            await fails(place, lambda: tokens.token(subject=str(number)))  # noqa: B023
        [lane] = state(tokens).lanes._lanes.values()
        assert lane.health.places.in_air == 0
        assert len(place.endpoint.ledger) == 5
