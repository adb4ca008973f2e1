"""A secret shows only where it is asked for by name."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import pprint
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenflight.errors import ConfigurationError
from tokenflight.model.secret import Secret, secret_source

CANARY = "canary-s3cret"


def test_reveal_gives_the_string() -> None:
    assert Secret(CANARY).reveal() == CANARY


@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        ascii,
        format,
        "{}".format,
        "{!r:>20}".format,
        "{:40}".format,
        pprint.pformat,
        lambda secret: f"{secret}",
        "%s".__mod__,
        "%r".__mod__,
        lambda secret: repr([secret, {"k": secret}]),
        lambda secret: logging.LogRecord("n", 10, "p", 1, "%s", (secret,), None).getMessage(),
        lambda secret: str(ValueError(secret)),
    ],
)
def test_nothing_shows_it(show: Any) -> None:
    assert CANARY not in show(Secret(CANARY))
    assert "***" in show(Secret(CANARY))


@pytest.mark.parametrize(
    "serialize", [json.dumps, *(lambda s, p=p: pickle.dumps(s, protocol=p) for p in range(6)), vars]
)
def test_nothing_serializes_it(serialize: Any) -> None:
    with pytest.raises(TypeError) as caught:
        serialize(Secret(CANARY))

    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    "use", [lambda s: s + "", lambda s: s[0], len, iter, sorted, int, "".join, lambda s: [s, s].sort()]
)
def test_an_operation_that_it_lacks_does_not_show_it_either(use: Any) -> None:
    with pytest.raises(TypeError) as caught:
        use(Secret(CANARY))

    assert CANARY not in str(caught.value)


def test_a_copy_is_the_secret_itself() -> None:
    secret = Secret(CANARY)

    assert copy.copy(secret) is secret
    assert copy.deepcopy([secret])[0] is secret


def test_a_secret_of_a_secret_is_the_same_string() -> None:
    assert Secret(Secret(CANARY)).reveal() == CANARY


@given(st.text(min_size=1), st.text(min_size=1))
def test_equal_strings_are_equal_secrets(one: str, other: str) -> None:
    assert (Secret(one) == Secret(other)) == (one == other)
    assert hash(Secret(one)) == hash(Secret(one))


def test_a_lone_surrogate_is_compared_too() -> None:
    assert Secret("\ud800") == Secret("\ud800")
    assert Secret("\ud800") != Secret("\ud801")


def test_a_secret_is_no_string() -> None:
    assert Secret(CANARY) != CANARY
    assert CANARY not in {Secret(CANARY)}


@pytest.mark.parametrize("wrong", [None, b"canary-bytes", 7, ["canary"], Path("canary")])
def test_what_is_no_string_is_refused_and_not_shown(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="decode it first") as caught:
        Secret(wrong)

    assert "canary" not in str(caught.value)


def test_an_empty_secret_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="check where it is read from"):
        Secret("")


def test_a_source_may_be_a_string_a_secret_a_path_or_a_callable() -> None:
    def read() -> str:
        return CANARY

    assert secret_source(CANARY) == Secret(CANARY)
    assert secret_source(Secret(CANARY)) == Secret(CANARY)
    assert secret_source(Path("f")) == Path("f")
    assert secret_source(read) is read


@pytest.mark.parametrize("wrong", [None, b"canary", 7, {"canary": 1}])
def test_another_source_is_refused_and_not_shown(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="pass one of these") as caught:
        secret_source(wrong)

    assert "canary" not in str(caught.value)
