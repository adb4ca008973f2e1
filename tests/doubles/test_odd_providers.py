from __future__ import annotations

from typing import Any

import pytest
from tests.doubles.odd import CLIENT, OddDouble, entra, github, google, keycloak, okta, salesforce
from tests.doubles.odd.scene import asserted, claims, plain, sign
from tests.doubles.reaching import WAYS, Way, failed, reached
from tests.doubles.tokens import key, peeked, signed

from tokenflight.testing import VirtualClock

pytestmark = pytest.mark.anyio

T = 1_750_000_000


@pytest.mark.parametrize("way", WAYS)
async def test_okta_takes_an_assertion_for_the_full_url_and_nothing_beside_it(way: Way) -> None:
    double = OddDouble()
    scope = {"scope": "okta.users.read"}
    async with reached(double, way) as http:
        origin = str(http.base_url).rstrip("/")
        once = asserted(sign(claims(double, "okta", origin)), **scope)
        good = await http.post(okta.PATH, data=once)
        wrong = [
            await http.post(okta.PATH, data=form)
            for form in (
                once,
                asserted(sign(claims(double, "okta", origin)), client_id=CLIENT, **scope),
                asserted(sign(claims(double, "okta", origin))),
                asserted(sign(claims(double, "okta", origin)), scope="orders"),
                asserted(sign(claims(double, "okta", origin, aud=f"{origin}/")), **scope),
                asserted(sign(claims(double, "okta", origin, sub="x")), **scope),
                asserted(sign(claims(double, "okta", origin, exp=9e9)), **scope),
                asserted(signed(claims(double, "okta", origin), key("stranger")), **scope),
                plain(double, **scope),
            )
        ]
    assert set(good.json()) == {"token_type", "expires_in", "access_token", "scope"}
    assert [failed(answer)[:2] for answer in wrong] == [
        (401, "invalid_client"),
        (400, "invalid_request"),
        (400, "invalid_request"),
        (400, "invalid_scope"),
        *[(401, "invalid_client")] * 4,
        (400, "invalid_request"),
    ]


async def test_okta_speaks_of_its_limits_in_another_shape() -> None:
    double = OddDouble()
    double.script(okta.throttled(T), okta.NEEDS_PROOF_OF_POSSESSION)
    async with reached(double) as http:
        limited, unproven = [await http.post(okta.PATH) for _ in range(2)]
    assert limited.json()["errorCode"] == "E0000047"
    assert limited.headers["x-rate-limit-reset"] == str(T)
    assert failed(unproven) == (400, "invalid_dpop_proof", "The DPoP proof JWT header is missing.")
    assert [seen.error for seen in double.ledger] == ["E0000047", "invalid_dpop_proof"]


@pytest.mark.parametrize("way", WAYS)
async def test_google_gives_an_access_token_or_an_id_token_for_an_assertion(way: Way) -> None:
    double = OddDouble()
    async with reached(double, way) as http:
        origin = str(http.base_url).rstrip("/")
        access, delegated, identity = [
            (await http.post(google.PATH, data={"grant_type": entra.JWT, "assertion": sign(told)})).json()
            for told in (
                claims(double, "google", origin),
                claims(double, "google", origin, sub="person@example.com"),
                claims(double, "google", origin, scope=None, target_audience="https://run.example/"),
            )
        ]
    assert access == {"access_token": access["access_token"], "expires_in": 3599, "token_type": "Bearer"}
    assert delegated["access_token"].startswith("ya29.c.")
    assert set(identity) == {"id_token"}
    assert (peeked(identity["id_token"]) or {})["aud"] == "https://run.example/"


@pytest.mark.parametrize(
    ("other", "code", "words"),
    [
        ({"iss": "stranger@example.com"}, "invalid_grant", "account not found"),
        ({"aud": "https://oauth2.example/token"}, "invalid_grant", "audience"),
        ({"iat": None}, "invalid_grant", "short-lived token"),
        ({"exp": None}, "invalid_grant", "short-lived token"),
        ({"exp": T + 3601}, "invalid_grant", "short-lived token"),
        ({"exp": T}, "invalid_grant", "short-lived token"),
        ({"iat": T + 301, "exp": T + 400}, "invalid_grant", "short-lived token"),
        ({"sub": "nobody@example.com"}, "unauthorized_client", "unauthorized"),
        ({"scope": None}, "invalid_scope", "Invalid OAuth scope"),
        ({"target_audience": "a"}, "invalid_scope", "Invalid OAuth scope"),
    ],
)
async def test_google_checks_each_claim(other: dict[str, Any], code: str, words: str) -> None:
    double = OddDouble(clock=VirtualClock())
    form = {"grant_type": entra.JWT, "assertion": sign(claims(double, "google", **other))}
    async with reached(double) as http:
        answer = await http.post(google.PATH, data=form)
    assert failed(answer)[:2] == (400, code)
    assert words in (failed(answer)[2] or "")


async def test_google_wants_no_client_authentication() -> None:
    double = OddDouble()
    form = {"grant_type": entra.JWT, "assertion": sign(claims(double, "google"))}
    async with reached(double) as http:
        answers = [
            await http.post(google.PATH, data=plain(double, **form)),
            await http.post(google.PATH, data=form | {"client_id": CLIENT}),
            await http.post(google.PATH, data=form | {"scope": "a"}),
            await http.post(google.PATH, data=form, auth=(CLIENT, double.secrets[CLIENT])),
            await http.post(google.PATH, data=form | {"assertion": signed(claims(double, "google"), key("x"))}),
            await http.post(google.PATH, data=form | {"grant_type": "client_credentials"}),
        ]
        double.script(google.INTERNAL_FAILURE)
        answers.append(await http.post(google.PATH, data=form))
    assert [failed(answer)[1] for answer in answers] == [
        *["invalid_request"] * 3,
        "invalid_client",
        "invalid_grant",
        "unsupported_grant_type",
        "internal_failure",
    ]


