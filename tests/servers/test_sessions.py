"""Sessions at real authorization servers: found by their issuer, begun over HTTP, refreshed, and lost."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import anyio
import pytest
from tests.kit.harbour import AT_ONCE, at_once, soon
from tests.kit.oidc import NATIVE_CALLBACK, WEB_CALLBACK, OidcProvider
from tests.kit.opinions import Opinion
from tests.servers.using import JWT, OPAQUE, adopting, found, lost, spent

from tokenflight import (
    AccessTokenValidation,
    Audience,
    AuthorizationCode,
    AuthorizationRequest,
    AuthorizationResponseError,
    ConfigurationError,
    Endpoints,
    OAuthClient,
    RefreshToken,
    SessionLostError,
    TokenProvider,
    TokenRequestError,
)
from tokenflight.provider import keysets
from tokenflight.stores import MemoryStore

pytestmark = pytest.mark.anyio

LOGIN = "openid offline_access read"
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


async def begun(oidc: OidcProvider, tokens: TokenProvider) -> tuple[AuthorizationRequest, str]:
    """Have a person log in; return what was begun, and where they came back to."""
    login = await tokens.sessions.begin(redirect_uri=WEB_CALLBACK, audience=JWT, parameters=OFFLINE)
    return login, oidc.authorize(login.url)


async def given_up(oidc: OidcProvider, call: Callable[[], Awaitable[Any]]) -> None:
    """Cancel a call when its request has arrived; the answer comes a moment later."""
    oidc.fault(delay=0.3, when="after")
    async with anyio.create_task_group() as group:
        group.start_soon(call)
        await soon(lambda: len(oidc.journal()) == 1)
        group.cancel_scope.cancel()


@pytest.mark.proves("oidc-provider", "authorization_code (who redeems gives up)")
@pytest.mark.parametrize("leaves", [False, True], ids=["stays", "leaves"])
async def test_a_login_whose_caller_gives_up_is_kept(oidc: OidcProvider, leaves: bool) -> None:
    provider = TokenProvider(found(oidc, AuthorizationCode(), scope=LOGIN), retry=AT_ONCE)
    async with provider as tokens:
        login = await begun(oidc, tokens)
        await given_up(oidc, partial(tokens.sessions.redeem, *login, subject="alice"))
        if not leaves:
            await soon(lambda: len(tokens.status(subject="alice")) == 1)
    async with provider as tokens:
        held = await tokens.token(subject="alice", audience=JWT)
        await tokens.renew(rejected=held, subject="alice", audience=JWT)

    code, refresh = oidc.journal()
    assert refresh.form["refresh_token"] == code.answer["refresh_token"]


@pytest.mark.proves("oidc-provider", "authorization_code with a validated ID token (faults of the key set)")
@pytest.mark.parametrize("scope", [LOGIN, "offline_access read"], ids=["ID token", "access token"])
async def test_a_code_is_kept_where_what_it_brings_could_not_be_validated(oidc: OidcProvider, scope: str) -> None:
    client = found(
        oidc, AuthorizationCode(), scope=scope, validation=None if scope is LOGIN else AccessTokenValidation()
    )
    async with TokenProvider(client, retry=AT_ONCE) as tokens:
        login = await begun(oidc, tokens)
        oidc.fault(status=503, path="/jwks", times=3)
        with pytest.raises(TokenRequestError) as caught:
            await tokens.sessions.redeem(*login, subject="alice")
        assert (caught.value.reason, caught.value.transient, oidc.journal()) == ("key_set", True, [])
        await anyio.sleep(keysets.RETRY_EVERY)
        await tokens.sessions.redeem(*login, subject="alice")

    assert len(oidc.journal()) == 1


@pytest.mark.proves("oidc-provider", "authorization_code with a validated ID token (no issuer is no code sent)")
async def test_a_client_without_issuer_learns_that_before_anybody_is_sent_to_log_in(oidc: OidcProvider) -> None:
    client = OAuthClient(
        client_id="web",
        token_endpoint=oidc.token_endpoint,
        endpoints=Endpoints(authorization=oidc.authorization_endpoint, jwks=oidc.jwks_uri),
        authentication=oidc.clients["web"].secret,
        grant=AuthorizationCode(),
        scope=LOGIN,
    )
    async with TokenProvider(client) as tokens:
        with pytest.raises(ConfigurationError, match="give the client its issuer"):
            await begun(oidc, tokens)

    assert oidc.journal() == []


@pytest.mark.proves("oidc-provider", "refresh_token with rotation (leaving while it is rotated)")
async def test_a_rotation_under_way_is_kept_by_who_leaves(oidc: OidcProvider) -> None:
    client, store = found(oidc, RefreshToken()), MemoryStore()
    async with TokenProvider(client, store=store) as tokens:
        await tokens.sessions.adopt(subject="alice", refresh_token=oidc.mint(resources=[JWT.value, OPAQUE.value]))
        await given_up(oidc, partial(tokens.token, subject="alice", audience=JWT))
    async with TokenProvider(client, store=store) as tokens:
        await tokens.token(subject="alice", audience=OPAQUE)

    first, second = oidc.journal()
    assert (first.status, second.status) == (200, 200)
    assert second.form["refresh_token"] == first.answer["refresh_token"]


@pytest.mark.proves("oidc-provider", "refresh_token with rotation (callers that give up, lost requests)")
async def test_callers_that_give_up_and_requests_that_are_lost_cost_no_session(oidc: OidcProvider) -> None:
    audiences = [Audience(f"https://api.test/jwt/ttl/2/{number}", "resource") for number in range(3)]
    chance, lost_ones = random.Random(7), list[SessionLostError]()
    oidc.fault(drop=True, times=8)
    async with TokenProvider(found(oidc, RefreshToken()), retry=AT_ONCE) as tokens:
        for name in "abcdef":
            token = oidc.mint(subject=name, resources=[each.value for each in audiences])
            await tokens.sessions.adopt(subject=name, refresh_token=token)

        async def hasty(name: str) -> None:
            for _ in range(6):
                with anyio.move_on_after(chance.random() * 0.2):
                    try:
                        await tokens.token(subject=name, audience=chance.choice(audiences), min_ttl=1.5)
                    except SessionLostError as error:
                        lost_ones.append(error)
                    except TokenRequestError:
                        continue
                await anyio.sleep(chance.random() * 0.1)

        async with anyio.create_task_group() as group:
            for name in "abcdef" * 3:
                group.start_soon(hasty, name)

    assert lost_ones == []
    assert {entry.status for entry in oidc.journal()} == {None, 200}
    spent_ones = [entry.form["refresh_token"] for entry in oidc.journal() if entry.status == 200]
    assert len(set(spent_ones)) == len(spent_ones)
