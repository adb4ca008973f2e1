"""Turnstile: where a server keeps requests waiting, so that something can happen while they are in the air."""

from __future__ import annotations

import anyio


class Turnstile:
    """Open at first. `shut`, `open` and `passed` belong to the server's loop; `waiting` may be read from any."""

    def __init__(self) -> None:
        self.waiting = 0
        self._opened: anyio.Event | None = None

    def shut(self) -> None:
        """Keep who comes from now on."""
        self._opened = self._opened or anyio.Event()

    def open(self) -> None:
        """Let everybody pass."""
        if self._opened is not None:
            self._opened.set()
            self._opened = None

    async def passed(self) -> None:
        """Return when it is open."""
        if self._opened is None:
            return
        self.waiting += 1
        try:
            await self._opened.wait()
        finally:
            self.waiting -= 1
