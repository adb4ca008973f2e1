"""People who log in at Auth0, refresh tokens that rotate with and without a leeway, and tokens that are exchanged."""

from __future__ import annotations

from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from tests.dialects.places import provider, tenant, tenant_client
from tests.doubles.auth0 import TOKEN, refusals, scene
from tests.doubles.auth0.scene import API, CALLBACK, EXCHANGE, OTHER
from tests.doubles.tokens import peeked

from tokenflight import (
    ACCESS_TOKEN,
    AuthorizationCode,
    ConfigurationError,
    Endpoints,
    PublicClient,
    RefreshToken,
    SessionLostError,
    SubjectToken,
    Token,
    TokenEndpointError,
    TokenExchange,
    TokenProvider,
)
from tokenflight.dialects import auth0
from tokenflight.testing import LoseReply

pytestmark = pytest.mark.anyio

SCOPE = "openid offline_access read:a"
LEGACY = "urn:example:legacy-token"


def web(double: Any, client: str = "the-web", **fields: Any) -> Any:
    fields = {"grant": AuthorizationCode(), "scope": SCOPE} | fields
    return tenant_client(double, client, **fields)


async def login(double: Any, tokens: TokenProvider, **begin: Any) -> Token:
    request = await tokens.sessions.begin(redirect_uri=CALLBACK, **begin)
    return await tokens.sessions.redeem(request, await double.browse(request.url), subject="ann")


async def logged_in(double: Any, tokens: TokenProvider, **begin: Any) -> Token:
    return await double.clock.run(partial(login, double, tokens, audience=API, **begin))  # type: ignore[no-any-return]


@pytest.mark.proves("Auth0", "authorization_code with PKCE, a confidential client")
async def test_a_person_logs_in_for_an_api_and_an_organization() -> None:
    double = tenant()
    double.organization("org_1")
    async with provider(double, web(double)) as tokens:
        request = await tokens.sessions.begin(
            redirect_uri=CALLBACK, audience=API, parameters={"organization": "org_1", "prompt": "login"}
        )
        callback = await double.browse(request.url)

        async def redeem() -> Token:
            return await tokens.sessions.redeem(request, callback, subject="ann")

        token = await double.clock.run(redeem)
    url = urlsplit(request.url)
    said = dict(parse_qsl(url.query))
    assert f"{url.scheme}://{url.netloc}{url.path}" == "https://tenant.eu.auth0.com/authorize"
    assert (said["audience"], said["organization"], said["code_challenge_method"]) == (API, "org_1", "S256")
    [seen] = double.token_requests
    assert set(seen.form) == {"grant_type", "code", "redirect_uri", "code_verifier", "client_id", "client_secret"}
    assert (peeked(token.access_token.reveal()) or {})["org_id"] == "org_1"
    assert token.extra["id_token_claims"]["org_id"] == "org_1"


@pytest.mark.proves("Auth0", "authorization_code with PKCE, a public client over a socket")
async def test_a_public_client_logs_somebody_in_over_a_socket() -> None:
    double = scene.tenant()
    async with double.serve() as url:
        client = auth0.client(
            domain="tenant.eu.auth0.com",
            client_id="the-spa",
            authentication=PublicClient(),
            grant=AuthorizationCode(),
            scope=SCOPE,
            issuer=f"{url}/",
            token_endpoint=f"{url}{TOKEN}",
            endpoints=Endpoints(authorization=f"{url}/authorize", jwks=f"{url}/.well-known/jwks.json"),
        )
        async with TokenProvider(client) as tokens:
            first = await login(double, tokens, audience=API)
            second = await tokens.renew(subject="ann", audience=API, rejected=first)
    assert double.is_live(second.access_token.reveal())
    assert first != second
    assert set(double.token_requests[1].form) == {"grant_type", "refresh_token", "client_id", "audience"}


@pytest.mark.proves("Auth0", "refresh_token, with and without rotation")
@pytest.mark.parametrize("rotation", [True, False])
async def test_a_refresh_token_is_replaced_where_a_new_one_came_and_kept_where_none_did(rotation: bool) -> None:
    double = tenant()
    double.sessions.rotation = rotation
    async with provider(double, web(double)) as tokens:
        token = await logged_in(double, tokens)
        for _ in range(3):
            await double.clock.advance(86_401)
            token = await double.clock.run(partial(tokens.token, subject="ann", audience=API))
    spent = [seen.form["refresh_token"] for seen in double.token_requests[1:]]
    assert len(set(spent)) == (3 if rotation else 1)
    assert double.is_live(token.access_token.reveal())


@pytest.mark.proves("Auth0", "refresh_token, a reply that was lost within the leeway")
@pytest.mark.parametrize("grant", [AuthorizationCode(grace=30.0), RefreshToken(grace=30.0)])
async def test_a_lost_reply_is_made_up_for_within_the_leeway(grant: Any) -> None:
    double = tenant()
    double.sessions.leeway = 30.0
    async with provider(double, web(double)) as others:
        await logged_in(double, others)
    [refresh] = double.tenant.refreshing.values()
    async with provider(double, web(double, grant=grant)) as tokens:
        await tokens.sessions.adopt(subject="ann", refresh_token=refresh.value)
        double.script(LoseReply(), LoseReply(), at=TOKEN)
        token = await double.clock.run(partial(tokens.token, subject="ann", audience=API))
        again = await double.clock.run(partial(tokens.renew, subject="ann", audience=API, rejected=token))
    assert double.is_live(again.access_token.reveal())
    assert {seen.form["refresh_token"] for seen in double.token_requests[1:4]} == {refresh.value}


