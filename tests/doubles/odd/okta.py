"""Okta: a signed assertion for the full token URL and no client_id beside it; a custom server, which takes secrets."""

from __future__ import annotations

from typing import Any, Final

from tests.doubles.odd.desk import Desk, moment
from tests.doubles.odd.entra import ASSERTION_TYPE
from tests.doubles.tokens import peeked
from tests.doubles.visits import Visit

from tokenflight.testing import Answer, Reply

PATH: Final = "/oauth2/v1/token"
CUSTOM: Final = "/oauth2/default/v1/token"
_LONGEST: Final = 3600.0
_ALGORITHMS: Final = ("RS256", "RS384", "RS512", "ES256", "ES384", "ES512")
_AUDIENCE: Final = "The audience claim for client_assertion must be the endpoint invoked for the request."
_SUMMARY: Final = "API call exceeded rate limit due to too many requests."


def _refusal(code: str, text: str) -> Answer:
    status = 401 if code in ("invalid_client", "invalid_grant") else 400
    return Answer(status, {"error": code, "error_description": text})


_DESK: Final = Desk(_refusal)
NEEDS_PROOF_OF_POSSESSION: Final = _refusal("invalid_dpop_proof", "The DPoP proof JWT header is missing.")
"""What a new API-services app says until its switch is off."""


def of_the_api(answer: Answer) -> Answer:
    """Return a refusal in the shape of Okta's API."""
    code, text = answer.content["error"], answer.content["error_description"]
    fields = {"errorCode": code, "errorSummary": text, "errorLink": code, "errorId": "oae1"}
    return Answer(answer.status, {**fields, "errorCauses": []})


def throttled(reset: int) -> Answer:
    """Return a 429 in the shape of Okta's API; *reset* is Unix time."""
    fields = {"errorCode": "E0000047", "errorSummary": _SUMMARY, "errorLink": "E0000047", "errorId": "oaeQdc5Ivr"}
    headers = {"x-rate-limit-limit": "300", "x-rate-limit-remaining": "0", "x-rate-limit-reset": str(reset)}
    return Answer(429, {**fields, "errorCauses": []}, headers=headers)


def _token(double: Any, seen: Visit) -> Reply:
    _, kind, assertion, scope = _DESK.form(seen, "grant_type", "client_assertion_type", "client_assertion", "scope")
    _DESK.grant(seen, "client_credentials")
    _DESK.bare(seen)
    claims = peeked(assertion) or {}
    client = claims.get("iss")
    keys = double.keys.get(client) if isinstance(client, str) else None
    _DESK.signed(assertion, keys, *_ALGORITHMS, no=("invalid_client", "The client_assertion signature is invalid."))
    until = moment(claims.get("exp"))
    if claims.get("aud") != seen.origin + PATH:
        raise _DESK.no("invalid_client", _AUDIENCE)
    good = kind == ASSERTION_TYPE and claims.get("sub") == client
    if not good or until is None or not double.now() < until <= double.now() + _LONGEST:
        raise _DESK.no("invalid_client", "The parsed JWT is not valid: its sub, or its exp.")
    if "client_assertion" in seen.replayed:
        raise _DESK.no("invalid_client", "The client_assertion token has already been used.")
    if not all(each.startswith("okta.") for each in scope.split()):
        raise _DESK.no("invalid_scope", "One or more scopes are not configured for the authorization server resource.")
    return _issued(double, seen, scope)


def _custom(double: Any, seen: Visit) -> Reply:
    _, scope = _DESK.form(seen, "grant_type", "scope", optional=("client_id", "client_secret"))
    _DESK.grant(seen, "client_credentials")
    _DESK.secret(seen, double.secrets)
    return _issued(double, seen, scope)


def _issued(double: Any, seen: Visit, scope: str) -> Reply:
    lifetime = double.lifetime_of(seen, "okta", 3600)
    value = double.issue(seen, lifetime)
    return Answer(200, {"token_type": "Bearer", "expires_in": lifetime, "access_token": value, "scope": scope}).reply()


ROUTES: Final = (("POST", PATH, _token), ("POST", CUSTOM, _custom))
