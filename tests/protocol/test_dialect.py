from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tokenflight.errors import ConfigurationError
from tokenflight.model.key import TokenKey
from tokenflight.protocol.dialect import Dialect

KEY = TokenKey(client="c")
CANARY = "CNRY-field-77aa"


def call(dialect: Dialect, name: str) -> object:
    return {
        "form": lambda: dialect.shape(KEY, {"a": CANARY}),
        "parse": lambda: dialect.read(200, {}, {"a": CANARY}),
        "classify": lambda: dialect.code(400, "e", CANARY),
        "hint": lambda: dialect.advice(400, "e", CANARY),
    }[name]()


def failing(error: Exception) -> Callable[..., Any]:
    def function(*arguments: object) -> Any:
        raise error

    return function


NAMES = ["form", "parse", "classify", "hint"]


def test_an_empty_dialect_changes_nothing() -> None:
    dialect = Dialect()

    assert dialect.shape(KEY, {"a": "b"}) == {"a": "b"}
    assert dialect.read(200, {}, {"a": 1}) == {"a": 1}
    assert dialect.code(400, "e", "d") is None
    assert dialect.advice(400, "e", "d") is None


def test_each_function_has_its_say() -> None:
    dialect = Dialect(
        form=lambda key, fields: {**fields, "client": key.client},
        parse=lambda status, headers, fields: {**fields, "status": status, **headers},
        classify=lambda status, error, description: f"{status} {error} {description}",
        hint=lambda status, error, description: f"see {error}",
    )

    assert dialect.shape(KEY, {"a": "b"}) == {"a": "b", "client": "c"}
    assert dialect.read(201, {"x": "y"}, {"a": 1}) == {"a": 1, "status": 201, "x": "y"}
    assert dialect.code(400, "e", None) == "400 e None"
    assert dialect.advice(400, "e", None) == "see e"


@pytest.mark.parametrize("name", NAMES)
def test_a_configuration_error_comes_out_as_it_is(name: str) -> None:
    error = ConfigurationError("pass a subject")

    with pytest.raises(ConfigurationError) as caught:
        call(Dialect(**{name: failing(error)}), name)

    assert caught.value is error


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("error", [KeyError(CANARY), ValueError(CANARY), RecursionError(CANARY)], ids=repr)
def test_any_other_exception_is_told_by_its_type_and_drags_nothing_along(name: str, error: Exception) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} function raised {type(error).__name__}") as caught:
        call(Dialect(**{name: failing(error)}), name)

    assert CANARY not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("form", None),
        ("form", {"a": 1}),
        ("form", {1: "a"}),
        ("form", [("a", "b")]),
        ("parse", None),
        ("parse", {1: "a"}),
        ("parse", "text"),
        ("classify", 7),
        ("classify", {}),
        ("hint", True),
    ],
)
def test_a_result_of_the_wrong_kind_is_refused(name: str, result: object) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} function did not return .*: make it return one"):
        call(Dialect(**{name: lambda *arguments: result}), name)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_function_is_refused_at_once(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"a dialect's {name} is a function"):
        Dialect(**{name: "text"})


def test_a_function_that_changes_what_it_was_given_changes_a_copy() -> None:
    mine = {"a": "b"}

    def form(key: TokenKey, fields: dict[str, str]) -> dict[str, str]:
        fields.clear()
        return fields

    assert Dialect(form=form).shape(KEY, mine) == {}
    assert mine == {"a": "b"}


def test_dialects_are_values() -> None:
    def hint(status: int, error: str | None, description: str | None) -> None:
        return None

    assert Dialect(hint=hint) == Dialect(hint=hint)
    assert len({Dialect(hint=hint), Dialect(hint=hint), Dialect()}) == 2
