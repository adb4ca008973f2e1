"""Entries: one per key, with what is held for it; and who makes room when there are too many."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Container, Iterator
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from tokenflight.model.failure import Failure
from tokenflight.model.key import TokenKey
from tokenflight.model.policy import Draw, Life, Verdict, judge
from tokenflight.model.status import HoldingBack
from tokenflight.model.token import Token

if TYPE_CHECKING:
    from tokenflight.engine.health import Lane
    from tokenflight.engine.rejections import Rejections
    from tokenflight.engine.scheduler import Moment

NEVER: Final = -math.inf
SAMPLE: Final = 32

EvictionReason: TypeAlias = Literal["expired", "lapsed", "fleeting", "crowding", "unused"]
REASONS: Final[tuple[EvictionReason, ...]] = ("expired", "lapsed", "fleeting", "crowding", "unused")


class Entry:
    """What is held for one key.

    Below `fresh_until` a caller needs nothing but `token` and leaves the clock reading it took anyway in `used_at`;
    eviction and forgetting close the entry, which sends bound sources back to find their key again. `used_at` starts
    over when a token lands, so that it tells whether that token was used.
    """

    __slots__ = (
        "brake",
        "failures",
        "fresh_until",
        "index",
        "key",
        "lane",
        "last",
        "life",
        "not_before",
        "pins",
        "plan",
        "refusals",
        "refused_since",
        "rejections",
        "seen_at",
        "token",
        "used_at",
    )

    fresh_until: float
    used_at: float

    def __init__(self, key: TokenKey) -> None:
        self.key = key
        self.pins = 0
        self.plan: Moment | None = None
        self.index = -1
        self.seen_at = NEVER
        self.clear()

    def clear(self) -> None:
        """Hold nothing and remember nothing, but who pins it and when it was last used."""
        self.token: Token | None = None
        self.life: Life | None = None
        self.fresh_until = self.used_at = self.not_before = NEVER
        self.brake: HoldingBack = "failed"
        self.last: Failure | None = None
        self.lane: Lane | None = None
        self.rejections: Rejections | None = None
        self.failures = self.refusals = 0
        self.refused_since = math.inf

    @property
    def closed(self) -> bool:
        """Tell whether it was evicted or forgotten."""
        return self.index < 0

    @property
    def in_demand(self) -> bool:
        """Tell whether its token was used since it landed, or is pinned."""
        return self.pins > 0 or self.used_at != NEVER

    @property
    def client_held(self) -> bool:
        """Tell whether its client's credentials count as refused."""
        return self.lane is not None and self.lane.last is not None

    def verdict(self, now: float) -> Verdict:
        """Say what its token is worth."""
        return judge(self.life, now)

    def left(self, now: float) -> float:
        """Return the seconds that its token is still usable for; 0 or less where it is not."""
        return 0.0 if self.life is None else self.life.expires_at - now

    def hold(self, token: Token, life: Life) -> None:
        """Hold a token that landed."""
        self.seen_at = max(self.seen_at, self.used_at)
        self.token, self.life = token, life
        self.fresh_until = life.due_at
        self.used_at = NEVER
        self.lift()

    def lift(self) -> None:
        """Forget that it failed, and hold it back no more."""
        self.failures = self.refusals = 0
        self.refused_since = math.inf
        self.not_before = NEVER
        self.last = None

    def settle(self) -> None:
        """Let callers stay on the fast path until urgent: what is due is in the air, or its next try is planned."""
        if self.life is not None and self.token is not None:
            self.fresh_until = self.life.urgent_at

    def unsettle(self) -> None:
        """Send callers off the fast path once the token is due: nothing is planned for it."""
        if self.life is not None and self.token is not None:
            self.fresh_until = self.life.due_at

    def last_use(self) -> float:
        """Return when it was last used or asked for."""
        return max(self.used_at, self.seen_at)

    def __repr__(self) -> str:
        return f"Entry({self.key!r}, {'closed' if self.closed else 'held' if self.token else 'empty'})"


VACANT: Final = Entry(TokenKey(client="-"))
"""A closed entry, for who has not found its own yet."""


class Entries:
    """All entries of a provider, at most *max_keys* of them but for those that are pinned or in flight."""

    def __init__(self, max_keys: int, draw: Draw) -> None:
        self.max_keys = max_keys
        self._draw = draw
        self._by_key: dict[TokenKey, Entry] = {}
        self._all: list[Entry] = []
        self._per_client: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._all)

    def find(self, key: TokenKey) -> Entry | None:
        """Return the entry of *key*, if there is one."""
        return self._by_key.get(key)

    def add(self, key: TokenKey) -> Entry:
        """Make an entry for *key*."""
        entry = self._by_key[key] = Entry(key)
        entry.index = len(self._all)
        self._all.append(entry)
        self._per_client[key.client] += 1
        return entry

    def close(self, entry: Entry) -> None:
        """Drop an entry, so that whoever is bound to it finds its key again."""
        last = self._all.pop()
        if last is not entry:
            self._all[entry.index] = last
            last.index = entry.index
        del self._by_key[entry.key]
        self._per_client[entry.key.client] -= 1
        if not self._per_client[entry.key.client]:
            del self._per_client[entry.key.client]
        entry.index = -1
        entry.clear()

    def of_client(self, client: str) -> list[Entry]:
        """Return the entries of a client."""
        return [entry for entry in self._all if entry.key.client == client]

    def too_many(self) -> bool:
        """Tell whether somebody has to make room."""
        return len(self._all) > self.max_keys

    def victim(self, now: float, busy: Container[TokenKey], spare: Entry) -> tuple[Entry, EvictionReason] | None:
        """Choose who makes room, never who is pinned or *busy*, nor *spare*.

        Of a sample: the expired first, then those that nobody used since they landed, then the fleeting, then the
        longest unused. Among several clients that is one of a client that holds its share or more: where all of those
        are in flight, nobody makes room until one has landed.
        """
        ranked = [
            (rank, entry.last_use(), entry.index, entry)
            for entry in self._sample()
            if not entry.pins and entry.key not in busy and entry is not spare
            if (rank := self._rank(entry, now)) is not None
        ]
        if not ranked:
            return None
        rank, _, _, entry = min(ranked, key=lambda item: item[:3])
        return entry, REASONS[rank]

    def _sample(self) -> list[Entry]:
        if len(self._all) <= SAMPLE:
            return list(self._all)
        picks = {min(int(self._draw(0, len(self._all))), len(self._all) - 1) for _ in range(SAMPLE)}
        return [self._all[index] for index in picks]

    def _rank(self, entry: Entry, now: float) -> int | None:
        """Return the place of its reason; None where it stays: it is in use, and within its client's share."""
        if entry.left(now) <= 0:
            return 0
        if not entry.in_demand:
            return 1
        if entry.key.fleeting:
            return 2
        clients = len(self._per_client)
        if clients == 1:
            return 4
        return 3 if self._per_client[entry.key.client] * clients >= len(self._all) else None

    def __repr__(self) -> str:
        return f"Entries({len(self._all)} of {self.max_keys})"
