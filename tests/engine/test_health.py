"""What an endpoint and a client at it allow: down after three, probed one by one, opened step by step."""

from __future__ import annotations

import math
from typing import Any

import pytest
from tests.kit.bench import failure, key

from tokenflight.engine.health import Health, Lane
from tokenflight.engine.places import Places
from tokenflight.model.policy import RetryPolicy

ONE, OTHER = key("one"), key("other")
DOWN, SLOW, WRONG = failure("http_503"), failure("http_429", status=429), failure("x", transient=False)


def highest(low: float, high: float) -> float:
    return high


def lowest(low: float, high: float) -> float:
    return low


def endpoint(maximum: int = 8, **retry: float) -> Health:
    return Health("https://auth.test", Places(maximum), RetryPolicy(**retry), since=0.0)


def down(at: float = 10.0) -> Health:
    health = endpoint()
    for _ in range(3):
        health.failed(ONE, DOWN, at, highest)
    return health


def lane(health: Health | None = None) -> Lane:
    return Lane("c", health or endpoint())


def test_an_endpoint_goes_down_with_the_third_failure_in_a_row_and_says_so_once() -> None:
    health = endpoint()
    assert [health.failed(ONE, DOWN, 10.0, highest) for _ in range(5)] == [False, False, True, False, False]
    assert (health.state, health.since, health.last) == ("probing", 10.0, DOWN)
    assert health.places.limit == 1


def test_an_answer_in_between_starts_the_count_anew() -> None:
    health = endpoint()
    for _ in range(3):
        assert not health.failed(ONE, DOWN, 1.0, highest)
        assert not health.failed(ONE, DOWN, 1.0, highest)
        assert not health.answered(1.0)
    assert health.state == "up"


def test_nobody_waits_for_an_endpoint_that_is_up() -> None:
    health = endpoint()
    health.failed(ONE, DOWN, 1.0, highest)
    assert health.brake(ONE, 1.0) is None


@pytest.mark.parametrize(("draw", "share"), [(highest, 1.0), (lowest, 0.5)])
def test_probes_come_after_half_a_second_doubling_to_five(draw, share) -> None:
    health, now, pauses = endpoint(), 0.0, []
    for _ in range(3):
        health.failed(ONE, DOWN, now, draw)
    for _ in range(7):
        pauses.append(health.next_probe_at - now)
        now = health.next_probe_at
        assert health.brake(ONE, now) is None
        health.begin(ONE)
        health.failed(ONE, DOWN, now, draw)
        health.end(ONE)
    assert pauses == [share * pause for pause in (0.5, 1.0, 2.0, 4.0, 5.0, 5.0, 5.0)]


def test_before_its_moment_no_probe_goes_and_who_asks_is_told_when() -> None:
    health = down(10.0)
    brake = health.brake(ONE, 10.2)
    assert brake is not None
    assert (brake.reason, brake.last) == ("probing", DOWN)
    assert brake.until == pytest.approx(10.7)
    assert health.brake(ONE, 10.49) is not None
    assert health.brake(ONE, 10.5) is None


def test_a_wait_for_a_probe_far_ahead_ends_with_it() -> None:
    health = down(10.0)
    health.next_probe_at = 14.0
    brake = health.brake(ONE, 10.2)
    assert brake is not None
    assert brake.until == 14.0


def test_while_a_probe_is_in_the_air_all_others_wait() -> None:
    health = down(10.0)
    health.begin(ONE)
    health.begin(OTHER)
    assert health.probe == ONE
    assert health.brake(ONE, 11.0) is None
    brake = health.brake(OTHER, 11.0)
    assert brake is not None
    assert brake.until == 11.5


def test_only_the_probe_itself_makes_room_for_the_next() -> None:
    health = down(10.0)
    health.begin(ONE)
    health.end(OTHER)
    assert health.probe == ONE
    health.end(ONE)
    assert health.probe is None
    assert health.brake(OTHER, 11.0) is None


def test_nobody_is_the_probe_of_an_endpoint_that_is_up() -> None:
    health = endpoint()
    health.begin(ONE)
    assert health.probe is None


