from __future__ import annotations

from typing import Any

import pytest
from tests.dialects.asking import lifetime, provider, refusal, token
from tests.doubles.odd import OddDouble
from tests.doubles.tokens import key, public
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

pytestmark = pytest.mark.anyio
APP = "orders-service"
ISSUER = "https://sso.acme.test/realms/acme"


@pytest.fixture
def double() -> OddDouble:
    made = OddDouble()
    made.keycloak.secrets |= {APP: canary("secret"), "no-account": "hush"}
    made.keycloak.service_accounts.add(APP)
    made.keycloak.exchanging.add(APP)
    made.keycloak.audiences |= {"billing": True, "closed": False}
    made.keycloak.scopes.add("billing-api")
    return made


def client(double: OddDouble, **fields: Any) -> OAuthClient:
    plain = {"url": "https://sso.acme.test", "realm": "acme", "client_id": APP}
    secret = {} if "authentication" in fields else {"client_secret": double.keycloak.secrets[APP]}
    return keycloak.client(**(plain | secret | fields))


@pytest.mark.proves("Keycloak", "client_credentials, client_secret_post")
async def test_a_service_account_gets_a_token_and_what_else_comes_is_kept(double: OddDouble) -> None:
    got = await token(client(double), double)

    assert (got.access_token.reveal(), lifetime(got), got.scope) == (double.tokens[-1], 300, {"email", "profile"})
    assert (got.extra["not-before-policy"], got.extra["refresh_expires_in"]) == (1700000000, 0)
    assert got.refresh_token is None


@pytest.mark.proves("Keycloak", "client_credentials, client_secret_basic and private_key_jwt")
async def test_a_header_and_a_signature_for_the_realm_do_as_well(double: OddDouble) -> None:
    double.keycloak.keys[APP] = [public(key("keycloak-client"))]
    proofs = [
        ClientSecretBasic(double.keycloak.secrets[APP]),
        PrivateKeyJWT(key("keycloak-client").as_dict(private=True)),
    ]
    for proof in proofs:
        await token(client(double, authentication=proof, scope="billing-api"), double)

    assert [seen.form["scope"] for seen in double.ledger] == ["billing-api"] * 2


async def test_a_refresh_token_beside_client_credentials_is_never_used(double: OddDouble) -> None:
    double.keycloak.old = True
    async with provider(client(double), double) as tokens:
        got = await tokens.token()
        await tokens.renew(rejected=got)

    assert [seen.form["grant_type"] for seen in double.ledger] == ["client_credentials"] * 2


@pytest.mark.proves("Keycloak", "token exchange within a realm")
async def test_a_callers_token_is_exchanged_for_another_client_of_the_realm(double: OddDouble) -> None:
    caller = canary("caller")
    double.keycloak.sessions.add(caller)
    exchanging = client(double, grant=TokenExchange(requested_token_type=ACCESS_TOKEN))

    got = await token(exchanging, double, subject=SubjectToken(caller), audience="billing")

    [seen] = double.ledger
    assert {name: seen.form[name] for name in ("audience", "subject_token", "requested_token_type")} == {
        "audience": "billing",
        "subject_token": caller,
        "requested_token_type": ACCESS_TOKEN,
    }
    assert got.extra["issued_token_type"] == ACCESS_TOKEN


@pytest.mark.parametrize(("audience", "words"), [("closed", "enabled in this realm"), ("nobody", "a client that is")])
async def test_an_audience_that_is_no_client_concerns_that_audience_alone(
    double: OddDouble, audience: str, words: str
) -> None:
    caller = canary("caller")
    double.keycloak.sessions.add(caller)
    async with provider(client(double, grant=TokenExchange()), double) as tokens:
        with pytest.raises(TokenEndpointError) as caught:
            await tokens.token(subject=SubjectToken(caller), audience=audience)
        await tokens.token(subject=SubjectToken(caller), audience="billing")

    assert (caught.value.error, type(caught.value)) == ("invalid_target", TokenEndpointError)
    assert words in (caught.value.hint or "")


async def test_a_subject_token_that_ended_is_a_refused_grant(double: OddDouble) -> None:
    error = await refusal(client(double, grant=TokenExchange()), double, subject=SubjectToken(canary("ended")))

    assert isinstance(error, InvalidGrantError)
    assert "get a new one" in (error.hint or "")


async def test_an_exchange_that_is_switched_off_is_told_where_to_switch_it_on(double: OddDouble) -> None:
    double.keycloak.exchanging.clear()

    error = await refusal(client(double, grant=TokenExchange()), double, subject=SubjectToken(canary("caller")))

    assert "Standard token exchange on" in (error.hint or "")


@pytest.mark.parametrize("fields", [{"client_id": "nobody"}, {"client_secret": "wrong"}])
async def test_wrong_credentials_are_the_clients_fault_under_either_code(
    double: OddDouble, fields: dict[str, str]
) -> None:
    error = await refusal(client(double, **fields), double)

    assert isinstance(error, InvalidClientError)
    assert (error.error, error.status, error.transient) == ("invalid_client", 401, False)
    assert "compare realm" in (error.hint or "")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"client_id": "no-account", "client_secret": "hush"}, "Service accounts roles on"),
        ({"realm": "other"}, "check url and realm"),
        ({"scope": "unheard-of"}, "as an optional one"),
    ],
)
async def test_other_refusals_say_what_to_switch(double: OddDouble, fields: dict[str, str], words: str) -> None:
    error = await refusal(client(double, **fields), double)

    assert type(error) is TokenEndpointError
    assert not error.transient
    assert words in (error.hint or "")


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
