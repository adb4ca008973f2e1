"""When a refusal is worth a renewal: always once, and no more once an API refuses what its refusal bore."""

from __future__ import annotations

import pytest

from tokenflight.engine.rejections import ORIGINS, Rejections

API, OTHER = "https://api.test", "https://other.test"
HOUR = 3600.0


def born(at: float = 0.0, length: float = HOUR, origin: str | None = API) -> Rejections:
    rejections = Rejections()
    rejections.renewed(origin, born_at=at, length=length)
    return rejections


def test_a_first_refusal_always_renews() -> None:
    assert Rejections().shut_until(API, 0.0) is None


def test_a_young_token_that_a_refusal_bore_and_that_is_refused_again_shuts_for_a_minute() -> None:
    rejections = born()
    assert rejections.shut_until(API, 59.9) == pytest.approx(119.9)
    assert rejections.shut_until(API, 100.0) == pytest.approx(119.9), "asked again, it is not longer"


@pytest.mark.parametrize(("length", "window"), [(HOUR, 60.0), (100.0, 10.0), (5.0, 1.0), (1.0, 1.0)])
def test_young_is_a_tenth_of_the_life_between_one_second_and_a_minute(length, window) -> None:
    assert born(length=length).shut_until(API, window - 0.01) is not None
    assert born(length=length).shut_until(API, window) is None


def test_an_origin_that_always_refuses_is_asked_for_less_and_less_down_to_every_ten_minutes() -> None:
    rejections, now, pauses = Rejections(), 0.0, []
    for _ in range(6):
        rejections.renewed(API, born_at=now, length=HOUR)
        until = rejections.shut_until(API, now + 1.0)
        assert until is not None
        pauses.append(until - now - 1.0)
        assert rejections.shut_until(API, until - 0.1) == until
        assert rejections.shut_until(API, until + 60.0) is None, "its time is over: one more try"
        now = until + 60.0
    assert pauses == [60.0, 120.0, 240.0, 480.0, 600.0, 600.0]


def test_after_ten_quiet_minutes_it_starts_at_one_again() -> None:
    rejections = born()
    rejections.shut_until(API, 1.0)
    rejections.renewed(API, born_at=61.0 + 600.0, length=HOUR)
    assert rejections.shut_until(API, 662.0) == 662.0 + 120.0
    rejections.renewed(API, born_at=782.0 + 600.1, length=HOUR)
    assert rejections.shut_until(API, 1383.0) == 1383.0 + 60.0


def test_another_origin_is_not_shut_by_it() -> None:
    rejections = born()
    assert rejections.shut_until(API, 1.0) is not None
    assert rejections.shut_until(OTHER, 1.0) is None
    assert rejections.shut_until(None, 1.0) is None


def test_who_names_no_origin_is_one_of_its_own() -> None:
    assert born(origin=None).shut_until(None, 1.0) == 61.0


def test_a_token_that_the_origin_accepted_is_a_token_like_any_other() -> None:
    rejections = born()
    rejections.accepted(OTHER)
    assert rejections.shut_until(API, 1.0) is not None
    rejections.accepted(API)
    assert rejections.shut_until(API, 2.0) is None


def test_from_outside_it_is_shut_until_the_first_origin_opens() -> None:
    rejections = born()
    assert rejections.held_until(0.5) is None
    rejections.shut_until(API, 1.0)
    rejections.renewed(OTHER, born_at=10.0, length=HOUR)
    rejections.shut_until(OTHER, 11.0)
    assert rejections.held_until(12.0) == 61.0
    assert rejections.held_until(61.0) == 71.0
    assert rejections.held_until(71.0) is None


def test_of_very_many_origins_the_one_renewed_for_longest_ago_is_forgotten() -> None:
    rejections = Rejections()
    for number in range(ORIGINS):
        rejections.renewed(f"https://{number}.test", born_at=0.0, length=HOUR)
    rejections.renewed("https://0.test", born_at=0.0, length=HOUR)
    rejections.renewed("https://new.test", born_at=0.0, length=HOUR)
    assert rejections.shut_until("https://1.test", 1.0) is None
    assert rejections.shut_until("https://0.test", 1.0) is not None
    assert rejections.shut_until("https://2.test", 1.0) is not None
