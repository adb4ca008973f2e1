"""The event queue: what happened, told to hooks by one task, in order and in nobody's way."""

from __future__ import annotations

import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, TypeAlias

import anyio
from anyio.lowlevel import checkpoint
from attrs import define, field

from tokenflight.engine.root_task import here
from tokenflight.errors import ConfigurationError
from tokenflight.model.clock import Clock
from tokenflight.model.events import Event

logger = logging.getLogger(__name__)

Hook: TypeAlias = Callable[[Event], Awaitable[None] | None]
"""Told of each event. A synchronous hook runs in the event loop: it hands over what takes time."""

MAX_QUEUED: Final = 1_024
AT_ONCE: Final = 16
"""How many events are told between two turns of the loop: in a burst, one a turn would fall behind."""
HOOK_TIMEOUT: Final = 5.0
REST: Final = 60.0
"""For how long a hook that hung is left out, and how far apart warnings about one hook are."""


@define(eq=False)
class _Listener:
    """A hook with what is known of its conduct."""

    hook: Hook
    name: str
    rests_until: float = float("-inf")
    silent_until: float = float("-inf")
    unsaid: int = 0


@define(eq=False, repr=False)
class EventQueue:
    """Take events from anywhere, at once, and tell each to every hook, in order.

    Up to 1,024 wait; what comes to a full queue is dropped and counted. All hooks hear an event before any hears the
    next; the asynchronous ones hear it side by side. One that raises has missed that event; one that hangs is cut
    after 5 s and left out for a minute, so that it cannot hold up the others. Both are logged, once a minute at most
    for each hook.

    `emit` works before `run` has started and after it has ended: what waits then is told by the next `run` or `drain`.
    """

    _listeners: tuple[_Listener, ...]
    _clock: Clock
    _queue: deque[Event] = field(factory=deque, init=False)
    _wake: anyio.Event | None = field(default=None, init=False)
    _home: object = field(default=None, init=False)
    dropped: int = field(default=0, init=False)

    @classmethod
    def of(cls, hooks: Iterable[Hook], *, clock: Clock) -> EventQueue:
        """Make the queue of some hooks. Raises ConfigurationError for one that cannot be called."""
        return cls(tuple(_Listener(_callable(hook), _name(hook)) for hook in hooks), clock)

    def emit(self, event: Event) -> None:
        """Queue *event*; never waits, never raises, does nothing where there are no hooks."""
        if not self._listeners:
            return
        if len(self._queue) >= MAX_QUEUED:
            self.dropped += 1
            return
        self._queue.append(event)
        # An event may come from another loop, which must not touch this loop's wake-up call; it may be closed by now.
        if self._wake is not None and self._home == here():
            self._wake.set()

    async def run(self) -> None:
        """Tell events until cancelled; return at once where there are no hooks. May be run again, in another loop."""
        if not self._listeners:
            return
        self._home = here()
        try:
            while True:
                self._wake = anyio.Event()
                await self.drain()
                await self._wake.wait()
        finally:
            self._wake = None

    async def drain(self) -> None:
        """Tell what waits, and what comes meanwhile, then return."""
        while self._queue:
            await checkpoint()
            for _ in range(min(AT_ONCE, len(self._queue))):
                await self._tell(self._queue.popleft())

    async def _tell(self, event: Event) -> None:
        waiting = []
        for listener in self._listeners:
            if self._clock.now() < listener.rests_until:
                continue
            try:
                result = listener.hook(event)
            except BaseException as error:  # whatever it is, the next event is told
                self._complain(listener, f"raised {type(error).__name__}")
            else:
                if inspect.isawaitable(result):
                    waiting.append((listener, result))
        if waiting:
            async with anyio.create_task_group() as tasks:
                for listener, result in waiting:
                    tasks.start_soon(self._await, listener, result)

    async def _await(self, listener: _Listener, result: Awaitable[Any]) -> None:
        with self._clock.timeout_at(self._clock.now() + HOOK_TIMEOUT) as scope:
            try:
                await result
            except anyio.get_cancelled_exc_class():
                raise
            except BaseException as error:
                self._complain(listener, f"raised {type(error).__name__}")
        if scope.cancelled_caught:
            listener.rests_until = self._clock.now() + REST
            self._complain(listener, f"took longer than {HOOK_TIMEOUT:g} s and is left out for {REST:g} s")

    def _complain(self, listener: _Listener, what: str) -> None:
        now = self._clock.now()
        if now < listener.silent_until:
            listener.unsaid += 1
            return
        more = f" (and {listener.unsaid} more since the last warning)" if listener.unsaid else ""
        listener.silent_until, listener.unsaid = now + REST, 0
        logger.warning("the hook %s %s%s: no token is affected; fix the hook", listener.name, what, more)

    def __repr__(self) -> str:
        return f"EventQueue(hooks={len(self._listeners)}, queued={len(self._queue)}, dropped={self.dropped})"


def _callable(hook: Hook) -> Hook:
    if not callable(hook):
        raise ConfigurationError(f"a hook is a callable that takes an event, not {type(hook).__name__}: pass one")
    return hook


def _name(hook: Hook) -> str:
    named = hook if hasattr(hook, "__qualname__") else type(hook)
    return f"{named.__module__}.{named.__qualname__}"
