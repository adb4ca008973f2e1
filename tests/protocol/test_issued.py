from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenflight.protocol.issued import Issued, Unusable, read_issued, seconds

NONE: frozenset[str] = frozenset()
GOOD: dict[str, Any] = {"access_token": "t", "token_type": "bearer", "expires_in": 60}


def issued(requested: frozenset[str] = NONE, **fields: Any) -> Issued:
    read = read_issued(GOOD | fields, requested=requested)
    assert isinstance(read, Issued)
    return read


@pytest.mark.parametrize(
    ("value", "lifetime", "oddity"),
    [
        (3600, 3600.0, None),
        (3600.0, 3600.0, None),
        (1, 1.0, None),
        (1e308, 1e308, None),
        ("3600", 3600.0, "expires_in is a string"),
        ("3600.5", 3600.5, "expires_in is a string"),
        (" 3600 \n", 3600.0, "expires_in is a string"),
        ("0007", 7.0, "expires_in is a string"),
        (0, 0.0, "expires_in is below one second"),
        (-0.0, 0.0, "expires_in is below one second"),
        (0.5, 0.5, "expires_in is below one second"),
        (-1, None, "expires_in is no number of seconds but a number out of range"),
        (-0.5, None, "expires_in is no number of seconds but a number out of range"),
        (math.nan, None, "expires_in is no number of seconds but a number out of range"),
        (math.inf, None, "expires_in is no number of seconds but a number out of range"),
        (10**309, None, "expires_in is no number of seconds but a number out of range"),
        pytest.param(10**5000, None, "expires_in is no number of seconds but a number out of range", id="5000 digits"),
        (True, None, "expires_in is no number of seconds but a boolean"),
        (False, None, "expires_in is no number of seconds but a boolean"),
        (None, None, "expires_in is no number of seconds but null"),
        ([], None, "expires_in is no number of seconds but a list"),
        ({}, None, "expires_in is no number of seconds but an object"),
        ("", None, "expires_in is no number of seconds but a string"),
        ("soon", None, "expires_in is no number of seconds but a string"),
        ("-1", None, "expires_in is no number of seconds but a string"),
        ("+1", None, "expires_in is no number of seconds but a string"),
        ("1e3", None, "expires_in is no number of seconds but a string"),
        ("0x10", None, "expires_in is no number of seconds but a string"),
        ("1_000", None, "expires_in is no number of seconds but a string"),
        ("٣٦٠٠", None, "expires_in is no number of seconds but a string"),
        (".5", None, "expires_in is no number of seconds but a string"),
        ("NaN", None, "expires_in is no number of seconds but a string"),
        ("inf", None, "expires_in is no number of seconds but a string"),
        pytest.param("9" * 5000, None, "expires_in is no number of seconds but a string", id="5000 digits in a string"),
        ("2026-01-01T00:00:00Z", None, "expires_in is no number of seconds but a string"),
    ],
)
def test_expires_in_is_seconds_or_missing(value: Any, lifetime: float | None, oddity: str | None) -> None:
    read = issued(expires_in=value)

    assert read.expires_in == lifetime
    assert read.oddities == (() if oddity is None else (oddity,))


def test_a_short_lifetime_told_as_a_string_is_odd_twice() -> None:
    assert issued(expires_in="0").oddities == ("expires_in is a string", "expires_in is below one second")


def test_a_missing_expires_in_is_odd() -> None:
    read = read_issued({"access_token": "t", "token_type": "Bearer"}, requested=NONE)

    assert isinstance(read, Issued)
    assert (read.expires_in, read.oddities) == (None, ("expires_in is missing",))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.from_regex(r"\A[0-9]+(\.[0-9]+)?\Z"),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(ANYTHING)
def test_seconds_are_finite_and_not_negative_whatever_comes(value: object) -> None:
    read = seconds(value)

    assert read is None or (type(read) is float and math.isfinite(read) and read >= 0)


@given(st.dictionaries(st.sampled_from(sorted({*GOOD, "refresh_token", "scope", "refresh_in"})), ANYTHING))
def test_whatever_the_fields_are_a_token_is_either_usable_or_not(fields: dict[str, Any]) -> None:
    read = read_issued(fields, requested=frozenset({"a"}))

    assert isinstance(read, Issued | Unusable)


