"""Settling: let every other task go as far as it can without time passing."""

from __future__ import annotations

import asyncio
import sys
import time
from importlib import import_module
from typing import Any, Final

from anyio import to_thread

_PASSES: Final = 1_000_000
_BLIND_PASSES: Final = 20
_THREAD_NAP: Final = 0.0002
_THREAD_PATIENCE: Final = 5.0


async def settle() -> None:
    """Return when all other tasks of this loop wait for something that only time or the outside can bring.

    What runs in worker threads of anyio's default limiter, such as reading a file, is waited for, 5 s of real time at
    most. Raises RuntimeError where a task keeps running without ever waiting.
    """
    await _quiesce()
    threads = to_thread.current_default_thread_limiter()
    naps = 0
    while threads.borrowed_tokens and naps * _THREAD_NAP < _THREAD_PATIENCE:
        # Blocking on purpose: the threads need no loop to run, and a frozen loop clock would never end an async sleep.
        time.sleep(_THREAD_NAP)  # noqa: ASYNC251
        naps += 1
        await _quiesce()


async def _quiesce() -> None:
    trio: Any = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_run():
        await import_module("trio.testing").wait_all_tasks_blocked()
        return
    loop = asyncio.get_running_loop()
    ready = getattr(loop, "_ready", None)
    if ready is None:
        await _quiesce_blindly(loop)
        return
    for _ in range(_PASSES):
        await asyncio.sleep(0)
        if not ready:
            return
    raise _restless()


async def _quiesce_blindly(loop: asyncio.AbstractEventLoop) -> None:
    """Do without the queue of a loop that hides it, such as uvloop's: yield, then look what each task waits for."""
    me = asyncio.current_task(loop)
    for _ in range(_PASSES // _BLIND_PASSES):
        for _ in range(_BLIND_PASSES):
            await asyncio.sleep(0)
        if all(task is me or _waits(task) for task in asyncio.all_tasks(loop)):
            return
    raise _restless()


def _waits(task: asyncio.Task[Any]) -> bool:
    waiter = getattr(task, "_fut_waiter", None)
    return waiter is not None and not waiter.done()


def _restless() -> RuntimeError:
    return RuntimeError("a task never settles: it runs on and on without waiting for the clock; let it wait or end it")
