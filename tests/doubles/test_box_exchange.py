from __future__ import annotations

from typing import Any

import httpx
import pytest
from tests.doubles.box import TOKEN, refusals
from tests.doubles.box.scene import (
    ACCESS,
    APP_USER,
    ENTERPRISE,
    FILE,
    ID,
    LINK,
    USER,
    ccg,
    claims,
    credentials,
    downscope,
    town,
    without,
)
from tests.doubles.reaching import WAYS, Way, failed, reached
from tests.doubles.tokens import key, signed, unsigned

from tokenflight.testing import Answer, VirtualClock

pytestmark = pytest.mark.anyio


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def held(http: httpx.AsyncClient, box: Any, **fields: Any) -> str:
    return str((await http.post(TOKEN, data=ccg(box, **fields))).json()["access_token"])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("known", [True, False])
async def test_a_token_is_narrowed_down_to_a_file_with_and_without_credentials(way: Way, known: bool) -> None:
    box = town()
    async with reached(box, way) as http:
        form = downscope(box, await held(http, box)) | (credentials(box, "the-ccg") if known else {})
        told = (await http.post(TOKEN, data=form)).json()
        token = told["access_token"]
        file = await http.get("/2.0/files/123456", headers=bearer(token))
        others = [await http.get(f"/2.0/{path}", headers=bearer(token)) for path in ("folders/42", "users/me")]
    thing = {"type": "file", "id": "123456", "sequence_id": "0", "etag": "0", "name": "Test"}
    assert token.startswith("1!")
    assert told == {
        "access_token": token,
        "expires_in": 4123,
        "token_type": "bearer",
        "restricted_to": [{"scope": scope, "object": thing} for scope in ("item_preview", "item_download")],
        "issued_token_type": ACCESS,
    }
    assert (file.status_code, file.json()["id"]) == (200, "123456")
    assert [answer.status_code for answer in others] == [403, 403]


@pytest.mark.parametrize(
    ("fields", "refused"),
    [
        ({"subject_token": "unknown"}, refusals.WRONG_SUBJECT_TOKEN),
        ({"subject_token": None}, refusals.missing("subject_token")),
        ({"subject_token_type": None}, refusals.missing("subject_token_type")),
        ({"subject_token_type": ID}, refusals.malformed("subject_token_type is not supported")),
        ({"scope": None}, refusals.missing("scope")),
        ({"scope": "item_preview,item_download"}, refusals.refusal("invalid_scope", "The scope is unknown")),
        ({"box_shared_link": LINK}, refusals.malformed("resource and box_shared_link exclude each other")),
        ({"resource": "https://api.box.com/2.0/files/999"}, refusals.INVISIBLE_RESOURCE),
        ({"resource": "https://api.box.com/2.0/files/777"}, refusals.INVISIBLE_RESOURCE),
        ({"resource": "https://evil.example/2.0/files/123456"}, refusals.INVISIBLE_RESOURCE),
        ({"resource": "123456"}, refusals.INVISIBLE_RESOURCE),
        ({"resource": None, "box_shared_link": "https://cloud.box.com/s/locked"}, refusals.INVISIBLE_RESOURCE),
        ({"resource": None, "box_shared_link": "https://cloud.box.com/s/none"}, refusals.INVISIBLE_RESOURCE),
        ({"audience": FILE}, refusals.malformed("not a parameter of this grant: audience")),
        ({"client_id": "the-ccg"}, refusals.WRONG_CLIENT),
        ({"client_secret": "wrong"}, refusals.WRONG_CLIENT),
        ({"actor_token": "a"}, refusals.missing("actor_token_type")),
    ],
)
async def test_a_wrong_exchange_is_refused(fields: dict[str, Any], refused: Answer) -> None:
    box = town()
    box.house.links["https://cloud.box.com/s/locked"] = None
    async with reached(box) as http:
        answer = await http.post(TOKEN, data=downscope(box, await held(http, box), **fields))
    assert (answer.status_code, answer.content) == (refused.status, refused.reply().body)


