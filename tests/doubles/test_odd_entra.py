from __future__ import annotations

from typing import Any

import pytest
from tests.doubles.odd import CLIENT, OddDouble, entra
from tests.doubles.odd.scene import SCOPE, asserted, by_certificate, claims, plain, sign
from tests.doubles.reaching import WAYS, Way, failed, reached
from tests.doubles.tokens import key, signed

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("way", WAYS)
async def test_entra_takes_a_secret_a_certificate_or_a_federated_token(way: Way) -> None:
    double = OddDouble()
    async with reached(double, way) as http:
        origin = str(http.base_url).rstrip("/")
        asked = {"client_id": CLIENT, "scope": SCOPE}
        answers = [
            await http.post(entra.PATH, data=plain(double, scope=SCOPE)),
            await http.post(entra.PATH, data=asserted(by_certificate(claims(double, "entra", origin)), **asked)),
            await http.post(
                entra.PATH,
                data=asserted(by_certificate(claims(double, "entra", origin), kid="a", algorithm="PS256"), **asked),
            ),
            await http.post(entra.PATH, data=asserted(sign(claims(double, "federation")), **asked)),
        ]
        double.lifetimes["entra"] = 86_400
        long = (await http.post(entra.PATH, data=plain(double, scope=SCOPE))).json()
    assert [answer.status_code for answer in answers] == [200] * 4
    for told in (answer.json() for answer in answers):
        assert told == {**told, "token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599}
        assert double.is_live(told["access_token"])
        assert "refresh_in" not in told
    assert (long["expires_in"], long["refresh_in"]) == (86_400, 43_200)


async def test_entra_refuses_what_it_does_not_know_with_numbers() -> None:
    double = OddDouble()
    good = plain(double, scope=SCOPE)
    asked = {"client_id": CLIENT, "scope": SCOPE}
    once = asserted(by_certificate(claims(double, "entra")), **asked)
    wrong: list[tuple[dict[str, Any], str]] = [
        (plain(double, scope=SCOPE, client_secret="wrong"), "invalid_client"),
        (plain(double, scope=SCOPE, audience="a"), "invalid_request"),
        (plain(double, scope=SCOPE, resource="a"), "invalid_request"),
        (plain(double), "invalid_request"),
        (plain(double, scope="https://graph.microsoft.com/User.Read"), "invalid_scope"),
        (plain(double, scope=f"{SCOPE} {SCOPE}"), "invalid_scope"),
        (good | {"grant_type": "password"}, "unsupported_grant_type"),
        (once, "invalid_client"),
        (asserted(by_certificate(claims(double, "entra")), client_secret="x", **asked), "invalid_client"),
        (asserted(by_certificate(claims(double, "entra"), x5t="other"), **asked), "invalid_client"),
        (asserted(sign(claims(double, "entra")), **asked), "invalid_client"),
        (asserted(by_certificate(claims(double, "entra", aud="https://x/")), **asked), "invalid_client"),
        (asserted(by_certificate(claims(double, "entra", sub="x")), **asked), "invalid_client"),
        (asserted(by_certificate(claims(double, "entra", exp=1)), **asked), "invalid_client"),
        (asserted(by_certificate(claims(double, "entra", jti=None)), **asked), "invalid_client"),
        (asserted(sign(claims(double, "federation", sub="system:other")), **asked), "invalid_client"),
        (asserted(sign(claims(double, "federation", aud="x")), **asked), "invalid_client"),
        (asserted(signed(claims(double, "federation"), key("stranger")), **asked), "invalid_client"),
    ]
    async with reached(double) as http:
        assert (await http.post(entra.PATH, data=once)).status_code == 200
        answers = [await http.post(entra.PATH, data=form) for form, _ in wrong]
        double.script(entra.THROTTLED)
        throttled = await http.post(entra.PATH, data=good)
    assert [failed(answer)[1] for answer in answers] == [code for _, code in wrong]
    first = answers[0].json()
    assert (answers[0].status_code, first["error_codes"]) == (401, [7000215])
    assert {"timestamp", "trace_id", "correlation_id", "error_uri"} <= set(first)
    assert first["error_description"].startswith("AADSTS7000215: ")
    assert (throttled.status_code, throttled.text, throttled.headers["retry-after"]) == (429, "Too Many Requests", "60")


async def test_entra_exchanges_a_callers_token_on_behalf_of_the_caller() -> None:
    double = OddDouble()
    async with reached(double) as http:
        token = (await http.post(entra.PATH, data=plain(double, scope=SCOPE))).json()["access_token"]
        form = plain(double, scope="User.Read Mail.Read", grant_type=entra.JWT, assertion=token)
        good = await http.post(entra.PATH, data=form | {"requested_token_use": "on_behalf_of"})
        wrong = [
            await http.post(entra.PATH, data=form),
            await http.post(entra.PATH, data=form | {"requested_token_use": "another"}),
            await http.post(entra.PATH, data=form | {"requested_token_use": "on_behalf_of", "assertion": "dead"}),
        ]
    assert good.json()["scope"] == "User.Read Mail.Read"
    assert [failed(answer)[1] for answer in wrong] == ["invalid_request", "invalid_request", "invalid_grant"]
