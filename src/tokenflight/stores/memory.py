"""MemoryStore: records shared by the providers of one process."""

from __future__ import annotations

import math
from heapq import heapify, heappop, heappush
from itertools import count
from threading import Lock
from typing import TYPE_CHECKING, Final

from attrs import define, field

from tokenflight.errors import ConfigurationError
from tokenflight.stores.contract import SCHEMA, Record, SessionRecord, TokenRecord

if TYPE_CHECKING:
    from collections.abc import Iterator

_SPARE: Final = 64


def _capacity(instance: object, attribute: object, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigurationError(f"max_records={value!r} is no number of records: set it to 1 or more")


@define(eq=False, repr=False)
class MemoryStore:
    """Keep up to *max_records* tokens in memory; beyond that, those that end first make room, then the oldest.

    Sessions make no room and count for none: only a person could bring one back. The store belongs to no event loop and
    outlives them: providers in loops one after another, or in threads at once, may share it. Nothing in it waits.
    """

    max_records: int = field(default=100_000, validator=_capacity)
    _records: dict[str, Record] = field(factory=dict, init=False)
    _sessions: int = field(default=0, init=False)
    _by_end: list[tuple[float, int, str, Record]] = field(factory=list, init=False)
    _order: Iterator[int] = field(factory=count, init=False)
    _lock: Lock = field(factory=Lock, init=False)

    async def load(self, name: str) -> Record | None:
        """Return the record under *name*, or None; see `Store.load`."""
        record = self._records.get(name)
        return record if record is not None and record.schema <= SCHEMA else None

    async def save(self, name: str, record: Record, *, expected: int | None) -> bool:
        """Keep *record* if *expected* is what is there; see `Store.save`."""
        with self._lock:
            held = self._records.get(name)
            if held is None:
                if expected is not None:
                    return False
                self._make_room(record)
            elif held.generation != expected or held.schema > SCHEMA:
                return False
            self._keep(name, record)
            return True

    async def discard(self, name: str) -> None:
        """Remove the record under *name*; see `Store.discard`."""
        with self._lock:
            held = self._records.get(name)
            if held is not None and held.schema <= SCHEMA:
                del self._records[name]
                self._sessions -= isinstance(held, SessionRecord)
                self._tidy()

    def _keep(self, name: str, record: Record) -> None:
        was = self._records.get(name)
        self._sessions += isinstance(record, SessionRecord) - isinstance(was, SessionRecord)
        self._records[name] = record
        if isinstance(record, SessionRecord):
            return
        end = math.inf if record.expires_at is None else record.expires_at
        heappush(self._by_end, (end, next(self._order), name, record))
        self._tidy()

    def _make_room(self, newcomer: Record) -> None:
        while isinstance(newcomer, TokenRecord) and len(self._records) - self._sessions >= self.max_records:
            _, _, name, record = heappop(self._by_end)
            if self._records.get(name) is record:
                del self._records[name]

    def _tidy(self) -> None:
        """Drop the heap's stale items once they are more than the live ones: constant work per save, amortised."""
        if len(self._by_end) > 2 * len(self._records) + _SPARE:
            self._by_end = [item for item in self._by_end if self._records.get(item[2]) is item[3]]
            heapify(self._by_end)

    def __repr__(self) -> str:
        return f"MemoryStore(records={len(self._records)}, max_records={self.max_records})"
