"""What a caller gets: fresh and due at once, urgent after a moment at most, expired what the flight brings."""

from __future__ import annotations

import anyio
import pytest
from tests.kit.bench import KEY, Bench, failure, key

from tokenflight.engine.flight import Flight, Minted
from tokenflight.errors import ConfigurationError, ProviderClosedError, TokenRequestError
from tokenflight.model.events import FlightLaunched, RenewalRefused, TokenRejected, TokenUrgent
from tokenflight.model.failure import Failure
from tokenflight.model.token import Token

pytestmark = pytest.mark.anyio

API = "https://api.test"
REFUSED = failure("invalid_scope", transient=False, counts=False)


async def test_a_cold_call_waits_for_one_flight_and_takes_what_it_brings() -> None:
    async with Bench().entered() as bench:
        token = await bench.ask()
        assert token.header == "Bearer t1"
        assert bench.clock.now() == pytest.approx(0.1)
        assert bench.triggers == ["call"]
        assert bench.told(FlightLaunched) == [FlightLaunched(key=KEY, trigger="call")]


async def test_however_many_ask_one_flight_serves_them_all() -> None:
    async with Bench().entered() as bench:
        async with bench.asking(*[KEY] * 300) as got:
            await bench.clock.advance(0.1)
        assert [token.header for token in got] == ["Bearer t1"] * 300
        assert len(bench.flown) == 1


async def test_a_fresh_token_is_handed_out_at_once_and_its_use_is_noted() -> None:
    async with Bench().entered() as bench:
        token = await bench.ask()
        await bench.clock.advance(10.0)
        assert await bench.engine.asking.token(bench.entry(), 0.0) is token
        assert bench.entry().used_at == bench.clock.now()
        assert len(bench.flown) == 1


async def test_a_due_token_is_handed_out_at_once_and_the_first_call_after_an_idle_stretch_launches() -> None:
    async with Bench().entered() as bench:
        token = await bench.ask()
        await bench.clock.advance(70.0)
        for _ in range(3):
            assert await bench.engine.asking.token(bench.entry(), 0.0) is token
        await bench.clock.settle()
        assert bench.triggers == ["call", "due"]
        assert bench.entry().fresh_until == 90.0, "callers are back on the fast path"


async def test_it_is_due_from_the_very_moment_on() -> None:
    async with Bench().entered() as bench:
        await bench.ask()
        await bench.clock.advance(65.0 - bench.clock.now())
        await bench.engine.asking.token(bench.entry(), 0.0)
        await bench.clock.settle()
        assert (bench.clock.now(), bench.triggers) == (65.0, ["call", "due"])


async def test_what_is_planned_already_is_not_launched_by_who_finds_it_due() -> None:
    async with Bench().entered() as bench:
        token = await bench.ask()
        await bench.clock.advance(70.0)
        entry = bench.entry()
        bench.state.schedule.plan(entry, 80.0)
        assert await bench.engine.asking.token(entry, 0.0) is token
        assert len(bench.flown) == 1
        assert entry.fresh_until == 90.0


async def test_a_due_token_under_a_brake_is_planned_for_its_end() -> None:
    async with Bench().entered() as bench:
        token = await bench.ask()
        await bench.clock.advance(69.9)
        entry = bench.entry()
        assert entry.lane is not None
        entry.lane.told_to_wait(failure(retry_after=3.0), 70.0)
        assert await bench.engine.asking.token(entry, 0.0) is token
        assert len(bench.flown) == 1
        await bench.clock.advance(7.9)
        assert len(bench.flown) == 1
        await bench.clock.advance(0.2)
        assert bench.triggers == ["call", "schedule"], "up to 5 s spread behind the end"


async def test_an_urgent_token_is_handed_out_after_a_second_of_the_flight_at_most() -> None:
    async with Bench(latency=5.0).entered() as bench:
        token = await bench.ask()
        await bench.clock.advance(90.0 - bench.clock.now())
        assert await bench.ask() is token
        assert bench.clock.now() == 91.0
        assert bench.triggers == ["call", "due"]
        assert bench.told(TokenUrgent) == [TokenUrgent(key=KEY, left=10.0)]
        assert await bench.engine.asking.token(bench.entry(), 0.0) is token, "the flight has been up for a second"
        assert bench.clock.now() == 91.0
        assert len(bench.told(TokenUrgent)) == 1


