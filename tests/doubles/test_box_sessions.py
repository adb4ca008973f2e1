from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest
from tests.doubles.box import AUTHORIZE, REVOKE, TOKEN, Consent, Rotation
from tests.doubles.box.scene import CALLBACK, USER, ccg, credentials, town
from tests.doubles.reaching import WAYS, Way, failed, reached

from tokenflight.testing import VirtualClock

pytestmark = pytest.mark.anyio


REFRESH = "refresh_token"


def pair(box: Any, **fields: Any) -> dict[str, str]:
    return {"grant_type": REFRESH, **credentials(box, "the-oauth")} | fields


async def test_a_refresh_token_works_once_and_brings_another() -> None:
    clock = VirtualClock()
    box = town(clock=clock)
    first = box.session("the-oauth", USER)
    async with reached(box) as http:
        second = (await http.post(TOKEN, data=pair(box, refresh_token=first[REFRESH]))).json()
        again = await http.post(TOKEN, data=pair(box, refresh_token=first[REFRESH]))
        await clock.advance(60 * 86_400)
        late = await http.post(TOKEN, data=pair(box, refresh_token=second[REFRESH]))
        never = await http.post(TOKEN, data=pair(box))
        foreign = await http.post(TOKEN, data=ccg(box, grant_type=REFRESH, refresh_token=second[REFRESH]))
        scoped = await http.post(TOKEN, data=pair(box, refresh_token=second[REFRESH], scope="item_preview"))
    assert set(second) == {"access_token", "expires_in", "restricted_to", "refresh_token", "token_type"}
    assert second[REFRESH] != first[REFRESH]
    assert failed(again) == (400, "invalid_grant", "Invalid refresh token")
    assert failed(late) == (400, "invalid_grant", "Refresh token has expired")
    assert failed(never) == (400, "invalid_request", 'No "refresh_token" parameter found')
    assert failed(foreign)[1] == "unauthorized_client"
    assert failed(scoped)[1] == "invalid_request"


async def test_an_old_access_token_may_die_of_a_refresh() -> None:
    box = town()
    first = box.session("the-oauth", USER)
    async with reached(box) as http:
        second = (await http.post(TOKEN, data=pair(box, refresh_token=first[REFRESH]))).json()
        assert box.is_live(first["access_token"])
        box.rotation.kill_old_access = True
        third = (await http.post(TOKEN, data=pair(box, refresh_token=second[REFRESH]))).json()
    assert [box.is_live(each["access_token"]) for each in (first, second, third)] == [False, False, True]


async def test_the_previous_token_is_good_while_no_successor_was_used_and_the_grace_lasts() -> None:
    clock = VirtualClock()
    box = town(clock=clock)
    box.rotation = Rotation(grace="previous_one", grace_seconds=30.0)
    tokens = [box.session("the-oauth", USER)[REFRESH]]

    async def use(http: httpx.AsyncClient, number: int) -> bool:
        answer = await http.post(TOKEN, data=pair(box, refresh_token=tokens[number]))
        tokens.extend([answer.json()[REFRESH]] if answer.status_code == 200 else [])
        return answer.status_code == 200

    async with reached(box) as http:
        assert await use(http, 0)  # brings 1, and its answer is lost
        await clock.advance(29)
        assert await use(http, 0)  # brings 2, lost too
        assert await use(http, 0)  # brings 3
        assert await use(http, 3)  # brings 4
        assert not await use(http, 0)  # a successor was used
        await clock.advance(30)
        assert not await use(http, 3)  # the grace is over
        assert await use(http, 4)


async def test_two_tokens_may_be_good_at_once() -> None:
    box = town()
    box.rotation = Rotation(grace="max_two")
    first = box.session("the-oauth", USER)[REFRESH]
    async with reached(box) as http:
        second = (await http.post(TOKEN, data=pair(box, refresh_token=first))).json()[REFRESH]
        third = (await http.post(TOKEN, data=pair(box, refresh_token=first))).json()[REFRESH]
        assert failed(await http.post(TOKEN, data=pair(box, refresh_token=first)))[1] == "invalid_grant"
        for good in (second, third):
            assert (await http.post(TOKEN, data=pair(box, refresh_token=good))).status_code == 200


async def test_either_of_a_pair_revokes_the_pair() -> None:
    box = town()
    for which in ("access_token", REFRESH):
        mine = box.session("the-oauth", USER)
        async with reached(box) as http:
            wrong = [
                await http.post(REVOKE, data={**credentials(box, "the-oauth"), "client_secret": "x", "token": "t"}),
                await http.post(REVOKE, data=credentials(box, "the-oauth")),
                await http.post(REVOKE, json={**credentials(box, "the-oauth"), "token": mine[which]}),
            ]
            await http.post(REVOKE, data={**credentials(box, "the-ccg"), "token": mine[which]})
            assert box.is_live(mine["access_token"])
            done = await http.post(REVOKE, data={**credentials(box, "the-oauth"), "token": mine[which]})
            dead = await http.post(TOKEN, data=pair(box, refresh_token=mine[REFRESH]))
        assert [failed(answer)[1] for answer in wrong] == ["invalid_client", "invalid_request", "invalid_request"]
        assert (done.status_code, done.content) == (200, b"")
        assert not box.is_live(mine["access_token"])
        assert failed(dead)[1] == "invalid_grant"


