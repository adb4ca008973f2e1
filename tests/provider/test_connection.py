"""The way to the endpoint: the user's client and never closed, or one of our own for each entering."""

from __future__ import annotations

import httpx
import pytest

from tokenflight import TokenAuth
from tokenflight.errors import ConfigurationError, ProviderClosedError
from tokenflight.provider.connection import Connection
from tokenflight.testing import StaticTokenSource

pytestmark = pytest.mark.anyio


async def test_the_users_client_is_used_and_left_open() -> None:
    async with httpx.AsyncClient() as http:
        connection = Connection(http)
        connection.open()
        assert connection.http is http
        await connection.close()
        assert not http.is_closed
        assert connection.http is http


async def test_one_of_our_own_is_opened_and_closed_each_time() -> None:
    connection = Connection(None)
    with pytest.raises(ProviderClosedError, match=r"use `async with`$"):
        _ = connection.http
    opened = []
    for _ in range(2):
        connection.open()
        opened.append(connection.http)
        await connection.close()
        with pytest.raises(ProviderClosedError):
            _ = connection.http
    assert [http.is_closed for http in opened] == [True, True]
    assert opened[0] is not opened[1]
    await connection.close()


async def test_a_client_that_carries_our_own_auth_is_refused_whenever_it_came_to_carry_it() -> None:
    async with httpx.AsyncClient() as http:
        connection = Connection(http)
        http.auth = TokenAuth(StaticTokenSource("t"))
        for attempt in (connection.open, lambda: Connection(http)):
            with pytest.raises(ConfigurationError, match="carries a TokenAuth"):
                attempt()


def test_a_synchronous_client_is_refused() -> None:
    with httpx.Client() as http, pytest.raises(ConfigurationError, match=r"pass an httpx.AsyncClient$"):
        Connection(http)  # type: ignore[arg-type]
