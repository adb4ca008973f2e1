"""One exchange over a real socket: every failure a value, nothing of the client's but its transport."""

from __future__ import annotations

import gc
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import respx
import trustme
from tests.kit.raw import Received, Stream, always, raw_server, reply, reset

from tokenflight.errors import (
    ConfigurationError,
    EndpointUnreachableError,
    MalformedResponseError,
    TokenEndpointError,
    TokenRequestError,
)
from tokenflight.model.failure import Failure
from tokenflight.protocol.wire import TokenAnswer, TokenRequest
from tokenflight.transport import exchange as exchanging
from tokenflight.transport.clock import SystemClock
from tokenflight.transport.endpoint import checked_client, drive, fetch, send, token_client
from tokenflight.transport.exchange import MAX_ANSWER

pytestmark = pytest.mark.anyio
CLOCK = SystemClock()
CANARY = "c4n4ry-s3cret"
OK = b'{"access_token":"t"}'
HEADERS = {
    "accept": "application/json",
    "accept-encoding": "identity",
    "authorization": f"Basic {CANARY}",
    "content-type": "application/x-www-form-urlencoded",
    "user-agent": "tokenflight/test",
}
FORM = f"grant_type=client_credentials&client_secret={CANARY}".encode()


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with token_client() as client:
        yield client


def token_request(url: str, **headers: str) -> TokenRequest:
    return TokenRequest(url=url, headers=HEADERS | headers, body=FORM)


async def exchange(http: httpx.AsyncClient, url: str, within: float = 5.0) -> TokenAnswer | Failure:
    return await send(http, token_request(url), clock=CLOCK, deadline=CLOCK.now() + within)


async def failed(http: httpx.AsyncClient, url: str, within: float = 5.0) -> Failure:
    failure = await exchange(http, url, within)
    assert isinstance(failure, Failure), failure
    assert CANARY not in repr(failure)
    assert failure.detail.isprintable()
    return failure


async def answered(http: httpx.AsyncClient, url: str) -> TokenAnswer:
    answer = await exchange(http, url)
    assert isinstance(answer, TokenAnswer), answer
    return answer


async def test_an_answer_comes_with_status_lower_case_headers_and_body(http: httpx.AsyncClient) -> None:
    async with raw_server(always(reply(400, OK, "X-Request-ID: r1", "Retry-After: 3"))) as server:
        answer = await answered(http, f"{server.url}/token?tenant=a")
    assert (answer.status, answer.body) == (400, OK)
    assert answer.headers == {"content-length": str(len(OK)), "x-request-id": "r1", "retry-after": "3"}
    assert server.received[0].target == "/token?tenant=a"


async def test_the_request_has_its_own_headers_host_and_length_and_nothing_else(http: httpx.AsyncClient) -> None:
    async with raw_server(always(reply(200, OK))) as server:
        await answered(http, f"{server.url}/token")
    names = sorted(line.partition(b":")[0].decode().lower() for line in server.received[0].lines)
    assert names == sorted([*HEADERS, "host", "content-length"])
    assert server.received[0].body == FORM


async def test_nothing_of_a_users_client_is_sent() -> None:
    async with (
        raw_server(always(reply(200, OK))) as server,
        httpx.AsyncClient(
            headers={"x-mine": "1"}, cookies={"a": "b"}, params={"q": "1"}, auth=("user", "pass"), timeout=0.001
        ) as mine,
    ):
        mine.base_url = httpx.URL("http://elsewhere.invalid")
        answer = await exchange(mine, f"{server.url}/token")
    assert isinstance(answer, TokenAnswer)
    (request,) = server.received
    assert request.target == "/token"
    assert request.header("authorization") == HEADERS["authorization"]
    assert {request.header(name) for name in ("x-mine", "cookie")} == {None}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed_even_where_the_client_would(status: int) -> None:
    async with raw_server(always(reply(200, OK))) as evil:
        there = reply(status, b"", f"Location: {evil.url}/steal")
        async with raw_server(always(there)) as server, httpx.AsyncClient(follow_redirects=True) as mine:
            failure = await failed(mine, f"{server.url}/token")
    assert evil.connections == 0
    assert (failure.error, failure.reason, failure.status) == (TokenEndpointError, "redirected", status)
    assert not failure.transient
    assert server.url in failure.detail
    assert evil.url not in failure.detail


