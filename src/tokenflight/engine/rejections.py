"""Rejections: which APIs refused a key's token, and when that is no longer worth a renewal. Pure."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Final

from attrs import define, field

from tokenflight.model.policy import rejection_pause, rejection_window

ORIGINS: Final = 32
QUIET_FOR: Final = 600.0


@define
class _Record:
    renewed_at: float = -math.inf
    window: float = 0.0
    shut_until: float = -math.inf
    shut: int = 0


@define(eq=False)
class Rejections:
    """One record an origin whose refusal bore the token, kept with the key, so that all who ask share it.

    Recorded by origin and not by token, so that an API that always says 401 cannot shut out a healthy one, nor two
    such APIs renew each other's tokens in turn.
    """

    _records: OrderedDict[str | None, _Record] = field(factory=OrderedDict)

    def shut_until(self, origin: str | None, now: float) -> float | None:
        """Return until when a refusal by *origin* renews nothing, or None where it does.

        A token that a refusal of *origin* bore, refused by it while young, shuts it: 60 s, doubling to 10 min.
        """
        record = self._records.get(origin)
        if record is None:
            return None
        if now < record.shut_until:
            return record.shut_until
        if now - record.renewed_at >= record.window:
            return None
        record.shut += 1
        record.shut_until = now + rejection_pause(record.shut)
        return record.shut_until

    def held_until(self, now: float) -> float | None:
        """Return until when the first of them stays shut, for a look from outside."""
        return min((r.shut_until for r in self._records.values() if r.shut_until > now), default=None)

    def renewed(self, origin: str | None, *, born_at: float, length: float) -> None:
        """Note that a refusal by *origin* bore a token of that *length*, asked for at *born_at*."""
        record = self._records.setdefault(origin, _Record())
        if born_at > record.shut_until + QUIET_FOR:
            record.shut = 0
        record.renewed_at, record.window = born_at, rejection_window(length)
        self._records.move_to_end(origin)
        if len(self._records) > ORIGINS:
            self._records.popitem(last=False)

    def accepted(self, origin: str | None) -> None:
        """Note that *origin* accepted the token that its refusal bore: a token like any other from now on."""
        self._records.pop(origin, None)
