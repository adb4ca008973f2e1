from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from tests.kit.attempts import attempt, finished
from tests.kit.keys import peek, pem

from tokenflight.errors import ConfigurationError
from tokenflight.model.secret import Secret
from tokenflight.model.subject_token import SubjectToken
from tokenflight.model.token import Token
from tokenflight.protocol.assertions import Assertion
from tokenflight.protocol.presented import presented_token
from tokenflight.testing import StaticTokenSource


def test_a_subject_token_is_read_wherever_it_comes_from(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("from a file\n")

    async def later() -> str:
        return "from a callable"

    for source, text in (
        ("by value", "by value"),
        (path, "from a file"),
        (later, "from a callable"),
    ):
        assert finished(presented_token(attempt(), SubjectToken(source))) == text


def test_a_source_is_left_to_who_has_asked_it_before_the_attempt() -> None:
    source = StaticTokenSource(Token("from a source"))
    read = []

    async def known(what: Any) -> Secret:
        read.append(what)
        return Secret("from a source")

    assert finished(presented_token(evolve(attempt(), read=known), SubjectToken(source))) == "from a source"
    assert read == [source]


def test_an_assertion_is_made_for_the_attempt() -> None:
    at = attempt()

    text = finished(presented_token(at, SubjectToken(Assertion(pem(), subject="7"))))

    assert peek(text)[1]["sub"] == "7"
    assert at.dated


def test_a_token_without_utf8_form_is_refused_and_not_shown() -> None:
    with pytest.raises(ConfigurationError, match="check its source") as caught:
        finished(presented_token(attempt(), SubjectToken("CNRY\ud800")))
    assert "CNRY" not in str(caught.value)
