from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from tests.doubles.odd import CLIENT, OddDouble, shapes, zoom
from tests.doubles.odd.scene import plain
from tests.doubles.reaching import WAYS, Way, failed, reached
from tests.doubles.tokens import peeked

from tokenflight.testing import Answer, Issue, VirtualClock

pytestmark = pytest.mark.anyio

AN_HOUR_ON = str(1_750_000_000 + 3600)


async def ask(double: OddDouble, shape: str, way: Way = "memory", **fields: Any) -> httpx.Response:
    async with reached(double, way) as http:
        return await http.post(f"/o/{shape}", data=plain(double, **fields))


@pytest.mark.parametrize(
    ("shape", "status", "told"),
    [
        ("string-expires", 200, {"token_type": "Bearer", "expires_in": "3600"}),
        ("null-expires", 200, {"token_type": "Bearer", "expires_in": None}),
        ("zero-expires", 200, {"token_type": "Bearer", "expires_in": 0, "scope": None}),
        (
            "no-expires",
            200,
            {
                "token_type": "Bearer",
                "instance_url": "https://acme.my.salesforce.com",
                "issued_at": "1750000000000",
            },
        ),
        ("expires-on-only", 200, {"token_type": "Bearer", "expires_on": AN_HOUR_ON}),
        (
            "v1-strings",
            200,
            {"token_type": "Bearer", "expires_in": "3600", "ext_expires_in": "3600", "expires_on": AN_HOUR_ON},
        ),
        ("refresh-in", 200, {"token_type": "Bearer", "expires_in": 7200, "refresh_in": 3600}),
        ("iso", 201, {"expires_at": "2025-06-15T16:06:40Z"}),
        ("scope-array", 200, {"token_type": "bearer", "expires_in": 3600, "scope": ["read:a", "write:a"]}),
        ("scope-comma", 200, {"expires_in": 86399, "scope": "read_products,write_orders"}),
        ("camel", 200, {"tokenType": "bearer", "expiresIn": 3600}),
        ("token-type-odd", 200, {"token_type": "Application Access Token", "expires_in": 3600}),
        ("bom", 200, {"token_type": "Bearer", "expires_in": 3600}),
        ("slow", 200, {"token_type": "Bearer", "expires_in": 3600}),
    ],
)
async def test_a_shape_is_what_its_name_says(shape: str, status: int, told: dict[str, Any]) -> None:
    clock = VirtualClock()
    double = OddDouble(clock=clock)
    double.slow = 0.0
    answer = await ask(double, shape)
    fields = json.loads(answer.content.decode("utf-8-sig"))
    [token] = [fields.pop(name) for name in ("access_token", "token", "accessToken") if name in fields]
    assert (answer.status_code, fields) == (status, told)
    assert double.is_live(token)
    assert [seen.token for seen in double.ledger] == [token]


@pytest.mark.parametrize(
    ("shape", "status", "body"),
    [
        ("ok-false", 200, b'{"ok": false, "error": "invalid_auth"}'),
        ("error-200", 200, b'"error": "incorrect_client_credentials"'),
        ("errors-list", 401, b'{"errors": [{"errorType": "invalid_client"'),
        ("plain-429", 429, b"Too Many Requests"),
        ("html-502", 502, b"<html>"),
        ("redirect-cross-origin", 307, b""),
    ],
)
@pytest.mark.parametrize("way", WAYS)
async def test_a_failure_is_what_its_name_says(way: Way, shape: str, status: int, body: bytes) -> None:
    double = OddDouble()
    answer = await ask(double, shape, way)
    assert answer.status_code == status
    assert body in answer.content
    assert not double.tokens
    assert answer.headers.get("location") == (double.elsewhere if status == 307 else None)
    assert answer.headers.get("retry-after") == ("60" if status == 429 else None)


