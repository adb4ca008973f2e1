from __future__ import annotations

import ssl
from pathlib import Path

import anyio
import httpx
import pytest
import trustme
from tests.kit.pki import Pair, authority

from tokenflight.testing import Answer, Entry, FakeTokenEndpoint, Hang, LoopbackServer, Reply, Request

pytestmark = pytest.mark.anyio

FORM = {"grant_type": "client_credentials", "client_id": "service", "client_secret": "hush"}


async def echo(request: Request) -> Reply:
    return Reply(body=b"%s %s %s\r\n" % (request.method.encode(), request.path.encode(), request.body))


async def exchange(url: str, *pieces: bytes) -> bytes:
    """Speak raw bytes to a server, and read until it ends the connection."""
    received = b""
    async with await anyio.connect_tcp(httpx.URL(url).host, httpx.URL(url).port or 0) as stream:
        for piece in pieces:
            await stream.send(piece)
            await anyio.sleep(0.001)
        try:
            while True:
                received += await stream.receive()
        except anyio.EndOfStream:
            return received


async def test_requests_arrive_in_any_pieces_and_framings() -> None:
    server = LoopbackServer(echo)
    async with server.running():
        answer = await exchange(
            server.url,
            b"POST /a HTTP/1.1\r\nHost: 127.0.0.1:12345\r\nContent-Le",
            b"ngth: 3\r\n\r\nab",
            b"cGET /b HTTP/1.1\r\nhost: 127.0.0.1:12345\r\n\r\nPOST /c HTTP/1.1\r\nhost: 127.0.0.1:12345\r\n",
            b"transfer-encoding: chunked\r\nexpect: 100-continue\r\n\r\n",
            b"2;x=y\r\nde\r\n1\r\nf\r\n0\r\nTrailer: 1\r\n\r\n",
            b"GET /d HTTP/1.1\r\nhost: 127.0.0.1:12345\r\nconnection: close\r\n\r\n",
        )
    lines = [line for line in answer.decode().split("\r\n") if line and not line.startswith(("HTTP/1.1 2", "content-"))]
    assert lines == ["POST /a abc", "GET /b ", "HTTP/1.1 100 Continue", "POST /c def", "GET /d "]


@pytest.mark.parametrize(
    "junk", [b"\x16\x03\x01 no http\r\n\r\n", b"GET / HTTP/1.1\r\ncontent-length: x\r\n\r\n", b"GET"]
)
async def test_what_is_not_http_ends_its_connection_and_nothing_else(junk: bytes) -> None:
    server = LoopbackServer(echo)
    async with server.running():
        with anyio.fail_after(5):
            async with await anyio.connect_tcp("127.0.0.1", httpx.URL(server.url).port or 0) as stream:
                await stream.send(junk)
                await stream.send_eof()
                with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                    await stream.receive()
        async with httpx.AsyncClient() as http:
            assert (await http.get(server.url)).status_code == 200


async def test_many_connections_are_served_at_once(endpoint: FakeTokenEndpoint) -> None:
    async with endpoint.serve() as url, httpx.AsyncClient(limits=httpx.Limits(max_connections=None)) as http:

        async def ask(number: int) -> None:
            assert (await http.post(url, data=FORM | {"audience": str(number)})).status_code == 200

        async with anyio.create_task_group() as tasks:
            for number in range(100):
                tasks.start_soon(ask, number)
    assert len(endpoint.tokens) == 100


async def test_a_thousand_requests_on_one_connection_are_answered(endpoint: FakeTokenEndpoint) -> None:
    body = b"grant_type=client_credentials&client_id=a&client_secret=b"
    head = b"POST /token HTTP/1.1\r\nhost: a\r\ncontent-type: %s\r\ncontent-length: %d\r\n\r\n"
    async with endpoint.serve() as url, await anyio.connect_tcp("127.0.0.1", httpx.URL(url).port or 0) as stream:
        for _ in range(1_000):
            await stream.send(head % (b"application/x-www-form-urlencoded", len(body)) + body)
            assert (await stream.receive()).startswith(b"HTTP/1.1 200 OK")
    assert len(endpoint.ledger) == 1_000


