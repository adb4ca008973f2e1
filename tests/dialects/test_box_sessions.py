"""People who log in at Box: the authorize page, codes, refresh tokens that are used once, and the API's 401."""

from __future__ import annotations

from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import anyio
import httpx
import pytest
from attrs import evolve
from tests.dialects.places import api, app_client, at, box_town, provider
from tests.doubles.box import TOKEN
from tests.doubles.box.scene import CALLBACK, USER, town

from tokenflight import (
    AuthorizationCode,
    AuthorizationResponseError,
    ConfigurationError,
    RefreshPolicy,
    RefreshToken,
    SessionLostError,
    Token,
    TokenEndpointError,
    TokenProvider,
)
from tokenflight.dialects import box
from tokenflight.testing import LoseReply

pytestmark = pytest.mark.anyio

ME = "/2.0/users/me"


def web(double: Any, **fields: Any) -> Any:
    return app_client(double, "the-oauth", **{"grant": AuthorizationCode(), **fields})


async def logged_in(double: Any, tokens: TokenProvider, **begin: Any) -> Token:
    """Log Ann in, in no time, and return her first token."""

    async def login() -> Token:
        request = await tokens.sessions.begin(**begin)
        return await tokens.sessions.redeem(request, await double.browse(request.url), subject="ann")

    return await double.clock.run(login)  # type: ignore[no-any-return]


async def ask(double: Any, tokens: TokenProvider) -> Token:
    return await double.clock.run(partial(tokens.token, subject="ann"))  # type: ignore[no-any-return]


def query(url: str) -> tuple[str, dict[str, str]]:
    return url.partition("?")[0], dict(parse_qsl(urlsplit(url).query, keep_blank_values=True, strict_parsing=True))


@pytest.mark.proves("Box", "authorization_code, the authorize page as documented and without PKCE")
async def test_the_authorize_url_says_what_box_documents_and_nothing_more() -> None:
    double = box_town()
    async with provider(double, web(double)) as tokens:
        plain = await tokens.sessions.begin()
        full = await tokens.sessions.begin(redirect_uri=CALLBACK, scope="root_readonly item_preview")
    where = "https://account.box.com/api/oauth2/authorize"
    assert query(plain.url) == (where, {"response_type": "code", "client_id": "the-oauth", "state": plain.state})
    assert query(full.url) == (
        where,
        {
            "response_type": "code",
            "client_id": "the-oauth",
            "redirect_uri": CALLBACK,
            "scope": "item_preview root_readonly",
            "state": full.state,
        },
    )
    assert full.verifier is None


@pytest.mark.parametrize("grant", [AuthorizationCode(), AuthorizationCode(pkce=True), AuthorizationCode(pkce=False)])
def test_box_knows_no_pkce_so_its_clients_go_without(grant: AuthorizationCode) -> None:
    assert web(box_town(), grant=grant).grant == AuthorizationCode(pkce=False)


@pytest.mark.proves("Box", "authorization_code")
async def test_a_code_is_redeemed_with_exactly_four_fields() -> None:
    double = box_town()
    async with provider(double, web(double)) as tokens:
        token = await logged_in(double, tokens)
        again = await ask(double, tokens)
    [seen] = double.token_requests
    assert set(seen.form) == {"grant_type", "code", "client_id", "client_secret"}
    assert token == again
    assert double.house.tokens[token.access_token.reveal()].subject == ("user", USER)


@pytest.mark.proves("Box", "authorization_code, with a redirect_uri")
async def test_a_redirect_uri_goes_along_where_it_was_given() -> None:
    double = box_town()
    async with provider(double, web(double)) as tokens:
        await logged_in(double, tokens, redirect_uri=CALLBACK)
    [seen] = double.token_requests
    assert set(seen.form) == {"grant_type", "code", "client_id", "client_secret", "redirect_uri"}


