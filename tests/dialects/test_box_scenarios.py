"""Box as a program meets it: its grants through a provider, and its API through an auth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import httpx
import pytest
from tests.doubles.box import TOKEN, BoxDouble, refusals
from tests.doubles.box.scene import APP_USER, CALLBACK, ENTERPRISE, USER, town
from tests.doubles.tokens import key, peeked
from tests.kit.canary import sightings
from tests.kit.town import Town

from tokenflight import (
    Assertion,
    AuthorizationCode,
    InvalidGrantError,
    JWTBearer,
    OAuthClient,
    RefreshToken,
    SessionLostError,
    TokenFlightError,
    TokenProvider,
    TokenRequestError,
)
from tokenflight.dialects import box
from tokenflight.testing import Cut, Delay, LoseReply, VirtualClock

pytestmark = pytest.mark.anyio

ME = "https://api.box.com/2.0/users/me"
AN_ENTERPRISE, A_USER = box.enterprise(ENTERPRISE), box.user(USER)


def place(**options: Any) -> tuple[BoxDouble, Town]:
    clock = VirtualClock()
    double = town(clock=clock, **options)
    return double, Town(clock=clock, endpoint=double)  # type: ignore[arg-type]


def client(double: BoxDouble, app: str = "the-ccg", **fields: Any) -> OAuthClient:
    return box.client(client_id=app, client_secret=double.house.apps[app].secret, **fields)


def signing(double: BoxDouble) -> OAuthClient:
    """Return a client that signs as Box wants it."""
    assertion = Assertion(
        key("box-key").as_dict(private=True), key_id="box-key", audience=box.TOKEN_ENDPOINT, backdate=None
    )
    return client(double, "the-jwt", grant=JWTBearer(assertion, inside={"subject_type": "box_sub_type"}))


async def refused(there: Town, call: Callable[[], Any]) -> TokenRequestError:
    with pytest.raises(TokenRequestError) as raised:
        await there.clock.run(call)
    return raised.value


def calling(double: BoxDouble, tokens: TokenProvider, **how: Any) -> httpx.AsyncClient:
    """Return a client of Box's API."""
    return httpx.AsyncClient(transport=double.transport(), auth=tokens.auth(subject=A_USER, **how))


async def test_five_hundred_callers_share_one_request() -> None:
    double, there = place()
    double.always(Delay(1.0), at=TOKEN)
    async with there.provider(client(double)) as tokens:
        calls = await there.once(*(tokens.source(subject=AN_ENTERPRISE) for _ in range(500)))
    assert len({call.token for call in calls}) == 1
    assert len(double.token_requests) == 1


async def test_an_enterprise_and_a_user_never_share_a_token() -> None:
    double, there = place()
    who = {}
    async with there.provider(client(double)) as tokens:
        for subject in (AN_ENTERPRISE, A_USER, box.user(APP_USER)):
            token = await there.clock.run(lambda: tokens.token(subject=subject))  # noqa: B023
            async with httpx.AsyncClient(transport=double.transport(), headers={"authorization": token.header}) as http:
                who[subject.id] = (await http.get(ME)).json()["id"]
    assert who == {ENTERPRISE: f"service-{ENTERPRISE}", USER: USER, APP_USER: APP_USER}
    assert len(double.token_requests) == 3


async def test_a_token_is_renewed_ahead_and_nobody_waits_for_it() -> None:
    double, there = place()
    double.always(Delay(1.0), at=TOKEN)
    async with there.provider(client(double)) as tokens:
        source = tokens.source(subject=A_USER)
        await there.once(source)
        there.waits.clear()
        await there.traffic([source], rate=0.1, seconds=3 * 4200)
    assert not there.waits
    assert not there.failures
    assert not there.dead
    assert 3 <= len(double.token_requests) <= 7


async def test_parallel_401s_are_one_renewal_and_one_replay_each() -> None:
    double, there = place()
    async with there.provider(client(double)) as tokens, calling(double, tokens) as http:
        assert (await there.clock.run(http.get, ME)).status_code == 200
        double.invalidate(await tokens.token(subject=A_USER))
        statuses = []

        async def one() -> None:
            statuses.append((await http.get(ME)).status_code)

        async def all_of_them() -> None:
            async with anyio.create_task_group() as tasks:
                for _ in range(20):
                    tasks.start_soon(one)

        await there.clock.run(all_of_them)
    assert statuses == [200] * 20
    assert len(double.token_requests) == 2
    assert len(double.visits("/2.0/users/me")) <= 1 + 2 * 20


async def test_an_api_that_always_says_401_is_not_asked_forever() -> None:
    double, there = place()
    double.always(refusals.TOKEN_REFUSED, at="/2.0/users/me")
    async with there.provider(client(double)) as tokens, calling(double, tokens) as http:
        answers = [await there.clock.run(http.get, ME) for _ in range(10)]
    assert [answer.status_code for answer in answers] == [401] * 10
    assert len(double.token_requests) == 2
    assert len(double.visits("/2.0/users/me")) <= 20


