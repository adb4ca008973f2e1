"""The live view: a table of keys that keeps moving, for a terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import anyio
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tokenflight.demo.books import LIFETIME
from tokenflight.demo.promises import Promise
from tokenflight.demo.rows import Row, rows
from tokenflight.demo.stage import Stage
from tokenflight.demo.view import progress, reasons, setting, total, word

FRAME: Final = 0.2
NOTES: Final = 2
FEWEST_KEYS: Final = 4
MOST_KEYS: Final = 14
BAR: Final = 12
ROOMY: Final = 110
"""Columns of a terminal in which all fits."""
COLOURS: Final = {"fresh": "green", "due": "yellow", "urgent": "red", "expired": "bright_black", "none": "bright_black"}


class LiveView:
    """One screen, drawn anew several times a second; what is left at the end is the report."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._began = time.monotonic()
        self._act_began = self._began
        self._title = ""
        self._notes: list[str] = []
        self._promises: list[Promise] = []

    @contextmanager
    def open(self) -> Iterator[LiveView]:
        """Hold the screen for a block."""
        with self._live:
            yield self

    def begin(self, stage: Stage) -> None:
        """Say what was put up."""
        self._console.print(Text.assemble(("tokenflight demo", "bold"), (f"   {setting(stage)}", "bright_black")))

    def act(self, title: str) -> None:
        """Say which act begins."""
        self._title, self._act_began = title, time.monotonic()

    def judged(self, promise: Promise) -> None:
        """Add a promise to those on the screen."""
        self._promises.append(promise)

    def note(self, text: str) -> None:
        """Show the latest lines of the library's own log."""
        self._notes = [*self._notes, f"{time.monotonic() - self._began:4.1f} s  {text}"][-NOTES:]

    async def watch(self, stage: Stage) -> None:
        """Draw until cancelled."""
        while True:
            self._live.update(self._frame(stage), refresh=True)
            await anyio.sleep(FRAME)

    def end(self, promises: Sequence[Promise], troubles: Sequence[str]) -> None:
        """Leave the report on the screen."""
        self._live.stop()
        kept = all(promise.kept for promise in promises)
        seconds = time.monotonic() - self._began
        self._console.print(
            Panel(
                _judged(promises),
                title=Text(total(promises), "bold green" if kept else "bold red"),
                subtitle=Text(f"{seconds:.0f} s", "bright_black"),
                border_style="green" if kept else "red",
                padding=(1, 2),
                expand=False,
            )
        )
        for trouble in reasons(troubles):
            self._console.print(Text(trouble, "red"))

    def _frame(self, stage: Stage) -> RenderableType:
        lines = max(2 * FEWEST_KEYS, self._console.height - NOTES - 9)
        latest = self._promises[-(lines - FEWEST_KEYS) :]
        room = min(MOST_KEYS, lines - len(latest))
        roomy = self._console.width >= ROOMY
        now = time.monotonic()
        header = Text.assemble(
            ("▸ ", "bold cyan"),
            (self._title, "bold"),
            (f"   {now - self._act_began:.1f} s   {progress(stage)}", "bright_black"),
        )
        notes = [Text(note, "yellow", overflow="ellipsis", no_wrap=True) for note in self._notes]
        parts: list[RenderableType] = [
            header,
            Padding(_keys(rows(stage), room, roomy), (1, 0, 0, 2)),
            Padding(_so_far(latest, roomy), (1, 0, 0, 2)),
        ]
        return Group("", *parts, "", *notes)


def _keys(found: Sequence[Row], room: int, roomy: bool) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bright_black")
    table.add_column("key", width=42 if roomy else 26, no_wrap=True, overflow="ellipsis")
    table.add_column("verdict", min_width=7)
    table.add_column("", width=BAR if roomy else 0)
    for heading in ("left", "next refresh", "requests", "waits"):
        table.add_column(heading, justify="right", no_wrap=True, min_width=max(5, len(heading)))
    shown = found if len(found) <= room else found[: room - 1]
    for row in shown:
        colour = COLOURS[row.verdict]
        table.add_row(
            Text(row.label, "" if row.lives else "bright_black"),
            Text(row.verdict, colour),
            _bar(row.left, colour) if roomy else "",
            "" if row.left is None else f"{row.left:.1f} s",
            "" if row.due_in is None else f"{row.due_in:.1f} s",
            f"{row.requests:,}",
            f"{row.waits:,}",
        )
    if len(shown) < len(found):
        table.add_row(Text(f"and {len(found) - len(shown)} more", "bright_black"))
    return table


def _bar(left: float | None, colour: str) -> RenderableType:
    if left is None:
        return ""
    return ProgressBar(total=LIFETIME, completed=left, width=BAR, complete_style=colour, finished_style=colour)


def _so_far(promises: Sequence[Promise], roomy: bool) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True, overflow="ellipsis")
    for promise in promises:
        text = Text.assemble(_mark(promise), "  ", promise.text)
        table.add_row(text, Text(promise.measured, "cyan")) if roomy else table.add_row(text)
    return table


def _judged(promises: Sequence[Promise]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    for promise in promises:
        table.add_row(_mark(promise), promise.text, Text(promise.measured, "cyan"))
    return table


def _mark(promise: Promise) -> Text:
    return Text(f"✓ {word(promise)}", "green") if promise.kept else Text(f"✗ {word(promise)}", "bold red")
