from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from tests.dialects.asking import lifetime, provider, refusal, token
from tests.doubles.odd import CLIENT, OddDouble
from tests.doubles.odd.entra import TENANT, THROTTLED, thumbprint
from tests.doubles.odd.entra import refusal as recorded
from tests.doubles.odd.scene import claims, sign
from tests.doubles.tokens import certificate, header_of, key
from tests.kit.canary import canary

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
from tokenflight.testing import VirtualClock

pytestmark = pytest.mark.anyio
GRAPH = "https://graph.microsoft.com"


@pytest.fixture
def double() -> OddDouble:
    return OddDouble()


def client(double: OddDouble, **fields: Any) -> OAuthClient:
    return entra.client(**{"tenant": TENANT, "client_id": CLIENT, "client_secret": double.secrets[CLIENT]} | fields)


@pytest.mark.proves("Entra", "client_credentials, client_secret_post")
async def test_a_secret_gets_a_token_for_an_api_by_its_default_scope(double: OddDouble) -> None:
    got = await token(client(double), double, audience=GRAPH)

    [seen] = double.ledger
    assert seen.form == {
        "grant_type": "client_credentials",
        "scope": f"{GRAPH}/.default",
        "client_id": CLIENT,
        "client_secret": double.secrets[CLIENT],
    }
    assert got.access_token.reveal() == list(double.tokens)[-1]
    assert (lifetime(got), got.extra["ext_expires_in"]) == (3599, 3599)


async def test_apis_have_tokens_of_their_own(double: OddDouble) -> None:
    async with provider(client(double), double) as tokens:
        assert await tokens.token(audience=GRAPH) != await tokens.token(audience="api://orders")
        assert await tokens.token(scope=f"{GRAPH}/.default") is await tokens.token(scope=[f"{GRAPH}/.default"])


@pytest.mark.proves("Entra", "client_credentials, private_key_jwt by certificate")
@pytest.mark.parametrize("together", [True, False])
async def test_a_certificate_gets_a_token(double: OddDouble, together: bool, tmp_path: Path) -> None:
    private, pem = files(tmp_path)
    both = tmp_path / "both.pem"
    both.write_text(private.read_text() + pem.read_text())
    proof = entra.certificate(both) if together else entra.certificate(private, pem)

    got = await token(client(double, client_secret=None, authentication=proof), double, audience=GRAPH)

    assert got.access_token.reveal() == list(double.tokens)[-1]
    assert {"typ": "JWT", "alg": "PS256", "x5t#S256": thumbprint("x5t#S256")} == header_of(
        double.ledger[0].form["client_assertion"]
    )
    assert set(double.ledger[0].form) == {
        "grant_type", "scope", "client_id", "client_assertion", "client_assertion_type",
    }  # fmt: skip


def files(folder: Path, name: str = "odd-key") -> tuple[Path, Path]:
    """Write a key and a certificate of it."""
    private = key(name)
    made = folder / "key.pem", folder / "certificate.pem"
    made[0].write_bytes(private.as_pem(private=True))  # type: ignore[attr-defined]
    made[1].write_bytes(certificate(private).public_bytes(Encoding.PEM))
    return made


async def test_a_certificate_that_was_not_uploaded_is_the_clients_fault(double: OddDouble, tmp_path: Path) -> None:
    proof = entra.certificate(*files(tmp_path, "another"))

    error = await refusal(client(double, client_secret=None, authentication=proof), double, audience=GRAPH)

    assert isinstance(error, InvalidClientError)
    assert not error.transient


@pytest.mark.proves("Entra", "client_credentials, federated token file")
async def test_a_federated_token_file_is_read_for_each_request(double: OddDouble, tmp_path: Path) -> None:
    file = tmp_path / "token"
    workload = client(double, client_secret=None, authentication=entra.federated_token(file))
    async with provider(workload, double) as tokens:
        for audience in (GRAPH, "api://orders"):
            file.write_text(sign(claims(double, "federation")) + "\n")
            await tokens.token(audience=audience)

    assert [seen.status for seen in double.ledger] == [200, 200]


