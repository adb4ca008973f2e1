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

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tokenflight.demo.books import Asked, Books
from tokenflight.demo.box_desk import AUTHORIZE, BOX, BoxDesk
from tokenflight.demo.faults import Faults
from tokenflight.demo.forms import Refused, just, read_form
from tokenflight.demo.signatures import KeyPair, Untrue, Verifier
from tokenflight.demo.turnstile import Turnstile

DOMAIN: Final = "demo.auth0.example"
AUTH0: Final = "/oauth/token"
_ISSUER: Final = f"https://{DOMAIN}/"
_LONGEST_ASSERTION: Final = 300.0
_ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_FIELDS: Final = frozenset({"grant_type", "client_id", "audience"})
_BY_SECRET: Final = _FIELDS | {"client_secret"}
_BY_KEY: Final = _FIELDS | {"client_assertion_type", "client_assertion"}


class Authority:
    """Issues tokens to the clients in its books, each by the proof that it is registered with."""

    def __init__(
        self,
        books: Books,
        turnstile: Turnstile,
        *,
        faults: Faults | None = None,
        keys: Mapping[str, KeyPair] | None = None,
    ) -> None:
        self._books = books
        self._turnstile = turnstile
        self._verifier = Verifier(books, keys or {})
        self._box = BoxDesk(books, turnstile, self._verifier, faults or Faults())
        self._signing_key = secrets.token_bytes(32)

    def app(self) -> Starlette:
        """Return it as an ASGI app."""
        routes = [
            Route(AUTH0, self._auth0, methods=["POST"]),
            Route(BOX, self._box.token, methods=["POST"]),
            Route(AUTHORIZE, self._box.authorize),
        ]
        return Starlette(routes=routes, exception_handlers={Refused: self._refuse})

    async def _auth0(self, request: Request) -> Response:
        form = await read_form(request)
        if "grant_type" not in form or form["grant_type"] != "client_credentials":
            raise Refused(403, "unauthorized_client", "Grant type not allowed for the client.")
        signs = self._verifier.knows(form.get("client_id", ""))
        just(form, _BY_KEY if signs else _BY_SECRET, optional={"organization"}, missing="Missing required parameter: ")
        if signs:
            self._check_assertion(form)
        elif not self._books.knows(form):
            raise Refused(401, "access_denied", "Unauthorized")
        asked = (form["client_id"], form.get("organization"), form["audience"])
        return await self._issue(asked, issuer=str(request.base_url))

    def _check_assertion(self, form: Mapping[str, str]) -> None:
        """Refuse a client assertion that is not Auth0's."""
        try:
            self._believe(form)
        except Untrue as why:
            self._books.answered(form["client_id"], 401)
            raise Refused(401, "invalid_client", f"Client authentication failed: {why}") from None
        self._books.answered(form["client_id"], 200)

    def _believe(self, form: Mapping[str, str]) -> None:
        """Raise Untrue for what is not signed for the issuer with its slash, for 300 s at most, once."""
        client, text = form["client_id"], form["client_assertion"]
        if form["client_assertion_type"] != _ASSERTION_TYPE:
            raise Untrue("client_assertion_type is not supported")
        claims = self._verifier.claims(text, client=client, audience=_ISSUER, longest=_LONGEST_ASSERTION)
        if claims.get("sub") != client:
            raise Untrue("Please check the 'sub' claim.")

    async def _issue(self, asked: Asked, *, issuer: str) -> Response:
        self._books.requests[asked] += 1
        await self._turnstile.passed()
        lifetime = self._books.lifetime(asked)
        token = self._signed(asked, issuer, lifetime)
        self._books.issue(token, asked)
        limits = {"x-ratelimit-limit": "100", "x-ratelimit-remaining": "99", "x-ratelimit-reset": f"{time.time():.0f}"}
        body = {"access_token": token, "expires_in": lifetime, "token_type": "Bearer"}
        return JSONResponse(body, headers={**limits, "cache-control": "no-store"})

    def _signed(self, asked: Asked, issuer: str, lifetime: int) -> str:
        """Return a JSON Web Token with the claims that Auth0 gives (RFC 7519)."""
        client, organization, audience = asked
        now = int(time.time())
        claims = {"iss": issuer, "sub": f"{client}@clients", "aud": audience, "iat": now, "exp": now + lifetime}
        claims |= {"gty": "client-credentials", "azp": client, "jti": secrets.token_hex(8)}
        claims |= {"org_id": organization} if organization else {}
        text = f"{_part({'alg': 'HS256', 'typ': 'JWT'})}.{_part(claims)}"
        return f"{text}.{_base64(hmac.digest(self._signing_key, text.encode(), hashlib.sha256))}"

    async def _refuse(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, Refused)
        self._books.refusals.append(f"{request.url.path}: {error}")
        return JSONResponse(error.body, error.status, {"cache-control": "no-store"})


def _part(claims: Mapping[str, object]) -> str:
    return _base64(json.dumps(claims, separators=(",", ":")).encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
