"""A small tenant: one API, and clients that authenticate in each way."""

from __future__ import annotations

from typing import Any, Final

from tests.doubles.auth0.authentication import ASSERTION_TYPE
from tests.doubles.auth0.double import Auth0Double
from tests.doubles.tokens import key, public, signed
from tests.kit.canary import canary

API: Final = "https://api.example/"
OTHER: Final = "https://other.example/"
CALLBACK: Final = "https://app.example/callback"
EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
PEOPLE: Final = frozenset({"authorization_code", "refresh_token"})


def tenant(**options: Any) -> Auth0Double:
    """Return a double with the clients `the-post`, `the-basic`, `the-key`, `the-web` and `the-spa`."""
    double = Auth0Double(**options)
    double.api(API, scopes=frozenset({"read:a", "write:a"}))
    double.api(OTHER, profile="rfc9068_profile", lifetime=600)
    double.client("the-post")
    double.client("the-basic", method="basic")
    double.client("the-key", method="private_key_jwt", keys=[public(key("client-key"))])
    double.client("the-web", grant_types=PEOPLE, redirect_uris=(CALLBACK,))
    double.client("the-spa", method="none", secret="", grant_types=PEOPLE, redirect_uris=(CALLBACK,))
    return double


def credentials(double: Auth0Double, client: str = "the-post") -> dict[str, str]:
    return {"client_id": client, "client_secret": double.tenant.clients[client].secret}


def machine(double: Auth0Double, /, **fields: Any) -> dict[str, Any]:
    """Return a request of `the-post`, with fields replaced, or left out where they are None."""
    good = {"grant_type": "client_credentials", **credentials(double), "audience": API}
    return without(good | fields)


def claims(double: Auth0Double, /, origin: str = "", **other: Any) -> dict[str, Any]:
    """Return the claims of a good client assertion, changed or left out as *other* says."""
    common = {"iss": "the-key", "sub": "the-key", "aud": f"{origin or double.url}/", "jti": canary("jti")[:40]}
    return without(common | {"iat": int(double.now()), "exp": int(double.now()) + 60} | other)


def with_assertion(double: Auth0Double, assertion: str = "", /, **fields: Any) -> dict[str, Any]:
    """Return a request of `the-key`."""
    proof = {
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": assertion or signed(claims(double), key("client-key")),
    }
    return without({"grant_type": "client_credentials", "audience": API} | proof | fields)


def without(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
