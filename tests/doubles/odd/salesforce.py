"""Salesforce: no word of a lifetime, a URL to go to, and the same token again while its session lives."""

from __future__ import annotations

from typing import Any, Final

from tests.doubles.odd.desk import Desk, RefusedError, moment
from tests.doubles.odd.entra import JWT
from tests.doubles.tokens import peeked
from tests.doubles.visits import Visit

from tokenflight.testing import Answer, Reply

PATH: Final = "/services/oauth2/token"
LOGIN: Final = "https://login.salesforce.com"
_LONGEST: Final = 300.0


def refusal(code: str, text: str) -> Answer:
    """Return a refusal as it is recorded."""
    return Answer(400, {"error": code, "error_description": text})


_DESK: Final = Desk(refusal)
UNAPPROVED: Final = refusal("invalid_grant", "user hasn't approved this consumer")


def _token(double: Any, seen: Visit) -> Reply:
    grant = _DESK.grant(seen, "client_credentials", JWT)
    if grant == JWT:
        _, assertion = _DESK.form(seen, "grant_type", "assertion")
        _DESK.bare(seen)
        _check(double, assertion)
    else:
        _DESK.form(seen, "grant_type", optional=("client_id", "client_secret"))
        _DESK.secret(seen, double.secrets)
    lifetime = double.lifetime_of(seen, "salesforce", 7200)
    fields = {"access_token": _again(double, seen, lifetime), "signature": "c2lnbmF0dXJl", "token_format": "opaque"}
    fields |= {"instance_url": "https://acme.my.salesforce.com", "id": f"{LOGIN}/id/00D/005", "token_type": "Bearer"}
    return Answer(200, fields | {"issued_at": str(int(double.now() * 1000))}).reply()


def _again(double: Any, seen: Visit, lifetime: int) -> str:
    """Return the session's token: a new one only where none lives."""
    known = [value for value in double.tokens if value.startswith("00D") and double.is_live(value)]
    if known:
        seen.token = known[-1]
        return str(known[-1])
    return str(double.issue(seen, lifetime, prefix="00D!AQ."))


def _check(double: Any, assertion: str) -> None:
    claims = peeked(assertion) or {}
    client = claims.get("iss")
    if not isinstance(client, str) or client not in double.keys:
        raise _DESK.no("invalid_client_id", "client identifier invalid")
    _DESK.signed(assertion, double.keys[client], "RS256", no=("invalid_grant", "invalid assertion"))
    if claims.get("aud") != LOGIN:
        raise _DESK.no("invalid_grant", "audience is invalid")
    until = moment(claims.get("exp"))
    if until is None or not double.now() < until <= double.now() + _LONGEST:
        raise _DESK.no("invalid_grant", "assertion has expired")
    if claims.get("sub") not in double.subjects:
        raise RefusedError(UNAPPROVED)


ROUTES: Final = (("POST", PATH, _token),)
