"""Ledger: what a double saw, and the rules that must hold in it whatever a test is about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Generic, Literal, TypeAlias, TypeVar

from attrs import define

from tokenflight.testing.exchange import Fault, Reply, Request

Rule: TypeAlias = Literal["flights", "retry_after", "audience"]
"""`flights`: never two requests in the air for a key. `retry_after`: no request of a client before the moment that the
endpoint itself gave it. `audience`: no token shown to an API for which it was not issued."""

_COMPLAINTS = 20


@define(eq=False, kw_only=True)
class Entry:
    """One request and what became of it. Moments are readings of the double's clock; the repr shows nothing secret.

    `status` stays None where no answer was made: it hangs, its asker left, or a `fault` came instead.
    """

    number: int
    started: float
    request: Request
    finished: float | None = None
    status: int | None = None
    fault: Fault | None = None

    @property
    def method(self) -> str:
        """Return the HTTP method."""
        return self.request.method

    @property
    def path(self) -> str:
        """Return the path, without the query."""
        return self.request.path

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers, names in lower case; of a name that came twice, the last."""
        return dict(self.request.headers)


E = TypeVar("E", bound=Entry)


class Ledger(Generic[E]):
    """Entries in the order in which they came: a sequence with counts, and with rules to check.

    Attributes:
        entries: all of them.
        max_in_flight: how many were in the air at once, at most.
    """

    def __init__(self, name: str, now: Callable[[], float], *, key: Callable[[E], object] | None = None) -> None:
        self.name = name
        self.entries: list[E] = []
        self.max_in_flight = 0
        self._now = now
        self._key = key
        self._airborne: Counter[object] = Counter()
        self._most: dict[object, int] = {}
        self._in_flight = 0
        self._complaints: list[tuple[Rule, str]] = []
        self._waived: dict[Rule, str] = {}

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[E]:
        return iter(self.entries)

    def __getitem__(self, index: int) -> E:
        return self.entries[index]

    def __repr__(self) -> str:
        return f"Ledger({self.name}: {len(self)} requests, {self._in_flight} in flight)"

    @property
    def in_flight(self) -> int:
        """Return how many requests are in the air now."""
        return self._in_flight

    @property
    def max_in_flight_by_key(self) -> dict[object, int]:
        """Return for each key how many of its requests were in the air at once, at most."""
        return dict(self._most)

    def by_key(self) -> dict[object, list[E]]:
        """Return the entries of each key."""
        groups: dict[object, list[E]] = {}
        for entry in self.entries:
            groups.setdefault(self._key(entry) if self._key else None, []).append(entry)
        return groups

    def clear(self) -> None:
        """Forget the entries so far; what is in the air stays known, and so does a rule that was broken."""
        self.entries.clear()
        self.max_in_flight = self._in_flight
        self._most = dict(self._airborne)

    def check(self, *, budget: int | None = None) -> None:
        """Raise AssertionError where a rule was broken, or more than *budget* requests came."""
        broken = [text for rule, text in self._complaints if rule not in self._waived]
        if budget is not None and len(self) > budget:
            broken.append(f"{len(self)} requests came, the budget is {budget}")
        if broken:
            raise AssertionError("\n - ".join([f"the ledger of {self.name} does not hold:", *broken]))

    def waive(self, rule: Rule, because: str) -> None:
        """Let *rule* be broken in this ledger. *because* is for who reads the test, and must not be empty."""
        if not because:
            raise ValueError("a rule is waived for a reason: write it down")
        self._waived[rule] = because

    def complain(self, rule: Rule, text: str) -> None:
        """Note that *rule* was broken."""
        if len(self._complaints) < _COMPLAINTS:
            self._complaints.append((rule, f"{rule}: {text}"))

    def opened(self, entry: E) -> None:
        """Note that a request came."""
        self.entries.append(entry)
        self._in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self._in_flight)
        if self._key is None:
            return
        key = self._key(entry)
        self._airborne[key] = count = self._airborne[key] + 1
        self._most[key] = max(count, self._most.get(key, 0))
        if count > 1:
            self.complain("flights", f"request {entry.number} set out while {count - 1} for {key} was in the air")

    def answered(self, entry: E, reply: Reply) -> None:
        """Note what is sent back."""
        entry.fault = reply.fault
        entry.status = reply.status if reply.fault is None else None

    def closed(self, entry: E) -> None:
        """Note that the exchange is over, however it ended."""
        if entry.finished is not None:
            return
        entry.finished = self._now()
        self._in_flight -= 1
        if self._key is not None:
            key = self._key(entry)
            self._airborne[key] -= 1
            if not self._airborne[key]:
                del self._airborne[key]
