"""GitHub: installation tokens of one App."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from attrs import define, field
from tests.doubles.odd.checks import RefusedError, WrongError, checked
from tests.doubles.visits import Visit

from tokenflight.testing import Answer

_DOCS: Final = "https://docs.github.com/rest"


@define(eq=False)
class GitHub:
    """What is known of one App.

    Attributes:
        app: its client id.
        keys: its public JWKs.
        installations: their ids, and what each may do.
        suspended: ids of those that are.
    """

    now: Callable[[], float]
    app: str = "Iv23liExample"
    keys: list[dict[str, Any]] = field(factory=list, repr=False)
    installations: dict[str, dict[str, str]] = field(factory=dict)
    suspended: set[str] = field(factory=set)
    origin = "https://api.github.com"
    paths = ("/app/installations/",)

    def answer(self, seen: Visit, token: str) -> Answer:
        number, _, rest = seen.path.removeprefix(self.paths[0]).partition("/")
        if seen.raw or seen.query or not seen.request.header("user-agent"):
            raise _refused(400, "Problems parsing JSON")
        self._check(seen.bearer or "")
        if rest != "access_tokens" or number not in self.installations:
            raise _refused(404, "Not Found")
        if number in self.suspended:
            raise _refused(403, "This installation has been suspended")
        end = datetime.fromtimestamp(int(self.now()) + 3600, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        may = self.installations[number]
        return Answer(201, {"token": token, "expires_at": end, "permissions": may, "repository_selection": "selected"})

    def _check(self, text: str) -> None:
        try:
            read = checked(text, self.keys, now=self.now(), longest=720, iss=self.app)
        except WrongError as error:
            words = {
                "exp": "'Expiration time' claim ('exp') is too far in the future",
                "iat": "'Issued at' claim ('iat') must be an Integer representing the time that the JWT was issued",
            }
            raise _refused(401, words.get(str(error), "A JSON web token could not be decoded")) from None
        if set(read.claims) != {"iss", "iat", "exp"} or read.claims["exp"] > self.now() + 600:
            raise _refused(401, "A JSON web token could not be decoded")


def _refused(status: int, text: str) -> RefusedError:
    return RefusedError(Answer(status, {"message": text, "documentation_url": _DOCS, "status": str(status)}))
