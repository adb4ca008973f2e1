"""Wire: a TCP socket as a byte stream that can also be reset, and that notices when its peer leaves."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Mapping
from typing import Any, Final

import anyio
from anyio.abc import ByteStream

_RESET: Final = struct.pack("ii", 1, 0)


class Wire(ByteStream):
    """A connected, non-blocking socket."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock = sock

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        """Return none."""
        return {}

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """Return what has arrived; raises EndOfStream after the peer closed, BrokenResourceError after a reset."""
        while True:
            try:
                data = self._sock.recv(max_bytes)
            except BlockingIOError:
                await anyio.wait_readable(self._sock)
            except OSError as error:
                raise anyio.BrokenResourceError from error
            else:
                if not data:
                    raise anyio.EndOfStream
                return data

    async def send(self, item: bytes) -> None:
        """Send all of *item*; raises BrokenResourceError where nobody takes it."""
        rest = memoryview(item)
        while rest:
            try:
                rest = rest[self._sock.send(rest) :]
            except BlockingIOError:
                await anyio.wait_writable(self._sock)
            except OSError as error:
                raise anyio.BrokenResourceError from error

    async def send_eof(self) -> None:
        """Say that nothing more will come."""
        self._sock.shutdown(socket.SHUT_WR)

    async def gone(self) -> None:
        """Return when the peer has closed, or has sent something while an answer is owed to it.

        A client that waits for an answer has nothing to say but, in TLS, that it closes.
        """
        if self._sock.fileno() == -1:
            raise anyio.ClosedResourceError
        await anyio.wait_readable(self._sock)

    async def aclose(self) -> None:
        """Close, as `close` does."""
        self.close()

    def close(self) -> None:
        """Close; what was sent still arrives, and who waits for this socket gets ClosedResourceError."""
        if self._sock.fileno() != -1:
            anyio.notify_closing(self._sock)
            self._sock.close()

    def reset(self) -> None:
        """Close with a reset: the peer's next read fails."""
        if self._sock.fileno() != -1:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.close()
