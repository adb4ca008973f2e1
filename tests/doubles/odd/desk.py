"""What the odd providers check alike: forms, secrets, signatures and moments."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from attrs import frozen
from tests.doubles.tokens import BadTokenError, NoSuchKeyError, Read, verified
from tests.doubles.visits import FORM, Visit

from tokenflight.testing import Answer


class RefusedError(Exception):
    """A provider says no: with `answer`."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.content)
        self.answer = answer


@frozen
class Desk:
    """Checks a request and refuses it in its provider's way: `refuse` makes an answer of an error code and a text."""

    refuse: Callable[[str, str], Answer]

    def no(self, code: str, text: str) -> RefusedError:
        """Return the refusal to raise."""
        return RefusedError(self.refuse(code, text))

    def form(self, seen: Visit, *required: str, optional: Collection[str] = ()) -> list[str]:
        """Return the values of the *required* fields of a form that has no others but *optional* ones."""
        if seen.content_type != FORM or not seen.readable or seen.repeated or seen.query:
            raise self.no("invalid_request", f"the body must be {FORM}, each parameter once, and nothing in the query")
        lacking = [name for name in required if not seen.form.get(name)]
        if lacking:
            raise self.no("invalid_request", f"missing: {' '.join(lacking)}")
        extra = sorted(set(seen.form).difference(required, optional))
        if extra:
            raise self.no("invalid_request", f"not known here: {' '.join(extra)}")
        return [seen.form[name] for name in required]

    def grant(self, seen: Visit, *known: str) -> str:
        """Return the grant type, one of those *known*."""
        if seen.form.get("grant_type") not in known:
            raise self.no("unsupported_grant_type", f"grant_type is {' or '.join(known)}")
        return seen.form["grant_type"]

    def bare(self, seen: Visit) -> None:
        """Refuse an Authorization header."""
        if seen.request.header("authorization") is not None:
            raise self.no("invalid_client", "no Authorization header is taken here")

    def secret(self, seen: Visit, secrets: dict[str, str], *, where: Collection[str] = ("basic", "post")) -> str:
        """Return the client that shows its secret, in exactly one place of *where*."""
        header = seen.request.header("authorization") is not None
        places = [place for place, used in (("basic", header), ("post", "client_secret" in seen.form)) if used]
        given = seen.basic or (seen.form.get("client_id", ""), seen.form.get("client_secret", ""))
        if len(places) != 1 or places[0] not in where or secrets.get(given[0]) != given[1]:
            raise self.no("invalid_client", "client authentication failed")
        return given[0]

    def signed(self, text: str, keys: Any, *algorithms: str, no: tuple[str, str]) -> Read:
        """Return a JWT whose signature holds by one of *keys*; *no* is the code and text of the refusal."""
        try:
            return verified(text, keys or (), algorithms)
        except (BadTokenError, NoSuchKeyError):
            raise self.no(*no) from None


def moment(value: Any) -> float | None:
    """Return a moment that a claim tells; None where it tells none."""
    return None if isinstance(value, bool) or not isinstance(value, int | float) else float(value)
