"""What oidc-provider offers and enforces, asked plainly: the tests of the library rely on it."""

from __future__ import annotations

import base64
import hashlib
import secrets
import ssl
import time
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from tests.kit.credentials import Certificate, Certificates, claims_of, make_key, signed
from tests.kit.oidc import (
    IDP,
    JWT_BEARER,
    NATIVE_CALLBACK,
    TOKEN_EXCHANGE,
    WEB_CALLBACK,
    OidcProvider,
    Registered,
)
from tests.servers.asking import BAD_GRANT, BY_ASSERTION, REFUSED, get, machine, post, refusal

JWT = "https://api.test/jwt"
OPAQUE = "https://api.test/opaque"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
JWT_TYPE = "urn:ietf:params:oauth:token-type:jwt"


# Client authentication


@pytest.mark.parametrize("name", ["basic", "odd"])
def test_basic_takes_an_encoded_id_and_secret_and_no_other_secret(oidc: OidcProvider, name: str) -> None:
    client = oidc.clients[name]
    assert post(oidc.token_endpoint, machine(), client=client).status_code == 200

    refused = post(oidc.token_endpoint, machine(), client=Registered(client_id=client.client_id, secret="other"))
    assert refusal(refused) == REFUSED
    assert refused.headers["www-authenticate"].startswith("Basic ")


def test_an_odd_id_that_is_not_encoded_is_refused(oidc: OidcProvider) -> None:
    odd = oidc.clients["odd"]
    raw = base64.b64encode(f"{odd.client_id}:{odd.secret}".encode()).decode()
    with httpx.Client(trust_env=False, verify=False) as http:
        answer = http.post(oidc.token_endpoint, data=machine(), headers={"authorization": f"Basic {raw}"})

    assert refusal(answer) == (400, "invalid_request")


def test_post_takes_its_secret_in_the_form_and_no_other_secret(oidc: OidcProvider) -> None:
    client = oidc.clients["post"]
    assert post(oidc.token_endpoint, machine(client_id="post", client_secret=client.secret or "")).status_code == 200
    assert refusal(post(oidc.token_endpoint, machine(client_id="post", client_secret="other"))) == REFUSED


def test_basic_and_post_are_told_apart(oidc: OidcProvider) -> None:
    secret = oidc.clients["basic"].secret or ""
    assert refusal(post(oidc.token_endpoint, machine(client_id="basic", client_secret=secret))) == REFUSED
    assert refusal(post(oidc.token_endpoint, machine(), client=oidc.clients["post"])) == REFUSED


def by_assertion(oidc: OidcProvider, assertion: str, **form: str) -> httpx.Response:
    return post(
        oidc.token_endpoint,
        {**machine(), "client_assertion_type": BY_ASSERTION, "client_assertion": assertion, **form},
    )


def own_assertion(oidc: OidcProvider, client_id: str, key: str, algorithm: str, **claims: Any) -> str:
    named = {"iss": client_id, "sub": client_id, "aud": oidc.issuer}
    return signed(key, algorithm, **(named | claims))


ASSERTING = [
    ("secret-jwt", "HS256"),
    ("key-es", "ES256"),
    ("key-rsa", "RS256"),
    ("key-rsa", "PS256"),
    ("key-ed", "EdDSA"),
]


@pytest.mark.parametrize(("name", "algorithm"), ASSERTING)
def test_an_assertion_of_a_client_is_taken_once(oidc: OidcProvider, name: str, algorithm: str) -> None:
    client = oidc.clients[name]
    assertion = own_assertion(oidc, name, client.key or client.secret or "", algorithm)

    assert by_assertion(oidc, assertion).status_code == 200
    assert refusal(by_assertion(oidc, assertion)) == REFUSED
    assert [entry.client for entry in oidc.journal()] == [name, name]


