"""The wire: a token request as bytes, and what its answer says (RFC 6749, sections 4 and 5)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from itertools import islice
from typing import Any, ClassVar, Final
from urllib.parse import urlencode

from attrs import frozen

from tokenflight.errors import ConfigurationError
from tokenflight.model.failure import Failure
from tokenflight.model.key import TokenKey
from tokenflight.model.secret import Secret
from tokenflight.model.token import MAX_TOKEN_LENGTH
from tokenflight.protocol.answers import FORM, TokenAnswer, Unreadable, lower_names, read_fields
from tokenflight.protocol.client import OAuthClient
from tokenflight.protocol.client_authentication import Attempt, RequestParts, has_surrogate
from tokenflight.protocol.grants import Presenting, effective_scope, token_fields
from tokenflight.protocol.issued import Issued, Unusable, read_issued
from tokenflight.protocol.redaction import Redaction
from tokenflight.protocol.refusals import Refusals
from tokenflight.protocol.token_exchange import TokenExchange

__all__ = ["Issued", "TokenAnswer", "TokenRequest", "build", "parse"]

_SECRET_NAME = re.compile(r"token(?!_type)|secret|assertion", re.IGNORECASE)
_SECRET_LENGTHS: Final = range(8, MAX_TOKEN_LENGTH + 1)
_MAX_SECRETS: Final = 20


@frozen(kw_only=True, repr=False)
class TokenRequest:
    """A request for a token, ready to be sent once. The repr shows neither body nor query nor header values."""

    method: ClassVar[str] = "POST"
    url: str
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"TokenRequest({self.url.partition('?')[0]!r}, headers={sorted(self.headers)})"


async def build(attempt: Attempt) -> TokenRequest:
    """Make the request of one attempt: the form of its key, what its grant presents, what authenticates its client.

    Raises ConfigurationError where the key cannot be served, where one part would replace a field or header that the
    request has already, and for a field without UTF-8 form; whatever reading a secret raises comes out.
    """
    client = attempt.client
    if client.token_endpoint is None:
        known = f"{client.issuer} has not told it yet" if client.issuer else f"{client.grant.grant_type} has none"
        raise ConfigurationError(f"a token request needs a token endpoint, and {known}: give token_endpoint")
    return form_request(client.token_endpoint, token_fields(client, attempt.key), await _secret_parts(attempt))


def form_request(url: str, fields: Mapping[str, str], added: Iterable[RequestParts]) -> TokenRequest:
    """Make a request of a form's *fields* and of what is *added*, such as what authenticates the client.

    Raises ConfigurationError where a field or header would be replaced, and for a field without UTF-8 form.
    """
    headers: Mapping[str, str] = {**plain_headers(), "content-type": FORM}
    for parts in added:
        fields, headers = _joined(fields, parts.fields), _joined(headers, lower_names(parts.headers))
    return TokenRequest(url=url, headers=headers, body=_encoded(fields))


def plain_headers() -> dict[str, str]:
    """Return what every request says of itself: who asks, and that JSON is wanted as it is."""
    return {"accept": "application/json", "accept-encoding": "identity", "user-agent": _user_agent()}


async def _secret_parts(attempt: Attempt) -> list[RequestParts]:
    grant, authentication = attempt.client.grant, attempt.client.authentication
    presented = [await grant.present(attempt)] if isinstance(grant, Presenting) else []
    return [*presented, await authentication.authenticate(attempt)]


def parse(
    answer: TokenAnswer, *, client: OAuthClient, key: TokenKey, wall: float, redact: Iterable[Secret]
) -> Issued | Failure:
    """Read an answer to a request of *client* for *key*; *wall* is Unix time, *redact* what must not come back.

    Never raises: whatever bytes, headers and status came, the result is a token or a failure, and a failure holds
    nothing of the body but cleaned words. A dialect that fails is a failure with ConfigurationError.
    """
    fields, known = read_fields(answer), tuple(redact)
    told = _told_secrets(fields) if isinstance(fields, dict) else ()
    refusals = Refusals(answer=answer, client=client, wall=wall, redaction=Redaction((*known, *told)))
    try:
        if isinstance(fields, Unreadable):
            return refusals.malformed(fields.why) if answer.succeeded else refusals.refused({})
        fields = client.dialect.read(answer.status, answer.headers, fields)
        if fields.get("error") or not answer.succeeded:
            return refusals.refused(fields)
    except ConfigurationError as problem:
        return refusals.misread(problem)
    issued = read_issued(
        fields,
        requested=effective_scope(client, key),
        secrets=map(Secret.reveal, known),
        any_type=isinstance(client.grant, TokenExchange) and client.grant.wants_another_type,
    )
    if isinstance(issued, Unusable):
        return refusals.malformed(issued.why, lasting=issued.lasting, fields=fields)
    return issued


def _told_secrets(fields: Mapping[str, Any]) -> Iterable[Secret]:
    """Return the tokens in an answer: where it is a failure after all, its words must not repeat them."""
    told = (value for name, value in fields.items() if isinstance(value, str) and _SECRET_NAME.search(name))
    return [Secret(value) for value in islice(told, _MAX_SECRETS) if len(value) in _SECRET_LENGTHS]


def _joined(first: Mapping[str, str], second: Mapping[str, str]) -> dict[str, str]:
    twice = sorted(first.keys() & second.keys())
    if twice:
        raise ConfigurationError(f"two parts of the request set {', '.join(twice)}: take it out of the dialect's form")
    return {**first, **second}


def _encoded(fields: Mapping[str, str]) -> bytes:
    if any(has_surrogate(name + value) for name, value in fields.items()):
        raise ConfigurationError("a form field holds a lone surrogate, which has no UTF-8 form: check what sets it")
    return urlencode(fields).encode("ascii")


@cache
def _user_agent() -> str:
    """Name the library; made once, when first needed: `importlib.metadata` and what it reads take milliseconds."""
    from importlib import metadata

    try:
        return f"tokenflight/{metadata.version('tokenflight')}"
    except metadata.PackageNotFoundError:
        return "tokenflight"