async def test_a_large_body_goes_both_ways() -> None:
    server = LoopbackServer(echo)
    async with server.running(), httpx.AsyncClient() as http:
        response = await http.post(server.url, content=b"x" * 5_000_000)
    assert len(response.content) > 5_000_000


async def test_tls_is_served_with_a_context(endpoint: FakeTokenEndpoint) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with endpoint.serve(ssl_context=context) as url:
        assert url.startswith("https://127.0.0.1:")
        async with httpx.AsyncClient(verify=trusting) as http:
            assert (await http.post(url, data=FORM)).status_code == 200
            endpoint.hang()
            with pytest.raises(httpx.ReadTimeout):
                await http.post(url, data=FORM, timeout=0.05)
        async with httpx.AsyncClient() as stranger:
            with pytest.raises(httpx.ConnectError):
                await stranger.get(url)


@pytest.mark.parametrize("needed", [True, False], ids=["needed", "wanted"])
async def test_the_certificate_of_a_client_is_told_with_its_request(
    endpoint: FakeTokenEndpoint, tmp_path: Path, needed: bool
) -> None:
    issued = authority().client()
    pair, trusting = Pair.at(tmp_path, issued), ssl.create_default_context()
    authority().ca.configure_trust(trusting)
    bare = FORM | {"client_secret": ""}
    async with endpoint.serve(ssl_context=authority().server(needed=needed)) as url:
        async with httpx.AsyncClient(verify=trusting) as http:
            if needed:
                with pytest.raises(httpx.HTTPError):
                    await http.get(url)
            else:
                assert (await http.post(url, data=FORM)).status_code == 200
                assert (await http.post(url, data=bare)).status_code == 401
                assert endpoint.ledger[-1].request.client_certificate is None
        before = len(endpoint.ledger)
        trusting.load_cert_chain(pair.certificate, pair.key)
        async with httpx.AsyncClient(verify=trusting) as http:
            for _ in range(2):
                assert (await http.post(url, data=bare)).status_code == 200
    requests = [entry.request for entry in endpoint.ledger][before:]
    assert [request.client_certificate for request in requests] == [issued.der] * 2
    assert [request.thumbprint for request in requests] == [issued.thumbprint] * 2


async def test_what_the_block_raises_comes_out_as_it_is(endpoint: FakeTokenEndpoint) -> None:
    error = KeyError("mine")
    with pytest.raises(KeyError) as caught:
        async with endpoint.serve():
            raise error
    assert caught.value is error
    assert error.__context__ is None


async def test_what_a_handler_raises_shows_when_the_server_is_left() -> None:
    async def broken(request: Request) -> Reply:
        raise AssertionError("not expected here")

    server = LoopbackServer(broken)
    with pytest.raises(AssertionError, match="not expected here"):  # noqa: PT012 - it is the leaving that raises
        async with server.running(), httpx.AsyncClient() as http:
            with pytest.raises(httpx.RemoteProtocolError):
                await http.get(server.url)
    assert "not running" in repr(server)


async def test_leaving_ends_what_still_hangs(endpoint: FakeTokenEndpoint) -> None:
    arrived = anyio.Event()

    def hang(entry: Entry) -> Hang:
        arrived.set()
        return Hang()

    async def ask(http: httpx.AsyncClient, url: str) -> None:
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            await http.post(url, data=FORM)

    endpoint.always(hang)
    async with httpx.AsyncClient() as http, anyio.create_task_group() as tasks, endpoint.serve() as url:
        tasks.start_soon(ask, http, url)
        await arrived.wait()
    assert endpoint.ledger.in_flight == 0


async def test_one_server_goes_down_and_up_at_the_same_port() -> None:
    server = LoopbackServer(echo)
    async with server.running():
        url = server.url
        for _ in range(3):
            server.down()
            server.down()
            server.up()
            server.up()
            await anyio.sleep(0.01)
            async with httpx.AsyncClient() as http:
                assert (await http.get(url)).status_code == 200


async def test_a_reply_may_close_its_connection(endpoint: FakeTokenEndpoint) -> None:
    endpoint.always(Answer(299, "bye", headers={"connection": "close"}))
    async with endpoint.serve() as url, httpx.AsyncClient() as http:
        for _ in range(2):
            assert (await http.get(url)).status_code == 299
