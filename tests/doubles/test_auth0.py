from __future__ import annotations

from typing import Any

import httpx
import pytest
from tests.doubles.auth0 import DISCOVERY, JWKS, TOKEN, Quota, refusals
from tests.doubles.auth0.issuing import MARK
from tests.doubles.auth0.scene import API, OTHER, machine, tenant
from tests.doubles.reaching import WAYS, Way, failed, reached
from tests.doubles.tokens import peeked, verified

from tokenflight.testing import Amend, Answer, Issue, VirtualClock

pytestmark = pytest.mark.anyio


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def claimed(http: httpx.AsyncClient, form: dict[str, Any]) -> dict[str, Any]:
    """Return the claims of the token that comes of a request."""
    return peeked((await http.post(TOKEN, data=form)).json()["access_token"]) or {}


@pytest.mark.parametrize("way", WAYS)
async def test_a_client_gets_a_signed_token_that_the_api_takes(way: Way) -> None:
    double = tenant()
    async with reached(double, way) as http:
        answer = await http.post(TOKEN, data=machine(double))
        told = answer.json()
        keys = (await http.get(JWKS)).json()["keys"]
        served = await http.get("/api", headers=bearer(told["access_token"]))
        origin = str(http.base_url).rstrip("/")
    assert told == {**told, "token_type": "Bearer", "expires_in": 86400, "scope": "read:a write:a"}
    assert set(told) == {"access_token", "token_type", "expires_in", "scope"}
    assert {"x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"} <= set(answer.headers)
    assert answer.headers["cache-control"] == "no-store"
    assert set(keys[0]) == {"kty", "use", "alg", "kid", "n", "e", "x5t", "x5c"}
    read = verified(told["access_token"], keys, ["RS256"])
    assert read.header["typ"] == "JWT"
    assert read.claims.pop(MARK)
    assert read.claims == {
        "iss": f"{origin}/",
        "sub": "the-post@clients",
        "aud": API,
        "iat": read.claims["iat"],
        "exp": read.claims["iat"] + 86400,
        "scope": "read:a write:a",
        "gty": "client-credentials",
        "azp": "the-post",
    }
    assert served.json()["served"] == "the-post@clients"
    assert double.billed == 1


async def test_json_is_taken_as_a_form_is() -> None:
    double = tenant()
    async with reached(double) as http:
        good = await http.post(TOKEN, json=machine(double, scope="read:a"))
        bad = [
            await http.post(TOKEN, json=[machine(double)]),
            await http.post(TOKEN, json=machine(double) | {"scope": 7}),
            await http.post(TOKEN, content=b"{", headers={"content-type": "application/json"}),
            await http.post(TOKEN, content=b"a=b", headers={"content-type": "text/plain"}),
            await http.post(TOKEN, content=b"a=b&a=c", headers={"content-type": "application/x-www-form-urlencoded"}),
            await http.post(TOKEN, params={"audience": API}, data=machine(double)),
        ]
        assert (await http.get(TOKEN)).status_code == 405
        assert (await http.post("/token")).status_code == 404
    assert good.json()["scope"] == "read:a"
    assert [failed(answer)[:2] for answer in bad] == [(400, "invalid_request")] * 6