async def test_a_token_serves_its_own_app_and_while_it_lives() -> None:
    clock = VirtualClock()
    box = town(clock=clock)
    async with reached(box) as http:
        token = await held(http, box)
        foreign = await http.post(TOKEN, data=downscope(box, token) | credentials(box, "the-jwt"))
        await clock.advance(3600)
        dead = await http.post(TOKEN, data=downscope(box, token))
    assert [failed(answer)[:2] for answer in (foreign, dead)] == [(400, "invalid_grant")] * 2


@pytest.mark.parametrize(
    ("shape", "body", "header"),
    [("json", b'"invalid_scope"', True), ("empty", b"", False), ("header", b"", True)],
)
async def test_a_scope_that_the_subject_token_lacks_is_a_401(shape: Any, body: bytes, header: bool) -> None:
    box = town()
    box.scope_refusal = shape
    box.house.apps["the-ccg"].scopes = frozenset({"item_preview"})
    async with reached(box) as http:
        token = await held(http, box)
        refused = await http.post(TOKEN, data=downscope(box, token))
        fine = await http.post(TOKEN, data=downscope(box, token, scope="item_preview"))
        narrow = fine.json()["access_token"]
        wider = await http.post(TOKEN, data=downscope(box, narrow, scope="item_download"))
    assert [refused.status_code, fine.status_code, wider.status_code] == [401, 200, 401]
    assert (body in refused.content, bool(refused.content)) == (True, bool(body))
    assert ("www-authenticate" in refused.headers) == header


async def test_a_shared_link_stands_for_its_item() -> None:
    box = town()
    async with reached(box) as http:
        form = downscope(box, await held(http, box), resource=None, box_shared_link=LINK, scope="item_preview")
        told = (await http.post(TOKEN, data=form)).json()
        narrowed = downscope(box, told["access_token"], scope="item_preview")
        elsewhere = await http.post(TOKEN, data=narrowed | {"resource": "https://api.box.com/2.0/folders/42"})
        again = await http.post(TOKEN, data=without(narrowed | {"resource": None}))
    assert told["restricted_to"][0]["object"]["id"] == "123456"
    assert failed(elsewhere)[1] == "invalid_resource"
    assert again.json()["restricted_to"][0]["object"]["id"] == "123456"


async def test_without_a_target_only_the_scope_is_narrowed() -> None:
    box = town()
    async with reached(box) as http:
        form = downscope(box, await held(http, box), resource=None, scope="base_explorer")
        told = (await http.post(TOKEN, data=form)).json()
        folder = await http.get("/2.0/folders/42", headers=bearer(told["access_token"]))
        me = await http.get("/2.0/users/me", headers=bearer(told["access_token"]))
    assert told["restricted_to"] == [{"scope": "base_explorer"}]
    assert [folder.status_code, me.status_code] == [200, 403]


async def test_an_assertion_or_an_app_token_may_be_exchanged_too() -> None:
    box = town()
    app_token = box.issue("the-ccg", ("user", APP_USER)).value
    assertion = signed(claims(box, sub=USER, box_sub_type="user"), key("box-key"))
    foreign = signed(claims(box, iss="the-ccg"), key("box-key"))
    async with reached(box) as http:
        good = [await http.post(TOKEN, data=downscope(box, token)) for token in (assertion, app_token)]
        seen = await http.post(TOKEN, data=downscope(box, app_token, resource="https://api.box.com/2.0/files/777"))
        again = await http.post(TOKEN, data=downscope(box, assertion))
        wrong = await http.post(TOKEN, data=downscope(box, foreign))
    assert [answer.status_code for answer in (*good, seen)] == [200, 200, 200]
    assert box.house.tokens[good[0].json()["access_token"]].subject == ("user", USER)
    assert "jti" in failed(again)[2]  # type: ignore[operator]
    assert failed(wrong)[2] == "The subject_token provided is invalid"


def actor(box: Any, **other: Any) -> dict[str, Any]:
    return claims(box, sub="visitor-1", name="A visitor", box_sub_type="external", **other)


async def annotated(http: httpx.AsyncClient, box: Any, token: str, **fields: Any) -> httpx.Response:
    subject = box.issue("the-jwt", ("enterprise", ENTERPRISE)).value
    form = downscope(box, subject, scope="item_preview", actor_token=token, actor_token_type=ID)
    return await http.post(TOKEN, data=without(form | fields))


