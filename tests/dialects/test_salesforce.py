from __future__ import annotations

from typing import Any

import pytest
from tests.dialects.asking import provider, refusal, token
from tests.doubles.odd import CLIENT, OddDouble
from tests.doubles.odd.salesforce import UNAPPROVED
from tests.doubles.odd.salesforce import refusal as recorded
from tests.doubles.tokens import key, peeked

from tokenflight import (
    Audience,
    ConfigurationError,
    InvalidClientError,
    InvalidGrantError,
    OAuthClient,
    TokenEndpointError,
    TokenKey,
)
from tokenflight.dialects import salesforce
from tokenflight.protocol.grants import check_key
from tokenflight.testing import VirtualClock

pytestmark = pytest.mark.anyio
USER = "person@example.com"
DOMAIN = "acme.my.salesforce.com"


@pytest.fixture
def double() -> OddDouble:
    return OddDouble()


def pem(name: str) -> str:
    return str(key(name).as_pem(private=True).decode())  # type: ignore[attr-defined]


def jwt_client(**fields: Any) -> OAuthClient:
    plain = {"domain": DOMAIN, "client_id": CLIENT, "key": pem("odd-key")}
    return salesforce.jwt_client(**(plain | fields))


@pytest.mark.proves("Salesforce", "jwt-bearer")
async def test_a_user_gets_a_token_that_says_where_and_not_until_when(double: OddDouble) -> None:
    got = await token(jwt_client(), double, subject=USER)

    [seen] = double.ledger
    assert set(seen.form) == {"grant_type", "assertion"}
    claims = peeked(seen.form["assertion"]) or {}
    assert (claims["iss"], claims["sub"], claims["aud"]) == (CLIENT, USER, "https://login.salesforce.com")
    assert (got.access_token.reveal(), got.expires_at) == (list(double.tokens)[-1], None)
    assert got.extra["instance_url"] == "https://acme.my.salesforce.com"
    assert str(got.extra["issued_at"]).isdigit()


@pytest.mark.proves("Salesforce", "client_credentials, client_secret_post")
async def test_client_credentials_go_to_the_org(double: OddDouble) -> None:
    app = salesforce.client(domain=DOMAIN, client_id=CLIENT, client_secret=double.secrets[CLIENT])

    await token(app, double)

    assert double.ledger[0].form["grant_type"] == "client_credentials"


async def test_a_token_without_an_end_is_renewed_every_quarter_of_an_hour_while_it_is_used() -> None:
    clock = VirtualClock()
    double = OddDouble(clock=clock)
    double.lifetimes["salesforce"] = 60
    async with provider(jwt_client(), double, clock=clock) as tokens:
        source = tokens.source(subject=USER, keep_warm=True)
        await clock.run(source.token)
        await clock.advance(800)
        assert len(double.ledger) == 1
        await clock.advance(3600 - 800)

    assert 4 <= len(double.ledger) <= 5


async def test_the_same_token_come_again_is_served_on_and_not_asked_for_all_the_time() -> None:
    clock = VirtualClock()
    double = OddDouble(clock=clock)
    async with provider(jwt_client(), double, clock=clock) as tokens:
        source = tokens.source(subject=USER, keep_warm=True)
        first = await clock.run(source.token)
        await clock.advance(3600)
        assert await clock.run(source.token) == first

    assert len(double.ledger) < 40


async def test_a_user_who_has_not_approved_is_told_how_an_admin_does_it_for_all(double: OddDouble) -> None:
    double.script(UNAPPROVED)

    error = await refusal(jwt_client(), double, subject=USER)

    assert isinstance(error, InvalidGrantError)
    assert "pre-authorized" in (error.hint or "")


@pytest.mark.parametrize(
    ("fields", "kind", "words"),
    [
        ({"login": salesforce.SANDBOX}, InvalidGrantError, "salesforce.SANDBOX for sandboxes"),
        ({"client_id": "nobody"}, InvalidClientError, "Consumer Key"),
        ({"key": pem("another")}, InvalidGrantError, "upload the certificate"),
    ],
)
async def test_refusals_say_what_to_do(double: OddDouble, fields: dict[str, Any], kind: type, words: str) -> None:
    error = await refusal(jwt_client(**fields), double, subject=USER)

    assert type(error) is kind
    assert not error.transient
    assert words in (error.hint or "")


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        ("invalid_app_access", "user is not admin approved to access this app", InvalidGrantError),
        ("inactive_user", "user is inactive", InvalidGrantError),
        ("invalid_client", "invalid client credentials", InvalidClientError),
        ("unsupported_thing", "what is this", TokenEndpointError),
    ],
)
async def test_codes_that_no_rfc_knows_have_a_class(double: OddDouble, code: str, text: str, kind: type) -> None:
    double.always(recorded(code, text))

    error = await refusal(jwt_client(), double, subject=USER)

    assert type(error) is kind
    assert not error.transient


async def test_what_salesforce_asks_to_try_again_is_tried_again(double: OddDouble) -> None:
    double.script(recorded("unknown_error", "retry your request"))

    await token(jwt_client(), double, subject=USER)

    assert [seen.status for seen in double.ledger] == [400, 200]


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (TokenKey(client="c"), "pass subject= with a username"),
        (TokenKey(client="c", audience=Audience("a")), "leave the audience out"),
    ],
)
def test_a_key_that_salesforce_cannot_serve_is_refused_before_anything_is_sent(key: TokenKey, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        check_key(jwt_client(), key)


@pytest.mark.parametrize("domain", ["", "https://acme.my.salesforce.com", None])
def test_what_is_no_domain_is_refused(domain: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"write it like acme\.my\.salesforce\.com"):
        jwt_client(domain=domain)


def test_a_client_knows_its_orgs_endpoints_and_a_stand_in_has_none() -> None:
    org, local = jwt_client(), jwt_client(token_endpoint="http://localhost:1/token")

    assert org.endpoints.revocation == "https://acme.my.salesforce.com/services/oauth2/revoke"
    assert (local.endpoints.revocation, local.default_lifetime) == (None, 900.0)
