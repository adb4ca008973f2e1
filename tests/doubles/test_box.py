from __future__ import annotations

from typing import Any

import httpx
import pytest
from tests.doubles.box import REVOKE, TOKEN, refusals
from tests.doubles.box.scene import (
    APP_USER,
    ENTERPRISE,
    JWT,
    USER,
    ccg,
    claims,
    jwt,
    town,
)
from tests.doubles.reaching import WAYS, Way, failed, reached
from tests.doubles.tokens import key, signed

from tokenflight.testing import Amend, Answer, Cut, Issue, LoseReply, VirtualClock

pytestmark = pytest.mark.anyio

REFRESH = "refresh_token"


@pytest.mark.parametrize("way", WAYS)
async def test_an_enterprise_gets_a_token_that_the_api_takes(way: Way) -> None:
    box = town()
    async with reached(box, way) as http:
        answer = await http.post(TOKEN, data=ccg(box))
        told = answer.json()
        me = await http.get("/2.0/users/me", headers={"authorization": f"Bearer {told['access_token']}"})
    assert answer.status_code == 200
    assert told == {**told, "expires_in": 3600, "restricted_to": [], "token_type": "bearer"}
    assert set(told) == {"access_token", "expires_in", "restricted_to", "token_type"}
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert "box_visitor_id" in answer.headers["set-cookie"]
    assert me.json()["id"] == f"service-{ENTERPRISE}"
    assert [seen.token for seen in box.token_requests] == [told["access_token"]]


async def test_a_request_is_written_down_field_by_field() -> None:
    box = town()
    async with reached(box) as http:
        await http.post(TOKEN, data=ccg(box), headers={"x-seen": "yes"})
    [seen] = box.ledger
    assert (seen.method, seen.path, seen.headers["x-seen"]) == ("POST", TOKEN, "yes")
    assert [name for name, _ in seen.fields] == list(ccg(box))
    assert seen.form == ccg(box)
    assert seen.raw.startswith(b"grant_type=client_credentials&")
    assert seen.client == "the-ccg"


async def test_lifetimes_vary_and_end() -> None:
    clock = VirtualClock()
    box = town(clock=clock)
    async with reached(box) as http:
        told = [(await http.post(TOKEN, data=ccg(box))).json() for _ in range(5)]
        box.script(Issue(expires_in=60, without=["token_type"], fields={"issued_token_type": "bearer"}))
        told.append((await http.post(TOKEN, data=ccg(box))).json())
    assert [each["expires_in"] for each in told] == [3600, 4123, 4175, 4200, 3600, 60]
    assert told[-1]["issued_token_type"] == "bearer"
    assert "token_type" not in told[-1]
    await clock.advance(60)
    assert [box.is_live(each["access_token"]) for each in told] == [True] * 5 + [False]


@pytest.mark.parametrize(("who", "id"), [("user", USER), ("user", APP_USER), ("enterprise", ENTERPRISE)])
async def test_a_subject_is_who_its_token_speaks_for(who: str, id: str) -> None:
    box = town()
    async with reached(box) as http:
        told = (await http.post(TOKEN, data=ccg(box, box_subject_type=who, box_subject_id=id))).json()
    assert box.house.tokens[told["access_token"]].subject == (who, id)


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ({"grant_type": None}, "invalid_request", 'No "grant_type" parameter found'),
        ({"grant_type": "password"}, "unsupported_grant_type", "Unsupported"),
        ({"grant_type": JWT}, "unauthorized_client", "The grant type is unauthorized for this client_id"),
        ({"client_id": None}, "invalid_client", "The client credentials are invalid"),
        ({"client_id": "another"}, "invalid_client", "The client credentials are invalid"),
        ({"client_secret": None}, "invalid_client", "The client credentials are invalid"),
        ({"client_secret": "wrong"}, "invalid_client", "The client credentials are invalid"),
        ({"box_subject_type": None}, "invalid_request", 'No "box_subject_type" parameter found'),
        ({"box_subject_type": "group"}, "invalid_request", "enterprise or user"),
        ({"box_subject_id": ""}, "invalid_request", 'No "box_subject_id" parameter found'),
        ({"box_subject_id": "1"}, "invalid_grant", "Grant credentials are invalid"),
        ({"box_subject_type": "user"}, "invalid_grant", "Grant credentials are invalid"),
        ({"scope": "root_readonly"}, "invalid_request", "scope"),
        ({"audience": "https://api.box.com"}, "invalid_request", "audience"),
    ],
)
async def test_wrong_client_credentials_are_refused(fields: dict[str, Any], code: str, words: str) -> None:
    box = town()
    async with reached(box) as http:
        refused = await http.post(TOKEN, data=ccg(box, **fields))
    status, error, description = failed(refused)
    assert (status, error) == (400, code)
    assert words in (description or "")
    assert [seen.error for seen in box.ledger] == [code]
    assert not box.house.tokens


async def test_a_request_that_is_no_form_is_refused_before_anything_else() -> None:
    box = town()
    form = ccg(box)
    text = "&".join(f"{name}={value}" for name, value in form.items())
    headers = {"content-type": "application/x-www-form-urlencoded"}
    async with reached(box) as http:
        answers = [
            await http.post(TOKEN, json=form),
            await http.post(TOKEN, content=text),
            await http.post(TOKEN),
            await http.post(TOKEN, params={"client_id": "the-ccg"}, data=form),
            await http.post(TOKEN, content=text + "&client_id=twice", headers=headers),
            await http.post(TOKEN, content=text + "&nonsense", headers=headers),
        ]
        assert (await http.post(TOKEN, content=text, headers=headers)).status_code == 200
        assert (await http.get(TOKEN)).status_code == 405
        assert (await http.post("/oauth2/tokens", data=form)).status_code == 404
    assert [failed(answer)[:2] for answer in answers] == [(400, "invalid_request")] * 6


