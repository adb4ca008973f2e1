"""LoopbackServer: HTTP/1.1 on a port of its own, for what only a socket can say."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import anyio
from anyio.abc import ByteStream, TaskGroup
from anyio.streams.tls import TLSStream

from tokenflight.testing.exchange import AskerGoneError, Handler
from tokenflight.testing.http1 import RequestReader, send
from tokenflight.testing.wire import Wire

_BACKLOG: Final = 4096


class LoopbackServer:
    """Serve *handler* on 127.0.0.1, each connection in a task of its own, kept alive between requests.

    What the handler raises closes its connection, and leaves `running()` when that is left. With an *ssl_context* that
    asks for client certificates, a request tells which one came; a handshake that fails ends its connection.
    """

    def __init__(self, handler: Handler, *, ssl_context: ssl.SSLContext | None = None) -> None:
        self._handler = handler
        self._ssl_context = ssl_context
        self._wires: set[Wire] = set()
        self._errors: list[Exception] = []
        self._accepting = anyio.CancelScope()
        self._back: anyio.Event | None = None
        self.url = ""

    def __repr__(self) -> str:
        return f"LoopbackServer({self.url or 'not running'}, {len(self._wires)} connections)"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen while the block runs; `url` tells where. What the block raises comes out as it is."""
        listener = _listen(0)
        scheme = "http" if self._ssl_context is None else "https"
        self.url = f"{scheme}://127.0.0.1:{listener.getsockname()[1]}"
        raised: Exception | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._listen_on, listener, tasks)
            try:
                yield
            except Exception as error:
                raised = error
            finally:
                tasks.cancel_scope.cancel()
        self.url = ""
        if raised is not None:
            raise raised
        if self._errors:
            raise self._errors[0]

    def down(self) -> None:
        """Refuse connections from now on, and reset those that are open."""
        if self._back is None:
            self._back = anyio.Event()
            self._accepting.cancel()
        for wire in tuple(self._wires):
            wire.reset()

    def up(self) -> None:
        """Listen again, on the same port."""
        if self._back is not None:
            self._back.set()
            self._back = None

    async def _listen_on(self, listener: socket.socket, tasks: TaskGroup) -> None:
        address = listener.getsockname()
        while True:
            with listener, anyio.CancelScope() as self._accepting:
                if self._back is None:
                    await self._accept(listener, tasks)
            if self._back is not None:
                await self._back.wait()
            listener = _listen(address[1])

    async def _accept(self, listener: socket.socket, tasks: TaskGroup) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except BlockingIOError:
                await anyio.wait_readable(listener)
            else:
                tasks.start_soon(self._connection, Wire(sock))

    async def _connection(self, wire: Wire) -> None:
        self._wires.add(wire)
        try:
            await self._converse(wire, await self._secured(wire))
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, AskerGoneError):
            pass
        except Exception as error:
            self._errors.append(error)
        finally:
            self._wires.discard(wire)
            wire.close()

    async def _secured(self, wire: Wire) -> ByteStream:
        if self._ssl_context is None:
            return wire
        try:
            return await TLSStream.wrap(
                wire, server_side=True, ssl_context=self._ssl_context, standard_compatible=False
            )
        except ssl.SSLError:
            raise AskerGoneError from None

    async def _converse(self, wire: Wire, stream: ByteStream) -> None:
        """Answer one request after another until either side has enough."""
        reader = RequestReader(stream)
        while (request := await reader.read(self.url, wire.gone)) is not None:
            reply = await self._handler(request)
            try:
                if reply.fault in ("refused", "reset"):
                    wire.reset()
                    return
                if reply.fault == "lost" or not await send(stream, request, reply):
                    return
            finally:
                reply.ended()


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    if os.name == "posix":
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(_BACKLOG)
    listener.setblocking(False)
    return listener
