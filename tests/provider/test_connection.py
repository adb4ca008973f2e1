"""The way to the endpoint: the user's client and never closed, or such of our own as live for one entering."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.kit.canary import canary
from tests.kit.pki import Pair, self_signed
from tests.kit.town import Town, client, town

from tokenflight import MutualTLS, OAuthClient, TokenAuth, TokenProvider
from tokenflight.errors import ConfigurationError, ProviderClosedError
from tokenflight.model.secret import Secret
from tokenflight.provider.connection import Connection
from tokenflight.provider.credentials import CredentialError, Reader
from tokenflight.testing import StaticTokenSource, VirtualClock

pytestmark = pytest.mark.anyio
FILES = Path("client.pem"), Path("client.key")


def certified(*files: Path, **how: Any) -> OAuthClient:
    return client(authentication=MutualTLS(*files, **how))


def certified_by(pair: Pair, **how: Any) -> OAuthClient:
    return certified(pair.certificate, pair.key, **how)


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


# certificates


async def test_without_a_certificate_requests_go_through_the_one_client() -> None:
    connection, clock = Connection(None), VirtualClock()
    connection.open()
    reader = Reader(client())
    carrier = await connection.carrier(client(), reader, clock)
    assert (carrier.http, carrier.certified, carrier.fingerprint) == (connection.http, False, b"")
    assert not reader.changeable
    await connection.close()


async def test_what_the_users_client_presents_counts_as_a_certificate() -> None:
    async with httpx.AsyncClient() as http:
        connection = Connection(http)
        carrier = await connection.carrier(certified(), Reader(certified()), VirtualClock())
        assert (carrier.http, carrier.certified) == (http, True)


async def test_a_certificate_has_a_client_of_its_own_that_lives_for_one_entering(tmp_path: Path) -> None:
    password = canary("password")
    pair, clock = Pair.at(tmp_path, self_signed().encrypted(password)), VirtualClock()
    only, connection = certified_by(pair, password=password), Connection(None)
    opened = []
    for _ in range(2):
        connection.open()
        reader = Reader(only)
        carrier = await connection.carrier(only, reader, clock)
        assert carrier is await connection.carrier(only, Reader(only), clock)
        assert carrier.http is not connection.http
        assert reader.seen == [Secret(password)]
        opened += [carrier.http, connection.http]
        await connection.close()
    assert [http.is_closed for http in opened] == [True] * 4
    assert len({id(http) for http in opened}) == 4


async def test_the_certificate_counts_in_the_fingerprint_of_what_was_read(tmp_path: Path) -> None:
    pair, clock, connection = Pair.at(tmp_path, self_signed()), VirtualClock(), Connection(None)
    only, prints = certified_by(pair), []
    connection.open()
    for change in (False, False, True):
        if change:
            pair.write(self_signed())
        reader = Reader(only)
        await connection.carrier(only, reader, clock)
        assert reader.changeable
        prints.append(reader.fingerprint)
    await connection.close()
    assert (prints[0] == prints[1], prints[1] == prints[2]) == (True, False)


async def test_a_certificate_that_is_of_no_use_is_a_failure_of_the_credentials(tmp_path: Path) -> None:
    connection, only = Connection(None), certified(tmp_path / "missing.pem")
    connection.open()
    with pytest.raises(CredentialError) as raised:
        await connection.carrier(only, Reader(only), VirtualClock())
    failure = raised.value.failure
    assert (failure.reason, failure.transient, failure.counts) == ("credential", True, False)
    assert failure.detail == "the file 'missing.pem' that holds a certificate raised FileNotFoundError"
    await connection.close()


async def test_a_certificate_beside_the_users_client_is_refused_when_the_provider_is_made() -> None:
    told = r"give the certificate to the http client and use MutualTLS\(\), or leave http out$"
    async with httpx.AsyncClient() as http:
        for clients in (certified(*FILES), {"a": client(), "b": certified(*FILES)}):
            with pytest.raises(ConfigurationError, match=told):
                TokenProvider(clients, http=http)
        TokenProvider(certified(), http=http)


def test_nobody_who_presents_a_certificate_is_refused_when_the_provider_is_made() -> None:
    with pytest.raises(ConfigurationError, match=r"or give the provider an http client that presents one$"):
        TokenProvider(certified())
    TokenProvider(certified(*FILES))


async def test_of_a_resolvers_client_both_are_found_in_its_first_flight() -> None:
    place: Town = town()
    async with place.provider(lambda name: certified(*FILES)) as tokens:
        error = (await place.once(tokens.source("a")))[0].error
    assert isinstance(error, ConfigurationError)
    assert "leave http out" in str(error)
    assert len(place.endpoint.ledger) == 0
