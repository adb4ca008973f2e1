"""Errands: what is asked for many at once is done once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Generic, TypeAlias, TypeVar

import anyio
from attrs import define, field

T = TypeVar("T")

Work: TypeAlias = Callable[[], Awaitable[T]]
Spawn: TypeAlias = Callable[..., bool]
"""Starts an async function with its arguments in a task that no caller owns; returns whether it could."""


@define(eq=False)
class _Errand(Generic[T]):
    """One piece of work under way, and what comes of it."""

    outcome: T
    done: anyio.Event = field(factory=anyio.Event)


class Errands(Generic[T]):
    """One errand at a time for each name: who comes while it is under way waits for what it brings.

    *broken_off* makes the outcome of one that ends in what is no Exception. Without *spawn* whoever comes first does
    the work, and takes it along when cancelled; with it no caller's cancellation ends the work.
    """

    def __init__(self, broken_off: Callable[[Any], T], *, spawn: Spawn | None = None) -> None:
        self._broken_off = broken_off
        self._spawn = spawn
        self._under_way: dict[Hashable, _Errand[T]] = {}

    def __repr__(self) -> str:
        return f"Errands({len(self._under_way)} under way)"

    def reset(self) -> None:
        """Forget what was under way: the tasks that did it are gone."""
        self._under_way.clear()

    async def run(self, name: Hashable, work: Work[T]) -> T:
        """Return what the errand of *name* brings: *work* does it, unless it is under way."""
        errand = self._under_way.get(name)
        if errand is not None:
            await errand.done.wait()
            return errand.outcome
        errand = self._under_way[name] = _Errand(self._broken_off(name))
        if self._spawn is None:
            await self._carry_out(errand, name, work)
        elif self._spawn(self._carry_out, errand, name, work):
            await errand.done.wait()
        else:
            del self._under_way[name]
        return errand.outcome

    async def _carry_out(self, errand: _Errand[T], name: Hashable, work: Work[T]) -> None:
        try:
            errand.outcome = await work()
        finally:
            if self._under_way.get(name) is errand:
                del self._under_way[name]
            errand.done.set()
