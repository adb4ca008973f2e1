"""Key sets: the public keys that servers publish, fetched when they are needed and once for all who need them."""

from __future__ import annotations

import math
from collections import OrderedDict
from functools import partial
from typing import Final

from attrs import define, evolve

from tokenflight.engine.launching import as_it_is
from tokenflight.engine.state import State
from tokenflight.errors import ConfigurationError
from tokenflight.model.failure import Failure
from tokenflight.model.origin import origin_of
from tokenflight.protocol.verification import KeySet
from tokenflight.provider.connection import Connection
from tokenflight.provider.credentials import in_a_thread
from tokenflight.provider.errands import Errands
from tokenflight.provider.tries import a_few_times
from tokenflight.transport.endpoint import fetch

FRESH_FOR: Final = 3600.0
"""Seconds after which a document is fetched anew; the old one serves where that fails."""

KEPT_FOR: Final = 86_400.0
"""Seconds after which an old document serves no more."""

REFETCH_EVERY: Final = 30.0
"""Seconds between two fetches for a key that is not listed, and between two that fail while an old document serves."""

RETRY_EVERY: Final = 1.0
"""Seconds after a few tries that all failed, where nothing serves."""

MAX_URLS: Final = 256


@define(eq=False)
class _Shelf:
    """What is known of one URL. Moments on the age clock; `broken` is the failure of the last fetch, if it failed."""

    keys: KeySet | None = None
    fetched_at: float = -math.inf
    refetched_at: float = -math.inf
    not_before: float = -math.inf
    broken: Failure | None = None

    def serving(self, now: float) -> KeySet | None:
        """Return the keys if they still serve."""
        return self.keys if now < self.fetched_at + KEPT_FOR else None


class KeySets:
    """The key sets of the servers of one provider, by URL: 256 at most.

    A document that cannot be had or read never replaces one that could; a held one is used for a day at most. What
    keeps it from being had is transient, and no sign that a token endpoint is in trouble.
    """

    def __init__(self, *, state: State, connection: Connection) -> None:
        self._state = state
        self._connection = connection
        self._shelves: OrderedDict[str, _Shelf] = OrderedDict()
        self._fetching: Errands[KeySet | Failure] = Errands(_broken_off, spawn=state.spawn)

    def __repr__(self) -> str:
        return f"KeySets({', '.join(sorted(map(origin_of, self._shelves)))})"

    def reset(self) -> None:
        """Forget what was being fetched: the tasks that did it are gone."""
        self._fetching.reset()

    async def get(self, url: str, *, deadline: float) -> KeySet | Failure:
        """Return the keys at *url*, or a Failure by *deadline* on the age clock."""
        shelf, now = self._shelf(url), self._state.clock.now()
        held = shelf.serving(now)
        if held is not None and now < max(shelf.fetched_at + FRESH_FOR, shelf.not_before):
            return held
        if shelf.broken is not None and now < shelf.not_before:
            return shelf.broken
        # Who has old keys to go on with keeps time to use them.
        until = deadline if held is None else now + (deadline - now) / 2
        fetched = await self._fetched(url, shelf, until)
        return (held or fetched) if isinstance(fetched, Failure) else fetched

    async def newer(self, url: str, seen: KeySet, *, deadline: float) -> KeySet | Failure:
        """Return the keys at *url* for who missed one among *seen*, by *deadline*: *seen* again where it is too soon.

        Fetched every 30 s at most, so that made-up names of keys are no flood of requests.
        """
        shelf, now = self._shelf(url), self._state.clock.now()
        if shelf.keys is not seen:
            return await self.get(url, deadline=deadline)
        if now < shelf.refetched_at + REFETCH_EVERY:
            return shelf.broken or seen
        return await self._fetched(url, shelf, deadline, again=True)

    def _shelf(self, url: str) -> _Shelf:
        """Find or make what is known of *url*; the one asked for longest ago makes room."""
        shelf = self._shelves.setdefault(url, _Shelf())
        self._shelves.move_to_end(url)
        while len(self._shelves) > MAX_URLS:
            self._shelves.popitem(last=False)
        return shelf

    async def _fetched(self, url: str, shelf: _Shelf, deadline: float, *, again: bool = False) -> KeySet | Failure:
        with self._state.clock.timeout_at(deadline):
            return await self._fetching.run(url, partial(self._fetch, url, shelf, again=again))
        return _failed("they did not come in time")

    async def _fetch(self, url: str, shelf: _Shelf, *, again: bool) -> KeySet | Failure:
        """Fetch, and keep what is good; nobody tries again right after a failure.

        Where nothing serves it is tried a few times first: a flight's own attempts follow each other sooner than this.
        """
        clock, retry = self._state.clock, self._state.retry
        served = shelf.serving(clock.now()) is not None
        if served:
            keys = await self._read(url, math.inf)
        else:
            short = evolve(retry, total_timeout=retry.attempt_timeout)
            keys = await a_few_times(partial(self._read, url), clock=clock, retry=short)
        now = clock.now()
        if again:  # not sooner: who comes meanwhile joins
            shelf.refetched_at = now
        if isinstance(keys, KeySet):
            shelf.keys, shelf.fetched_at, shelf.broken = keys, now, None
        else:
            shelf.broken = keys
            shelf.not_before = now + (REFETCH_EVERY if served else RETRY_EVERY)
        return keys

    async def _read(self, url: str, deadline: float) -> KeySet | Failure:
        clock = self._state.clock
        try:
            until = min(deadline, clock.now() + self._state.retry.attempt_timeout / 2)
            answer = await fetch(self._connection.http, url, clock=clock, deadline=until)
        except AssertionError as error:  # of a test's own transport
            return as_it_is(error)
        if isinstance(answer, Failure):
            return answer if answer.local else _failed(answer.detail, answer.hint)
        if answer.status != 200:
            return _failed(f"{origin_of(url)} answered with status {answer.status}")
        try:
            keys = await in_a_thread(partial(KeySet.read, answer.body))
        except ConfigurationError as error:
            return Failure(error=ConfigurationError, reason="configuration", detail=str(error), transient=False)
        return keys if isinstance(keys, KeySet) else _failed(f"of the document at {origin_of(url)}, {keys.detail}")


def _failed(why: str, hint: str | None = None) -> Failure:
    return Failure(reason="key_set", detail=f"the server's keys could not be had: {why}", hint=hint)


def _broken_off(url: str) -> Failure:
    return _failed(f"fetching them from {origin_of(url)} was broken off")
