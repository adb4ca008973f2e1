"""Places: how many attempts may be in the air at one endpoint, and who is next."""

from __future__ import annotations

from collections import OrderedDict, deque

import anyio
from attrs import define, field


@define(eq=False)
class Ticket:
    """A flight's turn to come: who was sent back by a 429 first, waiters before the scheduler, clients in turn."""

    lane: str
    places: Places = field(repr=False)
    rank: int
    granted: bool = False
    left: bool = False
    _event: anyio.Event = field(factory=anyio.Event, repr=False)

    def promote(self) -> None:
        """Queue among the waiters from now on: somebody without a token has joined."""
        if not (self.granted or self.left) and self.rank == SCHEDULED:
            self.rank = WAITING
            self.places.enqueue(self)

    def grant(self) -> None:
        """Let it go."""
        self.granted = True
        self._event.set()

    async def turn(self) -> None:
        """Wait to be let go."""
        await self._event.wait()


RETURNED, WAITING, SCHEDULED = range(3)


class Places:
    """At most `limit` attempts at once, `maximum` in good times.

    A 429 halves the limit; a full round of other answers doubles it; an endpoint that comes back opens from 1.
    """

    def __init__(self, maximum: int) -> None:
        self.maximum = maximum
        self.limit = maximum
        self.in_air = 0
        self._answers = 0
        self._blocked: set[str] = set()
        self._queues: tuple[OrderedDict[str, deque[Ticket]], ...] = (OrderedDict(), OrderedDict(), OrderedDict())

    def __repr__(self) -> str:
        queued = sum(len(lane) for queue in self._queues for lane in queue.values())
        return f"Places(in_air={self.in_air}, limit={self.limit} of {self.maximum}, queued={queued})"

    async def take(self, ticket: Ticket) -> None:
        """Wait for a place; give it back with `give_back`. A cancelled wait leaves nothing behind."""
        self.enqueue(ticket)
        self._grant()
        if ticket.granted:
            return
        try:
            await ticket.turn()
        except BaseException:
            ticket.left = True
            if ticket.granted:
                self.give_back()
            raise

    def give_back(self) -> None:
        """Free one place for who is next."""
        self.in_air -= 1
        self._grant()

    def throttled(self) -> None:
        """Count a 429: half the places."""
        self.limit = max(1, self.limit // 2)
        self._answers = 0

    def answered(self) -> None:
        """Count another answer: after a full round, twice the places."""
        if self.limit < self.maximum:
            self._answers += 1
            if self._answers >= self.limit:
                self.limit = min(self.maximum, self.limit * 2)
                self._answers = 0

    def narrow(self) -> None:
        """Start over from one place."""
        self.limit, self._answers = 1, 0

    def block(self, lane: str) -> None:
        """Let nobody of a client go until it is unblocked; they keep their turn."""
        self._blocked.add(lane)

    def unblock(self, lane: str) -> None:
        """Let a client's flights go again."""
        self._blocked.discard(lane)
        self._grant()

    def reset(self) -> None:
        """Forget who is in the air and in line: the tasks that stood for them are gone."""
        self.in_air = 0
        self._blocked.clear()
        for queue in self._queues:
            queue.clear()

    def enqueue(self, ticket: Ticket) -> None:
        """Put a ticket at the end of its client's line."""
        self._queues[ticket.rank].setdefault(ticket.lane, deque()).append(ticket)

    def _grant(self) -> None:
        while self.in_air < self.limit and (ticket := self._next()) is not None:
            self.in_air += 1
            ticket.grant()

    def _next(self) -> Ticket | None:
        """Pop the next in line: by rank, then client by client; one that left or went by another rank is none."""
        for queue in self._queues:
            while (lane := next((lane for lane in queue if lane not in self._blocked), None)) is not None:
                line = queue[lane]
                ticket = line.popleft()
                if line:
                    queue.move_to_end(lane)
                else:
                    del queue[lane]
                if not ticket.left and not ticket.granted:
                    return ticket
        return None
