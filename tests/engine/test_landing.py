"""What an outcome means: for the key, for its client, for the schedule, and for those who watch."""

from __future__ import annotations

import pytest
from tests.kit.bench import KEY, Bench, failure, key

from tokenflight.engine.flight import Flight, Minted
from tokenflight.engine.health import Brake
from tokenflight.errors import ConfigurationError
from tokenflight.model.events import AnswerOdd, ClientHeldBack, FlightFailed, TokenLanded
from tokenflight.model.failure import Failure
from tokenflight.model.policy import RefreshPolicy

pytestmark = pytest.mark.anyio

REFUSED = failure("invalid_scope", transient=False, counts=False)
BAD_CLIENT = failure("invalid_client", code="invalid_client", transient=False, counts=False)
API = "https://api.test"


class Ear:
    def __init__(self) -> None:
        self.heard: list[str] = []

    def landed(self) -> None:
        self.heard.append("landed")

    def ended(self) -> None:
        self.heard.append("ended")


def flight(trigger: str = "schedule", **fields: object) -> Flight:
    return Flight(key=KEY, trigger=trigger, launched_at=0.0, **fields)  # type: ignore[arg-type]


async def test_what_lands_is_held_told_and_planned() -> None:
    async with Bench().entered() as bench:
        async with bench.asking(KEY, KEY) as got:
            await bench.clock.advance(0.1)
        entry = bench.entry()
        assert entry.token is got[0]
        assert bench.state.flights == {}
        assert entry.life.due_at == 65.0
        assert len(bench.state.schedule) == 1
        assert bench.told(TokenLanded) == [
            TokenLanded(key=KEY, trigger="call", lifetime=100.0, attempts=1, waiters=2, took=pytest.approx(0.1))
        ]


async def test_oddities_of_the_answer_are_told() -> None:
    async def odd(flight: Flight) -> Minted | Failure:
        return bench.minted(oddities=("no_token_type", "expires_in"))

    async with Bench().entered() as bench:
        bench.script(odd)
        await bench.ask()
        await bench.clock.settle()
        assert bench.told(AnswerOdd) == [AnswerOdd(key=KEY, oddity=each) for each in ("no_token_type", "expires_in")]


async def test_a_success_without_a_request_says_nothing_of_the_credentials() -> None:
    async def stored(flight: Flight) -> Minted | Failure:
        return bench.minted(attempts=0)

    async with Bench().entered() as bench:
        bench.script(stored, None)
        await bench.ask()
        assert bench.entry().lane.good is None
        await bench.ask(key("another"))
        assert bench.entry().lane.good == b"good"


async def test_a_client_that_wants_no_renewal_ahead_gets_none_unless_the_key_is_pinned() -> None:
    async def quiet(flight: Flight) -> Minted | Failure:
        return bench.minted(refresh=RefreshPolicy(proactive=False))

    async with Bench().entered() as bench:
        bench.script(quiet, quiet)
        await bench.ask()
        assert len(bench.state.schedule) == 0
        bench.entry(key("pinned")).pins = 1
        await bench.ask(key("pinned"))
        assert len(bench.state.schedule) == 1


async def test_a_token_that_is_never_due_is_not_planned() -> None:
    async with Bench().entered() as bench:
        bench.lifetime = None
        await bench.ask()
        assert len(bench.state.schedule) == 0


async def test_a_very_short_life_is_renewed_no_earlier_than_pace_allows() -> None:
    async with Bench(latency=0.0).entered() as bench:
        bench.lifetime = 1.2
        await bench.ask()
        await bench.engine.asking.token(bench.entry(), 0.0)
        await bench.clock.advance(3.0)
        assert bench.launches == pytest.approx([0.0, 1.0])


# what is no gain


async def test_a_token_past_its_end_brings_nothing() -> None:
    bench = Bench()
    await bench.clock.advance(10.0)
    late = bench.minted(sent_at=0.0, lifetime=10.0)
    assert bench.engine.landing.weigh(flight(), late) == "it was past its end on arrival"
    assert bench.engine.landing.weigh(flight(), bench.minted(sent_at=0.0, lifetime=10.1)) is None


async def test_a_lifetime_below_a_second_counts_as_one() -> None:
    bench = Bench()
    assert bench.engine.landing.weigh(flight(), bench.minted(lifetime=-5.0)) is None


async def test_who_has_no_token_takes_any_that_lives() -> None:
    bench = Bench()
    assert bench.engine.landing.weigh(flight(), bench.minted()) is None
    bench.entry()
    assert bench.engine.landing.weigh(flight(), bench.minted()) is None


