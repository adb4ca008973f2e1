"""Tries: asking a server a few times where no flight does it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from tokenflight.model.clock import Clock
from tokenflight.model.failure import Failure
from tokenflight.model.policy import RetryPolicy, retry_pause
from tokenflight.transport.endpoint import drive

T = TypeVar("T")


async def a_few_times(ask: Callable[[float], Awaitable[T]], *, clock: Clock, retry: RetryPolicy) -> T:
    """Return what *ask* brings, which is called with its deadline on the age clock; again where that may heal.

    A transient Failure is worth another try, after a pause and not before the server's Retry-After, as long as *retry*
    has attempts left and the next begins within its total time.
    """
    tries, end = 0, clock.now() + retry.total_timeout

    async def attempt() -> T:
        nonlocal tries
        tries += 1
        return await ask(min(clock.now() + retry.attempt_timeout, end))

    def pause(result: T) -> float | None:
        if not isinstance(result, Failure) or not result.transient or tries >= retry.attempts:
            return None
        rest = max(retry_pause(tries, retry, clock.uniform), result.retry_after or 0.0)
        return rest if clock.now() + rest < end else None

    return await drive(attempt, pause=pause, clock=clock)