@pytest.mark.parametrize("name", ["secret-jwt", "key-es"])
@pytest.mark.parametrize("wrong", ["audience", "issuer", "expired", "no jti", "key"])
def test_a_wrong_assertion_of_a_client_is_refused(oidc: OidcProvider, name: str, wrong: str) -> None:
    client = oidc.clients[name]
    key = client.key or client.secret or ""
    other = make_key("ES256") if client.key else secrets.token_hex()
    claims: dict[str, dict[str, Any]] = {
        "audience": {"aud": "https://elsewhere.test"},
        "issuer": {"iss": "basic"},
        "expired": {"exp": int(time.time()) - 30},
        "no jti": {"jti": None},
    }
    assertion = own_assertion(
        oidc,
        name,
        other if wrong == "key" else key,
        "HS256" if client.key is None else "ES256",
        **claims.get(wrong, {}),
    )

    assert refusal(by_assertion(oidc, assertion)) == REFUSED


def by_certificate(oidc: OidcProvider, client_id: str, certificate: Certificate | None, **form: str) -> httpx.Response:
    tls = oidc.certificates.trusting(certificate)
    return post(oidc.mtls_token_endpoint, machine(client_id=client_id, **form), tls=tls)


@pytest.mark.parametrize("name", ["tls", "tls-san", "tls-bound"])
def test_a_certificate_of_the_ca_is_taken_by_its_names_whatever_its_key(oidc: OidcProvider, name: str) -> None:
    for certificate in (oidc.certificates.client, oidc.certificates.rotated):
        assert by_certificate(oidc, name, certificate).status_code == 200
        assert oidc.journal()[-1].certificate == certificate.fingerprint


@pytest.mark.parametrize("kind", ["none", "expired", "rogue", "server", "self_signed"])
@pytest.mark.parametrize("name", ["tls", "tls-san"])
def test_another_certificate_is_refused(oidc: OidcProvider, name: str, kind: str) -> None:
    certificate = None if kind == "none" else getattr(oidc.certificates, kind)

    assert refusal(by_certificate(oidc, name, certificate)) == REFUSED


def test_self_signed_certificates_are_taken_if_they_are_registered(oidc: OidcProvider) -> None:
    kept = oidc.certificates
    for certificate in (kept.self_signed, kept.self_signed_next):
        assert by_certificate(oidc, "self-signed", certificate).status_code == 200
    for other in (None, kept.client):
        assert refusal(by_certificate(oidc, "self-signed", other)) == REFUSED


def test_a_token_may_be_bound_to_the_certificate(oidc: OidcProvider) -> None:
    answer = by_certificate(oidc, "tls-bound", oidc.certificates.client, resource=JWT)

    claims = claims_of(answer.json()["access_token"], oidc.keys["ES256"])
    assert claims["cnf"] == {"x5t#S256": oidc.certificates.client.thumbprint}


def test_a_certificate_does_not_help_over_plain_http(oidc: OidcProvider) -> None:
    assert refusal(post(oidc.token_endpoint, machine(client_id="tls"))) == REFUSED


# Resources


@pytest.mark.parametrize("kind", ["jwt", "opaque"])
def test_the_resource_says_what_its_tokens_are_like(oidc: OidcProvider, kind: str) -> None:
    resource = f"https://api.test/{kind}/ttl/7/orders"
    answer = post(oidc.token_endpoint, machine(resource=resource, scope="read"), client=oidc.clients["basic"]).json()

    assert (answer["expires_in"], answer["scope"], answer["token_type"]) == (7, "read", "Bearer")
    if kind == "jwt":
        assert claims_of(answer["access_token"], oidc.keys["ES256"])["aud"] == resource
    else:
        assert introspected(oidc, answer["access_token"])["aud"] == resource


def test_an_unknown_resource_is_refused(oidc: OidcProvider) -> None:
    refused = post(oidc.token_endpoint, machine(resource="https://other.test/"), client=oidc.clients["basic"])
    assert refusal(refused) == (400, "invalid_target")


def introspected(oidc: OidcProvider, token: str) -> dict[str, Any]:
    answer = post(oidc.introspection_endpoint, {"token": token}, client=oidc.clients["basic"])
    assert answer.status_code == 200
    return dict(answer.json())


# Authorization code and refresh


