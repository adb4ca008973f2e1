"""Answers: what each exchange with an endpoint says of its health, heard once, whatever flight it was for."""

from __future__ import annotations

import logging

from tokenflight.engine.health import Health, Lane
from tokenflight.engine.planning import Planning
from tokenflight.engine.state import State
from tokenflight.model.events import EndpointDown, EndpointThrottled, EndpointUp
from tokenflight.model.failure import Failure
from tokenflight.model.key import TokenKey

logger = logging.getLogger(__name__)


class Answers:
    """Listens to what endpoints answer; says so once when one goes down and once when it is back."""

    def __init__(self, state: State, planning: Planning) -> None:
        self._state = state
        self._planning = planning

    def hear(self, lane: Lane, key: TokenKey, failure: Failure | None) -> None:
        """Take note of one exchange for *key*: its *failure*, or None for a token."""
        now, draw = self._state.clock.now(), self._state.clock.uniform
        health = lane.health
        if failure is not None and failure.transient and failure.retry_after is not None:
            held = lane.told_to_wait(failure, now)
            if held <= self._state.retry.total_timeout:  # longer ones end the flights in line instead
                self._planning.hold(lane)
            self._state.hooks.emit(EndpointThrottled(endpoint=health.label, client=lane.client, held=held))
        if failure is None or not failure.transient:
            health.issued += failure is None
            self._answered(health, now)
        elif failure.throttled:
            health.throttled(now, draw)
            self._planning.probe(health)
        elif failure.counts:
            self._failed(health, key, failure, now)

    def _failed(self, health: Health, key: TokenKey, failure: Failure, now: float) -> None:
        if health.failed(key, failure, now, self._state.clock.uniform):
            logger.warning(
                "token endpoint %s is down (%s): held tokens are served, it is probed", health.label, failure.reason
            )
            self._state.hooks.emit(EndpointDown(endpoint=health.label, reason=failure.reason))
        self._planning.probe(health)

    def _answered(self, health: Health, now: float) -> None:
        since = health.since
        if not health.answered(now):
            return
        logger.info("token endpoint %s is back after %.1f s", health.label, now - since)
        self._state.hooks.emit(EndpointUp(endpoint=health.label, after=now - since))
        self._planning.call_back(health, now)
