"""Dialect: how one provider deviates from the RFCs, as a value made of pure functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from attrs import field, frozen

from tokenflight.errors import ConfigurationError
from tokenflight.model.key import TokenKey

Form: TypeAlias = Callable[[TokenKey, dict[str, str]], Mapping[str, str]]
"""(key, fields) → fields: change what is sent. The key's scope is the effective one."""

Parse: TypeAlias = Callable[[int, Mapping[str, str], dict[str, Any]], Mapping[str, Any]]
"""(status, headers, fields) → fields: change what was read. Header names are lower-case."""

Classify: TypeAlias = Callable[[int, str | None, str | None], str | None]
"""(status, error, description) → an error code that counts instead, or None for what the RFCs say."""

Hint: TypeAlias = Callable[[int, str | None, str | None], str | None]
"""(status, error, description) → what to check or click, or None."""


def _is_function(instance: Dialect, attribute: Any, value: object) -> None:
    if value is not None and not callable(value):
        raise ConfigurationError(
            f"a dialect's {attribute.name} is a function, not {type(value).__name__}: pass one, or leave it out"
        )


@frozen(kw_only=True)
class Dialect:
    """A provider's deviations: pure, synchronous functions, each of which may be left out.

    Attributes:
        form: `(key, fields) → fields`, before a request is sent; it raises ConfigurationError for a key that the
            provider cannot serve.
        parse: `(status, headers, fields) → fields`, for every answer whose body holds fields, good or bad.
        classify: `(status, error, description) → error code` that counts instead of the one that was sent, whatever
            the status; `temporarily_unavailable` makes a failure transient, `slow_down` too and speaks for one key
            alone, `invalid_client` says that the client's credentials are wrong for all its keys. None leaves it to
            the RFCs.
        hint: `(status, error, description) → str`: what to check or click.

    Descriptions come cleaned: at most 512 printable characters, known secrets redacted. A function that raises
    anything but ConfigurationError, or returns something else than it should, is reported as a ConfigurationError.
    """

    form: Form | None = field(default=None, validator=_is_function)
    parse: Parse | None = field(default=None, validator=_is_function)
    classify: Classify | None = field(default=None, validator=_is_function)
    hint: Hint | None = field(default=None, validator=_is_function)

    def shape(self, key: TokenKey, fields: dict[str, str]) -> dict[str, str]:
        """Return the form as this dialect wants it."""
        if self.form is None:
            return fields
        made = _guarded("form", self.form, key, dict(fields))
        if not isinstance(made, Mapping) or not all(isinstance(text, str) for pair in made.items() for text in pair):
            raise _wrong("form", "a mapping of str to str")
        return dict(made)

    def read(self, status: int, headers: Mapping[str, str], fields: dict[str, Any]) -> dict[str, Any]:
        """Return an answer's fields as this dialect understands them."""
        if self.parse is None:
            return fields
        made = _guarded("parse", self.parse, status, headers, dict(fields))
        if not isinstance(made, Mapping) or not all(isinstance(name, str) for name in made):
            raise _wrong("parse", "a mapping with str names")
        return dict(made)

    def code(self, status: int, error: str | None, description: str | None) -> str | None:
        """Return the error code that counts instead of *error*; None leaves it alone."""
        return self._judged("classify", self.classify, status, error, description)

    def advice(self, status: int, error: str | None, description: str | None) -> str | None:
        """Return what to check or click, where this dialect knows."""
        return self._judged("hint", self.hint, status, error, description)

    @staticmethod
    def _judged(
        name: str, function: Classify | Hint | None, status: int, error: str | None, description: str | None
    ) -> str | None:
        if function is None:
            return None
        made = _guarded(name, function, status, error, description)
        if made is not None and not isinstance(made, str):
            raise _wrong(name, "a str or None")
        return made


def _guarded(name: str, function: Callable[..., object], *arguments: object) -> Any:
    """Call a user's function; what it raises is told by its type's name alone, as its text may hold anything."""
    try:
        return function(*arguments)
    except ConfigurationError:
        raise
    except Exception as error:  # a user's function may raise whatever it likes
        kind = type(error).__name__
    raise ConfigurationError(f"the dialect's {name} function raised {kind}: make it return for every input")


def _wrong(name: str, wanted: str) -> ConfigurationError:
    return ConfigurationError(f"the dialect's {name} function did not return {wanted}: make it return one")
