"""Zoom's server-to-server apps: a grant of their own."""

from __future__ import annotations

from typing import Any, Final

from tests.doubles.odd.desk import Desk
from tests.doubles.visits import Visit

from tokenflight.testing import Answer, Reply

PATH: Final = "/oauth/token"
ACCOUNT: Final = "the-account"


def _refusal(code: str, text: str) -> Answer:
    if code == "invalid_client":
        return Answer(401, {"reason": "Invalid client_id or client_secret", "error": code})
    return Answer(400, {"reason": text, "error": code})


_DESK: Final = Desk(_refusal)


def _token(double: Any, seen: Visit) -> Reply:
    _DESK.grant(seen, "account_credentials")
    _, account = _DESK.form(seen, "grant_type", "account_id")
    _DESK.secret(seen, double.secrets, where=("basic",))
    if account != ACCOUNT:
        raise _DESK.no("invalid_request", "Bad Request")
    lifetime = double.lifetime_of(seen, "zoom", 3599)
    fields = {"access_token": double.issue(seen, lifetime), "token_type": "bearer", "expires_in": lifetime}
    return Answer(200, {**fields, "scope": "user:read:admin", "api_url": "https://api.zoom.us"}).reply()


ROUTES: Final = (("POST", PATH, _token),)
