"""The windows of a life and the pauses between tries, for any lifetime."""

from __future__ import annotations

import math
import random
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenflight.errors import ConfigurationError
from tokenflight.model.policy import (
    MAX_LIFETIME,
    Draw,
    Life,
    RefreshPolicy,
    RetryPolicy,
    Span,
    as_float,
    attempt_limit,
    backoff_alive,
    backoff_permanent,
    backoff_without,
    clamp,
    count,
    judge,
    live,
    rejection_pause,
    rejection_window,
    retry_pause,
    seconds,
    server_pause,
)

DEFAULT = RefreshPolicy()
RETRY = RetryPolicy()
TEN_YEARS = 10 * 365.25 * 86_400.0

lifetimes = st.floats(0.0, TEN_YEARS)
starts = st.floats(0.0, 1e9)
shares = st.floats(0.0, 1.0)


def at(share: float) -> Draw:
    """Return a draw that always lands at *share* of the way from low to high."""
    return lambda low, high: low + share * (high - low)


@st.composite
def policies(draw: st.DrawFn) -> RefreshPolicy:
    fields = draw(
        st.fixed_dictionaries(
            {
                "early": st.floats(0.0, 0.99),
                "spread": shares,
                "early_cap": st.floats(0.0, 1e6),
                "hard_margin": st.floats(0.0, 0.99),
                "hard_margin_cap": st.floats(0.0, 1e4),
            }
        )
    )
    try:
        return RefreshPolicy(**fields)  # type: ignore[arg-type]
    except ConfigurationError:
        return DEFAULT


@given(lifetimes, starts, shares)
def test_due_comes_before_urgent_and_urgent_before_the_end(lifetime: float, start: float, share: float) -> None:
    life = live(DEFAULT, sent_at=start, lifetime=lifetime, draw=at(share))

    assert start <= life.due_at <= life.urgent_at <= life.expires_at
    if lifetime > 1.0:
        assert start < life.due_at < life.urgent_at < life.expires_at


@given(policies(), lifetimes, starts, shares, st.none() | st.floats(-10.0, TEN_YEARS))
def test_no_policy_that_is_allowed_lets_urgent_come_first(
    policy: RefreshPolicy, lifetime: float, start: float, share: float, refresh_in: float | None
) -> None:
    life = live(policy, sent_at=start, lifetime=lifetime, draw=at(share), refresh_in=refresh_in)

    assert life.due_at <= life.urgent_at <= life.expires_at


@given(starts, shares, st.none() | st.floats(0.0, 1e6))
def test_an_unknown_lifetime_is_never_urgent_and_never_ends(start: float, share: float, default: float | None) -> None:
    life = live(DEFAULT, sent_at=start, lifetime=None, draw=at(share), default_lifetime=default)

    assert start < life.due_at
    assert life.urgent_at == life.expires_at == math.inf
    assert judge(life, 1e300) == ("fresh" if default is None else "due")


@pytest.mark.parametrize(
    ("lifetime", "length"), [(0.0, 1.0), (-7.0, 1.0), (0.5, 1.0), (1e12, MAX_LIFETIME), (60.0, 60.0)]
)
def test_a_lifetime_is_kept_between_a_second_and_ten_years(lifetime: float, length: float) -> None:
    life = live(DEFAULT, sent_at=5.0, lifetime=lifetime, draw=at(0))

    assert (life.length, life.expires_at) == (length, 5.0 + length)


@pytest.mark.parametrize(
    ("lifetime", "earliest", "latest", "margin"),
    [
        (10.0, 3.5, 1.995, 1.0),
        (300.0, 105.0, 59.85, 30.0),
        (3_600.0, 1_260.0, 718.2, 30.0),
        (86_400.0, 3_600.0, 2_052.0, 30.0),
    ],
)
def test_the_windows_are_shares_with_caps(lifetime: float, earliest: float, latest: float, margin: float) -> None:
    first = live(DEFAULT, sent_at=0.0, lifetime=lifetime, draw=at(1))
    last = live(DEFAULT, sent_at=0.0, lifetime=lifetime, draw=at(0))

    assert lifetime - first.due_at == pytest.approx(earliest)
    assert lifetime - last.due_at == pytest.approx(latest)
    assert lifetime - first.urgent_at == pytest.approx(margin)