@pytest.mark.proves("Entra", "on-behalf-of, client_secret_post")
async def test_a_callers_token_is_taken_on(double: OddDouble) -> None:
    caller = canary("caller")
    double.tokens[caller] = math.inf
    middle = entra.on_behalf_of(tenant=TENANT, client_id=CLIENT, client_secret=double.secrets[CLIENT])
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
        "client_id": CLIENT,
        "client_secret": double.secrets[CLIENT],
    }
    assert other.form["scope"] == "api://orders/.default"
    assert first.scope == {f"{GRAPH}/User.Read"}


async def test_a_callers_token_that_is_not_for_the_app_is_a_refused_grant(double: OddDouble) -> None:
    middle = entra.on_behalf_of(tenant=TENANT, client_id=CLIENT, client_secret=double.secrets[CLIENT])

    error = await refusal(middle, double, subject=SubjectToken(canary("other")), audience=GRAPH)

    assert isinstance(error, InvalidGrantError)
    assert not error.transient


async def test_a_token_of_a_day_is_renewed_when_the_server_wants_it() -> None:
    clock = VirtualClock()
    double = OddDouble(clock=clock)
    double.lifetimes["entra"] = 86399
    async with provider(client(double), double, clock=clock) as tokens:
        source = tokens.source(audience=GRAPH, keep_warm=True)
        await clock.run(source.token)
        await clock.advance(43_000)
        assert len(double.ledger) == 1
        await clock.advance(5_000)
        assert len(double.ledger) == 2


@pytest.mark.parametrize(
    ("code", "number", "kind", "words"),
    [
        ("invalid_client", 7000215, InvalidClientError, "not its id"),
        ("invalid_client", 7000222, InvalidClientError, "has expired"),
        ("invalid_client", 700027, InvalidClientError, "upload the certificate"),
        ("invalid_client", 70021, InvalidClientError, "Federated credentials"),
        ("unauthorized_client", 700016, TokenEndpointError, "compare tenant and client_id"),
        ("invalid_request", 90002, TokenEndpointError, "check tenant"),
        ("invalid_resource", 500011, TokenEndpointError, "Application ID URI"),
        ("invalid_grant", 65001, InvalidGrantError, "Grant admin consent"),
        ("invalid_grant", 50013, InvalidGrantError, "its aud must be this app"),
        ("interaction_required", 50076, TokenEndpointError, "a policy wants the person"),
        ("invalid_scope", 70011, TokenEndpointError, "pass audience="),
    ],
)
async def test_refusals_say_what_to_do(
    double: OddDouble, code: str, number: int, kind: type[TokenEndpointError], words: str
) -> None:
    double.always(recorded(code, "As it was recorded.", number))

    error = await refusal(client(double), double, audience=GRAPH)

    assert type(error) is kind
    assert words in (error.hint or "")
    assert (error.transient, error.attempts) == (False, 1)
    assert error.request_id == "1f0e"
    assert (error.error_description or "").startswith(f"AADSTS{number}: ")
    assert error.error_uri == f"https://login.microsoftonline.com/error?code={number}"


async def test_an_unknown_api_is_an_invalid_target_and_no_fault_of_the_client(double: OddDouble) -> None:
    double.script(recorded("invalid_resource", "The resource principal was not found.", 500011))
    async with provider(client(double), double) as tokens:
        with pytest.raises(TokenEndpointError) as caught:
            await tokens.token(audience="api://nobody")
        assert caught.value.error == "invalid_target"
        await tokens.token(audience=GRAPH)


async def test_what_entra_itself_refuses_is_understood(double: OddDouble) -> None:
    wrong = await refusal(client(double, client_secret="another"), double, audience=GRAPH)
    other = await refusal(client(double), double, scope=f"{GRAPH}/User.Read")

    assert isinstance(wrong, InvalidClientError)
    assert isinstance(other, TokenEndpointError)
    assert other.error == "invalid_scope"


async def test_too_many_requests_in_plain_text_wait_as_long_as_they_are_told_to(double: OddDouble) -> None:
    double.always(THROTTLED)

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
        entra.certificate(key("odd-key").as_dict(private=True))


def test_what_is_sent_on_behalf_of_somebody_may_have_more_parameters(double: OddDouble) -> None:
    middle = entra.on_behalf_of(tenant=TENANT, client_id=CLIENT, client_secret="hush", parameters={"claims": "{}"})

    assert dict(middle.parameters) == {"requested_token_use": "on_behalf_of", "claims": "{}"}
