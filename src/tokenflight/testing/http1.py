"""HTTP/1.1 as a server of tests speaks it (RFC 9112): requests in, replies out, faults included."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final

import anyio
from anyio.abc import ByteStream
from anyio.streams.tls import TLSAttribute

from tokenflight.testing.exchange import Pairs, Reply, Request

_MAX_HEAD: Final = 256 * 1024
_GO_ON: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class RequestReader:
    """Read one request after another off a connection."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._certificate = stream.extra(TLSAttribute.peer_certificate_binary, None)  # noqa: S610 - this is anyio's
        self._buffer = bytearray()

    async def read(self, base: str, gone: Callable[[], Awaitable[None]]) -> Request | None:
        """Return the next request; None where the connection ends, or what comes is not HTTP. *base* is our URL."""
        try:
            method, target, headers = _parsed(await self._until(b"\r\n\r\n"))
            body = await self._body(dict(headers))
        except (anyio.EndOfStream, ValueError):
            return None
        scheme = base.partition("://")[0]
        url = f"{scheme}://{dict(headers).get('host', '127.0.0.1')}{target}" if target.startswith("/") else target
        certificate = self._certificate
        return Request(method=method, url=url, headers=headers, body=body, gone=gone, client_certificate=certificate)

    async def _body(self, headers: dict[str, str]) -> bytes:
        chunked = headers.get("transfer-encoding", "").lower() == "chunked"
        length = int(headers.get("content-length", "0"))
        if (chunked or length) and headers.get("expect", "").lower() == "100-continue":
            await self._stream.send(_GO_ON)
        return await self._chunks() if chunked else await self._exactly(length)

    async def _chunks(self) -> bytes:
        body = bytearray()
        while size := int((await self._until(b"\r\n")).partition(b";")[0], 16):
            body += await self._exactly(size)
            await self._until(b"\r\n")
        while await self._until(b"\r\n"):
            pass
        return bytes(body)

    async def _until(self, mark: bytes) -> bytes:
        start = 0
        while (end := self._buffer.find(mark, start)) < 0:
            if len(self._buffer) > _MAX_HEAD:
                raise ValueError("a request's head is longer than a server of tests reads")
            start = max(0, len(self._buffer) - len(mark) + 1)
            self._buffer += await self._stream.receive()
        found = bytes(self._buffer[:end])
        del self._buffer[: end + len(mark)]
        return found

    async def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._buffer += await self._stream.receive()
        found = bytes(self._buffer[:size])
        del self._buffer[:size]
        return found


async def send(stream: ByteStream, request: Request, reply: Reply) -> bool:
    """Send *reply*; return whether the connection may serve another request."""
    if reply.raw is not None:
        await _in_drops(stream, b"", reply.raw, reply)
        return False
    headers, body = reply.framed(request.method)
    if reply.chunked and reply.status not in (204, 304):
        headers = (*headers, ("transfer-encoding", "chunked"))
        body = body if request.method == "HEAD" else _in_chunks(body)
    await _in_drops(stream, _head(reply.status, headers), body if reply.cut is None else body[: reply.cut], reply)
    last = "close" in (request.header("connection") or "").lower() or "close" in (reply.header("connection") or "")
    return reply.cut is None and not last


async def _in_drops(stream: ByteStream, head: bytes, body: bytes, reply: Reply) -> None:
    drops = reply.drops
    if drops is None:
        await stream.send(head + body)
        return
    if not drops.head:
        await stream.send(head)
        head = b""
    rest = head + body
    for start in range(0, len(rest), drops.size):
        await drops.pause()
        await stream.send(rest[start : start + drops.size])


def _in_chunks(body: bytes) -> bytes:
    return (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n"


def _parsed(head: bytes) -> tuple[str, str, Pairs]:
    first, *lines = head.decode("latin-1").lstrip("\r\n").split("\r\n")
    method, target, version = first.split(" ")
    if not version.startswith("HTTP/1."):
        raise ValueError("this is not HTTP/1")
    fields = (line.partition(":") for line in lines)
    return method, target, tuple((name.strip().lower(), value.strip()) for name, _, value in fields)


def _head(status: int, headers: Pairs) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unnamed"
    lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode("latin-1")
