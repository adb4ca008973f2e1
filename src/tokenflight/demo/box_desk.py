"""The authorization server's desk for Box: four grants of its own dialect, and the page where people log in."""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from tokenflight.demo.books import Asked, Books
from tokenflight.demo.faults import Faults, NoReply
from tokenflight.demo.forms import Refused, just, read_form, read_query
from tokenflight.demo.logins import Login, Logins
from tokenflight.demo.signatures import Untrue, Verifier
from tokenflight.demo.turnstile import Turnstile

BOX: Final = "/oauth2/token"
AUTHORIZE: Final = "/api/oauth2/authorize"
PERSON: Final = "x-person"
"""The header with who sits in front of the browser: this page asks for no password."""
_CALLBACK: Final = "http://127.0.0.1/callback"
_AUDIENCE: Final = "https://api.box.com/oauth2/token"
_LONGEST_ASSERTION: Final = 60.0
_FILE: Final = re.compile(r"https://api\.box\.com/2\.0/files/\d+")
_ACCESS_TOKEN: Final = "urn:ietf:params:oauth:token-type:access_token"
_CLIENT: Final = frozenset({"grant_type", "client_id", "client_secret"})
_SCOPES: Final = frozenset({"base_explorer", "base_preview", "item_download", "item_preview", "item_upload"})
_PLANNED: Final = {429: {"retry-after": "1"}}

Form: TypeAlias = Mapping[str, str]
Grant: TypeAlias = Callable[[Form], Awaitable[Response]]


class BoxDesk:
    """Issues Box's tokens: opaque, without a `token_type` where Box gives none."""

    def __init__(self, books: Books, turnstile: Turnstile, verifier: Verifier, faults: Faults) -> None:
        self._books = books
        self._turnstile = turnstile
        self._verifier = verifier
        self._faults = faults
        self._logins = Logins(books)
        self._grants: dict[str, tuple[frozenset[str], Grant]] = {
            "client_credentials": (frozenset({"box_subject_type", "box_subject_id"}), self._client_credentials),
            "urn:ietf:params:oauth:grant-type:jwt-bearer": (frozenset({"assertion"}), self._jwt_bearer),
            "urn:ietf:params:oauth:grant-type:token-exchange": (
                frozenset({"subject_token", "subject_token_type", "scope", "resource"}),
                self._token_exchange,
            ),
            "authorization_code": (frozenset({"code"}), self._authorization_code),
            "refresh_token": (frozenset({"refresh_token"}), self._refresh_token),
        }

    async def token(self, request: Request) -> Response:
        """Answer a token request."""
        form = await read_form(request)
        fields, grant = self._grants.get(form.get("grant_type", ""), (frozenset(), None))
        if grant is None:
            raise Refused(400, "unsupported_grant_type", "The grant type is missing, or is none of ours")
        if not self._books.knows(form):
            raise Refused(400, "invalid_client", "The client credentials are invalid")
        just(form, _CLIENT | fields, missing="No such parameter found: ")
        return await grant(form)

    async def authorize(self, request: Request) -> Response:
        """Send a browser back with a code for the person in front of it (RFC 6749, section 4.1.2)."""
        query = read_query(request)
        just(query, {"response_type", "client_id", "state"}, missing="No such parameter found: ")
        if query["response_type"] != "code" or query["client_id"] not in self._books.secrets:
            raise Refused(400, "invalid_client", "There is no such app, or it is of another kind")
        code = self._logins.code(query["client_id"], request.headers.get(PERSON, ""))
        return RedirectResponse(f"{_CALLBACK}?{urlencode({'code': code, 'state': query['state']})}", 302)

    async def _client_credentials(self, form: Form) -> Response:
        kind, subject = form["box_subject_type"], form["box_subject_id"]
        if kind not in {"enterprise", "user"} or not subject.isdecimal():
            raise Refused(400, "invalid_grant", "Grant credentials are invalid")
        return await self._issue((form["client_id"], subject, None), issued_token_type="bearer")

    async def _jwt_bearer(self, form: Form) -> Response:
        """Give a token to whom a JWT speaks for; it counts as used also where the answer is a planned failure."""
        client = form["client_id"]
        if not self._verifier.knows(client):
            raise Refused(400, "unauthorized_client", "The grant type is unauthorized for this client_id")
        try:
            subject = self._spoken_for(client, form["assertion"])
        except Untrue as why:
            self._books.answered(client, 400)
            raise Refused(400, "invalid_grant", str(why)) from None
        planned = self._faults.answer()
        self._books.answered(client, planned or 200)
        if planned is not None:
            return JSONResponse({"type": "error", "status": planned}, planned, _PLANNED.get(planned))
        return await self._issue((client, subject, None), token_type="bearer")

    def _spoken_for(self, client: str, assertion: str) -> str:
        """Return the id of whom an assertion speaks for. Raises Untrue."""
        claims = self._verifier.claims(assertion, client=client, audience=_AUDIENCE, longest=_LONGEST_ASSERTION)
        subject, kind = claims.get("sub"), claims.get("box_sub_type")
        if kind not in {"enterprise", "user"} or not isinstance(subject, str) or not subject.isdecimal():
            raise Untrue("Please check the 'sub' claim. The 'sub' specified is invalid.")
        return subject

    async def _token_exchange(self, form: Form) -> Response:
        """Narrow a token to one file (RFC 8693, RFC 8707)."""
        parent = self._books.living(form["subject_token"])
        if form["subject_token_type"] != _ACCESS_TOKEN or parent is None or parent[0] != form["client_id"]:
            raise Refused(400, "invalid_grant", "The subject_token provided is invalid")
        if not _FILE.fullmatch(form["resource"]) or parent[2] is not None:
            raise Refused(400, "invalid_resource", "The target resource is invalid.")
        if not set(form["scope"].split(" ")) <= _SCOPES:
            raise Refused(400, "invalid_scope", "The scope is unknown")
        self._books.parents.add(form["subject_token"])
        asked = (form["client_id"], None, form["resource"])
        return await self._issue(asked, token_type="bearer", issued_token_type=_ACCESS_TOKEN)

    async def _authorization_code(self, form: Form) -> Response:
        return await self._pair(self._logins.redeemed(form["code"], form["client_id"]))

    async def _refresh_token(self, form: Form) -> Response:
        login = self._logins.refreshed(form["refresh_token"], form["client_id"])
        return NoReply() if self._faults.loses_reply() else await self._pair(login)

    async def _pair(self, login: Login) -> Response:
        refresh_token = login.newest  # before anything else is awaited
        return await self._issue((login.client, login.person, None), token_type="bearer", refresh_token=refresh_token)

    async def _issue(self, asked: Asked, **fields: Any) -> Response:
        self._books.requests[asked] += 1
        await self._turnstile.passed()
        token = f"1!{secrets.token_urlsafe(48)}"
        body = {"access_token": token, "expires_in": self._books.issue(token, asked), "restricted_to": [], **fields}
        headers = {"set-cookie": "box_visitor_id=1; path=/; domain=.box.com", "cache-control": "no-store"}
        return JSONResponse(body, headers=headers)
