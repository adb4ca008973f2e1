"""The view: what the demo shows while it plays, and plain lines where there is no terminal."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Final, Protocol

import anyio

from tokenflight.demo.promises import Promise, requests
from tokenflight.demo.rows import rows
from tokenflight.demo.stage import Stage

EVERY: Final = 2.0


class View(Protocol):
    """What the demo tells of itself."""

    def begin(self, stage: Stage) -> None:
        """Say what was put up."""

    def act(self, title: str) -> None:
        """Say which act begins."""

    def judged(self, promise: Promise) -> None:
        """Show a promise that was judged."""

    def note(self, text: str) -> None:
        """Show a line of the library's own log."""

    async def watch(self, stage: Stage) -> None:
        """Show how the keys stand, again and again, until cancelled."""

    def end(self, promises: Sequence[Promise], troubles: Sequence[str]) -> None:
        """Show the outcome; *troubles* say why calls failed."""


class PlainView:
    """Lines, each printed when it is known."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def begin(self, stage: Stage) -> None:
        """Say what was put up."""
        self._line(setting(stage))

    def act(self, title: str) -> None:
        """Say which act begins."""
        self._line(f"-- {title}")

    def judged(self, promise: Promise) -> None:
        """Say at once how a promise fared; the table at the end says it in full."""
        self._line(f"   {word(promise)}: {promise.measured}")

    def note(self, text: str) -> None:
        """Pass on a line of the library's own log."""
        self._line(f"   {text}")

    async def watch(self, stage: Stage) -> None:
        """Say every two seconds how the keys stand."""
        while True:
            await anyio.sleep(EVERY)
            self._line(f"   {progress(stage)}; keys: {keys(stage)}")

    def end(self, promises: Sequence[Promise], troubles: Sequence[str]) -> None:
        """Print each promise with what was measured, and the sum."""
        text = max((len(promise.text) for promise in promises), default=0)
        print()
        for promise in promises:
            print(f"{word(promise):6}  {promise.text:{text}}  {promise.measured}")
        print(f"\n{total(promises)}, in {time.monotonic() - self._began:.0f} s")
        for trouble in reasons(troubles):
            print(trouble)

    def _line(self, text: str) -> None:
        print(f"{time.monotonic() - self._began:5.1f} s  {text}", flush=True)


def setting(stage: Stage) -> str:
    """Return what was put up, in words."""
    return f"authorization server {stage.token_site.url}, API {stage.api_site.url}, {len(stage.web)} httpx clients"


def progress(stage: Stage) -> str:
    """Return what has been counted so far, in words."""
    asked = requests(stage.books.requests.total())
    return f"{stage.calls:,} calls, {len(stage.troubles):,} failed; {asked}"


def keys(stage: Stage) -> str:
    """Return how many keys stand how, in words."""
    counted = Counter(row.verdict for row in rows(stage))
    shown = [f"{counted[verdict]} {verdict}" for verdict in ("fresh", "due", "urgent", "expired", "none")]
    return ", ".join(part for part in shown if not part.startswith("0 ")) or "none yet"


def word(promise: Promise) -> str:
    """Return the verdict in one word."""
    return "kept" if promise.kept else "BROKEN"


def total(promises: Sequence[Promise]) -> str:
    """Return the sum of all verdicts."""
    kept = sum(promise.kept for promise in promises)
    return f"{kept} of {len(promises)} promises kept"


def reasons(troubles: Sequence[str]) -> list[str]:
    """Return why calls failed, the most frequent first."""
    return [f"{count} calls failed: {trouble}" for trouble, count in Counter(troubles).most_common(5)]
