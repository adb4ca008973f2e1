"""Client authentication: exactly the method that the client is configured for."""

from __future__ import annotations

from typing import Any, Final

from tests.doubles.auth0 import refusals
from tests.doubles.auth0.refusals import RefusedError
from tests.doubles.auth0.state import Client, Tenant
from tests.doubles.tokens import BadTokenError, NoSuchKeyError, peeked, verified
from tests.doubles.visits import Visit

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ALGORITHMS: Final = ("RS256", "RS384", "PS256", "PS384", "ES256", "ES384")
_SECRETS: Final = frozenset({"post", "basic"})
_LONGEST_TEXT: Final = 2048
_LONGEST_NAME: Final = 64
_LONGEST_LIFE: Final = 300.0
_SKEW: Final = 10.0


def authenticated(tenant: Tenant, seen: Visit, now: float) -> Client:
    """Return the client that a request proves to be from; raises RefusedError."""
    shown = _shown(seen)
    client = tenant.clients.get(_claimed(seen) or "")
    by_secret = "private_key_jwt" not in shown and (client.method in _SECRETS if client else bool(shown))
    wrong = RefusedError(refusals.WRONG_SECRET if by_secret else refusals.WRONG_PROOF)
    if client is None:
        raise wrong
    if shown != ([client.method] if client.method not in ("none", "tls") else []):
        raise wrong
    if seen.form.get("client_id", client.id) != client.id:
        raise wrong
    if client.method in _SECRETS and _secret(seen) != client.secret:
        raise wrong
    if client.method == "private_key_jwt":
        _check_assertion(seen, client, now)
    if client.method == "tls" and client.thumbprint != seen.request.thumbprint:
        raise wrong
    return client


def _shown(seen: Visit) -> list[str]:
    """Return the proofs that came along."""
    proofs = {
        "post": "client_secret" in seen.form,
        "basic": seen.request.header("authorization") is not None,
        "private_key_jwt": "client_assertion" in seen.form or "client_assertion_type" in seen.form,
    }
    return [method for method, shown in proofs.items() if shown]


def _claimed(seen: Visit) -> str | None:
    if seen.client is None:
        issuer = (peeked(seen.form.get("client_assertion")) or {}).get("iss")
        return issuer if isinstance(issuer, str) else None
    return seen.client


def _secret(seen: Visit) -> str | None:
    return seen.basic[1] if seen.basic else seen.form.get("client_secret")


def _check_assertion(seen: Visit, client: Client, now: float) -> None:
    text = seen.form.get("client_assertion", "")
    try:
        claims = verified(text, client.keys, _ALGORITHMS).claims
    except (BadTokenError, NoSuchKeyError):
        raise RefusedError(refusals.WRONG_PROOF) from None
    good = (
        seen.form.get("client_assertion_type") == ASSERTION_TYPE
        and len(text) <= _LONGEST_TEXT
        and claims.get("iss") == claims.get("sub") == client.id
        and claims.get("aud") in (f"{seen.origin}/", [f"{seen.origin}/"])
        and _name(claims.get("jti"))
        and "client_assertion" not in seen.replayed
        and _in_time(claims, now)
    )
    if not good:
        raise RefusedError(refusals.WRONG_PROOF)


def _name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_NAME


def _in_time(claims: dict[str, Any], now: float) -> bool:
    begun = [claims[name] for name in ("iat", "nbf") if name in claims]
    moments = [claims.get("exp"), *begun]
    if any(isinstance(moment, bool) or not isinstance(moment, int | float) for moment in moments):
        return False
    until = float(claims["exp"])
    return now < until <= now + _LONGEST_LIFE and all(moment <= now + _SKEW for moment in begun)
