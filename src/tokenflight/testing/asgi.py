"""The ASGI way to a double."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from tokenflight.testing.exchange import AskerGoneError, Handler, Reply, Request

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]


def asgi_app(handler: Handler) -> ASGIApp:
    """Return *handler* as an ASGI 3 application, for uvicorn, httpx.ASGITransport or starlette's TestClient."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "http":
            request = await _request(scope, receive)
            try:
                reply = await handler(request)
                try:
                    await _respond(reply, send, request.method)
                finally:
                    reply.ended()
            except AskerGoneError:
                return
        else:
            raise RuntimeError(f"a double speaks http, not {scope['type']}")

    return app


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _request(scope: Message, receive: Receive) -> Request:
    body = bytearray()
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    headers = tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"])
    host = dict(headers).get("host", "testserver")
    path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1").partition("?")[0]
    query = scope.get("query_string", b"").decode("latin-1")
    url = f"{scope.get('scheme', 'http')}://{host}{path}" + (f"?{query}" if query else "")
    return Request(method=scope["method"], url=url, headers=headers, body=bytes(body), gone=_gone(receive))


def _gone(receive: Receive) -> Callable[[], Awaitable[None]]:
    async def gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    return gone


async def _respond(reply: Reply, send: Send, method: str) -> None:
    if reply.fault is not None or reply.cut is not None or reply.raw is not None:
        raise RuntimeError("this act has no ASGI form: reach the double by its transport() or serve()")
    fields, body = reply.framed(method)
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    if reply.drops is not None:
        for start in range(0, len(body), reply.drops.size):
            await reply.drops.pause()
            chunk = body[start : start + reply.drops.size]
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        body = b""
    await send({"type": "http.response.body", "body": body})