async def test_somebody_outside_of_box_acts_by_a_signed_token() -> None:
    box = town()
    token = signed(actor(box), key("box-key"))
    async with reached(box) as http:
        told = (await annotated(http, box, token)).json()
        again = await annotated(http, box, token)
    assert box.house.tokens[told["access_token"]].actor == ("external", "visitor-1")
    assert "jti" in failed(again)[2]  # type: ignore[operator]


async def test_an_unsigned_actor_token_is_taken_where_the_app_says_so() -> None:
    box = town()
    async with reached(box) as http:
        refused = await annotated(http, box, unsigned(actor(box)))
        box.house.apps["the-jwt"].unsigned_actors = True
        good = [await annotated(http, box, unsigned(actor(box))), await annotated(http, box, _signed(box))]
        bad = await annotated(http, box, unsigned(actor(box)) + "c2lnbmVk")
    assert failed(refused)[1] == "invalid_grant"
    assert [answer.status_code for answer in good] == [200, 200]
    assert failed(bad)[2] == "The actor_token provided is invalid"


def _signed(box: Any) -> str:
    return signed(actor(box), key("box-key"))


@pytest.mark.parametrize(
    ("other", "word"),
    [
        ({"iss": "the-ccg"}, "iss"),
        ({"aud": "https://evil.example"}, "aud"),
        ({"box_sub_type": "user"}, "box_sub_type"),
        ({"sub": ""}, "sub"),
        ({"sub": 7}, "sub"),
        ({"name": None}, "name"),
        ({"jti": "short"}, "jti"),
        ({"exp": None}, "exp"),
        ({"exp": 1}, "exp"),
    ],
)
async def test_each_claim_of_an_actor_is_checked(other: dict[str, Any], word: str) -> None:
    box = town()
    async with reached(box) as http:
        answer = await annotated(http, box, signed(without(actor(box) | other), key("box-key")))
    status, error, description = failed(answer)
    assert (status, error) == (400, "invalid_grant")
    assert f"'{word}'" in (description or "")


async def test_an_actor_sees_previews_and_names_its_kind() -> None:
    box = town()
    async with reached(box) as http:
        answers = [
            await annotated(http, box, _signed(box), actor_token_type=ACCESS),
            await annotated(http, box, _signed(box), scope="item_download"),
            await annotated(http, box, _signed(box), actor_token=None),
        ]
    assert [failed(answer)[1] for answer in answers] == ["invalid_request"] * 3


@pytest.mark.parametrize("way", WAYS)
async def test_the_api_says_what_is_wrong_with_a_token_in_a_header(way: Way) -> None:
    box = town()
    async with reached(box, way) as http:
        none = await http.get("/2.0/users/me")
        dead = await http.get("/2.0/users/me", headers=bearer("unknown"))
        other = await http.get("/2.0/users/me", headers={"authorization": "Token abc"})
    realm = 'Bearer realm="Service"'
    assert [answer.status_code for answer in (none, dead, other)] == [401, 401, 401]
    assert none.headers["www-authenticate"] == realm
    assert dead.headers["www-authenticate"].startswith(f'{realm}, error="invalid_token", error_description="The')
    assert dead.content == b""
    assert "content-length" not in dead.headers
    assert "box-request-id" in dead.headers


async def test_as_user_is_for_service_accounts_and_their_own_people() -> None:
    box = town()
    box.enterprise("other", users=["stranger"])
    async with reached(box) as http:
        service = await held(http, box)
        person = await held(http, box, box_subject_type="user", box_subject_id=USER)
        asked = [(service, APP_USER), (service, "stranger"), (service, "nobody"), (person, APP_USER)]
        answers = [await http.get("/2.0/users/me", headers={**bearer(token), "as-user": u}) for token, u in asked]
        mine = await http.get("/2.0/users/me", headers=bearer(person))
        lost = [await http.get(path, headers=bearer(person)) for path in ("/2.0/files/777", "/2.0/files/0", "/2.0/x")]
    assert [answer.status_code for answer in answers] == [200, 403, 403, 403]
    assert answers[0].json()["id"] == APP_USER
    assert mine.json() == {"type": "user", "id": USER, "login": f"{USER}@example.com", "name": "Aaron Levie"}
    assert [answer.status_code for answer in lost] == [404, 404, 404]
