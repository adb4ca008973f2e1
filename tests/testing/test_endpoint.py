from __future__ import annotations

import base64
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import urlencode

import anyio
import httpx
import pytest

from tokenflight.model.secret import Secret
from tokenflight.model.token import Token
from tokenflight.testing import Answer, Delay, Error, FakeTokenEndpoint, Issue, Request, Throttle, VirtualClock

pytestmark = pytest.mark.anyio

FORM = {"grant_type": "client_credentials", "client_id": "service", "client_secret": "hush"}


def client_of(endpoint: FakeTokenEndpoint) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=endpoint.transport(), base_url=endpoint.url)


async def post(endpoint: FakeTokenEndpoint, fields: dict[str, str] = FORM, **options: object) -> httpx.Response:
    async with client_of(endpoint) as http:
        return await http.post(endpoint.url, data=fields, **options)  # type: ignore[arg-type]


async def test_a_token_is_issued_to_client_credentials(endpoint: FakeTokenEndpoint) -> None:
    response = await post(endpoint, FORM | {"scope": "read write", "audience": "https://api.test"})
    answer = response.json()
    assert (response.status_code, response.headers["cache-control"]) == (200, "no-store")
    assert (answer["token_type"], answer["expires_in"], answer["scope"]) == ("Bearer", 3600, "read write")
    issued = endpoint.tokens[answer["access_token"]]
    assert (issued.client, issued.audience, issued.scope) == ("service", "https://api.test", "read write")


async def test_no_two_tokens_are_the_same(endpoint: FakeTokenEndpoint) -> None:
    for _ in range(50):
        await post(endpoint)
    assert len(endpoint.tokens) == 50


async def test_basic_authentication_is_form_decoded(endpoint: FakeTokenEndpoint) -> None:
    endpoint.register("we:ird id", "p%+ss")
    header = "Basic " + base64.b64encode(b"we%3Aird+id:p%25%2Bss").decode()
    response = await post(endpoint, {"grant_type": "client_credentials"}, headers={"authorization": header})
    entry = endpoint.ledger[-1]
    assert (response.status_code, entry.client, entry.authentication) == (200, "we:ird id", "client_secret_basic")


async def test_once_clients_are_registered_no_other_is_served(endpoint: FakeTokenEndpoint) -> None:
    endpoint.register("service", ["old", "new"], scope="read", audiences=["https://api.test"])
    good = FORM | {"client_secret": "new", "scope": "read", "audience": "https://api.test"}
    answers = [
        await post(endpoint, fields)
        for fields in (
            good,
            good | {"client_secret": "old"},
            good | {"client_secret": "wrong"},
            good | {"client_id": "stranger"},
            good | {"scope": "write"},
            good | {"audience": "https://other.test"},
        )
    ]
    codes = [(answer.status_code, answer.json().get("error")) for answer in answers]
    assert codes == [
        (200, None),
        (200, None),
        (401, "invalid_client"),
        (401, "invalid_client"),
        (400, "invalid_scope"),
        (400, "invalid_target"),
    ]
    assert endpoint.ledger[-1].error == "invalid_target"


async def test_a_client_may_be_known_by_its_certificate_and_then_by_no_secret(endpoint: FakeTokenEndpoint) -> None:
    endpoint.register("service", thumbprint=Request(method="POST", url="", client_certificate=b"one").thumbprint or "")
    endpoint.register("other", "hush", thumbprint=["two", "three"])
    bare = {"grant_type": "client_credentials", "client_id": "service"}
    statuses = []
    for fields, certificate in (
        (bare, b"one"),
        (bare, b"another"),
        (bare, None),
        (bare | {"client_secret": "hush"}, b"one"),
        (bare | {"client_id": "other"}, b"one"),
        (bare | {"client_id": "other", "client_secret": "hush"}, b"one"),
    ):
        request = Request(
            method="POST",
            url=endpoint.url,
            headers=(("content-type", "application/x-www-form-urlencoded"),),
            body=urlencode(fields).encode(),
            client_certificate=certificate,
        )
        statuses.append((await endpoint.handle(request)).status)
    assert statuses == [200, 401, 401, 401, 401, 200]
    methods = [entry.authentication for entry in endpoint.ledger]
    assert methods == ["tls_client_auth"] * 2 + ["none", "client_secret_post", "tls_client_auth", "client_secret_post"]
    endpoint.ledger.waive("flights", because="it is handled here and carried by nobody, who would end it")


