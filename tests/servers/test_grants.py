"""Grants at real authorization servers: logins, sessions, assertions, exchanges, and what a token has to be."""

from __future__ import annotations

import base64
import json
from functools import partial
from typing import Any

import pytest
from tests.kit.credentials import claims_of, make_key, signed
from tests.kit.harbour import AT_ONCE, at_once
from tests.kit.oidc import IDP, WEB_CALLBACK, OidcProvider
from tests.kit.opinions import Opinion
from tests.servers.asking import BAD_GRANT, post, refusal
from tests.servers.using import AS_ITSELF, JWT, OPAQUE, adopting, client_of, found, lifetime, lost, provider

from tokenflight import (
    ACCESS_TOKEN,
    TOKEN_ENDPOINT,
    AccessTokenValidation,
    Assertion,
    Audience,
    AuthorizationCode,
    AuthorizationResponseError,
    ClientSecretBasic,
    Endpoints,
    InvalidGrantError,
    JWTBearer,
    OAuthClient,
    PrivateKeyJWT,
    RefreshToken,
    SessionLostError,
    SubjectToken,
    TokenEndpointError,
    TokenExchange,
    TokenProvider,
    TokenRequestError,
    TokenValidationError,
)

pytestmark = pytest.mark.anyio

JWT_TYPE = "urn:ietf:params:oauth:token-type:jwt"
OFFLINE = {"prompt": "consent"}
LOGIN = "openid offline_access read email"


def said(jwt: str) -> dict[str, Any]:
    """Return the claims of a JWT that the server has verified."""
    return json.loads(base64.urlsafe_b64decode(f"{jwt.split('.')[1]}=="))  # type: ignore[no-any-return]


# Logins


@pytest.mark.proves("oidc-provider", "authorization_code with a validated ID token")
async def test_an_id_token_tells_who_logged_in(oidc: OidcProvider) -> None:
    async with TokenProvider(found(oidc, AuthorizationCode(), scope=LOGIN), retry=AT_ONCE) as tokens:
        login = await tokens.sessions.begin(redirect_uri=WEB_CALLBACK, audience=JWT, parameters=OFFLINE)
        callback = oidc.authorize(login.url, login="grace")
        token = await tokens.sessions.redeem(login, callback, subject=lambda it: it.extra["id_token_claims"]["sub"])
        assert await tokens.token(subject="grace", audience=JWT) is token

    claims = token.extra["id_token_claims"]
    assert (claims["iss"], claims["aud"], claims["nonce"]) == (oidc.issuer, "web", login.nonce)
    assert claims_of(token.access_token.reveal(), oidc.keys["ES256"])["sub"] == "grace"


@pytest.mark.proves("oidc-provider", "authorization_code with PKCE + private_key_jwt")
async def test_a_client_with_a_key_redeems_and_refreshes(oidc: OidcProvider) -> None:
    method = PrivateKeyJWT(oidc.clients["web-key"].key or "")
    client = found(oidc, AuthorizationCode(), "web-key", scope=LOGIN, authentication=method)
    async with TokenProvider(client, retry=AT_ONCE) as tokens:
        login = await tokens.sessions.begin(redirect_uri=WEB_CALLBACK, audience=JWT, parameters=OFFLINE)
        token = await tokens.sessions.redeem(login, oidc.authorize(login.url), subject="alice")
        await tokens.renew(rejected=token, subject="alice", audience=JWT)

    code, refresh = oidc.journal()
    assert said(code.form["client_assertion"])["jti"] != said(refresh.form["client_assertion"])["jti"]


TAMPERED = {
    "state": ("state=", "state=x"),
    "foreign iss": ("iss=http", "iss=https"),
    "no iss": ("&iss=", "&was="),
    "code": ("code=", "code=x"),
}


@pytest.mark.proves("oidc-provider", "authorization_code (a callback that was tampered with is refused)")
@pytest.mark.parametrize("what", TAMPERED)
async def test_a_callback_that_somebody_changed_keeps_nothing(oidc: OidcProvider, what: str) -> None:
    async with TokenProvider(found(oidc, AuthorizationCode(), scope=LOGIN)) as tokens:
        login = await tokens.sessions.begin(redirect_uri=WEB_CALLBACK, parameters=OFFLINE)
        callback = oidc.authorize(login.url).replace(*TAMPERED[what])
        with pytest.raises(TokenRequestError) as caught:
            await tokens.sessions.redeem(login, callback, subject="alice")
        assert tokens.status() == ()

    assert type(caught.value) is (InvalidGrantError if what == "code" else AuthorizationResponseError)
    assert len(oidc.journal()) == (what == "code")


