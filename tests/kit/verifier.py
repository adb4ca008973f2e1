"""An authorization server that checks the assertions it is shown by a clock of its own, as strictly as Box does."""

from __future__ import annotations

from email.utils import formatdate
from typing import Any

from attrs import define, field
from tests.kit.keys import read_jwt

from tokenflight.testing import Answer, Error, TokenEntry, VirtualClock


@define(eq=False)
class Verifier:
    """Judge requests for a FakeTokenEndpoint's `always`: by `exp`, `iat` and `jti`, seen ones in refused requests too.

    *ahead* is by how many seconds its clock is before the programs'; *mute* leaves out what is wrong.
    """

    clock: VirtualClock
    ahead: float = 0.0
    mute: bool = False
    dateless: bool = False
    failing: list[int] = field(factory=list)
    kind: str = "P-256"
    algorithm: str = "ES256"
    code: str = "invalid_grant"
    seen: list[str] = field(factory=list)

    @property
    def now(self) -> float:
        return self.clock.wall() + self.ahead

    def __call__(self, entry: TokenEntry) -> Any:
        """Return a refusal, or None to let the endpoint do its business."""
        text = entry.form.get("client_assertion") or entry.form["assertion"]
        _, claims = read_jwt(text, self.kind, self.algorithm)
        known, _ = claims["jti"] in self.seen, self.seen.append(claims["jti"])
        if self.failing:
            return Answer(self.failing.pop(0), headers=self._date)
        if known:
            return self._no("Please check the 'jti' claim. A unique 'jti' value is required.")
        if not self.now < claims["exp"] <= self.now + 61:
            return self._no("Current date/time MUST be before the expiration date/time listed in the 'exp' claim")
        if claims.get("iat", 0) > self.now:
            return self._no("Current date/time MUST be after the date/time listed in the 'iat' claim")
        return None

    def _no(self, why: str) -> Any:
        return Error(self.code, None if self.mute else why, headers=self._date)

    @property
    def _date(self) -> dict[str, str]:
        return {} if self.dateless else {"date": formatdate(self.now, usegmt=True)}
