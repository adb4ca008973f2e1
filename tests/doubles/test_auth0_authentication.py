from __future__ import annotations

import base64
import ssl
import tempfile
from typing import Any

import httpx
import pytest
from tests.doubles.auth0 import REVOKE, TOKEN
from tests.doubles.auth0.scene import API, claims, credentials, machine, tenant, with_assertion, without
from tests.doubles.reaching import WAYS, Way, failed, reached
from tests.doubles.tokens import key, peeked, public, signed, unsigned
from tests.kit.pki import Issued, authority

from tokenflight.testing import VirtualClock

pytestmark = pytest.mark.anyio

UNAUTHORIZED = (401, "access_denied", "Unauthorized")
FAILED = (401, "invalid_client", "Client authentication failed")


@pytest.mark.parametrize("way", WAYS)
async def test_basic_is_for_who_is_configured_so(way: Way) -> None:
    double = tenant()
    known = credentials(double, "the-basic")
    auth = (known["client_id"], known["client_secret"])
    form = machine(double, client_id=None, client_secret=None)
    posted = credentials(double)
    async with reached(double, way) as http:
        good = await http.post(TOKEN, data=form, auth=auth)
        wrong = [
            await http.post(TOKEN, data=form | known),
            await http.post(TOKEN, data=form | known, auth=auth),
            await http.post(TOKEN, data=form | {"client_id": "the-post"}, auth=auth),
            await http.post(TOKEN, data=form, auth=("the-basic", "wrong")),
            await http.post(TOKEN, data=form, auth=(posted["client_id"], posted["client_secret"])),
            await http.post(TOKEN, data=form | known, headers={"authorization": "Basic nonsense"}),
        ]
    assert good.status_code == 200
    assert [failed(answer) for answer in wrong] == [UNAUTHORIZED] * 6


async def test_basic_may_be_encoded_as_the_rfc_says() -> None:
    double = tenant()
    double.client("the-basic", method="basic", secret="a+b/&= ü")
    encoded = base64.b64encode(b"the-basic:a%2Bb%2F%26%3D+%C3%BC").decode()
    async with reached(double) as http:
        form = machine(double, client_id=None, client_secret=None)
        answer = await http.post(TOKEN, data=form, headers={"authorization": f"Basic {encoded}"})
    assert answer.status_code == 200


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("kind", "algorithm"),
    [("RSA", "RS256"), ("RSA", "RS384"), ("RSA", "PS256"), ("RSA", "PS384"), ("P-256", "ES256"), ("P-384", "ES384")],
)
async def test_an_assertion_is_taken_with_and_without_a_client_id(way: Way, kind: str, algorithm: str) -> None:
    double = tenant()
    mine = key(f"client-{kind}", kind)
    double.tenant.clients["the-key"].keys = [public(mine)]
    async with reached(double, way) as http:
        origin = str(http.base_url).rstrip("/")
        answers = [
            await http.post(
                TOKEN, data=with_assertion(double, signed(told, mine, algorithm=algorithm), client_id=mentioned)
            )
            for mentioned, told in ((None, claims(double, origin)), ("the-key", claims(double, origin)))
        ]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert (peeked(answers[0].json()["access_token"]) or {})["azp"] == "the-key"


@pytest.mark.parametrize(
    "other",
    [
        {"iss": "the-post"},
        {"sub": "the-post"},
        {"iss": None},
        {"aud": "https://tenant.eu.auth0.com"},
        {"aud": "https://tenant.eu.auth0.com/oauth/token"},
        {"aud": ["https://tenant.eu.auth0.com/", "https://another.example/"]},
        {"aud": None},
        {"jti": None},
        {"jti": "x" * 65},
        {"exp": None},
        {"exp": "1750000060"},
        {"exp": True},
        {"exp": 1_750_000_000},
        {"exp": 1_750_000_301},
        {"iat": 1_750_000_011},
        {"nbf": 1_750_000_011},
        {"padding": "x" * 1500},
    ],
)
async def test_each_claim_of_an_assertion_is_checked(other: dict[str, Any]) -> None:
    double = tenant(clock=VirtualClock())
    async with reached(double) as http:
        answer = await http.post(TOKEN, data=with_assertion(double, signed(claims(double, **other), key("client-key"))))
    assert failed(answer) == FAILED


@pytest.mark.parametrize(
    "other",
    [
        {"aud": ["https://tenant.eu.auth0.com/"]},
        {"exp": 1_750_000_300},
        {"iat": 1_750_000_010, "nbf": 1_750_000_010},
        {"iat": None},
    ],
)
async def test_the_bounds_of_an_assertion_are_good(other: dict[str, Any]) -> None:
    double = tenant(clock=VirtualClock())
    async with reached(double) as http:
        answer = await http.post(TOKEN, data=with_assertion(double, signed(claims(double, **other), key("client-key"))))
    assert answer.status_code == 200