@pytest.mark.parametrize(
    ("fields", "status", "code", "words"),
    [
        ({"client_secret": "wrong"}, 401, "access_denied", "Unauthorized"),
        ({"client_id": "unknown"}, 401, "access_denied", "Unauthorized"),
        ({"client_secret": None}, 401, "access_denied", "Unauthorized"),
        ({"client_id": None, "client_secret": None}, 401, "invalid_client", "Client authentication failed"),
        ({"grant_type": None}, 400, "invalid_request", "Missing required parameter: grant_type"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type", "Grant type not supported"),
        ({"grant_type": "refresh_token"}, 403, "unauthorized_client", "Grant type 'refresh_token' not allowed"),
        ({"audience": None}, 400, "invalid_request", "Missing required parameter: audience"),
        ({"audience": None, "resource": API}, 400, "invalid_request", "resource"),
        ({"audience": "https://unknown/"}, 403, "access_denied", "Service not enabled within domain: https://unk"),
        ({"scope": "read:a delete:a"}, 403, "access_denied", "Client has not been granted scopes: delete:a"),
        ({"organization": "org_1"}, 403, "access_denied", "not allowed to use organizations"),
        ({"box_subject_type": "user"}, 400, "invalid_request", "box_subject_type"),
    ],
)
async def test_a_wrong_request_is_refused(fields: dict[str, Any], status: int, code: str, words: str) -> None:
    double = tenant()
    async with reached(double) as http:
        answer = await http.post(TOKEN, data=machine(double, **fields))
    assert failed(answer)[:2] == (status, code)
    assert words in (failed(answer)[2] or "")
    assert (double.billed, double.tenant.tokens) == (0, {})


async def test_an_api_needs_a_client_grant() -> None:
    double = tenant()
    double.tenant.clients["the-post"].grants = {}
    async with reached(double) as http:
        answer = await http.post(TOKEN, data=machine(double))
    assert failed(answer)[:2] == (403, "access_denied")
    assert '"client-grant" associated to this API' in (failed(answer)[2] or "")


async def test_a_tenant_may_give_a_useless_token_or_take_a_resource() -> None:
    double = tenant()
    double.opaque_without_audience = double.resource_parameter = True
    async with reached(double) as http:
        opaque = (await http.post(TOKEN, data=machine(double, audience=None))).json()
        refused = await http.get("/api", headers=bearer(opaque["access_token"]))
        other = await http.post(TOKEN, data=machine(double, audience=None, resource=API))
    assert opaque == {"access_token": opaque["access_token"], "token_type": "Bearer", "expires_in": 86400}
    assert opaque["access_token"].startswith("gh")
    assert (refused.status_code, other.status_code) == (401, 200)


async def test_an_api_may_have_the_profile_of_rfc_9068() -> None:
    double = tenant()
    async with reached(double) as http:
        told = (await http.post(TOKEN, data=machine(double, audience=OTHER))).json()
    read = verified(told["access_token"], double.mint.jwks()["keys"], ["RS256"], types=["at+jwt"])
    assert read.claims["client_id"] == "the-post"
    assert not {"azp", "gty", "scope"} & set(read.claims)
    assert (told["expires_in"], "scope" in told, "jti" in read.claims) == (600, False, True)


async def test_an_organization_is_validated_and_named_in_the_token() -> None:
    double = tenant()
    client = double.tenant.clients["the-post"]
    for name in ("org_1", "org_2"):
        double.organization(name, name.upper())
    double.allow(client, API, "allow", ["org_1"])
    strangers = ("org_2", "org_3", "ORG_1")
    async with reached(double) as http:
        one = await claimed(http, machine(double, organization="org_1"))
        none = await claimed(http, machine(double))
        refused = [await http.post(TOKEN, data=machine(double, organization=org)) for org in strangers]
        double.allow(client, API, "require", ["org_1"])
        double.mint.names = True
        named = await claimed(http, machine(double, organization="ORG_1"))
        missing = await http.post(TOKEN, data=machine(double))
    assert (one["org_id"], "org_name" in one, "org_id" in none) == ("org_1", False, False)
    assert [failed(answer) for answer in refused] == [
        (403, "access_denied", f"The client is not entitled to the organization {org}") for org in strangers
    ]
    assert (named["org_id"], named["org_name"]) == ("org_1", "org_1")
    assert failed(missing) == (400, "invalid_request", "Missing required parameter: organization")


async def test_a_quota_is_told_counted_and_kept_by_hours_and_days_of_utc() -> None:
    clock = VirtualClock(wall=1_750_000_000.0 - 1_750_000_000 % 86_400 + 60)
    double = tenant(clock=clock)
    client = double.tenant.clients["the-post"]
    client.quota = Quota(hour=2, day=3)
    double.allow(client, API, "allow", ["org_1"])
    double.organization("org_1", quota=Quota(day=5, enforce=False))
    async with reached(double) as http:
        first = await http.post(TOKEN, data=machine(double))
        second = await http.post(TOKEN, data=machine(double, organization="org_1"))
        over = await http.post(TOKEN, data=machine(double))
        await clock.advance(3540)
        third = await http.post(TOKEN, data=machine(double))
        for_the_day = await http.post(TOKEN, data=machine(double))
    told = "auth0-client-quota-limit"
    assert first.headers[told] == "b=per_hour;q=2;r=1;t=3540,b=per_day;q=3;r=2;t=86340"
    assert second.headers["auth0-organization-quota-limit"] == "b=per_day;q=5;r=4;t=86340"
    assert failed(over) == (429, "too_many_requests", "Client quota exceeded")
    assert over.headers[told].startswith("b=per_hour;q=2;r=0;t=3540,")
    assert over.headers["retry-after"] == "3540"
    assert over.headers["x-ratelimit-remaining"] == "0"
    assert int(over.headers["x-ratelimit-reset"]) == clock.wall()
    assert third.status_code == 200
    assert for_the_day.headers["retry-after"] == str(86_400 - 3600)
    assert double.billed == 3


async def test_a_rate_limit_tells_when_by_the_clock() -> None:
    clock = VirtualClock()
    double = tenant(clock=clock)
    double.rate.limit = 2
    async with reached(double) as http:
        answers = [await http.post(TOKEN, data=machine(double)) for _ in range(3)]
        await clock.advance(1)
        answers.append(await http.post(TOKEN, data=machine(double)))
    assert [answer.status_code for answer in answers] == [200, 200, 429, 200]
    assert [answer.headers["x-ratelimit-remaining"] for answer in answers] == ["1", "0", "0", "1"]
    assert answers[2].headers["x-ratelimit-reset"] == str(int(clock.wall()))
    assert "retry-after" not in answers[2].headers


async def test_an_action_denies_in_its_own_words_and_nothing_is_billed() -> None:
    double = tenant()
    denials = [("invalid_scope", "no"), ("invalid_request", "no, no"), ("server_error", "never"), None]
    double.action = lambda seen, client: denials[len(double.ledger) - 1]
    async with reached(double) as http:
        answers = [await http.post(TOKEN, data=machine(double)) for _ in denials]
    assert [failed(answer) for answer in answers[:3]] == [
        (400, "invalid_scope", "no"),
        (400, "invalid_request", "no, no"),
        (500, "server_error", "never"),
    ]
    assert (answers[3].status_code, double.billed) == (200, 1)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("act", "status", "words"),
    [
        (refusals.quota_exceeded(), 429, b"Client quota exceeded"),
        (refusals.quota_exceeded(1, quotas=refusals.MALFORMED_QUOTAS[1]), 429, b"Client quota"),
        (refusals.rate_limited(), 429, b"X-RateLimit-Limit"),
        (refusals.rate_limited_by_policy(), 429, b"Rate limit exceeded."),
        (refusals.GLOBALLY_LIMITED, 429, b"errorCode"),
        (refusals.LIMITED_IN_WORDS, 429, b"Too Many Requests"),
        (refusals.UNAVAILABLE, 503, b"<html>"),
        (refusals.NEEDS_A_PERSON, 401, b"mfa_token"),
        (refusals.denied_by_action("server_error", "x"), 500, b"server_error"),
    ],
)
async def test_other_refusals_are_scripted(way: Way, act: Answer, status: int, words: bytes) -> None:
    double = tenant()
    double.script(act)
    async with reached(double, way) as http:
        answer = await http.post(TOKEN, data=machine(double))
    assert answer.status_code == status
    assert words in answer.content
    assert not double.tenant.tokens