async def test_near_its_end_it_is_handed_out_after_a_quarter_of_what_is_left() -> None:
    async with Bench(latency=5.0).entered() as bench:
        token = await bench.ask()
        await bench.clock.advance(98.0 - bench.clock.now())
        assert await bench.ask() is token
        assert bench.clock.now() == 98.5


async def test_what_lands_in_the_urgent_second_is_handed_out() -> None:
    async with Bench(latency=0.2).entered() as bench:
        token = await bench.ask()
        await bench.clock.advance(95.0 - bench.clock.now())
        assert (await bench.ask()).header == "Bearer t2" != token.header
        assert bench.clock.now() == pytest.approx(95.2)


async def test_an_urgent_token_under_a_brake_is_handed_out_at_once() -> None:
    async with Bench().entered() as bench:
        token = await bench.ask()
        await bench.clock.advance(95.0)
        lane = bench.entry().lane
        assert lane is not None
        lane.told_to_wait(failure(retry_after=60.0), bench.clock.now())
        assert await bench.engine.asking.token(bench.entry(), 0.0) is token
        assert len(bench.flown) == 1


async def test_who_waits_in_the_urgent_second_and_loses_the_token_gets_the_next() -> None:
    async with Bench(latency=2.0).entered() as bench:
        await bench.ask()
        await bench.clock.advance(91.0 - bench.clock.now())
        async with bench.asking(KEY) as got:
            bench.engine.forget(bench.entry())
            await bench.clock.advance(1.0)
            assert got == []
            await bench.clock.advance(5.0)
            assert [token.header for token in got] == ["Bearer t3"]
            assert bench.entry().token is got[0], "and the key holds it"
        assert bench.triggers == ["call", "due", "call"]


async def test_an_expired_token_is_none() -> None:
    async with Bench().entered() as bench:
        await bench.ask()
        await bench.clock.advance(100.0 - bench.clock.now())
        assert (await bench.ask()).header == "Bearer t2"
        assert bench.triggers == ["call", "call"]


async def test_the_error_goes_to_everybody_who_joined_to_each_a_copy_of_its_own() -> None:
    async with Bench().entered() as bench:
        bench.script(failure("timeout", attempts=3))
        async with bench.asking(KEY, KEY, KEY) as got:
            await bench.clock.advance(0.1)
        assert [type(error) for error in got] == [TokenRequestError] * 3
        assert len(set(map(id, got))) == 3
        assert {(error.reason, error.attempts, error.key) for error in got} == {("timeout", 3, KEY)}
        assert [error.retry_after for error in got] == pytest.approx([1.0] * 3)


async def test_who_comes_while_the_key_is_held_back_gets_the_same_error_at_once_and_nothing_is_sent() -> None:
    async with Bench().entered() as bench:
        bench.script(failure("timeout", attempts=3))
        await bench.fails()
        await bench.clock.advance(0.4)
        before = bench.clock.now()
        error = await bench.fails()
        assert bench.clock.now() == before
        assert (error.reason, error.attempts, error.transient) == ("timeout", 0, True)
        assert error.retry_after == pytest.approx(0.6)
        assert len(bench.flown) == 1
        await bench.clock.advance(0.6)
        assert (await bench.ask()).header == "Bearer t1"


async def test_who_is_refused_makes_its_key_the_next_probe_of_an_endpoint_that_is_down() -> None:
    async with Bench().entered() as bench:
        bench.script(*[failure()] * 3)
        for name in "abc":
            await bench.fails(key(name))
        assert bench.entry(key("c")).lane.health.state == "probing"
        await bench.fails(key("a"))
        await bench.clock.advance(1.0)
        assert [flight.key for flight in bench.flown if flight.trigger == "probe"] == [key("a")]


async def test_a_key_whose_credentials_were_refused_looks_for_others_every_two_seconds() -> None:
    async with Bench().entered() as bench:
        bench.script(*[REFUSED] * 3)
        await bench.fails()
        lane = bench.entry().lane
        lane.changeable, lane.looked_at = True, bench.clock.now()
        await bench.fails()
        assert bench.triggers == ["call"]
        await bench.clock.advance(2.0)
        await bench.fails()
        await bench.fails()
        assert bench.triggers == ["call", "look"]


