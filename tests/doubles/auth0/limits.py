"""Rate limits and token quotas, and the headers that tell of them."""

from __future__ import annotations

from collections import Counter
from typing import Final

from tests.doubles.auth0 import refusals
from tests.doubles.auth0.refusals import RefusedError
from tests.doubles.auth0.state import Client, Organization, Quota

from tokenflight.testing import Answer
from tokenflight.testing.exchange import Pairs

_WINDOWS: Final = {"per_hour": 3600, "per_day": 86_400}


class Quotas:
    """Counts tokens by client and organization in each hour and day of UTC."""

    def __init__(self) -> None:
        self._used: Counter[tuple[str, str, int]] = Counter()

    def take(self, client: Client, organization: Organization | None, now: float) -> Pairs:
        """Count one token, and return the headers that tell what is left; raises RefusedError where nothing is."""
        holders = [("client", client.id, client.quota)]
        if organization is not None:
            holders.append(("organization", organization.id, organization.quota))
        for kind, holder, quota in holders:
            self._check(kind, holder, quota, now)
        for _, holder, _ in holders:
            for bucket, length in _WINDOWS.items():
                self._used[holder, bucket, int(now) // length] += 1
        return tuple(pair for kind, holder, quota in holders for pair in self._header(kind, holder, quota, now))

    def _check(self, kind: str, holder: str, quota: Quota | None, now: float) -> None:
        exhausted = [
            left for _, total, left in self._buckets(holder, quota, now) if self._left(holder, total, now) == 0
        ]
        if quota is None or not quota.enforce or not exhausted:
            return
        wait = max(exhausted)
        headers = (
            *self._header(kind, holder, quota, now),
            ("retry-after", str(wait)),
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", str(int(now) + wait)),
        )
        fields = {"error": "too_many_requests", "error_description": f"{kind.capitalize()} quota exceeded"}
        raise RefusedError(Answer(429, fields, headers=headers))

    def _header(self, kind: str, holder: str, quota: Quota | None, now: float) -> Pairs:
        told = [
            f"b={bucket};q={total[1]};r={self._left(holder, total, now)};t={left}"
            for bucket, total, left in self._buckets(holder, quota, now)
        ]
        return ((f"auth0-{kind}-quota-limit", ",".join(told)),) if told else ()

    def _buckets(self, holder: str, quota: Quota | None, now: float) -> list[tuple[str, tuple[str, int], int]]:
        """Return name, size and seconds to the end of each bucket that has a size."""
        sizes = {} if quota is None else {"per_hour": quota.hour, "per_day": quota.day}
        return [
            (bucket, (bucket, size), _WINDOWS[bucket] - int(now) % _WINDOWS[bucket])
            for bucket, size in sizes.items()
            if size is not None
        ]

    def _left(self, holder: str, total: tuple[str, int], now: float) -> int:
        bucket, size = total
        return max(0, size - self._used[holder, bucket, int(now) // _WINDOWS[bucket]])


class Rate:
    """Counts requests in each second.

    Attributes:
        limit: how many are answered in a second; None tells of a limit and keeps none.
    """

    def __init__(self) -> None:
        self.limit: int | None = None
        self._second = 0
        self._count = 0

    def admit(self, now: float) -> Answer | None:
        """Count one request, and return its refusal where there were too many."""
        if int(now) != self._second:
            self._second, self._count = int(now), 0
        self._count += 1
        if self.limit is None or self._count <= self.limit:
            return None
        return refusals.rate_limited(int(now) + 1)

    def headers(self, now: float) -> Pairs:
        """Return the headers of each reply; the reset is Unix time."""
        limit = 1000 if self.limit is None else self.limit
        left = max(0, limit - self._count)
        told = {"limit": limit, "remaining": left, "reset": int(now) + 1}
        return tuple((f"x-ratelimit-{name}", str(value)) for name, value in told.items())
