"""Answers that providers give or gave, each under the name of what is odd about it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

from tokenflight.testing import Answer, Redirect, Throttle

ELSEWHERE: Final = "https://elsewhere.test/token"
_HUGE: Final = 2 * 1024 * 1024
_TEXT: Final = {"content-type": "text/plain;charset=UTF-8"}


def odd_answer(name: str, token: str, now: float) -> Answer:
    """Return the answer of a name, with *token* in it; `slow` is scripted by its test. Raises KeyError."""
    plain = {"access_token": token, "token_type": "Bearer", "expires_in": 3600}
    bare = {"access_token": token, "token_type": "Bearer"}
    bodies: dict[str, Any] = {
        "plain": plain,
        "string-expires": plain | {"expires_in": "3600"},
        "null-expires": plain | {"expires_in": None, "scope": None},
        "zero-expires": plain | {"expires_in": 0},
        "no-expires": bare | {"instance_url": "https://acme.example", "issued_at": str(int(now * 1000))},
        "expires-on-only": bare | {"expires_on": str(int(now) + 3600)},
        "v1-strings": plain | {"expires_in": "3599", "ext_expires_in": "3599", "expires_on": str(int(now) + 3599)},
        "refresh-in": plain | {"expires_in": 7200, "refresh_in": 3600},
        "id-token-only": {"id_token": token},
        "scope-array": plain | {"scope": ["read", "write"]},
        "scope-comma": {"access_token": token, "scope": "read,write", "expires_in": 86399},
        "ok-false": {"ok": False, "error": "invalid_client_id"},
        "error-200": {"error": "invalid_grant", "error_description": "The code has expired."},
        "camel": {"accessToken": token, "tokenType": "Bearer", "expiresIn": 3600},
        "token-type-odd": plain | {"token_type": "Application Access Token"},
        "list-json": [plain],
    }
    if name in bodies:
        return Answer(200, bodies[name])
    return _shaped(name, token, plain, now)


def _shaped(name: str, token: str, plain: dict[str, Any], now: float) -> Answer:
    end = datetime.fromtimestamp(now + 3600, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    errors = [{"errorType": "invalid_client", "message": "Invalid authorization header."}]
    shaped = {
        "iso": Answer(201, {"token": token, "expires_at": end}),
        "urlencoded": Answer(200, urlencode({"access_token": token, "expires": "5183944"}), headers=_TEXT),
        "errors-list": Answer(401, {"errors": errors, "success": False}),
        "plain-429": Throttle(60),
        "html-502": Answer(502, "<html><body>Bad Gateway</body></html>", headers={"content-type": "text/html"}),
        "truncated": Answer(200, f'{{"access_token":"{token}","expi', headers={"content-type": "application/json"}),
        "huge": Answer(200, plain | {"filler": "x" * _HUGE}),
        "bom": Answer(
            200,
            b"\xef\xbb\xbf" + f'{{"access_token":"{token}","token_type":"bearer","expires_in":3600}}'.encode(),
            headers={"content-type": "application/json; charset=utf-8"},
        ),
        "redirect-cross-origin": Redirect(ELSEWHERE),
    }
    return shaped[name]
