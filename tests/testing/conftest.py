from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias

import httpx
import pytest

from tokenflight.testing import FakeTokenEndpoint

FORM = {"grant_type": "client_credentials", "client_id": "service", "client_secret": "hush"}
Ask: TypeAlias = Callable[..., Awaitable[httpx.Response]]


@pytest.fixture
def endpoint() -> FakeTokenEndpoint:
    return FakeTokenEndpoint()


@pytest.fixture(params=["transport", "socket"])
async def ask(request: pytest.FixtureRequest, endpoint: FakeTokenEndpoint) -> AsyncIterator[Ask]:
    """Ask the endpoint for a token, in memory and over a socket."""
    if request.param == "transport":
        async with httpx.AsyncClient(transport=endpoint.transport()) as http:
            yield _asking(http, endpoint.url)
        return
    async with endpoint.serve() as url, httpx.AsyncClient() as http:
        yield _asking(http, url)


def _asking(http: httpx.AsyncClient, url: str) -> Ask:
    async def ask(**fields: str) -> httpx.Response:
        return await http.post(url, data=FORM | fields)

    return ask
