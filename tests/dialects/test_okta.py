from __future__ import annotations

from typing import Any

import pytest
from tests.dialects.asking import lifetime, provider, refusal, token
from tests.doubles.odd import CLIENT, OddDouble
from tests.doubles.odd import okta as recorded
from tests.doubles.tokens import key

from tokenflight import (
    Audience,
    ClientSecretBasic,
    ConfigurationError,
    InvalidClientError,
    OAuthClient,
    PrivateKeyJWT,
    RetryPolicy,
    TokenEndpointError,
    TokenKey,
)
from tokenflight.dialects import okta
from tokenflight.protocol.grants import check_key
from tokenflight.testing import Answer, VirtualClock

pytestmark = pytest.mark.anyio
READ = "okta.users.read"


@pytest.fixture
def double() -> OddDouble:
    return OddDouble()


def client(**fields: Any) -> OAuthClient:
    proof = okta.private_key(key("odd-key").as_dict(private=True))
    return okta.client(
        **{"domain": "acme.okta.com", "client_id": CLIENT, "authentication": proof, "scope": READ} | fields
    )


def shaped(answer: Answer, shape: str) -> Answer:
    return recorded.of_the_api(answer) if shape == "api" else answer


@pytest.mark.proves("Okta", "client_credentials, private_key_jwt")
async def test_a_service_app_signs_for_the_token_endpoint_and_says_no_client_id(double: OddDouble) -> None:
    got = await token(client(), double)

    [seen] = double.ledger
    assert set(seen.form) == {"grant_type", "scope", "client_assertion", "client_assertion_type"}
    assert seen.path == "/oauth2/v1/token"
    assert (got.access_token.reveal(), lifetime(got), got.scope) == (list(double.tokens)[-1], 3600, {READ})


@pytest.mark.proves("Okta", "client_credentials at a custom authorization server, client_secret_basic")
async def test_a_custom_authorization_server_takes_a_secret(double: OddDouble) -> None:
    basic = ClientSecretBasic(double.secrets[CLIENT])

    await token(client(authorization_server="default", authentication=basic, scope="orders"), double)

    [seen] = double.ledger
    assert seen.path == "/oauth2/default/v1/token"
    assert seen.form == {"grant_type": "client_credentials", "scope": "orders"}


@pytest.mark.parametrize("shape", ["oauth", "api"])
async def test_a_client_that_has_to_prove_possession_is_told_which_box_to_clear(double: OddDouble, shape: str) -> None:
    double.always(shaped(recorded.NEEDS_PROOF_OF_POSSESSION, shape))

    error = await refusal(client(), double)

    assert isinstance(error, TokenEndpointError)
    assert (error.error, error.transient) == ("invalid_dpop_proof", False)
    assert error.error_description == "The DPoP proof JWT header is missing."
    assert "Require Demonstrating Proof of Possession" in (error.hint or "")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"authentication": PrivateKeyJWT(key("odd-key").as_dict(private=True), send_client_id=False)},
            "okta.private",
        ),
        ({"authentication": okta.private_key(key("another").as_dict(private=True))}, "compare client_id, key"),
    ],
)
async def test_an_assertion_that_is_refused_is_the_clients_fault(
    double: OddDouble, fields: dict[str, Any], words: str
) -> None:
    error = await refusal(client(**fields), double)

    assert isinstance(error, InvalidClientError)
    assert words in (error.hint or "")
    assert (error.status, error.transient) == (401, False)


async def test_a_scope_that_was_not_granted_is_told_where_to_grant_it(double: OddDouble) -> None:
    error = await refusal(client(), double, scope="orders")

    assert isinstance(error, TokenEndpointError)
    assert error.error == "invalid_scope"
    assert "Okta API Scopes" in (error.hint or "")


async def test_the_rate_limit_of_the_management_api_is_transient() -> None:
    clock = VirtualClock()
    double = OddDouble(clock=clock)
    double.always(recorded.throttled(reset=1_800_000_000))
    async with provider(client(), double, clock=clock, retry=RetryPolicy()) as tokens:
        with pytest.raises(TokenEndpointError) as caught:
            await clock.run(tokens.token)

    error = caught.value
    assert (error.transient, error.request_id) == (True, "oaeQdc5Ivr")
    assert error.error_description == "API call exceeded rate limit due to too many requests."
    assert "rate limit" in (error.hint or "")


def test_an_audience_is_refused_since_each_server_has_its_own() -> None:
    with pytest.raises(ConfigurationError, match="choose the server by authorization_server="):
        check_key(client(), TokenKey(client="c", audience=Audience("api://default")))


@pytest.mark.parametrize("domain", ["", "https://acme.okta.com", "acme.okta.com/oauth2", None])
def test_what_is_no_domain_is_refused(domain: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"write it like acme\.okta\.com"):
        client(domain=domain)


def test_a_client_knows_its_servers_endpoints_and_a_stand_in_has_none() -> None:
    org, custom = client(domain="ACME.okta.com"), client(authorization_server="aus 1")
    local = client(token_endpoint="http://localhost:1/token")

    assert (org.issuer, org.endpoints.jwks) == ("https://acme.okta.com", "https://acme.okta.com/oauth2/v1/keys")
    assert custom.issuer == "https://acme.okta.com/oauth2/aus%201"
    assert custom.token_endpoint == "https://acme.okta.com/oauth2/aus%201/v1/token"
    assert local.endpoints.jwks is None
