"""The wire: a token request as bytes, and what its answer says (RFC 6749, sections 4 and 5)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import metadata
from typing import ClassVar, Final
from urllib.parse import urlencode

from attrs import field, frozen

from tokenflight.errors import ConfigurationError
from tokenflight.protocol.client_authentication import Attempt, has_surrogate
from tokenflight.protocol.grants import token_fields

FORM: Final = "application/x-www-form-urlencoded"


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


@frozen(kw_only=True, repr=False)
class TokenRequest:
    """A request for a token, ready to be sent once. The repr shows neither body nor query nor header values."""

    method: ClassVar[str] = "POST"
    url: str
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"TokenRequest({self.url.partition('?')[0]!r}, headers={sorted(self.headers)})"


@frozen(kw_only=True, repr=False)
class TokenAnswer:
    """What came back. Header names are lower-case; the repr shows neither body nor header values."""

    status: int
    headers: Mapping[str, str] = field(converter=_lower)
    body: bytes

    def __repr__(self) -> str:
        return f"TokenAnswer({self.status}, {len(self.body)} bytes, headers={sorted(self.headers)})"


async def build(attempt: Attempt) -> TokenRequest:
    """Make the request of one attempt: the form of its key, and what authenticates its client.

    Raises ConfigurationError where the key cannot be served, where the authentication would replace a field or header
    that the request has already, and for a field without UTF-8 form; whatever reading a secret raises comes out.
    """
    client = attempt.client
    if client.token_endpoint is None:
        raise ConfigurationError(f"{client.grant.grant_type} sends no token request: call what it wraps")
    fields = token_fields(client, attempt.key)
    parts = await client.authentication.authenticate(attempt)
    headers = {
        "accept": "application/json",
        "accept-encoding": "identity",
        "content-type": FORM,
        "user-agent": _user_agent(),
    }
    body = _encoded(_joined(fields, parts.fields))
    return TokenRequest(url=client.token_endpoint, headers=_joined(headers, _lower(parts.headers)), body=body)


def _joined(first: Mapping[str, str], second: Mapping[str, str]) -> dict[str, str]:
    twice = sorted(first.keys() & second.keys())
    if twice:
        raise ConfigurationError(
            f"client authentication and the request both set {', '.join(twice)}: take it out of the dialect's form"
        )
    return {**first, **second}


def _encoded(fields: Mapping[str, str]) -> bytes:
    if any(has_surrogate(name + value) for name, value in fields.items()):
        raise ConfigurationError("a form field holds a lone surrogate, which has no UTF-8 form: check what sets it")
    return urlencode(fields).encode("ascii")


@cache
def _user_agent() -> str:
    """Name the library; made once, when first needed, because reading a package's metadata takes milliseconds."""
    try:
        return f"tokenflight/{metadata.version('tokenflight')}"
    except metadata.PackageNotFoundError:
        return "tokenflight"
