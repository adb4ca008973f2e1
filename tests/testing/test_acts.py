from __future__ import annotations

import gzip
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import httpx
import pytest

from tokenflight.testing import (
    Act,
    Amend,
    Answer,
    Chunked,
    Cut,
    Delay,
    Drip,
    Error,
    FakeTokenEndpoint,
    Forbidden,
    Gzip,
    Hang,
    Issue,
    LoseReply,
    ProtectedApp,
    Raw,
    Redirect,
    Refuse,
    Reset,
    Straggle,
    Throttle,
    Unauthorized,
    VirtualClock,
)

pytestmark = pytest.mark.anyio

FORM = {"grant_type": "client_credentials", "client_id": "service", "client_secret": "hush"}
Ask = Callable[..., Awaitable[httpx.Response]]


@pytest.mark.parametrize(
    ("act", "status", "headers", "body"),
    [
        (Answer(), 200, {"content-length": "0"}, b""),
        (Answer(500, "oh"), 500, {"content-type": "text/plain; charset=utf-8"}, b"oh"),
        (Answer(418, b"\xff", headers={"X-A": "1"}), 418, {"x-a": "1"}, b"\xff"),
        (Answer(200, [1], headers={"Content-Type": "text/html"}), 200, {"content-type": "text/html"}, b"[1]"),
        (Error("invalid_client", "no"), 401, {}, b'{"error": "invalid_client", "error_description": "no"}'),
        (Error("slow_down", status=503), 503, {}, b'{"error": "slow_down"}'),
        (Throttle(), 429, {"content-length": "17"}, b"Too Many Requests"),
        (Throttle(1.5, status=503), 503, {"retry-after": "1.5"}, b"Service Unavailable"),
        (Redirect("https://evil.test/"), 307, {"location": "https://evil.test/"}, b""),
        (Unauthorized(), 401, {}, b""),
        (
            Unauthorized("Negotiate", 'Bearer realm="a, b"'),
            401,
            {"www-authenticate": 'Negotiate, Bearer realm="a, b"'},
            b"",
        ),
        (Forbidden(), 403, {"www-authenticate": 'Bearer error="insufficient_scope", scope="more"'}, b""),
        (Answer(204), 204, {}, b""),
        (Chunked(Answer(200, "in chunks")), 200, {}, b"in chunks"),
        (Chunked(Answer(401)), 401, {}, b""),
        (Chunked(Answer(204)), 204, {}, b""),
        (Amend(Answer(200, "as it was")), 200, {"content-type": "text/plain; charset=utf-8"}, b"as it was"),
        (
            Amend(Answer(200, "a", headers={"X-A": "1"}), status=202, headers={"x-a": "2"}, body=bytes.upper),
            202,
            {"x-a": "2"},
            b"A",
        ),
        (Drip(Answer(200, "slowly"), size=4, pause=0.001), 200, {"content-length": "6"}, b"slowly"),
        (Drip(Answer(200, "slowly"), size=40, pause=0.001, head=True), 200, {"content-length": "6"}, b"slowly"),
        (Delay(0.001, Answer(599, "late")), 599, {}, b"late"),
        (Straggle(0.001, Answer(200, "late")), 200, {}, b"late"),
    ],
)
async def test_an_answer_arrives_as_it_was_scripted(
    endpoint: FakeTokenEndpoint, ask: Ask, *, act: Act, status: int, headers: dict[str, str], body: bytes
) -> None:
    endpoint.script(act)
    response = await ask()
    assert (response.status_code, response.content) == (status, body)
    assert headers.items() <= dict(response.headers).items()
    assert [(entry.status, entry.token) for entry in endpoint.ledger] == [(status, None)]


