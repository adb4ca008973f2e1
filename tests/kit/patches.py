"""Where the watch listens: the few functions that see what no fixture can. Installed once, for the whole run."""

from __future__ import annotations

import asyncio
import functools
import importlib
import logging
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import anyio
import pytest
import trio
from anyio._backends import _trio as anyio_trio
from tests.kit.canary import MARK, came_through_a_door, exposed
from tests.kit.watch import born, found, scan

from tokenflight.errors import TokenFlightError
from tokenflight.testing import FakeTokenEndpoint
from tokenflight.testing.double import ScriptedDouble

_ROUNDS = 5


def install() -> None:
    logging.getLogger("asyncio").setLevel(logging.INFO)  # below it, each loop tells its selector to each test's log
    # The first of uvloop's loops opens pipes for good; no test shall be blamed for it.
    with suppress(ImportError):
        importlib.import_module("uvloop").new_event_loop().close()
    FakeTokenEndpoint.token_prefix = f"{MARK}access-"
    _patch(ScriptedDouble, "__init__", _note_double)
    _patch(warnings, "warn", _scan_warning)
    _patch(pytest.RaisesExc, "__exit__", _scan_error)
    _patch(asyncio.BaseEventLoop, "call_exception_handler", _note_complaint)
    _patch(asyncio.runners, "_cancel_all_tasks", _note_tasks)
    _patch(anyio_trio.TestRunner, "_run_tests_and_fixtures", _note_system_tasks)
    _patch(trio, "run", _note_system_tasks_of_run)


def _patch(owner: Any, name: str, wrapper: Callable[..., Any]) -> None:
    original = getattr(owner, name)

    @functools.wraps(original)
    def patched(*args: Any, **kwargs: Any) -> Any:
        return wrapper(original, *args, **kwargs)

    setattr(owner, name, patched)


def _note_double(original: Any, double: ScriptedDouble[Any], *args: Any, **kwargs: Any) -> None:
    original(double, *args, **kwargs)
    born(double)


def _scan_warning(
    original: Any, message: Any, category: Any = None, stacklevel: int = 1, source: Any = None, **options: Any
) -> None:
    scan("a warning", str(message))
    original(message, category, stacklevel + 2, source, **options)


def _scan_error(original: Any, raises: Any, kind: Any, error: BaseException | None, trace: Any) -> bool:
    suppressed = original(raises, kind, error, trace)
    if isinstance(error, TokenFlightError):
        scan(f"a {type(error).__name__}", exposed(error, frames=came_through_a_door(error)))
    return bool(suppressed)


def _note_complaint(original: Any, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    found("loop", f"{context.get('message')}: {context.get('exception')!r}")
    original(loop, context)


def _note_tasks(original: Any, loop: asyncio.AbstractEventLoop) -> None:
    for _ in range(_ROUNDS):
        if not _tasks(loop):
            break
        loop.run_until_complete(asyncio.sleep(0))
    for task in _tasks(loop):
        found("tasks", f"{task.get_name()} outlives its loop: {task.get_coro()!r}")
    original(loop)


def _tasks(loop: asyncio.AbstractEventLoop) -> list[asyncio.Task[Any]]:
    """Return the tasks of a loop, without that in which anyio runs tests."""
    return [
        task for task in asyncio.all_tasks(loop) if "TestRunner" not in getattr(task.get_coro(), "__qualname__", "")
    ]


def _note_system_tasks_of_run(original: Any, main: Callable[..., Any], *args: Any, **options: Any) -> Any:
    return original(functools.partial(_note_system_tasks, main), *args, **options)


async def _note_system_tasks(original: Any, *args: Any) -> Any:
    before = _system_tasks()
    try:
        return await original(*args)
    finally:
        with anyio.CancelScope(shield=True):
            for _ in range(_ROUNDS):
                await trio.lowlevel.checkpoint()
        for task in _system_tasks() - before:
            found("tasks", f"the system task {task.name} outlives its run")


def _system_tasks() -> set[trio.lowlevel.Task]:
    root = trio.lowlevel.current_root_task()
    nurseries = [] if root is None else root.child_nurseries
    return {task for nursery in nurseries for task in nursery.child_tasks}