@pytest.mark.proves("oidc-provider", "authorization_code (another verifier is refused)")
async def test_a_code_is_for_who_began_the_login(oidc: OidcProvider) -> None:
    """Somebody who caught a callback, and begins a login to put it in, has another verifier."""
    async with TokenProvider(found(oidc, AuthorizationCode(), scope="read")) as tokens:
        theirs = await tokens.sessions.begin(redirect_uri=WEB_CALLBACK)
        own = await tokens.sessions.begin(redirect_uri=WEB_CALLBACK)
        caught = oidc.authorize(theirs.url).replace(theirs.state, own.state)
        with pytest.raises(InvalidGrantError):
            await tokens.sessions.redeem(own, caught, subject="mallory")


@pytest.mark.proves("oidc-provider", "authorization_code (a code that was used is refused)")
async def test_a_code_that_is_shown_again_ends_the_session_that_it_began(oidc: OidcProvider) -> None:
    async with TokenProvider(found(oidc, AuthorizationCode(), scope=LOGIN), retry=AT_ONCE) as tokens:
        login = await tokens.sessions.begin(redirect_uri=WEB_CALLBACK, parameters=OFFLINE)
        callback = oidc.authorize(login.url)
        await tokens.sessions.redeem(login, callback, subject="alice")
        (entry,) = oidc.journal()
        again = {name: value for name, value in entry.form.items() if name != "client_id"}
        assert refusal(post(oidc.token_endpoint, again, client=oidc.clients["web"])) == BAD_GRANT
        assert not (await lost(tokens)).ambiguous


@pytest.mark.proves("oidc-provider", "authorization_code (lost replies)")
async def test_a_code_whose_reply_was_lost_is_not_sent_again(oidc: OidcProvider) -> None:
    oidc.fault(drop=True, when="after")
    async with TokenProvider(found(oidc, AuthorizationCode(), scope=LOGIN), retry=AT_ONCE) as tokens:
        login = await tokens.sessions.begin(redirect_uri=WEB_CALLBACK, parameters=OFFLINE)
        with pytest.raises(TokenRequestError) as caught:
            await tokens.sessions.redeem(login, oidc.authorize(login.url), subject="alice")

    assert (caught.value.reason, caught.value.attempts, len(oidc.journal())) == ("reset", 1, 1)


# Sessions


@pytest.mark.proves("oidc-provider", "refresh_token with rotation + private_key_jwt")
@pytest.mark.proves("oidc-provider", "refresh_token with rotation + none")
@pytest.mark.parametrize("name", ["web-key", "native"])
async def test_a_refresh_token_goes_along_with_any_client_authentication(oidc: OidcProvider, name: str) -> None:
    key = oidc.clients[name].key
    client = found(oidc, RefreshToken(), name, authentication=None if key is None else PrivateKeyJWT(key))
    async with adopting(client, oidc.mint(name)) as tokens:
        for scope in ("openid", "read", "write"):
            await tokens.token(subject="alice", scope=scope)

    entries = oidc.journal()
    given = [entry.answer["refresh_token"] for entry in entries]
    assert [entry.form["refresh_token"] for entry in entries[1:]] == given[:2]
    assert len(set(given)) == 3


@pytest.mark.proves("oidc-provider", "refresh_token with rotation, renewed ahead")
async def test_two_resources_of_a_session_are_renewed_ahead_in_turn(oidc: OidcProvider) -> None:
    brief = [Audience(f"https://api.test/jwt/ttl/2/{name}", "resource") for name in ("one", "two")]
    token = oidc.mint(resources=[each.value for each in brief])
    async with adopting(found(oidc, RefreshToken()), token) as tokens:
        for audience in brief:
            source = tokens.source(subject="alice", audience=audience, keep_warm=True)
            updates = source.updates()
            held = [await anext(updates), await anext(updates)]
            assert held[0].header != held[1].header
            await updates.aclose()

    entries = oidc.journal()
    given = [entry.answer["refresh_token"] for entry in entries]
    assert [entry.form["refresh_token"] for entry in entries] == [token, *given[:-1]], "each one once"


