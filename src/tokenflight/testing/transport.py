"""The httpx way to a double: a transport in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Final

import httpx

from tokenflight.model.clock import Clock
from tokenflight.testing.exchange import Fault, Handler, Reply, Request

_FAULTS: Final[dict[Fault, tuple[type[httpx.TransportError], str]]] = {
    "refused": (httpx.ConnectError, "All connection attempts failed"),
    "reset": (httpx.ReadError, "Connection reset by peer"),
    "lost": (httpx.RemoteProtocolError, "Server disconnected without sending a response."),
}


class HandlerTransport(httpx.AsyncBaseTransport):
    """Let *handler* answer, without a socket.

    Answers are streams, as those of a real transport are, and a fault is the exception that httpx would raise. A
    client's read timeout is kept, on *clock*. What the handler itself raises goes through untouched.
    """

    def __init__(self, handler: Handler, clock: Clock) -> None:
        self._handler = handler
        self._clock = clock

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send *request*."""
        reply = await self._in_time(request, await _read(request))
        try:
            if reply.fault is not None:
                kind, text = _FAULTS[reply.fault]
                raise kind(text, request=request)
            if reply.raw is not None:
                raise httpx.RemoteProtocolError("illegal status line", request=request)
        except httpx.TransportError:
            reply.ended()
            raise
        headers, body = reply.framed(request.method)
        if reply.drops is None and reply.cut is None:
            reply.ended()
        return httpx.Response(
            reply.status, headers=list(headers), stream=_Body(body, reply), extensions={"http_version": b"HTTP/1.1"}
        )

    async def _in_time(self, request: httpx.Request, read: Request) -> Reply:
        limit = request.extensions.get("timeout", {}).get("read")
        if limit is None:
            return await self._handler(read)
        with self._clock.timeout_at(self._clock.now() + limit):
            return await self._handler(read)
        raise httpx.ReadTimeout("The read operation timed out", request=request)


class _Body(httpx.AsyncByteStream):
    """A reply's body as it arrives."""

    def __init__(self, body: bytes, reply: Reply) -> None:
        self._body = body
        self._reply = reply
        self._end: Callable[[], None] = reply.ended

    async def __aiter__(self) -> AsyncIterator[bytes]:
        reply, body = self._reply, self._body
        if reply.cut is not None:
            body = body[: reply.cut]
        if reply.drops is None:
            yield body
        else:
            for start in range(0, len(body), reply.drops.size):
                await reply.drops.pause()
                yield body[start : start + reply.drops.size]
        if reply.cut is not None:
            raise httpx.RemoteProtocolError("peer closed connection without sending complete message body")

    async def aclose(self) -> None:
        self._end()


async def _read(request: httpx.Request) -> Request:
    """Read a request off its stream, which is spent afterwards as it is with a socket."""
    if not isinstance(request.stream, httpx.AsyncByteStream):
        raise TypeError("a synchronous stream was sent by an AsyncClient: give it bytes or an async iterable")
    body = b"".join([chunk async for chunk in request.stream])
    headers = tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in request.headers.raw)
    return Request(method=request.method, url=str(request.url), headers=headers, body=body)
