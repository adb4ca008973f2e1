"""Tally: a hook that counts, by key, who waited and what each request for a token was launched for."""

from __future__ import annotations

from collections import Counter
from typing import Final

from tokenflight import TokenKey
from tokenflight.observe import AttemptFailed, Event, FlightFailed, FlightLaunched, TokenLanded, Trigger

AHEAD: Final[tuple[Trigger, ...]] = ("schedule", "due", "probe")
UNANSWERED: Final = frozenset({"cut", "reset", "timeout"})
"""Reasons of a failure that leave open whether the server heard the request."""


class Tally:
    """Counts what a provider tells its hooks.

    Attributes:
        launched: how many flights, by key and what for.
        landed: how many tokens, by key.
        waits: how many callers waited for a flight, by key.
        waits_after_first: the same without those for a key's first token.
        failures: how many flights brought nothing, by key.
        unanswered: how many requests may have been heard and were not answered, by key.
    """

    def __init__(self) -> None:
        self.launched: Counter[tuple[TokenKey, Trigger]] = Counter()
        self.landed: Counter[TokenKey] = Counter()
        self.waits: Counter[TokenKey] = Counter()
        self.waits_after_first: Counter[TokenKey] = Counter()
        self.failures: Counter[TokenKey] = Counter()
        self.unanswered: Counter[TokenKey] = Counter()

    def __call__(self, event: Event) -> None:
        """Count *event*."""
        if isinstance(event, FlightLaunched):
            self.launched[event.key, event.trigger] += 1
        elif isinstance(event, AttemptFailed):
            self.unanswered[event.key] += event.reason in UNANSWERED
        elif isinstance(event, TokenLanded | FlightFailed):
            self.waits[event.key] += event.waiters
            self.failures[event.key] += isinstance(event, FlightFailed)
            if self.landed[event.key]:
                self.waits_after_first[event.key] += event.waiters
            self.landed[event.key] += isinstance(event, TokenLanded)

    def flights(self, key: TokenKey) -> int:
        """Return how many flights a key had."""
        return sum(count for (flown, _), count in self.launched.items() if flown == key)

    def ahead(self, key: TokenKey) -> int:
        """Return how many of them no caller waited to see launched: renewals ahead of a token's end."""
        return sum(self.launched[key, trigger] for trigger in AHEAD)
