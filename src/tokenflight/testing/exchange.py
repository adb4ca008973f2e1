"""Request and reply: what a double gets and gives, whichever way it is reached."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Literal, TypeAlias, cast
from urllib.parse import urlsplit

import anyio
from attrs import field, frozen

Fields: TypeAlias = Mapping[str, str] | Iterable[tuple[str, str]]
"""Header fields as users type them: a mapping, or pairs where a name comes twice."""

Pairs: TypeAlias = tuple[tuple[str, str], ...]
"""Header fields in order, names in lower case."""

Fault: TypeAlias = Literal["refused", "reset", "lost"]
"""What comes instead of an answer: no connection, a reset of it, or its end without a byte."""


class AskerGoneError(Exception):
    """Whoever asked has left, so that nobody waits for the answer."""


def pairs(fields: Fields) -> Pairs:
    """Return header fields as pairs with lower-case names."""
    items = cast("Iterable[tuple[str, str]]", fields.items() if isinstance(fields, Mapping) else fields)
    return tuple((name.lower(), value) for name, value in items)


@frozen(kw_only=True)
class Request:
    """One request, read whole. The repr shows where it went and nothing that may be secret.

    `gone` returns when the asker has left; where nobody can tell, never. `client_certificate` is what the asker
    presented, in DER; None without TLS, or where the server does not ask for one.
    """

    method: str
    url: str = field(repr=False)
    headers: Pairs = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)
    gone: Callable[[], Awaitable[object]] = field(default=anyio.sleep_forever, repr=False)
    client_certificate: bytes | None = field(default=None, repr=False)

    @property
    def origin(self) -> str:
        """Return scheme, host and port."""
        return "{0.scheme}://{0.netloc}".format(urlsplit(self.url))

    @property
    def thumbprint(self) -> str | None:
        """Return the client certificate's `x5t#S256` (RFC 8705, section 3.1); None where there is none."""
        if self.client_certificate is None:
            return None
        return base64.urlsafe_b64encode(hashlib.sha256(self.client_certificate).digest()).decode().rstrip("=")

    @property
    def path(self) -> str:
        """Return the path, without the query."""
        return urlsplit(self.url).path

    def header(self, name: str) -> str | None:
        """Return a header's value, several joined by commas (RFC 9110, section 5.3); None where it is absent."""
        values = [value for key, value in self.headers if key == name]
        return ", ".join(values) if values else None


@frozen(kw_only=True)
class Drops:
    """A body that comes *size* bytes at a time, with `pause` awaited before each; with `head`, the headers too."""

    size: int
    pause: Callable[[], Awaitable[None]]
    head: bool = False


def _nothing() -> None:
    """Do nothing: nobody keeps a ledger."""


@frozen(kw_only=True)
class Reply:
    """One answer and the way in which it is sent.

    `raw` goes on the wire instead of an HTTP response; of the body no more than `cut` bytes arrive before the
    connection ends; `chunked`, its length is not announced; a `fault` comes instead of all. Who carries a reply calls
    `ended` once, when the exchange is over.
    """

    status: int = 200
    headers: Pairs = ()
    body: bytes = field(default=b"", repr=False)
    drops: Drops | None = None
    cut: int | None = None
    raw: bytes | None = field(default=None, repr=False)
    chunked: bool = False
    fault: Fault | None = None
    ended: Callable[[], None] = field(default=_nothing, repr=False)

    def header(self, name: str) -> str | None:
        """Return the first value of a header; None where it is absent."""
        return next((value for key, value in self.headers if key == name), None)

    def framed(self, method: str) -> tuple[Pairs, bytes]:
        """Return headers and body as they answer *method*: the length announced, and no body where none may be."""
        if self.status in (204, 304):
            return self.headers, b""
        told = self.chunked or self.header("content-length") is not None
        length = () if told else (("content-length", str(len(self.body))),)
        return (*self.headers, *length), b"" if method == "HEAD" else self.body


Handler: TypeAlias = Callable[[Request], Awaitable[Reply]]
"""What answers: the one shape that all three carriers know."""
