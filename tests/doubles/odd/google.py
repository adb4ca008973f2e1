"""Google's service accounts: an assertion and nothing else; an ID token alone, where that is asked for."""

from __future__ import annotations

from typing import Any, Final

from tests.doubles.odd.desk import Desk, moment
from tests.doubles.odd.entra import JWT
from tests.doubles.tokens import key, peeked, signed
from tests.doubles.visits import Visit

from tokenflight.testing import Answer, Reply

PATH: Final = "/token"
ACCOUNT: Final = "robot@project.iam.gserviceaccount.com"
_DESK: Final = Desk(lambda code, text: Answer(400, {"error": code, "error_description": text}))
_LONGEST: Final = 3600.0
_SKEW: Final = 300.0
_TIMES: Final = (
    "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. "
    "Check your iat and exp values in the JWT claim."
)
INTERNAL_FAILURE: Final = Answer(400, {"error": "internal_failure", "error_description": "Backend Error"})
"""A 400 that is no fault of who asked, and passes."""


def _token(double: Any, seen: Visit) -> Reply:
    _, assertion = _DESK.form(seen, "grant_type", "assertion")
    _DESK.grant(seen, JWT)
    _DESK.bare(seen)
    claims = peeked(assertion) or {}
    account = claims.get("iss")
    if not isinstance(account, str) or account not in double.keys:
        raise _DESK.no("invalid_grant", "Invalid grant: account not found")
    _DESK.signed(assertion, double.keys[account], "RS256", no=("invalid_grant", "Invalid JWT Signature."))
    _check(double, seen, claims)
    if "target_audience" in claims:
        return _id_token(double, seen, claims)
    lifetime = double.lifetime_of(seen, "google", 3599)
    value = double.issue(seen, lifetime, prefix="ya29.c.")
    return Answer(200, {"access_token": value, "expires_in": lifetime, "token_type": "Bearer"}).reply()


def _check(double: Any, seen: Visit, claims: dict[str, Any]) -> None:
    if claims.get("aud") != seen.origin + PATH:
        raise _DESK.no("invalid_grant", "Invalid JWT: Failed audience check.")
    begun, until, now = moment(claims.get("iat")), moment(claims.get("exp")), double.now()
    if begun is None or until is None or not (begun <= now + _SKEW and now < until <= begun + _LONGEST):
        raise _DESK.no("invalid_grant", _TIMES)
    if claims.get("sub", account_of(claims)) not in {account_of(claims), *double.subjects}:
        raise _DESK.no("unauthorized_client", "Client is unauthorized to retrieve access tokens using this method.")
    wanted = [name for name in ("scope", "target_audience") if isinstance(claims.get(name), str) and claims[name]]
    if len(wanted) != 1:
        raise _DESK.no("invalid_scope", "Invalid OAuth scope or ID token audience provided.")


def account_of(claims: dict[str, Any]) -> str:
    """Return the service account that made an assertion."""
    return str(claims["iss"])


def _id_token(double: Any, seen: Visit, claims: dict[str, Any]) -> Reply:
    """Answer without access token and lifetime: the JWT says it all."""
    lifetime = double.lifetime_of(seen, "google", 3600)
    told = {"iss": "https://accounts.google.com", "aud": claims["target_audience"], "email": claims["iss"]}
    told |= {"iat": int(double.now()), "exp": int(double.now()) + lifetime, "sub": "1234567890"}
    value = double.issue(seen, lifetime, value=signed(told, key("odd-key")))
    return Answer(200, {"id_token": value}).reply()


ROUTES: Final = (("POST", PATH, _token),)
