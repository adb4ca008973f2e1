"""Counting the moments at which a coroutine lets go of the loop, and doing something at one of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Stepped(Generic[T]):
    """Await ``call()``, and *act* in the moment before it lets go for the *at*-th time; `count` tells how often."""

    def __init__(self, call: Callable[[], Awaitable[T]], *, at: int = 0, act: Callable[[], object] = bool) -> None:
        self.count = 0
        self._call = call
        self._at = at
        self._act = act

    def __await__(self) -> Generator[Any, Any, T]:
        steps = self._call().__await__()
        assert hasattr(steps, "throw")
        resume: Callable[[], Any] = lambda: next(steps)  # noqa: E731 - one of three ways on
        while True:
            try:
                yielded = resume()
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            self.count += 1
            if self.count == self._at:
                self._act()
            try:
                value = yield yielded
            except BaseException as error:
                resume = lambda error=error: steps.throw(error)  # noqa: E731
            else:
                resume = lambda value=value: steps.send(value)  # noqa: E731
