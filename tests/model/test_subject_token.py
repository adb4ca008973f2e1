"""SubjectToken: equal where it presents the same, and never shown."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tokenflight import ACCESS_TOKEN, ConfigurationError, Secret, SubjectToken, Token, TokenKey
from tokenflight.model.key import as_subject
from tokenflight.model.subject_token import ID_TOKEN
from tokenflight.testing import StaticTokenSource

END = datetime(2030, 1, 1, tzinfo=UTC)


def read() -> str:
    return "from a callable"


class Unhashable:
    __hash__ = None  # type: ignore[assignment]

    def __call__(self) -> str:
        return "from an object"


class Made:
    async def made(self, attempt: Any) -> str:
        return "signed"


SOURCE = StaticTokenSource(Token("a-token"))
ODD = Unhashable()
MADE = Made()


@pytest.mark.parametrize("value", ["the-token", Path("/run/token"), read, SOURCE, ODD, MADE])
def test_one_source_is_one_subject(value: Any) -> None:
    assert SubjectToken(value) == SubjectToken(value)
    assert hash(SubjectToken(value)) == hash(SubjectToken(value))
    assert TokenKey(client="c", subject=SubjectToken(value)) == TokenKey(client="c", subject=SubjectToken(value))


def test_a_str_and_a_secret_of_it_are_one_subject() -> None:
    assert SubjectToken("the-token") == SubjectToken(Secret("the-token"))


@pytest.mark.parametrize(
    "other",
    [
        SubjectToken("another"),
        SubjectToken("the-token", type=ID_TOKEN),
        SubjectToken("the-token", expires_at=END),
        SubjectToken("the-token", actor=SubjectToken("who acts")),
        SubjectToken(read),
        SubjectToken(Unhashable()),
    ],
)
def test_whatever_differs_makes_another_subject(other: SubjectToken) -> None:
    assert SubjectToken("the-token") != other
    assert SubjectToken(ODD) != other


def test_it_is_no_plain_subject() -> None:
    assert SubjectToken("the-token") != "the-token"
    assert as_subject(SubjectToken("the-token")) == SubjectToken("the-token")


@pytest.mark.parametrize(
    ("value", "shown"),
    [(Path("/secrets/of/mine"), "'mine'"), (read, "function"), (SOURCE, "StaticTokenSource"), (MADE, "Made")],
)
def test_its_repr_names_the_kind_of_source(value: Any, shown: str) -> None:
    assert repr(SubjectToken(value)) == f"SubjectToken({shown}, type={ACCESS_TOKEN!r})"


def test_its_repr_shows_a_short_hash_and_its_actor() -> None:
    token = SubjectToken("the-very-token", type="urn:x", actor=SubjectToken("the-actor-token"))

    assert repr(token).startswith("SubjectToken(#")
    assert ", type='urn:x', actor=SubjectToken(#" in repr(token)
    assert "the-" not in repr(token)
    assert repr(token) == repr(SubjectToken("the-very-token", type="urn:x", actor=SubjectToken("the-actor-token")))


def test_a_token_by_value_is_fleeting() -> None:
    assert SubjectToken("the-token").fleeting
    assert not SubjectToken(read).fleeting


def test_it_is_immutable_copies_to_itself_and_is_not_pickled() -> None:
    token = SubjectToken("the-token")

    with pytest.raises(AttributeError, match="immutable"):
        token.type = "urn:y"
    with pytest.raises(AttributeError, match="immutable"):
        del token.type
    assert copy.copy(token) is token
    assert copy.deepcopy(token) is token
    with pytest.raises(TypeError, match="not serialized"):
        pickle.dumps(token)


@pytest.mark.parametrize("value", [None, 5, b"bytes", dict, StaticTokenSource])
def test_what_is_no_token_source_is_refused(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="pass one of these"):
        SubjectToken(value)


def test_an_empty_token_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="empty"):
        SubjectToken("")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"type": ""}, "such as ACCESS_TOKEN"),
        ({"type": 7}, "such as ACCESS_TOKEN"),
        ({"expires_at": END.replace(tzinfo=None)}, "aware"),
        ({"expires_at": 5.0}, "aware"),
        ({"actor": "a token"}, "pass SubjectToken"),
    ],
)
def test_what_cannot_be_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        SubjectToken("the-token", **fields)


def test_one_token_is_fleeting_and_a_source_of_further_ones_is_not_unless_its_actor_is() -> None:
    by_value = SubjectToken("the-token")
    for value in (Path("/run/token"), read, SOURCE, MADE):
        assert not SubjectToken(value).fleeting
        assert SubjectToken(value, actor=by_value).fleeting
        assert not TokenKey(client="c", subject=SubjectToken(value)).fleeting
    assert by_value.fleeting
    assert TokenKey(client="c", subject=by_value).fleeting
    assert not TokenKey(client="c", subject=as_subject("somebody")).fleeting
    assert not TokenKey(client="c").fleeting


def test_its_parts_are_itself_and_its_actor() -> None:
    actor = SubjectToken("the-actor")
    assert actor.parts == (actor,)
    both = SubjectToken("the-token", actor=actor)
    assert both.parts == (both, actor)
