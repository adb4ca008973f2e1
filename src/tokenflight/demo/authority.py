"""The authorization server: it speaks Auth0's dialect and Box's, and refuses whatever is not exactly that."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tokenflight.demo.books import LIFETIME, Asked, Books
from tokenflight.demo.turnstile import Turnstile

AUTH0: Final = "/oauth/token"
BOX: Final = "/oauth2/token"
_FORM: Final = "application/x-www-form-urlencoded"
_CLIENT: Final = frozenset({"grant_type", "client_id", "client_secret"})
_AUTH0_FIELDS: Final = _CLIENT | {"audience"}
_BOX_FIELDS: Final = _CLIENT | {"box_subject_type", "box_subject_id"}


class Refused(Exception):  # noqa: N818  # it is an answer, not a fault
    """A token request that is answered with an error (RFC 6749, section 5.2)."""

    def __init__(self, status: int, error: str, description: str) -> None:
        super().__init__(description)
        self.status = status
        self.body = {"error": error, "error_description": description}


class Authority:
    """Issues tokens to the clients in its books, by client credentials, with the secret in the body."""

    def __init__(self, books: Books, turnstile: Turnstile) -> None:
        self._books = books
        self._turnstile = turnstile
        self._signing_key = secrets.token_bytes(32)

    def app(self) -> Starlette:
        """Return it as an ASGI app."""
        routes = [Route(AUTH0, self._auth0, methods=["POST"]), Route(BOX, self._box, methods=["POST"])]
        return Starlette(routes=routes, exception_handlers={Refused: self._refuse})

    async def _auth0(self, request: Request) -> Response:
        form = await _form(request)
        if "grant_type" not in form or form["grant_type"] != "client_credentials":
            raise Refused(403, "unauthorized_client", "Grant type not allowed for the client.")
        _just(form, _AUTH0_FIELDS, optional={"organization"}, missing="Missing required parameter: ")
        if not self._knows(form):
            raise Refused(401, "access_denied", "Unauthorized")
        asked = (form["client_id"], form.get("organization"), form["audience"])
        token = self._signed(asked, issuer=str(request.base_url))
        limits = {"x-ratelimit-limit": "100", "x-ratelimit-remaining": "99", "x-ratelimit-reset": f"{time.time():.0f}"}
        return await self._issue(token, asked, {"token_type": "Bearer"}, limits)

    async def _box(self, request: Request) -> Response:
        form = await _form(request)
        if form.get("grant_type") != "client_credentials":
            raise Refused(400, "unsupported_grant_type", "The grant type is missing, or is none of ours")
        if not self._knows(form):
            raise Refused(400, "invalid_client", "The client credentials are invalid")
        _just(form, _BOX_FIELDS, optional=set(), missing="No such parameter found: ")
        if form["box_subject_type"] not in {"enterprise", "user"} or not form["box_subject_id"].isdecimal():
            raise Refused(400, "invalid_grant", "Grant credentials are invalid")
        asked = (form["client_id"], form["box_subject_id"], None)
        token = f"1!{secrets.token_urlsafe(48)}"
        fields = {"restricted_to": [], "issued_token_type": "bearer"}  # and no token_type, as documented
        return await self._issue(token, asked, fields, {"set-cookie": "box_visitor_id=1; path=/; domain=.box.com"})

    async def _issue(
        self, token: str, asked: Asked, fields: Mapping[str, object], headers: Mapping[str, str]
    ) -> Response:
        self._books.requests[asked] += 1
        await self._turnstile.passed()
        self._books.issue(token, asked)
        body = {"access_token": token, "expires_in": LIFETIME, **fields}
        return JSONResponse(body, headers={**headers, "cache-control": "no-store"})

    def _knows(self, form: Mapping[str, str]) -> bool:
        known = self._books.secrets.get(form.get("client_id", ""), "")
        return bool(known) and hmac.compare_digest(known, form.get("client_secret", ""))

    def _signed(self, asked: Asked, *, issuer: str) -> str:
        """Return a JSON Web Token with the claims that Auth0 gives (RFC 7519)."""
        client, organization, audience = asked
        now = int(time.time())
        claims = {"iss": issuer, "sub": f"{client}@clients", "aud": audience, "iat": now, "exp": now + LIFETIME}
        claims |= {"gty": "client-credentials", "azp": client, "jti": secrets.token_hex(8)}
        claims |= {"org_id": organization} if organization else {}
        text = f"{_part({'alg': 'HS256', 'typ': 'JWT'})}.{_part(claims)}"
        return f"{text}.{_base64(hmac.digest(self._signing_key, text.encode(), hashlib.sha256))}"

    async def _refuse(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, Refused)
        self._books.refusals.append(f"{request.url.path}: {error}")
        return JSONResponse(error.body, error.status, {"cache-control": "no-store"})


async def _form(request: Request) -> dict[str, str]:
    """Read a form to the letter: RFC 6749, section 3.2, and nothing that a token request has no use for."""
    headers = request.headers
    if headers.get("content-type") != _FORM:
        raise Refused(400, "invalid_request", f"A token request is {_FORM}")
    if request.url.query or "cookie" in headers or "authorization" in headers:
        raise Refused(
            400, "invalid_request", "All of a token request is in its body: no query, cookie or Authorization"
        )
    try:
        pairs = parse_qsl((await request.body()).decode("ascii"), strict_parsing=True, keep_blank_values=True)
    except ValueError:
        raise Refused(400, "invalid_request", "The body is no form") from None
    form = dict(pairs)
    if len(form) < len(pairs) or not all(form.values()):
        raise Refused(400, "invalid_request", "A parameter came twice, or empty")
    return form


def _just(form: Mapping[str, str], names: frozenset[str], *, optional: set[str], missing: str) -> None:
    """Refuse a form that lacks one of *names*, or brings what is neither of them nor *optional*."""
    if lacking := sorted(names - form.keys()):
        raise Refused(400, "invalid_request", missing + lacking[0])
    if unknown := sorted(form.keys() - names - optional):
        raise Refused(400, "invalid_request", f"Unknown parameter: {unknown[0]}")


def _part(claims: Mapping[str, object]) -> str:
    return _base64(json.dumps(claims, separators=(",", ":")).encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
