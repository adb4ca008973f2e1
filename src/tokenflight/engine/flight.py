"""Flight: one request for one key, that any number of callers may await and none can stop."""

from __future__ import annotations

import math
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

import anyio
from attrs import define, field, frozen

from tokenflight.model.clock import Clock
from tokenflight.model.events import Trigger
from tokenflight.model.failure import CLOSED, Failure
from tokenflight.model.key import TokenKey
from tokenflight.model.policy import RefreshPolicy
from tokenflight.model.token import Token

if TYPE_CHECKING:
    from tokenflight.engine.health import Brake
    from tokenflight.engine.places import Ticket

BUCKET: Final = 64
AIRBORNE: ContextVar[Flight | None] = ContextVar("tokenflight_airborne", default=None)
"""The flight that this context works for."""


@frozen(kw_only=True)
class Minted:
    """A token that a flight brings, and what its life is laid out from. Seconds; moments on the age clock.

    It is used until `ends_by` at most. `rests_on` names the keys whose tokens it was bought with, and those tokens: it
    is due as soon as one of these keys holds another.
    """

    token: Token
    sent_at: float
    lifetime: float | None
    refresh: RefreshPolicy
    refresh_in: float | None = None
    default_lifetime: float | None = None
    ends_by: float = math.inf
    rests_on: tuple[tuple[TokenKey, Token], ...] = ()
    attempts: int = 0
    fingerprint: bytes = b""
    oddities: tuple[str, ...] = ()


@define(eq=False)
class Flight:
    """One flight. It starts life with the outcome "closed", so that nobody who waits ever gets None.

    `waiting` counts callers without a usable token: it decides whether a failed attempt is worth another, and whether
    the flight queues before those of the scheduler. `forgotten` flights answer who joined and leave nothing behind.
    `awaited` are those that it waits for itself.
    """

    key: TokenKey
    trigger: Trigger
    launched_at: float
    rejected: Token | None = None
    origin: str | None = None
    outcome: Minted | Failure = CLOSED
    waiting: int = 0
    joined: int = 0
    forgotten: bool = False
    boarded: bool = False
    refused: Brake | None = None
    awaited: list[Flight] = field(factory=list, repr=False)
    ticket: Ticket | None = None
    fingerprint: bytes = b""
    _landed: bool = False
    _buckets: list[anyio.Event] = field(factory=list, repr=False)

    @property
    def rejects(self) -> bool:
        """Tell whether the held token counts as none to it, because an API refused it."""
        return self.rejected is not None

    def depends_on(self, other: Flight) -> bool:
        """Tell whether it cannot land before *other* has.

        It is the same, or waits for one that does, or both wait for one client to be found.
        """
        finding = self.key.client == other.key.client and not (self.boarded or other.boarded)
        return self is other or finding or any(flight.depends_on(other) for flight in self.awaited)

    async def wait(self) -> None:
        """Wait until it lands."""
        if not self._landed:
            await self._bucket().wait()

    async def wait_until(self, when: float, clock: Clock) -> bool:
        """Wait until it lands or the age clock reaches *when*; return whether it landed."""
        return self._landed or await clock.wait(self._bucket(), when)

    def join(self) -> None:
        """Count a caller who has no usable token until it lands."""
        self.waiting += 1
        if self.waiting == 1 and self.ticket is not None:
            self.ticket.promote()

    def leave(self) -> None:
        """Count that caller no more."""
        self.waiting -= 1

    def land(self) -> None:
        """Wake everybody."""
        self._landed = True
        for event in self._buckets:
            event.set()

    def _bucket(self) -> anyio.Event:
        # An asyncio.Event forgets a cancelled waiter in linear time; 10,000 cancelled at once would stall the loop.
        if self.joined % BUCKET == 0:
            self._buckets.append(anyio.Event())
        self.joined += 1
        return self._buckets[-1]
