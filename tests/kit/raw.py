"""A loopback server that reads HTTP/1.1 by hand and answers whatever bytes a test says, or none."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.abc
from anyio.streams.buffered import BufferedByteReceiveStream
from anyio.streams.tls import TLSListener
from attrs import Factory, define, frozen


@frozen(kw_only=True)
class Received:
    """One request as it came: the head's bytes, and the body without its framing."""

    head: bytes
    body: bytes

    @property
    def target(self) -> str:
        return self.head.split(b" ", 2)[1].decode()

    @property
    def lines(self) -> list[bytes]:
        return self.head.split(b"\r\n")[1:-2]

    def header(self, name: str) -> str | None:
        found = [
            line.partition(b":")[2] for line in self.lines if line.lower().startswith(name.lower().encode() + b":")
        ]
        return ", ".join(value.strip().decode("latin-1") for value in found) if found else None


Stream = anyio.abc.ByteStream
Answer = Callable[[Stream, Received], Awaitable[Any]]


@define(eq=False)
class RawServer:
    """What a running server has seen."""

    url: str
    port: int
    received: list[Received] = Factory(list)
    connections: int = 0
    _asked: anyio.Event = Factory(anyio.Event)

    def take(self, received: Received) -> None:
        self.received.append(received)
        self._asked.set()

    async def asked(self) -> None:
        """Return when the first request has come."""
        await self._asked.wait()


def reply(status: int = 200, body: bytes = b"", *lines: str) -> bytes:
    """Return an answer with its length and the header *lines*."""
    head = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}", *lines]
    return "\r\n".join([*head, "", ""]).encode() + body


def always(answer: bytes) -> Answer:
    """Answer every request with the same bytes."""

    async def answering(stream: Stream, received: Received) -> None:
        await stream.send(answer)

    return answering


async def reset(stream: Stream) -> None:
    """End a connection with RST."""
    raw: socket.socket = stream.extra(anyio.abc.SocketAttribute.raw_socket)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await stream.aclose()


class _Listener(TLSListener):
    """Shake hands, and let go without a word of those who leave in the middle."""

    @staticmethod
    async def handle_handshake_error(exc: BaseException, stream: anyio.abc.AnyByteStream) -> None:
        await anyio.aclose_forcefully(stream)
        if not isinstance(exc, Exception):
            raise exc


@asynccontextmanager
async def raw_server(answer: Answer, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[RawServer]:
    """Serve until the block ends; connections are kept alive unless *answer* closes its stream."""
    plain = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = plain.extra(anyio.abc.SocketAttribute.local_port)
    listener = plain if tls is None else _Listener(plain, tls, standard_compatible=False)
    server = RawServer(url=f"{'https' if tls else 'http'}://127.0.0.1:{port}", port=port)

    async def serve(stream: Stream) -> None:
        server.connections += 1
        async with stream:
            reader = BufferedByteReceiveStream(stream)
            try:
                while True:
                    received = await _receive(reader)
                    server.take(received)
                    await answer(stream, received)
            except (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError, anyio.ClosedResourceError):
                return

    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve)
        try:
            yield server
        finally:
            group.cancel_scope.cancel()


async def _receive(reader: BufferedByteReceiveStream) -> Received:
    head = await reader.receive_until(b"\r\n\r\n", 1 << 20) + b"\r\n\r\n"
    received = Received(head=head, body=b"")
    if received.header("transfer-encoding") == "chunked":
        return Received(head=head, body=await _chunks(reader))
    length = int(received.header("content-length") or 0)
    return Received(head=head, body=await reader.receive_exactly(length) if length else b"")


async def _chunks(reader: BufferedByteReceiveStream) -> bytes:
    body = b""
    while size := int(await reader.receive_until(b"\r\n", 64), 16):
        body += await reader.receive_exactly(size)
        await reader.receive_exactly(2)
    await reader.receive_exactly(2)
    return body