@pytest.mark.proves("oidc-provider", "refresh_token with reuse detection")
async def test_a_spent_token_that_is_shown_from_outside_ends_the_session(oidc: OidcProvider) -> None:
    first = oidc.mint()
    async with adopting(found(oidc, RefreshToken()), first) as tokens:
        held = await tokens.token(subject="alice")
        thief = {"grant_type": "refresh_token", "refresh_token": first}
        assert refusal(post(oidc.token_endpoint, thief, client=oidc.clients["web"])) == BAD_GRANT
        assert await tokens.token(subject="alice") is held, "to its end"
        assert not (await lost(tokens)).ambiguous
        sent = len(oidc.journal())
        with pytest.raises(TokenRequestError, match="is not renewed"):
            await tokens.renew(rejected=held, subject="alice")
        assert len(oidc.journal()) == sent

        await tokens.sessions.adopt(subject="alice", refresh_token=oidc.mint())
        assert (await tokens.renew(rejected=held, subject="alice")).header != held.header


@pytest.mark.proves("oidc-provider", "refresh_token with rotation (lost replies)")
@pytest.mark.parametrize("fault", [{"drop": True}, {"status": 503}, {"status": 200, "body": "{"}], ids=str)
async def test_a_rotation_that_nobody_heard_of_loses_this_session_and_no_other(
    oidc: OidcProvider, fault: dict[str, Any]
) -> None:
    async with adopting(found(oidc, RefreshToken()), oidc.mint()) as tokens:
        await tokens.sessions.adopt(subject="bob", refresh_token=oidc.mint(subject="bob"))
        oidc.fault(**fault, when="after")
        assert (await lost(tokens)).ambiguous
        await tokens.token(subject="bob")

    assert [entry.status for entry in oidc.journal()][1:] == [400, 200]


@pytest.mark.proves("oidc-provider", "refresh_token with rotation and two resources")
async def test_a_resource_that_the_session_lacks_costs_the_session_here(oidc: OidcProvider) -> None:
    """oidc-provider spends the refresh token before it looks at the resource."""
    async with adopting(found(oidc, RefreshToken()), oidc.mint(resources=[JWT.value])) as tokens:
        with pytest.raises(TokenEndpointError) as caught:
            await tokens.token(subject="alice", audience=OPAQUE)
        with pytest.raises(SessionLostError):
            await tokens.token(subject="alice", audience=JWT)

    assert caught.value.error == "invalid_target"


@pytest.mark.proves("oidc-provider", "refresh_token (revocation ends the session)")
async def test_a_session_that_is_revoked_is_over_here_and_there(oidc: OidcProvider) -> None:
    async with adopting(found(oidc, RefreshToken()), oidc.mint(resources=[JWT.value, OPAQUE.value])) as tokens:
        for audience in (JWT, OPAQUE):
            await tokens.token(subject="alice", audience=audience)
        assert await tokens.revoke(subject="alice", audience=JWT) is True
        assert not (await lost(tokens, OPAQUE)).ambiguous

    newest = {"grant_type": "refresh_token", "refresh_token": oidc.journal()[1].answer["refresh_token"]}
    assert refusal(post(oidc.token_endpoint, newest, client=oidc.clients["web"])) == BAD_GRANT


@pytest.mark.proves("oidc-provider", "revocation (a JWT cannot be revoked)")
async def test_a_jwt_that_the_server_cannot_revoke_is_let_go_of_all_the_same(oidc: OidcProvider) -> None:
    async with provider(found(oidc, AS_ITSELF, "basic")) as tokens:
        first = await tokens.token(audience=JWT)
        assert await tokens.revoke(audience=JWT) is False
        assert (await tokens.token(audience=JWT)).header != first.header


# Assertions


def bearing(oidc: OidcProvider, key: Any = None, **fields: Any) -> OAuthClient:
    return found(oidc, JWTBearer(key), "bearer", **fields)


def of_idp(oidc: OidcProvider, **how: Any) -> Assertion:
    return Assertion(oidc.idp, **({"issuer": IDP} | how))


