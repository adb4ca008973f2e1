"""The demo's judgement: good figures are a promise kept, each kind of bad ones a promise broken, and exit code 1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve

from tokenflight.demo import promises
from tokenflight.demo.promises import (
    ColdCallers,
    FirstCancelled,
    Forms,
    Outage,
    Promise,
    Revoked,
    Steady,
    Tenants,
    verdict,
)

Judge = Callable[[Any], tuple[Promise, ...]]

COLD = ColdCallers(callers=1000, served=1000, requests=1, ahead=0)
STEADY = Steady(calls=2400, served=2400, waits_after_first=0, requests={"a": 3, "b": 4}, seconds=12.1)
OUTAGE = Outage(seconds=0.6, missed=1, calls=300, served=300)
REVOKED = Revoked(calls=4, served=4, refused=4, sends=(2, 2, 2, 2), renewals=(1, 1))
CANCELLED = FirstCancelled(cancelled=True, others=99, served=99, requests=1, ahead=0)
TENANTS = Tenants(calls=6, served=6, requests=(1, 1, 1), flights=(1, 1, 1), lookups=(1, 1, 1))
FORMS = Forms(requests=300, refused=0)

GOOD: tuple[tuple[Judge, Any], ...] = (
    (promises.cold_callers, COLD),
    (promises.cold_callers, evolve(COLD, requests=2, ahead=1)),
    (promises.steady, STEADY),
    (promises.steady, evolve(STEADY, seconds=24.0, requests={"a": 4, "b": 7})),
    (promises.outage, OUTAGE),
    (promises.revoked, REVOKED),
    (promises.first_cancelled, CANCELLED),
    (promises.tenants, TENANTS),
    (promises.tenants, evolve(TENANTS, flights=(2, 1, 1))),
    (promises.forms, FORMS),
)

BAD: tuple[tuple[Judge, Any], ...] = (
    (promises.cold_callers, evolve(COLD, served=999)),
    (promises.cold_callers, evolve(COLD, requests=2)),
    (promises.cold_callers, evolve(COLD, requests=0)),
    (promises.cold_callers, evolve(COLD, callers=0, served=0)),
    (promises.steady, evolve(STEADY, served=2399)),
    (promises.steady, evolve(STEADY, calls=0, served=0)),
    (promises.steady, evolve(STEADY, waits_after_first=1)),
    (promises.steady, evolve(STEADY, requests={"a": 3, "b": 5})),
    (promises.steady, evolve(STEADY, requests={"a": 2, "b": 4})),
    (promises.steady, evolve(STEADY, requests={})),
    (promises.outage, evolve(OUTAGE, served=299)),
    (promises.outage, evolve(OUTAGE, missed=0)),
    (promises.outage, evolve(OUTAGE, seconds=0.5)),
    (promises.outage, evolve(OUTAGE, calls=0, served=0)),
    (promises.revoked, evolve(REVOKED, served=3)),
    (promises.revoked, evolve(REVOKED, sends=(2, 2, 2, 3))),
    (promises.revoked, evolve(REVOKED, sends=(2, 2, 2, 1), refused=3)),
    (promises.revoked, evolve(REVOKED, renewals=(1, 2))),
    (promises.revoked, evolve(REVOKED, renewals=(1, 0))),
    (promises.revoked, evolve(REVOKED, calls=0, served=0, refused=0, sends=(), renewals=())),
    (promises.first_cancelled, evolve(CANCELLED, cancelled=False)),
    (promises.first_cancelled, evolve(CANCELLED, served=98)),
    (promises.first_cancelled, evolve(CANCELLED, requests=2)),
    (promises.tenants, evolve(TENANTS, served=5)),
    (promises.tenants, evolve(TENANTS, requests=(1, 2, 1))),
    (promises.tenants, evolve(TENANTS, requests=(1, 0, 1))),
    (promises.tenants, evolve(TENANTS, lookups=(1, 2, 1))),
    (promises.tenants, Tenants(calls=0, served=0, requests=(), flights=(), lookups=())),
    (promises.forms, evolve(FORMS, refused=1)),
    (promises.forms, Forms(requests=0, refused=0)),
)


@pytest.mark.parametrize(("judge", "figures"), GOOD)
def test_good_figures_are_promises_kept_and_exit_code_0(judge: Judge, figures: object) -> None:
    judged = judge(figures)

    assert [promise for promise in judged if not promise.kept] == []
    assert verdict(judged) == 0


@pytest.mark.parametrize(("judge", "figures"), BAD)
def test_bad_figures_are_a_promise_broken_and_exit_code_1(judge: Judge, figures: object) -> None:
    judged = judge(figures)

    assert any(not promise.kept for promise in judged)
    assert verdict(judged) == 1


def test_one_broken_promise_among_many_is_exit_code_1_and_so_is_none_at_all() -> None:
    kept, broken = Promise("a", "1", kept=True), Promise("b", "2", kept=False)

    assert verdict((kept, kept)) == 0
    assert verdict((kept, broken, kept)) == 1
    assert verdict(()) == 1


def test_requests_by_schedule_are_told_apart_in_what_was_measured() -> None:
    (promise,) = promises.cold_callers(evolve(COLD, requests=3, ahead=2))

    assert promise.measured == "1,000 served, 1 token request and 2 by schedule"


def test_the_schedule_allows_between_one_request_a_lifetime_and_one_each_65_percent_of_it() -> None:
    assert evolve(STEADY, seconds=6.0).bounds == (1, 2)
    assert evolve(STEADY, seconds=12.1).bounds == (3, 4)
    assert evolve(STEADY, seconds=60.0).bounds == (10, 16)
