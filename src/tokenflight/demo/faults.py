"""Faults: what goes wrong at the authorization server once, and on purpose."""

from __future__ import annotations

from collections import deque
from typing import Final

from attrs import define, field
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

HANG_UP: Final = "tokenflight.demo.hang_up"
"""Where a request's scope has the function that ends its connection."""


@define(eq=False)
class Faults:
    """Planned from any thread, met in the servers'.

    Attributes:
        answers: statuses that the next good assertions are answered with, instead of a token.
        lost_replies: how many of the next refresh tokens are spent without the reply reaching anybody.
    """

    answers: deque[int] = field(factory=deque)
    lost_replies: int = 0

    def answer(self) -> int | None:
        """Return the status that is planned next; None for none."""
        return self.answers.popleft() if self.answers else None

    def loses_reply(self) -> bool:
        """Tell whether this reply is lost."""
        if not self.lost_replies:
            return False
        self.lost_replies -= 1
        return True


class NoReply(Response):
    """The connection ends where the reply would have begun."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hang up, and return when that is done."""
        scope[HANG_UP]()
        while (await receive())["type"] != "http.disconnect":
            pass
