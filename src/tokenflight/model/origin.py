"""Origins: where a token may go (RFC 6454)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from enum import Enum
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from tokenflight.errors import ConfigurationError

_PORTS: Final = {"http": 80, "https": 443}
_AUTHORITY: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[\w-]+(?:\.[\w-]+)*)\.?(?::[0-9]*)?", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x20\x7f]")  # urlsplit would drop some of them without a word


class _Any(Enum):
    ANY = "ANY"

    def __repr__(self) -> str:
        return "ANY"


ANY: Final = _Any.ANY
"""Every origin: typed on purpose by who wants a token to follow any URL."""

Origins: TypeAlias = frozenset[str] | _Any
"""Allowed origins, normalised, or ANY."""
OriginsArgument: TypeAlias = str | Iterable[str] | _Any | None
"""Origins as they are typed: ANY, a URL, or several; None leaves them open."""


def origin_of(url: str) -> str:
    """Return scheme, host and port of an http or https URL, lower-cased, a default port left out.

    Raises ConfigurationError for another scheme, for no host or one that two readers could read in two ways, and for
    userinfo. A host in another script comes back in ASCII, as it travels.
    """
    if not isinstance(url, str):
        raise ConfigurationError(f"a URL is a str, not {type(url).__name__}: pass str(...) of it")
    try:
        parts = urlsplit(url)
        port, host = parts.port, _host(parts.netloc)
    except ValueError:
        raise ConfigurationError("a URL cannot be read: write it as https://host[:port]/path") from None
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ConfigurationError("a URL has no http(s) scheme or no host: write it as https://host[:port]/path")
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError("a URL holds a user name or password: take it out, it would show in logs")
    if host is None or _CONTROL.search(url):
        raise ConfigurationError("a URL's host is no plain name or address: write it in ASCII, an IDN as xn--…")
    return f"{parts.scheme}://{host}" + ("" if port in (None, _PORTS[parts.scheme]) else f":{port}")


def _host(authority: str) -> str | None:
    if not authority.isascii():
        authority = _in_ascii(authority)
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        return None
    host = match["host"].lower()
    return f"[{ipaddress.IPv6Address(host[1:-1])}]" if host.startswith("[") else host


def _in_ascii(authority: str) -> str:
    """Spell an IDN as it travels; only a name that comes back as it went stands for one host in all editions."""
    name, colon, port = authority.lower().partition(":")
    coded = name.encode("idna")
    return coded.decode("ascii") + colon + port if coded.decode("idna") == name else ""


def origins(value: OriginsArgument) -> Origins:
    """Take the `origins` of a client or an auth: ANY, a URL, or some URLs, of which only the origin counts."""
    if value is ANY or isinstance(value, _Any):
        return ANY
    if isinstance(value, str):
        return frozenset({origin_of(value)})
    if isinstance(value, Iterable):
        return frozenset(origin_of(item) for item in value)
    raise ConfigurationError("origins is ANY, a URL or a list of URLs: pass one of these")


def is_loopback(origin: str) -> bool:
    """Tell whether an origin is this machine itself, where plain http is no risk."""
    host = urlsplit(origin).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_private_to_the_wire(origin: str) -> bool:
    """Tell whether what is sent there cannot be read on the way: https, or loopback."""
    return origin.startswith("https://") or is_loopback(origin)
