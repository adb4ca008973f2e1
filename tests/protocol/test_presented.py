from __future__ import annotations

from pathlib import Path

import pytest
from tests.kit.attempts import attempt, finished
from tests.kit.keys import peek, pem

from tokenflight.errors import ConfigurationError
from tokenflight.model.subject_token import SubjectToken
from tokenflight.model.token import Token
from tokenflight.protocol.assertions import Assertion
from tokenflight.protocol.presented import presented_token


class Parent:
    """A source of tokens."""

    async def token(self) -> Token:
        return Token("from a source")

    async def renew(self, rejected: Token | None = None, *, origin: str | None = None) -> Token:
        return Token("another")


def test_a_subject_token_is_asked_for_wherever_it_comes_from(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("from a file\n")

    async def later() -> str:
        return "from a callable"

    for source, text in (
        ("by value", "by value"),
        (path, "from a file"),
        (later, "from a callable"),
        (Parent(), "from a source"),
    ):
        assert finished(presented_token(attempt(), SubjectToken(source))) == text


def test_an_assertion_is_made_for_the_attempt() -> None:
    at = attempt()

    text = finished(presented_token(at, SubjectToken(Assertion(pem(), subject="7"))))

    assert peek(text)[1]["sub"] == "7"
    assert at.dated


def test_a_token_without_utf8_form_is_refused_and_not_shown() -> None:
    with pytest.raises(ConfigurationError, match="check its source") as caught:
        finished(presented_token(attempt(), SubjectToken("CNRY\ud800")))
    assert "CNRY" not in str(caught.value)
