"""ID tokens: who logged in, as one client may believe it (OpenID Connect Core, section 3.1.3.7)."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Final

from tokenflight.protocol.claims import LEEWAY, audiences, check_audience, check_issuer, check_times, moment
from tokenflight.protocol.compact import Invalid
from tokenflight.protocol.verification import Claims

_MAX_SUBJECT: Final = 255


def check_id_token(
    claims: Claims,
    *,
    issuer: str,
    client_id: str,
    nonce: str | None,
    access_token: str | None,
    wall: float,
    leeway: float = LEEWAY,
) -> Invalid | None:
    """Say why a verified ID token is not for this client and login; None where it is.

    *nonce* is what the login sent, None where it sent none: then there must be none. *access_token* is the one that
    came along, for `at_hash`. Reasons: `issuer`, `subject`, `audience`, `authorized_party`, `expired`,
    `not_yet_valid`, `issued_at`, `nonce`, `at_hash`. *wall* is Unix time, *leeway* seconds.
    """
    return (
        check_issuer(claims, issuer)
        or _check_subject(claims)
        or check_audience(claims, client_id)
        or _check_authorized_party(claims, client_id)
        or check_times(claims, wall=wall, leeway=leeway)
        or _check_issued_at(claims, wall + leeway)
        or _check_nonce(claims, nonce)
        or _check_at_hash(claims, access_token)
    )


def _check_subject(claims: Claims) -> Invalid | None:
    subject = claims.get("sub")
    if isinstance(subject, str) and 0 < len(subject) <= _MAX_SUBJECT:
        return None
    return Invalid(reason="subject", detail="it does not say who logged in (sub)")


def _check_authorized_party(claims: Claims, client_id: str) -> Invalid | None:
    """Demand `azp` where several parties are addressed: the others are not known to be trusted."""
    several = len(audiences(claims)) > 1
    if claims.get("azp") == client_id or (not several and "azp" not in claims.values):
        return None
    return Invalid(reason="authorized_party", detail="it was issued to another client (azp)")


def _check_issued_at(claims: Claims, latest: float) -> Invalid | None:
    issued, ends = moment(claims.get("iat")), moment(claims.get("exp"))
    if issued is not None and ends is not None and issued <= min(latest, ends):
        return None
    return Invalid(reason="issued_at", detail="it does not say when it was issued, or says a time to come (iat)")


def _check_nonce(claims: Claims, nonce: str | None) -> Invalid | None:
    value = claims.get("nonce")
    if nonce is None:
        matches = value is None
    else:
        matches = isinstance(value, str) and hmac.compare_digest(_octets(value), _octets(nonce))
    return None if matches else Invalid(reason="nonce", detail="it belongs to another login (nonce)")


def _check_at_hash(claims: Claims, access_token: str | None) -> Invalid | None:
    """Compare the left half of the access token's hash, by the algorithm of the signature (section 3.1.3.6)."""
    if "at_hash" not in claims.values or access_token is None:
        return None
    digest = _DIGESTS[claims.algorithm[-3:]](access_token.encode("utf-8", "surrogatepass")).digest()
    expected = base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=")
    value = claims.get("at_hash")
    if isinstance(value, str) and hmac.compare_digest(_octets(value), expected):
        return None
    return Invalid(reason="at_hash", detail="it came with another access token (at_hash)")


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


_DIGESTS: Final = {"256": hashlib.sha256, "384": hashlib.sha384, "512": hashlib.sha512, "DSA": hashlib.sha512}
"""By the end of the algorithm's name; Ed25519 hashes with SHA-512 (RFC 8032, section 5.1)."""
