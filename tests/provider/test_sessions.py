"""Sessions: what may be begun, redeemed and adopted, and by which words."""

from __future__ import annotations

import anyio
import pytest
from tests.kit.canary import canary
from tests.kit.issuers import found, said
from tests.kit.rotating import RotatingServer, app, login_app, session_town
from tests.kit.town import client
from tests.provider.test_discovery import place as discovered

from tokenflight import (
    Audience,
    AuthorizationCode,
    AuthorizationRequest,
    AuthorizationResponseError,
    ConfigurationError,
    Endpoints,
    Secret,
    Subject,
    SubjectToken,
    TokenEndpointError,
)
from tokenflight.model.key import TokenKey
from tokenflight.testing import Answer, Delay

pytestmark = pytest.mark.anyio


async def test_a_login_says_which_client_audience_and_scope_it_is_for():
    place = session_town()
    async with place.provider({"a": login_app(), "b": login_app(client_id="other")}) as tokens:
        request = await tokens.sessions.begin(client="b", audience="x", scope="read", lifetime=60)
        assert (request.client, request.audience, request.scope) == ("b", Audience("x"), {"read"})
        assert request.expires_at.timestamp() == place.clock.wall() + 60.0
        assert (await tokens.sessions.begin(client="a")).expires_at.timestamp() == place.clock.wall() + 600.0
        with pytest.raises(ConfigurationError, match="which client is meant is open"):
            await tokens.sessions.begin()


@pytest.mark.parametrize("lifetime", [1e300, 10**9, 86_400])
async def test_no_login_lasts_longer_than_a_day(lifetime):
    place = session_town()
    async with place.provider(login_app()) as tokens:
        request = await tokens.sessions.begin(lifetime=lifetime)
        assert request.expires_at.timestamp() == place.clock.wall() + 86_400.0


@pytest.mark.parametrize("lifetime", [-1, "soon", float("inf"), None])
async def test_a_lifetime_that_is_none_is_refused(lifetime):
    place = session_town()
    async with place.provider(login_app()) as tokens:
        with pytest.raises(ConfigurationError, match="lifetime is a number of seconds"):
            await tokens.sessions.begin(lifetime=lifetime)


async def test_a_login_may_begin_before_the_provider_is_entered_and_nothing_is_sent():
    place = session_town()
    async with place.provider(login_app()) as tokens:
        pass
    assert (await tokens.sessions.begin()).url.startswith("https://auth.test/authorize?")
    assert len(place.requests()) == 0


async def test_a_client_that_is_not_there_cannot_be_logged_in_at():
    place = session_town()
    async with place.provider(lambda name: None) as tokens:
        with pytest.raises(ConfigurationError, match="the resolver knows no client"):
            await tokens.sessions.begin(client="tenant")


async def test_where_the_client_spends_no_refresh_token_none_is_adopted():
    place = session_town()
    async with place.provider({"cc": client(), "app": app()}) as tokens:
        with pytest.raises(ConfigurationError, match=r"give the client grant=RefreshToken\(\)$"):
            await tokens.sessions.adopt(client="cc", subject="ann", refresh_token="r")
        with pytest.raises(ConfigurationError, match=r"pass a str or a Subject$"):
            await tokens.sessions.adopt(client="app", subject=SubjectToken("eyJ"), refresh_token="r")
        with pytest.raises(ConfigurationError):
            await tokens.sessions.adopt(client="app", subject="ann", refresh_token="")


async def test_nothing_of_a_refresh_token_shows_where_adopting_fails():
    place = session_town()
    async with place.provider(client()) as tokens:
        with pytest.raises(ConfigurationError):
            await tokens.sessions.adopt(subject="ann", refresh_token=canary("refresh"))


async def test_a_secret_and_a_subject_are_taken_as_they_are():
    place = session_town()
    server: RotatingServer = place.endpoint
    async with place.provider(app()) as tokens:
        await tokens.sessions.adopt(subject=Subject("ann", "kind"), refresh_token=Secret(server.login()))
        [call] = await place.once(tokens.source(subject=Subject("ann", "kind")))
        assert call.token is not None


async def test_adopting_lifts_what_held_its_keys_back_and_no_others():
    place = session_town()
    server: RotatingServer = place.endpoint
    async with place.provider(app()) as tokens:
        sources = [tokens.source(subject=subject) for subject in ("ann", "bob")]
        await place.once(*sources)
        assert [source.status().holding_back for source in sources] == ["permanent", "permanent"]
        await tokens.sessions.adopt(subject="ann", refresh_token=server.login())
        assert [source.status().holding_back for source in sources] == [None, "permanent"]
        [call] = await place.once(sources[0])
        assert call.token is not None