def test_the_moment_is_drawn_once_and_spread() -> None:
    draws: list[tuple[float, float]] = []
    generator = random.Random(1)

    def draw(low: float, high: float) -> float:
        draws.append((low, high))
        return generator.uniform(low, high)

    moments = {live(DEFAULT, sent_at=0.0, lifetime=3_600.0, draw=draw).due_at for _ in range(100)}

    assert len(moments) == len(draws) == 100
    assert set(draws) == {(1.0 - 0.43, 1.0)}


@pytest.mark.parametrize(
    ("refresh_in", "share", "due"),
    [(1_000.0, 0.0, 1_000.0), (1_000.0, 1.0, 1_260.0), (3_500.0, 0.0, 3_060.0), (0.0, 0.0, 0.0), (0.0, 1.0, 360.0)],
)
def test_the_servers_wish_is_followed_up_to_85_percent_of_the_life(refresh_in: float, share: float, due: float) -> None:
    life = live(DEFAULT, sent_at=0.0, lifetime=3_600.0, draw=at(share), refresh_in=refresh_in)

    assert life.due_at == pytest.approx(due)


@pytest.mark.parametrize("refresh_in", [-1.0, 3_600.0, 1e9])
def test_a_wish_that_makes_no_sense_is_left(refresh_in: float) -> None:
    life = live(DEFAULT, sent_at=0.0, lifetime=3_600.0, draw=at(1), refresh_in=refresh_in)

    assert life.due_at == 3_600.0 - 1_260.0


def test_an_unknown_lifetime_is_due_once_per_default() -> None:
    life = live(DEFAULT, sent_at=100.0, lifetime=None, draw=at(0), default_lifetime=300.0)

    assert (life.due_at, life.length) == (400.0, 300.0)


@pytest.mark.parametrize(
    ("now", "verdict"),
    [
        (0.0, "fresh"),
        (59.999, "fresh"),
        (60.0, "due"),
        (89.999, "due"),
        (90.0, "urgent"),
        (99.999, "urgent"),
        (100.0, "expired"),
    ],
)
def test_a_verdict_begins_at_its_moment(now: float, verdict: str) -> None:
    assert judge(Life(0.0, 60.0, Span(100.0, 90.0, 100.0)), now) == verdict


def test_no_life_is_none() -> None:
    assert judge(None, 0.0) == "none"


@pytest.mark.parametrize(("length", "until"), [(1.0, 11.0), (20.0, 11.0), (100.0, 15.0), (math.inf, math.inf)])
def test_pace_is_a_second_or_a_twentieth(length: float, until: float) -> None:
    assert Life(10.0, 0.0, Span(length, 0.0, 0.0)).paced_until == until


@pytest.mark.parametrize(
    "fields",
    [
        {"early": 0.1},
        {"early": 0.0},
        {"hard_margin": 0.2},
        {"spread": 1.0},
        {"spread": 0.8},
        {"early_cap": 52.0},
        {"early_cap": 0.0},
        {"hard_margin_cap": 3_000.0},
    ],
)
def test_a_policy_in_which_urgent_could_come_first_is_refused(fields: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match="raise early or early_cap, or lower spread"):
        RefreshPolicy(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "fields",
    [
        {"early": 0.0, "hard_margin": 0.0},
        {"early_cap": 5.0, "hard_margin": 0.0},
        {"early_cap": math.inf},
        {"spread": 1.0, "hard_margin": 0.0, "early_cap": math.inf},
        {"spread": 0, "early": 0.5, "hard_margin": 0.5},
        {"early_cap": 10**3},
        {"proactive": False},
    ],
)
def test_a_policy_that_can_work_is_taken(fields: dict[str, Any]) -> None:
    life = live(RefreshPolicy(**fields), sent_at=0.0, lifetime=3_600.0, draw=at(0))

    assert life.due_at <= life.urgent_at <= life.expires_at


WRONG_NUMBERS = [math.nan, -0.1, -1, True, "0.5", None, 10**400, -(10**400), 1j]


@pytest.mark.parametrize("name", ["early", "spread", "early_cap", "hard_margin", "hard_margin_cap"])
@pytest.mark.parametrize("wrong", WRONG_NUMBERS)
def test_each_number_of_a_refresh_policy_is_checked(name: str, wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=r": (pass|set it to) "):
        RefreshPolicy(**{name: wrong})


