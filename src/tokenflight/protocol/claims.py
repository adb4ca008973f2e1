"""Claims: what ID tokens and access tokens have in common to be checked, and who checks it at what leeway."""

from __future__ import annotations

from typing import Any, Final

from tokenflight.protocol.compact import Invalid
from tokenflight.protocol.verification import Claims

LEEWAY: Final = 30.0
"""Seconds by which the server's clock and ours may differ."""

_FAR: Final = 1e15
"""Unix time that is no date."""


def check_issuer(claims: Claims, issuer: str | None) -> Invalid | None:
    """Compare `iss` exactly, as both specifications ask: a slash at the end counts. No *issuer* is nobody's."""
    if issuer and claims.get("iss") == issuer:
        return None
    return Invalid(reason="issuer", detail="its issuer (iss) is not the expected one")


def check_audience(claims: Claims, audience: str | None) -> Invalid | None:
    """Look for *audience* in `aud`, a string or a list of strings (RFC 7519, section 4.1.3)."""
    if audience and audience in audiences(claims):
        return None
    return Invalid(reason="audience", detail="it is meant for another audience (aud)")


def audiences(claims: Claims) -> list[str]:
    """Return the `aud` as a list; an empty one for what is none."""
    value = claims.get("aud")
    listed = value if isinstance(value, list) else [value]
    return listed if all(isinstance(name, str) for name in listed) else []


def check_times(claims: Claims, *, wall: float, leeway: float) -> Invalid | None:
    """Check `exp`, which must be there, and `nbf`, against Unix time (RFC 7519, sections 4.1.4 and 4.1.5)."""
    ends, starts = moment(claims.get("exp")), moment(claims.get("nbf", 0))
    if ends is None or ends + leeway <= wall:
        return Invalid(reason="expired", detail="it is past its end (exp), or names none")
    if starts is None or starts - leeway > wall:
        return Invalid(reason="not_yet_valid", detail="it is not valid yet (nbf)")
    return None


def moment(value: Any) -> float | None:
    """Return a NumericDate as Unix time; None for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -_FAR < value < _FAR:
        return None
    return float(value)
