from __future__ import annotations

import base64
import hashlib
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest
from tests.doubles.auth0 import AUTHORIZE, REVOKE, TOKEN, Auth0Double
from tests.doubles.auth0.issuing import MARK
from tests.doubles.auth0.scene import API, CALLBACK, OTHER, credentials, tenant, without
from tests.doubles.reaching import WAYS, Way, failed, reached
from tests.doubles.tokens import BadTokenError, key, peeked, verified

from tokenflight.testing import VirtualClock

pytestmark = pytest.mark.anyio

VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
REFRESH = "refresh_token"
LOST = (403, "invalid_grant", "Unknown or invalid refresh token.")


def asked(client: str = "the-spa", /, **query: Any) -> dict[str, str]:
    good = {"response_type": "code", "client_id": client, "redirect_uri": CALLBACK, "state": "s1", "nonce": "n1"}
    good |= {"scope": "openid offline_access read:a", "audience": API}
    return without(good | {"code_challenge": CHALLENGE, "code_challenge_method": "S256"} | query)


async def visit(double: Auth0Double, origin: str = "", /, *, client: str = "the-spa", **query: Any) -> dict[str, str]:
    """Go to the authorize page and return what comes back."""
    location = await double.browse(f"{origin or double.url}{AUTHORIZE}?{urlencode(asked(client, **query))}")
    assert location.startswith(f"{CALLBACK}?")
    return dict(parse_qsl(urlsplit(location).query))


def redeeming(code: str, **fields: Any) -> dict[str, Any]:
    form = {"grant_type": "authorization_code", "client_id": "the-spa", "code": code, "redirect_uri": CALLBACK}
    return without(form | {"code_verifier": VERIFIER} | fields)


async def session(http: httpx.AsyncClient, double: Auth0Double, **query: Any) -> dict[str, Any]:
    back = await visit(double, str(http.base_url).rstrip("/"), **query)
    answer = await http.post(TOKEN, data=redeeming(back["code"]))
    assert answer.status_code == 200
    return dict(answer.json())


async def refreshed(http: httpx.AsyncClient, token: str, **fields: Any) -> httpx.Response:
    form = {"grant_type": REFRESH, "client_id": "the-spa", REFRESH: token}
    return await http.post(TOKEN, data=form | fields)


@pytest.mark.parametrize("way", WAYS)
async def test_a_code_brings_a_session_once(way: Way) -> None:
    double = tenant()
    async with reached(double, way) as http:
        origin = str(http.base_url).rstrip("/")
        back = await visit(double, origin)
        told = (await http.post(TOKEN, data=redeeming(back["code"]))).json()
        served = await http.get("/api", headers={"authorization": f"Bearer {told['access_token']}"})
        again = await http.post(TOKEN, data=redeeming(back["code"]))
        lost = await refreshed(http, told[REFRESH])
    assert set(back) == {"code", "state"}
    assert set(told) == {"access_token", REFRESH, "id_token", "token_type", "expires_in", "scope"}
    assert (told["scope"], told[REFRESH][:4]) == ("openid offline_access read:a", "v1.M")
    claims = verified(told["id_token"], double.mint.jwks()["keys"], ["RS256"]).claims
    half = hashlib.sha256(told["access_token"].encode()).digest()[:16]
    assert {name: claims[name] for name in ("iss", "sub", "aud", "nonce", "at_hash")} == {
        "iss": f"{origin}/",
        "sub": "auth0|person",
        "aud": "the-spa",
        "nonce": "n1",
        "at_hash": base64.urlsafe_b64encode(half).decode().rstrip("="),
    }
    assert served.json()["served"] == "auth0|person"
    assert failed(again) == (403, "invalid_grant", "Invalid authorization code")
    assert failed(lost) == LOST