def authorization(oidc: OidcProvider, client_id: str, **parameters: str) -> str:
    callback = NATIVE_CALLBACK if client_id == "native" else WEB_CALLBACK
    asked = {
        "client_id": client_id,
        "redirect_uri": callback,
        "response_type": "code",
        "scope": "openid offline_access read",
        "prompt": "consent",
        "state": "st",
        "nonce": "n",
    }
    return f"{oidc.authorization_endpoint}?{urlencode(asked | parameters)}"


def answered(callback: str) -> dict[str, str]:
    return {name: value for name, (value,) in parse_qs(urlsplit(callback).query).items()}


def redeemed(oidc: OidcProvider, client_id: str, code: str, **form: str) -> httpx.Response:
    callback = NATIVE_CALLBACK if client_id == "native" else WEB_CALLBACK
    asked = {"grant_type": "authorization_code", "code": code, "redirect_uri": callback, **form}
    if client_id == "web":
        return post(oidc.token_endpoint, asked, client=oidc.clients["web"])
    return post(oidc.token_endpoint, {**asked, "client_id": client_id})


def test_a_public_client_gets_tokens_for_its_code_with_the_right_verifier_only(oidc: OidcProvider) -> None:
    verifier = secrets.token_urlsafe(40)
    digest = hashlib.sha256(verifier.encode()).digest()
    challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    url = authorization(oidc, "native", code_challenge=challenge, code_challenge_method="S256")

    code = answered(oidc.authorize(url))["code"]
    tokens = redeemed(oidc, "native", code, code_verifier=verifier).json()
    assert {"access_token", "refresh_token", "id_token"} <= tokens.keys()
    code = answered(oidc.authorize(url))["code"]
    assert refusal(redeemed(oidc, "native", code, code_verifier=secrets.token_urlsafe(40))) == BAD_GRANT


def test_a_public_client_has_to_send_a_challenge(oidc: OidcProvider) -> None:
    assert answered(oidc.authorize(authorization(oidc, "native")))["error"] == "invalid_request"


def test_a_confidential_client_gets_a_signed_id_token(oidc: OidcProvider) -> None:
    callback = oidc.authorize(authorization(oidc, "web"), login="bob")
    assert callback.startswith(f"{WEB_CALLBACK}?")
    assert (answered(callback)["state"], answered(callback)["iss"]) == ("st", oidc.issuer)

    tokens = redeemed(oidc, "web", answered(callback)["code"]).json()
    claims = claims_of(tokens["id_token"], oidc.keys["RS256"], "RS256")
    assert (claims["iss"], claims["aud"], claims["sub"], claims["nonce"]) == (oidc.issuer, "web", "bob", "n")


def test_a_code_is_good_for_once_and_its_tokens_die_with_the_second_time(oidc: OidcProvider) -> None:
    code = answered(oidc.authorize(authorization(oidc, "web")))["code"]
    tokens = redeemed(oidc, "web", code).json()

    assert refusal(redeemed(oidc, "web", code)) == BAD_GRANT
    assert refusal(refreshed(oidc, tokens["refresh_token"])) == BAD_GRANT


def test_a_person_may_refuse(oidc: OidcProvider) -> None:
    assert answered(oidc.authorize(authorization(oidc, "web"), consents=False))["error"] == "access_denied"


def test_a_foreign_redirect_uri_gets_nothing(oidc: OidcProvider) -> None:
    with pytest.raises(AssertionError, match="400"):
        oidc.authorize(authorization(oidc, "web", redirect_uri="https://evil.test/"))


def refreshed(oidc: OidcProvider, token: str, **form: str) -> httpx.Response:
    asked = {"grant_type": "refresh_token", "refresh_token": token, **form}
    return post(oidc.token_endpoint, asked, client=oidc.clients["web"])


def test_a_refresh_token_is_rotated_and_a_spent_one_ends_the_session(oidc: OidcProvider) -> None:
    first = oidc.mint("web", subject="bob", resources=[JWT])
    answer = refreshed(oidc, first).json()
    second = answer["refresh_token"]
    assert claims_of(answer["access_token"], oidc.keys["ES256"])["sub"] == "bob"
    assert second != first

    assert refusal(refreshed(oidc, first)) == BAD_GRANT
    assert refusal(refreshed(oidc, second)) == BAD_GRANT


