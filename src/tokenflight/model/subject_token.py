"""SubjectToken: a subject known by a token of its own, which is presented to get another (RFC 8693, RFC 7523)."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol, TypeAlias, runtime_checkable

from tokenflight.errors import ConfigurationError
from tokenflight.model.secret import Secret

if TYPE_CHECKING:
    from tokenflight.model.token import Token

ACCESS_TOKEN: Final = "urn:ietf:params:oauth:token-type:access_token"
ID_TOKEN: Final = "urn:ietf:params:oauth:token-type:id_token"
"""Token types (RFC 8693, section 3)."""

_SALT: Final = secrets.token_bytes(16)


@runtime_checkable
class TokenSource(Protocol):
    """A token at once, and another one where that was refused."""

    async def token(self) -> Token:
        """Return a usable token. Raises TokenFlightError where there is none."""
        ...

    async def renew(self, rejected: Token | None = None, *, origin: str | None = None) -> Token:
        """Return another token than the one that the API at *origin* *rejected*; None: than the present one.

        Asked by many at once for one rejected token, it is renewed once. Raises TokenFlightError where it is not.
        """
        ...


@runtime_checkable
class AssertionSource(Protocol):
    """A JWT that is made anew for each request: see `tokenflight.Assertion`."""

    async def made(self, attempt: Any) -> str:
        """Return the JWT for one attempt."""
        ...


SubjectTokenSource: TypeAlias = (
    str | Secret | Path | Callable[[], "str | Secret | Awaitable[str | Secret]"] | TokenSource | AssertionSource
)
"""Where a subject token comes from; all but a str and a Secret are asked on each attempt."""


class SubjectToken:
    """A subject that is known by a token: given by value, in a file, by a callable, by a source, or as an assertion.

    Two are equal where they present the same: equal strings, files, callables, sources or assertions, as one type, with
    one end and actor. A string is compared by a hash that is keyed for this process; the repr shows eight
    hex digits of it.

    Attributes:
        value: where the token comes from.
        type: its token type (RFC 8693, section 3), a URI.
        expires_at: aware UTC, where it is known; nothing that it buys is used beyond that.
        actor: who acts for the subject, another SubjectToken (RFC 8693, section 2.1).

    Raises ConfigurationError for what is no token source, a naive datetime, and an actor that is no SubjectToken.
    """

    __slots__ = ("_mark", "actor", "expires_at", "type", "value")

    _mark: object
    value: Secret | Path | Callable[[], Any] | TokenSource | AssertionSource
    type: str
    expires_at: datetime | None
    actor: SubjectToken | None

    def __init__(
        self,
        value: SubjectTokenSource,
        *,
        type: str = ACCESS_TOKEN,
        expires_at: datetime | None = None,
        actor: SubjectToken | None = None,
    ) -> None:
        if not isinstance(type, str) or not type:
            raise ConfigurationError("the type of a subject token is a URI: pass one, such as ACCESS_TOKEN")
        if expires_at is not None and (not isinstance(expires_at, datetime) or expires_at.utcoffset() is None):
            raise ConfigurationError("expires_at is an aware datetime: give it a timezone, such as datetime.UTC")
        if actor is not None and not isinstance(actor, SubjectToken):
            raise ConfigurationError("an actor is a SubjectToken: pass SubjectToken(the actor's token)")
        kept = Secret(value) if isinstance(value, str | Secret) else value
        put = super().__setattr__
        put("value", kept)
        put("_mark", _mark(kept))
        put("type", type)
        put("expires_at", expires_at)
        put("actor", actor)

    @property
    def fleeting(self) -> bool:
        """Tell whether it, or its actor, is one token and no source of further ones.

        What it buys cannot be renewed with another.
        """
        return isinstance(self.value, Secret) or (self.actor is not None and self.actor.fleeting)

    @property
    def parts(self) -> tuple[SubjectToken, ...]:
        """Return what is presented together: the subject token itself, then its actor's, if there is one."""
        return (self,) if self.actor is None else (self, *self.actor.parts)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a SubjectToken is immutable: make a new one")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("a SubjectToken is immutable: make a new one")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SubjectToken):
            return NotImplemented
        return self._facts() == other._facts()

    def __hash__(self) -> int:
        return hash(self._facts())

    def __repr__(self) -> str:
        actor = f", actor={self.actor!r}" if self.actor is not None else ""
        return f"SubjectToken({_shown(self.value)}, type={self.type!r}{actor})"

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a SubjectToken is not serialized: make it anew where it is used")

    def __copy__(self) -> SubjectToken:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> SubjectToken:
        return self

    def _facts(self) -> tuple[object, ...]:
        return self._mark, self.type, self.expires_at, self.actor


def _mark(value: object) -> object:
    """Return what two values have in common that present the same token."""
    if isinstance(value, Secret):
        return hashlib.blake2b(value.reveal().encode("utf-8", "surrogatepass"), digest_size=16, key=_SALT).digest()
    if not (isinstance(value, Path | TokenSource | AssertionSource) or callable(value)) or isinstance(value, type):
        raise ConfigurationError(
            "a subject token is a str, a Secret, a Path, a callable, a TokenSource or an Assertion, "
            f"not {type(value).__name__}: pass one of these"
        )
    try:
        hash(value)
    except TypeError:
        return _Same(value)
    return value


class _Same:
    """Something that cannot be hashed, equal to itself alone."""

    __slots__ = ("_what",)

    def __init__(self, what: object) -> None:
        self._what = what

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self._what is other._what

    def __hash__(self) -> int:
        return id(self._what)


def _shown(value: object) -> str:
    if isinstance(value, Secret):
        return f"#{_mark(value).hex()[:8]}"  # type: ignore[attr-defined]  # of a Secret it is a digest
    return repr(value.name) if isinstance(value, Path) else type(value).__name__