async def test_an_assertion_is_signed_used_once_and_the_only_proof() -> None:
    double = tenant()
    good, mine = with_assertion(double), key("client-key")
    wrong = [
        with_assertion(double, signed(claims(double), key("another"))),
        with_assertion(double, signed(claims(double), key("another"), kid="client-key")),
        with_assertion(double, signed(claims(double), mine, algorithm="RS512")),
        with_assertion(double, unsigned(claims(double))),
        with_assertion(double, "nonsense"),
        with_assertion(double, client_assertion_type=None),
        with_assertion(double, client_assertion_type="urn:ietf:params:oauth:client-assertion-type:saml2-bearer"),
        with_assertion(double, client_assertion=None, client_id="the-key"),
        with_assertion(double, client_id="the-key", client_secret="x"),
        without(with_assertion(double) | {"client_id": "the-post"}),
    ]
    async with reached(double) as http:
        assert (await http.post(TOKEN, data=good)).status_code == 200
        answers = [await http.post(TOKEN, data=form) for form in (good, *wrong)]
    assert [failed(answer)[0] for answer in answers] == [401] * 11
    assert [failed(answer) for answer in answers[:-1]] == [FAILED] * 10


async def test_a_client_of_certificates_is_known_by_its_thumbprint() -> None:
    double = tenant()
    double.client("the-tls", method="tls", thumbprint="the-thumbprint")
    form = {"grant_type": "client_credentials", "client_id": "the-tls", "audience": API}

    async with reached(double) as http:
        bare = await http.post(TOKEN, data=form)
        secret = await http.post(TOKEN, data=form | {"client_secret": double.tenant.clients["the-tls"].secret})
    assert [failed(answer) for answer in (bare, secret)] == [FAILED, FAILED]


async def test_a_certificate_authenticates_over_tls_and_binds_the_token() -> None:
    mine, other = authority().client("mine"), authority().client("other")
    double = tenant()
    double.client("the-tls", method="tls", thumbprint=mine.thumbprint)
    form = {"grant_type": "client_credentials", "client_id": "the-tls", "audience": API}
    async with double.serve(ssl_context=authority().server()) as url:
        answers, token = [], ""
        for issued in (mine, other):
            async with httpx.AsyncClient(base_url=url, verify=_presenting(issued), trust_env=False) as http:
                answers.append(await http.post(TOKEN, data=form))
                token = token or answers[0].json()["access_token"]
                answers.append(await http.get("/api", headers={"authorization": f"Bearer {token}"}))
    assert [answer.status_code for answer in answers] == [200, 200, 401, 401]
    assert (peeked(token) or {})["cnf"] == {"x5t#S256": mine.thumbprint}


def _presenting(issued: Issued) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=authority().ca.cert_pem.bytes().decode())
    with tempfile.NamedTemporaryFile() as file:
        file.write(issued.key + issued.certificate)
        file.flush()
        context.load_cert_chain(file.name)
    return context


async def test_a_public_client_has_no_token_of_its_own() -> None:
    double = tenant()
    spa = double.tenant.clients["the-spa"]
    spa.grant_types |= {"client_credentials"}
    async with reached(double) as http:
        answer = await http.post(TOKEN, data={"grant_type": "client_credentials", "client_id": "the-spa"})
    assert failed(answer)[:2] == (403, "unauthorized_client")


async def test_who_revokes_authenticates_too() -> None:
    double = tenant()
    async with reached(double) as http:
        access = (await http.post(TOKEN, data=machine(double))).json()["access_token"]
        proof = without(with_assertion(double) | {"grant_type": None, "audience": None})
        answers = [
            await http.post(REVOKE, data=credentials(double) | {"token": "unknown"}),
            await http.post(REVOKE, json=credentials(double) | {"token": "unknown"}),
            await http.post(REVOKE, data=proof | {"token": "unknown"}),
        ]
        wrong = [
            await http.post(REVOKE, data=credentials(double)),
            await http.post(REVOKE, data=credentials(double) | {"token": "t", "scope": "a"}),
            await http.post(REVOKE, data=credentials(double) | {"token": access}),
            await http.post(REVOKE, data=credentials(double) | {"client_secret": "wrong", "token": "t"}),
            await http.post(REVOKE, data=proof | {"token": "unknown"}),
        ]
    assert [(answer.status_code, answer.content) for answer in answers] == [(200, b"")] * 3
    assert [failed(answer)[1] for answer in wrong] == [
        "invalid_request",
        "invalid_request",
        "unsupported_token_type",
        "access_denied",
        "invalid_client",
    ]
