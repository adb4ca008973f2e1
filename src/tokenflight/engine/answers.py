"""Answers: what each exchange with an endpoint says of its health, heard once, whatever flight it was for."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from tokenflight.engine.health import Health, Lane
from tokenflight.model.events import EndpointDown, EndpointThrottled, EndpointUp
from tokenflight.model.failure import Failure
from tokenflight.model.key import TokenKey

if TYPE_CHECKING:
    from tokenflight.engine.engine import Engine

logger = logging.getLogger(__name__)


class Answers:
    """Listens to what endpoints answer; says so once when one goes down and once when it is back."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def hear(self, lane: Lane, key: TokenKey, failure: Failure | None) -> None:
        """Take note of one exchange for *key*: its *failure*, or None for a token."""
        now, draw = self._engine.clock.now(), self._engine.clock.uniform
        health = lane.health
        if failure is not None and failure.transient and failure.retry_after is not None:
            held = lane.told_to_wait(failure, now)
            if held <= self._engine.retry.total_timeout:  # longer ones end the flights in line instead
                health.places.block(lane.client)
                self._engine.renewing.scheduler.plan(lane, lane.retry_after_at)
            self._engine.hooks.emit(EndpointThrottled(endpoint=health.label, client=lane.client, held=held))
        if failure is None or not failure.transient:
            health.issued += failure is None
            self._answered(health, now)
        elif failure.throttled:
            health.throttled(now, draw)
            self._plan_probe(health)
        elif failure.counts:
            self._failed(health, key, failure, now)

    def _failed(self, health: Health, key: TokenKey, failure: Failure, now: float) -> None:
        if health.failed(key, failure, now, self._engine.clock.uniform):
            logger.warning(
                "token endpoint %s is down (%s): held tokens are served, it is probed", health.label, failure.reason
            )
            self._engine.hooks.emit(EndpointDown(endpoint=health.label, reason=failure.reason))
        self._plan_probe(health)

    def _answered(self, health: Health, now: float) -> None:
        since = health.since
        if not health.answered(now):
            return
        logger.info("token endpoint %s is back after %.1f s", health.label, now - since)
        self._engine.hooks.emit(EndpointUp(endpoint=health.label, after=now - since))
        self._engine.renewing.scheduler.drop(health)
        parked, health.parked, health.wanted = health.parked, {}, None
        for key in parked:
            entry = self._engine.entries.find(key)
            if entry is not None:
                spread = min(30.0, max(0.0, entry.left(now)) / 4)
                self._engine.renewing.scheduler.plan(entry, now + self._engine.clock.uniform(0.0, spread))

    def _plan_probe(self, health: Health) -> None:
        """Plan the next probe while somebody wants the endpoint."""
        if health.state == "probing" and (health.parked or health.wanted is not None):
            self._engine.renewing.scheduler.plan(health, health.next_probe_at)
