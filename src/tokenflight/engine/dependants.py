"""Dependants: which keys rest on the token of another, so that they move on when that one does. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from tokenflight.model.key import TokenKey


class Dependants:
    """Who rests on whom, as long as the dependant is kept: there are never more of them than keys."""

    def __init__(self) -> None:
        self._of: dict[TokenKey, dict[TokenKey, None]] = {}
        self._parents: dict[TokenKey, tuple[TokenKey, ...]] = {}
        self._overtaken: set[TokenKey] = set()

    def __len__(self) -> int:
        return len(self._parents)

    def note(self, key: TokenKey, parents: Iterable[TokenKey]) -> None:
        """Let *key*, which holds a new token, rest on *parents* from now on, and on nobody else."""
        self.drop(key)
        rests_on = tuple(parents)
        if rests_on:
            self._parents[key] = rests_on
        for parent in rests_on:
            self._of.setdefault(parent, {})[key] = None

    def drop(self, key: TokenKey) -> None:
        """Let *key* rest on nobody."""
        self._overtaken.discard(key)
        for parent in self._parents.pop(key, ()):
            children = self._of.get(parent, {})
            children.pop(key, None)
            if not children:
                self._of.pop(parent, None)

    def of(self, parent: TokenKey) -> tuple[TokenKey, ...]:
        """Return who rests on *parent*."""
        return tuple(self._of.get(parent, ()))

    def overtake(self, key: TokenKey) -> None:
        """Mark that what *key* rests on moved on: another token is a gain, whenever it ends."""
        if key in self._parents:
            self._overtaken.add(key)

    def overtaken(self, key: TokenKey) -> bool:
        """Tell whether that is so, until *key* holds another token."""
        return key in self._overtaken
