"""Run the demo: put up the stage, play every act, judge it, show it."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import anyio
from rich.console import Console

from tokenflight.demo.live import LiveView
from tokenflight.demo.programme import PROGRAMME, Act
from tokenflight.demo.promises import Promise, verdict
from tokenflight.demo.stage import put_up
from tokenflight.demo.view import PlainView, View


def main() -> int:
    """Run the demo; return 0 where every promise was kept, else 1."""
    with _view() as view, _log(view.note):
        return anyio.run(perform, view)


async def perform(view: View, programme: Sequence[Act[Any]] = PROGRAMME) -> int:
    """Play all acts for a view; return the exit code."""
    promises: list[Promise] = []
    async with put_up() as stage:
        view.begin(stage)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(view.watch, stage)
            for act in programme:
                view.act(act.title)
                for promise in await act.outcome(stage):
                    promises.append(promise)
                    view.judged(promise)
            tasks.cancel_scope.cancel()
    view.end(promises, stage.troubles)
    return verdict(promises)


@contextmanager
def _view() -> Iterator[View]:
    """Choose by where the output goes: a table that moves needs a terminal that can."""
    if sys.stdout.isatty() and os.environ.get("TERM") not in {"dumb", "unknown"}:
        with LiveView(Console()).open() as view:
            yield view
    else:
        yield PlainView()


@contextmanager
def _log(note: Callable[[str], None]) -> Iterator[None]:
    """Pass on what the library logs, from INFO, for a block."""

    class Passing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            note(record.getMessage())

    logger, handler = logging.getLogger("tokenflight"), Passing()
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]