@pytest.mark.parametrize(
    ("act", "raised", "issued"),
    [
        (Reset(), httpx.ReadError, 0),
        (LoseReply(), httpx.RemoteProtocolError, 1),
        (LoseReply(Answer(500)), httpx.RemoteProtocolError, 0),
        (Cut(at=10), httpx.RemoteProtocolError, 1),
        (Cut(Drip(size=9, pause=0.001), at=10), httpx.RemoteProtocolError, 1),
        (Raw(b"this is no HTTP\r\n\r\n"), httpx.RemoteProtocolError, 0),
    ],
)
async def test_a_fault_is_the_exception_that_httpx_raises(
    endpoint: FakeTokenEndpoint, ask: Ask, act: Act, raised: type[Exception], issued: int
) -> None:
    endpoint.script(act)
    with pytest.raises(raised):
        await ask()
    assert (len(endpoint.tokens), endpoint.ledger.in_flight) == (issued, 0)
    assert (await ask()).status_code == 200


async def test_a_token_is_issued_for_good_however_it_is_told(endpoint: FakeTokenEndpoint, ask: Ask) -> None:
    endpoint.script(Amend(headers={"content-type": "text/html"}))
    response = await ask()
    assert response.headers["content-type"] == "text/html"
    assert endpoint.is_live(response.json()["access_token"])


async def test_a_chunked_body_has_no_length_and_the_connection_lives_on(endpoint: FakeTokenEndpoint) -> None:
    endpoint.script(Chunked(Answer(401)), Chunked(Drip(Answer(200, "abc"), size=2, pause=0.001)), Chunked(Answer(200)))
    async with endpoint.serve() as url, httpx.AsyncClient() as http:
        answers = [await http.get(url), await http.get(url), await http.head(url), await http.post(url, data=FORM)]
    assert [answer.headers.get("transfer-encoding") for answer in answers] == ["chunked", "chunked", "chunked", None]
    assert [answer.content for answer in answers[:3]] == [b"", b"abc", b""]
    assert "content-length" not in answers[0].headers


async def test_a_body_is_compressed_unasked(endpoint: FakeTokenEndpoint) -> None:
    endpoint.script(Gzip(Answer(200, "squeezed")))
    async with httpx.AsyncClient(transport=endpoint.transport()) as http, http.stream("GET", endpoint.url) as response:
        raw = b"".join([chunk async for chunk in response.aiter_raw()])
    assert (gzip.decompress(raw), response.headers["content-encoding"]) == (b"squeezed", "gzip")


async def test_an_endpoint_that_is_down_refuses_and_comes_back(endpoint: FakeTokenEndpoint, ask: Ask) -> None:
    assert (await ask()).status_code == 200
    endpoint.down()
    for _ in range(2):
        with pytest.raises(httpx.ConnectError):
            await _retried(ask, httpx.ReadError, httpx.RemoteProtocolError)
    endpoint.up()
    assert (await _retried(ask, httpx.ConnectError)).status_code == 200


async def _retried(ask: Ask, *errors: type[Exception]) -> httpx.Response:
    """Ask until the server's tasks have caught up with what it was told."""
    for _ in range(100):
        try:
            return await ask()
        except errors:
            await anyio.sleep(0.001)
    return await ask()


async def test_a_refusal_in_memory_is_a_failed_connect(endpoint: FakeTokenEndpoint) -> None:
    endpoint.script(Refuse())
    async with httpx.AsyncClient(transport=endpoint.transport()) as http:
        with pytest.raises(httpx.ConnectError):
            await http.post(endpoint.url, data=FORM)
    assert [(entry.status, entry.fault) for entry in endpoint.ledger] == [(None, "refused")]


async def test_who_hangs_is_let_go_when_the_asker_leaves(endpoint: FakeTokenEndpoint, ask: Ask) -> None:
    endpoint.hang()
    with anyio.move_on_after(0.05) as scope:
        await ask()
    assert scope.cancelled_caught
    for _ in range(100):
        if not endpoint.ledger.in_flight:
            break
        await anyio.sleep(0.001)
    assert [(entry.status, entry.finished is None) for entry in endpoint.ledger] == [(None, False)]
    endpoint.up()
    assert (await ask()).status_code == 200


