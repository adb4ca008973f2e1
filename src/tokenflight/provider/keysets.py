"""Key sets: the public keys that servers publish, fetched when they are needed and once for all who need them."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio
from attrs import define, field

from tokenflight.errors import ConfigurationError
from tokenflight.model.clock import Clock
from tokenflight.model.failure import Failure
from tokenflight.model.origin import origin_of
from tokenflight.protocol.compact import Invalid
from tokenflight.protocol.verification import KeySet
from tokenflight.provider.credentials import in_a_thread
from tokenflight.transport.endpoint import fetch

if TYPE_CHECKING:
    from tokenflight.provider.connection import Connection

FRESH_FOR: Final = 3600.0
"""Seconds after which a document is fetched anew; the old one serves where that fails."""

KEPT_FOR: Final = 24 * 3600.0
"""Seconds after which an old document serves no more."""

REFETCH_EVERY: Final = 30.0
"""Seconds between two fetches that are made because of a key that is not listed."""

RETRY_EVERY: Final = 1.0
"""Seconds between two fetches where the first failed."""

MAX_URLS: Final = 256


@define(eq=False)
class _Shelf:
    """What is known of one URL. Moments on the age clock; `broken` is the failure of the last fetch, if it failed."""

    keys: KeySet | None = None
    fetched_at: float = -math.inf
    tried_at: float = -math.inf
    refetched_at: float = -math.inf
    broken: Failure | None = None
    coming: anyio.Event | None = None


class KeySets:
    """The key sets of a provider's servers, by URL.

    A document that cannot be had or read never replaces one that could.
    """

    def __init__(self, connection: Connection, *, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock
        self._shelves: dict[str, _Shelf] = {}

    def __repr__(self) -> str:
        return f"KeySets({', '.join(sorted(map(origin_of, self._shelves)))})"

    def reset(self) -> None:
        """Forget who was being asked: the tasks that asked are gone."""
        for shelf in self._shelves.values():
            shelf.coming = None

    async def get(self, url: str, *, deadline: float) -> KeySet | Failure:
        """Return the keys at *url*, the held ones while they are fresh; a transient failure by *deadline*."""
        shelf = self._shelf(url)
        while True:
            now = self._clock.now()
            if now < shelf.fetched_at + FRESH_FOR or now < shelf.tried_at + RETRY_EVERY:
                return self._standing(shelf, now)
            failure = await self._fetched(url, shelf, deadline)
            if failure is not None:
                return failure

    async def newer(self, url: str, seen: KeySet, *, deadline: float) -> KeySet | Failure:
        """Return the keys at *url* for who did not find one among *seen*: others where there are, else *seen* again.

        Asked at most every 30 s, so that made-up names of keys are no flood of requests.
        """
        shelf = self._shelf(url)
        while True:
            now = self._clock.now()
            if shelf.keys is not seen or now < shelf.refetched_at + REFETCH_EVERY:
                return shelf.broken or self._standing(shelf, now)
            failure = await self._fetched(url, shelf, deadline, again=True)
            if failure is not None:
                return failure

    def _shelf(self, url: str) -> _Shelf:
        """Return what is known of *url*, as the one used last; who was not used for longest makes room."""
        shelf = self._shelves.pop(url, None) or _Shelf()
        if len(self._shelves) >= MAX_URLS:
            del self._shelves[next(iter(self._shelves))]
        self._shelves[url] = shelf
        return shelf

    def _standing(self, shelf: _Shelf, now: float) -> KeySet | Failure:
        if shelf.keys is not None and now < shelf.fetched_at + KEPT_FOR:
            return shelf.keys
        return shelf.broken or _failed("they are too old")

    async def _fetched(self, url: str, shelf: _Shelf, deadline: float, *, again: bool = False) -> Failure | None:
        """Let one fetch happen, ours or the one in the air; return the Failure where *deadline* comes first."""
        if shelf.coming is not None:
            landed = await self._clock.wait(shelf.coming, deadline)
            return None if landed else _failed("they did not come in time")
        coming = shelf.coming = anyio.Event()
        try:
            keys = await self._read(url, deadline)
            now = shelf.tried_at = self._clock.now()
            if again:
                shelf.refetched_at = now
            if isinstance(keys, KeySet):
                shelf.keys, shelf.fetched_at, shelf.broken = keys, now, None
            else:
                shelf.broken = keys
            return None
        finally:
            if shelf.coming is coming:
                shelf.coming = None
            coming.set()

    async def _read(self, url: str, deadline: float) -> KeySet | Failure:
        answer = await fetch(self._connection.http, url, clock=self._clock, deadline=deadline)
        if isinstance(answer, Failure):
            return answer if answer.local else _failed(answer.detail, answer.hint)
        if answer.status != 200:
            return _failed(f"{origin_of(url)} answered with status {answer.status}")
        try:
            keys = await in_a_thread(partial(KeySet.read, answer.body))
        except ConfigurationError as error:
            return Failure(error=ConfigurationError, reason="configuration", detail=str(error), transient=False)
        return _failed(f"of the document at {origin_of(url)}, {keys.detail}") if isinstance(keys, Invalid) else keys


def _failed(why: str, hint: str | None = None) -> Failure:
    """Return the failure of who needs keys: transient, and no sign that the token endpoint is in trouble."""
    return Failure(reason="key_set", detail=f"the server's keys could not be had: {why}", hint=hint)