def test_a_refresh_token_gives_no_more_than_was_granted(oidc: OidcProvider) -> None:
    token = oidc.mint("web", scope="openid read", resources=[JWT, OPAQUE])

    assert refusal(refreshed(oidc, token, scope="admin", resource=JWT)) == (400, "invalid_scope")
    narrowed = refreshed(oidc, token, scope="read", resource=OPAQUE).json()
    assert introspected(oidc, narrowed["access_token"])["aud"] == OPAQUE


def test_a_refused_resource_spends_the_refresh_token_all_the_same(oidc: OidcProvider) -> None:
    token = oidc.mint("web", resources=[JWT])

    assert refusal(refreshed(oidc, token, resource=OPAQUE)) == (400, "invalid_target")
    assert refusal(refreshed(oidc, token, resource=JWT)) == BAD_GRANT


@pytest.mark.parametrize("name", ["native", "web-key"])
def test_other_clients_refresh_with_their_own_authentication(oidc: OidcProvider, name: str) -> None:
    client, form = oidc.clients[name], {"grant_type": "refresh_token", "refresh_token": oidc.mint(name)}
    if client.key:
        answer = by_assertion(oidc, own_assertion(oidc, name, client.key, "ES256"), **form)
    else:
        answer = post(oidc.token_endpoint, {**form, "client_id": name})
    assert answer.status_code == 200
    assert refusal(refreshed(oidc, answer.json()["refresh_token"])) == BAD_GRANT


# Assertions and token exchange


def bearing(oidc: OidcProvider, assertion: str, **form: str) -> httpx.Response:
    asked = {"grant_type": JWT_BEARER, "assertion": assertion, "resource": JWT, **form}
    return post(oidc.token_endpoint, asked, client=oidc.clients["bearer"])


def test_an_assertion_of_a_known_issuer_is_taken_once(oidc: OidcProvider) -> None:
    assertion = signed(oidc.idp, iss=IDP, sub="carol", aud=oidc.token_endpoint)
    answer = bearing(oidc, assertion, scope="read write").json()

    claims = claims_of(answer["access_token"], oidc.keys["ES256"])
    assert (claims["sub"], claims["scope"], claims["client_id"]) == ("carol", "read write", "bearer")
    assert refusal(bearing(oidc, assertion)) == BAD_GRANT


def test_clients_may_assert_in_their_own_names(oidc: OidcProvider) -> None:
    own = signed(oidc.clients["bearer"].key or "", iss="bearer", sub="bearer", aud=oidc.issuer)
    assert bearing(oidc, own).status_code == 200
    public = signed(oidc.clients["bearer-public"].key or "", iss="bearer-public", sub="carol", aud=oidc.issuer)
    asked = {"grant_type": JWT_BEARER, "assertion": public, "client_id": "bearer-public"}
    assert post(oidc.token_endpoint, asked).status_code == 200


@pytest.mark.parametrize("wrong", ["audience", "issuer", "expired", "early", "lasting", "no jti", "no sub", "key"])
def test_a_wrong_assertion_is_refused(oidc: OidcProvider, wrong: str) -> None:
    now = int(time.time())
    claims: dict[str, dict[str, Any]] = {
        "audience": {"aud": "https://elsewhere.test"},
        "issuer": {"iss": "https://other.test"},
        "expired": {"iat": now - 90, "exp": now - 30},
        "early": {"iat": now + 30, "exp": now + 90},
        "lasting": {"exp": now + 86_400},
        "no jti": {"jti": None},
        "no sub": {"sub": None},
    }
    said = {"iss": IDP, "sub": "carol", "aud": oidc.issuer} | claims.get(wrong, {})

    assertion = signed(make_key("ES256") if wrong == "key" else oidc.idp, **said)
    assert refusal(bearing(oidc, assertion)) == BAD_GRANT


