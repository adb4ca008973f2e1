"""Whether a request that failed may have reached its server: what it spent is spent then."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import anyio
import httpx
import pytest
import trustme
from tests.kit.raw import Received, Stream, always, raw_server, reply, reset

from tokenflight import OAuthClient, Secret, TokenKey
from tokenflight.model.failure import Failure
from tokenflight.protocol.dialect import Dialect
from tokenflight.protocol.wire import TokenAnswer, TokenRequest, parse
from tokenflight.transport.clock import SystemClock
from tokenflight.transport.endpoint import send, token_client
from tokenflight.transport.exchange import MAX_ANSWER

pytestmark = pytest.mark.anyio
CLOCK = SystemClock()
GOOD = b'{"access_token":"t","token_type":"Bearer","expires_in":60,"refresh_token":"r"}'


async def exchange(http: httpx.AsyncClient, url: str, within: float = 5.0) -> TokenAnswer | Failure:
    headers = {"content-type": "application/x-www-form-urlencoded", "accept-encoding": "identity"}
    request = TokenRequest(url=url, headers=headers, body=b"grant_type=refresh_token&refresh_token=r1")
    return await send(http, request, clock=CLOCK, deadline=CLOCK.now() + within)


async def failed(http: httpx.AsyncClient, url: str, within: float = 5.0) -> Failure:
    failure = await exchange(http, url, within)
    assert isinstance(failure, Failure)
    return failure


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with token_client() as client:
        yield client


async def silent(stream: Stream, received: Received) -> None:
    await anyio.sleep_forever()


async def gone(stream: Stream, received: Received) -> None:
    await stream.aclose()


async def reset_after_reading(stream: Stream, received: Received) -> None:
    await reset(stream)


async def half_a_head(stream: Stream, received: Received) -> None:
    await stream.send(b"HTTP/1.1 200 OK\r\nContent-Le")
    await stream.aclose()


async def half_a_body(stream: Stream, received: Received) -> None:
    await stream.send(reply(200, GOOD)[:-5])
    await stream.aclose()


async def a_body_that_never_ends(stream: Stream, received: Received) -> None:
    await stream.send(reply(200, GOOD)[:-5])
    await anyio.sleep_forever()


LOST: list[tuple[Callable[..., Any], str]] = [
    (silent, "timeout"),
    (gone, "reset"),
    (reset_after_reading, "reset"),
    (half_a_head, "reset"),
    (half_a_body, "cut"),
    (a_body_that_never_ends, "timeout"),
    (always(b"HTTP/1.1 fine\r\n\r\n"), "protocol"),
    (always(reply(200, b"x", "Content-Encoding: gzip")), "encoded"),
    (always(reply(200, b" " * (MAX_ANSWER + 1))), "too_large"),
]


@pytest.mark.parametrize(("answer", "reason"), LOST, ids=[f"{n}-{case[1]}" for n, case in enumerate(LOST)])
async def test_what_was_sent_and_not_answered_whole_is_lost(
    http: httpx.AsyncClient, answer: Callable[..., Any], reason: str
) -> None:
    async with raw_server(answer) as server:
        failure = await failed(http, server.url, 0.3 if reason == "timeout" else 5.0)
    assert (failure.reason, failure.lost) == (reason, True)
    assert len(server.received) == 1


async def test_a_kept_connection_that_the_server_closes_at_the_request_is_lost_too(http: httpx.AsyncClient) -> None:
    answers = [always(reply(200, GOOD)), gone]

    async def in_turn(stream: Stream, received: Received) -> None:
        await answers.pop(0)(stream, received)

    async with raw_server(in_turn) as server:
        assert isinstance(await exchange(http, server.url), TokenAnswer)
        failure = await failed(http, server.url)
    assert (failure.reason, failure.lost) == ("reset", True)


async def test_what_could_not_be_sent_is_not(http: httpx.AsyncClient) -> None:
    async with raw_server(silent) as server:
        pass
    refused = await failed(http, server.url)
    assert (refused.reason, refused.lost) == ("connect", False)
    unknown = await failed(http, "https://no-such-host.invalid/token")
    assert unknown.lost is False


async def test_nor_is_what_a_server_said_no_to_in_whole(http: httpx.AsyncClient) -> None:
    async with raw_server(always(reply(307, b"", "Location: https://elsewhere.test/"))) as server:
        assert (await failed(http, server.url)).lost is False
    async with raw_server(always(reply(400, b"x", "Content-Encoding: gzip"))) as server:
        assert isinstance(await exchange(http, server.url), TokenAnswer)


async def test_a_handshake_that_fails_or_never_ends_sends_nothing(http: httpx.AsyncClient) -> None:
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    async with raw_server(silent, tls=tls) as server:
        failure = await failed(http, server.url)
    assert (failure.reason, failure.lost) == ("tls", False)
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as mute, anyio.create_task_group() as tasks:
        tasks.start_soon(_accept_and_say_nothing, mute)
        port = mute.extra(anyio.abc.SocketAttribute.local_port)
        failure = await failed(http, f"https://127.0.0.1:{port}/token", 0.3)
        assert (failure.reason, failure.lost) == ("timeout", False)
        tasks.cancel_scope.cancel()


async def _accept_and_say_nothing(listener: Any) -> None:
    async def hold(stream: Any) -> None:
        async with stream:
            await anyio.sleep_forever()

    await listener.serve(hold)


@pytest.mark.parametrize(("answer", "reason"), [(always(reply(407)), "proxy"), (silent, "timeout"), (gone, "reset")])
async def test_a_proxy_that_makes_no_way_was_told_nothing_that_is_spent(
    answer: Callable[..., Any], reason: str
) -> None:
    async with raw_server(answer) as proxy, httpx.AsyncClient(proxy=proxy.url) as mine:
        failure = await failed(mine, "https://auth.test/token", 0.3 if reason == "timeout" else 5.0)
    assert failure.lost is False
    assert [received.head.split(b" ")[0] for received in proxy.received] == [b"CONNECT"]


async def test_a_request_through_a_tunnel_is_lost_like_any_other() -> None:
    authority = trustme.CA()
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server_side)
    client_side = ssl.create_default_context()
    authority.configure_trust(client_side)

    async def tunnel(stream: Stream, received: Received) -> None:
        await stream.send(b"HTTP/1.1 200 Connected\r\n\r\n")
        async with await anyio.connect_tcp("127.0.0.1", server.port) as onward, anyio.create_task_group() as tasks:
            tasks.start_soon(_pump, stream, onward, tasks.cancel_scope)
            tasks.start_soon(_pump, onward, stream, tasks.cancel_scope)

    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(raw_server(silent, tls=server_side))
        proxy = await stack.enter_async_context(raw_server(tunnel))
        mine = await stack.enter_async_context(httpx.AsyncClient(proxy=proxy.url, verify=client_side))
        failure = await failed(mine, server.url, 1.0)
        assert (failure.reason, failure.lost) == ("timeout", True)
        assert len(server.received) == 1


async def _pump(source: Any, sink: Any, scope: anyio.CancelScope) -> None:
    try:
        async for part in source:
            await sink.send(part)
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        pass
    scope.cancel()


class Mute(httpx.AsyncBaseTransport):
    """A transport that tells nothing of its steps."""

    def __init__(self, act: Callable[[], Any]) -> None:
        self.act = act

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = self.act()
        return answer if isinstance(answer, httpx.Response) else await answer


async def _raise(error: Exception) -> httpx.Response:
    raise error


class Breaking(httpx.AsyncByteStream):
    def __init__(self, error: Exception) -> None:
        self.error = error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"{"
        raise self.error


MUTE = [
    (httpx.ConnectError("x"), "connect", False),
    (httpx.PoolTimeout("x"), "pool", False),
    (httpx.ProxyError("x"), "proxy", False),
    (httpx.LocalProtocolError("x"), "request", False),
    (KeyError("x"), "transport", False),
    (httpx.ReadError("x"), "reset", True),
    (httpx.WriteError("x"), "reset", True),
    (httpx.ReadTimeout("x"), "timeout", True),
    (httpx.RemoteProtocolError("x"), "protocol", True),
]


@pytest.mark.parametrize(("error", "reason", "lost"), MUTE, ids=[type(case[0]).__name__ for case in MUTE])
async def test_where_a_transport_does_not_tell_the_kind_of_failure_does(
    error: Exception, reason: str, lost: bool
) -> None:
    async with httpx.AsyncClient(transport=Mute(lambda: _raise(error))) as mine:
        failure = await failed(mine, "https://auth.test/token")
    assert (failure.reason, failure.lost) == (reason, lost)


async def test_one_that_never_answers_counts_as_having_sent() -> None:
    async with httpx.AsyncClient(transport=Mute(anyio.sleep_forever)) as mine:
        failure = await failed(mine, "https://auth.test/token", 0.05)
    assert (failure.reason, failure.lost) == ("timeout", True)


@pytest.mark.parametrize("error", [KeyError("x"), httpx.ReadTimeout("x"), httpx.ReadError("x"), OSError("x")])
async def test_once_an_answer_has_begun_whatever_breaks_it_off_loses_it(error: Exception) -> None:
    answer = httpx.Response(200, stream=Breaking(error))
    async with httpx.AsyncClient(transport=Mute(lambda: answer)) as mine:
        assert (await failed(mine, "https://auth.test/token")).lost is True


async def test_a_closed_client_sent_nothing() -> None:
    async with httpx.AsyncClient() as mine:
        pass
    assert (await failed(mine, "https://auth.test/token")).lost is False


def _fails(*args: Any) -> Any:
    raise LookupError


@pytest.mark.parametrize(
    ("status", "body", "dialect", "lost"),
    [
        (200, b"<html>", Dialect(), True),
        (200, b"{}", Dialect(), True),
        (200, b'{"access_token": "t", "token_type": "N_A"}', Dialect(), True),
        (200, GOOD, Dialect(parse=_fails), True),
        (400, GOOD, Dialect(parse=_fails), False),
        (200, b'{"error": "invalid_grant"}', Dialect(), False),
        (400, b'{"error": "invalid_grant"}', Dialect(), False),
        (502, b"<html>", Dialect(), False),
    ],
)
def test_an_answer_that_brings_nothing_is_lost_where_the_server_thinks_that_it_did(
    status: int, body: bytes, dialect: Dialect, lost: bool
) -> None:
    client = OAuthClient(client_id="c", token_endpoint="https://auth.test/token", authentication="s", dialect=dialect)
    answer = TokenAnswer(status=status, headers={"content-type": "application/json"}, body=body)
    failure = parse(answer, client=client, key=TokenKey(client="c"), wall=0.0, redact=[Secret("hush-hush")])
    assert isinstance(failure, Failure)
    assert failure.lost is lost
