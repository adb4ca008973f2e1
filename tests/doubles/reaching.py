"""The two ways to a double: in memory and over a socket."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, Literal, TypeAlias

import httpx

from tokenflight.testing.double import ScriptedDouble

Way: TypeAlias = Literal["memory", "socket"]
WAYS: Final[tuple[Way, ...]] = ("memory", "socket")
_TLS: Final = ssl.create_default_context()


@asynccontextmanager
async def reached(double: ScriptedDouble[Any], way: Way = "memory") -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client whose relative URLs lead to *double*."""
    if way == "memory":
        async with httpx.AsyncClient(transport=double.transport(), base_url=double.url) as http:
            yield http
        return
    async with double.serve() as url, httpx.AsyncClient(base_url=url, trust_env=False, verify=_TLS) as http:
        yield http


def failed(response: httpx.Response) -> tuple[int, str | None, str | None]:
    """Return status, error and description of a refusal."""
    fields = response.json()
    return response.status_code, fields.get("error"), fields.get("error_description")