@pytest.mark.parametrize(("name", "wrong"), [("early", 1.0), ("hard_margin", 1.0), ("spread", 1.01), ("early", 35)])
def test_a_share_is_below_the_whole(name: str, wrong: float) -> None:
    with pytest.raises(ConfigurationError, match=rf"^{name}=.* out of range: set it to at least"):
        RefreshPolicy(**{name: wrong})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["base", "cap", "attempt_timeout", "total_timeout"])
@pytest.mark.parametrize("wrong", [*WRONG_NUMBERS, 0, 0.0, 3_601, math.inf])
def test_each_number_of_a_retry_policy_is_checked(name: str, wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=r": (pass|set it to) "):
        RetryPolicy(**{name: wrong})


@pytest.mark.parametrize("wrong", [0, -1, True, 1.0, "3", None])
def test_a_retry_policy_tries_at_least_once(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="set it to 1 or more"):
        RetryPolicy(attempts=wrong)


@pytest.mark.parametrize("policy", [DEFAULT, RETRY])
def test_a_policy_is_a_value(policy: Any) -> None:
    assert policy == type(policy)()
    assert hash(policy) == hash(type(policy)())
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        policy.attempts = 1


@pytest.mark.parametrize(
    ("value", "number"),
    [(1, 1.0), (2.5, 2.5), (-(10**300), -1e300), (True, None), ("1", None), (None, None), (10**400, None)],
)
def test_a_number_is_one_that_a_float_can_hold(value: object, number: float | None) -> None:
    assert as_float(value) == number


def test_clamp_stays_between() -> None:
    assert [clamp(value, 1.0, 3.0) for value in (0.0, 2.0, 9.0)] == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(("left", "limit"), [(None, 10.0), (0.0, 0.25), (0.3, 0.25), (6.0, 2.0), (100.0, 10.0)])
def test_an_attempt_takes_a_third_of_what_is_left(left: float | None, limit: float) -> None:
    assert attempt_limit(left, RETRY) == limit


def test_a_short_attempt_timeout_stays_the_longest() -> None:
    assert attempt_limit(0.3, RetryPolicy(attempt_timeout=0.1)) == 0.1


@pytest.mark.parametrize(("failed", "most"), [(1, 0.5), (2, 1.0), (4, 4.0), (5, 5.0), (10_000, 5.0)])
def test_the_pause_of_waiters_is_full_jitter(failed: int, most: float) -> None:
    assert retry_pause(failed, RETRY, at(0)) == 0.0
    assert retry_pause(failed, RETRY, at(1)) == most


@pytest.mark.parametrize(
    ("failures", "left", "length", "pause"),
    [
        (1, 1_000.0, 3_600.0, 10.0),  # base: a hundredth, 10 s at most
        (3, 1_000.0, 3_600.0, 40.0),
        (9, 1_200.0, 3_600.0, 300.0),  # cap: 300 s
        (9, 600.0, 3_600.0, 200.0),  # or a third of what is left
        (9, 3.0, 3_600.0, 30.0),  # but not below 30 s of an hour
        (1, 3.0, 10.0, 0.5),
        (5, 3.0, 10.0, 1.0),
        (1, 0.5, 2.0, 0.1),  # a short life: both constants shrink with it
        (5, 0.1, 2.0, 0.1),
        (1, math.inf, math.inf, 2.0),
        (10_000, math.inf, math.inf, 300.0),
    ],
)
def test_a_live_tokens_next_try_follows_its_length_and_rest(
    failures: int, left: float, length: float, pause: float
) -> None:
    assert backoff_alive(failures, left=left, length=length, draw=at(1)) == pytest.approx(pause)
    assert backoff_alive(failures, left=left, length=length, draw=at(0)) == pytest.approx(pause / 2)


@pytest.mark.parametrize(("failures", "pause"), [(1, 1.0), (2, 2.0), (3, 4.0), (4, 5.0), (10_000, 5.0)])
def test_without_a_token_the_pause_is_five_seconds_at_most(failures: int, pause: float) -> None:
    assert backoff_without(failures, RETRY, at(1)) == pause
    assert backoff_without(failures, RETRY, at(0)) == pause / 2


