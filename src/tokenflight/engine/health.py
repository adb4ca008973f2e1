"""Health: what one token endpoint, and one client at it, allow. Pure: times are given, nothing waits.

All that keeps a key from being asked for is a Brake: until when, and why.
"""

from __future__ import annotations

import math
from typing import Final, Literal

from attrs import define, field, frozen

from tokenflight.engine.places import Places
from tokenflight.engine.scheduler import Moment
from tokenflight.model.failure import Failure
from tokenflight.model.key import TokenKey
from tokenflight.model.policy import Draw, RetryPolicy, backoff_permanent, backoff_without, server_pause
from tokenflight.model.status import HoldingBack

IN_A_ROW: Final = 3
LOOK_EVERY: Final = 2.0
TRUSTED_FOR: Final = 60.0
REPEAT_WITHIN: Final = 60.0


@frozen
class Brake:
    """Nothing is sent before `until` on the age clock, because of `reason`; who asks meanwhile gets `last`."""

    until: float
    reason: HoldingBack
    last: Failure


@define(eq=False)
class Health:
    """One token endpoint: `up`, `probing` after three failures in a row, then `opening` step by step.

    `wanted` is the key asked for most recently, `probe` the one whose attempt is let through while probing.
    """

    label: str
    places: Places
    retry: RetryPolicy
    since: float
    state: Literal["up", "probing", "opening"] = "up"
    in_a_row: int = 0
    probes: int = 0
    next_probe_at: float = -math.inf
    probe: TokenKey | None = None
    wanted: TokenKey | None = None
    last: Failure | None = None
    issued: int = 0
    plan: Moment | None = None
    parked: dict[TokenKey, None] = field(factory=dict, repr=False)
    """Keys whose renewal ahead waits for the endpoint to come back."""

    def brake(self, key: TokenKey, now: float) -> Brake | None:
        """Say whether *key* must wait for the endpoint."""
        if self.state != "probing" or self.probe == key or self.last is None:
            return None
        if self.probe is None and now >= self.next_probe_at:
            return None
        return Brake(max(self.next_probe_at, now + self.retry.base), "probing", self.last)

    def begin(self, key: TokenKey) -> None:
        """Take *key* as the probe: its flight was let through."""
        if self.state == "probing":
            self.probe = self.probe or key

    def end(self, key: TokenKey) -> None:
        """Free the probe: its flight landed, whether it sent anything or not."""
        if self.probe == key:
            self.probe = None

    def failed(self, key: TokenKey, failure: Failure, now: float, draw: Draw) -> bool:
        """Count a transient failure of the wire or the server; return whether the endpoint went down by it.

        While probing only the probe's counts: what was in the air when it went down says nothing new.
        """
        self.in_a_row += 1
        self.last = failure
        if self.state == "probing":
            if self.probe != key:
                return False
            self.probes += 1
            self.next_probe_at = now + backoff_without(self.probes, self.retry, draw)
            return False
        if self.in_a_row < IN_A_ROW:
            return False
        self.state, self.since, self.probes = "probing", now, 0
        self.next_probe_at = now + backoff_without(0, self.retry, draw)
        self.places.narrow()
        return True

    def hasten(self, until: float) -> None:
        """Probe no later than the next try of a live token would have been: its life may be shorter than the pauses."""
        self.next_probe_at = min(self.next_probe_at, until)

    def throttled(self, now: float, draw: Draw) -> None:
        """Count a 429: no fault of the endpoint, but no sign that it serves either."""
        self.places.throttled()
        if self.state == "probing":
            self.next_probe_at = now + backoff_without(self.probes, self.retry, draw)

    def answered(self, now: float) -> bool:
        """Count an answer that is no transient failure; return whether the endpoint came back by it."""
        self.in_a_row = 0
        if self.state == "probing":
            self.state, self.since, self.probe = "opening", now, None
            return True
        self.places.answered()
        if self.state == "opening" and self.places.limit == self.places.maximum:
            self.state, self.since, self.last = "up", now, None
        return False


@define(eq=False)
class Lane:
    """One client at one endpoint: what its server told it, and whether its credentials are refused.

    `refused` is the fingerprint of the credentials that were last refused; `changeable` tells whether another look at
    their source could find others.
    """

    client: str
    health: Health
    plan: Moment | None = None
    retry_after_at: float = -math.inf
    throttles: int = 0
    throttle: Failure | None = None
    held_until: float = -math.inf
    refusals: int = 0
    trial: TokenKey | None = None
    last: Failure | None = None
    refused: bytes | None = None
    changeable: bool = False
    looked_at: float = -math.inf
    good_at: float = -math.inf
    good: bytes | None = None

    def brake(self, key: TokenKey, now: float, *, looking: bool = False) -> Brake | None:
        """Say what keeps *key* from being asked for; a flight that is *looking* ignores refused credentials."""
        if self.throttle is not None and now < self.retry_after_at:
            return Brake(self.retry_after_at, "retry_after", self.throttle)
        if self.last is not None and not looking and self.trial != key:
            if now < self.held_until:
                return Brake(self.held_until, "client", self.last)
            if self.trial is not None:
                return Brake(now + self.health.retry.base, "client", self.last)
        return self.health.brake(key, now)

    def begin(self, key: TokenKey) -> None:
        """Let the flight of *key* through: as the one trial of refused credentials, as the probe of an endpoint."""
        if self.last is not None:
            self.trial = self.trial or key
        self.health.begin(key)

    def end(self, key: TokenKey) -> None:
        """Take back what `begin` gave."""
        if self.trial == key:
            self.trial = None
        self.health.end(key)

    def may_look(self, now: float) -> bool:
        """Tell whether the credentials' source may be asked again: at most every 2 s. Asking takes the turn."""
        if not self.changeable or self.refused is None or now < self.looked_at + LOOK_EVERY:
            return False
        self.looked_at = now
        return True

    def told_to_wait(self, failure: Failure, now: float) -> float:
        """Obey a Retry-After (RFC 9110, section 10.2.3); return for how long. A repeat doubles the 600 s cap."""
        if now >= self.retry_after_at:  # an answer to what was sent before it is no repeat
            self.throttles = self.throttles + 1 if now < self.retry_after_at + REPEAT_WITHIN else 1
        held = server_pause(failure.retry_after or 0.0, self.throttles)
        self.retry_after_at = max(self.retry_after_at, now + held)
        self.throttle = failure
        return held

    def succeeded(self, fingerprint: bytes, now: float) -> None:
        """Count a token: the credentials behind *fingerprint* are good."""
        self.good_at, self.good = now, fingerprint
        self.throttles = 0
        self.lift()

    def refuse(self, fingerprint: bytes) -> None:
        """Remember which credentials were refused, so that another look knows new ones."""
        self.refused = fingerprint

    def widen(
        self, failure: Failure, fingerprint: bytes, now: float, draw: Draw, *, since: float = math.inf
    ) -> float | None:
        """Hold back the whole client after `invalid_client`; return for how long, or None where it does not widen.

        It does not where a key of this client succeeded with the same credentials in the last 60 s, or
        *since* this key was first refused: then the key is what the server does not like.
        """
        if failure.code != "invalid_client":
            return None
        if self.good == fingerprint and (now < self.good_at + TRUSTED_FOR or self.good_at >= since):
            return None
        self.refusals += 1
        held = backoff_permanent(self.refusals, draw)
        self.held_until, self.last = now + held, failure
        return held

    def lift(self) -> None:
        """Hold the client back no more: somebody changed something on purpose."""
        self.last = self.trial = None
        self.refusals, self.held_until = 0, -math.inf