@pytest.mark.proves("oidc-provider", "jwt-bearer + client_secret_basic")
@pytest.mark.parametrize("audience", [None, TOKEN_ENDPOINT], ids=["issuer", "token endpoint"])
async def test_subjects_are_asserted_each_anew(oidc: OidcProvider, audience: Any) -> None:
    async with provider(bearing(oidc, of_idp(oidc, audience=audience), scope="read")) as tokens:
        got = {name: await tokens.token(subject=name, audience=JWT) for name in ("carol", "dave")}
        await at_once(*[partial(tokens.token, subject="carol", audience=JWT)] * 5)

    assertions = [said(entry.form["assertion"]) for entry in oidc.journal()]
    assert [claims["sub"] for claims in assertions] == list(got)
    assert len({claims["jti"] for claims in assertions}) == 2
    for name, token in got.items():
        claims = claims_of(token.access_token.reveal(), oidc.keys["ES256"])
        assert (claims["sub"], claims["client_id"], token.scope) == (name, "bearer", {"read"})


@pytest.mark.proves("oidc-provider", "jwt-bearer (lost replies)")
@pytest.mark.parametrize("when", ["before", "after"])
async def test_an_assertion_is_never_sent_twice(oidc: OidcProvider, when: Any) -> None:
    oidc.fault(drop=True, when=when)
    oidc.fault(status=429, headers={"Retry-After": "0"}, when=when)
    async with provider(bearing(oidc, of_idp(oidc))) as tokens:
        await tokens.token(subject="carol", audience=JWT)

    assert len({said(entry.form["assertion"])["jti"] for entry in oidc.journal()}) == 3


@pytest.mark.proves("oidc-provider", "jwt-bearer (what is wrong with it is refused)")
@pytest.mark.parametrize("wrong", ["key", "issuer", "audience"])
async def test_a_wrong_assertion_is_refused_once_and_for_its_subject_alone(oidc: OidcProvider, wrong: str) -> None:
    assertions = {
        "key": Assertion(make_key("ES256"), issuer=IDP),
        "issuer": of_idp(oidc, issuer="https://other.test"),
        "audience": of_idp(oidc, audience="https://elsewhere.test"),
    }
    async with provider(bearing(oidc, assertions[wrong])) as tokens:
        for attempts in (1, 0):
            with pytest.raises(InvalidGrantError) as caught:
                await tokens.token(subject="carol", audience=JWT)
            assert (caught.value.transient, caught.value.attempts) == (False, attempts)

    assert len(oidc.journal()) == 1


@pytest.mark.proves("oidc-provider", "jwt-bearer with an assertion that somebody else signed")
async def test_an_assertion_of_somebody_else_is_presented(oidc: OidcProvider) -> None:
    def issued() -> str:
        return signed(oidc.idp, iss=IDP, sub="erin", aud=oidc.issuer)

    async with provider(bearing(oidc)) as tokens:
        by_value = SubjectToken(issued(), type=JWT_TYPE)
        first = await tokens.token(subject=by_value, audience=JWT)
        assert await tokens.token(subject=by_value, audience=JWT) is first
        with pytest.raises(InvalidGrantError):
            await tokens.renew(rejected=first, subject=by_value, audience=JWT)
        anew = SubjectToken(issued, type=JWT_TYPE)
        held = await tokens.token(subject=anew, audience=JWT)
        assert (await tokens.renew(rejected=held, subject=anew, audience=JWT)).header != held.header

    assert lifetime(first) <= 60, "no longer than what bought it"


# Exchanges


def exchanging(oidc: OidcProvider, **how: Any) -> dict[str, OAuthClient]:
    """Return a client whose tokens are exchanged, and the one that exchanges them."""
    return {"web": found(oidc, RefreshToken()), "exchange": found(oidc, TokenExchange(**how), "exchange")}


LASTING = Audience("https://api.test/jwt/ttl/60", "resource")
BEHIND = Audience("https://api.test/jwt/behind", "resource")


