"""Advice: which refusal is mended where in a provider's console."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import field, frozen

from tokenflight.protocol.dialect import Hint


def _codes(codes: Iterable[str]) -> frozenset[str]:
    return frozenset(codes)


@frozen(kw_only=True)
class Advice:
    """What to do about the refusals that match: each condition that is given has to hold.

    `words` may stand anywhere in the description, in any case: servers vary in punctuation.
    """

    text: str
    errors: frozenset[str] = field(default=frozenset(), converter=_codes)
    status: int | None = None
    words: str = ""

    def fits(self, status: int, error: str | None, description: str | None) -> bool:
        """Tell whether this is the advice for such a refusal."""
        return (
            (not self.errors or error in self.errors)
            and self.status in (None, status)
            and self.words.lower() in (description or "").lower()
        )


def hints(table: Iterable[Advice]) -> Hint:
    """Return a dialect's `hint` function that gives the first advice of *table* that fits."""
    rows = tuple(table)

    def hint(status: int, error: str | None, description: str | None) -> str | None:
        return next((row.text for row in rows if row.fits(status, error, description)), None)

    return hint
