"""The doubles of six providers refuse what those would refuse: each good request, changed in one place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from tests.dialects import test_entra, test_github, test_google, test_keycloak, test_okta, test_salesforce
from tests.dialects.asking import provider
from tests.doubles.odd import OddDouble
from tests.doubles.tokens import key, peeked, public, signed
from tests.kit.canary import canary

from tokenflight import OAuthClient
from tokenflight.dialects import google
from tokenflight.testing import Request

pytestmark = pytest.mark.anyio

Form = dict[str, str]


def known() -> OddDouble:
    """Return a double that knows one client at each provider."""
    double = OddDouble()
    double.entra.resources.add("https://graph.microsoft.com")
    double.entra.secrets[test_entra.APP] = "hush-hush"
    double.okta.keys[test_okta.APP] = [public(key("okta-app"))]
    double.okta.scopes.add(test_okta.READ)
    double.google.accounts[test_google.EMAIL] = [public(key("google-account"))]
    double.github.keys = [public(key("github-app"))]
    double.github.installations["7"] = {}
    double.keycloak.secrets[test_keycloak.APP] = "hush-hush"
    double.keycloak.service_accounts.add(test_keycloak.APP)
    double.salesforce.keys[test_salesforce.APP] = [public(key("salesforce-app"))]
    double.salesforce.users[test_salesforce.USER] = True
    return double


CLIENTS: dict[str, tuple[Callable[[OddDouble], OAuthClient], dict[str, Any]]] = {
    "entra": (lambda double: test_entra.client(double), {"audience": "https://graph.microsoft.com"}),
    "okta": (lambda double: test_okta.client(), {}),
    "google": (lambda double: test_google.client(), {}),
    "google-id": (
        lambda double: google.id_token_client(test_google.configuration()),
        {"audience": "https://a.example"},
    ),
    "github": (lambda double: test_github.client(), {}),
    "keycloak": (lambda double: test_keycloak.client(double), {}),
    "salesforce": (lambda double: test_salesforce.jwt_client(), {"subject": test_salesforce.USER}),
}


async def good(name: str, double: OddDouble) -> Request:
    """Return the request that the library makes, which is answered well."""
    make, how = CLIENTS[name]
    async with provider(make(double), double) as tokens:
        await tokens.token(**how)
    [seen] = double.ledger
    assert seen.status in (200, 201)
    return seen.request


async def again(double: OddDouble, request: Request, form: Form | None, headers: dict[str, str]) -> int:
    """Send a request with another form and other headers, and return the status."""
    async with httpx.AsyncClient(transport=double.transport(), trust_env=False) as http:
        return (await http.post(request.url, data=form, headers=headers)).status_code


def changed(form: Form) -> Iterator[Form]:
    """Yield the form with each field in turn left out or spoilt, and with one too many."""
    for name, value in form.items():
        yield {other: text for other, text in form.items() if other != name}
        yield form | {name: value + "x"}
    for name in ("audience", "resource", "client_id", "client_secret"):
        if name not in form:
            yield form | {name: "x"}


@pytest.mark.parametrize("name", CLIENTS)
async def test_a_request_with_one_field_changed_is_refused(name: str) -> None:
    double = known()
    request = await good(name, double)
    seen = double.ledger[0]
    headers = {"authorization": f"Bearer {seen.bearer}"} if seen.bearer else {}

    assert await again(known(), request, seen.form, headers) in (200, 201)
    for form in changed(seen.form):
        assert 400 <= await again(known(), request, form, headers) < 500, (name, sorted(form))


@pytest.mark.parametrize("name", ["okta", "google", "google-id", "salesforce"])
async def test_an_assertion_is_taken_once(name: str) -> None:
    double = known()
    request = await good(name, double)

    assert await again(double, request, double.ledger[0].form, {}) in (400, 401)


@pytest.mark.parametrize("name", ["okta", "google", "salesforce"])
@pytest.mark.parametrize(
    "change", [{"aud": "https://elsewhere.test"}, {"exp": 0}, {"iss": "x"}, {"exp": 4_000_000_000}]
)
async def test_each_claim_of_an_assertion_is_checked(name: str, change: dict[str, Any]) -> None:
    double = known()
    request = await good(name, double)
    field = "client_assertion" if name == "okta" else "assertion"
    form = double.ledger[0].form

    for claims, wanted in (({}, 200), (change, 400)):
        said = (peeked(form[field]) or {}) | claims | {"jti": canary("jti")}
        kid = "google-account" if name == "google" else f"{name}-app"
        status = await again(double, request, form | {field: signed(said, key(kid))}, {})
        assert status // 100 == wanted // 100


@pytest.mark.parametrize("change", [{"exp": 4_000_000_000}, {"iss": "x"}, {"aud": "x"}, {"iat": 4_000_000_000}])
async def test_a_github_app_says_three_things_and_no_more(change: dict[str, Any]) -> None:
    double = known()
    request = await good("github", double)
    claims = peeked(double.ledger[0].bearer) or {}

    for said, status in ((claims, 201), (claims | change, 401)):
        bearer = signed(said, key("github-app"), kid=None)
        assert await again(double, request, None, {"authorization": f"Bearer {bearer}"}) == status


async def test_each_provider_answers_at_its_own_host_alone() -> None:
    double = known()
    async with httpx.AsyncClient(transport=double.transport(), trust_env=False) as http:
        for system in (double.entra, double.okta, double.google, double.keycloak, double.salesforce):
            answer = await http.post(f"https://elsewhere.test{system.paths[0]}")
            assert answer.status_code == 404
