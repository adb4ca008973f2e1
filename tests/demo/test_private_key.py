"""The demo's desk for Auth0: who has a key proves itself with a JWT for the issuer, each once, and with no secret."""

from __future__ import annotations

from typing import Any

import pytest
from tests.demo.asking import pair, post, refusal, signed, without

from tokenflight.demo.authority import AUTH0, Authority
from tokenflight.demo.books import Books
from tokenflight.demo.turnstile import Turnstile

pytestmark = pytest.mark.anyio

FORM = {
    "grant_type": "client_credentials",
    "client_id": "billing",
    "audience": "https://invoices.example/",
    "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
}
JTI = "0123456789abcdef"
CLAIMS = {"iss": "billing", "sub": "billing", "aud": "https://demo.auth0.example/", "jti": JTI, "exp": 60, "iat": 0}


@pytest.fixture
def books() -> Books:
    return Books(secrets={"orders": "s3cret"})


@pytest.fixture
def authority(books: Books) -> Authority:
    return Authority(books, Turnstile(), keys={"billing": pair("billing")})


def proven(key: str = "billing", **claims: Any) -> dict[str, str]:
    return {**FORM, "client_assertion": signed(pair(key), {**CLAIMS, **claims}, kid=pair("billing").id)}


async def test_a_client_with_a_key_gets_its_token_for_a_signature(authority: Authority, books: Books) -> None:
    response = await post(authority, AUTH0, {**proven(), "organization": "org_north"})

    asked = ("billing", "org_north", "https://invoices.example/")
    assert (response.status_code, books.living(response.json()["access_token"])) == (200, asked)
    assert (books.jtis, books.answers) == ({"billing": [JTI]}, {"billing": [200]})


async def test_an_assertion_is_taken_once(authority: Authority, books: Books) -> None:
    form = proven()
    await post(authority, AUTH0, form)

    assert refusal(await post(authority, AUTH0, form)) == (401, "invalid_client")
    assert books.answers == {"billing": [200, 401]}


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "orders"},
        {"sub": "orders"},
        {"sub": None},
        {"aud": "https://demo.auth0.example"},
        {"aud": "https://demo.auth0.example/oauth/token"},
        {"aud": None},
        {"exp": None},
        {"exp": -1},
        {"exp": 301},
        {"iat": 2**40},
        {"jti": None},
    ],
    ids=str,
)
async def test_an_assertion_with_a_wrong_claim_is_refused(
    authority: Authority, books: Books, claims: dict[str, Any]
) -> None:
    assert refusal(await post(authority, AUTH0, proven(**claims))) == (401, "invalid_client")
    assert (books.requests.total(), len(books.refusals)) == (0, 1)


async def test_another_key_and_another_kind_of_assertion_are_refused(authority: Authority) -> None:
    forged = await post(authority, AUTH0, proven("another"))
    saml = await post(authority, AUTH0, {**proven(), "client_assertion_type": "urn:saml2"})

    assert [refusal(answer) for answer in (forged, saml)] == [(401, "invalid_client")] * 2


async def test_each_client_proves_itself_in_its_own_way_alone(authority: Authority) -> None:
    both = await post(authority, AUTH0, {**proven(), "client_secret": "s3cret"})
    by_secret = await post(authority, AUTH0, {**without(FORM, "client_assertion_type"), "client_secret": "s3cret"})
    by_key = await post(authority, AUTH0, {**proven(), "client_id": "orders"})

    assert [refusal(answer) for answer in (both, by_secret, by_key)] == [(400, "invalid_request")] * 3