async def test_other_brakes_are_no_reason_to_look() -> None:
    async with Bench().entered() as bench:
        bench.script(failure())
        await bench.fails()
        lane = bench.entry().lane
        lane.changeable, lane.refused = True, b"secret"
        await bench.fails()
        assert bench.triggers == ["call"]


async def test_a_caller_who_gives_up_leaves_the_flight_alone() -> None:
    async with Bench().entered() as bench:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await bench.engine.asking.token(bench.entry(), 0.0)
        await bench.clock.advance(0.1)
        assert bench.flown[0].waiting == 0
        assert (await bench.engine.asking.token(bench.entry(), 0.0)).header == "Bearer t1"


async def test_the_held_token_given_a_later_end_serves_who_found_it_expired() -> None:
    async def again(flight: Flight) -> Minted | Failure:
        minted = bench.minted("t1")
        return failure("no_gain", detail=bench.engine.landing.weigh(flight, minted), counts=False)

    async with Bench().entered() as bench:
        token = await bench.ask()
        await bench.clock.advance(100.0)
        bench.script(again)
        assert await bench.ask() is token


# min_ttl


async def test_a_token_with_less_left_than_asked_for_is_replaced_first() -> None:
    async with Bench().entered() as bench:
        await bench.ask()
        await bench.clock.advance(20.0)
        assert (await bench.ask(min_ttl=90.0)).header == "Bearer t2"
        assert bench.triggers == ["call", "min_ttl"]


async def test_one_with_enough_left_is_handed_out() -> None:
    async with Bench().entered() as bench:
        token = await bench.ask()
        await bench.clock.advance(10.0 - bench.clock.now())
        assert await bench.ask(min_ttl=90.0) is token
        assert len(bench.flown) == 1


async def test_what_lands_is_taken_even_with_less_left_and_never_asked_for_in_a_loop() -> None:
    async with Bench().entered() as bench:
        bench.lifetime = 20.0
        first = await bench.ask(min_ttl=50.0)
        assert await bench.ask(min_ttl=50.0) is first, "just renewed: Pace forbids another"
        await bench.clock.advance(1.0)
        assert (await bench.ask(min_ttl=50.0)).header == "Bearer t2"
        assert len(bench.flown) == 2


async def test_it_joins_the_flight_in_the_air() -> None:
    async with Bench().entered() as bench:
        await bench.ask()
        await bench.clock.advance(20.0)
        async with bench.asking(KEY, KEY, min_ttl=90.0) as got:
            await bench.clock.advance(0.1)
        assert [token.header for token in got] == ["Bearer t2"] * 2
        assert len(bench.flown) == 2


async def test_when_the_flight_fails_the_held_token_serves() -> None:
    async with Bench().entered() as bench:
        token = await bench.ask()
        await bench.clock.advance(20.0)
        bench.script(failure())
        assert await bench.ask(min_ttl=90.0) is token
        assert await bench.ask(min_ttl=90.0) is token, "the key is held back now"
        assert len(bench.flown) == 2


async def test_when_the_flight_fails_and_the_held_token_ended_meanwhile_the_error_is_the_callers() -> None:
    async with Bench(latency=5.0).entered() as bench:
        await bench.ask()
        await bench.clock.advance(97.0 - bench.clock.now())
        bench.script(failure("timeout"))
        assert (await bench.fails(min_ttl=50.0)).reason == "timeout"


# rejections


async def test_a_first_rejection_renews_however_young_the_token() -> None:
    async with Bench().entered() as bench:
        token = await bench.ask()
        newer = await bench.renew(token, API)
        assert newer.header == "Bearer t2"
        assert bench.triggers == ["call", "rejection"]
        assert (bench.flown[1].rejected, bench.flown[1].origin) == (token, API)
        assert bench.told(TokenRejected) == [TokenRejected(key=KEY, origin=API, age=pytest.approx(0.1))]


async def test_who_names_no_token_means_the_held_one() -> None:
    async with Bench().entered() as bench:
        await bench.ask()
        assert (await bench.renew()).header == "Bearer t2"


async def test_rejected_is_that_value_so_that_stragglers_get_the_newer_token_at_once() -> None:
    async with Bench().entered() as bench:
        old = await bench.ask()
        newer = await bench.renew(old, API)
        await bench.clock.advance(5.0)
        before = bench.clock.now()
        assert await bench.renew(old, API) is newer
        assert (bench.clock.now(), bench.entry().used_at) == (before, before)
        assert len(bench.flown) == 2


