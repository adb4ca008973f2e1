"""The protected API: some resources behind Auth0's tokens, one behind Box's, each refusing as that provider does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tokenflight.demo.books import Books
from tokenflight.demo.turnstile import Turnstile

CALL: Final = "x-call"
"""The header with a caller's number; both sends of one call show the same."""
ME: Final = "/2.0/users/me"
_BOX_REFUSES: Final = {
    "www-authenticate": 'Bearer realm="Service", error="invalid_token", '
    'error_description="The access token provided is invalid."',
    "box-request-id": "demo",
}


def audience_of(resource: str) -> str:
    """Return the API identifier that a token for a resource must be issued for."""
    return f"https://{resource}.example/"


class Api:
    """Serves who shows a living token that was issued for the resource (RFC 6750)."""

    def __init__(self, books: Books, turnstile: Turnstile) -> None:
        self._books = books
        self._turnstile = turnstile

    def app(self) -> Starlette:
        """Return it as an ASGI app."""
        return Starlette(routes=[Route(ME, self._me), Route("/{resource}", self._resource)])

    async def _resource(self, request: Request) -> Response:
        resource = request.path_params["resource"]
        if await self._admits(request, audience_of(resource)):
            return JSONResponse({"resource": resource})
        challenge = {"www-authenticate": 'Bearer error="invalid_token"'}
        return self._unauthorized(request, JSONResponse({"error": "invalid_token"}, 401, challenge))

    async def _me(self, request: Request) -> Response:
        if await self._admits(request, None):
            return JSONResponse({"type": "user", "id": "1"})
        return self._unauthorized(request, Response(b"", 401, _BOX_REFUSES))

    async def _admits(self, request: Request, audience: str | None) -> bool:
        self._books.sends[_number(request.headers)] += 1
        await self._turnstile.passed()
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return scheme == "Bearer" and self._books.is_good(token, audience)

    def _unauthorized(self, request: Request, response: Response) -> Response:
        self._books.unauthorized[_number(request.headers)] += 1
        return response


def _number(headers: Mapping[str, str]) -> str:
    return headers.get(CALL, "")
