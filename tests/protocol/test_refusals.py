from __future__ import annotations

import json
from typing import Any

import pytest

from tokenflight import (
    TOKEN_ENDPOINT,
    ClientAssertion,
    ClientCredentials,
    ClientSecretBasic,
    ClientSecretJWT,
    ClientSecretPost,
    MutualTLS,
    PublicClient,
    RefreshToken,
)
from tokenflight.errors import InvalidClientError, InvalidGrantError, TokenEndpointError
from tokenflight.model.failure import Failure
from tokenflight.model.key import TokenKey
from tokenflight.model.secret import Secret
from tokenflight.protocol.client import Dialect, OAuthClient
from tokenflight.protocol.refusals import HINTS
from tokenflight.protocol.wire import TokenAnswer, parse

KEY = TokenKey(client="main")
ORIGIN = "https://as.example"


def refused(
    status: int,
    body: Any = None,
    *,
    dialect: Dialect | None = None,
    secret: str = "a-secret",
    authentication: Any = None,
    **headers: str,
) -> Failure:
    client = OAuthClient(
        client_id="me",
        token_endpoint=f"{ORIGIN}/token",
        authentication=authentication or secret,
        dialect=dialect or Dialect(),
        grant=ClientCredentials() if authentication is None else RefreshToken(),
    )
    octets = b"" if body is None else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    told = TokenAnswer(status=status, headers=named, body=octets)
    failure = parse(told, client=client, key=KEY, wall=0.0, redact=[Secret(secret)])
    assert isinstance(failure, Failure)
    return failure


@pytest.mark.parametrize("status", [408, 425, 429, 500, 501, 502, 503, 504, 599, 600])
@pytest.mark.parametrize("code", [None, "invalid_client", "invalid_grant", "server_error", "odd"])
def test_a_status_of_trouble_is_transient_whatever_the_code(status: int, code: str | None) -> None:
    failure = refused(status, code and {"error": code})

    assert (failure.error, failure.reason, failure.transient) == (TokenEndpointError, f"http_{status}", True)
    assert failure.counts is (status != 429)
    assert failure.throttled is (status == 429)
    assert failure.code == code
    assert failure.hint is None


@pytest.mark.parametrize("code", sorted(HINTS))
@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 404])
def test_a_registered_code_decides_whatever_the_other_status(code: str, status: int) -> None:
    failure = refused(status, {"error": code})

    kinds = {"invalid_client": InvalidClientError, "invalid_grant": InvalidGrantError}
    assert failure.error is kinds.get(code, TokenEndpointError)
    assert (failure.reason, failure.code) == (code, code)
    assert failure.transient is (code in {"temporarily_unavailable", "server_error", "slow_down"})
    assert failure.counts is (code in {"temporarily_unavailable", "server_error"})
    assert failure.hint == HINTS[code]


@pytest.mark.parametrize(
    ("authentication", "what"),
    [
        (ClientSecretBasic("a-secret"), "the method that the server wants"),
        (ClientSecretPost("a-secret"), "the method that the server wants"),
        (ClientSecretJWT("a-secret" * 4, audience=TOKEN_ENDPOINT), "the audience that the server wants"),
        (ClientAssertion("a.b.c"), "the key_id and the audience"),
        (MutualTLS(), "the certificate"),
        (MutualTLS(self_signed=True), "the certificate"),
        (PublicClient(), "give authentication"),
    ],
    ids=repr,
)
def test_a_client_that_is_refused_is_told_what_to_check_by_how_it_authenticated(authentication: Any, what: str) -> None:
    failure = refused(401, {"error": "invalid_client"}, authentication=authentication)

    assert what in (failure.hint or "")
    assert refused(400, {"error": "invalid_grant"}, authentication=authentication).hint == HINTS["invalid_grant"]


@pytest.mark.parametrize(
    ("status", "setting"),
    [
        (301, "token_endpoint"),
        (302, "token_endpoint"),
        (307, "token_endpoint"),
        (400, "grant, scope and parameters"),
        (401, "authentication"),
        (402, "grant, scope and parameters"),
        (403, "authentication"),
        (404, "token_endpoint"),
        (405, "token_endpoint"),
        (415, "token_endpoint"),
        (418, "grant, scope and parameters"),
        (100, "token_endpoint"),
        (0, "token_endpoint"),
    ],
)
@pytest.mark.parametrize("body", [None, {"error": "odd_code"}, {"message": "no"}])
def test_without_a_known_code_another_status_is_permanent_and_names_the_setting(
    status: int, setting: str, body: Any
) -> None:
    failure = refused(status, body, location="https://elsewhere.example/CNRY")

    assert (failure.error, failure.reason, failure.transient, failure.counts) == (
        TokenEndpointError,
        f"http_{status}",
        False,
        False,
    )
    assert failure.detail.startswith(f"{ORIGIN} answered {status}")
    assert setting in (failure.hint or "")
    assert "CNRY" not in repr(failure)


