"""The root task: where everything of one entering runs. The one file that knows asyncio from trio.

Tasks that the engine starts belong neither to the task that entered the provider nor to the one that leaves it. So
both may be different tasks, what the user's block raises is untouched, and no cancellation or crash crosses over.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import Context
from typing import Any
from weakref import finalize

import anyio
from anyio.abc import TaskGroup

from tokenflight.model.clock import Clock

logger = logging.getLogger(__name__)

BREAKING_OFF = 1.0
"""Seconds for the end of what was broken off."""


class RootTask:
    """Run services and flights until stopped; made and stopped in the loop that it runs in.

    *cleanup* runs last, in the root task, whatever ended it.
    """

    def __init__(
        self, clock: Clock, *services: Callable[[], Awaitable[None]], cleanup: Callable[[], Awaitable[None]]
    ) -> None:
        self._clock = clock
        self._services = services
        self._cleanup = cleanup
        self._home = here()
        self._pid = os.getpid()
        self._group: TaskGroup | None = None
        self._begun = anyio.Event()
        self._ended = anyio.Event()
        self._task: object = None
        self._undisturbed: set[anyio.CancelScope] = set()
        self._stopped = False
        # It warns at the interpreter's end too, when a __del__ could no longer be heard.
        self._warning = finalize(self, _warn_unleft, self._pid)

    @property
    def alive(self) -> bool:
        """Tell whether it still runs in this process; a forked child has only its picture."""
        return not self._ended.is_set() and os.getpid() == self._pid and not self._loop_closed()

    @property
    def open(self) -> bool:
        """Tell whether something can be started: alive, not being stopped, and this is its loop."""
        return self._group is not None and not self._stopped and os.getpid() == self._pid and self.here

    @property
    def closing(self) -> bool:
        """Tell whether a cancellation that is seen inside is its own end, be it stopped or its loop about to end.

        A loop of asyncio's that ends cancels all tasks one by one; trio knows no cancellation of a single task.
        """
        cancelling = getattr(self._task, "cancelling", None)
        ending = cancelling is None or cancelling() > 0
        return self._stopped or self._group is None or self._group.cancel_scope.cancel_called or ending

    @property
    def here(self) -> bool:
        """Tell whether the caller runs in the same loop."""
        return here() == self._home

    def _loop_closed(self) -> bool:
        """Tell whether its loop is gone without having ended it, which only asyncio's can be."""
        closed = getattr(self._home, "is_closed", None)
        return bool(closed and closed())

    async def start(self, grace: float) -> None:
        """Start the services; *grace* seconds bound the cleanup."""
        if _in_trio():
            import trio

            self._task = trio.lowlevel.spawn_system_task(self._main, grace, context=Context())
        else:
            import asyncio

            self._task = asyncio.get_running_loop().create_task(self._main(grace), context=Context())
        try:
            await self._begun.wait()
        except BaseException:
            await self.stop(grace)
            raise

    def spawn(self, function: Callable[..., Awaitable[None]], *args: object) -> None:
        """Start a child in a fresh context: no caller's contextvars, spans or deadlines reach it."""
        if self._group is not None:
            Context().run(self._group.start_soon, self._guarded, function, *args)

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Let the end wait for what is done in the block, for as long as the grace lasts."""
        with anyio.CancelScope(shield=True) as scope:
            self._undisturbed.add(scope)
            try:
                yield
            finally:
                self._undisturbed.discard(scope)

    async def stop(self, grace: float) -> None:
        """Cancel everything and wait for the end, *grace* seconds at most. Leaves a dead or foreign one alone.

        What must not be disturbed is let finish within the grace, and broken off then.
        """
        self._stopped = True
        self._warning.detach()
        if not self.alive or self._task is None:
            return
        if self._group is not None:
            self._group.cancel_scope.cancel()
        # Shielded, because whoever leaves in a cancelled scope must not leave tasks behind; bounded by the grace.
        for patience in (grace, BREAKING_OFF):
            with self._clock.timeout_at(self._clock.now() + patience) as scope:
                scope.shield = True
                await self._ended.wait()
            if not self._undisturbed:
                return
            for child in tuple(self._undisturbed):
                child.shield = False

    async def _main(self, grace: float) -> None:
        try:
            if self._stopped:
                return
            async with anyio.create_task_group() as group:
                self._group = group
                for service in self._services:
                    self.spawn(service)
                self._begun.set()
                await anyio.sleep_forever()
        finally:
            self._group = None
            try:
                with self._clock.timeout_at(self._clock.now() + grace) as scope:
                    scope.shield = True
                    await self._cleanup()
            except Exception as error:
                logger.error("cleaning up after the provider raised %s", type(error).__name__)
            finally:
                self._begun.set()
                self._ended.set()

    async def _guarded(self, function: Callable[..., Awaitable[None]], *args: Any) -> None:
        """Let nothing out of a child but our own cancellation: anything else would end its siblings."""
        try:
            await function(*args)
        except anyio.get_cancelled_exc_class():
            if self.closing:
                raise
            logger.debug("a child was cancelled from outside")
        except BaseException as error:
            logger.error("a child of the provider raised %s; its siblings go on", type(error).__name__)

    def __repr__(self) -> str:
        return f"RootTask({'open' if self._group is not None and not self._stopped else 'closed'})"


def _warn_unleft(pid: int) -> None:
    if pid == os.getpid():
        warnings.warn("a TokenProvider was entered and never left: use `async with`", ResourceWarning, stacklevel=1)


def here() -> object:
    """Return what stands for the running loop, None outside of one; asked on every call that has to wait.

    A loop that runs has its library loaded: asking `sys.modules` imports neither for who uses the other.
    """
    trio, asyncio = sys.modules.get("trio"), sys.modules.get("asyncio")
    if trio is not None and trio.lowlevel.in_trio_run():
        return trio.lowlevel.current_trio_token()
    return None if asyncio is None else asyncio._get_running_loop()


def _in_trio() -> bool:
    trio = sys.modules.get("trio")
    return trio is not None and bool(trio.lowlevel.in_trio_task())
