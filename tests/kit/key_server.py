"""A server's published keys in memory, on a clock, beside whatever else is asked of it."""

from __future__ import annotations

import json
from typing import Any

import httpx
from attrs import define, field
from tests.kit.jwts import Server

from tokenflight.model.clock import Clock

JWKS = "https://auth.test/jwks"


@define(eq=False)
class KeyServer(httpx.AsyncBaseTransport):
    """Answers every GET with the keys of *server*, or with what *says* is, after *latency*; notes when it was asked.

    *says* is a status, bytes of a body, a document, or an exception. Other methods go to *beside*; `documents`
    are those at URLs of their own.
    """

    clock: Clock
    server: Server = field(factory=Server)
    beside: httpx.AsyncBaseTransport | None = None
    documents: dict[str, Any] = field(factory=dict)
    latency: float = 0.0
    says: Any = None
    asked: list[float] = field(factory=list)
    urls: list[str] = field(factory=list)
    headers: list[httpx.Headers] = field(factory=list)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method != "GET":
            assert self.beside is not None
            return await self.beside.handle_async_request(request)
        self.asked.append(self.clock.now())
        self.urls.append(str(request.url))
        self.headers.append(request.headers)
        if self.latency:
            await self.clock.sleep_until(self.clock.now() + self.latency)
        says = self.documents.get(str(request.url), self.says)
        says = self.server.document() if says is None else says
        if isinstance(says, BaseException):
            raise says
        if isinstance(says, int):
            return httpx.Response(says, json=self.server.document())
        return httpx.Response(200, content=says if isinstance(says, bytes) else json.dumps(says).encode())