@pytest.mark.parametrize("location", ["http://[bad", "https://\x7f/", "x" * 70_000])
async def test_a_redirect_to_nowhere_is_a_redirect_too(http: httpx.AsyncClient, location: str) -> None:
    async with raw_server(always(reply(302, b"", f"Location: {location}"))) as server:
        failure = await failed(http, f"{server.url}/token")
    assert (failure.error, failure.reason, failure.transient) == (TokenEndpointError, "redirected", False)


async def test_a_refused_connection_is_transient(http: httpx.AsyncClient, free_port: int) -> None:
    failure = await failed(http, f"http://127.0.0.1:{free_port}/token")
    assert (failure.error, failure.reason) == (EndpointUnreachableError, "connect")
    assert failure.transient
    assert failure.counts
    assert f"http://127.0.0.1:{free_port}" in failure.detail


async def test_a_name_that_does_not_resolve_says_so(http: httpx.AsyncClient) -> None:
    failure = await failed(http, "http://no-such-host.invalid/token")
    assert (failure.error, failure.reason) == (EndpointUnreachableError, "dns")


async def test_a_reset_before_any_answer_is_a_reset(http: httpx.AsyncClient) -> None:
    async def answer(stream: Stream, received: Received) -> None:
        await reset(stream)

    async with raw_server(answer) as server:
        failure = await failed(http, server.url)
    assert (failure.error, failure.reason, failure.transient) == (EndpointUnreachableError, "reset", True)


async def test_a_connection_closed_without_an_answer_is_a_reset(http: httpx.AsyncClient) -> None:
    async def answer(stream: Stream, received: Received) -> None:
        await stream.aclose()

    async with raw_server(answer) as server:
        failure = await failed(http, server.url)
    assert failure.reason == "reset"


@pytest.mark.parametrize("rst", [True, False])
async def test_headers_that_break_off_are_a_reset(http: httpx.AsyncClient, rst: bool) -> None:
    async def answer(stream: Stream, received: Received) -> None:
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Le")
        await anyio.sleep(0.02)
        await (reset(stream) if rst else stream.aclose())

    async with raw_server(answer) as server:
        failure = await failed(http, server.url)
    assert failure.reason == "reset"


@pytest.mark.parametrize("rst", [True, False])
async def test_a_body_that_breaks_off_is_cut(http: httpx.AsyncClient, rst: bool) -> None:
    async def answer(stream: Stream, received: Received) -> None:
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
        await anyio.sleep(0.02)
        await (reset(stream) if rst else stream.aclose())

    async with raw_server(answer) as server:
        failure = await failed(http, server.url)
    assert (failure.error, failure.reason, failure.transient) == (EndpointUnreachableError, "cut", True)