@pytest.mark.parametrize("way", WAYS)
async def test_other_bodies_hold_a_token_too(way: Way) -> None:
    double = OddDouble()
    form = parse_qs((await ask(double, "urlencoded", way)).text)
    listed = (await ask(double, "list-json", way)).json()
    huge = await ask(double, "huge", way)
    jwt = (await ask(double, "id-token-only", way)).json()
    bom = await ask(double, "bom", way)
    assert (form["expires"], double.is_live(form["access_token"][0])) == (["3600"], True)
    assert double.is_live(listed[0]["access_token"])
    assert len(huge.content) > 2 * 1024 * 1024
    assert set(jwt) == {"id_token"}
    assert (peeked(jwt["id_token"]) or {})["aud"] == "the-api"
    assert bom.content.startswith(b"\xef\xbb\xbf{")


@pytest.mark.parametrize("way", WAYS)
async def test_a_truncated_body_ends_its_connection(way: Way) -> None:
    double = OddDouble()
    with pytest.raises(httpx.RemoteProtocolError):
        await ask(double, "truncated", way)
    assert len(double.tokens) == 1


async def test_a_slow_answer_takes_its_time_and_a_script_stands_above_a_shape() -> None:
    clock = VirtualClock()
    double = OddDouble(clock=clock)
    double.slow = 3.0
    assert (await clock.run(ask, double, "slow")).status_code == 200
    assert clock.now() == 3.0
    double.script(Answer(503), Issue(expires_in=None))
    assert (await ask(double, "slow")).status_code == 503
    assert (await ask(double, "truncated")).status_code == 200


@pytest.mark.parametrize("shape", sorted(path.rpartition("/")[2] for _, path, _ in shapes.ROUTES))
async def test_every_shape_refuses_a_wrong_request(shape: str) -> None:
    double = OddDouble(clock=VirtualClock())
    double.slow = 0.0
    double.always(Issue())
    good = plain(double)
    async with reached(double) as http:
        wrong = [
            await http.post(f"/o/{shape}", json=good),
            await http.post(f"/o/{shape}", data=good | {"grant_type": "password"}),
            await http.post(f"/o/{shape}", data=good | {"client_secret": "wrong"}),
            await http.post(f"/o/{shape}", data=good | {"unknown": "field"}),
            await http.post(f"/o/{shape}", data=good, auth=(CLIENT, double.secrets[CLIENT])),
            await http.post(f"/o/{shape}", data={"grant_type": "client_credentials"}),
        ]
        assert (await http.get(f"/o/{shape}")).status_code == 405
        assert (await http.post("/o/another", data=good)).status_code == 404
    assert [failed(answer)[0] for answer in wrong] == [400] * 6
    assert not double.tokens


async def test_a_secret_may_come_by_basic() -> None:
    double = OddDouble()
    async with reached(double) as http:
        answer = await http.post(
            "/o/string-expires",
            data={"grant_type": "client_credentials", "scope": "read:a"},
            auth=(CLIENT, double.secrets[CLIENT]),
        )
        token = answer.json()["access_token"]
        served = await http.get("/api", headers={"authorization": f"Bearer {token}"})
        refused = await http.get("/api", headers={"authorization": "Bearer unknown"})
    assert served.json() == {"served": True}
    assert refused.status_code == 401
    assert refused.json()[0]["errorCode"] == "INVALID_SESSION_ID"


async def test_zoom_has_a_grant_of_its_own() -> None:
    double = OddDouble()
    form = {"grant_type": "account_credentials", "account_id": zoom.ACCOUNT}
    auth = (CLIENT, double.secrets[CLIENT])
    async with reached(double) as http:
        good = await http.post(zoom.PATH, data=form, auth=auth)
        wrong = [
            await http.post(zoom.PATH, data=form, auth=(CLIENT, "wrong")),
            await http.post(zoom.PATH, data=plain(double, **form)),
            await http.post(zoom.PATH, data=form | {"grant_type": "client_credentials"}, auth=auth),
            await http.post(zoom.PATH, data=form | {"account_id": "another"}, auth=auth),
            await http.post(zoom.PATH, params=form, auth=auth),
        ]
    assert good.json()["api_url"] == "https://api.zoom.us"
    assert [answer.status_code for answer in wrong] == [401, 400, 400, 400, 400]
    assert wrong[0].json() == {"reason": "Invalid client_id or client_secret", "error": "invalid_client"}
