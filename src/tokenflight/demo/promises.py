"""Promises: what each act counted, and the judgement of it. Pure; counts decide, and never how long a thing took.

A slow machine stretches every act, so that a renewal by schedule may come while one still plays: where an act counts
requests, those are known apart and not held against the promise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from attrs import frozen

from tokenflight import RefreshPolicy
from tokenflight.demo.books import LIFETIME


@frozen
class Promise:
    """A promise, what was measured, and whether it was kept."""

    text: str
    measured: str
    kept: bool


@frozen(kw_only=True)
class ColdCallers:
    """Many callers of one key without a token. `ahead`: requests that were renewals by schedule."""

    callers: int
    served: int
    requests: int
    ahead: int


@frozen(kw_only=True)
class Steady:
    """A steady stream of calls. `requests` counts by key; `seconds` is how long it took."""

    calls: int
    served: int
    waits_after_first: int
    requests: Mapping[str, int]
    seconds: float

    @property
    def bounds(self) -> tuple[int, int]:
        """Return how few and how many requests for one key the schedule allows in that time.

        As few as tokens that are used to their end, as many as tokens that are each renewed as early as may be.
        """
        earliest = (1 - RefreshPolicy().early) * LIFETIME
        return math.ceil(self.seconds / LIFETIME), 1 + math.floor(self.seconds / earliest)


@frozen(kw_only=True)
class Outage:
    """A token endpoint down. `missed`: renewals that met it."""

    seconds: float
    missed: int
    calls: int
    served: int


@frozen(kw_only=True)
class Revoked:
    """All tokens revoked while calls were in the air. `refused`: 401s; `sends`: by call; `renewals`: by key."""

    calls: int
    served: int
    refused: int
    sends: tuple[int, ...]
    renewals: tuple[int, ...]


@frozen(kw_only=True)
class FirstCancelled:
    """Callers of one key of whom the first, who launched the request, was cancelled."""

    cancelled: bool
    others: int
    served: int
    requests: int
    ahead: int


@frozen(kw_only=True)
class Tenants:
    """Tenants that a resolver knows. `requests` without renewals ahead, `flights` and `lookups` count by tenant."""

    calls: int
    served: int
    requests: tuple[int, ...]
    flights: tuple[int, ...]
    lookups: tuple[int, ...]


@frozen(kw_only=True)
class Forms:
    """All token requests of the demo, and those that were refused."""

    requests: int
    refused: int


def cold_callers(counted: ColdCallers) -> tuple[Promise, ...]:
    """However many ask, one request."""
    asked = counted.requests - counted.ahead
    return (
        Promise(
            f"{counted.callers:,} cold callers on one key are 1 request",
            f"{counted.served:,} served, {requests(asked)}{_renewals(counted.ahead)}",
            counted.served == counted.callers > 0 and asked == 1,
        ),
    )


def steady(counted: Steady) -> tuple[Promise, ...]:
    """A key in use never fails, never waits after its first token, and is renewed as the schedule says."""
    low, high = counted.bounds
    keys, asked = len(counted.requests), sum(counted.requests.values())
    by_schedule = bool(keys) and all(low <= count <= high for count in counted.requests.values())
    return (
        Promise(
            "200 requests a second across several expiries: none fails",
            f"{counted.calls:,} sent, {counted.calls - counted.served:,} failed",
            counted.served == counted.calls > 0,
        ),
        Promise(
            "none of them waits after its key's first token",
            f"{counted.waits_after_first:,} waited",
            counted.waits_after_first == 0,
        ),
        Promise(
            "the token endpoint is asked as the schedule says",
            f"{requests(asked)} for {keys} keys in {counted.seconds:.1f} s; {low * keys} to {high * keys} allowed",
            by_schedule,
        ),
    )


def outage(counted: Outage) -> tuple[Promise, ...]:
    """An endpoint that is down within a life is nobody's trouble. An outage that no renewal met proves nothing."""
    return (
        Promise(
            "token endpoint down for 0.6 s inside a life: no call fails",
            f"{counted.missed} renewals met it, {counted.calls:,} sent, {counted.calls - counted.served:,} failed",
            counted.served == counted.calls > 0 and counted.missed > 0 and counted.seconds >= 0.6,
        ),
    )


def revoked(counted: Revoked) -> tuple[Promise, ...]:
    """Each call that met a revoked token is healed by one more send, all of a key's by one renewal."""
    once = counted.refused == counted.calls and all(sends == 2 for sends in counted.sends)
    return (
        Promise(
            "every token revoked in mid-flight: each request is healed once",
            f"{counted.refused:,} refused, {counted.served:,} of {counted.calls:,} healed, "
            f"{max(counted.sends, default=0)} sends each",
            counted.served == counted.calls == len(counted.sends) > 0 and once,
        ),
        Promise(
            "their tokens are renewed once per key",
            f"{len(counted.renewals)} keys, {sum(counted.renewals)} renewals",
            bool(counted.renewals) and all(count == 1 for count in counted.renewals),
        ),
    )


def first_cancelled(counted: FirstCancelled) -> tuple[Promise, ...]:
    """A request belongs to nobody who waits for it."""
    asked = counted.requests - counted.ahead
    return (
        Promise(
            "the first caller cancelled: the others get the token",
            f"{counted.served:,} of {counted.others:,} served, {requests(asked)}{_renewals(counted.ahead)}",
            counted.cancelled and counted.served == counted.others > 0 and asked == 1,
        ),
    )


def tenants(counted: Tenants) -> tuple[Promise, ...]:
    """A tenant costs one request, and one question to the resolver for each flight at most."""
    number = len(counted.requests)
    return (
        Promise(
            f"{number:,} tenants from a resolver are one request each",
            f"{counted.served:,} of {counted.calls:,} served, {requests(sum(counted.requests))}",
            counted.served == counted.calls > 0 and number > 0 and all(count == 1 for count in counted.requests),
        ),
        Promise(
            "the resolver is asked once a flight at most",
            f"{sum(counted.lookups):,} calls of it, {sum(counted.flights):,} flights",
            len(counted.lookups) == len(counted.flights) == number
            and all(asked <= flown for asked, flown in zip(counted.lookups, counted.flights, strict=True)),
        ),
    )


def forms(counted: Forms) -> tuple[Promise, ...]:
    """What is sent is Auth0's and Box's form to the letter: their servers here take no other."""
    return (
        Promise(
            "every token request has its provider's form",
            f"{requests(counted.requests)}, {counted.refused:,} refused",
            counted.requests > 0 and counted.refused == 0,
        ),
    )


def verdict(promises: Sequence[Promise]) -> int:
    """Return the exit code: 0 where every promise was kept, and there was one."""
    return 0 if promises and all(promise.kept for promise in promises) else 1


def requests(count: int) -> str:
    """Return a number of token requests in words."""
    return f"{count:,} token request{'' if count == 1 else 's'}"


def _renewals(count: int) -> str:
    return f" and {count} by schedule" if count else ""