async def test_a_garbage_status_line_is_no_http(http: httpx.AsyncClient) -> None:
    async with raw_server(always(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")) as server:
        failure = await failed(http, server.url)
    assert (failure.error, failure.reason, failure.transient) == (MalformedResponseError, "protocol", True)


async def test_an_endless_header_is_no_http(http: httpx.AsyncClient) -> None:
    async def answer(stream: Stream, received: Received) -> None:
        await stream.send(b"HTTP/1.1 200 OK\r\nX-Long: ")
        while True:
            await stream.send(b"x" * 65_536)

    async with raw_server(answer) as server:
        failure = await failed(http, server.url)
    assert failure.reason == "protocol"


@pytest.mark.parametrize("framing", ["Content-Length: 99999999999", "Transfer-Encoding: chunked"])
async def test_an_endless_body_is_read_up_to_the_limit(http: httpx.AsyncClient, framing: str) -> None:
    sent = 0

    async def answer(stream: Stream, received: Received) -> None:
        nonlocal sent
        await stream.send(f"HTTP/1.1 200 OK\r\n{framing}\r\n\r\n".encode())
        part = b"10000\r\n" + b"x" * 65_536 + b"\r\n" if "chunked" in framing else b"x" * 65_536
        while True:
            await stream.send(part)
            sent += 65_536

    async with raw_server(answer) as server:
        failure = await failed(http, server.url)
    assert (failure.error, failure.reason, failure.transient) == (MalformedResponseError, "too_large", True)
    assert sent < 16 * MAX_ANSWER


async def test_a_body_of_exactly_the_limit_is_taken(http: httpx.AsyncClient) -> None:
    async with raw_server(always(reply(200, b"x" * MAX_ANSWER))) as server:
        assert len((await answered(http, server.url)).body) == MAX_ANSWER


@pytest.mark.parametrize("encoding", ["gzip", "br", "gzip, gzip", "Deflate"])
async def test_an_encoded_answer_is_refused_unread(http: httpx.AsyncClient, encoding: str) -> None:
    async with raw_server(always(reply(200, b"\x1f\x8b", f"Content-Encoding: {encoding}"))) as server:
        failure = await failed(http, server.url)
    assert (failure.error, failure.reason, failure.transient) == (MalformedResponseError, "encoded", True)


async def test_an_answer_that_says_identity_is_taken(http: httpx.AsyncClient) -> None:
    async with raw_server(always(reply(200, OK, "Content-Encoding: identity"))) as server:
        assert (await answered(http, server.url)).body == OK


@pytest.mark.parametrize(
    "spoiled", [reply(429, b"\x1f\x8b", "Content-Encoding: gzip"), reply(503, b"x" * (MAX_ANSWER + 1))]
)
async def test_an_answer_that_says_no_is_judged_by_its_status_where_its_body_is_refused(
    http: httpx.AsyncClient, spoiled: bytes
) -> None:
    async with raw_server(always(spoiled)) as server:
        answer = await answered(http, server.url)
    assert answer.status in {429, 503}
    assert answer.body == b""


@pytest.mark.parametrize("drip", [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n"])
async def test_an_answer_that_drips_ends_at_the_deadline(http: httpx.AsyncClient, drip: bytes) -> None:
    async def answer(stream: Stream, received: Received) -> None:
        await stream.send(drip)
        while True:
            await anyio.sleep(0.02)
            await stream.send(b"x")

    async with raw_server(answer) as server:
        begun = CLOCK.now()
        failure = await failed(http, server.url, within=0.15)
    assert 0.15 <= CLOCK.now() - begun < 1.0
    assert (failure.error, failure.reason, failure.transient, failure.counts) == (
        EndpointUnreachableError,
        "timeout",
        True,
        True,
    )


async def test_a_deadline_in_the_past_sends_nothing(http: httpx.AsyncClient) -> None:
    async with raw_server(always(reply(200, OK))) as server:
        failure = await failed(http, server.url, within=-1.0)
    assert failure.reason == "timeout"
    assert server.received == []


async def test_a_tls_handshake_that_never_ends_leaves_no_socket(http: httpx.AsyncClient) -> None:
    closed = anyio.Event()

    async def silent(stream: Stream) -> None:
        async with stream:
            try:
                while True:
                    await stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                closed.set()

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, silent)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        failure = await failed(http, f"https://127.0.0.1:{port}/token", within=0.1)
        with anyio.fail_after(2):
            await closed.wait()
        group.cancel_scope.cancel()
    assert failure.reason == "timeout"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_an_unknown_authority_is_tls_and_says_what_openssl_said(http: httpx.AsyncClient, host: str) -> None:
    async with raw_server(always(reply(200, OK)), tls=server_tls("127.0.0.1")) as server:
        failure = await failed(http, f"https://{host}:{server.port}/token")
    assert (failure.error, failure.reason, failure.transient) == (EndpointUnreachableError, "tls", True)
    assert "certificate" in failure.detail
    assert server.received == []


async def test_plain_text_on_a_tls_port_is_tls(http: httpx.AsyncClient) -> None:
    async def hello(stream: Stream) -> None:
        async with stream:
            await stream.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            await anyio.sleep(0.05)

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, hello)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        failure = await failed(http, f"https://127.0.0.1:{port}/token")
        group.cancel_scope.cancel()
    assert failure.reason == "tls"


async def test_a_private_authority_works_through_a_users_client() -> None:
    authority = trustme.CA()
    context = ssl.create_default_context()
    authority.configure_trust(context)
    async with (
        raw_server(always(reply(200, OK)), tls=server_tls("127.0.0.1", authority)) as server,
        httpx.AsyncClient(verify=context) as mine,
    ):
        assert (await answered(mine, f"{server.url}/token")).body == OK


async def test_a_crowded_pool_of_the_users_is_transient_and_does_not_count() -> None:
    async def stall(stream: Stream, received: Received) -> None:
        await anyio.sleep_forever()

    limits = httpx.Limits(max_connections=1)
    async with (
        raw_server(stall) as server,
        httpx.AsyncClient(limits=limits) as mine,
        anyio.create_task_group() as group,
    ):
        group.start_soon(failed, mine, server.url, 30.0)
        await server.asked()
        failure = await failed(mine, server.url, within=0.1)
        group.cancel_scope.cancel()
    assert (failure.error, failure.reason, failure.transient, failure.counts) == (
        EndpointUnreachableError,
        "pool",
        True,
        False,
    )


async def test_a_proxy_that_refuses_is_told_from_the_endpoint() -> None:
    async with raw_server(always(reply(407))) as proxy, httpx.AsyncClient(proxy=proxy.url) as mine:
        failure = await failed(mine, "https://idp.invalid/token")
    assert failure.reason == "proxy"


async def test_our_own_client_reads_no_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free_port: int
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login evil password evil\n")
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port}")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    request = TokenRequest(url="", headers={"user-agent": "t"}, body=b"")
    async with raw_server(always(reply(200, OK))) as server, token_client() as http:
        request = TokenRequest(url=f"{server.url}/token", headers={"user-agent": "t"}, body=b"")
        answer = await send(http, request, clock=CLOCK, deadline=CLOCK.now() + 5)
    assert isinstance(answer, TokenAnswer)
    assert server.received[0].header("authorization") is None


async def test_our_own_client_keeps_no_cookie(http: httpx.AsyncClient) -> None:
    async with raw_server(always(reply(200, OK, "Set-Cookie: box_visitor=1; Path=/"))) as server:
        answer = await answered(http, server.url)
        await answered(http, server.url)
    assert "set-cookie" not in answer.headers
    assert len(http.cookies.jar) == 0
    assert [request.header("cookie") for request in server.received] == [None, None]


async def test_a_kept_alive_connection_is_used_again(http: httpx.AsyncClient) -> None:
    async with raw_server(always(reply(200, OK))) as server:
        for _ in range(5):
            await answered(http, server.url)
    assert server.connections == 1


@respx.mock
async def test_an_answer_of_respx_is_taken() -> None:
    respx.post("https://idp.example/token").respond(200, json={"access_token": "t"})
    async with httpx.AsyncClient() as mine:
        answer = await answered(mine, "https://idp.example/token")
    assert (answer.status, answer.body) == (200, OK.replace(b'":"', b'":"'))


@respx.mock
async def test_what_respx_asserts_passes_untouched() -> None:
    async with httpx.AsyncClient() as mine:
        with pytest.raises(AssertionError):
            await exchange(mine, "https://idp.example/token")


@pytest.mark.parametrize(("size", "reason"), [(3, None), (MAX_ANSWER + 1, "too_large")])
async def test_an_answer_of_a_mock_transport_obeys_the_same_limit(size: int, reason: str | None) -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(200, content=b"x" * size))
    async with httpx.AsyncClient(transport=transport) as mine:
        outcome = await exchange(mine, "https://idp.example/token")
    assert getattr(outcome, "reason", None) == reason


