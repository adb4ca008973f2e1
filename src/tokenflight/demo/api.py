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
FILES: Final = "/2.0/files"
_BOX_REFUSES: Final = {
    "www-authenticate": 'Bearer realm="Service", error="invalid_token", '
    'error_description="The access token provided is invalid."',
    "box-request-id": "demo",
}
_BOX_WANTS_MORE: Final = {
    "www-authenticate": 'Bearer realm="Service", error="insufficient_scope", '
    'error_description="The request requires higher privileges than provided by the access token."',
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
        routes = [Route(ME, self._me), Route(f"{FILES}/{{file}}", self._file), Route("/{resource}", self._resource)]
        return Starlette(routes=routes)

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

    async def _file(self, request: Request) -> Response:
        """Open a file for a token that was narrowed to it; one for another file is good, and of no use here."""
        file = request.path_params["file"]
        if await self._admits(request, f"https://api.box.com{FILES}/{file}"):
            return JSONResponse({"type": "file", "id": file})
        if self._books.living(_token(request)) is None:
            return self._unauthorized(request, Response(b"", 401, _BOX_REFUSES))
        return Response(b"", 403, _BOX_WANTS_MORE)

    async def _admits(self, request: Request, audience: str | None) -> bool:
        number = _number(request.headers)
        self._books.sends[number] += 1
        await self._turnstile.passed()
        asked = self._books.living(_token(request))
        if asked is None or asked[2] != audience:
            return False
        self._books.admitted[number] = asked
        return True

    def _unauthorized(self, request: Request, response: Response) -> Response:
        self._books.unauthorized[_number(request.headers)] += 1
        return response


def _token(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token if scheme == "Bearer" else ""


def _number(headers: Mapping[str, str]) -> str:
    return headers.get(CALL, "")