async def test_a_403_asks_for_no_token() -> None:
    double, there = place()
    double.house.apps["the-ccg"].scopes = frozenset({"item_preview"})
    async with there.provider(client(double)) as tokens, calling(double, tokens) as http:
        answers = [await there.clock.run(http.get, ME) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [403] * 5
    assert len(double.token_requests) == 1
    assert len(double.visits("/2.0/users/me")) == 5


async def test_a_refused_subject_costs_one_request_for_a_hundred_callers_and_waits() -> None:
    double, there = place()
    async with there.provider(client(double)) as tokens:
        sources = [tokens.source(subject=box.user("1"))] * 100
        calls = await there.once(*sources)
        again = await there.once(*sources)
        assert len(double.token_requests) == 1
        await there.clock.advance(31)
        await there.once(*sources)
        [fine] = await there.once(tokens.source(subject=A_USER))
    assert {type(call.error) for call in (*calls, *again)} == {InvalidGrantError}
    assert len(double.token_requests) == 3
    assert fine.error is None


async def test_an_app_that_no_admin_authorized_is_told_where_that_is_done() -> None:
    double, there = place()
    double.house.apps["the-ccg"].enterprises = frozenset()
    async with there.provider(client(double)) as tokens:
        error = await refused(there, lambda: tokens.token(subject=AN_ENTERPRISE))
    assert error.reason == "unauthorized_client"
    assert "Box Admin Console" in (error.hint or "")


async def test_each_try_signs_anew_within_the_servers_minute() -> None:
    double, there = place()
    double.script(refusals.throttled("1"), refusals.unavailable(None), at=TOKEN)
    async with there.provider(signing(double)) as tokens:
        await there.clock.run(lambda: tokens.token(subject=A_USER))
    tries = [(seen, peeked(seen.form["assertion"]) or {}) for seen in double.token_requests]
    assert [seen.status for seen, _ in tries] == [429, 503, 200]
    assert len({claims["jti"] for _, claims in tries}) == 3
    wall = there.clock.wall() - there.clock.now()
    assert all(0 < claims["exp"] - (wall + seen.started) <= 60 for seen, claims in tries)
    assert {(claims["sub"], claims["box_sub_type"]) for _, claims in tries} == {(USER, "user")}


@pytest.mark.parametrize("offset", [-540.0, 540.0])
async def test_a_clock_that_is_nine_minutes_off_is_recovered_from_once(offset: float) -> None:
    double, there = place(now_offset=offset)
    async with there.provider(signing(double)) as tokens:
        await there.clock.run(lambda: tokens.token(subject=A_USER))
        first = [seen.status for seen in double.token_requests]
        await there.clock.run(lambda: tokens.token(subject=AN_ENTERPRISE))
    assert first == [400, 200]
    assert [seen.status for seen in double.token_requests] == [400, 200, 200]


async def login(double: BoxDouble, there: Town, tokens: TokenProvider) -> None:
    async def through_the_browser() -> None:
        request = await tokens.sessions.begin(redirect_uri=CALLBACK)
        await tokens.sessions.redeem(request, await double.browse(request.url), subject="alice")

    await there.clock.run(through_the_browser)


def session_client(double: BoxDouble) -> OAuthClient:
    """Return a client for people: Box knows nothing of PKCE."""
    return client(double, "the-oauth", grant=AuthorizationCode(pkce=False))


async def test_a_person_logs_in_once_and_the_refresh_token_rotates() -> None:
    double, there = place()
    async with there.provider(session_client(double)) as tokens:
        await login(double, there, tokens)
        first = await tokens.token(subject="alice")
        second = await there.clock.run(lambda: tokens.renew(subject="alice"))
    assert [double.is_live(token) for token in (first, second)] == [True, True]
    assert [seen.form["grant_type"] for seen in double.token_requests] == ["authorization_code", "refresh_token"]
    assert not {"code_verifier", "scope"} & set(double.token_requests[0].form)


@pytest.mark.parametrize("lost", [LoseReply(), Cut(at=10)])
async def test_a_rotation_whose_reply_was_lost_is_saved_by_a_grace_and_by_nothing_else(lost: Any) -> None:
    outcomes: dict[str, type[TokenFlightError] | None] = {}
    for grace in ("previous_one", "none"):
        double, there = place()
        double.rotation.grace = grace
        pair = double.session("the-oauth", USER)
        known = client(double, "the-oauth", grant=RefreshToken(grace=30.0))
        async with there.provider(known) as tokens:
            await tokens.sessions.adopt(subject="alice", refresh_token=pair["refresh_token"])
            double.script(lost, at=TOKEN)
            try:
                await there.clock.run(lambda: tokens.token(subject="alice"))
                outcomes[grace] = None
            except TokenFlightError as error:
                outcomes[grace] = type(error)
    assert outcomes == {"previous_one": None, "none": SessionLostError}


async def test_secrets_and_tokens_show_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    double, there = place()
    double.house.apps["the-ccg"].secret = double.house.apps["the-jwt"].secret
    async with there.provider({"ccg": client(double), "jwt": signing(double)}) as tokens:
        for name in ("ccg", "jwt"):
            token = await there.clock.run(lambda: tokens.token(name, subject=A_USER))  # noqa: B023
            error = await refused(there, lambda: tokens.token(name, subject=box.user("1")))  # noqa: B023
            shown = [repr(token), str(token), repr(error), str(error), repr(tokens), repr(tokens.status())]
            assert sightings(" ".join(shown)) == []
        assert sightings(repr(there.events)) == []
    assert sightings(caplog.text) == []
