"""Renewing: what is done when the time that was planned has come."""

from __future__ import annotations

import logging
from typing import Final

from tokenflight.engine.entries import Entry
from tokenflight.engine.health import Health, Lane
from tokenflight.engine.launching import Launching
from tokenflight.engine.planning import LONGEST_SPREAD, Planning
from tokenflight.engine.state import Planned, State
from tokenflight.model.events import SchedulerFailed

logger = logging.getLogger(__name__)

AFTER_RESUME: Final = 10.0
LASTING: Final = frozenset({"permanent", "client", "retry_after"})
"""What holds a key back for reasons of its own or its client's: such a key is no probe."""


class Renewing:
    """Renews keys in demand ahead of their end, probes endpoints that are down, lets clients go that had to wait."""

    def __init__(self, state: State, planning: Planning, launching: Launching) -> None:
        self._state = state
        self._planning = planning
        self._launching = launching

    async def run(self) -> None:
        """Work through the schedule until cancelled."""
        await self._state.schedule.run(self._due, self._failed)

    def _due(self, item: Planned, now: float, resumed: bool) -> None:
        if isinstance(item, Health):
            self._probe(item)
        elif isinstance(item, Lane):
            item.health.places.unblock(item.client)
        else:
            self._renew_ahead(item, now, resumed)

    def _renew_ahead(self, entry: Entry, now: float, resumed: bool) -> None:
        if entry.closed or entry.key in self._state.flights:
            return
        if entry.key.fleeting and (entry.life is not None or not entry.pins):
            self._planning.let_go(entry, now)
            return
        if not entry.in_demand:
            entry.unsettle()
            return
        bare = entry.left(now) <= 0
        if resumed:
            self._planning.spread(entry, now, AFTER_RESUME if bare else min(LONGEST_SPREAD, entry.left(now) / 4))
        elif (brake := self._state.brake(entry, now, bare=bare)) is not None:
            self._planning.postpone(entry, brake, now)
        else:
            self._launching.launch(entry, "pinned" if bare and entry.pins else "schedule")

    def _probe(self, health: Health) -> None:
        """Launch the probe of an endpoint that is down, for the key asked for most recently that may be asked for."""
        if health.state != "probing" or health.probe is not None:
            return
        now = self._state.clock.now()
        wanted, health.wanted = health.wanted, None
        for key in (wanted, *reversed(health.parked)):
            entry = None if key is None else self._state.entries.find(key)
            if entry is None or entry.key in self._state.flights:
                continue
            parked = health.parked.pop(entry.key, entry) is None
            brake = self._state.brake(entry, now, bare=True)
            if brake is None or brake.reason not in LASTING:
                self._launching.launch(entry, "probe")
                return
            if parked:
                self._planning.postpone(entry, brake, now)

    def _failed(self, error: Exception) -> None:
        logger.error("a step of the scheduler raised %s; it goes on", type(error).__name__)
        self._state.hooks.emit(SchedulerFailed(error=type(error).__name__))
