"""Hosting: ASGI apps on loopback, served by uvicorn in a thread of their own.

In the clients' loop a burst of a thousand callers would hold up the servers, and what the servers do would show in what
the clients count. So the two meet on sockets only; `Site.call` is how the demo reaches over.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, wait
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

import anyio
from anyio import to_thread
from anyio.from_thread import BlockingPortal, start_blocking_portal
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn import Config, Server
from uvicorn.protocols.http.h11_impl import H11Protocol

from tokenflight.demo.faults import HANG_UP
from tokenflight.demo.patience import until

T = TypeVar("T")


class Site:
    """One app on a port of its own."""

    def __init__(self, app: Starlette, portal: BlockingPortal) -> None:
        self._portal = portal
        self._is_down = False
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._server = Server(
            Config(
                self._serve(app),
                http=_door(self),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                timeout_keep_alive=60,
            )
        )

    def serve(self) -> Future[None]:
        """Start serving in the servers' thread; return what ends with it."""
        return self._portal.start_task_soon(self._server.serve, [self._listener])

    async def ready(self) -> None:
        """Return when connections are answered."""
        if not await until(lambda: self._server.started):
            raise RuntimeError(f"the server at {self.url} did not start")

    def leave(self) -> None:
        """Stop serving soon, whoever is still connected."""
        self._server.force_exit = self._server.should_exit = True

    async def call(self, function: Callable[[], T]) -> T:
        """Call a function in the servers' loop."""
        return await to_thread.run_sync(self._portal.call, function)

    async def down(self) -> None:
        """Hang up on everybody, from now on."""
        await self.call(self._hang_up)

    async def up(self) -> None:
        """Serve again."""
        self._is_down = False

    def greet(self, transport: Any) -> None:
        """Take a connection, or hang up on it."""
        if self._is_down:
            transport.abort()

    def _serve(self, app: Starlette) -> ASGIApp:
        """Return the app, told with each request how to end its connection."""

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, HANG_UP: partial(self._hang_up_on, scope["client"])}, receive, send)

        return serve

    def _hang_up_on(self, client: tuple[str, int]) -> None:
        for connection in tuple(self._server.server_state.connections):
            if connection.transport.get_extra_info("peername") == client:
                connection.transport.abort()

    def _hang_up(self) -> None:
        self._is_down = True
        for connection in tuple(self._server.server_state.connections):
            connection.transport.abort()


def _door(site: Site) -> type[H11Protocol]:
    class Door(H11Protocol):
        """uvicorn's own HTTP/1.1, at a site that may be down."""

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            site.greet(transport)

    return Door


@asynccontextmanager
async def hosted(*apps: Starlette) -> AsyncIterator[tuple[Site, ...]]:
    """Serve *apps* while the block runs."""
    with start_blocking_portal() as portal:
        sites = tuple(Site(app, portal) for app in apps)
        serving = [site.serve() for site in sites]
        try:
            for site in sites:
                await site.ready()
            yield sites
        finally:
            for site in sites:
                site.leave()
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(wait, serving)