def test_a_page_of_a_firewall_is_a_refusal_without_code() -> None:
    client = OAuthClient(client_id="me", token_endpoint=f"{ORIGIN}/token", authentication="s")
    told = TokenAnswer(status=403, headers={"content-type": "text/html"}, body=b"<html>" + b"\xff" * 100)

    failure = parse(told, client=client, key=KEY, wall=0.0, redact=())

    assert isinstance(failure, Failure)
    assert (failure.error, failure.reason, failure.transient, failure.status) == (
        TokenEndpointError,
        "http_403",
        False,
        403,
    )


def test_the_whole_of_a_refusal_arrives_in_its_places() -> None:
    failure = refused(
        400,
        {"error": "invalid_scope", "error_description": "no such scope", "error_uri": "https://as.example/e"},
        x_request_id="r-1",
        retry_after="7",
    )
    error = failure.exception(KEY)

    assert isinstance(error, TokenEndpointError)
    assert error.error == "invalid_scope"
    assert error.error_description == "no such scope"
    assert error.error_uri == "https://as.example/e"
    assert error.status == 400
    assert error.request_id == "r-1"
    assert error.retry_after == 7.0
    assert error.grant_type == "client_credentials"
    assert error.reason == "invalid_scope"
    assert error.transient is False
    assert str(error) == (
        "https://as.example answered 400: invalid_scope (no such scope); "
        "check scope against what the client may ask for"
    )


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({}, "answered 400"),
        ({"error": "odd"}, "answered 400: odd"),
        ({"error_description": "bad day"}, "answered 400: bad day"),
        ({"error": "odd", "error_description": "bad day"}, "answered 400: odd (bad day)"),
        ({"error": {"code": 7}, "error_description": ["bad"]}, "answered 400"),
    ],
)
def test_the_detail_says_what_the_server_said(body: Any, detail: str) -> None:
    assert refused(400, body).detail == f"{ORIGIN} {detail}"


def ruling(code: str | None) -> Dialect:
    return Dialect(classify=lambda status, error, description: code)


def test_a_dialects_code_counts_instead_and_the_servers_word_is_told() -> None:
    failure = refused(401, {"error": "access_denied", "error_description": "Nope"}, dialect=ruling("invalid_client"))

    assert (failure.error, failure.reason, failure.code) == (InvalidClientError, "invalid_client", "invalid_client")
    assert failure.detail == f"{ORIGIN} answered 401: invalid_client, told as access_denied (Nope)"
    assert failure.hint == HINTS["invalid_client"]


def test_a_dialects_code_names_what_came_without_one() -> None:
    failure = refused(403, None, dialect=ruling("invalid_grant"))

    assert (failure.error, failure.detail) == (InvalidGrantError, f"{ORIGIN} answered 403: invalid_grant")


def test_a_dialects_code_counts_on_any_status() -> None:
    assert refused(500, {"error": "server_error"}, dialect=ruling("invalid_scope")).transient is False
    failure = refused(403, {"error": "odd"}, dialect=ruling("temporarily_unavailable"))
    assert (failure.transient, failure.counts, failure.reason) == (True, True, "temporarily_unavailable")


def test_a_dialects_code_that_is_none_leaves_it_to_the_status() -> None:
    failure = refused(403, {"error": "invalid_grant"}, dialect=ruling("blocked_by_policy"))

    assert (failure.reason, failure.code, failure.error) == ("http_403", "blocked_by_policy", TokenEndpointError)


def test_a_dialect_that_has_no_opinion_changes_nothing() -> None:
    assert refused(400, {"error": "invalid_grant"}, dialect=ruling(None)).error is InvalidGrantError


def test_a_dialects_hint_comes_first_and_is_cleaned() -> None:
    seen: list[Any] = []

    def hint(status: int, error: str | None, description: str | None) -> str | None:
        seen.append((status, error, description))
        return f"click here\n{description}"

    failure = refused(
        400,
        {"error": "invalid_grant", "error_description": "CNRY-secret-1!"},
        dialect=Dialect(hint=hint),
        secret="CNRY-secret-1",
    )

    assert seen == [(400, "invalid_grant", "***!")]
    assert failure.hint == "click here\\n***!"


def test_a_registered_code_is_known_even_where_a_secret_is_one_of_its_words() -> None:
    failure = refused(401, {"error": "invalid_client", "error_description": "client unknown"}, secret="client")

    assert (failure.error, failure.code) == (InvalidClientError, "invalid_client")
    assert failure.description == "*** unknown"


@pytest.mark.parametrize(
    ("headers", "body", "request_id"),
    [
        ({"box_request_id": "b", "x_request_id": "x"}, {}, "b"),
        ({"x_ms_request_id": "m"}, {"trace_id": "t"}, "m"),
        ({"x_request_id": ""}, {"trace_id": "t"}, "t"),
        ({}, {"request_id": "r"}, "r"),
        ({}, {"correlation_id": "c"}, "c"),
        ({}, {"errorId": "e"}, "e"),
        ({}, {"request_id": 7}, None),
        ({}, {}, None),
        ({"x_request_id": "a\nb"}, {}, "a\\nb"),
        ({"x_request_id": "x" * 500}, {}, "x" * 127 + "…"),
    ],
)
def test_a_request_id_is_found_where_servers_put_it(headers: dict[str, str], body: Any, request_id: str | None) -> None:
    assert refused(400, body, **headers).request_id == request_id