def exchanged(oidc: OidcProvider, token: str, kind: str = ACCESS_TOKEN, **form: str) -> httpx.Response:
    asked = {"grant_type": TOKEN_EXCHANGE, "subject_token": token, "subject_token_type": kind, "resource": JWT, **form}
    return post(oidc.token_endpoint, asked, client=oidc.clients["exchange"])


@pytest.mark.parametrize("resource", [JWT, OPAQUE])
def test_an_access_token_is_exchanged_for_no_more_than_it_is_worth(oidc: OidcProvider, resource: str) -> None:
    lasting = f"{resource}/ttl/60"
    asked = {"resource": lasting, "scope": "read"}
    subject = refreshed(oidc, oidc.mint("web", subject="dave", resources=[lasting]), **asked).json()["access_token"]
    answer = exchanged(oidc, subject).json()

    assert answer["issued_token_type"] == ACCESS_TOKEN
    assert answer["expires_in"] <= 60
    claims = claims_of(answer["access_token"], oidc.keys["ES256"])
    assert (claims["sub"], claims["scope"]) == ("dave", "read")
    assert claims["act"] == {"sub": "exchange", "client_id": "exchange"}
    assert refusal(exchanged(oidc, subject, scope="read write")) == (400, "invalid_scope")
    assert refusal(exchanged(oidc, subject, resource="https://other.test/")) == (400, "invalid_target")
    assert refusal(exchanged(oidc, subject, requested_token_type=JWT_TYPE)) == (400, "invalid_request")
    again = claims_of(exchanged(oidc, answer["access_token"]).json()["access_token"], oidc.keys["ES256"])
    assert again["act"]["act"] == claims["act"]


def test_a_foreign_jwt_is_exchanged_and_an_actor_is_named(oidc: OidcProvider) -> None:
    subject, actor = (signed(oidc.idp, iss=IDP, sub=sub, aud=oidc.issuer) for sub in ("erin", "frank"))
    answer = exchanged(oidc, subject, JWT_TYPE, actor_token=actor, actor_token_type=JWT_TYPE, scope="read").json()

    claims = claims_of(answer["access_token"], oidc.keys["ES256"])
    assert (claims["sub"], claims["act"]["sub"]) == ("erin", "frank")


@pytest.mark.parametrize("token", ["unknown", "a.b.c"])
@pytest.mark.parametrize("kind", [ACCESS_TOKEN, JWT_TYPE, "urn:other"])
def test_a_wrong_subject_token_is_refused(oidc: OidcProvider, token: str, kind: str) -> None:
    assert refusal(exchanged(oidc, token, kind)) == (400, "invalid_request")


def test_a_grant_that_is_not_the_client_s_is_refused(oidc: OidcProvider) -> None:
    asked = {"grant_type": JWT_BEARER, "assertion": signed(oidc.idp, iss=IDP, sub="carol", aud=oidc.issuer)}
    assert refusal(post(oidc.token_endpoint, asked, client=oidc.clients["basic"])) == (400, "invalid_request")


# Revocation, introspection, discovery


def test_a_revoked_refresh_token_is_dead_and_so_is_what_it_brought(oidc: OidcProvider) -> None:
    answer = refreshed(oidc, oidc.mint("web", resources=[OPAQUE])).json()
    assert introspected(oidc, answer["access_token"])["active"] is True

    revoked = post(oidc.revocation_endpoint, {"token": answer["refresh_token"]}, client=oidc.clients["web"])
    assert (revoked.status_code, revoked.text) == (200, "")
    assert introspected(oidc, answer["access_token"])["active"] is False
    assert refusal(refreshed(oidc, answer["refresh_token"])) == BAD_GRANT


def test_an_access_token_is_revoked_by_its_own_client_only(oidc: OidcProvider) -> None:
    basic, odd = oidc.clients["basic"], oidc.clients["odd"]
    token = post(oidc.token_endpoint, machine(resource=OPAQUE), client=basic).json()["access_token"]

    assert refusal(post(oidc.revocation_endpoint, {"token": token}, client=odd)) == (400, "invalid_request")
    assert introspected(oidc, token)["active"] is True
    assert post(oidc.revocation_endpoint, {"token": token}, client=basic).status_code == 200
    assert introspected(oidc, token)["active"] is False
    assert post(oidc.revocation_endpoint, {"token": "unknown"}, client=basic).status_code == 200


