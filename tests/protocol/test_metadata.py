"""Metadata as values: where they lie, what of them can be read, and what of it a client believes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import evolve
from tests.kit.issuers import ISSUER, found, said

from tokenflight import Endpoints, OAuthClient
from tokenflight.errors import ConfigurationError, MalformedResponseError, TokenEndpointError
from tokenflight.model.failure import Failure
from tokenflight.protocol.answers import TokenAnswer
from tokenflight.protocol.client_authentication import ClientSecretPost
from tokenflight.protocol.metadata import Document, Metadata, completed, read_metadata, seen_by, well_known


def read(document: object, *, issuer: str = ISSUER, status: int = 200, **headers: str) -> Document | Failure:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return read_metadata(TokenAnswer(status=status, headers=headers, body=body), issuer=issuer, wall=0.0)


def understood(*, issuer: str = ISSUER, **members: Any) -> Document:
    document = read(said(issuer, **members), issuer=issuer)
    assert isinstance(document, Document)
    return document


def seen(*, issuer: str = ISSUER, client: OAuthClient | None = None, **members: Any) -> Metadata:
    return seen_by(understood(issuer=issuer, **members), client or found(issuer))


def refusal(outcome: object) -> str:
    assert isinstance(outcome, Failure)
    assert (outcome.error, outcome.reason, outcome.transient) == (ConfigurationError, "metadata", False)
    return outcome.detail


class ByCertificate(ClientSecretPost):
    method = "tls_client_auth"


@pytest.mark.parametrize(
    ("issuer", "oauth", "openid"),
    [
        (
            "https://as.example",
            "https://as.example/.well-known/oauth-authorization-server",
            "https://as.example/.well-known/openid-configuration",
        ),
        (
            "https://as.example/",
            "https://as.example/.well-known/oauth-authorization-server",
            "https://as.example/.well-known/openid-configuration",
        ),
        (
            "https://as.example:8443/a/b",
            "https://as.example:8443/.well-known/oauth-authorization-server/a/b",
            "https://as.example:8443/a/b/.well-known/openid-configuration",
        ),
        (
            "https://as.example/a/",
            "https://as.example/.well-known/oauth-authorization-server/a",
            "https://as.example/a/.well-known/openid-configuration",
        ),
    ],
)
def test_an_issuers_path_goes_behind_the_well_known_part_of_one_url_and_before_that_of_the_other(
    issuer: str, oauth: str, openid: str
) -> None:
    assert well_known(issuer) == (oauth, openid)


def test_all_that_a_client_can_use_is_read() -> None:
    metadata = seen(
        authorization_endpoint="https://auth.test/authorize",
        revocation_endpoint="https://auth.test/revoke",
        introspection_endpoint="https://auth.test/introspect",
        device_authorization_endpoint="https://auth.test/device",
        authorization_response_iss_parameter_supported=True,
        code_challenge_methods_supported=["plain", "S256", 7, "x" * 100],
        scopes_supported=["a"],
    )
    assert metadata == Metadata(
        issuer=ISSUER,
        token_endpoint="https://auth.test/token",
        jwks="https://auth.test/jwks",
        authorization="https://auth.test/authorize",
        revocation="https://auth.test/revoke",
        introspection="https://auth.test/introspect",
        device="https://auth.test/device",
        iss_parameter_supported=True,
        code_challenge_methods=frozenset({"plain", "S256"}),
    )
    assert hash(metadata) == hash(evolve(metadata))


@pytest.mark.parametrize("odd", ["yes", 1, None, "true"])
def test_what_is_no_plain_truth_is_false(odd: object) -> None:
    metadata = seen(authorization_response_iss_parameter_supported=odd, code_challenge_methods_supported=odd)
    assert (metadata.iss_parameter_supported, metadata.code_challenge_methods) == (False, frozenset())


@pytest.mark.parametrize(
    ("document", "why"),
    [
        pytest.param(b"<html>", "the body cannot be read", id="a page"),
        pytest.param(b"[]", "the body is JSON but no object", id="a list"),
        pytest.param(b"\xff{}", "the body is not UTF-8", id="latin-1"),
        pytest.param(b"[" * 100_000, "the body cannot be read", id="nested"),
        pytest.param(
            b'{"issuer":"https://auth.test","issuer":"https://auth.test"}', "the body says issuer twice", id="issuer"
        ),
        pytest.param(
            b'{"token_endpoint":"https://auth.test/a","issuer":"https://auth.test","token_endpoint":"https://evil.test"}',
            "the body says token_endpoint twice",
            id="endpoint",
        ),
    ],
)
def test_what_cannot_be_read_as_one_document_is_a_failure_that_may_pass(document: bytes, why: str) -> None:
    failure = read(document)
    assert isinstance(failure, Failure)
    assert (failure.error, failure.reason, failure.transient) == (MalformedResponseError, "metadata", True)
    assert failure.detail == f"the metadata of https://auth.test cannot be used: {why}"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_a_place_without_a_document_is_a_matter_of_configuration(status: int) -> None:
    assert refusal(read(said(), status=status)).endswith("check issuer, or give token_endpoint")


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
def test_a_troubled_server_is_a_failure_that_may_pass(status: int) -> None:
    failure = read(b"", status=status, **{"Retry-After": "7"})
    assert isinstance(failure, Failure)
    assert (failure.error, failure.reason, failure.status) == (TokenEndpointError, f"http_{status}", status)
    assert (failure.transient, failure.retry_after) == (True, 7.0)


@pytest.mark.parametrize(
    "other",
    [
        "https://auth.test/",
        "https://AUTH.test",
        "https://auth.test:443",
        "http://auth.test",
        "https://auth.test/tenant",
        "https://auth.test.",
        "https://evil.test",
        "",
        None,
        ["https://auth.test"],
    ],
)
def test_an_issuer_is_compared_to_the_letter(other: object) -> None:
    detail = refusal(read(said() | {"issuer": other}))
    assert detail.endswith("set issuer to what the server calls itself, to the letter")
    assert ("differs by the slash at its end" in detail) is (other == "https://auth.test/")
    assert "evil" not in detail


ELSEWHERE = {
    "another host": ("https://evil.test/token", "https://evil.test"),
    "the address of a cloud's metadata": ("https://169.254.169.254/token", "https://169.254.169.254"),
    "loopback": ("https://127.0.0.1/token", "https://127.0.0.1"),
    "IPv6 loopback": ("https://[::1]/token", "https://[::1]"),
    "plain http on the host": ("http://auth.test/token", "http://auth.test"),
    "plain http on loopback": ("http://localhost/token", "http://localhost"),
    "a host that ends alike": ("https://evilauth.test/token", "https://evilauth.test"),
    "a host that begins alike": ("https://auth.test.evil.test/token", "https://auth.test.evil.test"),
    "a sibling domain": ("https://token.test/token", "https://token.test"),
    "the domain above": ("https://test/token", "https://test"),
    "a number for an address": ("https://2130706433/token", "https://2130706433"),
    "another script": ("https://xn--uth-5cd.test/token", "https://xn--uth-5cd.test"),
}


@pytest.mark.parametrize(("url", "origin"), ELSEWHERE.values(), ids=ELSEWHERE)
def test_a_token_endpoint_elsewhere_is_refused_by_its_origin(url: str, origin: str) -> None:
    metadata = seen(token_endpoint=url)
    assert metadata.token_endpoint is None
    assert dict(metadata.elsewhere) == {"token_endpoint": origin}
    assert refusal(completed(found(), metadata)) == (
        f"the metadata of https://auth.test put the token endpoint at {origin}, which is not on the issuer's site: "
        "where that is right, give token_endpoint with its URL"
    )


UNUSABLE = {
    "a script": "javascript:alert(1)",
    "a file": "file:///etc/passwd",
    "another protocol": "ftp://auth.test/token",
    "a user": "https://auth.test@evil.test/token",
    "a user and a password": "https://a:b@auth.test/token",
    "a fragment": "https://auth.test/token#x",
    "a backslash": "https://auth.test\\@evil.test/token",
    "an encoded host": "https://auth.test%2eevil.test/token",
    "a zero": "https://auth.test\x00.evil.test/token",
    "a line break": "https://auth.test/token\r\nHost: evil.test",
    "another script": "https://аuth.test/token",
    "a full stop of another script": "https://evil。auth.test/token",
    "no host": "https:///token",
    "a relative path": "/token",
    "no port": "https://auth.test:port/token",
    "too long": "https://auth.test/" + "x" * 2_048,
    "nothing": "",
    "a list": ["https://auth.test/token"],
    "a number": 7,
}


@pytest.mark.parametrize("url", UNUSABLE.values(), ids=UNUSABLE)
def test_what_is_no_url_of_an_endpoint_counts_as_none(url: object) -> None:
    members = {"authorization_endpoint": url, "token_endpoint": url, "mtls_endpoint_aliases": {"token_endpoint": url}}
    metadata = seen(client=found(authentication=ByCertificate("s")), **members)
    assert (metadata.authorization, metadata.token_endpoint, dict(metadata.elsewhere)) == (None, None, {})
    assert "name no token endpoint that can be used" in refusal(completed(found(), metadata))


@pytest.mark.parametrize(
    ("issuer", "url"),
    [
        (ISSUER, "https://auth.test/token"),
        (ISSUER, "https://AUTH.test:443/token"),
        (ISSUER, "https://auth.test:8443/token"),
        (ISSUER, "https://token.auth.test/token"),
        (ISSUER, "https://mtls.eu.auth.test:8443/token?tenant=a"),
        ("https://auth.test/tenant", "https://auth.test/other/token"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/token"),
        ("http://127.0.0.1:8000", "https://127.0.0.1:8443/token"),
        ("http://localhost:8000", "http://localhost:8000/token"),
    ],
)
def test_a_token_endpoint_on_the_issuers_site_is_taken(issuer: str, url: str) -> None:
    whole = completed(found(issuer), seen(issuer=issuer, token_endpoint=url))
    assert isinstance(whole, OAuthClient)
    assert whole.token_endpoint == url


@pytest.mark.parametrize(
    ("issuer", "url"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8001/token"),
        ("http://127.0.0.1:8000", "http://[::1]:8000/token"),
        ("http://localhost:8000", "http://sub.localhost:8000/token"),
        ("https://127.0.0.1", "https://evil.127.0.0.1/token"),
    ],
)
def test_plain_http_and_addresses_have_no_site_but_themselves(issuer: str, url: str) -> None:
    assert "not on the issuer's site" in refusal(completed(found(issuer), seen(issuer=issuer, token_endpoint=url)))


def test_an_endpoint_on_an_origin_that_the_client_names_is_taken() -> None:
    client = found(endpoints=Endpoints(jwks="https://keys.test/jwks"))
    whole = completed(client, seen(client=client, token_endpoint="https://keys.test:443/token"))
    assert isinstance(whole, OAuthClient)
    assert (whole.token_endpoint, whole.endpoints.jwks) == ("https://keys.test:443/token", "https://keys.test/jwks")


def test_what_the_client_says_itself_wins() -> None:
    client = found(token_endpoint="https://other.test/token", endpoints=Endpoints(revocation="https://auth.test/mine"))
    whole = completed(client, seen(client=client, revocation_endpoint="https://auth.test/theirs"), ("revocation",))
    assert isinstance(whole, OAuthClient)
    assert (whole.token_endpoint, whole.endpoints) == (
        "https://other.test/token",
        Endpoints(revocation="https://auth.test/mine", jwks="https://auth.test/jwks"),
    )


def test_another_endpoint_elsewhere_is_left_out_until_something_needs_it() -> None:
    metadata = seen(revocation_endpoint="https://evil.test/revoke")
    whole = completed(found(), metadata)
    assert isinstance(whole, OAuthClient)
    assert whole.endpoints == Endpoints(jwks="https://auth.test/jwks")
    assert refusal(completed(found(), metadata, ("revocation",))) == (
        "the metadata of https://auth.test put the revocation endpoint at https://evil.test, which is not on the "
        "issuer's site: where that is right, give endpoints=Endpoints(revocation=...) with its URL"
    )


def test_a_need_that_the_server_does_not_have_stays_open() -> None:
    whole = completed(found(), seen(), ("device",))
    assert isinstance(whole, OAuthClient)
    assert whole.endpoints.device is None


def test_a_client_with_a_certificate_asks_where_certificates_are_asked_for() -> None:
    members = {
        "revocation_endpoint": "https://auth.test/revoke",
        "authorization_endpoint": "https://auth.test/authorize",
        "mtls_endpoint_aliases": {
            "token_endpoint": "https://mtls.auth.test/token",
            "authorization_endpoint": "https://mtls.auth.test/authorize",
            "introspection_endpoint": "https://evil.test/introspect",
        },
    }
    metadata = seen(client=found(authentication=ByCertificate("s")), **members)
    assert metadata.token_endpoint == "https://mtls.auth.test/token"
    assert metadata.revocation == "https://auth.test/revoke"
    assert metadata.authorization == "https://auth.test/authorize", "a browser goes there"
    assert dict(metadata.elsewhere) == {"introspection": "https://evil.test"}
    assert seen(**members).token_endpoint == "https://auth.test/token"


def test_an_alias_elsewhere_is_refused_and_not_replaced_in_silence() -> None:
    client = found(authentication=ByCertificate("s"))
    metadata = seen(client=client, mtls_endpoint_aliases={"token_endpoint": "https://evil.test/token"})
    assert "https://evil.test" in refusal(completed(client, metadata))


@pytest.mark.parametrize("aliases", [[], "x", 7, None, {"token_endpoint": 7}])
def test_aliases_of_another_shape_count_as_none(aliases: object) -> None:
    metadata = seen(client=found(authentication=ByCertificate("s")), mtls_endpoint_aliases=aliases)
    assert metadata.token_endpoint == "https://auth.test/token"
