"""Token: an access token with what its endpoint said of it."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, NoReturn

from tokenflight.errors import ConfigurationError
from tokenflight.model.key import NO_SCOPE, as_scope
from tokenflight.model.policy import as_float
from tokenflight.model.secret import Secret

MAX_TOKEN_LENGTH = 64 * 1024
_VSCHAR = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
_SCHEME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_CANONICAL = {"bearer": "Bearer", "dpop": "DPoP"}
_NOTHING: Mapping[str, Any] = MappingProxyType({})


def is_access_token(value: object) -> bool:
    """Tell whether *value* may become a header: VSCHAR (RFC 6749, A.12), at most 64 KiB, no space at either end.

    RFC 6750's narrower b64token would refuse tokens that are in use.
    """
    return isinstance(value, str) and len(value) <= MAX_TOKEN_LENGTH and _VSCHAR.fullmatch(value) is not None


class Token:
    """An access token, immutable; `str` and `repr` never show it.

    Attributes:
        header: the value of an Authorization header, scheme and all; a secret in plain text, made to be sent.
        access_token: the token as a Secret.
        token_type: `Bearer` or `DPoP`, spelled as a header wants it; other types as they came.
        expires_at: aware UTC, or None where the endpoint did not say.
        issued_at: aware UTC: when the request for it was sent.
        scope: what was granted, a frozenset.
        refresh_token: a Secret, or None.
        extra: the answer's other fields, immutable; its repr shows names only.

    Raises ConfigurationError where both `expires_in` (seconds) and `expires_at` are given, for a naive datetime, and
    for an access token that no header can carry.
    """

    __slots__ = ("_expires", "_issued", "extra", "header", "refresh_token", "scope", "token_type")

    header: str
    token_type: str
    scope: frozenset[str]
    refresh_token: Secret | None
    extra: Mapping[str, Any]
    _expires: float | None
    _issued: float

    def __init__(
        self,
        access_token: str | Secret,
        *,
        token_type: str = "Bearer",
        expires_in: float | None = None,
        expires_at: datetime | None = None,
        scope: str | Iterable[str] = NO_SCOPE,
        refresh_token: str | Secret | None = None,
        extra: Mapping[str, Any] = _NOTHING,
        issued_at: datetime | None = None,
    ) -> None:
        plain = access_token.reveal() if isinstance(access_token, Secret) else access_token
        if not is_access_token(plain):
            raise ConfigurationError("an access token is 1 to 65536 visible ASCII characters: check where it is from")
        if not isinstance(token_type, str) or not _SCHEME.fullmatch(token_type):
            raise ConfigurationError("a token type is one word, such as Bearer: check where it is from")
        kind = _CANONICAL.get(token_type.lower(), token_type)
        issued = time.time() if issued_at is None else _epoch(issued_at, "issued_at")
        put = super().__setattr__
        put("header", f"{kind} {plain}")
        put("token_type", kind)
        put("_issued", issued)
        put("_expires", _end(issued, expires_in, expires_at))
        put("scope", as_scope(scope) or NO_SCOPE)
        put("refresh_token", None if refresh_token is None else Secret(refresh_token))
        put("extra", _frozen(extra))

    @property
    def access_token(self) -> Secret:
        """Return the token as a Secret; the header string is the one copy that is kept."""
        return Secret(self.header[len(self.token_type) + 1 :])

    @property
    def expires_at(self) -> datetime | None:
        """Return the endpoint's word for the end, in aware UTC, or None where it gave none."""
        return None if self._expires is None else _datetime(self._expires)

    @property
    def issued_at(self) -> datetime:
        """Return when the request for this token was sent, in aware UTC."""
        return _datetime(self._issued)

    def with_extra(self, **fields: Any) -> Token:
        """Return the same token with more in its `extra`."""
        return self._again(refresh_token=self.refresh_token, extra={**self.extra, **fields})

    def alone(self) -> Token:
        """Return the same token without a refresh token, which is its session's."""
        return self if self.refresh_token is None else self._again(refresh_token=None, extra=self.extra)

    def _again(self, *, refresh_token: Secret | None, extra: Mapping[str, Any]) -> Token:
        return Token(
            self.access_token,
            token_type=self.token_type,
            expires_at=self.expires_at,
            scope=self.scope,
            refresh_token=refresh_token,
            extra=extra,
            issued_at=self.issued_at,
        )

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a Token is immutable: make a new one")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("a Token is immutable: make a new one")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Token):
            return NotImplemented
        return self.access_token == other.access_token and self._facts() == other._facts()

    def __hash__(self) -> int:
        return hash(self.header)

    def __repr__(self) -> str:
        end = "unknown" if self._expires is None else _datetime(self._expires).isoformat(timespec="seconds")
        scope = f", scope={' '.join(sorted(self.scope))!r}" if self.scope else ""
        extra = f", extra={sorted(self.extra)}" if self.extra else ""
        return f"Token({self.token_type} ***, expires_at={end}{scope}{extra})"

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a Token is not serialized: send it as a header, or keep it in a store")

    def __copy__(self) -> Token:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Token:
        return self

    def _facts(self) -> tuple[object, ...]:
        return self.token_type, self._expires, self._issued, self.scope, self.refresh_token, self.extra


def _frozen(extra: Mapping[str, Any]) -> Mapping[str, Any]:
    if not isinstance(extra, Mapping) or not all(isinstance(name, str) for name in extra):
        raise ConfigurationError("a token's extra is a mapping from field names to values: pass a dict")
    return MappingProxyType(dict(extra)) if extra else _NOTHING


def _end(issued: float, expires_in: float | None, expires_at: datetime | None) -> float | None:
    if expires_at is not None:
        if expires_in is not None:
            raise ConfigurationError("a token's end is given twice: pass expires_in or expires_at, not both")
        return _epoch(expires_at, "expires_at")
    if expires_in is None:
        return None
    seconds = as_float(expires_in)
    if seconds is None or not math.isfinite(seconds):
        raise ConfigurationError("expires_in is a finite number of seconds: leave it out where it is unknown")
    return issued + seconds


def _epoch(moment: datetime, name: str) -> float:
    if not isinstance(moment, datetime) or moment.utcoffset() is None:
        raise ConfigurationError(f"{name} is an aware datetime: give it a timezone, such as datetime.UTC")
    return moment.timestamp()


def _datetime(epoch: float) -> datetime:
    """Convert without raising: an end beyond year 9999 is shown as its last day."""
    try:
        return datetime.fromtimestamp(epoch, UTC)
    except (OverflowError, ValueError, OSError):
        return datetime.max.replace(tzinfo=UTC) if epoch > 0 else datetime.min.replace(tzinfo=UTC)
