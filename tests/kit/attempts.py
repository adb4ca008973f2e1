"""What an Attempt needs, without files and threads."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from tokenflight.model.key import TokenKey
from tokenflight.model.secret import Secret
from tokenflight.protocol.client import OAuthClient
from tokenflight.protocol.client_authentication import Attempt

T = TypeVar("T")
WALL = 1_700_000_000.0


async def work(do: Callable[[], T]) -> T:
    return do()


async def read(source: Any) -> Secret:
    """Read a secret from wherever it comes, as a Reader does."""
    if isinstance(source, Path):
        return Secret(source.read_text("utf-8").strip())
    value = source() if callable(source) else source
    return Secret(await value if inspect.isawaitable(value) else value)


def attempt(client: OAuthClient | None = None, **more: Any) -> Attempt:
    """Return an attempt of *client*; what else it is, *more* says."""
    plain = {"key": TokenKey(client="main"), "wall": WALL, "read": read, "work": work}
    return Attempt(client=client or a_client(), **(plain | more))


def a_client(**fields: Any) -> OAuthClient:
    """Return a client that knows its issuer."""
    plain = {"client_id": "me", "token_endpoint": "https://as.example/token", "issuer": "https://as.example/"}
    return OAuthClient(**(plain | {"authentication": "unused"} | fields))


def finished(coroutine: Coroutine[Any, Any, T]) -> T:
    """Drive a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    raise AssertionError("it waited")