@pytest.mark.proves("Box", "authorization_code and refresh_token, over a socket")
async def test_a_person_logs_in_and_stays_so_over_a_socket() -> None:
    double = town()
    async with double.serve() as url, TokenProvider(web(double, **at(url))) as tokens:
        request = await tokens.sessions.begin(redirect_uri=CALLBACK)
        first = await tokens.sessions.redeem(request, await double.browse(request.url), subject="ann")
        second = await tokens.renew(subject="ann", rejected=first)
        async with httpx.AsyncClient(auth=tokens.auth(subject="ann"), base_url=url) as http:
            me = await http.get(ME)
    assert me.json()["id"] == USER
    assert first != second
    assert [seen.error for seen in double.token_requests] == [None, None]


@pytest.mark.proves("Box", "refresh_token")
async def test_a_refresh_says_exactly_four_fields_and_each_token_is_used_once() -> None:
    double = box_town(lifetimes=(3600,))
    async with provider(double, web(double)) as tokens:
        await logged_in(double, tokens)
        for _ in range(3):
            await double.clock.advance(3601)
            await ask(double, tokens)
    refreshes = double.token_requests[1:]
    assert [set(seen.form) for seen in refreshes] == [{"grant_type", "refresh_token", "client_id", "client_secret"}] * 3
    assert len({seen.form["refresh_token"] for seen in refreshes}) == 3
    assert [seen.error for seen in refreshes] == [None] * 3


async def test_a_refresh_token_from_elsewhere_is_a_session_too() -> None:
    double = box_town()
    pair = double.session("the-oauth", USER)
    for grant in (RefreshToken(), AuthorizationCode()):
        async with provider(double, web(double, grant=grant)) as tokens:
            await tokens.sessions.adopt(subject="ann", refresh_token=pair["refresh_token"])
            assert double.is_live((await ask(double, tokens)).access_token.reveal())
        pair = double.session("the-oauth", USER)


async def test_sessions_refresh_late_unless_somebody_says_otherwise() -> None:
    double, own = box_town(lifetimes=(3600,)), RefreshPolicy(early_cap=600.0)
    assert web(double).refresh == web(double, grant=RefreshToken()).refresh == box.REFRESH
    assert web(double, refresh=own).refresh == own
    assert app_client(double, "the-ccg").refresh is None
    async with provider(double, web(double)) as tokens:
        await logged_in(double, tokens)
        source = tokens.source(subject="ann", keep_warm=True)
        await double.clock.advance(3600 - 121)
        assert len(double.token_requests) == 1
        await double.clock.advance(120 - 68)
        assert len(double.token_requests) == 2
        await double.clock.run(source.token)


@pytest.mark.proves("Box", "refresh_token, a reply that was lost")
@pytest.mark.parametrize("grace", ["previous_one", "max_two"])
async def test_a_lost_reply_is_made_up_for_where_box_takes_the_spent_token_again(grace: Any) -> None:
    double = box_town(lifetimes=(3600,))
    double.rotation.grace = grace
    async with provider(double, web(double)) as tokens:
        await logged_in(double, tokens)
        for _ in range(2):
            await double.clock.advance(3601)
            double.script(LoseReply(), at=TOKEN)
            token = await ask(double, tokens)
            assert double.is_live(token.access_token.reveal())
    first, second, *_ = (seen.form["refresh_token"] for seen in double.token_requests[1:])
    assert first == second
    assert len(double.token_requests) == 5


@pytest.mark.proves("Box", "refresh_token, a reply that was lost and no mercy")
async def test_a_lost_reply_loses_the_session_where_box_has_no_mercy_and_says_that_it_may_have_been_ours() -> None:
    double = box_town(lifetimes=(3600,))
    async with provider(double, web(double)) as tokens:
        await logged_in(double, tokens)
        await double.clock.advance(3601)
        double.script(LoseReply(), at=TOKEN)
        with pytest.raises(SessionLostError) as caught:
            await ask(double, tokens)
        before = len(double.token_requests)
        with pytest.raises(SessionLostError):
            await ask(double, tokens)
        assert len(double.token_requests) == before == 3
        await logged_in(double, tokens)
        assert double.is_live((await ask(double, tokens)).access_token.reveal())
    assert caught.value.ambiguous
    assert not caught.value.transient