async def test_a_bad_answer_burns_no_login_and_shows_no_code():
    place = session_town()
    server: RotatingServer = place.endpoint
    async with place.provider(login_app()) as tokens:
        request = await tokens.sessions.begin()
        callback = server.authorize(request.url)
        for wrong in (callback.replace("state=", "state=x"), callback + "&state=2", "https://[", None, ""):
            with pytest.raises(AuthorizationResponseError) as caught:
                await tokens.sessions.redeem(request, wrong, subject="ann")
            assert caught.value.attempts == 0
            assert caught.value.key == TokenKey(client="default")
        with pytest.raises(TokenEndpointError) as denied:
            await tokens.sessions.redeem(request, server.authorize(request.url, error="access_denied"), subject="ann")
        assert (denied.value.error, denied.value.status) == ("access_denied", 0)
        assert len(server.ledger) == 0
        assert await place.clock.run(lambda: tokens.sessions.redeem(request, callback, subject="ann"))


async def test_one_that_comes_too_late_is_refused_and_forgotten_by_then():
    place = session_town()
    server: RotatingServer = place.endpoint
    async with place.provider(login_app()) as tokens:
        for _ in range(3):
            request = await tokens.sessions.begin(lifetime=20)
            callback = server.authorize(request.url)
            await place.clock.run(lambda: tokens.sessions.redeem(request, callback, subject="ann"))  # noqa: B023
            await place.clock.advance(20.0)
            with pytest.raises(AuthorizationResponseError) as caught:
                await tokens.sessions.redeem(request, callback, subject="ann")
            assert caught.value.reason == "late"
        assert len(tokens.sessions._redeemed) == 1


async def test_a_request_that_was_loaded_for_a_client_that_is_not_here_is_refused():
    place = session_town()
    async with place.provider({"there": login_app()}) as there, place.provider({"here": login_app()}) as here:
        request = await there.sessions.begin()
        callback = place.endpoint.authorize(request.url)
        loaded = AuthorizationRequest.load(request.dump())
        with pytest.raises(ConfigurationError, match="'there'"):
            await here.sessions.redeem(loaded, callback, subject="ann")


async def test_a_subject_that_is_a_token_names_nobody():
    place = session_town()
    async with place.provider(login_app()) as tokens:
        request = await tokens.sessions.begin()
        callback = place.endpoint.authorize(request.url)
        with pytest.raises(ConfigurationError, match=r"pass a str or a Subject$"):
            await place.clock.run(
                lambda: tokens.sessions.redeem(request, callback, subject=lambda token: SubjectToken("eyJ"))
            )


async def test_a_login_takes_the_place_of_a_flight_that_is_up_for_its_key():
    place = session_town()
    server: RotatingServer = place.endpoint
    async with place.provider(login_app()) as tokens:
        request = await tokens.sessions.begin()
        callback = server.authorize(request.url)
        await tokens.sessions.adopt(subject="ann", refresh_token=server.login())
        got = []

        async def whole() -> None:
            server.script(Delay(5.0))
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask)
                await place.clock.sleep_until(1.0)
                got.append(await tokens.sessions.redeem(request, callback, subject="ann"))

        async def ask() -> None:
            got.append(await tokens.token(subject="ann"))

        await place.clock.run(whole)
        assert len(set(got)) == 2
        assert await tokens.token(subject="ann") is got[0], "the login's, not what the older flight brought"


async def test_a_server_that_is_down_is_told_to_who_redeems():
    place = session_town()
    async with place.provider(login_app()) as tokens:
        request = await tokens.sessions.begin()
        callback = place.endpoint.authorize(request.url)
        place.endpoint.always(Answer(500))
        with pytest.raises(TokenEndpointError) as caught:
            await place.clock.run(lambda: tokens.sessions.redeem(request, callback, subject="ann"))
    assert (caught.value.status, caught.value.attempts) == (500, 1)


async def test_a_server_whose_token_endpoint_lies_elsewhere_gets_no_code():
    fields = {"grant": AuthorizationCode(), "endpoints": Endpoints(authorization="https://auth.test/authorize")}
    async with discovered(found(**fields)) as here:
        request = await here.tokens.sessions.begin()
    callback = f"https://app.test/?code={canary('code')}&state={request.state}"
    async with discovered(found(**fields)) as there:
        there.issuers.say(said(token_endpoint="https://elsewhere.test/token"))
        with pytest.raises(ConfigurationError, match=r"https://elsewhere\.test"):
            await there.clock.run(lambda: there.tokens.sessions.redeem(request, callback, subject="ann"))
        assert there.issuers.sent == []
