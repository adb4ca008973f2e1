"""The demo's desk for Box: assertions, exchanges, codes and refresh tokens are good once, and to the letter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.demo.asking import browser, pair, post, refusal, signed, without

from tokenflight.demo.authority import Authority
from tokenflight.demo.books import Books
from tokenflight.demo.box_desk import AUTHORIZE, BOX, PERSON
from tokenflight.demo.faults import Faults
from tokenflight.demo.turnstile import Turnstile

pytestmark = pytest.mark.anyio

CLIENT = {"client_id": "backup", "client_secret": "s3cret"}
JWT_BEARER = {**CLIENT, "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer"}
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
EXCHANGE = {
    **CLIENT,
    "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
    "subject_token": "parent",
    "subject_token_type": ACCESS_TOKEN,
    "scope": "item_preview",
    "resource": "https://api.box.com/2.0/files/17",
}
QUERY = {"response_type": "code", "client_id": "backup", "state": "s"}
JTI = "0123456789abcdef"
CLAIMS = {
    "iss": "backup",
    "sub": "987",
    "box_sub_type": "user",
    "aud": "https://api.box.com/oauth2/token",
    "jti": JTI,
    "exp": 30,
}


@pytest.fixture
def books() -> Books:
    return Books(secrets={"backup": "s3cret", "other": "0ther"})


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def authority(books: Books, faults: Faults) -> Authority:
    return Authority(books, Turnstile(), faults=faults, keys={"backup": pair("backup")})


def bearer(**claims: Any) -> dict[str, str]:
    return {**JWT_BEARER, "assertion": signed(pair("backup"), {**CLAIMS, **claims})}


def refresh(token: str) -> dict[str, str]:
    return {**CLIENT, "grant_type": "refresh_token", "refresh_token": token}


async def log_in(authority: Authority, person: str = "ann") -> str:
    """Return the code that the authorize page sends back."""
    async with browser(authority) as http:
        page = await http.get(AUTHORIZE, params=QUERY, headers={PERSON: person})
    query = parse_qs(urlsplit(page.headers["location"]).query)
    assert (page.status_code, query["state"]) == (302, ["s"])
    return query["code"][0]


async def session(authority: Authority) -> str:
    """Return the first refresh token of somebody who has logged in."""
    code = await log_in(authority)
    response = await post(authority, BOX, {**CLIENT, "grant_type": "authorization_code", "code": code})
    assert response.status_code == 200
    return str(response.json()["refresh_token"])


async def rotated(authority: Authority, token: str) -> str:
    """Spend a refresh token, and return the next."""
    return str((await post(authority, BOX, refresh(token))).json()["refresh_token"])


async def test_a_signed_assertion_buys_a_token_for_its_subject(authority: Authority, books: Books) -> None:
    response = await post(authority, BOX, bearer())

    answer = response.json()
    assert (response.status_code, answer["token_type"]) == (200, "bearer")
    assert books.living(answer["access_token"]) == ("backup", "987", None)
    assert (books.jtis, books.answers) == ({"backup": [JTI]}, {"backup": [200]})


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "other"},
        {"aud": "https://demo.auth0.example/"},
        {"aud": None},
        {"sub": 987},
        {"sub": "Ann"},
        {"sub": None},
        {"box_sub_type": "external"},
        {"box_sub_type": None},
        {"jti": None},
        {"jti": "short"},
        {"exp": None},
        {"exp": -1},
        {"exp": 61},
        {"iat": 2**40},
        {"nbf": 2**40},
    ],
    ids=str,
)
async def test_an_assertion_with_a_wrong_claim_is_refused(
    authority: Authority, books: Books, claims: dict[str, Any]
) -> None:
    response = await post(authority, BOX, bearer(**claims))

    assert refusal(response) == (400, "invalid_grant")
    assert (books.requests.total(), books.answers) == (0, {"backup": [400]})


@pytest.mark.parametrize(
    "made",
    [
        lambda: signed(pair("another"), CLAIMS, kid=pair("backup").id),
        lambda: signed(pair("backup"), CLAIMS, kid="another"),
        lambda: signed(pair("backup"), CLAIMS, kid=None),
        lambda: signed(pair("backup"), CLAIMS, alg="RS384"),
        lambda: f"{signed(pair('backup'), CLAIMS)}x",
        lambda: "no.jwt",
    ],
    ids=["another key", "another kid", "no kid", "another algorithm", "bent", "no JWT"],
)
async def test_an_assertion_that_its_key_did_not_sign_is_refused_and_its_jti_does_not_count(
    authority: Authority, books: Books, made: Callable[[], str]
) -> None:
    response = await post(authority, BOX, {**JWT_BEARER, "assertion": made()})

    assert refusal(response) == (400, "invalid_grant")
    assert not books.jtis.get("backup")


async def test_an_assertion_is_used_up_by_a_planned_failure_too(authority: Authority, faults: Faults) -> None:
    faults.answers.extend((429, 503))
    form = bearer()

    first, second = await post(authority, BOX, form), await post(authority, BOX, form)
    third = await post(authority, BOX, bearer(jti=JTI[::-1]))

    assert (first.status_code, first.headers["retry-after"]) == (429, "1")
    assert refusal(second) == (400, "invalid_grant")
    assert third.status_code == 503


async def test_an_app_without_a_key_cannot_sign(authority: Authority) -> None:
    form = {**bearer(), "client_id": "other", "client_secret": "0ther"}

    assert refusal(await post(authority, BOX, form)) == (400, "unauthorized_client")


async def test_an_exchange_gives_a_token_for_one_file(authority: Authority, books: Books) -> None:
    books.issue("parent", ("backup", "1", None))

    answer = (await post(authority, BOX, EXCHANGE)).json()

    assert answer["issued_token_type"] == ACCESS_TOKEN
    assert books.is_good(answer["access_token"], "https://api.box.com/2.0/files/17")
    assert books.parents == {"parent"}


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({**EXCHANGE, "subject_token": "unknown"}, "invalid_grant"),
        ({**EXCHANGE, "subject_token": "of another app"}, "invalid_grant"),
        ({**EXCHANGE, "subject_token": "of a file"}, "invalid_resource"),
        ({**EXCHANGE, "subject_token_type": "urn:ietf:params:oauth:token-type:jwt"}, "invalid_grant"),
        ({**EXCHANGE, "resource": "https://api.box.com/2.0/folders/17"}, "invalid_resource"),
        ({**EXCHANGE, "resource": "https://api.box.com/2.0/files/17/content"}, "invalid_resource"),
        ({**EXCHANGE, "scope": "item_preview root"}, "invalid_scope"),
        (without(EXCHANGE, "scope"), "invalid_request"),
        (without(EXCHANGE, "resource"), "invalid_request"),
        ({**EXCHANGE, "audience": "17"}, "invalid_request"),
        ({**EXCHANGE, "client_secret": "wrong"}, "invalid_client"),
    ],
)
async def test_an_exchange_of_another_form_is_refused(
    authority: Authority, books: Books, form: dict[str, str], error: str
) -> None:
    books.issue("parent", ("backup", "1", None))
    books.issue("of another app", ("other", "1", None))
    books.issue("of a file", ("backup", None, "https://api.box.com/2.0/files/17"))

    assert refusal(await post(authority, BOX, form)) == (400, error)
    assert books.parents == set()


@pytest.mark.parametrize(
    "query",
    [
        without(QUERY, "state"),
        {**QUERY, "client_id": "nobody"},
        {**QUERY, "response_type": "token"},
        {**QUERY, "code_challenge": "x"},
        {**QUERY, "state": ""},
    ],
)
async def test_nobody_is_sent_back_from_a_login_of_another_form(authority: Authority, query: dict[str, str]) -> None:
    async with browser(authority) as http:
        page = await http.get(AUTHORIZE, params=query, headers={PERSON: "ann"})

    assert page.status_code == 400


async def test_a_code_is_redeemed_once_by_the_app_it_is_for(authority: Authority, books: Books) -> None:
    form = {**CLIENT, "grant_type": "authorization_code", "code": await log_in(authority)}
    stolen = {**form, "client_id": "other", "client_secret": "0ther", "code": await log_in(authority)}

    first, again = await post(authority, BOX, form), await post(authority, BOX, form)
    with_more = await post(authority, BOX, {**form, "code_verifier": "x"})

    assert books.living(first.json()["access_token"]) == ("backup", "ann", None)
    assert refusal(again) == (400, "invalid_grant")
    assert refusal(with_more) == (400, "invalid_request")
    assert refusal(await post(authority, BOX, stolen)) == (400, "invalid_grant")
    assert books.logins == ["ann"]


async def test_a_refresh_token_is_spent_for_the_next(authority: Authority, books: Books) -> None:
    first = await session(authority)
    second = await rotated(authority, first)
    third = await rotated(authority, second)

    assert len({first, second, third}) == 3
    assert books.spent == {first: 1, second: 1}


async def test_who_lost_the_reply_may_spend_again_within_the_grace(authority: Authority, books: Books) -> None:
    first = await session(authority)
    lost = await rotated(authority, first)
    second = await rotated(authority, first)

    assert (await post(authority, BOX, refresh(second))).status_code == 200
    assert (books.lost, books.spent[first], books.spent[lost]) == ([], 2, 0)


async def test_a_refresh_token_that_is_spent_again_later_ends_the_session(authority: Authority, books: Books) -> None:
    first = await session(authority)
    second = await rotated(authority, first)
    third = await rotated(authority, second)

    assert refusal(await post(authority, BOX, refresh(first))) == (400, "invalid_grant")
    assert refusal(await post(authority, BOX, refresh(third))) == (400, "invalid_grant")
    assert books.lost == ["ann"]


async def test_a_refresh_token_is_one_apps_and_goes_with_nothing_else(authority: Authority) -> None:
    token = await session(authority)

    foreign = await post(authority, BOX, {**refresh(token), "client_id": "other", "client_secret": "0ther"})
    scoped = await post(authority, BOX, {**refresh(token), "scope": "item_preview"})

    assert (refusal(foreign), refusal(scoped)) == ((400, "invalid_grant"), (400, "invalid_request"))
    assert (await post(authority, BOX, refresh(token))).status_code == 200