@pytest.mark.parametrize("way", WAYS)
async def test_github_takes_an_apps_jwt_and_answers_in_its_own_words(way: Way) -> None:
    double = OddDouble()

    def bearer(text: str) -> dict[str, str]:
        return {"authorization": f"Bearer {text}"}

    async with reached(double, way) as http:
        good = [
            await http.post(github.PATH, headers=bearer(sign(claims(double, "github")))),
            await http.post(github.PATH, headers=bearer(sign(claims(double, "github"), kid=None)), json={}),
        ]
        wrong = [
            await http.post(github.PATH),
            await http.post(github.PATH, headers=bearer("nonsense")),
            await http.post(github.PATH, headers=bearer(signed(claims(double, "github"), key("stranger")))),
            *[
                await http.post(github.PATH, headers=bearer(sign(claims(double, "github", **other))))
                for other in ({"iss": "1"}, {"iat": 9e9}, {"iat": None}, {"exp": 1}, {"exp": None}, {"exp": 9e9})
            ],
            await http.post(github.PATH, headers=bearer(sign(claims(double, "github"))), data={"a": "b"}),
            await http.post("/app/installations/1/access_tokens", headers=bearer(sign(claims(double, "github")))),
        ]
        served = await http.get("/api", headers=bearer(good[0].json()["token"]))
    assert [answer.status_code for answer in (*good, served)] == [201, 201, 200]
    assert set(good[0].json()) == {"token", "expires_at", "permissions", "repository_selection"}
    assert good[0].json()["token"].startswith("ghs_")
    assert [answer.status_code for answer in wrong] == [*[401] * 9, 400, 404]
    assert "too far in the future" in wrong[8].json()["message"]


@pytest.mark.parametrize("way", WAYS)
async def test_keycloak_answers_with_fields_that_nobody_else_has(way: Way) -> None:
    double = OddDouble()
    async with reached(double, way) as http:
        told = (await http.post(keycloak.PATH, data=plain(double, scope="openid orders"))).json()
        form = {"subject_token": told["access_token"], "subject_token_type": keycloak.ACCESS}
        exchanged = await http.post(
            keycloak.PATH, data=plain(double, grant_type=keycloak.EXCHANGE, audience="orders-api", **form)
        )
        basic = {"grant_type": "client_credentials"}
        usual = await http.post(keycloak.PATH, data=basic, auth=(CLIENT, double.secrets[CLIENT]))
        wrong = [
            await http.post(keycloak.PATH, data=data)
            for data in (
                plain(double, client_secret="wrong"),
                plain(double, scope="everything"),
                plain(double, audience="orders-api"),
                plain(double, grant_type=keycloak.EXCHANGE, audience="another", **form),
                plain(double, grant_type=keycloak.EXCHANGE, **form | {"subject_token": "dead"}),
                plain(double, grant_type=keycloak.EXCHANGE, requested_token_type="urn:x", **form),
            )
        ]
    assert set(told) == {"access_token", "expires_in", "refresh_expires_in", "token_type"} | {
        "not-before-policy",
        "scope",
        "id_token",
    }
    assert (told["refresh_expires_in"], told["not-before-policy"]) == (0, 0)
    assert exchanged.json()["issued_token_type"] == keycloak.ACCESS
    assert usual.json()["scope"] == "profile email"
    assert [failed(answer)[1] for answer in wrong] == [
        "invalid_client",
        "invalid_scope",
        "invalid_request",
        "invalid_client",
        "invalid_request",
        "invalid_request",
    ]


@pytest.mark.parametrize("way", WAYS)
async def test_salesforce_tells_no_lifetime_and_gives_the_same_token_while_it_lives(way: Way) -> None:
    double = OddDouble()
    jwt = {"grant_type": entra.JWT, "assertion": sign(claims(double, "salesforce"))}
    async with reached(double, way) as http:
        first, again = [(await http.post(salesforce.PATH, data=form)).json() for form in (plain(double), jwt)]
        wrong = [
            await http.post(salesforce.PATH, data=form)
            for form in (
                plain(double, client_secret="wrong"),
                plain(double, scope="api"),
                jwt | {"client_id": CLIENT},
                *[
                    jwt | {"assertion": sign(claims(double, "salesforce", **other))}
                    for other in ({"iss": "x"}, {"aud": "https://acme"}, {"exp": 1}, {"exp": 9e9}, {"sub": "nobody"})
                ],
                jwt | {"assertion": signed(claims(double, "salesforce"), key("stranger"))},
            )
        ]
    assert "expires_in" not in first
    assert first["issued_at"].isdigit()
    assert (len(first["issued_at"]), first["instance_url"]) == (13, "https://acme.my.salesforce.com")
    assert again["access_token"] == first["access_token"]
    assert [failed(answer)[1] for answer in wrong] == [
        "invalid_client",
        "invalid_request",
        "invalid_request",
        "invalid_client_id",
        *["invalid_grant"] * 5,
    ]
    assert "approved" in (failed(wrong[7])[2] or "")


async def test_salesforce_gives_another_token_once_its_session_is_over() -> None:
    clock = VirtualClock()
    double = OddDouble(clock=clock)
    double.lifetimes["salesforce"] = 60
    async with reached(double) as http:
        first = (await http.post(salesforce.PATH, data=plain(double))).json()["access_token"]
        await clock.advance(60)
        second = (await http.post(salesforce.PATH, data=plain(double))).json()["access_token"]
    assert first != second
