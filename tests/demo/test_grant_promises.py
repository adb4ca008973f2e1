"""The judgement of what Box and Auth0 offer beside a secret: good figures are kept, each kind of bad ones is broken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve

from tokenflight.demo import grant_promises as promises
from tokenflight.demo.grant_promises import LoggedIn, Narrowed, Organizations, SignedFor
from tokenflight.demo.promises import Promise, verdict

Judge = Callable[[Any], tuple[Promise, ...]]

SIGNED = SignedFor(subjects=2, served=2, answers=(429, 503, 200, 200), jtis=("a", "b", "c", "d"))
NARROWED = Narrowed(opened=3, kept_out=3, exchanges=(1, 1, 1), parents=1)
LOGGED_IN = LoggedIn(calls=9, served=9, tokens=(4, 5), spent=(1, 2, 1, 1), replies_lost=1, sessions=1, sessions_lost=0)
APART = Organizations(calls=4, served=4, own=4, requests=(1, 1), answers=(200, 200), jtis=("a", "b"))

GOOD: tuple[tuple[Judge, Any], ...] = (
    (promises.signed_for, SIGNED),
    (promises.signed_for, evolve(SIGNED, answers=(429, 503, 200, 200, 200), jtis=("a", "b", "c", "d", "e"))),
    (promises.narrowed, NARROWED),
    (promises.logged_in, LOGGED_IN),
    (promises.logged_in, evolve(LOGGED_IN, spent=(1, 2, 1, 1), replies_lost=2)),
    (promises.logged_in, evolve(LOGGED_IN, spent=(3, 1, 1), replies_lost=2)),
    (promises.organizations, APART),
    (promises.organizations, evolve(APART, answers=(200,) * 3, jtis=("a", "b", "c"))),
)

BAD: tuple[tuple[Judge, Any], ...] = (
    (promises.signed_for, evolve(SIGNED, served=1)),
    (promises.signed_for, evolve(SIGNED, subjects=0, served=0)),
    (promises.signed_for, evolve(SIGNED, answers=(200, 200), jtis=("a", "b"))),
    (promises.signed_for, evolve(SIGNED, answers=(429, 503, 400, 200))),
    (promises.signed_for, evolve(SIGNED, jtis=("a", "b", "c", "c"))),
    (promises.signed_for, evolve(SIGNED, jtis=("a", "b", "c"))),
    (promises.signed_for, evolve(SIGNED, answers=(), jtis=())),
    (promises.narrowed, evolve(NARROWED, opened=2)),
    (promises.narrowed, evolve(NARROWED, kept_out=2)),
    (promises.narrowed, evolve(NARROWED, exchanges=(1, 2, 1))),
    (promises.narrowed, evolve(NARROWED, exchanges=(1, 0, 1))),
    (promises.narrowed, evolve(NARROWED, parents=2)),
    (promises.narrowed, Narrowed(opened=0, kept_out=0, exchanges=(), parents=1)),
    (promises.logged_in, evolve(LOGGED_IN, served=8)),
    (promises.logged_in, evolve(LOGGED_IN, calls=0, served=0)),
    (promises.logged_in, evolve(LOGGED_IN, tokens=(4, 3))),
    (promises.logged_in, evolve(LOGGED_IN, tokens=(8,))),
    (promises.logged_in, evolve(LOGGED_IN, tokens=())),
    (promises.logged_in, evolve(LOGGED_IN, spent=(1, 2, 2, 1))),
    (promises.logged_in, evolve(LOGGED_IN, spent=(1, 1, 1, 1))),
    (promises.logged_in, evolve(LOGGED_IN, spent=(1, 2, 1, 1), replies_lost=0)),
    (promises.logged_in, evolve(LOGGED_IN, spent=(2,))),
    (promises.logged_in, evolve(LOGGED_IN, spent=())),
    (promises.logged_in, evolve(LOGGED_IN, sessions_lost=1)),
    (promises.logged_in, evolve(LOGGED_IN, sessions=0)),
    (promises.organizations, evolve(APART, served=3)),
    (promises.organizations, evolve(APART, own=3)),
    (promises.organizations, evolve(APART, calls=0, served=0, own=0)),
    (promises.organizations, evolve(APART, requests=(2, 1))),
    (promises.organizations, evolve(APART, requests=(1, 0))),
    (promises.organizations, evolve(APART, requests=(1,))),
    (promises.organizations, evolve(APART, jtis=("a", "a"))),
    (promises.organizations, evolve(APART, answers=(200, 401))),
    (promises.organizations, evolve(APART, answers=(), jtis=())),
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


def test_what_was_measured_is_said_in_figures() -> None:
    judged = [
        *promises.signed_for(SIGNED),
        *promises.narrowed(NARROWED),
        *promises.logged_in(LOGGED_IN),
        *promises.organizations(APART),
    ]

    assert [promise.measured for promise in judged] == [
        "answered 429, 503, 200, 200; 4 signed, 4 jti; 2 of 2 served",
        "3 exchanges of 1 token",
        "3 opened, 3 kept out of the next one's",
        "4 spent, 1 again; 1 reply lost",
        "0 of 1 lost, 9 calls, 0 failed, 9 tokens",
        "answered 200, 200; 2 signed, 2 jti",
        "4 of 4 calls with their own, 2 token requests",
    ]