async def test_a_wrong_redemption_is_refused() -> None:
    clock = VirtualClock()
    double = tenant(clock=clock)
    async with reached(double) as http:
        code = (await visit(double))["code"]
        wrong = [
            await http.post(TOKEN, data=redeeming(code, code_verifier="w" * 43)),
            await http.post(TOKEN, data=redeeming(code, code_verifier=None)),
            await http.post(TOKEN, data=redeeming(code, redirect_uri="https://evil.example/")),
            await http.post(TOKEN, data=redeeming("unknown")),
            await http.post(TOKEN, data=redeeming(code, **credentials(double, "the-web"))),
            await http.post(TOKEN, data=redeeming(code, redirect_uri=None)),
            await http.post(TOKEN, data=redeeming(code, scope="openid")),
            await http.post(TOKEN, data=redeeming(code, client_secret="x")),
            await http.post(TOKEN, data=redeeming(code, client_id="the-post")),
        ]
        await clock.advance(600)
        wrong.append(await http.post(TOKEN, data=redeeming(code)))
    assert [failed(answer)[:2] for answer in wrong] == [
        *[(403, "invalid_grant")] * 5,
        *[(400, "invalid_request")] * 2,
        (401, "invalid_client"),
        (401, "access_denied"),
        (403, "invalid_grant"),
    ]


async def test_a_confidential_client_may_go_without_pkce_and_a_public_one_may_not() -> None:
    double = tenant()
    plain = {"code_challenge": None, "code_challenge_method": None}
    async with reached(double) as http:
        back = await visit(double, client="the-web", **plain)
        web = redeeming(back["code"], code_verifier=None, **credentials(double, "the-web"))
        unasked = await http.post(TOKEN, data=web | {"code_verifier": VERIFIER})
        good = await http.post(TOKEN, data=web)
    assert (failed(unasked)[1], good.status_code) == ("invalid_grant", 200)
    for query in (plain, {"code_challenge_method": "plain"}, {"code_challenge_method": None}):
        assert (await visit(double, **query))["error"] == "invalid_request"


@pytest.mark.parametrize(
    "query",
    [{"client_id": "unknown"}, {"redirect_uri": "https://evil.example/"}, {"redirect_uri": None}, {"resource": API}],
)
async def test_a_wrong_visit_ends_at_a_page(query: dict[str, Any]) -> None:
    double = tenant()
    async with reached(double) as http:
        answer = await http.get(AUTHORIZE, params=asked(**query))
    assert answer.status_code == 400
    with pytest.raises(AssertionError, match="stays at a page"):
        await double.browse(f"{double.url}{AUTHORIZE}?{urlencode(asked(**query))}")


async def test_a_callback_says_what_it_is_told_to() -> None:
    double = tenant()
    assert (await visit(double, response_type="token"))["error"] == "unsupported_response_type"
    assert (await visit(double, audience="https://unknown/"))["error"] == "access_denied"
    assert (await visit(double, organization="org_1"))["error"] == "invalid_request"
    double.sessions.tells_issuer = True
    assert (await visit(double))["iss"] == "https://tenant.eu.auth0.com/"
    double.sessions.callback = {"state": None, "iss": "https://evil.example/"}
    back = await visit(double)
    assert ("state" in back, back["iss"]) == (False, "https://evil.example/")
    double.sessions.denial = ("access_denied", "User did not authorize the request")
    assert (await visit(double))["error"] == "access_denied"


async def test_what_is_granted_depends_on_what_was_asked_for() -> None:
    double = tenant()
    double.organization("org_1")
    async with reached(double) as http:
        little = await session(http, double, scope="read:a delete:all", organization="org_1")
        opaque = await session(http, double, scope="openid", audience=None, nonce=None)
    assert set(little) == {"access_token", "token_type", "expires_in", "scope"}
    assert little["scope"] == "read:a"
    assert (peeked(little["access_token"]) or {})["org_id"] == "org_1"
    assert opaque["access_token"].startswith("gh")
    assert "nonce" not in (peeked(opaque["id_token"]) or {})


