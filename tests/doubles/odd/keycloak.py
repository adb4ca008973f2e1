"""Keycloak: a realm in the path, fields that nobody else has, and exchanges among its own clients."""

from __future__ import annotations

from typing import Any, Final

from tests.doubles.odd.desk import Desk, moment
from tests.doubles.odd.entra import ASSERTION_TYPE
from tests.doubles.tokens import key, peeked, signed
from tests.doubles.visits import Visit

from tokenflight.testing import Answer, Reply

PATH: Final = "/realms/shop/protocol/openid-connect/token"
EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS: Final = "urn:ietf:params:oauth:token-type:access_token"
AUDIENCES: Final = frozenset({"orders-api", "stock-api"})
NO_AUDIENCE: Final = "Audience not found"
"""Of the client that is asked for, and under the code of the one that asks."""

_SCOPES: Final = frozenset({"openid", "profile", "email", "orders"})


def refusal(code: str, text: str, *, status: int | None = None) -> Answer:
    """Return a refusal as it is recorded; one of the client has the same text for whatever is wrong."""
    if status is not None:
        return Answer(status, {"error": code, "error_description": text})
    if code == "invalid_client" and text != NO_AUDIENCE:
        return Answer(401, {"error": code, "error_description": "Invalid client or Invalid client credentials"})
    return Answer(400, {"error": code, "error_description": text})


_DESK: Final = Desk(refusal)


def _token(double: Any, seen: Visit) -> Reply:
    credentials = ("client_id", "client_secret", "client_assertion", "client_assertion_type", "scope")
    grant = _DESK.grant(seen, "client_credentials", EXCHANGE)
    if grant == EXCHANGE:
        more = ("audience", "requested_token_type", *credentials)
        _, subject, kind = _DESK.form(seen, "grant_type", "subject_token", "subject_token_type", optional=more)
    else:
        _DESK.form(seen, "grant_type", optional=credentials)
        subject = kind = ""
    client = _signed(double, seen) if "client_assertion" in seen.form else _DESK.secret(seen, double.secrets)
    if grant == EXCHANGE:
        _exchangeable(double, seen, subject, kind)
    scopes = seen.form.get("scope", "profile email").split()
    if not set(scopes) <= _SCOPES:
        raise _DESK.no("invalid_scope", f"Invalid scopes: {seen.form['scope']}")
    lifetime = double.lifetime_of(seen, "keycloak", 300)
    fields = {"access_token": double.issue(seen, lifetime), "expires_in": lifetime, "refresh_expires_in": 0}
    fields |= {"token_type": "Bearer", "not-before-policy": 0, "scope": " ".join(scopes)}
    fields |= {"id_token": _id_token(double, seen, client)} if "openid" in scopes else {}
    fields |= {"issued_token_type": ACCESS} if grant == EXCHANGE else {}
    return Answer(200, fields).reply()


def _signed(double: Any, seen: Visit) -> str:
    """Return the client that signed for the realm."""
    text, wrong = seen.form["client_assertion"], ("invalid_client", "Client authentication with signed JWT failed")
    client = str((peeked(text) or {}).get("iss"))
    claims = _DESK.signed(text, double.keys.get(client), "RS256", no=wrong).claims
    until, here = moment(claims.get("exp")), f"{seen.origin}/realms/shop"
    good = (claims.get("sub"), claims.get("aud"), seen.form.get("client_assertion_type")) == (
        client,
        here,
        ASSERTION_TYPE,
    )
    if not good or until is None or not double.now() < until or "client_assertion" in seen.replayed:
        raise _DESK.no(*wrong)
    return client


def _exchangeable(double: Any, seen: Visit, subject: str, kind: str) -> None:
    if kind != ACCESS or seen.form.get("requested_token_type", ACCESS) != ACCESS:
        raise _DESK.no("invalid_request", "only access tokens are exchanged, and for such")
    if not double.is_live(subject):
        raise _DESK.no("invalid_request", "Invalid token")
    if seen.form.get("audience", "orders-api") not in AUDIENCES:
        raise _DESK.no("invalid_client", NO_AUDIENCE)


def _id_token(double: Any, seen: Visit, client: str) -> str:
    claims = {"iss": f"{seen.origin}/realms/shop", "aud": client, "sub": "service-account", "typ": "ID"}
    return signed(claims | {"iat": int(double.now()), "exp": int(double.now()) + 300}, key("odd-key"))


ROUTES: Final = (("POST", PATH, _token),)