async def test_a_transport_that_sends_twice_sends_the_form_twice() -> None:
    bodies = list[bytes]()

    class Again(httpx.AsyncHTTPTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            assert isinstance(request.stream, httpx.AsyncByteStream)
            for _ in range(2):
                bodies.append(b"".join([part async for part in request.stream]))
            return httpx.Response(200, content=OK)

    async with httpx.AsyncClient(transport=Again()) as mine:
        await answered(mine, "https://idp.example/token")
    assert bodies == [FORM, FORM]


async def test_an_answer_that_a_mock_transport_streams_is_taken() -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield OK[:5]
        yield OK[5:]

    transport = httpx.MockTransport(lambda request: httpx.Response(200, content=parts()))
    async with httpx.AsyncClient(transport=transport) as mine:
        assert (await answered(mine, "https://idp.example/token")).body == OK


async def test_an_assertion_while_the_body_is_read_passes_untouched() -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b""
        raise AssertionError("the test's own")

    transport = httpx.MockTransport(lambda request: httpx.Response(200, content=parts()))
    async with httpx.AsyncClient(transport=transport) as mine:
        with pytest.raises(AssertionError, match="the test's own"):
            await exchange(mine, "https://idp.example/token")


def raising(error: Exception) -> httpx.AsyncClient:
    def handle(request: httpx.Request) -> httpx.Response:
        raise error

    return httpx.AsyncClient(transport=httpx.MockTransport(handle))


@pytest.mark.parametrize(
    ("error", "reason", "transient"),
    [
        (httpx.ConnectTimeout(CANARY), "timeout", True),
        (httpx.ConnectError(CANARY), "connect", True),
        (httpx.WriteError(CANARY), "reset", True),
        (httpx.RemoteProtocolError(CANARY), "protocol", True),
        (httpx.DecodingError(CANARY), "encoded", True),
        (httpx.LocalProtocolError(f"Illegal header value b'{CANARY}'"), "request", False),
        (UnicodeEncodeError("ascii", CANARY, 0, 1, CANARY), "request", False),
        (httpx.UnsupportedProtocol(CANARY), "request", False),
        (httpx.InvalidURL(CANARY), "request", False),
        (KeyError(CANARY), "transport", True),
        (ExceptionGroup(CANARY, [ValueError(CANARY)]), "transport", True),
        (TimeoutError(CANARY), "timeout", True),
        (ConnectionResetError(CANARY), "reset", True),
    ],
)
async def test_whatever_a_transport_raises_becomes_a_value_that_says_nothing_of_it(
    error: Exception, reason: str, transient: bool
) -> None:
    async with raising(error) as mine:
        failure = await failed(mine, "https://idp.example/token")
    assert (failure.reason, failure.transient) == (reason, transient)
    assert issubclass(failure.error, TokenRequestError)


@pytest.mark.parametrize("value", [f"{CANARY}\r\nx: y", f"{CANARY}\0", f"{CANARY}\ud800"])
async def test_a_header_that_cannot_be_sent_leaks_nothing(http: httpx.AsyncClient, value: str) -> None:
    async with raw_server(always(reply(200, OK))) as server:
        request = token_request(server.url, authorization=value)
        failure = await send(http, request, clock=CLOCK, deadline=CLOCK.now() + 5)
    assert isinstance(failure, Failure)
    assert (failure.reason, failure.transient) == ("request", False)
    assert CANARY not in repr(failure)
    assert server.received == []


async def test_a_hook_that_raises_for_status_is_named_and_not_its_text() -> None:
    async def strict(response: httpx.Response) -> None:
        response.raise_for_status()

    async with (
        raw_server(always(reply(400, OK))) as server,
        httpx.AsyncClient(event_hooks={"response": [strict]}) as mine,
    ):
        failure = await failed(mine, server.url)
    assert failure.reason == "transport"
    assert "HTTPStatusError" in failure.detail
    assert "hooks" in (failure.hint or "")


async def test_a_hook_that_reads_the_answer_does_no_harm() -> None:
    async def reader(response: httpx.Response) -> None:
        await response.aread()

    async with (
        raw_server(always(reply(200, OK))) as server,
        httpx.AsyncClient(event_hooks={"response": [reader]}) as mine,
    ):
        assert (await answered(mine, server.url)).body == OK


async def test_a_client_that_was_closed_says_what_to_do() -> None:
    async with httpx.AsyncClient() as mine:
        pass
    failure = await failed(mine, "https://idp.example/token")
    assert failure.error is ConfigurationError
    assert "keep it open" in failure.detail


async def test_cancelled_exchanges_leave_no_socket_and_good_ones_follow(http: httpx.AsyncClient) -> None:
    stalled = True

    async def answer(stream: Stream, received: Received) -> None:
        await stream.send(b"HTTP/1.1 200 OK\r\n")
        if stalled:
            await stream.receive()
        await stream.send(reply(200, OK).partition(b"\r\n")[2])

    async with raw_server(answer) as server:
        await exchange(http, server.url, 0.05)
        before = sockets()
        for batch in range(20):
            async with anyio.create_task_group() as group:
                for place in range(50):
                    group.start_soon(exchange, http, server.url, 0.001 * ((7 * place + batch) % 40))
        stalled = False
        for _ in range(100):
            await answered(http, server.url)
        gc.collect()
        assert sockets() <= before + 4


async def test_connections_whose_making_was_cancelled_leave_neither_sockets_nor_places_in_the_pool() -> None:
    authority, context = trustme.CA(), ssl.create_default_context()
    authority.configure_trust(context)
    tls = server_tls("127.0.0.1", authority)
    async with raw_server(always(reply(200, OK)), tls=tls) as server, httpx.AsyncClient(verify=context) as mine:
        await answered(mine, server.url)
        before = sockets()
        for batch in range(20):
            async with anyio.create_task_group() as group:
                for place in range(10):
                    group.start_soon(exchange, mine, server.url, 0.002 * ((7 * place + batch) % 25))
        await answered(mine, server.url)
        pool = mine._transport._pool  # type: ignore[attr-defined]  # there is no other way to see its places
        assert all(connection.is_idle() for connection in pool.connections), pool.connections
        assert sockets() <= before + 2 * len(pool.connections)


async def test_a_connection_that_is_complete_too_late_is_given_up_where_httpcore_notices(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed, step = list[str](), exchanging._Connecting.__call__

    async def late(self: Any, event: str, info: dict[str, Any]) -> None:
        if event == "connection.connect_tcp.complete":
            scope.cancel()
        await step(self, event, info)
        closed.append(event)

    monkeypatch.setattr(exchanging._Connecting, "__call__", late)
    async with raw_server(always(reply(200, OK))) as server:
        with anyio.CancelScope() as scope:
            await exchange(http, server.url)
        assert scope.cancelled_caught
        assert closed == ["connection.connect_tcp.started"]
        assert http._transport._pool.connections == []  # type: ignore[attr-defined]  # see above


async def test_causes_that_go_in_circles_are_followed_once() -> None:
    first, second = httpx.ConnectError("a"), OSError("b")
    first.__cause__, second.__cause__ = second, first
    async with raising(first) as mine:
        assert (await failed(mine, "https://idp.example/token")).reason == "connect"


async def test_a_caller_that_goes_away_takes_its_connection_along(http: httpx.AsyncClient) -> None:
    closed = anyio.Event()

    async def answer(stream: Stream, received: Received) -> None:
        try:
            await stream.receive()
        finally:
            closed.set()

    async with raw_server(answer) as server, anyio.create_task_group() as group:
        group.start_soon(exchange, http, server.url, 30.0)
        await server.asked()
        group.cancel_scope.cancel()
    assert closed.is_set()


@pytest.mark.parametrize(
    ("http", "advice"),
    [
        (httpx.Client(), "pass an httpx.AsyncClient"),
        ("https://idp.example", "pass an httpx.AsyncClient"),
        (None, "pass an httpx.AsyncClient"),
    ],
)
def test_what_is_no_asynchronous_client_is_refused(http: Any, advice: str) -> None:
    with pytest.raises(ConfigurationError, match=advice):
        checked_client(http)


async def test_a_client_that_was_closed_is_refused() -> None:
    async with httpx.AsyncClient() as mine:
        pass
    with pytest.raises(ConfigurationError, match="stays open"):
        checked_client(mine)


async def test_a_client_that_carries_our_auth_is_refused() -> None:
    class Ours(httpx.Auth):
        tokenflight_source = object()

    async with httpx.AsyncClient(auth=Ours()) as mine:
        with pytest.raises(ConfigurationError, match="a client of its own"):
            checked_client(mine)


async def test_a_client_with_another_auth_is_taken() -> None:
    async with httpx.AsyncClient(auth=("user", "pass")) as mine:
        assert checked_client(mine) is mine


async def test_drive_repeats_until_there_is_no_pause_and_asks_once_per_result() -> None:
    results, asked = iter([1, 2, 3]), list[int]()

    async def attempt() -> int:
        return next(results)

    def pause(result: int) -> float | None:
        asked.append(result)
        return None if result == 3 else 0.01

    begun = CLOCK.now()
    assert await drive(attempt, pause=pause, clock=CLOCK) == 3
    assert asked == [1, 2, 3]
    assert CLOCK.now() - begun >= 0.02


async def test_drive_lets_what_an_attempt_raises_out_as_it_is() -> None:
    error = AssertionError("the test's own")

    async def attempt() -> None:
        raise error

    with pytest.raises(AssertionError) as caught:
        await drive(attempt, pause=lambda _: 0.0, clock=CLOCK)
    assert caught.value is error


async def test_drive_ends_when_it_is_cancelled_in_an_attempt_or_a_pause() -> None:
    for attempt in (anyio.sleep_forever, anyio.lowlevel.checkpoint):
        with anyio.move_on_after(0.02) as scope:
            await drive(attempt, pause=lambda _: 60.0, clock=CLOCK)
        assert scope.cancelled_caught


def server_tls(host: str, authority: trustme.CA | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    (authority or trustme.CA()).issue_cert(host).configure_cert(context)
    return context


def sockets() -> int:
    links = (entry for entry in Path("/proc/self/fd").iterdir())
    return sum(1 for link in links if _target(link).startswith("socket:"))


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""


@pytest.fixture
def free_port() -> Iterator[int]:
    with socket.socket() as taken:  # bound and not listening: refuses, and nobody else gets it
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


async def test_a_public_document_is_asked_for_with_nothing_but_who_asks(http: httpx.AsyncClient) -> None:
    async with raw_server(always(reply(404, b"{}"))) as server:
        answer = await fetch(http, f"{server.url}/keys?v=1", clock=CLOCK, deadline=CLOCK.now() + 5)
    assert isinstance(answer, TokenAnswer)
    assert (answer.status, answer.body) == (404, b"{}")
    [received] = server.received
    assert received.head.startswith(b"GET /keys?v=1 HTTP/1.1\r\n")
    assert received.body == b""
    names = sorted(line.partition(b":")[0].decode().lower() for line in received.lines)
    assert names == ["accept", "accept-encoding", "host", "user-agent"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (reply(302, b"", "Location: http://127.0.0.1:1/evil"), "redirected"),
        (reply(200, b"x" * (MAX_ANSWER + 1)), "too_large"),
        (reply(200, b"\x1f\x8b", "Content-Encoding: gzip"), "encoded"),
    ],
    ids=["redirect", "huge", "encoded"],
)
async def test_a_document_that_leads_elsewhere_or_breaks_the_limits_is_a_failure_that_names_it(
    http: httpx.AsyncClient, answer: bytes, reason: str
) -> None:
    async with raw_server(always(answer)) as server:
        failure = await fetch(http, f"{server.url}/keys", clock=CLOCK, deadline=CLOCK.now() + 5)
    assert isinstance(failure, Failure)
    assert failure.reason == reason
    assert failure.detail.startswith(f"the document at {server.url} ")
    assert len(server.received) == 1


async def test_another_endpoint_is_called_by_its_name(http: httpx.AsyncClient) -> None:
    async with raw_server(always(reply(307, b"", "Location: /"))) as server:
        request = token_request(server.url)
        failure = await send(http, request, clock=CLOCK, deadline=CLOCK.now() + 5, endpoint="revocation")
    assert isinstance(failure, Failure)
    assert failure.detail.startswith(f"the revocation endpoint {server.url} redirects")
    assert failure.hint == "check endpoints.revocation: set it to the address that the server means"