async def test_many_rejections_of_one_token_are_one_renewal() -> None:
    async with Bench().entered() as bench:
        token = await bench.ask()
        async with bench.asking(*[lambda: bench.engine.asking.renew(bench.entry(), token, API)] * 50) as got:
            await bench.clock.advance(0.1)
        assert {token.header for token in got} == {"Bearer t2"}
        assert len(bench.flown) == 2
        assert len(bench.told(TokenRejected)) == 1


async def test_a_rejection_joins_the_renewal_in_the_air() -> None:
    async with Bench(latency=5.0).entered() as bench:
        token = await bench.ask()
        await bench.clock.advance(70.0)
        await bench.engine.asking.token(bench.entry(), 0.0)
        assert (await bench.renew(token, API)).header == "Bearer t2"
        assert bench.triggers == ["call", "due"]


async def test_a_renewal_of_nothing_is_a_call() -> None:
    async with Bench().entered() as bench:
        token = await bench.renew()
        await bench.clock.advance(100.0)
        assert (await bench.renew(token, API)).header == "Bearer t2"
        assert bench.triggers == ["call", "call"]


async def test_a_rejection_obeys_neither_pace_nor_the_backoff_of_a_live_token() -> None:
    async with Bench().entered() as bench:
        token = await bench.ask()
        await bench.clock.advance(70.0)
        bench.script(failure())
        await bench.engine.asking.token(bench.entry(), 0.0)
        await bench.clock.advance(0.1)
        assert bench.entry().brake == "backoff"
        assert (await bench.renew(token, API)).header == "Bearer t2"


async def test_a_failed_renewal_is_the_callers_error_and_the_next_is_held_back() -> None:
    async with Bench().entered() as bench:
        token = await bench.ask()
        bench.script(failure("timeout"))
        with pytest.raises(TokenRequestError) as failed:
            await bench.renew(token, API)
        assert failed.value.reason == "timeout"
        with pytest.raises(TokenRequestError, match="its token endpoint cannot be asked now") as refused:
            await bench.renew(token, API)
        assert (refused.value.reason, refused.value.key, refused.value.transient) == ("held_back", KEY, True)
        assert refused.value.retry_after == pytest.approx(1.0)
        assert refused.value.detail == "not renewed: its token endpoint cannot be asked now"
        assert len(bench.flown) == 2
        assert bench.told(RenewalRefused) == [RenewalRefused(key=KEY, origin=API, reason="held_back")]
        assert await bench.engine.asking.token(bench.entry(), 0.0) is token, "the held one is handed out all the same"


async def test_when_the_renewal_fails_and_another_token_came_meanwhile_that_one_serves() -> None:
    async def overtaken(flight: Flight) -> Minted | Failure:
        other = bench.minted("other")
        bench.entry().hold(other.token, bench.engine.landing.life(KEY, other))
        return failure()

    async with Bench().entered() as bench:
        token = await bench.ask()
        bench.script(overtaken)
        assert (await bench.renew(token, API)).header == "Bearer other"


async def test_an_api_that_refuses_what_its_refusal_bore_is_shut_for_a_minute() -> None:
    async with Bench().entered() as bench:
        bench.lifetime = 1000.0
        token = await bench.renew(await bench.ask(), API)
        await bench.clock.advance(10.0)
        with pytest.raises(TokenRequestError, match="keeps refusing fresh tokens") as refused:
            await bench.renew(token, API)
        assert (refused.value.reason, refused.value.retry_after) == ("rejected", pytest.approx(60.0))
        assert bench.told(RenewalRefused) == [RenewalRefused(key=KEY, origin=API, reason="rejected")]
        assert len(bench.flown) == 2
        assert (await bench.renew(token, "https://other.test")).header == "Bearer t3"


async def test_a_rejection_looks_for_other_credentials_where_these_were_refused() -> None:
    async with Bench().entered() as bench:
        token = await bench.ask()
        bench.script(REFUSED)
        with pytest.raises(TokenRequestError):
            await bench.renew(token, API)
        bench.entry().lane.changeable = True
        assert (await bench.renew(token, API)).header == "Bearer t2"
        assert bench.triggers == ["call", "rejection", "look"]
        assert bench.flown[2].rejects