@pytest.mark.parametrize("token_type", ["bearer", "Bearer", "BEARER", " bearer "])
def test_bearer_is_bearer_in_any_case(token_type: str) -> None:
    assert (issued(token_type=token_type).token_type, issued(token_type=token_type).oddities) == ("Bearer", ())


@pytest.mark.parametrize("fields", [{}, {"token_type": None}, {"token_type": ""}])
def test_a_missing_token_type_is_bearer_and_odd(fields: dict[str, Any]) -> None:
    read = read_issued({"access_token": "t", "expires_in": 60} | fields, requested=NONE)

    assert isinstance(read, Issued)
    assert (read.token_type, read.oddities) == ("Bearer", ("token_type is missing",))


@pytest.mark.parametrize(
    ("token_type", "lasting"), [("DPoP", True), ("N_A", True), ("mac", True), (7, False), ([], False)]
)
def test_another_token_type_makes_no_header(token_type: Any, lasting: bool) -> None:
    read = read_issued(GOOD | {"token_type": token_type}, requested=NONE)

    assert isinstance(read, Unusable)
    assert read.lasting is lasting


@pytest.mark.parametrize(
    ("told", "granted", "oddities"),
    [
        (None, {"a", "b"}, ()),
        ("a b", {"a", "b"}, ()),
        ("b  a\tc", {"a", "b", "c"}, ()),
        (["b", "a"], {"a", "b"}, ()),
        ("a", {"a"}, ("scope lacks b",)),
        ("", set(), ("scope lacks a b",)),
        ([], set(), ("scope lacks a b",)),
        ("a,b", {"a,b"}, ("scope lacks a b",)),
        ('a b "c"', {"a", "b"}, ("scope has names that are none",)),
        (["a", "b", "", "x y", "ü", "\ud800"], {"a", "b"}, ("scope has names that are none",)),
        (7, {"a", "b"}, ("scope is neither a string nor a list of strings but a number out of range",)),
        (True, {"a", "b"}, ("scope is neither a string nor a list of strings but a boolean",)),
        ({"a": 1}, {"a", "b"}, ("scope is neither a string nor a list of strings but an object",)),
        (["a", 7], {"a", "b"}, ("scope is neither a string nor a list of strings but a list",)),
    ],
)
def test_scope_is_what_was_granted_and_as_requested_where_it_cannot_be_read(
    told: Any, granted: set[str], oddities: tuple[str, ...]
) -> None:
    read = issued(frozenset({"a", "b"}), scope=told)

    assert (read.scope, read.oddities) == (granted, oddities)


@pytest.mark.parametrize(
    ("told", "kept", "odd"),
    [("r", "r", False), (None, None, False), ("", None, True), (7, None, True), ("r\n", None, True)],
)
def test_a_refresh_token_is_kept_where_it_can_be_sent(told: Any, kept: str | None, odd: bool) -> None:
    read = issued(refresh_token=told)

    assert read.refresh_token == kept
    assert read.oddities == (("refresh_token is unusable",) if odd else ())


@pytest.mark.parametrize(
    ("told", "wish", "odd"), [(1800, 1800.0, False), ("1800", 1800.0, False), (None, None, False), (-1, None, True)]
)
def test_refresh_in_is_a_wish_that_may_be_missing(told: Any, wish: float | None, odd: bool) -> None:
    read = issued(refresh_in=told)

    assert (read.refresh_in, bool(read.oddities)) == (wish, odd)


def test_other_fields_are_kept_and_shown_by_name_only() -> None:
    read = issued(id_token="CNRY-id", restricted_to=[])

    assert read.extra == {"id_token": "CNRY-id", "restricted_to": []}
    assert repr(read) == (
        "Issued(Bearer ***, expires_in=60.0, scope='', extra=['id_token', 'restricted_to'], oddities=[])"
    )


def test_a_name_that_repeats_a_secret_is_left_out_of_what_logs_show() -> None:
    token, secret = "CNRY-token-1", "CNRY-secret-1"
    fields = GOOD | {
        "access_token": token,
        "scope": f"a {token} b/{secret}",
        secret: 1,
        "kept": 2,
        "refresh_token": "r",
    }

    read = read_issued(fields, requested=NONE, secrets=[secret])

    assert isinstance(read, Issued)
    assert (read.scope, read.extra) == ({"a"}, {"kept": 2})
    assert read.oddities == ("a scope or a field is named like a secret",)


def test_a_secret_of_a_few_letters_hides_no_name() -> None:
    assert issued(scope="the scope", t=1).scope == {"the", "scope"}
