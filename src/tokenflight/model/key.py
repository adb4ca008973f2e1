"""Keys: who asks, for whom, for what."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from functools import lru_cache
from typing import ClassVar, NoReturn, TypeAlias

from attrs import field, frozen

from tokenflight.errors import ConfigurationError
from tokenflight.model.subject_token import SubjectToken

_SALT = secrets.token_bytes(16)
_SCOPES: dict[frozenset[str], frozenset[str]] = {}
_MAX_INTERNED_SCOPES = 1_000
NO_SCOPE: frozenset[str] = frozenset()


class _Name:
    """A non-empty string with an optional type: the shape that Subject and Audience share."""

    __slots__ = ("_text", "type")
    _what: ClassVar[str]

    _text: str
    type: str | None

    def __init__(self, text: str, type: str | None = None) -> None:
        _checked(text, self._what)
        if type is not None:
            _checked(type, f"the type of {self._what}")
        object.__setattr__(self, "_text", text)
        object.__setattr__(self, "type", type)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{self.__class__.__name__} is immutable: make a new one")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{self.__class__.__name__} is immutable: make a new one")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Name) or self.__class__ is not other.__class__:
            return NotImplemented
        return self._text == other._text and self.type == other.type

    def __hash__(self) -> int:
        return hash((self._text, self.type))


class Subject(_Name):
    """On whose behalf: an id and, where a dialect tells kinds apart, a type.

    The repr shows a short hash that is stable within the process, never the id.
    """

    __slots__ = ()
    _what = "a subject"

    def __init__(self, id: str, type: str | None = None) -> None:
        super().__init__(id, type)

    @property
    def id(self) -> str:
        """Return the id as it goes on the wire."""
        return self._text

    def __reduce__(self) -> tuple[type[Subject], tuple[str, str | None]]:
        return Subject, (self._text, self.type)

    def __repr__(self) -> str:
        kind = f", type={self.type!r}" if self.type else ""
        return f"Subject(#{short_hash(self._text)}{kind})"


class Audience(_Name):
    """For which API: a value and, where a dialect tells kinds apart, a type."""

    __slots__ = ()
    _what = "an audience"

    def __init__(self, value: str, type: str | None = None) -> None:
        super().__init__(value, type)

    @property
    def value(self) -> str:
        """Return the value as it goes on the wire."""
        return self._text

    def __reduce__(self) -> tuple[type[Audience], tuple[str, str | None]]:
        return Audience, (self._text, self.type)

    def __repr__(self) -> str:
        kind = f", type={self.type!r}" if self.type else ""
        return f"Audience({self._text!r}{kind})"


@frozen(kw_only=True, repr=False, weakref_slot=False)
class TokenKey:
    """What a flight, a held token and a planned renewal belong to, within one provider.

    `scope` is the requested scope: a call's own, else the client's (filled in when the client is known).
    """

    client: str
    subject: Subject | SubjectToken | None = None
    audience: Audience | None = None
    scope: frozenset[str] | None = field(default=None)

    @property
    def fleeting(self) -> bool:
        """Tell whether one token alone can buy it: it is not renewed ahead, and soon let go."""
        return isinstance(self.subject, SubjectToken) and self.subject.fleeting

    def __repr__(self) -> str:
        parts = [repr(self.client)]
        if self.subject is not None:
            parts.append(f"subject={self.subject!r}")
        if self.audience is not None:
            parts.append(f"audience={self.audience.value!r}")
        if self.scope is not None:
            parts.append(f"scope={' '.join(sorted(self.scope))!r}")
        return f"TokenKey({', '.join(parts)})"


AnySubject: TypeAlias = Subject | SubjectToken
"""On whose behalf: known by an id, or by a token."""


def as_subject(value: AnySubject | str | None) -> AnySubject | None:
    """Take a plain str as a Subject's id; a token is never a plain str."""
    if value is None or isinstance(value, Subject | SubjectToken):
        return value
    return Subject(value)


def as_audience(value: Audience | str | None) -> Audience | None:
    """Take a plain str as an Audience's value; equal ones come back as one object: APIs are few and keys are many."""
    if value is None or isinstance(value, Audience):
        return value
    return _audience(value) if isinstance(value, str) else Audience(value)


_audience = lru_cache(maxsize=1_000)(Audience)


def as_scope(value: str | Iterable[str] | None) -> frozenset[str] | None:
    """Take a scope: a str is split on spaces, an iterable is one name an item; None stays None (RFC 6749, section 3.3).

    Equal scopes come back as one object. Raises ConfigurationError for a name outside `scope-token`.
    """
    if value is None:
        return None
    if not isinstance(value, str | Iterable) or isinstance(value, bytes):
        raise ConfigurationError(
            f"a scope is a str or an iterable of str, not {type(value).__name__}: pass one of these"
        )
    items = filter(None, value.split(" ")) if isinstance(value, str) else value
    names = frozenset(_scope_name(item) for item in items)
    if len(_SCOPES) >= _MAX_INTERNED_SCOPES:
        _SCOPES.clear()
    return _SCOPES.setdefault(names, names)


def short_hash(text: str) -> str:
    """Return eight hex digits that name *text* within this process and say nothing of it outside."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=4, key=_SALT).hexdigest()


def _scope_name(name: object) -> str:
    if not isinstance(name, str) or not name or any(c in '"\\' or not "!" <= c <= "~" for c in name):
        raise ConfigurationError(
            f"{name!r} is no scope: a scope is printable ASCII without space, quote or backslash; list one an item"
        )
    return name


def _checked(text: object, what: str) -> None:
    if not isinstance(text, str):
        raise ConfigurationError(f"{what} is a str, not {type(text).__name__}: pass str(...) of it")
    if not text:
        raise ConfigurationError(f"{what} is empty: leave it out or name it")
    if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
        raise ConfigurationError(f"{what} holds a lone surrogate, which has no UTF-8 form: decode its source strictly")