def authorization(**query: Any) -> dict[str, str]:
    good = {"response_type": "code", "client_id": "the-oauth", "redirect_uri": CALLBACK, "state": "s1"} | query
    return {name: value for name, value in good.items() if value is not None}


async def visit(box: Any, **query: Any) -> tuple[str, dict[str, str]]:
    """Go to the authorize page and return where it sends the browser, and with what."""
    target = urlsplit(await box.browse(f"{box.url}{AUTHORIZE}?{urlencode(authorization(**query))}"))
    return f"{target.scheme}://{target.netloc}{target.path}", dict(parse_qsl(target.query))


def code(box: Any, value: str, **fields: Any) -> dict[str, str]:
    return {"grant_type": "authorization_code", "code": value, **credentials(box, "the-oauth")} | fields


@pytest.mark.parametrize("way", WAYS)
async def test_a_code_brings_a_pair_once(way: Way) -> None:
    box = town()
    async with reached(box, way) as http:
        where, told = await visit(box)
        mine = await http.post(TOKEN, data=code(box, told["code"]))
        again = await http.post(TOKEN, data=code(box, told["code"]))
        unknown = await http.post(TOKEN, data=code(box, "unknown"))
        me = await http.get("/2.0/users/me", headers={"authorization": f"Bearer {mine.json()['access_token']}"})
    assert (where, told["state"]) == (CALLBACK, "s1")
    assert set(mine.json()) == {"access_token", "expires_in", "restricted_to", "refresh_token", "token_type"}
    assert [failed(answer) for answer in (again, unknown)] == [
        (400, "invalid_grant", "Auth code doesn't exist or is invalid for the client")
    ] * 2
    assert me.json()["id"] == USER


async def test_a_code_lives_30_seconds_and_takes_nothing_that_box_does_not_know() -> None:
    clock = VirtualClock()
    box = town(clock=clock)
    box.app("another", kind="oauth", redirect_uris=(CALLBACK,))
    async with reached(box) as http:
        _, told = await visit(box)
        wrong = [
            await http.post(TOKEN, data=code(box, told["code"], code_verifier="v" * 43)),
            await http.post(TOKEN, data=code(box, told["code"], redirect_uri="https://evil.example/")),
            await http.post(TOKEN, data=code(box, told["code"], **credentials(box, "another"))),
            await http.post(TOKEN, data=code(box, "")),
        ]
        await clock.advance(29)
        good = await http.post(TOKEN, data=code(box, told["code"], redirect_uri=CALLBACK))
        _, told = await visit(box)
        await clock.advance(30)
        late = await http.post(TOKEN, data=code(box, told["code"]))
    assert [failed(answer)[1] for answer in wrong] == [
        "invalid_request",
        "invalid_request",
        "invalid_grant",
        "invalid_request",
    ]
    assert good.status_code == 200
    assert failed(late) == (400, "invalid_grant", "The authorization code has expired")


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        ("denied", {"error": "access_denied", "state": "s1"}),
        ("forbidden", {"error": "server_error", "error_description": "107", "state": "s1"}),
        ("wrong_state", {"state": "somebody-elses"}),
    ],
)
async def test_a_callback_may_go_wrong(outcome: Any, told: dict[str, str]) -> None:
    box = town()
    box.consent = Consent(outcome=outcome)
    _, came = await visit(box)
    assert told.items() <= came.items()
    assert ("code" in came) == ("error" not in told)


async def test_a_callback_may_lose_its_state() -> None:
    box = town()
    box.consent = Consent(outcome="no_state", user=USER)
    assert set((await visit(box))[1]) == {"code"}


@pytest.mark.parametrize(
    "query",
    [
        {"client_id": "the-ccg"},
        {"client_id": "unknown"},
        {"response_type": "token"},
        {"redirect_uri": "https://evil.example/"},
        {"code_challenge": "c", "code_challenge_method": "S256"},
    ],
)
async def test_a_wrong_visit_ends_at_a_page_and_sends_nobody_back(query: dict[str, str]) -> None:
    box = town()
    async with reached(box) as http:
        answer = await http.get(AUTHORIZE, params=authorization(**query))
    assert (answer.status_code, answer.headers["content-type"]) == (400, "text/html")
    assert not box.house.codes


async def test_a_redirect_uri_may_be_left_out_where_one_is_registered() -> None:
    box = town()
    async with reached(box) as http:
        assert (await visit(box, redirect_uri=None))[0] == CALLBACK
        box.house.apps["the-oauth"].redirect_uris = (CALLBACK, "https://app.example/other?a=b")
        missing = await http.get(AUTHORIZE, params=authorization(redirect_uri=None))
        other = await http.get(AUTHORIZE, params=authorization(redirect_uri="https://app.example/other?a=b"))
    assert "redirect_uri_missing" in missing.text
    assert other.headers["location"].startswith("https://app.example/other?a=b&code=")
