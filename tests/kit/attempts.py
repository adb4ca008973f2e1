"""What an Attempt needs, without files and threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def work(do: Callable[[], T]) -> T:
    return do()
