"""A token is sent, not shown; what cannot be one is refused."""

from __future__ import annotations

import copy
import json
import pickle
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenflight.errors import ConfigurationError
from tokenflight.model.secret import Secret
from tokenflight.model.token import MAX_TOKEN_LENGTH, Token, is_access_token

CANARY = "canary-t0ken"
THEN = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_token_makes_a_header() -> None:
    token = Token(CANARY)

    assert token.header == f"Bearer {CANARY}"
    assert token.access_token == Secret(CANARY)
    assert token.access_token.reveal() == CANARY


def test_a_secret_is_taken_too() -> None:
    assert Token(Secret(CANARY)).header == f"Bearer {CANARY}"


@pytest.mark.parametrize(
    "show", [repr, str, format, lambda token: f"{token!r:>9} {token}", lambda token: repr({"t": [token]})]
)
def test_nothing_shows_it(show: Any) -> None:
    token = Token(CANARY, expires_in=60, refresh_token="canary-r", scope="a", extra={"id_token": "canary-id"})

    assert "canary" not in show(token)
    assert "***" in show(token)


def test_its_repr_names_what_it_has() -> None:
    token = Token("t", expires_in=3600, issued_at=THEN, scope="b a", extra={"id_token": "x", "cost": 1})

    assert (
        repr(token)
        == "Token(Bearer ***, expires_at=2026-01-01T01:00:00+00:00, scope='a b', extra=['cost', 'id_token'])"
    )
    assert repr(Token("t")) == "Token(Bearer ***, expires_at=unknown)"


@pytest.mark.parametrize(
    "serialize", [json.dumps, *(lambda t, p=p: pickle.dumps(t, protocol=p) for p in range(6)), vars]
)
def test_nothing_serializes_it(serialize: Any) -> None:
    with pytest.raises(TypeError) as caught:
        serialize(Token(CANARY))

    assert CANARY not in str(caught.value)


def test_a_copy_is_the_token_itself() -> None:
    token = Token("t")

    assert copy.copy(token) is token
    assert copy.deepcopy({"t": token})["t"] is token


def test_it_is_immutable() -> None:
    token = Token("t", extra={"a": 1})

    with pytest.raises(AttributeError, match="make a new one"):
        token.header = "x"
    with pytest.raises(AttributeError, match="make a new one"):
        del token.scope
    with pytest.raises(TypeError):
        token.extra["a"] = 2  # type: ignore[index]


def test_extra_is_a_copy() -> None:
    fields = {"a": 1}
    token = Token("t", extra=fields)
    fields["a"] = 2

    assert token.extra["a"] == 1


@pytest.mark.parametrize(
    ("came", "kept"), [("bearer", "Bearer"), ("BEARER", "Bearer"), ("dpop", "DPoP"), ("N_A", "N_A"), ("mac", "mac")]
)
def test_a_type_is_spelled_as_a_header_wants_it(came: str, kept: str) -> None:
    token = Token("t", token_type=came)

    assert (token.token_type, token.header) == (kept, f"{kept} t")
    assert token.access_token.reveal() == "t"


def test_the_end_counts_from_when_it_was_issued() -> None:
    token = Token("t", expires_in=90.5, issued_at=THEN)

    assert token.issued_at == THEN
    assert token.expires_at == THEN + timedelta(seconds=90.5)
    assert Token("t", expires_in=-5, issued_at=THEN).expires_at == THEN - timedelta(seconds=5)


def test_without_a_word_for_the_end_there_is_none() -> None:
    assert Token("t").expires_at is None


def test_it_is_issued_now_unless_told() -> None:
    before = datetime.now(UTC)

    assert before - timedelta(seconds=1) <= Token("t").issued_at <= datetime.now(UTC) + timedelta(seconds=1)


def test_an_end_in_another_timezone_is_given_in_utc() -> None:
    token = Token("t", expires_at=datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))))

    assert token.expires_at == THEN
    assert token.expires_at.tzinfo is UTC


def test_a_scope_is_a_frozenset() -> None:
    assert Token("t", scope="a b").scope == frozenset({"a", "b"})
    assert Token("t", scope=["a"]).scope == frozenset({"a"})
    assert Token("t").scope == frozenset()


def test_a_refresh_token_is_a_secret() -> None:
    assert Token("t", refresh_token="r").refresh_token == Secret("r")
    assert Token("t").refresh_token is None


