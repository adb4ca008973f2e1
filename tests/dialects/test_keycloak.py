from __future__ import annotations

import math
from typing import Any

import pytest
from tests.dialects.asking import lifetime, provider, refusal, token
from tests.doubles.odd import CLIENT, OddDouble
from tests.doubles.odd.keycloak import refusal as recorded
from tests.doubles.tokens import key
from tests.kit.canary import canary

from tokenflight import (
    ACCESS_TOKEN,
    Audience,
    ClientSecretBasic,
    ConfigurationError,
    InvalidClientError,
    InvalidGrantError,
    OAuthClient,
    PrivateKeyJWT,
    SubjectToken,
    TokenEndpointError,
    TokenExchange,
    TokenKey,
)
from tokenflight.dialects import keycloak
from tokenflight.protocol.grants import check_key
from tokenflight.testing import Answer, Issue

pytestmark = pytest.mark.anyio
ISSUER = "https://sso.acme.test/realms/shop"


@pytest.fixture
def double() -> OddDouble:
    return OddDouble()


def client(double: OddDouble, **fields: Any) -> OAuthClient:
    plain = {"url": "https://sso.acme.test", "realm": "shop", "client_id": CLIENT}
    secret = {} if "authentication" in fields else {"client_secret": double.secrets[CLIENT]}
    return keycloak.client(**(plain | secret | fields))


@pytest.mark.proves("Keycloak", "client_credentials, client_secret_post")
async def test_a_service_account_gets_a_token_and_what_else_comes_is_kept(double: OddDouble) -> None:
    got = await token(client(double), double)

    assert (got.access_token.reveal(), lifetime(got), got.scope) == (list(double.tokens)[-1], 300, {"email", "profile"})
    assert (got.extra["not-before-policy"], got.extra["refresh_expires_in"]) == (0, 0)
    assert got.refresh_token is None


@pytest.mark.proves("Keycloak", "client_credentials, client_secret_basic and private_key_jwt")
async def test_a_header_and_a_signature_for_the_realm_do_as_well(double: OddDouble) -> None:
    proofs = [
        ClientSecretBasic(double.secrets[CLIENT]),
        PrivateKeyJWT(key("odd-key").as_dict(private=True)),
    ]
    for proof in proofs:
        await token(client(double, authentication=proof, scope="orders"), double)

    assert [seen.form["scope"] for seen in double.ledger] == ["orders"] * 2


async def test_a_refresh_token_beside_client_credentials_is_never_used(double: OddDouble) -> None:
    double.always(Issue(fields={"refresh_token": canary("refresh"), "refresh_expires_in": 1800, "session_state": "6f"}))
    async with provider(client(double), double) as tokens:
        got = await tokens.token()
        await tokens.renew(rejected=got)

    assert [seen.form["grant_type"] for seen in double.ledger] == ["client_credentials"] * 2


@pytest.mark.proves("Keycloak", "token exchange within a realm")
async def test_a_callers_token_is_exchanged_for_another_client_of_the_realm(double: OddDouble) -> None:
    caller = canary("caller")
    double.tokens[caller] = math.inf
    exchanging = client(double, grant=TokenExchange(requested_token_type=ACCESS_TOKEN))

    got = await token(exchanging, double, subject=SubjectToken(caller), audience="orders-api")

    [seen] = double.ledger
    assert {name: seen.form[name] for name in ("audience", "subject_token", "requested_token_type")} == {
        "audience": "orders-api",
        "subject_token": caller,
        "requested_token_type": ACCESS_TOKEN,
    }
    assert got.extra["issued_token_type"] == ACCESS_TOKEN


@pytest.mark.parametrize("text", ["Audience not found", "Client disabled"])
async def test_an_audience_that_is_no_client_concerns_that_audience_alone(double: OddDouble, text: str) -> None:
    double.script(recorded("invalid_client", text, status=400))
    caller = canary("caller")
    double.tokens[caller] = math.inf
    async with provider(client(double, grant=TokenExchange()), double) as tokens:
        with pytest.raises(TokenEndpointError) as caught:
            await tokens.token(subject=SubjectToken(caller), audience="nobody")
        await tokens.token(subject=SubjectToken(caller), audience="orders-api")

    assert (caught.value.error, type(caught.value)) == ("invalid_target", TokenEndpointError)
    assert "enabled in this realm" in (caught.value.hint or "")


