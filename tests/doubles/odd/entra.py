"""Microsoft Entra ID, v2.0: scopes instead of audiences, certificates, federation, and on behalf of who called."""

from __future__ import annotations

import base64
import hashlib
from typing import Any, Final

from cryptography.hazmat.primitives.serialization import Encoding
from tests.doubles.odd.desk import Desk, moment
from tests.doubles.tokens import certificate, header_of, key, peeked
from tests.doubles.visits import Visit

from tokenflight.testing import Answer, Reply

TENANT: Final = "8f2f0c3e-1111-4222-8333-444455556666"
PATH: Final = f"/{TENANT}/oauth2/v2.0/token"
FEDERATION: Final = "https://cluster.example/"
FEDERATED: Final = "system:serviceaccount:shop:orders"
FOR_EXCHANGE: Final = "api://AzureADTokenExchange"
ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
JWT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
THROTTLED: Final = Answer(429, "Too Many Requests", headers={"retry-after": "60"})
"""In plain text, whatever was asked for."""

_CODES: Final = {
    "invalid_client": (401, 7000215),
    "invalid_request": (400, 900144),
    "invalid_scope": (400, 70011),
    "invalid_grant": (400, 500131),
    "unsupported_grant_type": (400, 70003),
}
_LONGEST: Final = 86_400.0


def refusal(code: str, text: str, number: int | None = None) -> Answer:
    """Return a refusal as it is recorded: an AADSTS number, which a code may have many of, and who to ask about it."""
    status, usual = _CODES.get(code, (400, 0))
    number = number or usual
    fields = {"error": code, "error_description": f"AADSTS{number}: {text} Trace ID: 1f0e", "error_codes": [number]}
    fields |= {"timestamp": "2026-01-01 00:00:00Z", "trace_id": "1f0e", "correlation_id": "2c1d"}
    return Answer(status, fields | {"error_uri": f"https://login.microsoftonline.com/error?code={number}"})


_DESK: Final = Desk(refusal)


def thumbprint(name: str = "x5t") -> str:
    """Return `x5t` or `x5t#S256` of the certificate that is registered for the client."""
    der = certificate(key("odd-key")).public_bytes(Encoding.DER)
    digest = hashlib.sha256(der).digest() if name == "x5t#S256" else hashlib.sha1(der).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _token(double: Any, seen: Visit) -> Reply:
    proof = ("client_secret", "client_assertion", "client_assertion_type")
    behalf = seen.form.get("grant_type") == JWT
    more = ("assertion", "requested_token_use") if behalf else ()
    _DESK.form(seen, "grant_type", "client_id", "scope", *more, optional=proof)
    _DESK.grant(seen, "client_credentials", JWT)
    _DESK.bare(seen)
    _authenticate(double, seen)
    scopes = seen.form["scope"].split(" ")
    if behalf:
        _on_behalf(double, seen)
    elif len(scopes) != 1 or not scopes[0].endswith("/.default"):
        raise _DESK.no("invalid_scope", "the scope of client credentials is one resource and /.default.")
    lifetime = double.lifetime_of(seen, "entra", 3599)
    fields = {"token_type": "Bearer", "expires_in": lifetime, "ext_expires_in": lifetime}
    fields |= {"refresh_in": lifetime // 2} if lifetime >= 7200 else {}
    fields |= {"scope": seen.form["scope"]} if behalf else {}
    return Answer(200, fields | {"access_token": double.issue(seen, lifetime)}).reply()


def _authenticate(double: Any, seen: Visit) -> None:
    """Take a secret, an assertion by the client's certificate, or one that a trusted cluster has made."""
    assertion = seen.form.get("client_assertion")
    if assertion is None:
        _DESK.secret(seen, double.secrets, where=("post",))
        return
    client = seen.form["client_id"]
    if "client_secret" in seen.form or seen.form.get("client_assertion_type") != ASSERTION_TYPE:
        raise _DESK.no("invalid_client", "one proof is wanted, and its type.")
    federated = (peeked(assertion) or {}).get("iss") == FEDERATION
    keys = double.keys.get(FEDERATION) if federated else _by_certificate(double.keys.get(client), assertion)
    unsigned = ("invalid_client", "the signature of the assertion does not hold.")
    read = _DESK.signed(assertion, keys, "RS256", "PS256", no=unsigned)
    expected = {"iss": client, "sub": client, "aud": seen.origin + PATH}
    if federated:
        expected = {"iss": FEDERATION, "sub": FEDERATED, "aud": FOR_EXCHANGE}
    wrong = [name for name, value in expected.items() if read.claims.get(name) != value]
    until = moment(read.claims.get("exp"))
    if wrong or until is None or not double.now() < until <= double.now() + _LONGEST:
        raise _DESK.no("invalid_client", f"wrong in the assertion: {' '.join(wrong) or 'exp'}.")
    named = {name: read.header[name] for name in ("x5t", "x5t#S256") if name in read.header}
    known = bool(named) and all(value == thumbprint(name) for name, value in named.items())
    if not federated and (not known or "client_assertion" in seen.replayed):
        raise _DESK.no("invalid_client", "the certificate's x5t is missing or unknown, or the assertion was seen.")
    if not federated and not isinstance(read.claims.get("jti"), str):
        raise _DESK.no("invalid_client", "an assertion has a jti.")


def _by_certificate(keys: Any, assertion: str) -> list[dict[str, Any]]:
    """Return keys under whatever name the assertion has for them: a certificate is told by `x5t`, not by `kid`."""
    named = {name: value for name, value in header_of(assertion).items() if name == "kid"}
    bare = [{name: value for name, value in each.items() if name != "kid"} for each in keys or ()]
    return [each | named for each in bare]


def _on_behalf(double: Any, seen: Visit) -> None:
    if seen.form["requested_token_use"] != "on_behalf_of":
        raise _DESK.no("invalid_request", "requested_token_use is on_behalf_of.")
    if not double.is_live(seen.form["assertion"]):
        raise _DESK.no("invalid_grant", "the assertion is not valid, or no longer.")


ROUTES: Final = (("POST", PATH, _token),)