async def test_the_held_token_again_is_no_gain_but_its_later_end_is_believed() -> None:
    async with Bench().entered() as bench:
        held = (await bench.ask()).access_token.reveal()
        await bench.clock.advance(50.0)
        again = bench.minted(held)
        assert bench.engine.landing.weigh(flight(), again) == "it is the held one"
        assert bench.entry().life.expires_at == pytest.approx(150.1)
        for fields in ({"lifetime": 1.0}, {"lifetime": 100.9}, {"lifetime": None}):
            assert bench.engine.landing.weigh(flight(), bench.minted(held, **fields)) == "it is the held one"
            assert bench.entry().life.expires_at == pytest.approx(150.1), "an end that is not later is not"


async def test_a_rejected_token_come_again_is_not_believed_to_live_longer() -> None:
    async with Bench().entered() as bench:
        token = await bench.ask()
        again = bench.minted(token.access_token.reveal(), lifetime=500.0)
        assert bench.engine.landing.weigh(flight(rejected=token), again) == "it is the held one"
        assert bench.entry().life.expires_at == 100.0


async def test_the_held_token_with_its_own_date_has_no_later_end_whatever_the_wall_clock_did() -> None:
    async with Bench().entered() as bench:
        token = await bench.ask()
        await bench.clock.advance(50.0)
        stored = Minted(token=token, sent_at=bench.clock.now(), lifetime=100.0, refresh=RefreshPolicy())
        assert bench.engine.landing.weigh(flight(), stored) == "it is the held one"
        assert bench.entry().life.expires_at == 100.0


@pytest.mark.parametrize("trigger", ["schedule", "due", "probe"])
async def test_by_schedule_a_token_that_ends_no_later_is_no_gain(trigger) -> None:
    async with Bench().entered() as bench:
        await bench.ask()
        same = bench.minted(sent_at=0.0)
        assert bench.engine.landing.weigh(flight(trigger), same) == "it ends no later than the held one"
        assert bench.engine.landing.weigh(flight(trigger), bench.minted(sent_at=0.01)) is None
        assert bench.engine.landing.weigh(flight(trigger), bench.minted(lifetime=None)) is None


@pytest.mark.parametrize("trigger", ["min_ttl", "rejection", "call", "look", "pinned"])
async def test_asked_for_by_anything_else_it_is_taken(trigger) -> None:
    async with Bench().entered() as bench:
        await bench.ask()
        assert bench.engine.landing.weigh(flight(trigger), bench.minted(lifetime=20.0)) is None


async def test_where_the_held_ones_end_is_unknown_any_other_is_a_gain() -> None:
    async with Bench().entered() as bench:
        bench.lifetime = None
        await bench.ask()
        assert bench.engine.landing.weigh(flight(), bench.minted(lifetime=20.0)) is None


# failures


async def test_while_the_token_lives_a_failure_is_told_and_tried_again_ahead_of_its_end() -> None:
    async with Bench().entered() as bench:
        await bench.ask()
        await bench.engine.asking.token(bench.entry(), 0.0)
        bench.script(failure("timeout", attempts=1))
        await bench.clock.advance(66.0)
        entry = bench.entry()
        assert (entry.brake, entry.failures, entry.last.reason) == ("backoff", 1, "timeout")
        assert entry.not_before == pytest.approx(65.1 + 1.0), "1 % of its life"
        [told] = bench.told(FlightFailed)
        assert (told.key, told.trigger, told.reason, told.transient, told.attempts, told.waiters) == (
            KEY, "schedule", "timeout", True, 1, 0,
        )  # fmt: skip
        assert told.token_left == pytest.approx(34.9)
        await bench.clock.advance(1.0)
        assert bench.triggers == ["call", "schedule", "schedule"]
        assert (entry.failures, entry.not_before) == (0, float("-inf"))


async def test_a_backoff_doubles_with_each_failure_in_a_row() -> None:
    async with Bench(latency=0.0).entered() as bench:
        await bench.ask()
        await bench.engine.asking.token(bench.entry(), 0.0)
        bench.endpoint = ""  # whatever fails here is not the endpoint's doing
        bench.script(*[failure("no_gain", counts=False)] * 4)
        await bench.clock.advance(85.0)
        gaps = [later - earlier for earlier, later in zip(bench.launches[1:], bench.launches[2:], strict=False)]
        assert gaps == pytest.approx([1.0, 2.0, 4.0, 8.0], abs=0.8)
        assert gaps[:3] == pytest.approx([1.0, 2.0, 4.0])


