"""What a 401 costs: one renewal for all who met it, one more send for each, and no storm where it never ends."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import anyio
import httpx
import pytest
from tests.kit.harbour import Harbour, at_once, calling, fleet, harbour, soon

from tokenflight import TokenRequestError
from tokenflight.model.events import RenewalRefused, TokenRejected
from tokenflight.testing import Answer, ApiEntry, Delay, Forbidden, Redirect, Straggle, Unauthorized
from tokenflight.testing.acts import Act

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("hushed")]

LATENCY = 0.05


@pytest.fixture
async def port() -> AsyncIterator[Harbour]:
    async with harbour() as port:
        port.endpoint.always(Delay(LATENCY))
        yield port


def late_by(seconds: float) -> Callable[[ApiEntry], Act]:
    """Judge each of 200 requests at once, and spread the answers evenly over that time."""
    numbers = itertools.count()
    return lambda entry: Straggle(seconds * (next(numbers) % 200) / 200)


@pytest.mark.parametrize("straggling", [0.0, 10 * LATENCY], ids=["together", "straggling"])
@pytest.mark.parametrize("auths", [1, 50])
async def test_200_refusals_of_one_revoked_token_are_one_renewal_and_200_good_answers(
    port: Harbour, straggling: float, auths: int
) -> None:
    async with port.provider() as tokens, port.api() as served:
        one = tokens.auth()
        async with fleet(*(one if auths == 1 else tokens.auth() for _ in range(max(auths, 10)))) as apis:
            revoked = await tokens.token()
            port.endpoint.revoke()
            served.app.always(late_by(straggling))
            got = await at_once(*[partial(apis[number % len(apis)].get, served.url) for number in range(200)])
    assert [answer.status_code for answer in got if isinstance(answer, httpx.Response)] == [200] * 200
    assert port.requests == 2
    first = [entry for entry in served.sent() if entry.headers["authorization"] == revoked.header]
    assert len(first) >= 150
    assert len(served.sent()) == len(first) + 200


BLAMING = [
    Unauthorized(),
    Unauthorized("Bearer"),
    Unauthorized('Bearer realm="api", error="invalid_token", error_description="no, \\"never\\""'),
    Unauthorized("bearer error=invalid_token"),
    Unauthorized('Basic realm="old"', 'Bearer realm="new"'),
    Unauthorized('DPoP algs="ES256", error="invalid_token"'),
]


@pytest.mark.parametrize("refusal", BLAMING, ids=["none", "bare", "quoted", "token", "two", "dpop"])
async def test_an_api_that_always_says_401_costs_two_token_requests_and_disturbs_no_other(
    port: Harbour, refusal: Act
) -> None:
    async with port.provider() as tokens, port.api() as broken, port.api() as healthy:
        broken.app.always(refusal)
        async with fleet(*[tokens.auth(origins=[broken.url, healthy.url])] * 2) as apis:
            statuses: list[int] = []
            for _ in range(60):
                got = await at_once(*[partial(apis[0].get, broken.url)] * 5, partial(apis[1].get, healthy.url))
                statuses += [answer.status_code for answer in got if isinstance(answer, httpx.Response)]
    assert statuses == ([401] * 5 + [200]) * 60
    assert port.requests == 2
    assert len(broken.sent()) <= 300 + 5
    assert healthy.statuses == [200] * 60


async def test_each_renewal_that_a_stubborn_api_does_not_get_is_an_event(port: Harbour) -> None:
    async with port.provider() as tokens, port.api() as broken:
        broken.app.always(Unauthorized())
        async with calling(tokens.auth()) as api:
            for _ in range(5):
                assert (await api.get(broken.url)).status_code == 401
        rejected, refused = await port.told(TokenRejected), await port.told(RenewalRefused)
        with pytest.raises(TokenRequestError) as caught:
            await tokens.renew(rejected=await tokens.token(), origin=broken.url.rstrip("/"))
    assert (len(rejected), len(refused)) == (5, 4)
    assert {event.reason for event in refused} == {"rejected"}
    assert caught.value.reason == "rejected"
    assert 50 < (caught.value.retry_after or 0) <= 60


async def test_tokens_that_are_revoked_again_and_again_cost_one_renewal_each(port: Harbour) -> None:
    async with port.provider() as tokens, port.api() as served, calling(tokens.auth()) as api:
        for _ in range(10):
            got = await at_once(*[partial(api.post, served.url, content=b"order")] * 20)
            assert {answer.status_code for answer in got if isinstance(answer, httpx.Response)} == {200}
            port.endpoint.revoke()
    assert port.requests == 10
    assert [entry.status for entry in served.sent()].count(200) == 200


@pytest.mark.parametrize(
    "answer",
    [
        Forbidden("orders:write"),
        Unauthorized('Bearer error="insufficient_scope"'),
        Unauthorized('Basic realm="gateway"'),
        Unauthorized("Negotiate"),
    ],
    ids=["403", "scope", "basic", "negotiate"],
)
async def test_what_another_token_would_meet_as_well_passes_through(port: Harbour, answer: Act) -> None:
    async with port.provider() as tokens, port.api() as served, calling(tokens.auth()) as api:
        served.app.script(answer)
        assert (await api.get(served.url)).status_code in {401, 403}
        assert (await api.get(served.url)).status_code == 200
    assert port.requests == 1
    assert len(served.sent()) == 2


async def test_407_passes_through(port: Harbour) -> None:
    async with port.provider() as tokens, port.api() as served, calling(tokens.auth()) as api:
        served.app.script(Answer(407, headers={"proxy-authenticate": "Bearer"}))
        assert (await api.get(served.url)).status_code == 407
    assert port.requests == 1


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_another_origin_that_a_redirect_leads_to_sees_no_token_and_its_401_renews_none(
    port: Harbour, code: int
) -> None:
    async with port.provider() as tokens, port.api() as served, port.api() as other:
        served.app.always(Redirect(other.url, status=code))
        async with calling(tokens.auth(), follow_redirects=True) as api:
            await tokens.token()
            assert (await api.post(served.url, content=b"order")).status_code == 401
    assert port.requests == 1
    assert [entry.token for entry in other.sent()] == [None]
    assert len(served.sent()) == 1


async def test_a_redirect_within_the_origin_heals_as_any_request(port: Harbour) -> None:
    async with port.provider() as tokens, port.api() as served:
        served.app.always(lambda entry: Redirect("/new") if entry.path == "/" else None)
        async with calling(tokens.auth(), follow_redirects=True) as api:
            await tokens.token()
            port.endpoint.revoke()
            assert (await api.post(served.url, content=b"order")).status_code == 200
    assert port.requests == 2
    assert [(entry.path, entry.status) for entry in served.sent()] == [
        ("/", 307),
        ("/new", 401),
        ("/", 307),
        ("/new", 200),
    ]


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "DELETE", "PATCH"])
async def test_any_method_heals(port: Harbour, method: str) -> None:
    async with port.provider() as tokens, port.api() as served, calling(tokens.auth()) as api:
        await tokens.token()
        port.endpoint.revoke()
        assert (await api.request(method, served.url)).status_code == 200
    assert [(entry.method, entry.status) for entry in served.sent()] == [(method, 401), (method, 200)]
    assert port.requests == 2


async def test_a_pool_of_one_connection_heals_too_whatever_the_401_holds(port: Harbour) -> None:
    large = Unauthorized('Bearer error="invalid_token"', content="no" * 500_000)
    async with port.provider() as tokens, port.api() as served:
        one: dict[str, Any] = {"limits": httpx.Limits(max_connections=1)}
        async with calling(tokens.auth(), **one) as api:
            served.app.script(large)
            with anyio.fail_after(20):
                got = await at_once(*[partial(api.get, served.url)] * 20)
    assert [answer.status_code for answer in got if isinstance(answer, httpx.Response)] == [200] * 20
    assert port.requests == 2


async def test_a_failed_renewal_gives_the_401_back_and_keeps_what_is_held_for_others(port: Harbour) -> None:
    async with port.provider() as tokens, port.api() as broken, port.api() as healthy:
        held = await tokens.token()
        broken.app.script(Unauthorized())
        async with calling(tokens.auth(origins=[broken.url, healthy.url])) as api:
            port.endpoint.down()
            assert (await api.get(broken.url)).status_code == 401
            assert (await api.get(healthy.url)).status_code == 200
            port.endpoint.up()
        assert await tokens.token() is held


@pytest.mark.long
@pytest.mark.parametrize("refusal", BLAMING, ids=["none", "bare", "quoted", "token", "two", "dpop"])
async def test_300_calls_over_most_of_a_minute_cost_two_token_requests(port: Harbour, refusal: Act) -> None:
    async with port.provider() as tokens, port.api() as broken, port.api() as healthy:
        broken.app.always(refusal)
        async with calling(tokens.auth(origins=[broken.url, healthy.url])) as api:
            for _ in range(300):
                assert (await api.get(broken.url)).status_code == 401
                assert (await api.get(healthy.url)).status_code == 200
                await anyio.sleep(0.17)
    assert port.requests == 2
    await soon(lambda: not port.endpoint.ledger.in_flight)
