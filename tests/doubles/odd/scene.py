"""Good requests to the odd providers, and assertions to make bad ones of."""

from __future__ import annotations

from typing import Any, Final

from tests.doubles.odd import entra, github, google, okta, salesforce
from tests.doubles.odd.double import CLIENT, OddDouble
from tests.doubles.tokens import key, signed
from tests.kit.canary import canary

SCOPE: Final = "https://graph.microsoft.com/.default"
_AT: Final = {"entra": entra.PATH, "okta": okta.PATH, "google": google.PATH}


def plain(double: OddDouble, /, **fields: Any) -> dict[str, Any]:
    """Return client credentials with the secret in the body, with fields replaced, or left out where None."""
    good = {"grant_type": "client_credentials", "client_id": CLIENT, "client_secret": double.secrets[CLIENT]}
    return without(good | fields)


def claims(double: OddDouble, provider: str, origin: str = "", /, **other: Any) -> dict[str, Any]:
    """Return the claims that a provider wants, changed or left out as *other* says."""
    now = int(double.now())
    own: dict[str, dict[str, Any]] = {
        "entra": {"iss": CLIENT, "sub": CLIENT, "exp": now + 60, "jti": canary("jti")},
        "okta": {"iss": CLIENT, "sub": CLIENT, "exp": now + 60, "jti": canary("jti")},
        "google": {"iss": google.ACCOUNT, "iat": now, "exp": now + 3600, "scope": "https://example.com/auth/a"},
        "github": {"iss": github.APP, "iat": now - 60, "exp": now + 540},
        "salesforce": {"iss": CLIENT, "sub": "person@example.com", "aud": salesforce.LOGIN, "exp": now + 180},
        "federation": {"iss": entra.FEDERATION, "sub": entra.FEDERATED, "aud": entra.FOR_EXCHANGE, "exp": now + 3600},
    }
    where = {"aud": (origin or double.url) + _AT[provider]} if provider in _AT else {}
    return without(own[provider] | where | other)


def sign(told: dict[str, Any], **header: Any) -> str:
    return signed(told, key("odd-key"), **header)


def by_certificate(told: dict[str, Any], **header: Any) -> str:
    """Sign as Entra wants it: the certificate named, and not the key."""
    return sign(told, **{"kid": None, "x5t": entra.thumbprint()} | header)


def asserted(assertion: str, **fields: Any) -> dict[str, Any]:
    """Return client credentials that are proven by an assertion."""
    proof = {"client_assertion_type": entra.ASSERTION_TYPE, "client_assertion": assertion}
    return without({"grant_type": "client_credentials"} | proof | fields)


def without(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
