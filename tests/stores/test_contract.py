"""Records and their names."""

from __future__ import annotations

import math
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenflight.errors import ConfigurationError
from tokenflight.model.key import Subject, TokenKey
from tokenflight.model.token import Token
from tokenflight.stores import Record, TokenRecord
from tokenflight.stores.contract import record_name


def record(**fields: Any) -> Record:
    return TokenRecord(
        **{
            "key": TokenKey(client="c", subject=Subject("canary-s")),
            "token": Token("canary-t"),
            "sent_at": 0.0,
            **fields,
        }
    )


def test_a_record_shows_neither_token_nor_subject() -> None:
    assert "canary" not in repr(record())
    assert "canary" not in str(record())


def test_a_record_is_not_pickled_by_accident() -> None:
    with pytest.raises(TypeError, match="not serialized"):
        pickle.dumps(record())


def test_a_record_keeps_no_refresh_token_and_the_rest_of_the_token() -> None:
    token = Token("t", token_type="dpop", expires_in=60, scope="a", refresh_token="r", extra={"x": 1})

    kept = record(token=token).token

    assert kept.refresh_token is None
    assert (kept.header, kept.token_type) == ("DPoP t", "DPoP")
    assert (kept.scope, dict(kept.extra)) == (token.scope, {"x": 1})
    assert (kept.expires_at, kept.issued_at) == (token.expires_at, token.issued_at)


def test_a_token_without_a_refresh_token_is_kept_as_the_object_it_is() -> None:
    token = Token("t")

    assert record(token=token).token is token


@pytest.mark.parametrize(("lifetime", "end"), [(None, None), (60.0, 1_060.0), (0.2, 1_001.0), (-5.0, 1_001.0)])
def test_a_record_ends_when_its_token_is_used_no_longer(lifetime: float | None, end: float | None) -> None:
    assert record(sent_at=1_000.0, lifetime=lifetime).expires_at == end


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        *[("generation", wrong) for wrong in (0, -1, True, 1.0, "1", None)],
        *[("schema", wrong) for wrong in (0, "1", True)],
        *[("sent_at", wrong) for wrong in (None, math.nan, math.inf, True, "0")],
        *[("lifetime", wrong) for wrong in (math.nan, math.inf, True, "60")],
        *[("refresh_in", wrong) for wrong in (math.nan, -math.inf, False, "60")],
    ],
)
def test_a_record_refuses_what_it_could_not_mean(field: str, wrong: object) -> None:
    with pytest.raises(ConfigurationError, match=rf"{field}.*: \w+"):
        record(**{field: wrong})


LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=5), st.binary(max_size=5)
)  # fmt: skip
HASHABLE = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3).map(tuple), st.frozensets(inner, max_size=3)),
    max_leaves=6,
)
PARTS = st.lists(st.one_of(HASHABLE, st.dictionaries(LEAVES, HASHABLE, max_size=3)), max_size=4)


def typed(part: Any) -> Any:
    """Return a value that is equal to another's exactly where the parts are, types included: 1 is not True nor 1.0."""
    match part:
        case tuple() | list():
            return ("many", tuple(map(typed, part)))
        case frozenset():
            return ("set", frozenset(map(typed, part)))
        case dict():
            return ("pairs", frozenset((typed(name), typed(value)) for name, value in part.items()))
        case _:
            return (type(part).__name__, part)


@given(PARTS, PARTS)
def test_two_names_are_equal_exactly_where_their_parts_are(one: list[Any], other: list[Any]) -> None:
    assert (record_name(one) == record_name(other)) == (typed(one) == typed(other))


@given(PARTS)
def test_a_name_is_a_function_of_its_parts(parts: list[Any]) -> None:
    assert record_name(parts) == record_name(tuple(parts))


TEXTS = [
    "",
    "a",
    "b",
    "ab",
    "a,b",
    "a\x00b",
    "a\x1fb",
    "'a', 'b'",
    "\u00e9",
    "e\u0301",
    "\ufeffa",
    "A",
    " a",
    "\ud800",
    "None",
    "1",
]
LOOKALIKES: list[Any] = [
    *[[text] for text in TEXTS],
    *[[text.encode("utf-8", "surrogatepass")] for text in TEXTS],
    [], [None], [0], [1], [-1], [256], [True], [False], [1.0], [0.0], [math.inf], [2**64], [-(2**64)], [10**5000],
    ["a", "b"], [("a", "b")], [("a",), "b"], [(("a", "b"),)], [frozenset({"a", "b"})], [{"a": "b"}], [("a", "b"), ()],
    [()], [frozenset()], [{}], [{"a": None}], [{"a": "b", "c": "d"}], [{"a": "d", "c": "b"}], [{"a": ("b", "c")}],
    ["a", None], [None, "a"], ["a", ""], ["", "a"], ["a\x00", "b"], ["a", "\x00b"],
]  # fmt: skip


def test_what_only_looks_alike_has_names_of_its_own() -> None:
    names = [record_name(parts) for parts in LOOKALIKES]

    assert len(set(names)) == len(LOOKALIKES)


def test_the_order_of_a_mapping_or_a_set_does_not_count() -> None:
    assert record_name([{"a": 1, "b": 2}]) == record_name([{"b": 2, "a": 1}])
    assert record_name([frozenset("abcdef")]) == record_name([frozenset("fedcba")])


def test_zero_has_one_name_whatever_its_sign() -> None:
    assert record_name([0.0]) == record_name([-0.0])


def test_a_name_is_64_hex_digits_and_stays_what_it_is_from_version_to_version() -> None:
    assert record_name(["orders", None, ("a", 1)]) == "b3d89f02cf524da67eeade7fd0f03becc2f398ff73709909af04dd5bde667109"


def test_another_key_gives_other_names() -> None:
    assert record_name(["a"], key=b"k") != record_name(["a"])


@pytest.mark.parametrize("wrong", [object(), ["canary"], {"canary"}, bytearray(b"canary"), Subject("canary"), 1j])
def test_what_has_no_encoding_is_refused_and_not_shown(wrong: object) -> None:
    with pytest.raises(TypeError) as caught:
        record_name(["a", (wrong,)])

    assert "canary" not in str(caught.value)
