"""The demo's servers: they take Auth0's and Box's forms to the letter, and refuse whatever else comes."""

from __future__ import annotations

from collections.abc import Mapping

import httpx
import pytest
from tests.demo import asking
from tests.demo.asking import FORM, without

from tokenflight.demo.api import CALL, FILES, ME, Api
from tokenflight.demo.authority import AUTH0, Authority
from tokenflight.demo.books import LIFETIME, Books
from tokenflight.demo.box_desk import BOX
from tokenflight.demo.turnstile import Turnstile

pytestmark = pytest.mark.anyio

CLIENT = {"grant_type": "client_credentials", "client_id": "orders", "client_secret": "s3cret"}
AUTH0_FORM = {**CLIENT, "audience": "https://orders.example/"}
BOX_FORM = {**CLIENT, "box_subject_type": "user", "box_subject_id": "987"}


@pytest.fixture
def books() -> Books:
    return Books(secrets={"orders": "s3cret"})


async def post(
    books: Books, path: str, form: Mapping[str, str] | str, headers: Mapping[str, str] = FORM
) -> httpx.Response:
    return await asking.post(Authority(books, Turnstile()), path, form, headers)


async def call(books: Books, path: str, headers: Mapping[str, str]) -> httpx.Response:
    transport = httpx.ASGITransport(app=Api(books, Turnstile()).app())
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        return await http.get(path, headers=headers)


async def test_auth0s_form_gets_a_web_token_with_its_type_and_lifetime(books: Books) -> None:
    response = await post(books, AUTH0, {**AUTH0_FORM, "organization": "org_1"})

    answer = response.json()
    assert (response.status_code, answer["token_type"], answer["expires_in"]) == (200, "Bearer", LIFETIME)
    assert answer["access_token"].count(".") == 2
    assert books.is_good(answer["access_token"], "https://orders.example/")
    assert books.requests == {("orders", "org_1", "https://orders.example/"): 1}


async def test_boxs_form_gets_an_opaque_token_without_token_type_as_documented(books: Books) -> None:
    response = await post(books, BOX, BOX_FORM)

    answer = response.json()
    assert response.status_code == 200
    assert sorted(answer) == ["access_token", "expires_in", "issued_token_type", "restricted_to"]
    assert books.is_good(answer["access_token"], None)


@pytest.mark.parametrize(
    ("path", "form", "status", "error"),
    [
        (AUTH0, without(AUTH0_FORM, "audience"), 400, "invalid_request"),
        (AUTH0, without(AUTH0_FORM, "client_secret"), 400, "invalid_request"),
        (AUTH0, {**AUTH0_FORM, "client_secret": "wrong"}, 401, "access_denied"),
        (AUTH0, {**AUTH0_FORM, "client_id": "nobody"}, 401, "access_denied"),
        (AUTH0, {**AUTH0_FORM, "grant_type": "password"}, 403, "unauthorized_client"),
        (AUTH0, {**AUTH0_FORM, "resource": "https://orders.example/"}, 400, "invalid_request"),
        (AUTH0, {**AUTH0_FORM, "audience": ""}, 400, "invalid_request"),
        (AUTH0, BOX_FORM, 400, "invalid_request"),
        (BOX, without(BOX_FORM, "box_subject_type"), 400, "invalid_request"),
        (BOX, without(BOX_FORM, "box_subject_id"), 400, "invalid_request"),
        (BOX, without(BOX_FORM, "client_secret"), 400, "invalid_client"),
        (BOX, {**BOX_FORM, "client_secret": "wrong"}, 400, "invalid_client"),
        (BOX, {**BOX_FORM, "box_subject_type": "robot"}, 400, "invalid_grant"),
        (BOX, {**BOX_FORM, "box_subject_id": "Ann"}, 400, "invalid_grant"),
        (BOX, {**BOX_FORM, "audience": "https://api.box.com/"}, 400, "invalid_request"),
        (BOX, without(BOX_FORM, "grant_type"), 400, "unsupported_grant_type"),
        (BOX, AUTH0_FORM, 400, "invalid_request"),
    ],
)
async def test_a_form_with_a_wrong_field_is_refused(
    books: Books, path: str, form: Mapping[str, str], status: int, error: str
) -> None:
    response = await post(books, path, form)

    assert (response.status_code, response.json()["error"]) == (status, error)
    assert (len(books.refusals), books.requests.total()) == (1, 0)


@pytest.mark.parametrize("path", [AUTH0, BOX])
@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "application/json"},
        {"content-type": "application/x-www-form-urlencoded; charset=utf-8"},
        {},
        {**FORM, "authorization": "Basic b3JkZXJzOnMzY3JldA=="},
        {**FORM, "cookie": "box_visitor_id=1"},
    ],
)
async def test_a_form_in_the_wrong_wrapping_is_refused(books: Books, path: str, headers: Mapping[str, str]) -> None:
    response = await post(books, path, AUTH0_FORM if path == AUTH0 else BOX_FORM, headers)

    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("path", [AUTH0, BOX])
async def test_a_field_twice_a_query_and_a_body_that_is_no_form_are_refused(books: Books, path: str) -> None:
    form = str(httpx.QueryParams(AUTH0_FORM if path == AUTH0 else BOX_FORM))

    twice = await post(books, path, f"{form}&client_id=orders")
    query = await post(books, f"{path}?audience=x", form)
    no_form = await post(books, path, "{}")

    assert [answer.status_code for answer in (twice, query, no_form)] == [400, 400, 400]


async def test_the_api_serves_a_living_token_for_its_resource_alone(books: Books) -> None:
    books.issue("t1", ("orders", None, "https://orders.example/"))
    bearer = {"authorization": "Bearer t1", CALL: "7"}

    right = await call(books, "/orders", bearer)
    wrong_resource = await call(books, "/stock", bearer)
    wrong_provider = await call(books, ME, bearer)
    books.revoke_all()
    revoked = await call(books, "/orders", bearer)
    none = await call(books, "/orders", {})

    answers = [right, wrong_resource, wrong_provider, revoked, none]
    assert [answer.status_code for answer in answers] == [200, 401, 401, 401, 401]
    assert (books.sends["7"], books.unauthorized["7"]) == (4, 3)
    assert wrong_resource.json() == {"error": "invalid_token"}
    assert (wrong_provider.content, 'realm="Service"' in wrong_provider.headers["www-authenticate"]) == (b"", True)


async def test_the_api_opens_a_file_for_the_token_that_was_narrowed_to_it_alone(books: Books) -> None:
    books.issue("of 17", ("backup", None, "https://api.box.com/2.0/files/17"))
    books.issue("of all", ("backup", "1", None))

    own = await call(books, f"{FILES}/17", {"authorization": "Bearer of 17", CALL: "1"})
    others = await call(books, f"{FILES}/18", {"authorization": "Bearer of 17", CALL: "2"})
    unknown = await call(books, f"{FILES}/17", {"authorization": "Bearer x", CALL: "3"})
    whole = await call(books, ME, {"authorization": "Bearer of 17", CALL: "4"})
    await call(books, ME, {"authorization": "Bearer of all", CALL: "5"})

    assert [answer.status_code for answer in (own, others, unknown, whole)] == [200, 403, 401, 401]
    assert 'error="insufficient_scope"' in others.headers["www-authenticate"]
    assert books.admitted == {
        "1": ("backup", None, "https://api.box.com/2.0/files/17"),
        "5": ("backup", "1", None),
    }
    assert books.unauthorized.total() == 2