@pytest.mark.proves("oidc-provider", "token-exchange by value + client_secret_basic")
async def test_a_token_is_exchanged_for_one_that_does_not_outlive_it(oidc: OidcProvider) -> None:
    async with provider(exchanging(oidc, requested_token_type=ACCESS_TOKEN)) as tokens:
        token = oidc.mint(subject="dave", resources=[LASTING.value])
        await tokens.sessions.adopt(client="web", subject="dave", refresh_token=token)
        bearer = (await tokens.token("web", subject="dave", audience=LASTING)).access_token.reveal()
        calls = [partial(tokens.token, "exchange", subject=SubjectToken(bearer), audience=BEHIND)] * 10
        got = await at_once(*calls)
        narrow = await tokens.token("exchange", subject=SubjectToken(bearer), audience=BEHIND, scope="read")

    assert len({id(each) for each in got}) == 1
    assert [entry.client for entry in oidc.journal()] == ["web", "exchange", "exchange"]
    assert lifetime(got[0]) <= 60
    claims = claims_of(narrow.access_token.reveal(), oidc.keys["ES256"])
    assert (claims["sub"], claims["aud"], claims["scope"]) == ("dave", BEHIND.value, "read")
    assert claims["act"]["sub"] == "exchange"


@pytest.mark.proves("oidc-provider", "token-exchange from another source of the provider")
async def test_a_token_of_another_source_is_exchanged_as_it_is_at_that_moment(oidc: OidcProvider) -> None:
    async with provider(exchanging(oidc)) as tokens:
        await tokens.sessions.adopt(client="web", subject="dave", refresh_token=oidc.mint(subject="dave"))
        parent = tokens.source("web", subject="dave")
        subject = SubjectToken(parent)
        first = await tokens.token("exchange", subject=subject, audience=BEHIND)
        await parent.renew(await parent.token())
        second = await tokens.renew("exchange", rejected=first, subject=subject, audience=BEHIND)

    assert [entry.client for entry in oidc.journal()] == ["web", "exchange", "web", "exchange"]
    old, new = (entry for entry in oidc.journal() if entry.client == "exchange")
    parents = [entry.answer["access_token"] for entry in oidc.journal() if entry.client == "web"]
    assert [old.form["subject_token"], new.form["subject_token"]] == parents
    assert first.header != second.header


@pytest.mark.proves("oidc-provider", "token-exchange with an actor token")
async def test_who_acts_for_somebody_is_named(oidc: OidcProvider) -> None:
    def of(name: str) -> SubjectToken:
        return SubjectToken(lambda: signed(oidc.idp, iss=IDP, sub=name, aud=oidc.issuer), type=JWT_TYPE)

    subject = SubjectToken(of("erin").value, type=JWT_TYPE, actor=of("frank"))
    async with provider(exchanging(oidc)) as tokens:
        token = await tokens.token("exchange", subject=subject, audience=BEHIND, scope="read")

    claims = claims_of(token.access_token.reveal(), oidc.keys["ES256"])
    assert (claims["sub"], claims["act"]["sub"]) == ("erin", "frank")


@pytest.mark.proves("oidc-provider", "token-exchange (what is wrong with it is refused)")
async def test_what_cannot_be_exchanged_is_refused_alone(oidc: OidcProvider) -> None:
    async with provider(
        exchanging(oidc) | {"odd": exchanging(oidc, requested_token_type=JWT_TYPE)["exchange"]}
    ) as tokens:
        await tokens.sessions.adopt(client="web", subject="dave", refresh_token=oidc.mint(subject="dave", scope="read"))
        bearer = (await tokens.token("web", subject="dave")).access_token.reveal()
        ask = partial(tokens.token, "exchange", subject=SubjectToken(bearer), audience=BEHIND)
        with pytest.raises(TokenEndpointError) as wider:
            await ask(scope="read admin")
        with pytest.raises(TokenEndpointError) as unknown:
            await ask(subject=SubjectToken("unknown"))
        with pytest.raises(TokenEndpointError) as elsewhere:
            await ask(audience=Audience("https://other.test/", "resource"))
        with pytest.raises(TokenEndpointError) as kind:
            await tokens.token("odd", subject=SubjectToken(bearer), audience=BEHIND)
        await ask()

    codes = [caught.value.error for caught in (wider, unknown, elsewhere, kind)]
    assert codes == ["invalid_scope", "invalid_request", "invalid_target", "invalid_request"]
    assert not any(caught.value.transient for caught in (wider, unknown, elsewhere, kind))


# Validation


def validated(oidc: OidcProvider, **how: Any) -> OAuthClient:
    secret = ClientSecretBasic(oidc.clients["basic"].secret or "")
    return OAuthClient(
        client_id="basic", issuer=oidc.issuer, authentication=secret, validation=AccessTokenValidation(**how)
    )