@pytest.mark.proves("Auth0", "refresh_token, a session that is lost")
@pytest.mark.parametrize("how", ["spent", "lost reply"])
async def test_a_403_for_a_refresh_token_is_a_lost_session(how: str) -> None:
    double = tenant()
    async with provider(double, web(double)) as tokens:
        await logged_in(double, tokens)
        await double.clock.advance(86_401)
        if how == "spent":
            for refresh in double.tenant.refreshing.values():
                refresh.family.revoked = True
        else:
            double.script(LoseReply(), at=TOKEN)
        with pytest.raises(SessionLostError) as caught:
            await double.clock.run(partial(tokens.token, subject="ann", audience=API))
        before = len(double.token_requests)
        with pytest.raises(SessionLostError):
            await double.clock.run(partial(tokens.token, subject="ann", audience=API))
    assert len(double.token_requests) == before
    assert caught.value.ambiguous is (how == "lost reply")


@pytest.mark.proves("Auth0", "authorization_code, a tenant that asks for another factor")
async def test_a_refresh_that_needs_a_person_says_so() -> None:
    double = tenant()
    async with provider(double, web(double)) as tokens:
        await logged_in(double, tokens)
        double.script(refusals.NEEDS_A_PERSON, at=TOKEN)
        await double.clock.advance(86_401)
        with pytest.raises(TokenEndpointError, match="asks for another factor") as caught:
            await double.clock.run(partial(tokens.token, subject="ann", audience=API))
    assert caught.value.error == "mfa_required"
    assert not caught.value.transient


def exchanging(double: Any, **fields: Any) -> Any:
    double.tenant.clients["the-post"].grant_types |= {EXCHANGE}
    double.tenant.subject_tokens[LEGACY, "a legacy session"] = "auth0|old"
    return tenant_client(double, grant=TokenExchange(), **fields)


@pytest.mark.proves("Auth0", "token-exchange, a type of the tenant's own")
async def test_a_token_of_the_tenants_own_type_is_exchanged() -> None:
    double = tenant()
    async with provider(double, exchanging(double)) as tokens:
        subject = SubjectToken("a legacy session", type=LEGACY)
        token = await double.clock.run(partial(tokens.token, subject=subject, audience=API, scope="read:a"))
    [seen] = double.token_requests
    assert seen.form == {
        "grant_type": EXCHANGE,
        "subject_token": "a legacy session",
        "subject_token_type": LEGACY,
        "audience": API,
        "scope": "read:a",
        "client_id": "the-post",
        "client_secret": double.tenant.clients["the-post"].secret,
    }
    assert (peeked(token.access_token.reveal()) or {})["sub"] == "auth0|old"


@pytest.mark.proves("Auth0", "token-exchange, an organization and an actor")
async def test_an_exchange_names_an_organization_and_an_actor() -> None:
    double = tenant()
    double.organization("org_1")
    double.allow(double.tenant.clients["the-post"], API, "allow", ["org_1"])
    client = exchanging(double, parameters={"organization": "org_1"})
    async with provider(double, client) as tokens:
        subject = SubjectToken(
            "a legacy session", type=LEGACY, actor=SubjectToken("an agent", type="urn:example:agent")
        )
        token = await double.clock.run(partial(tokens.token, subject=subject, audience=API))
    [seen] = double.token_requests
    assert (seen.form["actor_token"], seen.form["actor_token_type"]) == ("an agent", "urn:example:agent")
    assert (peeked(token.access_token.reveal()) or {})["org_id"] == "org_1"


@pytest.mark.proves("Auth0", "token-exchange, on behalf of a caller")
async def test_an_api_goes_on_in_its_callers_name_until_the_chain_is_too_long() -> None:
    double = tenant()
    caller = double.client("the-api", grant_types=frozenset({EXCHANGE}), resource_server=API)
    clients = {
        "web": web(double),
        "api": tenant_client(double, "the-api", grant=TokenExchange(requested_token_type=ACCESS_TOKEN)),
    }
    async with provider(double, clients) as tokens:

        async def begin() -> Token:
            return await login(double, tokens, client="web", audience=API)

        token = await double.clock.run(begin)
        subject = SubjectToken(token.access_token)
        further = await double.clock.run(partial(tokens.token, "api", subject=subject, audience=OTHER))
        caller.resource_server = OTHER
        assert (peeked(further.access_token.reveal()) or {})["act"] == {"sub": "the-api"}
        for _ in range(3):
            subject = SubjectToken(further.access_token)
            further = await double.clock.run(partial(tokens.token, "api", subject=subject, audience=OTHER))
        with pytest.raises(TokenEndpointError, match="fewer actors"):
            await double.clock.run(
                partial(tokens.token, "api", subject=SubjectToken(further.access_token), audience=OTHER)
            )


async def test_an_exchange_names_its_api_too() -> None:
    double = tenant()
    async with provider(double, exchanging(double)) as tokens:
        with pytest.raises(ConfigurationError, match="pass audience="):
            await double.clock.run(partial(tokens.token, subject=SubjectToken("a legacy session", type=LEGACY)))
        with pytest.raises(ConfigurationError, match="subject=SubjectToken"):
            await double.clock.run(partial(tokens.token, subject=auth0.organization("org_1"), audience=API))
        subject = SubjectToken("a legacy session", type="urn:example:unknown")
        with pytest.raises(TokenEndpointError, match="custom token exchange profiles"):
            await double.clock.run(partial(tokens.token, subject=subject, audience=API))
    assert len(double.token_requests) == 1