async def test_a_held_back_rejection_makes_its_key_the_next_probe() -> None:
    async with Bench().entered() as bench:
        token = await bench.ask()
        bench.script(*[failure()] * 3)
        for name in "abc":
            await bench.fails(key(name))
        with pytest.raises(TokenRequestError):
            await bench.renew(token, API)
        await bench.clock.advance(1.0)
        assert [flight.key for flight in bench.flown if flight.trigger == "probe"] == [KEY]


async def test_to_reject_launches_and_waits_for_nothing() -> None:
    async with Bench().entered() as bench:
        token = await bench.ask()
        for _ in range(2):
            bench.engine.asking.reject(bench.entry(), token, API)
        assert await bench.engine.asking.token(bench.entry(), 0.0) is token
        await bench.clock.advance(0.1)
        assert bench.triggers == ["call", "rejection"]
        assert (await bench.engine.asking.token(bench.entry(), 0.0)).header == "Bearer t2"


async def test_to_reject_what_is_not_held_or_dead_is_to_do_nothing() -> None:
    async with Bench().entered() as bench:
        entry = bench.entry()
        bench.engine.asking.reject(entry, Token("t0"), API)
        token = await bench.ask()
        bench.engine.asking.reject(entry, Token("other"), API)
        await bench.clock.advance(100.0)
        bench.engine.asking.reject(entry, token, API)
        assert len(bench.flown) == 1
        assert bench.told(TokenRejected) == []


async def test_to_reject_where_nothing_may_be_sent_is_an_event_and_no_error() -> None:
    bench = Bench()
    async with bench.entered():
        token = await bench.ask()
        bench.script(failure())
        bench.engine.asking.reject(bench.entry(), token, API)
        await bench.clock.advance(0.1)
        bench.engine.asking.reject(bench.entry(), token, API)
        await bench.clock.settle()
        assert len(bench.flown) == 2
        assert bench.told(RenewalRefused) == [RenewalRefused(key=KEY, origin=API, reason="held_back")]
    bench.engine.asking.reject(bench.entry(), token, API)
    assert len(bench.flown) == 2


# where nothing can be started


async def test_a_held_token_is_handed_out_to_its_end_by_an_engine_that_was_left() -> None:
    bench = Bench()
    async with bench.entered():
        token = await bench.ask()
    for at in (10.0, 70.0, 95.0, 99.0):
        await bench.clock.advance(at - bench.clock.now())
        assert await bench.engine.asking.token(bench.entry(), 0.0) is token
        assert await bench.engine.asking.token(bench.entry(), 95.0) is token
    await bench.clock.advance(1.0)
    with pytest.raises(ProviderClosedError, match=r"put `async with provider:` around whatever asks for tokens$"):
        await bench.engine.asking.token(bench.entry(), 0.0)
    assert len(bench.flown) == 1


async def test_what_is_due_in_an_engine_that_was_left_is_handed_out_and_nothing_planned() -> None:
    bench = Bench()
    async with bench.entered():
        token = await bench.ask()
    bench.state.schedule.drop(bench.entry())
    await bench.clock.advance(70.0)
    assert await bench.engine.asking.token(bench.entry(), 0.0) is token
    assert (bench.state.flights, len(bench.state.schedule)) == ({}, 0)


async def test_what_must_start_something_in_an_engine_that_was_never_entered_says_so() -> None:
    bench = Bench()
    for call in (
        lambda: bench.engine.asking.token(bench.entry(), 0.0),
        lambda: bench.engine.asking.renew(bench.entry(), None, None),
    ):
        with pytest.raises(ProviderClosedError, match="is not entered"):
            await call()
    assert bench.state.flights == {}


async def test_a_flight_that_asks_for_its_own_key_is_told_so_instead_of_waiting_for_ever() -> None:
    async def own(flight: Flight) -> Minted | Failure:
        with pytest.raises(ConfigurationError, match=r"ask a provider of its own there$"):
            await bench.engine.asking.token(bench.entry(), 0.0)
        other = await bench.engine.asking.token(bench.entry(key("other")), 0.0)
        assert other.header == "Bearer t1"
        return bench.minted()

    async with Bench().entered() as bench:
        bench.script(own)
        assert (await bench.ask()).header == "Bearer t2"
