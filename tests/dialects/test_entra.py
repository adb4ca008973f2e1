from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.dialects.asking import lifetime, provider, refusal, token
from tests.doubles.odd import OddDouble
from tests.doubles.odd.entra import TENANT
from tests.kit.canary import canary
from tests.kit.credentials import Certificate, jwk_of, make_key

from tokenflight import (
    Audience,
    ConfigurationError,
    InvalidClientError,
    InvalidGrantError,
    OAuthClient,
    Subject,
    SubjectToken,
    TokenEndpointError,
    TokenKey,
)
from tokenflight.dialects import entra
from tokenflight.protocol.grants import check_key
from tokenflight.testing import Throttle, VirtualClock

pytestmark = pytest.mark.anyio
APP = "11111111-2222-3333-4444-555555555555"
GRAPH = "https://graph.microsoft.com"


@pytest.fixture
def double() -> OddDouble:
    made = OddDouble()
    made.entra.resources |= {GRAPH, "api://orders"}
    made.entra.secrets[APP] = canary("secret")
    return made


def client(double: OddDouble, **fields: Any) -> OAuthClient:
    return entra.client(**{"tenant": TENANT, "client_id": APP, "client_secret": double.entra.secrets[APP]} | fields)


@pytest.mark.proves("Entra", "client_credentials, client_secret_post")
async def test_a_secret_gets_a_token_for_an_api_by_its_default_scope(double: OddDouble) -> None:
    got = await token(client(double), double, audience=GRAPH)

    [seen] = double.ledger
    assert seen.form == {
        "grant_type": "client_credentials",
        "scope": f"{GRAPH}/.default",
        "client_id": APP,
        "client_secret": double.entra.secrets[APP],
    }
    assert got.access_token.reveal() == double.tokens[-1]
    assert (lifetime(got), got.extra["ext_expires_in"]) == (3599, 3599)


async def test_apis_have_tokens_of_their_own(double: OddDouble) -> None:
    async with provider(client(double), double) as tokens:
        assert await tokens.token(audience=GRAPH) != await tokens.token(audience="api://orders")
        assert await tokens.token(scope=f"{GRAPH}/.default") is await tokens.token(scope=[f"{GRAPH}/.default"])


@pytest.mark.proves("Entra", "client_credentials, private_key_jwt by certificate")
@pytest.mark.parametrize("together", [True, False])
async def test_a_certificate_gets_a_token(double: OddDouble, together: bool, tmp_path: Path) -> None:
    key, pem = rsa_certificate(tmp_path)
    double.entra.certificates[APP] = {thumbprint(pem): public(key.read_text())}
    both = tmp_path / "both.pem"
    both.write_text(key.read_text() + pem.read_text())
    proof = entra.certificate(both) if together else entra.certificate(key, pem)

    got = await token(client(double, client_secret=None, authentication=proof), double, audience=GRAPH)

    assert got.access_token.reveal() == double.tokens[-1]
    assert set(double.ledger[0].form) == {
        "grant_type", "scope", "client_id", "client_assertion", "client_assertion_type",
    }  # fmt: skip


def rsa_certificate(folder: Path) -> tuple[Path, Path]:
    """Write an RSA key and a certificate of it, as `openssl req -x509` does."""
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

    pem = make_key("RS256")
    private: Any = load_pem_private_key(pem.encode(), None)
    name, now = x509.Name([]), datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, private.public_key(), x509.random_serial_number())
    signed = made.not_valid_before(now).not_valid_after(now + timedelta(days=1)).sign(private, hashes.SHA256())
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    key.write_text(pem, "ascii")
    certificate.write_bytes(signed.public_bytes(Encoding.PEM))
    return key, certificate


def public(pem: str) -> dict[str, Any]:
    """Return a public JWK without a name: Entra finds it by the certificate's hash."""
    return {name: value for name, value in jwk_of(pem, "RS256").items() if name != "kid"}


def thumbprint(certificate: Path) -> str:
    return Certificate(certificate, certificate, certificate).thumbprint


async def test_a_certificate_that_was_not_uploaded_is_refused_with_advice(double: OddDouble, tmp_path: Path) -> None:
    key, pem = rsa_certificate(tmp_path)
    double.entra.certificates[APP] = {"another": public(make_key("RS256"))}
    proof = entra.certificate(key, pem)

    error = await refusal(client(double, client_secret=None, authentication=proof), double, audience=GRAPH)

    assert isinstance(error, InvalidClientError)
    assert "upload the certificate" in (error.hint or "")


@pytest.mark.proves("Entra", "client_credentials, federated token file")
async def test_a_federated_token_file_is_read_for_each_request(double: OddDouble, tmp_path: Path) -> None:
    file = tmp_path / "token"
    workload = client(double, client_secret=None, authentication=entra.federated_token(file))
    async with provider(workload, double) as tokens:
        for audience in (GRAPH, "api://orders"):
            double.entra.federated[APP] = canary("federated")
            file.write_text(double.entra.federated[APP] + "\n")
            await tokens.token(audience=audience)

    assert [seen.status for seen in double.ledger] == [200, 200]


