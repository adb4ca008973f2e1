"""Issuers in memory: metadata as a test says, a token endpoint behind them, and a list of everything that was asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
from attrs import define, field

from tokenflight import ClientSecretPost, OAuthClient
from tokenflight.model.clock import Clock
from tokenflight.testing import FakeTokenEndpoint

ISSUER = "https://auth.test"
SECRET = "hush-hush-hush"
Said = dict[str, Any] | bytes | int | httpx.Response | Exception | None


def said(issuer: str = ISSUER, **members: Any) -> dict[str, Any]:
    """Return a document that an honest issuer might publish; a member that is None is left out."""
    root = issuer.removesuffix("/")
    document = {"issuer": issuer, "token_endpoint": f"{root}/token", "jwks_uri": f"{root}/jwks"} | members
    return {name: value for name, value in document.items() if value is not None}


def found(issuer: str | None = ISSUER, **fields: Any) -> OAuthClient:
    """Return a client that knows its issuer alone."""
    fields = {"client_id": "service", "authentication": ClientSecretPost(SECRET)} | fields
    return OAuthClient(issuer=issuer, **fields)


@define(eq=False)
class Issuers(httpx.AsyncBaseTransport):
    """Answers a GET with what was said for its URL (404 where nothing was), and lets an endpoint answer the rest.

    What is said: a document, bytes, a status, a response, an exception to raise, or None to answer after *latency* s.
    """

    endpoint: FakeTokenEndpoint
    clock: Clock
    documents: dict[str, Said] = field(factory=dict)
    asked: list[httpx.Request] = field(factory=list)
    latency: float = 0.0
    posted: Callable[[httpx.Request], httpx.Response | None] = lambda request: None

    def say(self, what: Said, *, issuer: str = ISSUER, openid: bool = False) -> None:
        """Publish at the place of RFC 8414, or of OpenID, for an issuer without a path."""
        name = "openid-configuration" if openid else "oauth-authorization-server"
        self.documents[f"{issuer.removesuffix('/')}/.well-known/{name}"] = what

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer."""
        self.asked.append(request)
        if self.latency:
            await self.clock.sleep_until(self.clock.now() + self.latency)
        if request.method != "GET":
            answer = self.posted(request)
            return answer or await self.endpoint.transport().handle_async_request(request)
        what = self.documents.get(str(request.url), 404)
        if isinstance(what, Exception):
            raise what
        if isinstance(what, httpx.Response):
            return what
        if isinstance(what, int):
            return httpx.Response(what)
        return httpx.Response(200, content=what if isinstance(what, bytes) else json.dumps(what).encode())

    @property
    def read(self) -> list[str]:
        """The URLs that were read."""
        return [str(request.url) for request in self.asked if request.method == "GET"]

    @property
    def sent(self) -> list[str]:
        """The URLs that something was posted to."""
        return [str(request.url) for request in self.asked if request.method != "GET"]
