"""What the systems check alike: forms without a field too many, and JWTs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from tests.doubles.tokens import BadTokenError, NoSuchKeyError, Read, verified
from tests.doubles.visits import FORM, Visit

from tokenflight.testing import Answer

ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN: Final = "urn:ietf:params:oauth:token-type:access_token"


class RefusedError(Exception):
    """A request is refused with an answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status, answer.content)
        self.answer = answer


class WrongError(Exception):
    """A JWT is not as it should be; says why."""


def fault_of(seen: Visit, *, wanted: Collection[str], allowed: Collection[str] = ()) -> str | None:
    """Return what is wrong with a form: it has each field that is wanted, once, and none that is not allowed."""
    if seen.content_type != FORM or not seen.readable or seen.query or seen.repeated:
        return "the body is one form, and nothing is in the query"
    missing = sorted(set(wanted) - set(seen.form))
    odd = sorted(set(seen.form) - set(wanted) - set(allowed))
    return f"missing: {' '.join(missing)}" if missing else f"not wanted: {' '.join(odd)}" if odd else None


def checked(
    text: str,
    keys: Collection[Mapping[str, Any]],
    *,
    now: float,
    longest: float,
    algorithms: Collection[str] = ("RS256",),
    **claims: Any,
) -> Read:
    """Verify a JWT that says *claims* and ends within *longest* seconds; raises WrongError with what is wrong."""
    try:
        read = verified(text, keys, algorithms)
    except (BadTokenError, NoSuchKeyError) as error:
        raise WrongError("signature") from error
    for name, value in claims.items():
        if read.claims.get(name) != value:
            raise WrongError(name)
    end, start = read.claims.get("exp"), read.claims.get("iat", now)
    if not isinstance(end, int) or not now < end or end - min(start, now) > longest:
        raise WrongError("exp")
    if start > now:
        raise WrongError("iat")
    return read
