"""Keycloak: a realm in the path, fields that nobody else has, and exchanges among its own clients."""

from __future__ import annotations

from typing import Any, Final

from tests.doubles.odd.desk import Desk
from tests.doubles.tokens import key, signed
from tests.doubles.visits import Visit

from tokenflight.testing import Answer, Reply

PATH: Final = "/realms/shop/protocol/openid-connect/token"
EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS: Final = "urn:ietf:params:oauth:token-type:access_token"
AUDIENCES: Final = frozenset({"orders-api", "stock-api"})
_SCOPES: Final = frozenset({"openid", "profile", "email", "orders"})


def _refusal(code: str, text: str) -> Answer:
    if code == "invalid_client":
        return Answer(401, {"error": code, "error_description": "Invalid client or Invalid client credentials"})
    return Answer(400, {"error": code, "error_description": text})


_DESK: Final = Desk(_refusal)


def _token(double: Any, seen: Visit) -> Reply:
    credentials = ("client_id", "client_secret", "scope")
    grant = _DESK.grant(seen, "client_credentials", EXCHANGE)
    if grant == EXCHANGE:
        more = ("audience", "requested_token_type", *credentials)
        _, subject, kind = _DESK.form(seen, "grant_type", "subject_token", "subject_token_type", optional=more)
    else:
        _DESK.form(seen, "grant_type", optional=credentials)
        subject = kind = ""
    client = _DESK.secret(seen, double.secrets)
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


def _exchangeable(double: Any, seen: Visit, subject: str, kind: str) -> None:
    if kind != ACCESS or seen.form.get("requested_token_type", ACCESS) != ACCESS:
        raise _DESK.no("invalid_request", "only access tokens are exchanged, and for such")
    if not double.is_live(subject):
        raise _DESK.no("invalid_request", "Invalid token")
    if seen.form.get("audience", "orders-api") not in AUDIENCES:
        raise _DESK.no("invalid_client", "Audience not found")


def _id_token(double: Any, seen: Visit, client: str) -> str:
    claims = {"iss": f"{seen.origin}/realms/shop", "aud": client, "sub": "service-account", "typ": "ID"}
    return signed(claims | {"iat": int(double.now()), "exp": int(double.now()) + 300}, key("odd-key"))


ROUTES: Final = (("POST", PATH, _token),)
