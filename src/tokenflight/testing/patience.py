"""Patience: who was told to wait, and came before (RFC 9110, section 10.2.3)."""

from __future__ import annotations

import math
from email.utils import parsedate_to_datetime
from typing import Any, Final

from tokenflight.model.clock import Clock
from tokenflight.testing.clock import VirtualClock
from tokenflight.testing.ledger import Entry, Ledger

_LONGEST_PAUSE: Final = 600.0
_ON_THEIR_WAY: Final = 0.05
_ROUNDING: Final = 0.005


class Patience:
    """Note what an endpoint tells its clients to wait, and complain of those who do not, by the `retry_after` rule."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._not_before: dict[tuple[str, str | None], tuple[float, float]] = {}

    def told(self, origin: str, client: str | None, retry_after: float) -> None:
        """Note that *client* was told at *origin* to wait *retry_after* seconds."""
        now = self._clock.now()
        # What had set out by then is on its way still; in virtual time, nothing moves within a moment.
        grace = 0.0 if isinstance(self._clock, VirtualClock) else _ON_THEIR_WAY
        self._not_before[origin, client] = (now + grace, now + min(retry_after, _LONGEST_PAUSE))

    def came(self, ledger: Ledger[Any], entry: Entry, client: str | None) -> None:
        """Note that a request of *client* came; complain in *ledger* where it is too early."""
        given, until = self._not_before.get((entry.request.origin, client), (math.inf, 0.0))
        if given < entry.started < until - _ROUNDING:
            early = until - entry.started
            ledger.complain(
                "retry_after", f"request {entry.number} of {client!r} came {early:g} s before it was let to"
            )


def seconds_to_wait(retry_after: str | None, wall: float) -> float | None:
    """Return what a Retry-After header says, at the Unix time *wall*; None where it is missing or says nothing."""
    if retry_after is None:
        return None
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - wall)
    except ValueError:
        return None