@pytest.mark.proves("Entra", "on-behalf-of, client_secret_post")
async def test_a_callers_token_is_taken_on(double: OddDouble) -> None:
    caller = canary("caller")
    double.entra.callers.add(caller)
    middle = entra.on_behalf_of(tenant=TENANT, client_id=APP, client_secret=double.entra.secrets[APP])
    async with provider(middle, double) as tokens:
        subject = SubjectToken(caller)
        first = await tokens.token(subject=subject, scope=f"{GRAPH}/User.Read")
        await tokens.token(subject=subject, audience="api://orders")

    one, other = double.ledger
    assert one.form == {
        "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "scope": f"{GRAPH}/User.Read",
        "requested_token_use": "on_behalf_of",
        "assertion": caller,
        "client_id": APP,
        "client_secret": double.entra.secrets[APP],
    }
    assert other.form["scope"] == "api://orders/.default"
    assert first.scope == {f"{GRAPH}/User.Read"}


async def test_a_callers_token_that_is_not_for_the_app_is_a_refused_grant(double: OddDouble) -> None:
    middle = entra.on_behalf_of(tenant=TENANT, client_id=APP, client_secret=double.entra.secrets[APP])

    error = await refusal(middle, double, subject=SubjectToken(canary("other")), audience=GRAPH)

    assert isinstance(error, InvalidGrantError)
    assert "its aud must be this app" in (error.hint or "")


async def test_a_token_of_a_day_is_renewed_when_the_server_wants_it() -> None:
    clock = VirtualClock()
    double = OddDouble(clock=clock)
    double.entra.resources.add(GRAPH)
    double.entra.secrets[APP] = canary("secret")
    double.entra.answer_with = {"expires_in": 86399, "ext_expires_in": 86399, "refresh_in": 43199}
    async with provider(client(double), double, clock=clock) as tokens:
        source = tokens.source(audience=GRAPH, keep_warm=True)
        await clock.run(source.token)
        await clock.advance(43_000)
        assert len(double.ledger) == 1
        await clock.advance(5_000)
        assert len(double.ledger) == 2


@pytest.mark.parametrize(
    ("fields", "how", "kind", "words"),
    [
        ({"client_secret": "the id of the secret"}, {"audience": GRAPH}, InvalidClientError, "not its id"),
        ({"client_id": "another"}, {"audience": GRAPH}, TokenEndpointError, "compare tenant and client_id"),
        ({}, {"audience": "api://nobody"}, TokenEndpointError, "Application ID URI"),
        ({}, {"scope": f"{GRAPH}/User.Read"}, TokenEndpointError, "pass audience="),
    ],
)
async def test_refusals_say_what_to_do(
    double: OddDouble, fields: dict[str, Any], how: dict[str, Any], kind: type[TokenEndpointError], words: str
) -> None:
    error = await refusal(client(double, **fields), double, **how)

    assert type(error) is kind
    assert words in (error.hint or "")
    assert (error.transient, error.attempts) == (False, 1)
    assert error.request_id == "24053e5f-0000-0000-0000-4d1b8e8a1c00"
    assert (error.error_description or "").startswith("AADSTS")
    assert (error.error_uri or "").startswith("https://login.microsoftonline.com/error?code=")


async def test_an_unknown_api_is_an_invalid_target_and_no_fault_of_the_client(double: OddDouble) -> None:
    async with provider(client(double), double) as tokens:
        with pytest.raises(TokenEndpointError) as caught:
            await tokens.token(audience="api://nobody")
        assert caught.value.error == "invalid_target"
        await tokens.token(audience=GRAPH)


async def test_too_many_requests_in_plain_text_wait_as_long_as_they_are_told_to(double: OddDouble) -> None:
    double.always(Throttle(60))

    error = await refusal(client(double), double, audience=GRAPH)

    assert (error.transient, error.retry_after, error.reason) == (True, pytest.approx(60, abs=2), "http_429")


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (TokenKey(client="c"), "needs to know the API"),
        (TokenKey(client="c", audience=Audience(GRAPH, "resource")), "without a type"),
        (TokenKey(client="c", audience=Audience(GRAPH), scope=frozenset({"x"})), "does not join"),
        (TokenKey(client="c", audience=Audience(GRAPH), subject=Subject("somebody")), "the subject would be dropped"),
    ],
)
def test_a_key_that_entra_cannot_serve_is_refused_before_anything_is_sent(
    double: OddDouble, key: TokenKey, words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        check_key(client(double), key)


@pytest.mark.parametrize("tenant", ["", "https://login.microsoftonline.com/x", "a b", None])
def test_what_is_no_tenant_is_refused(double: OddDouble, tenant: Any) -> None:
    with pytest.raises(ConfigurationError, match="copy it from Microsoft Entra admin center"):
        client(double, tenant=tenant)


def test_another_cloud_is_another_authority_and_a_stand_in_has_no_other_endpoints(double: OddDouble) -> None:
    china = client(double, authority="https://login.partner.microsoftonline.cn/")
    local = client(double, token_endpoint="http://localhost:1/token")

    assert china.token_endpoint == f"https://login.partner.microsoftonline.cn/{TENANT}/oauth2/v2.0/token"
    assert china.endpoints.jwks == f"https://login.partner.microsoftonline.cn/{TENANT}/discovery/v2.0/keys"
    assert local.endpoints.jwks is None


def test_a_jwk_needs_its_certificate_beside_it() -> None:
    with pytest.raises(ConfigurationError, match="pass certificate="):
        entra.certificate(jwk_of(make_key("RS256"), "RS256", private=True))


def test_what_is_sent_on_behalf_of_somebody_may_have_more_parameters(double: OddDouble) -> None:
    middle = entra.on_behalf_of(tenant=TENANT, client_id=APP, client_secret="hush", parameters={"claims": "{}"})

    assert dict(middle.parameters) == {"requested_token_use": "on_behalf_of", "claims": "{}"}
