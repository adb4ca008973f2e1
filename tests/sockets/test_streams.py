"""Nothing is held while httpx has the request: long answers, many requests beside them, and flows that change hands."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import anyio
import httpx
import pytest
from tests.kit.harbour import Harbour, at_once, calling, fleet, harbour

from tokenflight.testing import Delay, Drip

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("hushed")]


@pytest.fixture
async def port() -> AsyncIterator[Harbour]:
    async with harbour() as port:
        yield port


@pytest.mark.parametrize("revoked", [False, True], ids=["good", "revoked"])
async def test_100_posts_pass_beside_a_long_answer_on_the_same_auth(port: Harbour, revoked: bool) -> None:
    async with port.provider() as tokens, port.api(content="x" * 1_000) as served:
        served.app.always(lambda entry: Drip(size=10, pause=0.01) if entry.path == "/events" else None)
        async with (
            fleet(*[tokens.auth()] * 5) as apis,
            apis[0].stream("GET", f"{served.url}events") as events,
        ):
            received = events.aiter_bytes()
            first = await anext(received)
            if revoked:
                port.endpoint.revoke()
            got = await at_once(*[partial(api.post, served.url, content=b"o") for api in apis for _ in range(20)])
            assert not events.is_stream_consumed or not events.is_closed
            rest = b"".join([part async for part in received])
    assert [answer.status_code for answer in got if isinstance(answer, httpx.Response)] == [200] * 100
    assert first + rest == b"x" * 1_000
    assert port.requests == 1 + revoked


async def test_a_long_answer_that_follows_a_renewal_may_be_closed_by_another_task(port: Harbour) -> None:
    async with port.provider() as tokens, port.api(content="x" * 1_000) as served, calling(tokens.auth()) as api:
        served.app.always(lambda entry: Drip(size=10, pause=0.05) if entry.path == "/events" else None)
        await tokens.token()
        port.endpoint.revoke()
        opened: list[httpx.Response] = []

        async def open_it() -> None:
            opened.append(await api.send(api.build_request("GET", f"{served.url}events"), stream=True))

        for act in (open_it, lambda: opened[0].aclose()):
            async with anyio.create_task_group() as group:
                group.start_soon(act)
        assert (await api.get(served.url)).status_code == 200
    assert opened[0].status_code == 200
    assert port.requests == 2


@pytest.mark.parametrize("yields", [1, 2])
async def test_a_flow_may_be_driven_by_two_tasks_and_closed_by_a_third_at_each_yield(
    port: Harbour, yields: int
) -> None:
    async with port.provider() as tokens, port.api() as served:
        request = httpx.Request("GET", served.url)
        flow = tokens.auth().async_auth_flow(request)

        async def begin() -> None:
            await anext(flow)

        async def refuse() -> None:
            port.endpoint.revoke()
            await flow.asend(httpx.Response(401, request=request))

        for act in [*[begin, refuse][:yields], flow.aclose]:
            async with anyio.create_task_group() as group:
                group.start_soon(act)
        with pytest.raises(StopAsyncIteration):
            await anext(flow)
        with anyio.fail_after(5):
            async with calling(tokens.auth()) as api:
                assert (await api.get(served.url)).status_code == 200
    assert port.requests == yields


async def test_who_is_cancelled_in_the_middle_of_a_renewal_leaves_it_to_the_next(port: Harbour) -> None:
    async with port.provider() as tokens, port.api() as served, calling(tokens.auth()) as api:
        await tokens.token()
        port.endpoint.revoke()
        port.endpoint.always(Delay(0.3))
        with anyio.move_on_after(0.1) as scope:
            await api.get(served.url)
        assert scope.cancelled_caught
        assert (await api.get(served.url)).status_code == 200
    assert port.requests == 2
