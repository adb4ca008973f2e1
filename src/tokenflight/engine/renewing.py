"""Renewing: what the scheduler does when its time has come, and what it is asked to do later."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from tokenflight.engine.entries import Entry
from tokenflight.engine.health import Brake, Health, Lane
from tokenflight.engine.scheduler import Scheduler
from tokenflight.model.events import SchedulerFailed

if TYPE_CHECKING:
    from tokenflight.engine.engine import Engine

logger = logging.getLogger(__name__)

AFTER_RESUME: Final = 10.0


class Renewing:
    """Renews keys in demand ahead of their end, probes endpoints that are down, lets clients go that had to wait."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.scheduler: Scheduler[Entry | Lane | Health] = Scheduler(engine.clock, self.due, self._failed)

    def keep_warm(self, entry: Entry) -> None:
        """See that a pinned key gets a token and keeps one; its pin is counted by who sets it."""
        now = self._engine.clock.now()
        if entry.key not in self._engine.flights and not entry.plan:
            self.scheduler.plan(entry, max(now, entry.life.due_at if entry.left(now) > 0 and entry.life else now))

    def postpone(self, entry: Entry, brake: Brake, now: float) -> None:
        """Plan the next try of a key in demand for the end of its brake; an endpoint that is down calls it back."""
        entry.settle()
        if brake.reason == "probing" and entry.lane is not None:
            health = entry.lane.health
            health.parked[entry.key] = None
            self.want(entry)
            return
        spread = 5.0 if brake.reason in ("retry_after", "client") else 0.0
        self.scheduler.plan(entry, max(now, brake.until) + self._engine.clock.uniform(0.0, spread))

    def want(self, entry: Entry) -> None:
        """Make a key the one that its endpoint is probed with next."""
        if entry.lane is None or (health := entry.lane.health).state != "probing":
            return
        health.wanted = entry.key
        if not health.plan and self._engine.open:
            self.scheduler.plan(health, health.next_probe_at)

    def due(self, item: Entry | Lane | Health, now: float, resumed: bool) -> None:
        """Do what was planned."""
        if isinstance(item, Health):
            self._probe(item)
        elif isinstance(item, Lane):
            item.health.places.unblock(item.client)
        else:
            self._renew_ahead(item, now, resumed)

    def _renew_ahead(self, entry: Entry, now: float, resumed: bool) -> None:
        if entry.closed or entry.key in self._engine.flights:
            return
        if not entry.in_demand:
            entry.unsettle()
            return
        bare = entry.left(now) <= 0
        if resumed:
            spread = AFTER_RESUME if bare else min(30.0, entry.left(now) / 4)
            self.scheduler.plan(entry, now + self._engine.clock.uniform(0.0, spread))
        elif (brake := self._engine.brake(entry, now, bare=bare)) is not None:
            self.postpone(entry, brake, now)
        else:
            self._engine.launch(entry, "pinned" if bare and entry.pins else "schedule")

    def _probe(self, health: Health) -> None:
        """Launch the probe of an endpoint that is down, for the key asked for most recently."""
        if health.state != "probing" or health.probe is not None:
            return
        wanted, health.wanted = health.wanted, None
        for key in (wanted, *reversed(health.parked)):
            entry = None if key is None else self._engine.entries.find(key)
            if entry is not None and entry.key not in self._engine.flights:
                health.parked.pop(entry.key, None)
                self._engine.launch(entry, "probe")
                return

    def _failed(self, error: Exception) -> None:
        logger.error("a step of the scheduler raised %s; it goes on", type(error).__name__)
        self._engine.hooks.emit(SchedulerFailed(error=type(error).__name__))