def test_a_jwt_cannot_be_revoked(oidc: OidcProvider) -> None:
    basic = oidc.clients["basic"]
    token = post(oidc.token_endpoint, machine(resource=JWT), client=basic).json()["access_token"]

    assert refusal(post(oidc.revocation_endpoint, {"token": token}, client=basic)) == (400, "unsupported_token_type")


@pytest.mark.parametrize("name", ["oauth-authorization-server", "openid-configuration"])
def test_its_metadata_lies_at_both_places(oidc: OidcProvider, name: str) -> None:
    told = get(f"{oidc.issuer}/.well-known/{name}").json()

    assert told["issuer"] == oidc.issuer
    assert told["token_endpoint"] == oidc.token_endpoint
    assert told["revocation_endpoint"] == oidc.revocation_endpoint
    assert told["introspection_endpoint"] == oidc.introspection_endpoint
    assert told["authorization_endpoint"] == oidc.authorization_endpoint
    assert told["mtls_endpoint_aliases"]["token_endpoint"] == oidc.mtls_token_endpoint
    assert told["authorization_response_iss_parameter_supported"] is True
    assert {key["kid"] for key in get(told["jwks_uri"]).json()["keys"]} == {key["kid"] for key in oidc.keys.values()}
    assert [entry.status for entry in oidc.journal(f"/.well-known/{name}")] == [200]


# What stands in front of it


def test_the_journal_has_what_was_sent_and_what_came_back(oidc: OidcProvider) -> None:
    post(oidc.token_endpoint, machine(scope="read"), client=oidc.clients["odd"])

    (entry,) = oidc.journal()
    assert (entry.method, entry.client, entry.status) == ("POST", "we:ird id+%/", 200)
    assert entry.form == {"grant_type": "client_credentials", "scope": "read"}
    assert entry.headers["authorization"].startswith("Basic ")
    assert entry.answer["token_type"] == "Bearer"


def test_a_fault_answers_in_place_of_the_server_as_often_as_it_says(oidc: OidcProvider) -> None:
    token = oidc.mint()
    oidc.fault(status=503, headers={"Retry-After": "3"}, body="<html>", times=2, client="web")

    assert post(oidc.token_endpoint, machine(), client=oidc.clients["basic"]).status_code == 200
    for _ in range(2):
        answer = refreshed(oidc, token)
        assert (answer.status_code, answer.text, answer.headers["retry-after"]) == (503, "<html>", "3")
    assert oidc.faults_left() == 0
    assert refreshed(oidc, token).status_code == 200


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("how", ["drop", "status"])
def test_a_fault_comes_before_the_server_acts_or_after(oidc: OidcProvider, when: Any, how: str) -> None:
    token = oidc.mint()
    oidc.fault(when=when, drop=how == "drop", status=502 if how == "status" else None)

    if how == "drop":
        with pytest.raises(httpx.RemoteProtocolError):
            refreshed(oidc, token)
    else:
        assert refreshed(oidc, token).status_code == 502
    assert refreshed(oidc, token).status_code == (200 if when == "before" else 400)


def test_a_delay_holds_an_answer_back(oidc: OidcProvider) -> None:
    oidc.fault(delay=30.0)
    with httpx.Client(trust_env=False, verify=False, timeout=0.1) as http, pytest.raises(httpx.ReadTimeout):
        http.post(oidc.token_endpoint, data=machine())
    oidc.fault(delay=0.01)
    assert post(oidc.token_endpoint, machine(), client=oidc.clients["basic"]).status_code == 200


def test_its_certificate_is_proved(oidc: OidcProvider, certificates: Certificates) -> None:
    assert oidc.certificates is certificates
    with pytest.raises(httpx.ConnectError, match="certificate"):
        post(oidc.mtls_token_endpoint, machine(), tls=ssl.create_default_context())
