"""The request that ends a token, and what its answer means, as values."""

from __future__ import annotations

import json
from urllib.parse import parse_qsl

import pytest
from tests.kit.attempts import work
from tests.kit.issuers import SECRET, found

from tokenflight import Dialect, Endpoints, OAuthClient, Secret, TokenKey
from tokenflight.errors import ConfigurationError, InvalidClientError, TokenEndpointError
from tokenflight.model.failure import Failure
from tokenflight.protocol.answers import TokenAnswer
from tokenflight.protocol.client_authentication import Attempt
from tokenflight.protocol.revocation import Doomed, build_revocation, read_revocation

pytestmark = pytest.mark.anyio
TOKEN = Secret("tk-to-be-revoked")


def client(**fields: object) -> OAuthClient:
    return found(**({"endpoints": Endpoints(revocation="https://auth.test/revoke")} | fields))


async def read(source: Secret) -> Secret:
    return source


def attempt(client: OAuthClient) -> Attempt:
    return Attempt(key=TokenKey(client="c"), client=client, wall=0.0, read=read, work=work)


def outcome(status: int, body: bytes = b"", *, of: OAuthClient | None = None, **headers: str) -> Failure | None:
    answer = TokenAnswer(status=status, headers=headers, body=body)
    return read_revocation(answer, client=of or client(), wall=0.0, redact=[TOKEN])


async def test_a_request_names_the_token_and_the_client_and_nothing_more() -> None:
    request = await build_revocation(attempt(client()), Doomed(TOKEN))
    assert request.url == "https://auth.test/revoke"
    assert dict(parse_qsl(request.body.decode())) == {
        "token": TOKEN.reveal(),
        "client_id": "service",
        "client_secret": SECRET,
    }
    assert TOKEN.reveal() not in repr((request, Doomed(TOKEN)))


async def test_without_an_endpoint_there_is_no_request() -> None:
    with pytest.raises(ConfigurationError, match=r"give endpoints=Endpoints\(revocation=\.\.\.\)"):
        await build_revocation(attempt(found()), Doomed(TOKEN))


@pytest.mark.parametrize("status", [200, 204])
def test_a_good_status_is_enough_whatever_the_body_says(status: int) -> None:
    assert outcome(status) is None
    assert outcome(status, b"<html>") is None


@pytest.mark.parametrize(
    ("status", "body", "kind", "reason", "transient"),
    [
        (400, {"error": "unsupported_token_type"}, TokenEndpointError, "unsupported_token_type", False),
        (401, {"error": "invalid_client"}, InvalidClientError, "invalid_client", False),
        (404, None, TokenEndpointError, "http_404", False),
        (403, [], TokenEndpointError, "http_403", False),
        (429, None, TokenEndpointError, "http_429", True),
        (503, {"error": "odd"}, TokenEndpointError, "http_503", True),
    ],
)
def test_a_bad_status_is_judged_as_at_the_token_endpoint(
    status: int, body: object, kind: type, reason: str, transient: bool
) -> None:
    failure = outcome(status, b"" if body is None else json.dumps(body).encode())
    assert failure is not None
    assert (failure.error, failure.reason, failure.transient, failure.status) == (kind, reason, transient, status)


def test_a_retry_after_is_read_and_the_token_is_not_repeated() -> None:
    body = json.dumps({"error": "server_error", "error_description": f"no {TOKEN.reveal()}"}).encode()
    failure = outcome(503, body, **{"Retry-After": "3"})
    assert failure is not None
    assert failure.retry_after == 3.0
    assert TOKEN.reveal() not in repr(failure)


def test_a_dialect_that_fails_is_a_matter_of_configuration() -> None:
    broken = client(dialect=Dialect(classify=lambda status, error, description: 1 / 0))  # type: ignore[arg-type, return-value]
    failure = outcome(400, of=broken)
    assert failure is not None
    assert (failure.error, failure.reason) == (ConfigurationError, "dialect")
