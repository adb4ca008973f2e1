"""Whatever the wire does to a token request: a typed error for who waits, an event, and the held token lives on."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx
import pytest
import trustme
from tests.kit.harbour import AT_ONCE, Harbour, at_once, calling, harbour, sockets, soon
from tests.kit.raw import Received, Stream, raw_server, reply

from tokenflight import (
    EndpointUnreachableError,
    MalformedResponseError,
    RetryPolicy,
    Token,
    TokenEndpointError,
    TokenProvider,
    TokenRequestError,
)
from tokenflight.model.events import FlightFailed, TokenLanded
from tokenflight.testing import (
    Answer,
    AsUsual,
    Cut,
    Drip,
    FakeTokenEndpoint,
    Gzip,
    Hang,
    LoseReply,
    Raw,
    Redirect,
    Reset,
)
from tokenflight.testing.acts import Act

pytestmark = pytest.mark.anyio

IMPATIENT = RetryPolicy(attempts=2, base=0.01, cap=0.02, attempt_timeout=0.3, total_timeout=0.7)
MIB = 1024 * 1024


@pytest.fixture
async def port() -> AsyncIterator[Harbour]:
    async with harbour() as port:
        yield port


async def fails(
    port: Harbour, tokens: TokenProvider, held: Token, kind: type[TokenRequestError], reason: str, *, transient: bool
) -> TokenRequestError:
    """See a renewal fail with a typed error and an event, while the held token is served."""
    (error,) = await at_once(tokens.renew)
    assert isinstance(error, kind)
    assert (error.reason, error.transient) == (reason, transient)
    assert await tokens.token() is held
    (event,) = await port.told(FlightFailed)
    assert (event.reason, event.transient) == (reason, transient)
    assert event.token_left is not None
    return error


FAULTS = [
    pytest.param(Reset(), EndpointUnreachableError, "reset", id="reset before"),
    pytest.param(LoseReply(), EndpointUnreachableError, "reset", id="lost reply"),
    pytest.param(Cut(AsUsual(), at=10), EndpointUnreachableError, "cut", id="cut body"),
    pytest.param(Raw(b"HTTP/1.1 200 OK\r\nContent-Le"), EndpointUnreachableError, "reset", id="cut head"),
    pytest.param(Raw(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), MalformedResponseError, "protocol", id="no http"),
    pytest.param(Drip(pause=0.05), EndpointUnreachableError, "timeout", id="drip"),
    pytest.param(Drip(pause=0.05, head=True), EndpointUnreachableError, "timeout", id="drip of the head"),
    pytest.param(Hang(), EndpointUnreachableError, "timeout", id="hang"),
    pytest.param(Gzip(), MalformedResponseError, "encoded", id="gzip"),
    pytest.param(Gzip(Gzip()), MalformedResponseError, "encoded", id="gzip twice"),
    pytest.param(Answer(200, b" " * (MIB + 1)), MalformedResponseError, "too_large", id="1 MiB and a byte"),
    pytest.param(Answer(200, b"x" * (8 * MIB)), MalformedResponseError, "too_large", id="8 MiB"),
]


@pytest.mark.parametrize(("act", "kind", "reason"), FAULTS)
async def test_a_fault_is_a_typed_error_and_the_held_token_lives_on(
    port: Harbour, act: Act, kind: type[TokenRequestError], reason: str
) -> None:
    async with port.provider(retry=IMPATIENT) as tokens:
        held = await tokens.token()
        port.endpoint.always(act)
        error = await fails(port, tokens, held, kind, reason, transient=True)
        assert error.attempts == 2
        assert port.requests == 3
        port.endpoint.always()
        await anyio.sleep(0.03)
        assert (await tokens.renew(rejected=held)).header != held.header
    await soon(lambda: port.endpoint.ledger.in_flight == 0)


async def test_a_refused_connection_is_a_typed_error_and_the_held_token_lives_on(port: Harbour) -> None:
    async with port.provider(retry=IMPATIENT) as tokens:
        held = await tokens.token()
        port.endpoint.down()
        await fails(port, tokens, held, EndpointUnreachableError, "connect", transient=True)
        port.endpoint.up()
        await anyio.sleep(0.03)
        assert (await tokens.renew(rejected=held)).header != held.header


@pytest.mark.parametrize("code", [300, 301, 302, 303, 304, 307, 308])
async def test_a_redirect_is_permanent_and_names_the_setting(port: Harbour, code: int) -> None:
    async with harbour() as evil, port.provider() as tokens:
        held = await tokens.token()
        port.endpoint.always(Redirect(evil.url, status=code))
        error = await fails(port, tokens, held, TokenEndpointError, "redirected", transient=False)
    assert evil.requests == 0
    assert port.requests == 2
    assert "token_endpoint" in (error.hint or "")


@pytest.mark.parametrize("known", [False, True], ids=["unknown", "known"])
async def test_an_authority_counts_as_far_as_the_client_knows_it(known: bool) -> None:
    authority = trustme.CA()
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(serving)
    trusted = ssl.create_default_context()
    if known:
        authority.configure_trust(trusted)
    endpoint = FakeTokenEndpoint()
    async with endpoint.serve(ssl_context=serving) as url, calling(None, verify=trusted) as http:
        port = Harbour(endpoint, url)
        async with port.provider(http=http, retry=AT_ONCE) as tokens:
            (got,) = await at_once(tokens.token)
    assert port.requests == known
    if known:
        assert isinstance(got, Token)
        return
    assert isinstance(got, EndpointUnreachableError)
    assert (got.reason, got.transient, got.attempts) == ("tls", True, 3)
    assert "certificate" in str(got)


async def test_a_handshake_that_never_ends_ends_at_the_deadline_and_leaves_no_socket() -> None:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    taken: list[Any] = []

    async def take(stream: anyio.abc.SocketStream) -> None:
        taken.append(stream)
        await anyio.sleep_forever()

    async with listener, anyio.create_task_group() as serving:
        serving.start_soon(listener.serve, take)
        address = listener.extra(anyio.abc.SocketAttribute.local_port)
        port = Harbour(FakeTokenEndpoint(), f"https://127.0.0.1:{address}/token")
        before = sockets()
        async with port.provider(retry=IMPATIENT) as tokens:
            (error,) = await at_once(tokens.token)
            assert isinstance(error, EndpointUnreachableError)
            assert (error.reason, error.attempts) == ("timeout", 2)
            for stream in taken:
                await stream.aclose()
            await soon(lambda: sockets() <= before)
        serving.cancel_scope.cancel()


async def test_a_kept_connection_that_ended_while_idle_costs_nobody_a_failure(port: Harbour) -> None:
    async with port.provider() as tokens:
        held = await tokens.token()
        port.endpoint.down()
        port.endpoint.up()
        await anyio.sleep(0.05)
        assert (await tokens.renew(rejected=held)).header != held.header
        (landed,) = (await port.told(TokenLanded))[1:]
        assert await port.told(FlightFailed) == []
    assert landed.attempts == 1
    assert port.requests == 2


async def test_a_kept_connection_that_ends_as_the_request_arrives_is_healed_by_the_next_attempt() -> None:
    async def answer(stream: Stream, received: Received) -> None:
        body = b'{"access_token": "t%d", "expires_in": 3600}' % len(server.received)
        if len(server.received) == 2:
            await stream.aclose()
        else:
            await stream.send(reply(200, body, "Content-Type: application/json"))

    async with raw_server(answer) as server:
        port = Harbour(FakeTokenEndpoint(), f"{server.url}/token")
        async with port.provider(retry=AT_ONCE) as tokens:
            held = await tokens.token()
            assert (await tokens.renew(rejected=held)).header == "Bearer t3"
    assert (len(server.received), server.connections) == (3, 2)


async def test_a_wire_that_fails_while_a_token_is_held_is_noticed_by_no_request_of_an_api(port: Harbour) -> None:
    async with port.provider(retry=IMPATIENT) as tokens, port.api() as served, calling(tokens.auth()) as api:
        held = await tokens.token()
        for act in (Reset(), LoseReply(), Cut(AsUsual(), at=5), Gzip(), Raw(b"?\r\n\r\n"), Answer(502, "<html>")):
            port.endpoint.always(act)
            await at_once(tokens.renew)
            assert (await api.get(served.url)).status_code == 200
    assert served.statuses == [200] * 6
    assert {entry.headers["authorization"] for entry in served.sent()} == {held.header}


@pytest.mark.parametrize("act", [Reset(), Hang(), Gzip(), Answer(200, "<html>")], ids=["reset", "hang", "gzip", "html"])
async def test_without_a_held_token_a_request_of_an_api_fails_as_httpx_errors_do(port: Harbour, act: Act) -> None:
    port.endpoint.always(act)
    async with port.provider(retry=IMPATIENT) as tokens, port.api() as served, calling(tokens.auth()) as api:
        with pytest.raises(httpx.HTTPError) as caught:
            await api.get(served.url)
    assert isinstance(caught.value, TokenRequestError)
    assert caught.value.transient
    assert served.sent() == []
