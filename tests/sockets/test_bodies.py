"""A body goes out a second time byte for byte, or not at all; with a real provider before a real endpoint."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.kit.bodies import BODIES, REFUSED, close
from tests.kit.harbour import Harbour, calling, harbour, soon

from tokenflight.testing import Delay

pytestmark = pytest.mark.anyio


@pytest.fixture
async def port() -> AsyncIterator[Harbour]:
    async with harbour() as port:
        yield port


@pytest.mark.parametrize(("body", "twice"), BODIES)
async def test_the_second_send_is_byte_identical_or_not_made(
    port: Harbour, body: Callable[[], dict[str, Any]], twice: bool
) -> None:
    made = body()
    async with port.provider() as tokens, port.api() as served, calling(tokens.auth()) as api:
        revoked = await tokens.token()
        port.endpoint.revoke()
        answer = await api.post(served.url, **made)
        close(made)
        await soon(lambda: not tokens.status()[0].in_flight)
        assert (await api.post(served.url)).status_code == 200
    assert answer.status_code == (200 if twice else 401)
    assert [entry.status for entry in served.sent()] == ([401, 200, 200] if twice else [401, 200])
    sends = served.sent()[:-1]
    assert len({entry.sha256 for entry in sends}) == 1
    assert len({(entry.headers.get("content-type"), entry.headers.get("content-length")) for entry in sends}) == 1
    assert sends[0].headers["authorization"] == revoked.header
    assert port.requests == 2


@pytest.mark.parametrize("content", REFUSED)
async def test_a_synchronous_stream_is_refused_by_httpx_itself_and_nothing_is_sent(
    port: Harbour, content: Callable[[], Any]
) -> None:
    async with port.provider() as tokens, port.api() as served, calling(tokens.auth()) as api:
        with pytest.raises(RuntimeError):
            await api.post(served.url, content=content())
    assert served.sent() == []


async def test_an_open_file_as_content_is_sent_once_and_the_next_request_is_good(port: Harbour, tmp_path: Path) -> None:
    path = tmp_path / "order"
    path.write_bytes(b"a\nb\n")
    async with port.provider() as tokens, port.api() as served, calling(tokens.auth()) as api:
        await tokens.token()
        port.endpoint.revoke()
        async with await anyio.open_file(path, "rb") as file:
            assert (await api.post(served.url, content=file)).status_code == 401
        await soon(lambda: not tokens.status()[0].in_flight)
        async with await anyio.open_file(path, "rb") as file:
            assert (await api.post(served.url, content=file)).status_code == 200
    assert [entry.body for entry in served.sent()] == [b"a\nb\n"] * 2
    assert port.requests == 2


async def test_while_the_renewal_for_a_body_that_goes_once_is_in_the_air_the_held_token_is_handed_out(
    port: Harbour,
) -> None:
    async with port.provider() as tokens, port.api() as served, calling(tokens.auth()) as api:
        revoked = await tokens.token()
        port.endpoint.revoke()
        port.endpoint.always(Delay(0.2))
        made = BODIES[5].values[0]()
        assert (await api.post(served.url, **made)).status_code == 401
        assert tokens.status()[0].in_flight
        assert await tokens.token() is revoked
        assert (await api.post(served.url, content=b"again")).status_code == 200
    assert port.requests == 2
