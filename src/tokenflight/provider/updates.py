"""Updates: a key's tokens as they come, for who keeps a connection logged in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

from tokenflight.engine.engine import Engine
from tokenflight.engine.entries import Entry
from tokenflight.model.key import TokenKey
from tokenflight.model.token import Token


class Updates:
    """An async iterator of one key's tokens; a slow reader skips to the newest. Pins the key while open."""

    def __init__(self, key: TokenKey, first: Callable[[], Awaitable[Token]], engine: Engine) -> None:
        self._key = key
        self._first = first
        self._engine = engine
        self._entry: Entry | None = None
        self._given: Token | None = None
        self._news = anyio.Event()
        self._closed = False

    def __aiter__(self) -> Updates:
        return self

    async def __anext__(self) -> Token:
        """Return the next token. Until the first, raises what `token()` raises; at the end, StopAsyncIteration."""
        if self._closed:
            raise StopAsyncIteration
        if self._entry is None:
            self._pin()
        if self._given is None:
            self._given = await self._first()
            return self._given
        while not self._closed:
            token = None if self._entry is None else self._entry.token
            if token is not None and token is not self._given:
                self._given = token
                return token
            self._news = anyio.Event()
            await self._news.wait()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """End the iteration and unpin the key."""
        if self._entry is not None and not self._closed:
            self._entry.pins -= 1
            self._engine.landing.unwatch(self._key, self)
        self.ended()

    def landed(self) -> None:
        """Take note of another token."""
        self._news.set()

    def ended(self) -> None:
        """Take note that there will be none."""
        self._closed = True
        self._news.set()

    def _pin(self) -> None:
        self._entry = self._engine.state.entry(self._key)
        self._entry.pins += 1
        self._engine.landing.watch(self._key, self)
