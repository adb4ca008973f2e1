"""GitHub Apps: the app's JWT as a bearer, a token by another name, an end as a date, and 201."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from tests.doubles.odd.desk import Desk, moment
from tests.doubles.visits import JSON, Visit

from tokenflight.testing import Answer, Reply

APP: Final = "12345"
INSTALLATIONS: Final = ("678", "679")
PATH, ANOTHER = (f"/app/installations/{number}/access_tokens" for number in INSTALLATIONS)
_LONGEST: Final = 600.0
_UNREADABLE: Final = ("invalid_client", "A JSON web token could not be decoded")
_DOCS: Final = "https://docs.github.com/rest"


def _refusal(code: str, text: str) -> Answer:
    return Answer(
        {"invalid_request": 400}.get(code, 401), {"message": text, "documentation_url": _DOCS, "status": "401"}
    )


_DESK: Final = Desk(_refusal)


def _token(double: Any, seen: Visit) -> Reply:
    if seen.bearer is None:
        raise _DESK.no(*_UNREADABLE)
    claims = _DESK.signed(seen.bearer, double.keys[APP], "RS256", no=_UNREADABLE).claims
    if str(claims.get("iss")) != APP:
        raise _DESK.no("invalid_client", "'Issuer' claim ('iss') must be an Integer")
    begun, until, now = moment(claims.get("iat")), moment(claims.get("exp")), double.now()
    if begun is None or begun > now:
        raise _DESK.no("invalid_client", "'Issued at' claim ('iat') must be an Integer in the past")
    if until is None or until <= now:
        raise _DESK.no("invalid_client", "'Expiration time' claim ('exp') must be a numeric value in the future")
    if set(claims) != {"iss", "iat", "exp"}:
        raise _DESK.no(*_UNREADABLE)
    if until > now + _LONGEST:
        raise _DESK.no("invalid_client", "'Expiration time' claim ('exp') is too far in the future")
    if seen.raw and (seen.content_type != JSON or not seen.readable):
        raise _DESK.no("invalid_request", "Problems parsing JSON")
    lifetime = double.lifetime_of(seen, "github", 3600)
    end = datetime.fromtimestamp(int(now) + lifetime, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    fields = {"token": double.issue(seen, lifetime, prefix="ghs_"), "expires_at": end}
    return Answer(201, {**fields, "permissions": {"contents": "read"}, "repository_selection": "all"}).reply()


def refusal(status: int, text: str) -> Answer:
    """Return a refusal as it is recorded: a text, and where to read on."""
    return Answer(status, {"message": text, "documentation_url": _DOCS, "status": str(status)})


def _nowhere(double: Any, seen: Visit) -> Reply:
    return refusal(404, "Not Found").reply()


ROUTES: Final = (("POST", PATH, _token), ("POST", ANOTHER, _token), ("POST", "/app/installations/", _nowhere))