def test_what_was_in_the_air_when_it_went_down_postpones_no_probe() -> None:
    health = down(10.0)
    health.failed(OTHER, failure("timeout"), 10.4, highest)
    assert (health.next_probe_at, health.probes) == (10.5, 0)
    assert health.last is not None
    assert health.last.reason == "timeout"


def test_a_429_says_nothing_of_whether_it_serves_but_postpones_the_probe_and_halves_the_places() -> None:
    up = endpoint()
    up.throttled(1.0, highest)
    assert (up.state, up.in_a_row, up.places.limit, up.next_probe_at) == ("up", 0, 4, -math.inf)
    health = down(10.0)
    health.throttled(20.0, highest)
    assert (health.state, health.next_probe_at) == ("probing", 20.5)


def test_an_answer_opens_it_in_steps_until_it_is_up() -> None:
    health, limits = down(10.0), []
    health.begin(ONE)
    assert health.answered(12.0)
    assert (health.state, health.since, health.probe, health.in_a_row) == ("opening", 12.0, None, 0)
    while health.state == "opening":
        limits.append(health.places.limit)
        assert health.last is not None
        assert not health.answered(13.0)
    assert limits == [1, 2, 2, 4, 4, 4, 4]
    assert (health.state, health.since, health.last) == ("up", 13.0, None)


def test_an_endpoint_that_is_opening_goes_down_again_with_three_more() -> None:
    health = down(10.0)
    health.answered(11.0)
    assert [health.failed(ONE, DOWN, 12.0, highest) for _ in range(3)] == [False, False, True]
    assert (health.since, health.probes, health.next_probe_at) == (12.0, 0, 12.5)


def test_a_retry_after_holds_for_the_client_and_ends() -> None:
    mine, health = lane(), endpoint()
    told = failure("http_503", retry_after=7.0)
    assert mine.told_to_wait(told, 10.0) == 7.0
    brake = mine.brake(ONE, 16.9)
    assert brake is not None
    assert (brake.until, brake.reason, brake.last) == (17.0, "retry_after", told)
    assert mine.brake(ONE, 17.0) is None
    assert lane(health).brake(ONE, 10.0) is None


def test_a_long_retry_after_is_cut_to_ten_minutes_and_believed_bit_by_bit_when_repeated() -> None:
    mine, now, held = lane(), 0.0, []
    for _ in range(4):
        held.append(mine.told_to_wait(failure(retry_after=3000.0), now))
        now = mine.retry_after_at
    assert held == [600.0, 1200.0, 2400.0, 3000.0]


def test_a_retry_after_a_minute_later_is_a_new_one() -> None:
    mine = lane()
    mine.told_to_wait(failure(retry_after=3000.0), 0.0)
    assert mine.told_to_wait(failure(retry_after=3000.0), 600.0 + 59.0) == 1200.0
    assert mine.told_to_wait(failure(retry_after=3000.0), 659.0 + 1200.0 + 60.0) == 600.0


def test_answers_to_what_was_sent_before_a_retry_after_are_no_repeats_and_never_shorten_it() -> None:
    mine = lane()
    mine.told_to_wait(failure(retry_after=3000.0), 0.0)
    assert mine.told_to_wait(failure(retry_after=3000.0), 1.0) == 600.0
    assert mine.retry_after_at == 601.0
    mine.told_to_wait(failure(retry_after=2.0), 2.0)
    assert mine.retry_after_at == 601.0


def test_a_retry_after_of_nothing_holds_for_nothing() -> None:
    mine = lane()
    assert mine.told_to_wait(failure(retry_after=None), 5.0) == 0.0
    assert mine.brake(ONE, 5.0) is None


def test_a_success_makes_the_next_retry_after_a_first_one() -> None:
    mine = lane()
    mine.told_to_wait(failure(retry_after=3000.0), 0.0)
    mine.succeeded(b"secret", 600.0)
    assert mine.told_to_wait(failure(retry_after=3000.0), 600.0) == 600.0


REFUSED = failure("invalid_client", code="invalid_client", transient=False, counts=False)


def refuse(
    mine: Lane, now: float, draw: Any = highest, *, secret: bytes = b"secret", since: float | None = None
) -> float | None:
    mine.refuse(secret)
    return mine.widen(REFUSED, secret, now, draw, since=now if since is None else since)