@pytest.mark.proves("Box", "refresh_token, spent or past its 60 days")
@pytest.mark.parametrize("how", ["spent", "past"])
async def test_a_dead_refresh_token_is_a_lost_session_and_asked_with_once(how: str) -> None:
    double = box_town(lifetimes=(3600,))
    async with provider(double, web(double)) as tokens:
        await logged_in(double, tokens)
        [refresh] = double.house.refreshing.values()
        if how == "spent":
            refresh.family.revoked = True
        else:
            refresh.expires_at = 0.0
        await double.clock.advance(3601)
        for _ in range(2):
            with pytest.raises(SessionLostError) as caught:
                await ask(double, tokens)
    assert len(double.token_requests) == 2
    assert not caught.value.ambiguous


@pytest.mark.proves("Box", "refresh_token, an API that refuses the old access token at once")
async def test_fifty_calls_in_flight_when_a_refresh_kills_their_token_heal_by_one_replay_each() -> None:
    double = box_town(lifetimes=(3600,))
    double.rotation.kill_old_access = True
    async with provider(double, web(double)) as tokens:
        old = await logged_in(double, tokens)
        async with api(double, tokens.auth(subject="ann")) as http:
            got = await _at_once(double, http, 50, revoke=old.access_token.reveal())
    assert got == [200] * 50
    calls = double.visits(ME)
    assert sum(seen.bearer == old.access_token.reveal() for seen in calls) == 50
    assert len(calls) == 100
    assert len(double.token_requests) == 2


async def _at_once(double: Any, http: httpx.AsyncClient, count: int, revoke: str | None = None) -> list[int]:
    got: list[int] = []

    async def one() -> None:
        got.append((await http.get(ME)).status_code)

    async def crowd() -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(count):
                tasks.start_soon(one)

    if revoke is not None:
        double.house.tokens[revoke].revoked = True
    await double.clock.run(crowd)
    return got


DENIED: list[tuple[Any, type[Exception], str]] = [
    ("denied", TokenEndpointError, "The user denied access"),
    ("forbidden", TokenEndpointError, "107"),
    ("wrong_state", AuthorizationResponseError, "state"),
    ("no_state", AuthorizationResponseError, "state"),
]


@pytest.mark.proves("Box", "authorization_code, what a callback may bring instead")
@pytest.mark.parametrize(("outcome", "error", "words"), DENIED)
async def test_a_callback_that_brings_no_code_of_ours_sends_nothing(
    outcome: Any, error: type[Exception], words: str
) -> None:
    double = box_town()
    double.consent = evolve(double.consent, outcome=outcome)
    async with provider(double, web(double)) as tokens:
        with pytest.raises(error, match=words):
            await logged_in(double, tokens)
    assert double.token_requests == []


@pytest.mark.proves("Box", "authorization_code, a code that is late or used")
async def test_a_code_that_is_late_says_what_to_do_and_one_that_was_used_is_not_sent_again() -> None:
    double = box_town()
    async with provider(double, web(double)) as tokens:
        request = await tokens.sessions.begin()
        callback = await double.browse(request.url)
        await double.clock.advance(31)

        async def redeem() -> Token:
            return await tokens.sessions.redeem(request, callback, subject="ann")

        with pytest.raises(TokenEndpointError, match="a code lives 30 s"):
            await double.clock.run(redeem)
        with pytest.raises(AuthorizationResponseError, match="redeemed before"):
            await double.clock.run(redeem)
    assert len(double.token_requests) == 1


async def test_a_session_is_narrowed_to_nothing() -> None:
    double = box_town()
    async with provider(double, web(double)) as tokens:
        await logged_in(double, tokens)
        with pytest.raises(ConfigurationError, match="leave the audience out"):
            await double.clock.run(partial(tokens.token, subject="ann", audience=box.file("1")))
        with pytest.raises(ConfigurationError, match="leave the audience out"):
            await tokens.sessions.begin(audience=box.file("1"))
    assert len(double.token_requests) == 1


@pytest.mark.proves("Box", "revoke")
async def test_a_revoked_token_ends_with_its_session() -> None:
    double = box_town()
    async with provider(double, web(double)) as tokens:
        token = await logged_in(double, tokens)
        assert await double.clock.run(partial(tokens.revoke, subject="ann"))
    [seen] = double.visits("/oauth2/revoke")
    assert set(seen.form) == {"client_id", "client_secret", "token"}
    assert not double.is_live(token.access_token.reveal())
