from __future__ import annotations

from typing import Any

import pytest
from tests.doubles.auth0 import TOKEN, Auth0Double
from tests.doubles.auth0.scene import API, EXCHANGE, credentials, machine, tenant
from tests.doubles.auth0.state import Person
from tests.doubles.reaching import WAYS, Way, failed, reached
from tests.doubles.tokens import peeked

pytestmark = pytest.mark.anyio

ACCESS = "urn:ietf:params:oauth:token-type:access_token"


def exchanging(double: Auth0Double, text: str, kind: str, **fields: Any) -> dict[str, Any]:
    form = {"grant_type": EXCHANGE, "subject_token": text, "subject_token_type": kind}
    return machine(double, **form | fields)


@pytest.mark.parametrize("way", WAYS)
async def test_a_token_of_the_tenants_own_type_is_exchanged(way: Way) -> None:
    double = tenant()
    double.tenant.clients["the-post"].grant_types |= {EXCHANGE}
    kind = "urn:acme:legacy-token"
    double.tenant.subject_tokens[kind, "legacy"] = "auth0|old"
    async with reached(double, way) as http:
        told = (await http.post(TOKEN, data=exchanging(double, "legacy", kind, scope="read:a"))).json()
        wrong = [
            await http.post(TOKEN, data=exchanging(double, "unknown", kind)),
            await http.post(TOKEN, data=exchanging(double, "legacy", "urn:acme:another")),
            await http.post(TOKEN, data=exchanging(double, "legacy", "legacy-token")),
            await http.post(TOKEN, data=exchanging(double, "legacy", "urn:ietf:params:oauth:token-type:jwt")),
            await http.post(TOKEN, data=exchanging(double, "legacy", kind, actor_token="a")),
            await http.post(TOKEN, data=exchanging(double, "legacy", kind, audience=None)),
            await http.post(TOKEN, data=exchanging(double, "legacy", kind, requested_token_type="urn:x:y")),
        ]
        off = await http.post(TOKEN, data=exchanging(double, "legacy", kind) | credentials(double, "the-web"))
    assert told == {
        "access_token": told["access_token"],
        "token_type": "Bearer",
        "expires_in": 86400,
        "scope": "read:a",
        "issued_token_type": ACCESS,
    }
    assert (peeked(told["access_token"]) or {})["sub"] == "auth0|old"
    assert [failed(answer)[:2] for answer in wrong] == [(400, "invalid_request")] * 7
    assert failed(off)[1] == "unauthorized_client"
    assert double.billed == 0


async def test_an_api_asks_on_behalf_of_who_called_it_a_few_times_over() -> None:
    double = tenant()
    client = double.tenant.clients["the-post"]
    client.grant_types |= {EXCHANGE}
    person = Person(client=client, user="auth0|person", audience=API, scopes=("read:a",))
    token = double.mint.personal(double.url, double.now(), person, lifetime=3600).value
    async with reached(double) as http:
        stranger = await http.post(TOKEN, data=exchanging(double, token, ACCESS, requested_token_type=ACCESS))
        client.resource_server = API
        unsaid = await http.post(TOKEN, data=exchanging(double, token, ACCESS))
        forged = await http.post(TOKEN, data=exchanging(double, token + "x", ACCESS, requested_token_type=ACCESS))
        answers = []
        for _ in range(5):
            answers.append(await http.post(TOKEN, data=exchanging(double, token, ACCESS, requested_token_type=ACCESS)))
            token = answers[-1].json().get("access_token", "")
    chain = peeked(answers[1].json()["access_token"]) or {}
    assert (chain["sub"], chain["act"]) == ("auth0|person", {"sub": "the-post", "act": {"sub": "the-post"}})
    assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 400]
    assert "Delegation chain" in (failed(answers[-1])[2] or "")
    assert [failed(answer)[1] for answer in (stranger, unsaid, forged)] == ["invalid_request"] * 3