def test_tokens_are_equal_where_all_is() -> None:
    fields: dict[str, Any] = {
        "expires_in": 60,
        "issued_at": THEN,
        "scope": "a",
        "refresh_token": "r",
        "extra": {"x": 1},
    }
    token = Token("t", **fields)

    assert token == Token("t", **fields)
    assert hash(token) == hash(Token("t", **fields))
    for change in (
        {"expires_in": 61},
        {"issued_at": THEN - timedelta(1)},
        {"scope": "b"},
        {"refresh_token": None},
        {"extra": {"x": 2}},
        {"token_type": "DPoP"},
    ):
        assert token != Token("t", **{**fields, **change})
    assert token != Token("u", **fields)
    assert token != "Bearer t"


@pytest.mark.parametrize(("in_", "at"), [(1e300, "9999-12-31"), (-1e300, "0001-01-01"), (1e12, "9999-12-31")])
def test_an_end_beyond_the_calendar_is_its_last_day(in_: float, at: str) -> None:
    token = Token("t", expires_in=in_)

    assert token.expires_at is not None
    assert token.expires_at.tzinfo is UTC
    assert f"expires_at={at}T" in repr(token)


@pytest.mark.parametrize("good", ["a", "1!x-y_z.~+/==", "a b", "!" * MAX_TOKEN_LENGTH, "eyJ.eyJ.sig"])
def test_what_a_header_can_carry_is_a_token(good: str) -> None:
    assert is_access_token(good)


BAD_TOKENS = [
    "",
    " a",
    "a ",
    "a\n",
    "a\r\nX: y",
    "\x00",
    "a\x7f",
    "\u00e9",
    "a\u2028",
    "\ufeffa",
    "a" * (MAX_TOKEN_LENGTH + 1),
    None,
    7,
    b"a",
]


@pytest.mark.parametrize("bad", BAD_TOKENS)
def test_what_no_header_can_carry_is_refused_and_not_shown(bad: Any) -> None:
    assert not is_access_token(bad)
    with pytest.raises(ConfigurationError, match="check where it is from") as caught:
        Token(bad)

    assert len(str(caught.value)) < 100


@given(st.text())
def test_a_token_is_never_more_than_one_header_line(text: str) -> None:
    if is_access_token(text):
        assert text.isascii()
        assert text.isprintable()
        assert text == text.strip()


class Nowhere(tzinfo):
    """A timezone that does not know its offset, which is none."""

    def utcoffset(self, when: datetime | None) -> None: ...

    def dst(self, when: datetime | None) -> None: ...

    def tzname(self, when: datetime | None) -> None: ...


@pytest.mark.parametrize(
    "wrong",
    [
        {"token_type": ""},
        {"token_type": "two words"},
        {"token_type": "a\r\nb"},
        {"token_type": None},
        {"expires_in": 60, "expires_at": THEN},
        {"expires_at": datetime(2026, 1, 1)},  # noqa: DTZ001 - naive on purpose
        {"expires_at": datetime(2026, 1, 1, tzinfo=Nowhere())},
        {"expires_at": 1_767_225_600},
        {"issued_at": datetime(2026, 1, 1)},  # noqa: DTZ001
        {"issued_at": "2026-01-01"},
        {"expires_in": float("nan")},
        {"expires_in": float("inf")},
        {"expires_in": True},
        {"expires_in": "3600"},
        {"expires_in": 10**400},
        {"scope": "\u00e9"},
        {"scope": 7},
        {"refresh_token": ""},
        {"refresh_token": b"r"},
        {"extra": ["a"]},
        {"extra": {1: 2}},
        {"extra": None},
    ],
)
def test_each_wrong_field_is_refused_with_what_to_do(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r": .+"):
        Token("t", **wrong)


def test_alone_it_is_the_same_token_without_its_refresh_token() -> None:
    token = Token("t", expires_in=60, scope="read", refresh_token="r", extra={"n": 1})

    assert token.alone().refresh_token is None
    assert token.alone().extra == {"n": 1}
    assert (token.alone().header, token.alone().expires_at) == (token.header, token.expires_at)
    alone = token.alone()
    assert alone.alone() is alone


def test_with_extra_it_is_the_same_token_and_says_more() -> None:
    token = Token("t", expires_in=60, refresh_token="r", extra={"n": 1})

    assert token.with_extra(m=2).extra == {"n": 1, "m": 2}
    assert token.with_extra(m=2).refresh_token == token.refresh_token