async def test_a_failure_without_a_token_holds_the_key_back_and_nobody_tries_for_nobody() -> None:
    async with Bench().entered() as bench:
        bench.script(failure("timeout"))
        await bench.fails()
        entry = bench.entry()
        assert (entry.brake, entry.failures) == ("failed", 1)
        assert entry.not_before == pytest.approx(bench.clock.now() + 1.0)
        await bench.clock.settle()
        assert bench.told(FlightFailed)[0].token_left is None
        await bench.clock.advance(60.0)
        assert len(bench.flown) == 1


async def test_a_pinned_key_without_a_token_is_tried_again_and_again() -> None:
    async with Bench().entered() as bench:
        bench.script(failure(counts=False), failure(counts=False))
        bench.entry().pins = 1
        await bench.fails()
        await bench.clock.advance(10.0)
        assert bench.triggers == ["call", "pinned", "pinned"]
        assert bench.launches == pytest.approx([0.0, 1.1, 3.2], abs=0.01)


async def test_after_a_refused_token_the_key_is_held_back_as_if_it_had_none() -> None:
    async with Bench().entered() as bench:
        token = await bench.ask()
        bench.script(failure())
        with pytest.raises(Exception, match="it failed"):
            await bench.renew(token, API)
        assert bench.entry().brake == "failed"


async def test_a_failed_min_ttl_of_a_fresh_token_leaves_its_renewal_where_it_was() -> None:
    async with Bench().entered() as bench:
        await bench.ask()
        await bench.clock.advance(10.0 - bench.clock.now())
        bench.script(failure())
        await bench.ask(min_ttl=95.0)
        await bench.clock.advance(54.8)
        assert len(bench.flown) == 2
        await bench.clock.advance(0.2)
        assert bench.triggers == ["call", "min_ttl", "schedule"]
        assert bench.launches[2] == 65.0


async def test_a_failed_renewal_of_a_token_that_is_never_due_plans_nothing() -> None:
    async with Bench().entered() as bench:
        bench.lifetime = None
        token = await bench.ask()
        bench.script(failure())
        with pytest.raises(Exception, match="it failed"):
            await bench.renew(token, API)
        assert len(bench.state.schedule) == 0


async def test_a_token_in_nobodys_demand_is_not_tried_for_again() -> None:
    async with Bench().entered() as bench:
        await bench.ask()
        await bench.clock.advance(66.0)
        bench.script(failure())
        entry = bench.entry()
        bench.engine.launching.launch(entry, "due")
        await bench.clock.advance(1.0)
        assert entry.failures == 1
        assert len(bench.state.schedule) == 0
        assert entry.fresh_until == 65.0, "the next call sees to it"


@pytest.mark.parametrize(
    ("outcome", "reason", "ends"),
    [(REFUSED, "permanent", 65.1 + 30.0), (BAD_CLIENT, "client", 65.1 + 30.0 + 5.0)],
    ids=["the key", "the client, and another of its keys shall try first"],
)
async def test_a_permanent_failure_holds_back_for_half_a_minute_and_the_held_token_serves_on(
    outcome, reason, ends
) -> None:
    async with Bench().entered() as bench:
        token = await bench.ask()
        await bench.engine.asking.token(bench.entry(), 0.0)
        bench.script(outcome)
        await bench.clock.advance(66.0)
        entry = bench.entry()
        brake = bench.state.brake(entry, bench.clock.now(), bare=False)
        assert brake is not None
        assert (brake.reason, brake.until) == (reason, pytest.approx(ends))
        assert await bench.engine.asking.token(entry, 0.0) is token
        assert entry.lane.refused == b""


async def test_a_key_that_alone_is_refused_while_others_succeed_holds_back_itself_alone() -> None:
    async with Bench(latency=0.0).entered() as bench:
        bench.script(BAD_CLIENT)
        await bench.fails()
        assert bench.entry().brake == "client"
        await bench.clock.advance(40.0)
        assert (await bench.ask(key("good"))).header == "Bearer t1"
        bench.entry().lane.good = b""  # the same credentials as those that were refused
        await bench.clock.advance(200.0)
        bench.script(BAD_CLIENT)
        await bench.fails()
        assert (bench.entry().brake, bench.entry().refusals) == ("permanent", 1)
        assert bench.entry().refused_since == 0.0


