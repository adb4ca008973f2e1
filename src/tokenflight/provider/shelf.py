"""Shelf: the store as a provider reaches it: within a second, and what it raises is an event."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Literal, TypeVar

from tokenflight.model.clock import Clock
from tokenflight.model.events import Event, StoreFailed
from tokenflight.model.key import TokenKey
from tokenflight.stores.contract import Record, Store

TIMEOUT: Final = 1.0

T = TypeVar("T")
Emit = Callable[[Event], None]


class Failed:
    """What comes of a store that failed."""


FAILED: Final = Failed()


class Shelf:
    """Where records lie."""

    def __init__(self, store: Store, *, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def load(self, name: str, key: TokenKey, emit: Emit) -> Record | Failed | None:
        """Return the record under *name*; *key* says whose it is, for events."""
        return await self._bounded("load", key, self._store.load(name), emit)

    async def save(
        self, name: str, record: Record, key: TokenKey, emit: Emit, *, expected: int | None
    ) -> bool | Failed:
        """Keep a record in place of the one of generation *expected*; False where another is there."""
        return await self._bounded("save", key, self._store.save(name, record, expected=expected), emit)

    async def discard(self, name: str, key: TokenKey, emit: Emit) -> Failed | None:
        """Remove what lies under *name*."""
        return await self._bounded("discard", key, self._store.discard(name), emit)

    async def _bounded(
        self, operation: Literal["load", "save", "discard"], key: TokenKey, work: Awaitable[T], emit: Emit
    ) -> T | Failed:
        reason = "timeout"
        with self._clock.timeout_at(self._clock.now() + TIMEOUT):
            try:
                return await work
            except Exception as error:
                reason = type(error).__name__
        emit(StoreFailed(key=key, operation=operation, reason=reason))
        return FAILED