async def test_a_token_may_be_told_with_odd_headers_and_lifetimes() -> None:
    clock = VirtualClock()
    double = tenant(clock=clock, now_offset=-30.0)
    double.script(Issue(expires_in=5), Amend(headers={"auth0-client-quota-limit": refusals.MALFORMED_QUOTAS[0]}))
    async with reached(double) as http:
        short = (await http.post(TOKEN, data=machine(double))).json()
        odd = await http.post(TOKEN, data=machine(double))
        assert (await http.get("/api", headers=bearer(short["access_token"]))).status_code == 200
        await clock.advance(5)
        late = await http.get("/api", headers=bearer(short["access_token"]))
    assert short["expires_in"] == 5
    assert (peeked(short["access_token"]) or {})["iat"] == clock.wall() - 35
    assert odd.headers["auth0-client-quota-limit"] == "b=per_hour;q=10;t=3540"
    assert (late.status_code, double.is_live(short["access_token"])) == (401, False)


async def test_keys_rotate_and_old_ones_may_go() -> None:
    double = tenant()
    async with reached(double) as http:
        old = (await http.post(TOKEN, data=machine(double))).json()["access_token"]
        double.mint.rotate()
        new = (await http.post(TOKEN, data=machine(double))).json()["access_token"]
        kids = [key["kid"] for key in (await http.get(JWKS)).json()["keys"]]
        both = [(await http.get("/api", headers=bearer(token))).status_code for token in (old, new)]
        double.mint.rotate(drop=True)
        left = [key["kid"] for key in (await http.get(JWKS)).json()["keys"]]
        gone = [(await http.get("/api", headers=bearer(token))).status_code for token in (old, new)]
    assert (kids, left) == (["tenant-1", "tenant-2"], ["tenant-3"])
    assert (both, gone) == ([200, 200], [401, 401])


@pytest.mark.parametrize("way", WAYS)
async def test_the_discovery_document_names_where_it_was_asked(way: Way) -> None:
    double = tenant()
    async with reached(double, way) as http:
        document = (await http.get(DISCOVERY)).json()
        origin = str(http.base_url).rstrip("/")
        double.mtls_origin = "https://mtls.tenant.example"
        aliased = (await http.get(DISCOVERY)).json()
    assert document["issuer"] == f"{origin}/"
    assert document["token_endpoint"] == origin + TOKEN
    assert document["jwks_uri"] == origin + JWKS
    assert "mtls_endpoint_aliases" not in document
    assert aliased["mtls_endpoint_aliases"] == {"token_endpoint": f"https://mtls.tenant.example{TOKEN}"}
    assert "tls_client_auth" in aliased["token_endpoint_auth_methods_supported"]


async def test_the_api_takes_its_own_tokens_with_enough_scope() -> None:
    double = tenant()
    double.api_scope = "write:a"
    async with reached(double) as http:
        tokens = [
            (await http.post(TOKEN, data=machine(double, **fields))).json()["access_token"]
            for fields in ({}, {"scope": "read:a"}, {"audience": OTHER})
        ]
        answers = [await http.get("/api", headers=bearer(token)) for token in (*tokens, "nonsense")]
        answers.append(await http.get("/api"))
        answers.append(await http.get("/api", headers={**bearer(tokens[0]), "host": "custom.example"}))
        double.invalidate(tokens[0])
        answers.append(await http.get("/api", headers=bearer(tokens[0])))
    assert [answer.status_code for answer in answers] == [200, 403, 401, 401, 401, 200, 401]
    assert answers[1].json()["errorCode"] == "insufficient_scope"
    assert answers[4].headers["www-authenticate"] == 'Bearer error="invalid_token"'
