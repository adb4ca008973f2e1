"""Sessions at real authorization servers: found by their issuer, begun over HTTP, refreshed, and lost."""

from __future__ import annotations

import pytest
from tests.kit.harbour import AT_ONCE, at_once
from tests.kit.oidc import NATIVE_CALLBACK, WEB_CALLBACK, OidcProvider
from tests.kit.opinions import Opinion
from tests.servers.using import JWT, OPAQUE, adopting, found, lost, spent

from tokenflight import (
    AuthorizationCode,
    AuthorizationResponseError,
    OAuthClient,
    RefreshToken,
    SessionLostError,
    TokenProvider,
    TokenRequestError,
)

pytestmark = pytest.mark.anyio

OFFLINE = {"prompt": "consent"}
CALLBACKS = {"web": WEB_CALLBACK, "native": NATIVE_CALLBACK}


@pytest.mark.proves("oidc-provider", "authorization_code with PKCE, discovery and iss + client_secret_basic")
@pytest.mark.proves("oidc-provider", "authorization_code with PKCE, discovery and iss + none")
@pytest.mark.proves("oidc-provider", "refresh_token with rotation")
@pytest.mark.parametrize("name", ["web", "native"])
async def test_a_login_begun_here_is_redeemed_once_and_refreshed(oidc: OidcProvider, name: str) -> None:
    client = found(oidc, AuthorizationCode(), name, scope="openid offline_access read")
    async with TokenProvider(client, retry=AT_ONCE) as tokens:
        login = await tokens.sessions.begin(redirect_uri=CALLBACKS[name], audience=JWT, parameters=OFFLINE)
        callback = oidc.authorize(login.url)
        token = await tokens.sessions.redeem(login, callback, subject="alice")
        assert await tokens.token(subject="alice", audience=JWT) is token
        with pytest.raises(AuthorizationResponseError):
            await tokens.sessions.redeem(login, callback, subject="alice")
        assert (await tokens.renew(rejected=token, subject="alice", audience=JWT)).header != token.header

    first, second = oidc.journal()
    assert (first.form["grant_type"], second.form["grant_type"]) == ("authorization_code", "refresh_token")
    assert first.form["code_verifier"]
    assert second.form["refresh_token"] == first.answer["refresh_token"]


@pytest.mark.proves("oidc-provider", "authorization_code (a code that was used is refused)")
async def test_a_login_is_redeemed_elsewhere_and_then_refused_by_the_server(oidc: OidcProvider) -> None:
    client = found(oidc, AuthorizationCode(), scope="openid offline_access read")
    async with TokenProvider(client) as here, TokenProvider(client) as there:
        login = await here.sessions.begin(redirect_uri=WEB_CALLBACK, parameters=OFFLINE)
        callback = oidc.authorize(login.url)
        loaded = type(login).load(login.dump())
        await there.sessions.redeem(loaded, callback, subject="alice")
        with pytest.raises(TokenRequestError) as caught:
            await here.sessions.redeem(login, callback, subject="alice")

    assert (caught.value.reason, caught.value.transient) == ("invalid_grant", False)


@pytest.mark.proves("oidc-provider", "authorization_code (a person who refuses)")
async def test_a_person_who_refuses_is_told_of_and_nothing_is_sent(oidc: OidcProvider) -> None:
    async with TokenProvider(found(oidc, AuthorizationCode(), scope="openid read")) as tokens:
        login = await tokens.sessions.begin(redirect_uri=WEB_CALLBACK)
        with pytest.raises(TokenRequestError) as caught:
            await tokens.sessions.redeem(login, oidc.authorize(login.url, consents=False), subject="alice")

    assert caught.value.reason == "access_denied"
    assert oidc.journal() == []


@pytest.mark.proves("oidc-provider", "refresh_token with rotation and two resources")
async def test_callers_share_a_refresh_and_audiences_take_turns(oidc: OidcProvider) -> None:
    token = oidc.mint(resources=[JWT.value, OPAQUE.value])
    async with adopting(found(oidc, RefreshToken()), token) as tokens:
        calls = [lambda audience=each: tokens.token(subject="alice", audience=audience) for each in (JWT, OPAQUE) * 5]
        got = await at_once(*calls)

    assert len({id(each) for each in got}) == 2
    first, second = oidc.journal()
    assert {first.form["resource"], second.form["resource"]} == {JWT.value, OPAQUE.value}
    assert (first.form["refresh_token"], second.form["refresh_token"]) == (token, first.answer["refresh_token"])


@pytest.mark.proves("oidc-provider", "refresh_token with reuse detection")
async def test_a_session_that_somebody_else_spent_is_lost_for_certain(oidc: OidcProvider) -> None:
    token = oidc.mint()
    async with adopting(found(oidc, RefreshToken()), token) as thief:
        await spent(thief)
    async with adopting(found(oidc, RefreshToken()), token) as tokens:
        error = await lost(tokens)

    assert (error.reason, error.ambiguous, error.transient) == ("session_lost", False, False)


@pytest.mark.proves("oidc-provider", "refresh_token with rotation (lost replies)")
async def test_a_reply_that_is_lost_may_lose_the_session(oidc: OidcProvider) -> None:
    oidc.fault(drop=True, when="after")
    async with adopting(found(oidc, RefreshToken()), oidc.mint()) as tokens:
        error = await lost(tokens)

    assert (error.reason, error.ambiguous) == ("session_lost", True)
    first, second = oidc.journal()
    assert first.form["refresh_token"] == second.form["refresh_token"]


@pytest.mark.proves("oidc-provider", "refresh_token with rotation (lost requests)")
async def test_a_request_that_is_lost_loses_no_session(oidc: OidcProvider) -> None:
    oidc.fault(drop=True)
    async with adopting(found(oidc, RefreshToken()), oidc.mint()) as tokens:
        await spent(tokens)
        await tokens.token(subject="alice", scope="read")

    assert [entry.status for entry in oidc.journal()] == [None, 200, 200]


@pytest.mark.proves("Authlib", "refresh_token with rotation")
async def test_authlib_s_sessions_live_on_when_a_spent_token_is_shown(authlib: Opinion) -> None:
    client = OAuthClient(
        client_id="web",
        token_endpoint=authlib.token_endpoint,
        authentication=authlib.clients["web"].secret,
        grant=RefreshToken(),
    )
    token = authlib.mint()
    async with adopting(client, token) as tokens:
        held = await spent(tokens)
        async with adopting(client, token) as late:
            assert not (await lost(late)).ambiguous
        assert (await tokens.renew(rejected=held, subject="alice")).header != held.header


@pytest.mark.proves("django-oauth-toolkit", "refresh_token with rotation and reuse protection")
@pytest.mark.proves("django-oauth-toolkit", "discovery (RFC 8414, an issuer with a path)")
async def test_django_s_sessions_are_found_by_an_issuer_with_a_path(django: Opinion) -> None:
    token = django.mint()
    async with adopting(found(django, RefreshToken()), token) as tokens:
        held = await spent(tokens)
        async with adopting(found(django, RefreshToken()), token) as thief:
            assert not (await lost(thief)).ambiguous
        with pytest.raises(SessionLostError):
            await tokens.renew(rejected=held, subject="alice")