async def test_credentials_in_a_header_are_a_wrong_client() -> None:
    box = town()
    secret = box.house.apps["the-ccg"].secret
    async with reached(box) as http:
        answers = [
            await http.post(TOKEN, data=ccg(box, client_id=None, client_secret=None), auth=("the-ccg", secret)),
            await http.post(TOKEN, data=ccg(box), auth=("the-ccg", secret)),
        ]
    assert [failed(answer)[:2] for answer in answers] == [(400, "invalid_client")] * 2


@pytest.mark.parametrize(
    ("changes", "who", "refused"),
    [
        ({"enterprises": frozenset()}, ("enterprise", ENTERPRISE), refusals.NOT_AUTHORIZED),
        ({"enterprises": frozenset({"other"})}, ("enterprise", ENTERPRISE), refusals.WRONG_GRANT),
        ({"enterprises": frozenset({"other"})}, ("user", USER), refusals.WRONG_GRANT),
        ({"user_tokens": False}, ("user", APP_USER), refusals.WRONG_SUBJECT_TYPE),
        ({"enterprise_access": False}, ("user", USER), refusals.WRONG_SUBJECT_TYPE),
        ({"enterprise_access": False}, ("user", APP_USER), None),
        ({"user_tokens": False}, ("enterprise", ENTERPRISE), None),
    ],
)
async def test_an_apps_settings_decide(changes: dict[str, Any], who: tuple[str, str], refused: Answer | None) -> None:
    box = town()
    for name, value in changes.items():
        setattr(box.house.apps["the-ccg"], name, value)
    async with reached(box) as http:
        answer = await http.post(TOKEN, data=ccg(box, box_subject_type=who[0], box_subject_id=who[1]))
    assert (answer.status_code, answer.content) == ((200, answer.content) if refused is None else _sent(refused))


def _sent(refused: Answer) -> tuple[int, bytes]:
    return refused.status, refused.reply().body


async def test_every_answer_tells_the_time_whatever_was_scripted() -> None:
    box = town(clock=VirtualClock(), now_offset=-60.0)
    box.script(refusals.throttled(), Answer(200, headers={"date": "now"}))
    async with reached(box) as http:
        answers = [await http.get("/") for _ in range(3)]
    assert [answer.headers["date"] for answer in answers] == [
        "Sun, 15 Jun 2025 15:05:40 GMT",
        "now",
        "Sun, 15 Jun 2025 15:05:40 GMT",
    ]


async def test_a_script_may_be_for_one_path_only() -> None:
    box = town()
    box.script(refusals.TOKEN_REFUSED, lambda seen: None, at="/2.0/users/me")
    box.always(refusals.throttled(None), at=REVOKE)
    async with reached(box) as http:
        token = (await http.post(TOKEN, data=ccg(box))).json()["access_token"]
        mine = [await http.get("/2.0/users/me", headers={"authorization": f"Bearer {token}"}) for _ in range(3)]
        revoked = [await http.post(REVOKE, data=ccg(box)) for _ in range(2)]
    assert [answer.status_code for answer in mine] == [401, 200, 200]
    assert [answer.status_code for answer in revoked] == [429, 429]


async def test_what_is_done_may_be_told_badly() -> None:
    box = town()
    box.script(Amend(headers={"content-type": "text/html"}), Cut(at=20), LoseReply(), LoseReply(refusals.broken()))
    async with reached(box) as http:
        odd = await http.post(TOKEN, data=ccg(box))
        for _ in range(3):
            with pytest.raises(httpx.RemoteProtocolError):
                await http.post(TOKEN, data=ccg(box))
    assert box.is_live(odd.json()["access_token"])
    assert len(box.house.tokens) == 3


async def test_a_refusal_may_come_with_escaped_slashes() -> None:
    box = town()
    box.slashes_escaped = True
    async with reached(box) as http:
        answer = await http.post(TOKEN, data=jwt(box, signed(claims(box, exp=1), key("box-key"))))
    assert b"date\\/time" in answer.content
    assert answer.json() == refusals.EXPIRED_ASSERTION.content
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("act", "status", "retry_after", "body"),
    [
        (refusals.throttled(), 429, "2", b'"rate_limit_exceeded"'),
        (refusals.throttled("1.5"), 429, "1.5", b'"type": "error"'),
        (refusals.throttled(None), 429, None, b'"message"'),
        (refusals.broken(), 500, None, b'"internal_server_error"'),
        (refusals.broken_silently(), 500, None, b""),
        (refusals.bad_gateway(), 502, None, b"<html>"),
        (refusals.unavailable(), 503, "1", b'"unavailable"'),
        (refusals.not_ready(), 202, "1", b""),
    ],
)
async def test_limits_and_outages_come_as_box_tells_them(
    way: Way, act: Answer, *, status: int, retry_after: str | None, body: bytes
) -> None:
    box = town()
    box.script(act)
    async with reached(box, way) as http:
        answer = await http.post(TOKEN, data=ccg(box))
    assert (answer.status_code, answer.headers.get("retry-after")) == (status, retry_after)
    assert body in answer.content
    assert not box.house.tokens
