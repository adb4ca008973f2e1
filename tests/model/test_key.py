"""Keys: equal where the request would be, and silent about the subject."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from tokenflight.errors import ConfigurationError
from tokenflight.model import key as keys
from tokenflight.model.key import Audience, Subject, TokenKey, as_audience, as_scope, as_subject, short_hash

CANARY = "canary-subject"


def test_a_subject_is_its_id_and_type() -> None:
    assert Subject("a") == Subject("a")
    assert Subject("a", "user") != Subject("a")
    assert Subject("a", "user") != Subject("a", "enterprise")
    assert len({Subject("a"), Subject("a"), Subject("b"), Subject("a", "user")}) == 3
    assert (Subject("a", "user").id, Subject("a", "user").type) == ("a", "user")


def test_a_subject_is_no_audience_and_no_string() -> None:
    assert Subject("a") != Audience("a")
    assert Subject("a") != "a"
    assert Audience("a") != "a"


def test_a_subjects_repr_is_a_hash_that_tells_two_apart() -> None:
    assert CANARY not in repr(Subject(CANARY, "user"))
    assert repr(Subject(CANARY)) == repr(Subject(CANARY)) == f"Subject(#{short_hash(CANARY)})"
    assert repr(Subject("a")) != repr(Subject("b"))
    assert repr(Subject("a", "user")).endswith(", type='user')")


def test_an_audiences_repr_shows_it() -> None:
    assert repr(Audience("https://api")) == "Audience('https://api')"
    assert repr(Audience("https://api", "resource")) == "Audience('https://api', type='resource')"


@pytest.mark.parametrize("value", [Subject("a", "user"), Audience("a"), Audience("a", "resource")])
def test_both_copy_and_pickle(value: Any) -> None:
    assert pickle.loads(pickle.dumps(value)) == value
    assert copy.deepcopy(value) == copy.copy(value) == value


@pytest.mark.parametrize("value", [Subject("a"), Audience("a")])
def test_both_are_immutable(value: Any) -> None:
    with pytest.raises(AttributeError, match="make a new one"):
        value.type = "x"
    with pytest.raises(AttributeError, match="make a new one"):
        del value.type


@pytest.mark.parametrize("kind", [Subject, Audience])
@pytest.mark.parametrize(
    "args", [("",), (None,), (b"canary",), (7,), ("a", ""), ("a", 7), ("canary\ud800",), ("a", "\udfff")]
)
def test_what_has_no_name_is_refused_and_not_shown(kind: Any, args: Any) -> None:
    with pytest.raises(ConfigurationError, match=r": \w+") as caught:
        kind(*args)

    assert "canary" not in str(caught.value)


def test_a_keys_repr_shows_all_but_the_subject() -> None:
    key = TokenKey(client="c", subject=Subject(CANARY), audience=Audience("api"), scope=frozenset({"b", "a"}))

    assert CANARY not in repr(key)
    assert repr(key) == f"TokenKey('c', subject=Subject(#{short_hash(CANARY)}), audience='api', scope='a b')"
    assert repr(TokenKey(client="c")) == "TokenKey('c')"


def test_keys_differ_in_each_part() -> None:
    parts: dict[str, Any] = {"subject": Subject("s"), "audience": Audience("a"), "scope": frozenset({"x"})}

    different = {TokenKey(client="c"), TokenKey(client="d")} | {
        TokenKey(client="c", **{name: part}) for name, part in parts.items()
    }

    assert len(different | {TokenKey(client="c", scope=frozenset())}) == 6


def test_a_plain_string_becomes_a_subject_or_an_audience_and_the_rest_stays() -> None:
    subject, audience = Subject("s", "user"), Audience("a", "resource")

    assert as_subject("s") == Subject("s")
    assert as_subject(subject) is subject
    assert as_subject(None) is None
    assert as_audience("a") == Audience("a")
    assert as_audience(audience) is audience
    assert as_audience(None) is None


@pytest.mark.parametrize("wrong", ["", 7, b"x"])
def test_a_wrong_subject_or_audience_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError):
        as_subject(wrong)
    with pytest.raises(ConfigurationError):
        as_audience(wrong)


@pytest.mark.parametrize(
    ("value", "scope"),
    [
        ("read write", {"read", "write"}),
        ("  read   read ", {"read"}),
        ("", set()),
        ("   ", set()),
        (["read", "write"], {"read", "write"}),
        (frozenset({"a:b", "c/d"}), {"a:b", "c/d"}),
        (iter(["x"]), {"x"}),
        ([], set()),
        ({"api://x/.default"}, {"api://x/.default"}),
    ],
)
def test_a_scope_is_split_on_spaces_or_taken_item_by_item(value: Any, scope: set[str]) -> None:
    assert as_scope(value) == frozenset(scope)


def test_no_scope_stays_no_scope() -> None:
    assert as_scope(None) is None


def test_equal_scopes_are_one_object() -> None:
    assert as_scope("a b") is as_scope(["b", "a"])


def test_scopes_that_come_and_go_are_not_kept_for_ever() -> None:
    for number in range(3_000):
        as_scope(f"scope-{number}")

    assert len(keys._SCOPES) <= 1_000


@pytest.mark.parametrize(
    "wrong",
    [
        b"read",
        7,
        object(),
        ["a b"],
        [""],
        [None],
        [7],
        [["a"]],
        'a"b',
        "a\\b",
        "a\tb",
        "a\nb",
        "a\x1fb",
        "\u00e9",
        "a\u00a0b",
        b"ab",
    ],
)
def test_what_is_no_scope_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="scope"):
        as_scope(wrong)
