"""What a store keeps, what it promises, and how records are named."""

from __future__ import annotations

import hashlib
import hmac
import math
import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol, TypeAlias, runtime_checkable

from attrs import field, frozen

from tokenflight.errors import ConfigurationError
from tokenflight.model.key import Subject, TokenKey
from tokenflight.model.policy import MIN_LIFETIME
from tokenflight.model.secret import Secret
from tokenflight.model.token import Token

SCHEMA: Final = 1
"""The schema of the records that this version writes."""

_NAME_KEY: Final = b"tokenflight record name 1"


def _counted(instance: object, attribute: object, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        name = getattr(attribute, "name", "value")
        raise ConfigurationError(f"a record's {name} is a count from 1, not {value!r}: read it from where it was saved")


def _epoch(instance: object, attribute: object, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        name = getattr(attribute, "name", "value")
        raise ConfigurationError(f"a record's {name} is Unix time in seconds: take it from the clock's wall()")


def _seconds(instance: object, attribute: object, value: Any) -> None:
    if value is not None and (
        isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value)
    ):
        name = getattr(attribute, "name", "value")
        raise ConfigurationError(f"a record's {name} is a finite number of seconds: use None where it is unknown")


def _alone(token: Token) -> Token:
    return token.alone()


@frozen(kw_only=True)
class TokenRecord:
    """A token with what it takes to go on with it in another provider, process or year.

    Times are wall times, for the age clock of one process means nothing in another. The moment of renewal is not part
    of it: each process draws its own from `lifetime` and `refresh_in`, so that they do not renew together.

    Attributes:
        schema: how the record is written; a newer one than `SCHEMA` is left alone.
        generation: 1 for the first record under a name, one more with each that replaces it.
        key: the whole key, so that a record answers for what it is even where its name is only a hash.
        token: the token itself; a refresh token is taken off, for it belongs to a session.
        sent_at: when the request for it was sent, in Unix time.
        lifetime: seconds from `sent_at`, the endpoint's word; None where it gave none.
        refresh_in: after how many seconds the endpoint wishes it renewed; None where it did not say.
    """

    schema: int = field(default=SCHEMA, validator=_counted)
    generation: int = field(default=1, validator=_counted)
    key: TokenKey
    token: Token = field(converter=_alone)
    sent_at: float = field(validator=_epoch)
    lifetime: float | None = field(default=None, validator=_seconds)
    refresh_in: float | None = field(default=None, validator=_seconds)

    @property
    def expires_at(self) -> float | None:
        """Return until when the token is used, in Unix time: 1 s at least; None where its end is unknown."""
        return None if self.lifetime is None else self.sent_at + max(self.lifetime, MIN_LIFETIME)


@frozen(kw_only=True)
class SessionRecord:
    """What a session lives on: the refresh token, and whose it is.

    It is named by server, client_id and subject alone, so that a new secret, scope or authentication method logs nobody
    out. Nothing but `discard` may remove it: only a person could bring it back.

    Attributes:
        schema: how the record is written; a newer one than `SCHEMA` is left alone.
        generation: 1 for the first refresh token under a name, one more with each that replaces it.
        server: the issuer, or the token endpoint of a client without one.
        client_id: whose session it is there.
        subject: the person's name in this program.
        refresh_token: the newest.
        saved_at: when it came, in Unix time.
    """

    schema: int = field(default=SCHEMA, validator=_counted)
    generation: int = field(default=1, validator=_counted)
    server: str
    client_id: str
    subject: Subject
    refresh_token: Secret
    saved_at: float = field(validator=_epoch)


Record: TypeAlias = TokenRecord | SessionRecord
"""What a store keeps: tokens, and what sessions live on."""


@runtime_checkable
class Store(Protocol):
    """Keep records under names.

    Names are opaque: 64 lower-case hex digits that say nothing of what they stand for. All methods may be called at
    once, for one name and for many, from any task of any event loop in turn. A cancelled `save` or `discard` has
    happened whole or not at all. A store that cannot do its work raises; what it raises never reaches who wants a
    token: a failed `load` is a miss, a failed `save` an event.

    A store never shows a record in its repr, its logs or its errors.
    """

    async def load(self, name: str) -> Record | None:
        """Return the newest record under *name*, or None.

        None also for a record that this version cannot read: one of a newer schema, a torn or a foreign one. An
        expired record may be returned; who asked judges it. A session's record is returned until it is discarded.
        """
        ...

    async def save(self, name: str, record: Record, *, expected: int | None) -> bool:
        """Keep *record* under *name*, if what is there is what the caller thinks.

        *expected* None: nothing must be there. Else: a record of that generation must be there. True: it is kept, and
        as durable as the store ever makes it. False: something else is there, and it stays untouched; load again and
        decide anew. A record of a newer schema counts as something else, always. Comparing and keeping are one step:
        of several calls with one *expected*, one at most returns True.
        """
        ...

    async def discard(self, name: str) -> None:
        """Remove what is under *name*; nothing there is fine. A record of a newer schema stays."""
        ...


_Part: TypeAlias = object


def record_name(parts: Iterable[_Part], *, key: bytes = _NAME_KEY) -> str:
    """Name a record by everything in *parts*: HMAC-SHA256 over an encoding that tells any two of them apart.

    A part is a str, bytes, int, float, bool, None, or a tuple, frozenset or mapping of parts. Every value is written
    as its type, its length and itself, so no delimiter can be forged; text is taken as it is, without Unicode
    normalisation. Raises TypeError for anything else, without showing it.
    """
    return hmac.new(key, _encoded(tuple(parts)), hashlib.sha256).hexdigest()


def _encoded(part: _Part) -> bytes:
    for kind, tag, body in _KINDS:
        if isinstance(part, kind):
            content = body(part)
            return tag + struct.pack(">Q", len(content)) + content
    raise TypeError(f"a record's name is not made of {type(part).__name__}")


def _text(part: str) -> bytes:
    return part.encode("utf-8", "surrogatepass")


def _float(part: float) -> bytes:
    return struct.pack(">d", part + 0.0)  # the sum takes the sign off a negative zero, which equals zero


def _many(parts: Iterable[_Part]) -> bytes:
    return b"".join(map(_encoded, parts))


def _set(parts: frozenset[_Part]) -> bytes:
    return b"".join(sorted(map(_encoded, parts)))


def _pairs(parts: Mapping[_Part, _Part]) -> bytes:
    return b"".join(sorted(_encoded(name) + _encoded(value) for name, value in parts.items()))


_KINDS: Final[tuple[tuple[type, bytes, Callable[..., bytes]], ...]] = (
    (str, b"s", _text),
    (bytes, b"b", bytes),
    (bool, b"t", lambda part: b"\x01" if part else b"\x00"),  # before int, which it is too
    (int, b"i", lambda part: part.to_bytes((part.bit_length() + 8) // 8, "big", signed=True)),
    (float, b"f", _float),
    (type(None), b"n", lambda part: b""),
    (tuple, b"l", _many),
    (frozenset, b"u", _set),
    (Mapping, b"m", _pairs),
)
