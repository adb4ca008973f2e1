"""Revocation: the request that ends a token before its time, and what the answer says (RFC 7009)."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

from tokenflight.errors import ConfigurationError
from tokenflight.model.failure import Failure
from tokenflight.model.secret import Secret
from tokenflight.protocol.answers import TokenAnswer, Unreadable, read_fields
from tokenflight.protocol.client import OAuthClient
from tokenflight.protocol.client_authentication import Attempt
from tokenflight.protocol.redaction import Redaction
from tokenflight.protocol.refusals import Refusals
from tokenflight.protocol.wire import TokenRequest, form_request


@frozen
class Doomed:
    """A token to revoke."""

    token: Secret


async def build_revocation(attempt: Attempt, doomed: Doomed) -> TokenRequest:
    """Make the request of one attempt; the client authenticates as it does at the token endpoint.

    No hint goes along: a server has to find the token without (RFC 7009, section 2.1), and Box documents none.
    Raises ConfigurationError where the client knows no revocation endpoint, and as `wire.build` does.
    """
    url = attempt.client.endpoints.revocation
    if url is None:
        raise ConfigurationError("the client knows no revocation endpoint: give endpoints=Endpoints(revocation=...)")
    proof = await attempt.client.authentication.authenticate(attempt)
    return form_request(url, {"token": doomed.token.reveal()}, [proof])


def read_revocation(
    answer: TokenAnswer, *, client: OAuthClient, wall: float, redact: Iterable[Secret]
) -> Failure | None:
    """Return why a token was not revoked; None where it was, or was none any more (RFC 7009, section 2.2).

    *wall* is Unix time, *redact* what must not come back. Never raises.
    """
    if answer.succeeded:
        return None
    fields = read_fields(answer)
    refusals = Refusals(answer=answer, client=client, wall=wall, redaction=Redaction(tuple(redact)))
    try:
        return refusals.refused({} if isinstance(fields, Unreadable) else fields)
    except ConfigurationError as problem:
        return refusals.misread(problem)