async def test_a_subject_token_that_ended_is_a_refused_grant(double: OddDouble) -> None:
    error = await refusal(client(double, grant=TokenExchange()), double, subject=SubjectToken(canary("ended")))

    assert isinstance(error, InvalidGrantError)
    assert "get a new one" in (error.hint or "")


async def test_an_exchange_that_is_switched_off_is_told_where_to_switch_it_on(double: OddDouble) -> None:
    double.always(recorded("invalid_request", "Standard token exchange is not enabled for the requested client"))

    error = await refusal(client(double, grant=TokenExchange()), double, subject=SubjectToken(canary("caller")))

    assert "Standard token exchange on" in (error.hint or "")


@pytest.mark.parametrize("code", ["unauthorized_client", "invalid_client"])
async def test_wrong_credentials_are_the_clients_fault_under_either_code(double: OddDouble, code: str) -> None:
    if code == "unauthorized_client":
        double.always(recorded(code, "Invalid client or Invalid client credentials", status=401))

    error = await refusal(client(double, client_secret="wrong"), double)

    assert isinstance(error, InvalidClientError)
    assert (error.error, error.status, error.transient) == ("invalid_client", 401, False)
    assert "compare realm" in (error.hint or "")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            recorded("unauthorized_client", "Client not enabled to retrieve service account"),
            "Service accounts roles on",
        ),
        (recorded("unauthorized_client", "Public client not allowed to retrieve service account"), "authentication on"),
        (
            recorded("access_denied", "Client is not within the token audience", status=403),
            "not issued for this client",
        ),
        (Answer(404, {"error": "Realm does not exist"}), "check url and realm"),
    ],
)
async def test_other_refusals_say_what_to_switch(double: OddDouble, answer: Answer, words: str) -> None:
    double.always(answer)

    error = await refusal(client(double), double)

    assert type(error) is TokenEndpointError
    assert not error.transient
    assert words in (error.hint or "")


async def test_an_unknown_scope_is_told_where_to_add_it(double: OddDouble) -> None:
    error = await refusal(client(double, scope="unheard-of"), double)

    assert "as an optional one" in (error.hint or "")


def test_an_audience_of_client_credentials_is_refused_since_keycloak_would_pass_it_over(double: OddDouble) -> None:
    with pytest.raises(ConfigurationError, match="pass scope= with an optional client scope"):
        check_key(client(double), TokenKey(client="c", audience=Audience("billing")))


def test_only_access_tokens_are_exchanged(double: OddDouble) -> None:
    key = TokenKey(client="c", subject=SubjectToken("t", type="urn:ietf:params:oauth:token-type:id_token"))
    with pytest.raises(ConfigurationError, match="Keycloak exchanges access tokens only"):
        check_key(client(double, grant=TokenExchange()), key)


def test_a_client_knows_its_realms_endpoints_and_a_stand_in_has_none(double: OddDouble) -> None:
    old = client(double, url="https://sso.acme.test/auth/", realm="a b")
    local = client(double, token_endpoint="http://localhost:1/token")

    assert old.issuer == "https://sso.acme.test/auth/realms/a%20b"
    assert old.token_endpoint == f"{old.issuer}/protocol/openid-connect/token"
    assert old.endpoints.jwks == f"{old.issuer}/protocol/openid-connect/certs"
    assert (local.issuer, local.endpoints.jwks) == (ISSUER, None)


@pytest.mark.parametrize("realm", ["", None])
def test_a_realm_is_wanted(double: OddDouble, realm: Any) -> None:
    with pytest.raises(ConfigurationError, match="pass realm="):
        client(double, realm=realm)