async def test_basic_credentials_that_fail_are_challenged(endpoint: FakeTokenEndpoint) -> None:
    endpoint.register("service", "hush")
    response = await post(endpoint, {"grant_type": "client_credentials"}, auth=("service", "wrong"))
    assert (response.status_code, response.headers["www-authenticate"][:5]) == (401, "Basic")


@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        (b"grant_type=client_credentials", {}, (401, "invalid_client")),
        (b"client_id=a&client_secret=b", {}, (400, "invalid_request")),
        (b"client_id=a&client_secret=b&grant_type=", {}, (400, "invalid_request")),
        (b"client_id=a&client_secret=b&grant_type=password", {}, (400, "unsupported_grant_type")),
        (b"client_id=a&client_id=a&client_secret=b&grant_type=client_credentials", {}, (400, "invalid_request")),
        (b"client_id=a&client_secret=b", {"authorization": "Basic YTpi"}, (400, "invalid_request")),
        (b"client_id=a&grant_type=client_credentials", {"authorization": "Basic !!"}, (401, "invalid_client")),
        (b'{"grant_type": "client_credentials"}', {"content-type": "application/json"}, (400, "invalid_request")),
    ],
)
async def test_a_request_outside_the_rfc_is_refused(
    endpoint: FakeTokenEndpoint, body: bytes, headers: dict[str, str], expected: tuple[int, str]
) -> None:
    async with client_of(endpoint) as http:
        form = {"content-type": "application/x-www-form-urlencoded"}
        response = await http.post(endpoint.url, content=body, headers=form | headers)
    assert (response.status_code, response.json()["error"]) == expected


async def test_only_post_asks_for_a_token(endpoint: FakeTokenEndpoint) -> None:
    async with client_of(endpoint) as http:
        response = await http.get(endpoint.url)
    assert (response.status_code, response.headers["allow"]) == (405, "POST")


async def test_lifetimes_may_take_turns_or_be_absent() -> None:
    endpoint = FakeTokenEndpoint(expires_in=[3600, 4123, None], token_type=None, scope="granted")
    answers = [(await post(endpoint)).json() for _ in range(4)]
    assert [answer.get("expires_in") for answer in answers] == [3600, 4123, None, 3600]
    assert {answer["scope"] for answer in answers} == {"granted"}
    assert not any("token_type" in answer for answer in answers)
    endpoint.expires_in = 2.5
    assert (await post(endpoint)).json()["expires_in"] == 2.5


async def test_a_token_lives_until_its_end_or_its_revocation() -> None:
    clock = VirtualClock()
    endpoint = FakeTokenEndpoint(expires_in=10, clock=clock)
    first, second = [(await post(endpoint)).json()["access_token"] for _ in range(2)]
    assert endpoint.is_live(first)
    assert endpoint.is_live(Secret(first))
    assert endpoint.is_live(Token(second))
    assert not endpoint.is_live("made-up")
    assert endpoint.revoke(first) == 1
    assert [endpoint.is_live(token) for token in (first, second)] == [False, True]
    await clock.advance(9.99)
    assert endpoint.is_live(second)
    await clock.advance(0.01)
    assert not endpoint.is_live(second)
    assert endpoint.revoke() == 0


async def test_an_answer_may_differ_in_detail(endpoint: FakeTokenEndpoint) -> None:
    endpoint.script(
        Issue(expires_in=5, fields={"expires_in": "5", "more": [1]}, without=["token_type"], status=201),
        Issue(again=True),
        Issue(expires_in=None, headers={"x-quota": "1"}),
    )
    odd, again, endless = [await post(endpoint) for _ in range(3)]
    token = odd.json()["access_token"]
    assert (odd.status_code, odd.json()) == (201, {"access_token": token, "expires_in": "5", "more": [1]})
    assert again.json()["access_token"] == token
    assert again.json()["expires_in"] < 5
    assert (endless.headers["x-quota"], "expires_in" in endless.json()) == ("1", False)


async def test_the_script_is_played_once_and_then_what_always_holds(endpoint: FakeTokenEndpoint) -> None:
    endpoint.script(Answer(500), Answer(502))
    endpoint.always(Error("invalid_scope"))
    statuses = [(await post(endpoint)).status_code for _ in range(3)]
    endpoint.always()
    assert [*statuses, (await post(endpoint)).status_code] == [500, 502, 400, 200]


async def test_an_act_may_be_chosen_by_what_was_asked(endpoint: FakeTokenEndpoint) -> None:
    endpoint.always(lambda entry: Error("invalid_client") if entry.client == "bad" else None)
    assert [(await post(endpoint, FORM | {"client_id": name})).status_code for name in ("bad", "good")] == [401, 200]


