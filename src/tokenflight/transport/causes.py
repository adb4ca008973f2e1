"""Causes: what an exception of the wire means, as a value that holds nothing of it."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from typing import Final

import httpx
from attrs import frozen

from tokenflight.errors import EndpointUnreachableError, MalformedResponseError, TokenEndpointError, TokenRequestError
from tokenflight.model.failure import Failure

_MAX_CAUSES: Final = 32
_MAX_TEXT: Final = 160

_ALERTS: Final = {
    "CERTIFICATE_REQUIRED": "asks for a client certificate and got none that it takes",
    "BAD_CERTIFICATE": "refused the client certificate as bad",
    "UNSUPPORTED_CERTIFICATE": "refused the client certificate as unsupported",
    "CERTIFICATE_REVOKED": "refused the client certificate as revoked",
    "CERTIFICATE_EXPIRED": "refused the client certificate as expired or not yet valid",
    "CERTIFICATE_UNKNOWN": "refused the client certificate",
    "UNKNOWN_CA": "refused the client certificate as one of an authority that it does not know",
}
"""Alerts that a server sends about a certificate (RFC 8446, section 6.2): it can only be the client's."""

_UNSENDABLE: Final = (httpx.LocalProtocolError, httpx.UnsupportedProtocol, httpx.InvalidURL, UnicodeError)

# The first kind that fits counts; what stands behind a reason is shown to people, after what was asked.
_KINDS: Final[tuple[tuple[type[Exception], str, str], ...]] = (
    (httpx.PoolTimeout, "pool", "was not asked: no connection of the http client became free in time"),
    (httpx.TimeoutException, "timeout", "did not answer in time"),
    (TimeoutError, "timeout", "did not answer in time"),
    (httpx.ProxyError, "proxy", "was not reached: the proxy on the way refused"),
    (httpx.ConnectError, "connect", "could not be reached"),
    (httpx.NetworkError, "reset", "broke the connection off"),
    (ConnectionError, "reset", "broke the connection off"),
    (httpx.RemoteProtocolError, "protocol", "answered something that is not HTTP"),
    (httpx.DecodingError, "encoded", "sent an encoded body although it was asked for none"),
)

_HINTS: Final = {
    "pool": "give the provider an http client of its own, or leave http out",
    "tls": "check the certificate; for a private authority pass http=httpx.AsyncClient(verify=...)",
    "certificate": "check the client certificate: its dates, its authority and what the server knows of it",
    "proxy": "check the proxy of the http client",
    "transport": "check the transport and the event hooks of the http client",
}


@frozen
class Asked:
    """What was asked, for sentences about it: its name with its origin, and the setting that says where it is."""

    name: str
    setting: str


def failure_of(error: Exception, asked: Asked, *, answering: bool = False) -> Failure:
    """Say what *error* means for a request; *answering* tells that an answer had begun.

    Of exceptions only types count, and of TLS what the verification said; an unknown type is the transport's.
    """
    if isinstance(error, _UNSENDABLE):
        return _unsendable(asked)
    if isinstance(error, httpx.RemoteProtocolError) and "location header" in str(error):
        return redirected(asked, None)  # httpx reads a Location even where it does not follow it
    reason, text = _meaning(error, answering)
    return Failure(
        error=MalformedResponseError if reason in {"protocol", "encoded"} else EndpointUnreachableError,
        reason=reason,
        detail=f"{asked.name} {text}",
        counts=reason not in {"pool", "certificate"},  # which say nothing of how the endpoint is
        hint=_HINTS.get(reason),
    )


def redirected(asked: Asked, status: int | None) -> Failure:
    """Return the failure of an endpoint that points elsewhere; it is not shown where to."""
    return Failure(
        error=TokenEndpointError,
        reason="redirected",
        detail=f"{asked.name} redirects ({status or 'to no URL'}), which is never followed",
        transient=False,
        status=status,
        hint=f"check {asked.setting}: set it to the address that the server means",
    )


def _unsendable(asked: Asked) -> Failure:
    return Failure(
        error=TokenRequestError,
        reason="request",
        detail=f"the request to {asked.name} cannot be put on the wire",
        transient=False,
        hint="check client_id, secret and parameters for characters that HTTP cannot carry",
    )


def _meaning(error: Exception, answering: bool) -> tuple[str, str]:
    """Return the reason and how the sentence goes on."""
    if answering and isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError):
        return "cut", "broke off in the middle of its answer"
    causes = tuple(_causes(error))
    of_tls = _of_tls([cause for cause in causes if isinstance(cause, ssl.SSLError)])
    if of_tls is not None:
        return of_tls
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return "dns", "could not be reached: its name was not resolved"
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return "connect", "could not be reached: the connection was refused"
    if isinstance(error, httpx.RemoteProtocolError) and "disconnected" in str(error):
        return "reset", "closed the connection without an answer"
    for kind, reason, text in _KINDS:
        if isinstance(error, kind):
            return reason, text
    return "transport", f"was not asked: the http client raised {_plain(type(error).__name__)}"


def _of_tls(errors: list[ssl.SSLError]) -> tuple[str, str] | None:
    for error in errors:
        if isinstance(error, ssl.SSLCertVerificationError):
            return "tls", f"has a certificate that was refused: {_plain(error.verify_message)}"
        alert = (error.reason or "").partition("_ALERT_")[2]  # named after the version of TLS that brought it
        if alert in _ALERTS:
            return "certificate", _ALERTS[alert]
    return ("tls", "did not complete the TLS handshake") if errors else None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Walk an exception, what it came from and the members of groups, each once and not without end."""
    waiting, seen = [error], set[int]()
    while waiting and len(seen) < _MAX_CAUSES:
        current = waiting.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        behind = current.__cause__ or current.__context__
        waiting += [behind] if behind is not None else []
        waiting += current.exceptions if isinstance(current, BaseExceptionGroup) else []


def _plain(text: object) -> str:
    """Return what a library said as one short printable line."""
    return "".join(c if c.isprintable() else "?" for c in str(text)[:_MAX_TEXT])
