"""What the servers of Authlib and django-oauth-toolkit offer and enforce, asked plainly."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from tests.kit.credentials import make_key, signed
from tests.kit.oidc import JWT_BEARER, Registered
from tests.kit.opinions import Opinion
from tests.servers.asking import BAD_GRANT, BY_ASSERTION, REFUSED, get, machine, post, refusal


def refreshed(server: Opinion, token: str) -> httpx.Response:
    asked = {"grant_type": "refresh_token", "refresh_token": token}
    return post(server.token_endpoint, asked, client=server.clients["web"])


def revoked(server: Opinion, token: str, client: str = "web") -> httpx.Response:
    return post(server.revocation_endpoint, {"token": token}, client=server.clients[client])


@pytest.mark.parametrize("name", ["basic", "odd"])
def test_authlib_takes_the_right_secret(authlib: Opinion, name: str) -> None:
    client = authlib.clients[name]
    assert post(authlib.token_endpoint, machine(scope="read"), client=client).json()["scope"] == "read"
    other = Registered(client_id=client.client_id, secret="other")
    assert refusal(post(authlib.token_endpoint, machine(), client=other)) == REFUSED


def test_authlib_tells_basic_from_post(authlib: Opinion) -> None:
    secret = {name: authlib.clients[name].secret or "" for name in ("basic", "post")}
    good = post(authlib.token_endpoint, machine(client_id="post", client_secret=secret["post"]))
    assert good.status_code == 200
    swapped = [
        post(authlib.token_endpoint, machine(client_id="basic", client_secret=secret["basic"])),
        post(authlib.token_endpoint, machine(), client=authlib.clients["post"]),
    ]
    assert [refusal(each) for each in swapped] == [REFUSED] * 2


def test_authlib_takes_an_assertion_of_a_client_once(authlib: Opinion) -> None:
    def asked(key: str, **claims: Any) -> httpx.Response:
        assertion = signed(key, "RS256", iss="key", sub="key", **({"aud": authlib.token_endpoint} | claims))
        form = {"client_assertion_type": BY_ASSERTION, "client_assertion": assertion}
        return post(authlib.token_endpoint, machine(**form))

    key = authlib.clients["key"].key or ""
    assert asked(key, jti="one").status_code == 200
    assert refusal(asked(key, jti="one")) == (400, "invalid_client")
    assert refusal(asked(key, aud="https://elsewhere.test")) == (400, "invalid_client")
    assert refusal(asked(make_key("RS256"))) == (400, "invalid_client")


def test_authlib_takes_an_assertion_for_a_person_once(authlib: Opinion) -> None:
    def asked(key: str, **claims: Any) -> httpx.Response:
        said = {"iss": "bearer", "sub": "carol", "aud": authlib.token_endpoint} | claims
        return post(
            authlib.token_endpoint, {"grant_type": JWT_BEARER, "assertion": signed(key, **said), "scope": "read"}
        )

    key = authlib.clients["bearer"].key or ""
    assert asked(key, jti="one").status_code == 200
    assert refusal(asked(key, jti="one")) == (400, "invalid_request")
    assert refusal(asked(key, aud="https://elsewhere.test")) == BAD_GRANT
    assert refusal(asked(key, iss="nobody")) == BAD_GRANT
    assert refusal(asked(make_key("ES256"))) == BAD_GRANT


def test_authlib_rotates_and_bears_no_grudge(authlib: Opinion) -> None:
    first = authlib.mint()
    second = refreshed(authlib, first).json()["refresh_token"]

    assert refusal(refreshed(authlib, first)) == BAD_GRANT
    assert refreshed(authlib, second).status_code == 200


def test_authlib_revokes(authlib: Opinion) -> None:
    token = authlib.mint()
    assert refusal(revoked(authlib, token, "basic")) == BAD_GRANT
    assert revoked(authlib, token).status_code == 200
    assert refusal(refreshed(authlib, token)) == BAD_GRANT


def test_django_takes_the_right_secret_by_basic_and_post_alike(django: Opinion) -> None:
    secret = django.clients["basic"].secret or ""
    assert post(django.token_endpoint, machine(), client=django.clients["basic"]).status_code == 200
    assert post(django.token_endpoint, machine(client_id="basic", client_secret=secret)).status_code == 200

    refused = post(django.token_endpoint, machine(), client=Registered(client_id="basic", secret="other"))
    assert refusal(refused) == REFUSED
    assert refused.headers["www-authenticate"].startswith("Bearer ")
    assert refusal(post(django.token_endpoint, machine(client_id="post", client_secret="other"))) == REFUSED


def test_django_rotates_and_a_spent_token_ends_the_session(django: Opinion) -> None:
    first = django.mint()
    second = refreshed(django, first).json()["refresh_token"]

    assert refusal(refreshed(django, first)) == BAD_GRANT
    assert refusal(refreshed(django, second)) == BAD_GRANT


def test_django_revokes(django: Opinion) -> None:
    token = django.mint()
    assert revoked(django, token, "basic").status_code == 200
    assert refreshed(django, token).status_code == 200
    token = django.mint()
    assert revoked(django, token).status_code == 200
    assert refusal(refreshed(django, token)) == BAD_GRANT


def test_django_publishes_its_metadata_where_rfc_8414_looks_for_an_issuer_with_a_path(django: Opinion) -> None:
    origin, path = django.issuer.removesuffix("/o"), "/.well-known/oauth-authorization-server"
    for url in (f"{origin}{path}/o", f"{origin}/o{path}"):
        told = get(url).json()
        assert told["issuer"] == django.issuer
        assert told["token_endpoint"] == django.token_endpoint
        assert told["revocation_endpoint"] == django.revocation_endpoint
