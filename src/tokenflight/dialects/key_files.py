"""Key files: the JSON that a provider's console hands out with a private key in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen

from tokenflight.errors import ConfigurationError


@frozen
class KeyFile:
    """What a key file says; the repr shows nothing of it. `what` and `where` are for error messages."""

    members: Mapping[str, Any] = field(repr=False)
    what: str
    where: str

    @classmethod
    def read(cls, given: Mapping[str, Any] | str | Path, *, what: str, where: str) -> KeyFile:
        """Take a file's path, its text, or what its JSON says; a file is read at once.

        Raises ConfigurationError, which shows nothing of the content, for what is no JSON object.
        """
        members: Any = given
        if isinstance(given, Path):
            members = _loaded(_text(given, what), what, where)
        elif isinstance(given, str):
            members = _loaded(given, what, where)
        if not isinstance(members, Mapping):
            raise ConfigurationError(f"{what} is a JSON object, not {type(members).__name__}: get one from {where}")
        return cls(members, what, where)

    def text(self, *path: str) -> str:
        """Return the text at *path*, name below name. Raises ConfigurationError that says what is missing."""
        value: Any = self.members
        for name in path:
            value = value.get(name) if isinstance(value, Mapping) else None
        if not isinstance(value, str) or not value:
            raise ConfigurationError(f"{self.what} has no {'.'.join(path)}: get a whole one from {self.where}")
        return value


def _text(path: Path, what: str) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, ValueError) as error:
        kind = type(error).__name__
    raise ConfigurationError(f"{what} cannot be read from {path} ({kind}): check path, rights and encoding")


def _loaded(text: str, what: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    raise ConfigurationError(
        f"{what} is JSON, and this is none: pass the file's text, Path(...) to read it, or get one from {where}"
    )