async def test_a_success_of_its_own_makes_the_next_refusal_a_first_one() -> None:
    async with Bench(latency=0.0).entered() as bench:
        bench.script(BAD_CLIENT)
        await bench.fails()
        await bench.clock.advance(40.0)
        await bench.ask()
        bench.entry().lane.good = b""  # the same credentials as those that were refused
        await bench.clock.advance(105.0)
        bench.script(BAD_CLIENT)
        await bench.fails()
        assert bench.entry().brake == "client"


async def test_a_key_refused_again_and_again_is_asked_for_less_and_less() -> None:
    async with Bench(latency=0.0).entered() as bench:
        bench.script(*[REFUSED] * 6)
        pauses = []
        for _ in range(6):
            await bench.fails()
            pauses.append(bench.entry().not_before - bench.clock.now())
            await bench.clock.advance(pauses[-1])
        assert pauses == pytest.approx([30.0, 60.0, 120.0, 240.0, 300.0, 300.0])
        assert bench.entry().refusals == 6


async def test_refused_credentials_hold_back_the_whole_client_and_say_so() -> None:
    async with Bench().entered() as bench:
        bench.script(failure(), BAD_CLIENT)
        await bench.fails(key("another"))
        await bench.fails()
        await bench.clock.settle()
        assert bench.told(ClientHeldBack) == [ClientHeldBack(endpoint="https://auth.test", client="c", held=30.0)]
        error = await bench.fails(key("another"))
        assert (error.reason, error.retry_after) == ("invalid_client", pytest.approx(30.0))
        assert len(bench.flown) == 2


async def test_a_failure_before_the_endpoint_is_known_is_the_keys_alone() -> None:
    async def nowhere(flight: Flight) -> Minted | Failure:
        bench.entry().lane = None
        return BAD_CLIENT

    async with Bench().entered() as bench:
        bench.script(nowhere)
        await bench.fails()
        assert bench.entry().brake == "permanent"


async def test_one_while_a_token_lives_is_that_keys_alone_as_well() -> None:
    async def nowhere(flight: Flight) -> Minted | Failure:
        bench.entry().lane = None
        return failure("resolver", counts=False)

    async with Bench().entered() as bench:
        token = await bench.ask()
        await bench.clock.advance(20.0)
        bench.script(nowhere)
        assert await bench.ask(min_ttl=90.0) is token
        assert bench.entry().brake == "backoff"


async def test_a_live_tokens_next_try_is_no_later_for_its_endpoint_being_down() -> None:
    async with Bench(latency=0.0).entered() as bench:
        bench.lifetime = 10.0
        await bench.ask()
        await bench.engine.asking.token(bench.entry(), 0.0)
        health = bench.entry().lane.health
        for _ in range(8):
            health.begin(KEY)
            health.failed(KEY, failure(), bench.clock.now(), bench.clock.uniform)
            health.end(KEY)
        assert health.next_probe_at == 5.0
        bench.script(failure())
        await bench.clock.advance(6.6)
        assert health.next_probe_at == pytest.approx(bench.launches[1] + 0.5)


async def test_a_misconfiguration_is_told_to_each_call_anew_and_holds_nothing_back() -> None:
    wrong = Failure(error=ConfigurationError, reason="configuration", detail="set it right", transient=False)
    async with Bench().entered() as bench:
        bench.script(wrong, wrong)
        for _ in range(2):
            with pytest.raises(ConfigurationError, match="set it right"):
                await bench.ask()
        assert len(bench.flown) == 2
        assert bench.entry().last is None
        assert (await bench.ask()).header == "Bearer t1"


async def test_a_misconfiguration_met_by_a_renewal_waits_as_long_as_any_failure() -> None:
    wrong = Failure(error=ConfigurationError, reason="configuration", detail="set it right", transient=False)
    async with Bench().entered() as bench:
        token = await bench.ask()
        await bench.engine.asking.token(bench.entry(), 0.0)
        bench.script(wrong)
        await bench.clock.advance(66.0)
        assert (bench.entry().brake, bench.entry().refusals) == ("backoff", 0)
        assert await bench.engine.asking.token(bench.entry(), 0.0) is token


async def test_a_flight_that_a_brake_ended_is_no_failure_of_the_key() -> None:
    async def refused(flight: Flight) -> Minted | Failure:
        flight.refused = Brake(80.0, "retry_after", failure())
        return failure()

    async with Bench().entered() as bench:
        await bench.ask()
        await bench.engine.asking.token(bench.entry(), 0.0)
        bench.script(refused)
        await bench.clock.advance(66.0)
        assert (bench.entry().failures, bench.entry().last) == (0, None)
        await bench.clock.advance(19.5)
        assert bench.triggers == ["call", "schedule", "schedule"]
        assert bench.launches[2] == pytest.approx(85.0), "the end of the brake and its spread"