async def test_delays_in_memory_pass_in_virtual_time() -> None:
    clock = VirtualClock()
    endpoint = FakeTokenEndpoint(clock=clock, expires_in=100)
    endpoint.script(Delay(5), Straggle(5), Drip(Answer(200, "abc"), pause=2))
    async with httpx.AsyncClient(transport=endpoint.transport(), timeout=None) as http:
        for _ in range(3):
            await clock.run(http.post, endpoint.url)
    assert [(entry.started, entry.finished) for entry in endpoint.ledger] == [(0.0, 5.0), (5.0, 10.0), (10.0, 16.0)]


async def test_a_read_timeout_is_kept_in_virtual_time() -> None:
    clock = VirtualClock()
    endpoint = FakeTokenEndpoint(clock=clock)
    endpoint.script(Hang(), Delay(4.9))
    async with httpx.AsyncClient(transport=endpoint.transport(), timeout=5) as http:
        with pytest.raises(httpx.ReadTimeout):
            await clock.run(http.post, endpoint.url)
        assert (clock.now(), endpoint.ledger.in_flight) == (5.0, 0)
        await clock.run(http.post, endpoint.url)


async def test_what_a_scripted_function_raises_goes_through_the_transport(endpoint: FakeTokenEndpoint) -> None:
    def refuse(entry: Any) -> Act | None:
        raise AssertionError(f"request {entry.number} was not expected")

    endpoint.always(refuse)
    async with httpx.AsyncClient(transport=endpoint.transport()) as http:
        with pytest.raises(AssertionError, match="request 1 was not expected"):
            await http.post(endpoint.url)
    assert endpoint.ledger.in_flight == 0


async def test_the_asgi_app_answers(endpoint: FakeTokenEndpoint) -> None:
    endpoint.script(Issue(), Drip(Answer(200, "abc"), pause=0), Answer(204))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(endpoint.asgi)) as http:
        responses = [await http.post("http://auth.test/oauth/token?a=b", data=FORM) for _ in range(3)]
        assert (await http.head("http://auth.test/")).content == b""
    assert [response.status_code for response in responses] == [200, 200, 204]
    assert responses[1].text == "abc"
    assert endpoint.ledger[0].request.url == "http://auth.test/oauth/token?a=b"
    assert endpoint.is_live(responses[0].json()["access_token"])


@pytest.mark.parametrize("act", [Reset(), LoseReply(), Cut(), Raw(b"")])
async def test_what_asgi_cannot_say_is_an_error(endpoint: FakeTokenEndpoint, act: Act) -> None:
    endpoint.script(act)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(endpoint.asgi)) as http:
        with pytest.raises(RuntimeError, match="no ASGI form"):
            await http.post("http://auth.test/", data=FORM)
    assert endpoint.ledger.in_flight == 0


async def test_the_asgi_app_has_a_lifespan_and_notices_a_disconnect(endpoint: FakeTokenEndpoint) -> None:
    sent: list[str] = []
    messages = ["lifespan.startup", "lifespan.shutdown", "http.request", "http.disconnect"]

    async def receive() -> dict[str, Any]:
        return {"type": messages.pop(0)}

    async def send(message: Any) -> None:
        sent.append(message["type"])

    await endpoint.asgi({"type": "lifespan"}, receive, send)
    endpoint.hang()
    await endpoint.asgi({"type": "http", "method": "GET", "path": "/", "headers": []}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert endpoint.ledger.in_flight == 0
    with pytest.raises(RuntimeError, match="not websocket"):
        await endpoint.asgi({"type": "websocket"}, receive, send)


async def test_an_api_cannot_issue(endpoint: FakeTokenEndpoint) -> None:
    app = ProtectedApp(endpoint)
    app.script(Issue())
    async with httpx.AsyncClient(transport=app.transport()) as http:
        with pytest.raises(TypeError, match="script Issue"):
            await http.get(app.url)