@pytest.mark.parametrize(("draw", "share"), [(highest, 1.0), (lowest, 0.75)])
def test_invalid_client_holds_the_client_back_for_half_a_minute_doubling_to_five(draw, share) -> None:
    mine = lane()
    held = [refuse(mine, 0.0, draw) for _ in range(6)]
    assert held == [share * pause for pause in (30.0, 60.0, 120.0, 240.0, 300.0, 300.0)]


def test_a_client_that_is_held_back_is_so_with_all_its_keys_until_the_end() -> None:
    mine = lane()
    refuse(mine, 10.0)
    for each in (ONE, OTHER):
        brake = mine.brake(each, 39.9)
        assert brake is not None
        assert (brake.until, brake.reason, brake.last) == (40.0, "client", REFUSED)
        assert mine.brake(each, 40.0) is None


def test_after_the_end_one_flight_goes_and_the_others_follow_its_outcome() -> None:
    mine = lane()
    refuse(mine, 10.0)
    mine.begin(ONE)
    mine.begin(OTHER)
    assert mine.trial == ONE
    assert mine.brake(ONE, 41.0) is None
    brake = mine.brake(OTHER, 41.0)
    assert brake is not None
    assert (brake.until, brake.reason) == (41.5, "client")
    mine.end(OTHER)
    assert mine.brake(OTHER, 41.0) is not None
    mine.end(ONE)
    assert mine.brake(OTHER, 41.0) is None


def test_a_look_at_other_credentials_is_let_through() -> None:
    mine = lane()
    refuse(mine, 10.0)
    assert mine.brake(ONE, 11.0, looking=True) is None
    mine.told_to_wait(failure(retry_after=5.0), 11.0)
    assert mine.brake(ONE, 11.0, looking=True) is not None


def test_nobody_is_on_trial_in_a_client_that_is_not_refused() -> None:
    mine = lane()
    mine.begin(ONE)
    assert mine.trial is None


def test_other_refusals_do_not_widen() -> None:
    mine = lane()
    other = failure("invalid_scope", code="invalid_scope", transient=False)
    assert mine.widen(other, b"secret", 0.0, highest) is None
    assert mine.brake(ONE, 0.0) is None


def test_a_secret_that_was_good_a_minute_ago_does_not_widen_and_another_one_does() -> None:
    mine = lane()
    mine.succeeded(b"secret", 100.0)
    assert refuse(mine, 159.9) is None
    assert refuse(mine, 159.9, secret=b"another") == 30.0
    mine.succeeded(b"secret", 200.0)
    assert refuse(mine, 260.0) == 30.0


def test_a_secret_that_was_good_for_another_key_since_this_one_was_first_refused_does_not_widen() -> None:
    mine = lane()
    mine.succeeded(b"secret", 100.0)
    assert refuse(mine, 1000.0, since=100.0) is None, "the key is what the server does not like"
    assert refuse(mine, 1000.0, since=100.1) == 30.0


def test_a_success_lifts_it_and_so_does_who_changed_something_on_purpose() -> None:
    for lifted in (lambda mine: mine.succeeded(b"new", 11.0), lambda mine: mine.lift()):
        mine = lane()
        refuse(mine, 10.0)
        mine.begin(ONE)
        lifted(mine)
        assert mine.brake(OTHER, 11.0) is None
        assert refuse(mine, 100.0) == 30.0


def test_a_source_is_looked_at_every_two_seconds_at_most_and_only_where_it_may_have_changed() -> None:
    mine = lane()
    mine.changeable = True
    assert not mine.may_look(0.0), "nothing was refused"
    mine.refuse(b"secret")
    assert [mine.may_look(at) for at in (10.0, 11.9, 12.0, 13.0, 14.0)] == [True, False, True, False, True]
    mine.changeable = False
    assert not mine.may_look(100.0), "a fixed secret is the same next time"


def test_a_flight_is_the_probe_of_its_endpoint_and_makes_room_when_it_ends() -> None:
    mine = lane(down(10.0))
    mine.begin(ONE)
    assert mine.health.probe == ONE
    mine.end(ONE)
    assert mine.health.probe is None
    assert mine.brake(ONE, 10.0) is not None, "the lane asks its endpoint"