async def test_without_any_brake_the_next_try_comes_a_second_later() -> None:
    async def held(flight: Flight) -> Minted | Failure:
        flight.refused = None
        return failure()

    async with Bench().entered() as bench:
        bench.entry().pins = 1
        wrong = Failure(error=ConfigurationError, reason="configuration", detail="set it right", transient=False)
        bench.script(wrong)
        with pytest.raises(ConfigurationError):
            await bench.ask()
        await bench.clock.advance(2.0)
        assert bench.launches == pytest.approx([0.0, 1.1], abs=0.01)


# the end of a flight


async def test_a_forgotten_flight_answers_who_joined_and_leaves_nothing_behind() -> None:
    async with Bench().entered() as bench:
        async with bench.asking(KEY) as got:
            bench.engine.forget(bench.entry())
            await bench.clock.advance(0.1)
            assert [token.header for token in got] == ["Bearer t1"]
        assert bench.state.entries.find(KEY) is None
        entry = bench.entry()
        assert entry.token is None
        assert bench.told(TokenLanded) == []


async def test_a_flight_removes_itself_and_never_the_one_that_took_its_place() -> None:
    async with Bench(latency=1.0).entered() as bench, bench.asking(KEY) as got:
        await bench.clock.advance(0.5)
        bench.engine.forget(bench.entry())
        async with bench.asking(KEY):
            await bench.clock.advance(0.6)
            assert len(got) == 1
            assert bench.state.flights[KEY] is bench.flown[1]
            await bench.clock.advance(0.6)
            assert bench.state.flights == {}


async def test_watchers_hear_of_each_landing_until_the_end() -> None:
    async with Bench().entered() as bench:
        mine, theirs = Ear(), Ear()
        bench.engine.landing.watch(KEY, mine)
        bench.engine.landing.watch(key("other"), theirs)
        token = await bench.ask()
        await bench.renew(token, API)
        assert mine.heard == ["landed", "landed"]
        bench.engine.landing.end(KEY)
        bench.engine.landing.end(KEY)
        assert mine.heard == ["landed", "landed", "ended"]
        bench.engine.landing.end_all()
        assert (mine.heard[3:], theirs.heard) == ([], ["ended"])


async def test_who_watches_no_more_hears_no_more() -> None:
    async with Bench().entered() as bench:
        gone, stays = Ear(), Ear()
        for ear in (gone, stays):
            bench.engine.landing.watch(KEY, ear)
        bench.engine.landing.unwatch(KEY, gone)
        bench.engine.landing.unwatch(KEY, gone)
        await bench.ask()
        bench.engine.landing.unwatch(KEY, stays)
        bench.engine.landing.unwatch(key("never watched"), stays)
        bench.engine.landing.end_all()
        assert (gone.heard, stays.heard) == ([], ["landed"])


async def test_a_renewal_of_an_expiring_entry_beyond_the_maximum_makes_room_when_it_lands() -> None:
    async with Bench(max_keys=1).entered() as bench:
        async with bench.asking(key("a"), key("b")) as got:
            assert len(bench.state.entries) == 2, "keys with a flight stay"
            await bench.clock.advance(0.1)
            assert len(got) == 2
        assert len(bench.state.entries) == 1


async def test_a_token_that_came_by_no_flight_is_held_told_and_planned() -> None:
    async with Bench().entered() as bench:
        ear = Ear()
        bench.engine.landing.watch(KEY, ear)
        bench.engine.landing.plant(KEY, bench.minted("planted"))
        assert (await bench.ask()).header == "Bearer planted"
        assert bench.flown == []
        assert ear.heard == ["landed"]
        await bench.clock.settle()
        [event] = bench.told(TokenLanded)
        assert (event.trigger, event.waiters, event.took) == ("login", 0, 0.0)
        await bench.ask()
        await bench.clock.advance(66.0)
        assert bench.triggers == ["schedule"]


async def test_it_lifts_what_held_its_key_back_and_outlasts_a_flight_that_is_up() -> None:
    async with Bench(latency=1.0).entered() as bench:
        bench.script(REFUSED)
        await bench.fails()
        bench.engine.landing.plant(KEY, bench.minted("planted"))
        assert (await bench.ask()).header == "Bearer planted"
        bench.engine.launching.launch(bench.entry(), "call")
        bench.engine.landing.plant(KEY, bench.minted("again"))
        await bench.clock.advance(5.0)
        assert bench.entry().token.header == "Bearer again"
        assert bench.state.flights == {}