@pytest.mark.proves("oidc-provider", "access-token validation (RFC 9068)")
async def test_a_token_is_validated_by_the_keys_that_the_issuer_publishes(oidc: OidcProvider) -> None:
    async with provider(validated(oidc, algorithms=["ES256"], typ="at+jwt")) as tokens:
        await tokens.token(audience=JWT)
        await tokens.token(audience=BEHIND)

    assert (len(oidc.journal()), len(oidc.journal("/jwks"))) == (2, 1)


WRONG: dict[str, tuple[dict[str, Any], Audience]] = {
    "audience": ({"audience": "https://other.test/"}, JWT),
    "algorithm": ({"algorithms": ["RS256"]}, JWT),
    "issuer": ({"issuer": "https://other.test"}, JWT),
    "type": ({"typ": "JWT"}, JWT),
    "not_a_jwt": ({}, OPAQUE),
}


@pytest.mark.proves("oidc-provider", "access-token validation (what fails it is never handed out)")
@pytest.mark.parametrize("reason", WRONG)
async def test_a_token_that_is_not_what_was_asked_for_is_never_handed_out(oidc: OidcProvider, reason: str) -> None:
    how, audience = WRONG[reason]
    async with provider(validated(oidc, **how)) as tokens:
        for _ in range(2):
            with pytest.raises(TokenValidationError) as caught:
                await tokens.token(audience=audience)
            assert (caught.value.reason, caught.value.transient) == (reason, False)

    assert len(oidc.journal()) == 1


@pytest.mark.proves("oidc-provider", "refresh_token with access-token validation")
async def test_a_session_outlives_a_token_that_fails_validation(oidc: OidcProvider) -> None:
    """The refresh token that came along is the session's from then on, whatever came with it."""
    client = found(oidc, RefreshToken(), validation=AccessTokenValidation())
    async with adopting(client, oidc.mint(resources=[JWT.value, OPAQUE.value])) as tokens:
        with pytest.raises(TokenValidationError):
            await tokens.token(subject="alice", audience=OPAQUE)
        await tokens.token(subject="alice", audience=JWT)


# The other servers


@pytest.mark.proves("Authlib", "jwt-bearer + none")
@pytest.mark.parametrize("audience", [None, TOKEN_ENDPOINT], ids=["issuer", "token endpoint"])
async def test_authlib_takes_assertions_for_a_person(authlib: Opinion, audience: Any) -> None:
    grant = JWTBearer(Assertion(authlib.clients["bearer"].key or "", audience=audience))
    async with provider(client_of(authlib, "bearer", issuer=authlib.issuer, grant=grant, scope="read")) as tokens:
        for name in ("carol", "dave"):
            assert (await tokens.token(subject=name)).scope == {"read"}


@pytest.mark.proves("Authlib", "jwt-bearer (what is wrong with it is refused)")
@pytest.mark.parametrize("wrong", ["key", "audience", "issuer"])
async def test_authlib_refuses_a_wrong_assertion_for_a_person(authlib: Opinion, wrong: str) -> None:
    key = authlib.clients["bearer"].key or ""
    assertions = {
        "key": Assertion(make_key("ES256")),
        "audience": Assertion(key, audience="https://elsewhere.test"),
        "issuer": Assertion(key, issuer="nobody"),
    }
    client = client_of(authlib, "bearer", issuer=authlib.issuer, grant=JWTBearer(assertions[wrong]))
    async with provider(client) as tokens:
        with pytest.raises(InvalidGrantError) as caught:
            await tokens.token(subject="carol")

    assert (caught.value.status, caught.value.transient, caught.value.attempts) == (400, False, 1)


@pytest.mark.proves("Authlib", "refresh_token (revocation ends the session)")
@pytest.mark.proves("django-oauth-toolkit", "refresh_token (revocation ends the session)")
@pytest.mark.parametrize("server", ["authlib", "django"])
async def test_other_servers_end_a_session_too(request: pytest.FixtureRequest, server: str) -> None:
    at: Opinion = request.getfixturevalue(server)
    client = client_of(at, "web", grant=RefreshToken(), endpoints=Endpoints(revocation=at.revocation_endpoint))
    async with adopting(client, at.mint()) as tokens:
        await tokens.token(subject="alice")
        assert await tokens.revoke(subject="alice") is True
        assert not (await lost(tokens)).ambiguous