@pytest.mark.parametrize(("refusals", "pause"), [(1, 30.0), (2, 60.0), (4, 240.0), (5, 300.0), (10_000, 300.0)])
def test_a_refusal_holds_back_from_half_a_minute_to_five(refusals: int, pause: float) -> None:
    assert backoff_permanent(refusals, at(1)) == pause
    assert backoff_permanent(refusals, at(0)) == pause * 0.75


@pytest.mark.parametrize(
    ("asked", "repeats", "pause"),
    [(5.0, 1, 5.0), (900.0, 1, 600.0), (900.0, 2, 900.0), (3_000.0, 2, 1_200.0), (0.0, 9, 0.0)],
)
def test_a_servers_word_is_obeyed_up_to_ten_minutes_and_longer_when_repeated(
    asked: float, repeats: int, pause: float
) -> None:
    assert server_pause(asked, repeats) == pause


@pytest.mark.parametrize(("length", "window"), [(1.0, 1.0), (60.0, 6.0), (3_600.0, 60.0), (math.inf, 60.0)])
def test_a_fresh_token_is_one_younger_than_a_tenth(length: float, window: float) -> None:
    assert rejection_window(length) == pytest.approx(window)


@pytest.mark.parametrize(("shut", "pause"), [(1, 60.0), (2, 120.0), (4, 480.0), (5, 600.0), (99, 600.0)])
def test_renewals_are_shut_for_one_to_ten_minutes(shut: int, pause: float) -> None:
    assert rejection_pause(shut) == pause


@pytest.mark.parametrize(("value", "kept"), [(0, 0.0), (2.5, 2.5), (10, 10.0)])
def test_a_length_of_time_is_taken_as_a_float(value: object, kept: float) -> None:
    assert seconds("min_ttl", value) == kept


@pytest.mark.parametrize("wrong", [-1, -0.1, math.inf, math.nan, True, "1", None, 10**400])
def test_what_is_no_length_of_time_is_refused_by_its_name(wrong: object) -> None:
    with pytest.raises(ConfigurationError, match=r"^min_ttl is a number of seconds: set it to 0 or more$"):
        seconds("min_ttl", wrong)


def test_a_count_is_taken_as_it_is() -> None:
    assert count("max_keys", 3) == 3


@pytest.mark.parametrize("wrong", [0, -1, True, 1.0, "1", None])
def test_what_is_no_count_is_refused_by_its_name(wrong: object) -> None:
    with pytest.raises(ConfigurationError, match=r"^max_keys is a whole number: set it to 1 or more$"):
        count("max_keys", wrong)


def test_no_life_goes_beyond_its_bound_and_its_windows_are_shares_of_what_is_left() -> None:
    bounded = live(DEFAULT, sent_at=10.0, lifetime=3600.0, draw=at(0.0), ends_by=110.0)
    assert (bounded.expires_at, bounded.length, bounded.urgent_at) == (110.0, 100.0, 100.0)
    assert live(DEFAULT, sent_at=10.0, lifetime=60.0, draw=at(0.0), ends_by=110.0).expires_at == 70.0
    assert live(DEFAULT, sent_at=10.0, lifetime=0.2, draw=at(0.0), ends_by=10.5).expires_at == 10.5
    assert live(DEFAULT, sent_at=10.0, lifetime=None, draw=at(0.0), ends_by=110.0).expires_at == 110.0
    assert live(DEFAULT, sent_at=10.0, lifetime=60.0, draw=at(0.0), ends_by=5.0).expires_at <= 10.0


def test_a_fleeting_life_is_fresh_to_its_end() -> None:
    life = live(DEFAULT, sent_at=10.0, lifetime=100.0, draw=at(0.0), fleeting=True, refresh_in=5.0)
    assert (life.due_at, life.urgent_at, life.expires_at) == (110.0, 110.0, 110.0)
    assert (judge(life, 109.9), judge(life, 110.0)) == ("fresh", "expired")
    endless = live(DEFAULT, sent_at=10.0, lifetime=None, draw=at(0.0), default_lifetime=50.0, fleeting=True)
    assert (endless.due_at, endless.expires_at, endless.length) == (math.inf, math.inf, 50.0)
