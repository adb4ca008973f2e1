"""Auth0 as a program meets it: a tenant through a provider, and an API that takes its tokens through an auth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from tests.doubles.auth0 import TOKEN, Auth0Double, Quota, refusals
from tests.doubles.auth0.scene import API, CALLBACK, OTHER, tenant
from tests.doubles.tokens import key, peeked, text_of
from tests.kit.canary import sightings
from tests.kit.town import Town

from tokenflight import (
    AccessTokenValidation,
    AuthorizationCode,
    AuthorizationResponseError,
    ClientSecretBasic,
    InvalidClientError,
    OAuthClient,
    PrivateKeyJWT,
    SessionLostError,
    TokenProvider,
    TokenRequestError,
    TokenValidationError,
)
from tokenflight.dialects import auth0
from tokenflight.testing import Delay, VirtualClock

pytestmark = pytest.mark.anyio

DOMAIN = "tenant.eu.auth0.com"


def place(**options: Any) -> tuple[Auth0Double, Town]:
    clock = VirtualClock()
    double = tenant(clock=clock, **options)
    return double, Town(clock=clock, endpoint=double)  # type: ignore[arg-type]


def client(double: Auth0Double, name: str = "the-post", **fields: Any) -> OAuthClient:
    if "authentication" not in fields and double.tenant.clients[name].secret:
        fields["client_secret"] = double.tenant.clients[name].secret
    return auth0.client(domain=DOMAIN, client_id=name, **fields)


def claims(token: Any) -> dict[str, Any]:
    return peeked(text_of(token)) or {}


async def refused(there: Town, call: Callable[[], Any]) -> TokenRequestError:
    with pytest.raises(TokenRequestError) as raised:
        await there.clock.run(call)
    return raised.value


@pytest.mark.proves("Auth0", "client_credentials, 500 callers at once")
async def test_five_hundred_callers_cost_one_token_on_the_bill() -> None:
    double, there = place()
    double.always(Delay(1.0), at=TOKEN)
    async with there.provider(client(double)) as tokens:
        calls = await there.once(*(tokens.source(audience=API) for _ in range(500)))
    assert len({call.token for call in calls}) == 1
    assert (len(double.token_requests), double.billed) == (1, 1)


@pytest.mark.proves("Auth0", "client_credentials, organizations and APIs that share nothing")
async def test_two_organizations_and_two_apis_never_share_a_token() -> None:
    double, there = place()
    for name in ("org_1", "org_2"):
        double.organization(name)
    double.allow(double.tenant.clients["the-post"], API, "allow", ["org_1", "org_2"])
    wanted = [(API, "org_1"), (API, "org_2"), (API, None), (OTHER, None)]
    async with there.provider(client(double)) as tokens:
        sources = [
            tokens.source(audience=audience, subject=auth0.organization(name) if name else None)
            for audience, name in wanted
        ]
        calls = await there.once(*sources, *sources)
    told = [(claims(call.token)["aud"], claims(call.token).get("org_id")) for call in calls[::2]]
    assert sorted(told, key=str) == sorted(wanted, key=str)
    assert double.billed == 4


async def test_each_way_of_authentication_is_taken_by_who_is_configured_so() -> None:
    double, there = place()
    clients = {
        "post": client(double),
        "basic": client(
            double, "the-basic", authentication=ClientSecretBasic(double.tenant.clients["the-basic"].secret)
        ),
        "key": client(
            double,
            "the-key",
            authentication=PrivateKeyJWT(key("client-key").as_dict(private=True), key_id="client-key"),
        ),
        "wrong": client(double, "the-basic"),
    }
    async with there.provider(clients) as tokens:
        for name in ("post", "basic", "key"):
            await there.clock.run(lambda: tokens.token(name, audience=API))  # noqa: B023
        error = await refused(there, lambda: tokens.token("wrong", audience=API))
    assert [seen.status for seen in double.token_requests] == [200, 200, 200, 401]
    assert isinstance(error, InvalidClientError)


@pytest.mark.proves("Auth0", "client_credentials, private_key_jwt after 429 and 503 and with a wrong clock")
async def test_a_signed_assertion_is_new_for_each_try_however_far_off_the_clock_is() -> None:
    double, there = place(now_offset=-400.0)
    double.script(refusals.rate_limited_by_policy(1), refusals.UNAVAILABLE, at=TOKEN)
    proof = PrivateKeyJWT(key("client-key").as_dict(private=True), key_id="client-key")
    async with there.provider(client(double, "the-key", authentication=proof)) as tokens:
        await there.clock.run(lambda: tokens.token(audience=API))
        before = len(double.token_requests)
        await there.clock.run(lambda: tokens.token(audience=OTHER))
    assert [seen.status for seen in double.token_requests[:before]] == [429, 503, 401, 200]
    assert len({seen.jtis["client_assertion"] for seen in double.token_requests}) == before + 1
    assert len(double.token_requests) == before + 1


@pytest.mark.proves("Auth0", "client_credentials, a quota that is used up")
async def test_an_exceeded_quota_is_told_at_once_and_not_asked_again_before_its_hour() -> None:
    double, there = place()
    double.tenant.clients["the-post"].quota = Quota(hour=1)
    async with there.provider(client(double)) as tokens:
        first = await there.clock.run(lambda: tokens.token(audience=API))
        assert first.extra["auth0_client_quota"]["per_hour"]["remaining"] == 0
        began = there.clock.now()
        errors = [await refused(there, lambda: tokens.token(audience=OTHER)) for _ in range(10)]
        assert there.clock.now() == began
        assert len(double.token_requests) == 2
        assert all(0 < (error.retry_after or 0) <= 3600 for error in errors)
        assert errors[0].hint is not None
        await there.clock.advance(3600)
        assert double.is_live(await there.clock.run(lambda: tokens.token(audience=OTHER)))
    double.ledger.check()


@pytest.mark.proves("Auth0", "client_credentials, a Retry-After of an hour")
async def test_an_hour_to_wait_is_raised_at_once_and_asked_about_again_after_ten_minutes() -> None:
    double, there = place()
    double.script(refusals.quota_exceeded(3540), at=TOKEN)
    async with there.provider(client(double)) as tokens:
        error = await refused(there, lambda: tokens.token(audience=API))
        await there.clock.advance(590)
        await refused(there, lambda: tokens.token(audience=API))
        assert (error.retry_after, there.clock.now(), len(double.token_requests)) == (600.0, 590.0, 1)
        await there.clock.advance(20)
        assert double.is_live(await there.clock.run(lambda: tokens.token(audience=API)))


@pytest.mark.proves("Auth0", "client_credentials, a wrong secret")
async def test_a_wrong_secret_costs_one_request_for_a_hundred_callers_and_waits() -> None:
    double, there = place()
    async with there.provider(client(double, authentication=None, client_secret="wrong")) as tokens:
        sources = [tokens.source(audience=audience) for audience in (API, OTHER)] * 50
        calls = await there.once(*sources[::2])
        again = await there.once(*sources)
        assert len(double.token_requests) == 1
        await there.clock.advance(31)
        await there.once(*sources)
    assert {type(call.error) for call in (*calls, *again)} == {InvalidClientError}
    assert 2 <= len(double.token_requests) <= 3


@pytest.mark.parametrize("header", refusals.MALFORMED_QUOTAS)
async def test_a_malformed_quota_breaks_nothing(header: str) -> None:
    double, there = place()
    double.script(refusals.quota_exceeded(1, quotas=header), at=TOKEN)
    async with there.provider(client(double)) as tokens:
        assert double.is_live(await there.clock.run(lambda: tokens.token(audience=API)))


@pytest.mark.proves("Auth0", "validation of access tokens, keys that rotate")
async def test_keys_that_rotate_are_fetched_again_and_a_forged_token_is_nobodys() -> None:
    double, there = place()
    known = client(double, validation=AccessTokenValidation())
    async with there.provider(known) as tokens:
        await there.clock.run(lambda: tokens.token(audience=API))
        double.mint.rotate()
        await there.clock.advance(31)
        assert double.is_live(await there.clock.run(lambda: tokens.renew(audience=API)))
        genuine, double.mint.keys = double.mint.keys, [key("a-forger")]
        double.mint.jwks = lambda: {"keys": []}  # type: ignore[method-assign]
        error = await refused(there, lambda: tokens.token(audience=OTHER))
    assert isinstance(error, TokenValidationError)
    assert len(genuine) == 2


@pytest.mark.proves("Auth0", "an API that refuses a token")
async def test_an_api_that_refuses_a_token_gets_another_and_a_403_gets_none() -> None:
    double, there = place()
    async with (
        there.provider(client(double)) as tokens,
        httpx.AsyncClient(transport=double.transport(), auth=tokens.auth(audience=API)) as http,
    ):
        url = f"{double.url}/api"
        assert (await there.clock.run(http.get, url)).status_code == 200
        double.invalidate(await tokens.token(audience=API))
        assert (await there.clock.run(http.get, url)).status_code == 200
        double.api_scope = "delete:a"
        assert (await there.clock.run(http.get, url)).status_code == 403
    assert len(double.token_requests) == 2


def for_people(double: Auth0Double, **fields: Any) -> OAuthClient:
    return client(double, "the-web", grant=AuthorizationCode(), scope="openid offline_access read:a", **fields)


async def login(double: Auth0Double, there: Town, tokens: TokenProvider) -> Any:
    async def through_the_browser() -> Any:
        request = await tokens.sessions.begin(redirect_uri=CALLBACK, audience=API)
        return await tokens.sessions.redeem(request, await double.browse(request.url), subject="alice")

    return await there.clock.run(through_the_browser)


@pytest.mark.proves("Auth0", "authorization_code with PKCE and an ID token")
async def test_a_person_logs_in_with_pkce_and_the_session_rotates_until_it_is_lost() -> None:
    double, there = place()
    async with there.provider(for_people(double)) as tokens:
        token = await login(double, there, tokens)
        assert token.extra["id_token_claims"]["sub"] == "auth0|person"
        second = await there.clock.run(lambda: tokens.renew(subject="alice", audience=API))
        assert double.is_live(second)
        for refresh in double.tenant.refreshing.values():
            refresh.family.revoked = True
        await there.clock.advance(90)
        error = await refused(there, lambda: tokens.renew(subject="alice", audience=API))
    assert [seen.form["grant_type"] for seen in double.token_requests[:2]] == ["authorization_code", "refresh_token"]
    assert isinstance(error, SessionLostError)


@pytest.mark.parametrize(
    "changes", [{"nonce": "another"}, {"aud": "another"}, {"iss": "https://evil/"}, {"exp": 1}, {"at_hash": "wrong"}]
)
async def test_an_id_token_that_is_wrong_leaves_no_session(changes: dict[str, Any]) -> None:
    double, there = place()
    double.mint.id_token_changes = changes
    async with there.provider(for_people(double)) as tokens:
        with pytest.raises(TokenValidationError):
            await login(double, there, tokens)
        assert not [seen for seen in tokens.status() if seen.expires_at is not None]
    assert len(double.token_requests) == 1


@pytest.mark.parametrize("callback", [{"state": "another"}, {"state": None}, {"iss": "https://evil.example/"}])
async def test_a_callback_that_is_no_answer_to_the_login_is_refused_before_anything_is_sent(
    callback: dict[str, str | None],
) -> None:
    double, there = place()
    double.sessions.callback = callback
    async with there.provider(for_people(double)) as tokens:
        with pytest.raises(AuthorizationResponseError):
            await login(double, there, tokens)
    assert not double.token_requests


async def test_secrets_and_tokens_show_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    double, there = place()
    async with there.provider({"machine": client(double), "people": for_people(double)}) as tokens:
        token = await there.clock.run(lambda: tokens.token("machine", audience=API))
        error = await refused(there, lambda: tokens.token("machine", audience="https://unknown/"))
        shown = [repr(token), str(token), repr(error), str(error), repr(tokens), repr(tokens.status("machine"))]
        assert sightings(" ".join(shown) + repr(there.events)) == []
    assert sightings(caplog.text) == []