async def test_an_id_token_may_be_wrong_in_each_claim_and_in_its_signature() -> None:
    double = tenant()
    double.mint.id_token_changes = {"nonce": "another", "at_hash": None, "azp": "somebody"}
    async with reached(double) as http:
        claims = peeked((await session(http, double))["id_token"]) or {}
        double.mint.id_token_signer = key("a-stranger")
        forged = (await session(http, double))["id_token"]
    assert (claims["nonce"], "at_hash" in claims, claims["azp"]) == ("another", False, "somebody")
    assert MARK in claims
    with pytest.raises(BadTokenError):
        verified(forged, double.mint.jwks()["keys"], ["RS256"])


async def test_a_refresh_token_rotates_and_its_reuse_ends_the_family() -> None:
    double = tenant()
    async with reached(double) as http:
        first = await session(http, double)
        second = (await refreshed(http, first[REFRESH])).json()
        narrow = (await refreshed(http, second[REFRESH], scope="read:a")).json()
        wider = await refreshed(http, narrow[REFRESH], scope="write:a")
        foreign = await http.post(
            TOKEN, data={"grant_type": REFRESH, REFRESH: narrow[REFRESH], **credentials(double, "the-web")}
        )
        reused = await refreshed(http, second[REFRESH])
        dead = await refreshed(http, narrow[REFRESH])
    assert second[REFRESH] != first[REFRESH]
    assert second["id_token"]
    assert (narrow["scope"], "id_token" in narrow) == ("read:a", False)
    assert failed(wider)[1] == "invalid_scope"
    assert [failed(answer) for answer in (foreign, reused, dead)] == [LOST] * 3


async def test_the_leeway_is_for_the_token_before_the_last_alone() -> None:
    clock = VirtualClock()
    double = tenant(clock=clock)
    double.sessions.leeway = 30.0
    async with reached(double) as http:
        first = await session(http, double)
        second = (await refreshed(http, first[REFRESH])).json()
        await clock.advance(29)
        third = (await refreshed(http, first[REFRESH])).json()
        fourth = (await refreshed(http, third[REFRESH])).json()
        older = await refreshed(http, first[REFRESH])
        dead = await refreshed(http, fourth[REFRESH])
        other = await session(http, double)
        await refreshed(http, other[REFRESH])
        await clock.advance(30)
        late = await refreshed(http, other[REFRESH])
    assert len({token[REFRESH] for token in (first, second, third, fourth)}) == 4
    assert [failed(answer) for answer in (older, dead, late)] == [LOST] * 3


async def test_without_rotation_the_token_stays_and_a_family_lives_thirty_days() -> None:
    clock = VirtualClock()
    double = tenant(clock=clock)
    double.sessions.rotation = False
    async with reached(double) as http:
        first = await session(http, double)
        again = [(await refreshed(http, first[REFRESH])).json() for _ in range(2)]
        await clock.advance(30 * 86_400)
        late = await refreshed(http, first[REFRESH])
        unknown = await refreshed(http, "unknown")
        missing = await refreshed(http, "")
    assert [REFRESH in each for each in again] == [False, False]
    assert [failed(answer) for answer in (late, unknown)] == [LOST] * 2
    assert failed(missing)[1] == "invalid_request"


async def test_a_refresh_token_may_be_good_for_further_audiences() -> None:
    double = tenant()
    async with reached(double) as http:
        token = (await session(http, double))[REFRESH]
        refused = await refreshed(http, token, audience=OTHER)
        double.tenant.clients["the-spa"].refreshes = frozenset({OTHER})
        answers = []
        for audience in (OTHER, API):
            answers.append((await refreshed(http, token, audience=audience)).json())
            token = answers[-1][REFRESH]
    assert failed(refused)[1] == "invalid_request"
    assert [(peeked(told["access_token"]) or {})["aud"] for told in answers] == [OTHER, API]


async def test_a_revoked_session_is_over() -> None:
    double = tenant()
    async with reached(double) as http:
        first = await session(http, double)
        await http.post(REVOKE, data=credentials(double, "the-web") | {"token": first[REFRESH]})
        second = (await refreshed(http, first[REFRESH])).json()
        done = await http.post(REVOKE, data={"client_id": "the-spa", "token": second[REFRESH]})
        dead = await refreshed(http, second[REFRESH])
    assert (done.status_code, done.content) == (200, b"")
    assert failed(dead) == LOST
