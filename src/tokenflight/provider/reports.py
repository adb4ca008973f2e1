"""Reports: how keys stand, as values."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import Final

from tokenflight.engine.entries import NEVER, Entry
from tokenflight.engine.state import State
from tokenflight.model.key import TokenKey
from tokenflight.model.policy import Verdict
from tokenflight.model.status import HoldingBack, KeyStatus

_WORST_FIRST: Final[dict[Verdict, int]] = {"none": 0, "expired": 0, "urgent": 1, "due": 2, "fresh": 3}


def key_status(state: State, key: TokenKey, entry: Entry | None, now: float) -> KeyStatus:
    """Say how one key stands; one that is not kept has neither token nor history."""
    entry = entry or Entry(key)
    life, used_at = entry.life, entry.last_use()
    reason, until = _held_back(state, entry, now)
    return KeyStatus(
        key=key,
        verdict=entry.verdict(now),
        expires_at=None if entry.token is None else entry.token.expires_at,
        due_in=max(life.due_at, until) - now
        if life is not None and entry.plan is not None and entry.in_demand and not key.fleeting
        else None,
        used_ago=None if used_at == NEVER else now - used_at,
        in_flight=key in state.flights,
        pinned=entry.pins > 0,
        holding_back=reason,
        not_before_in=until - now if reason is not None else None,
        failures=entry.failures,
        last_error=None if entry.last is None else entry.last.reason,
    )


def worst(state: State, entries: Iterable[Entry], now: float, limit: int) -> tuple[KeyStatus, ...]:
    """Say how the *limit* worst of the keys stand, worst first: no token, urgent, due, fresh; most failures first."""

    def badness(entry: Entry) -> tuple[int, int, float]:
        return _WORST_FIRST[entry.verdict(now)], -entry.failures, entry.left(now)

    chosen = heapq.nsmallest(limit, entries, key=badness)
    return tuple(key_status(state, entry.key, entry, now) for entry in chosen)


def _held_back(state: State, entry: Entry, now: float) -> tuple[HoldingBack | None, float]:
    """Return what holds a key back and until when. Pace holds every young token back; a shut API says more."""
    brake = state.brake(entry, now, bare=entry.left(now) <= 0)
    shut = None if entry.rejections is None else entry.rejections.held_until(now)
    if shut is not None and (brake is None or brake.reason == "pace"):
        return "rejected", shut
    return (None, NEVER) if brake is None else (brake.reason, brake.until)
