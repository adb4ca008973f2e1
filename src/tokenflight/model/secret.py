"""Secret: a string that has to be asked for by name before it shows."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

from tokenflight.errors import ConfigurationError


class Secret:
    """Hold a string so that nothing prints, formats, serializes or compares it by accident.

    `reveal()` gives the string. `repr`, `str` and `format` give `***`; json and pickle raise TypeError; a copy is the
    secret itself; comparison takes constant time.
    """

    __slots__ = ("__value",)

    def __init__(self, value: str | Secret) -> None:
        if isinstance(value, Secret):
            value = value.reveal()
        if not isinstance(value, str):
            raise ConfigurationError(f"a secret is a str, not {type(value).__name__}: decode it first")
        if not value:
            raise ConfigurationError("a secret is empty: check where it is read from")
        self.__value = value

    def reveal(self) -> str:
        """Return the string itself."""
        return self.__value

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(_octets(self.__value), _octets(other.__value))

    def __hash__(self) -> int:
        return hash(self.__value)

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Secret:
        return self

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a Secret is not serialized: call reveal() where the string itself is wanted")


SecretSource: TypeAlias = Secret | str | Path | Callable[[], "str | Secret | Awaitable[str | Secret]"]
"""Where a secret comes from: itself, a file, or a callable (sync or async). The last two are read on each attempt."""


def secret_source(value: SecretSource) -> Secret | Path | Callable[[], Any]:
    """Take what a user passed as a secret: a str becomes a Secret, a Path or callable is kept to be read later.

    Raises ConfigurationError for anything else, without showing it.
    """
    if isinstance(value, str | Secret):
        return Secret(value)
    if isinstance(value, Path) or callable(value):
        return value
    raise ConfigurationError(
        f"a secret is a str, a Secret, a Path or a callable, not {type(value).__name__}: pass one of these"
    )


def _octets(value: str) -> bytes:
    return value.encode("utf-8", "surrogatepass")
