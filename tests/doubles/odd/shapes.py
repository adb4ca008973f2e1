"""Answers of every shape that providers have been seen to give; all ask for the same plain client credentials."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

from tests.doubles.odd.desk import Desk
from tests.doubles.tokens import key, signed
from tests.doubles.visits import Visit

from tokenflight.testing import Answer, Reply

_DESK: Final = Desk(lambda code, text: Answer(400, {"error": code, "error_description": text}))
_HOUR: Final = 3600


def _asked(double: Any, seen: Visit) -> None:
    credentials = ("client_id", "client_secret")
    _DESK.form(seen, "grant_type", optional=("audience", "resource", "scope", *credentials))
    _DESK.grant(seen, "client_credentials")
    _DESK.secret(seen, double.secrets)


def _told(lifetime: float | None = _HOUR, status: int = 200, **fields: Any) -> Callable[[Any, Visit], Reply]:
    """Make what answers with a token; fields that are None stand there as null, and ``...`` leaves one out."""

    def answer(double: Any, seen: Visit) -> Reply:
        usual = {"access_token": double.issue(seen, lifetime), "token_type": "Bearer", "expires_in": lifetime}
        made = {name: value(double, seen) if callable(value) else value for name, value in fields.items()}
        return Answer(status, {name: value for name, value in (usual | made).items() if value is not ...}).reply()

    return answer


def _in_an_hour(double: Any, seen: Visit) -> str:
    return str(int(double.now()) + _HOUR)


def _iso(double: Any, seen: Visit) -> str:
    return datetime.fromtimestamp(int(double.now()) + _HOUR, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _milliseconds(double: Any, seen: Visit) -> str:
    return str(int(double.now() * 1000))


def _token(double: Any, seen: Visit) -> str:
    return str(seen.token)


def _id_token(double: Any, seen: Visit) -> Reply:
    claims = {"sub": "the-client", "aud": "the-api", "iat": int(double.now()), "exp": int(double.now()) + _HOUR}
    value = double.issue(seen, _HOUR, value=signed(claims, key("odd-key")))
    return Answer(200, {"id_token": value}).reply()


def _urlencoded(double: Any, seen: Visit) -> Reply:
    fields = {"access_token": double.issue(seen, _HOUR), "token_type": "bearer", "expires": str(_HOUR)}
    return Answer(200, urlencode(fields)).reply()


def _list(double: Any, seen: Visit) -> Reply:
    return Answer(200, [{"access_token": double.issue(seen, _HOUR)}]).reply()


def _huge(double: Any, seen: Visit) -> Reply:
    return Answer(200, {"access_token": double.issue(seen, _HOUR), "padding": "x" * 2 * 1024 * 1024}).reply()


def _bom(double: Any, seen: Visit) -> Reply:
    fields = {"access_token": double.issue(seen, _HOUR), "token_type": "Bearer", "expires_in": _HOUR}
    body = b"\xef\xbb\xbf" + json.dumps(fields).encode()
    return Answer(200, body, headers={"content-type": "application/json; charset=utf-8"}).reply()


def _elsewhere(double: Any, seen: Visit) -> Reply:
    return Answer(307, headers={"location": double.elsewhere}).reply()


def _fixed(answer: Answer) -> Callable[[Any, Visit], Reply]:
    return lambda double, seen: answer.reply()


_FAULT: Final = {"errorType": "invalid_client", "message": "Invalid authorization header"}

_SHAPES: Final[dict[str, Callable[[Any, Visit], Reply]]] = {
    "string-expires": _told(expires_in="3600"),
    "null-expires": _told(None, expires_in=None),
    "zero-expires": _told(None, expires_in=0, scope=None),
    "no-expires": _told(None, expires_in=..., instance_url="https://acme.my.salesforce.com", issued_at=_milliseconds),
    "expires-on-only": _told(expires_in=..., expires_on=_in_an_hour),
    "v1-strings": _told(expires_in="3600", ext_expires_in="3600", expires_on=_in_an_hour),
    "refresh-in": _told(7200, refresh_in=_HOUR),
    "iso": _told(status=201, access_token=..., token_type=..., expires_in=..., token=_token, expires_at=_iso),
    "id-token-only": _id_token,
    "scope-array": _told(scope=["read:a", "write:a"], token_type="bearer"),
    "scope-comma": _told(86_399, scope="read_products,write_orders", token_type=...),
    "ok-false": _fixed(Answer(200, {"ok": False, "error": "invalid_auth"})),
    "error-200": _fixed(Answer(200, {"error": "incorrect_client_credentials", "error_description": "They are wrong."})),
    "urlencoded": _urlencoded,
    "camel": _told(
        access_token=..., token_type=..., expires_in=..., accessToken=_token, tokenType="bearer", expiresIn=_HOUR
    ),
    "token-type-odd": _told(token_type="Application Access Token"),
    "errors-list": _fixed(Answer(401, {"errors": [_FAULT], "success": False})),
    "plain-429": _fixed(Answer(429, "Too Many Requests", headers={"retry-after": "60"})),
    "html-502": _fixed(Answer(502, b"<html><h1>502</h1></html>", headers={"content-type": "text/html"})),
    "list-json": _list,
    "truncated": _told(),
    "huge": _huge,
    "bom": _bom,
    "redirect-cross-origin": _elsewhere,
    "slow": _told(),
}
"""What comes of a good request, by the last part of the path."""


def _answering(shape: Callable[[Any, Visit], Reply]) -> Callable[[Any, Visit], Reply]:
    def answer(double: Any, seen: Visit) -> Reply:
        _asked(double, seen)
        return shape(double, seen)

    return answer


ROUTES: Final = tuple(("POST", f"/o/{name}", _answering(shape)) for name, shape in _SHAPES.items())
