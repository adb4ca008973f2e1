"""Lanes: which clients fly to which endpoints, and what is said of each endpoint from outside."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tokenflight.engine.entries import Entries, Entry
from tokenflight.engine.health import Health, Lane
from tokenflight.engine.places import Places
from tokenflight.model.policy import RetryPolicy
from tokenflight.model.status import EndpointHealth

COUNTED_EACH_TIME: Final = 5_000


class Lanes:
    """One Health an endpoint, one Lane a client at it."""

    def __init__(self, *, max_flights: int, retry: RetryPolicy) -> None:
        self._max_flights = max_flights
        self._retry = retry
        self._healths: dict[str, Health] = {}
        self._lanes: dict[tuple[str, str], Lane] = {}
        self._report: tuple[float, tuple[EndpointHealth, ...]] | None = None

    def __repr__(self) -> str:
        return f"Lanes({len(self._lanes)} clients at {len(self._healths)} endpoints)"

    def lane(self, client: str, endpoint: str, label: str, now: float) -> Lane:
        """Return the lane of *client* at *endpoint*, made where it is new; *label* names the endpoint to people."""
        lane = self._lanes.get((client, endpoint))
        if lane is None:
            health = self._healths.get(endpoint)
            if health is None:
                places = Places(self._max_flights)
                health = self._healths[endpoint] = Health(label, places, self._retry, now)
            lane = self._lanes[client, endpoint] = Lane(client, health)
        return lane

    def reset(self) -> None:
        """Forget who was in the air: the tasks that stood for them are gone."""
        for health in self._healths.values():
            health.places.reset()
            health.probe = None
        for lane in self._lanes.values():
            lane.trial = None

    def drop_client(self, client: str) -> None:
        """Forget a client's lanes, and the endpoints that nobody else flies to; one that is down stays known."""
        for name, endpoint in [pair for pair in self._lanes if pair[0] == client]:
            lane = self._lanes.pop((name, endpoint))
            if lane.health.state == "up" and not any(pair[1] == endpoint for pair in self._lanes):
                self._healths.pop(endpoint, None)

    def report(self, entries: Entries, now: float) -> tuple[EndpointHealth, ...]:
        """Say how each endpoint is. Above a few thousand keys they are counted once a second at most."""
        recent = self._report is not None and self._report[0] <= now < self._report[0] + 1.0
        if self._report is None or not recent or len(entries) < COUNTED_EACH_TIME:
            self._report = now, tuple(_count(self._healths.values(), entries, now))
        return self._report[1]


def _count(healths: Iterable[Health], entries: Iterable[Entry], now: float) -> Iterable[EndpointHealth]:
    keys: dict[int, int] = {}
    bare: dict[int, int] = {}
    survives: dict[int, float] = {}
    for entry in entries:
        if entry.lane is None:
            continue
        at = id(entry.lane.health)
        keys[at] = keys.get(at, 0) + 1
        left = entry.left(now)
        if left <= 0:
            bare[at] = bare.get(at, 0) + 1
        elif entry.in_demand:
            survives[at] = min(left, survives.get(at, left))
    for health in healths:
        at = id(health)
        yield EndpointHealth(
            endpoint=health.label,
            state=health.state,
            since=now - health.since,
            last_error=None if health.last is None else health.last.reason,
            next_probe_in=max(0.0, health.next_probe_at - now) if health.state == "probing" else None,
            keys=keys.get(at, 0),
            keys_without_token=bare.get(at, 0),
            survives_for=survives.get(at),
            issued=health.issued,
        )