async def test_a_limit_answers_429_beyond_its_rate() -> None:
    clock = VirtualClock()
    endpoint = FakeTokenEndpoint(clock=clock)
    endpoint.ledger.waive("retry_after", because="this test asks on regardless")
    endpoint.limit(2, retry_after=1)
    statuses = [(await post(endpoint)).status_code for _ in range(4)]
    assert (statuses, endpoint.ledger[-1].retry_after) == ([200, 200, 429, 429], 1.0)
    await clock.advance(1)
    endpoint.limit(2)
    assert [(await post(endpoint)).status_code for _ in range(3)] == [200, 200, 429]
    assert endpoint.ledger[-1].retry_after is None
    endpoint.limit(None)
    assert (await post(endpoint)).status_code == 200


async def test_asking_within_a_retry_after_breaks_a_rule() -> None:
    clock = VirtualClock()
    endpoint = FakeTokenEndpoint(clock=clock)
    endpoint.script(Throttle(5), Throttle(format_datetime(datetime.fromtimestamp(clock.wall() + 9, UTC), usegmt=True)))
    await post(endpoint)
    await clock.advance(5)
    await post(endpoint)
    endpoint.ledger.check()
    await clock.advance(3)
    await post(endpoint, FORM | {"client_id": "another"})
    endpoint.ledger.check()
    await post(endpoint)
    with pytest.raises(AssertionError, match="retry_after: request 4 of 'service' came 1 s before"):
        endpoint.ledger.check()
    endpoint.ledger.waive("retry_after", because="it was the point")
    endpoint.ledger.check()


async def test_a_pause_beyond_ten_minutes_may_be_cut_to_ten() -> None:
    clock = VirtualClock()
    endpoint = FakeTokenEndpoint(clock=clock)
    endpoint.script(Throttle(3540))
    await post(endpoint)
    await clock.advance(600)
    await post(endpoint)
    endpoint.ledger.check()


async def test_two_requests_in_the_air_for_a_key_break_a_rule() -> None:
    clock = VirtualClock()
    endpoint = FakeTokenEndpoint(clock=clock)
    endpoint.always(Delay(1))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(post, endpoint, FORM | {"audience": "a"})
        tasks.start_soon(post, endpoint, FORM | {"audience": "b"})
        await clock.advance(0.5)
        endpoint.ledger.check()
        tasks.start_soon(post, endpoint, FORM | {"audience": "a", "client_secret": "another"})
        await clock.advance(5)
    assert endpoint.ledger.max_in_flight == 3
    assert sorted(endpoint.ledger.max_in_flight_by_key.values()) == [1, 2]
    with pytest.raises(AssertionError, match="flights: request 3 set out while 1 for"):
        endpoint.ledger.check()
    endpoint.ledger.waive("flights", because="it was the point")


async def test_a_budget_is_kept_or_named(endpoint: FakeTokenEndpoint) -> None:
    await post(endpoint)
    endpoint.ledger.check(budget=1)
    with pytest.raises(AssertionError, match="1 requests came, the budget is 0"):
        endpoint.ledger.check(budget=0)


async def test_the_ledger_keeps_what_was_asked(endpoint: FakeTokenEndpoint) -> None:
    await post(endpoint, FORM | {"box_subject_id": "7", "refresh_token": "spent"})
    (entry,) = endpoint.ledger
    assert (entry.method, entry.path, entry.status, entry.token) == ("POST", "/token", 200, next(iter(endpoint.tokens)))
    assert entry.form == FORM | {"box_subject_id": "7", "refresh_token": "spent"}
    assert entry.headers["content-type"] == "application/x-www-form-urlencoded"
    assert entry.key[:3] == (endpoint.url, "service", "box_subject_id=7")
    assert list(endpoint.ledger.by_key().values()) == [[entry]]
    assert entry.finished is not None
    assert entry.started <= entry.finished
    endpoint.ledger.clear()
    assert len(endpoint.ledger) == endpoint.ledger.max_in_flight == 0


async def test_no_secret_shows_in_the_repr_of_what_is_kept(endpoint: FakeTokenEndpoint) -> None:
    await post(endpoint, FORM | {"refresh_token": "spent-one"})
    shown = repr([endpoint, endpoint.ledger, list(endpoint.ledger), list(endpoint.tokens.values())])
    assert "hush" not in shown
    assert "spent-one" not in shown
    assert next(iter(endpoint.tokens)) not in shown


def test_a_rule_is_waived_for_a_reason(endpoint: FakeTokenEndpoint) -> None:
    with pytest.raises(ValueError, match="write it down"):
        endpoint.ledger.waive("flights", because="")
