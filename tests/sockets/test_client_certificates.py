"""Mutual TLS on real connections: who is let in, what a refusal looks like, and a certificate that changes in use."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from tests.kit.canary import canary
from tests.kit.harbour import AT_ONCE, SUBJECTS, Harbour, at_once, sockets, soon
from tests.kit.pki import Authority, Issued, Pair, alerting, authority, public_authority, self_signed

from tokenflight import EndpointUnreachableError, InvalidClientError, MutualTLS, OAuthClient, Token, TokenProvider
from tokenflight.model.events import FlightFailed
from tokenflight.testing import Delay, FakeTokenEndpoint

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("hushed", "trusted")]


@pytest.fixture
def trusted(tmp_path: Path) -> Iterator[None]:
    with public_authority(tmp_path):
        yield


@asynccontextmanager
async def port(context: ssl.SSLContext | None = None) -> AsyncIterator[Harbour]:
    """Serve a token endpoint that wants a certificate of the tests' authority."""
    endpoint = FakeTokenEndpoint()
    async with endpoint.serve(ssl_context=context or authority().server()) as url:
        yield Harbour(endpoint, url)


def client(url: str, pair: Pair | None = None, client_id: str = "service", **how: Any) -> OAuthClient:
    files = () if pair is None else (pair.certificate, pair.key)
    method = MutualTLS(*files, **how)
    return OAuthClient(client_id=client_id, token_endpoint=url, authentication=method, dialect=SUBJECTS)


async def fails(tokens: TokenProvider, **what: Any) -> Any:
    (error,) = await at_once(partial(tokens.token, **what))
    assert isinstance(error, Exception)
    return error


async def test_the_right_certificate_is_presented_and_the_form_says_the_client_id(tmp_path: Path) -> None:
    issued = authority().client()
    async with port() as place:
        place.endpoint.register("service", thumbprint=issued.thumbprint)
        async with place.provider(client(place.url, Pair.at(tmp_path, issued))) as tokens:
            assert isinstance(await tokens.token(), Token)
        [entry] = place.endpoint.ledger
    assert entry.form == {"grant_type": "client_credentials", "client_id": "service"}
    assert "authorization" not in entry.headers
    assert (entry.authentication, entry.request.thumbprint) == ("tls_client_auth", issued.thumbprint)


async def test_a_self_signed_certificate_counts_where_the_server_knows_it(tmp_path: Path) -> None:
    issued = self_signed()
    async with port(authority().server(issued.certificate)) as place:
        place.endpoint.register("service", thumbprint=issued.thumbprint)
        async with place.provider(client(place.url, Pair.at(tmp_path, issued), self_signed=True)) as tokens:
            await tokens.token()
        assert place.endpoint.ledger[0].request.thumbprint == issued.thumbprint


async def test_one_file_may_hold_both_and_the_key_may_be_encrypted(tmp_path: Path) -> None:
    password = canary("password")
    issued = authority().client().encrypted(password)
    both, secret = tmp_path / "both.pem", tmp_path / "password"
    both.touch(0o600)
    both.write_bytes(issued.key + issued.certificate)
    secret.write_text(password + "\n")
    method = MutualTLS(both, password=secret)
    async with port() as place, place.provider(place.client(authentication=method)) as tokens:
        await tokens.token()
        assert place.endpoint.ledger[0].request.thumbprint == issued.thumbprint


REFUSED = {
    "foreign": lambda: Authority().client(),
    "expired": lambda: authority().client(expired=True),
    "self-signed": self_signed,
}


@pytest.mark.parametrize("newest", [True, False], ids=["TLS 1.3", "TLS 1.2"])
@pytest.mark.parametrize("issue", REFUSED.values(), ids=REFUSED)
async def test_one_that_is_refused_without_a_word_is_transient_and_the_error_names_the_certificate(
    tmp_path: Path, issue: Any, newest: bool
) -> None:
    async with port(authority().server(newest=newest)) as place:
        only = client(place.url, Pair.at(tmp_path, issue()))
        async with place.provider(only, retry=AT_ONCE) as tokens:
            error = await fails(tokens)
            [health] = tokens.health()
    assert isinstance(error, EndpointUnreachableError)
    assert (error.transient, error.attempts, health.state) == (True, 3, "probing")
    assert error.reason == ("reset" if newest else "tls")
    assert ("client certificate" if newest else "the client's") in (error.hint or "")
    assert place.requests == 0


TOLD = {
    "foreign": (lambda: Authority().client(), "of an authority that it does not know"),
    "expired": (lambda: authority().client(expired=True), "as expired or not yet valid"),
}


@pytest.mark.parametrize("newest", [True, False], ids=["TLS 1.3", "TLS 1.2"])
@pytest.mark.parametrize(("issue", "told"), TOLD.values(), ids=TOLD)
async def test_an_alert_that_names_the_certificate_is_told_and_counts_for_nobody_else(
    tmp_path: Path, issue: Any, told: str, newest: bool
) -> None:
    async with alerting(authority().server(newest=newest)) as url:
        place = Harbour(FakeTokenEndpoint(), url)
        async with place.provider(client(url, Pair.at(tmp_path, issue())), retry=AT_ONCE) as tokens:
            error = await fails(tokens)
            [health] = tokens.health()
    assert isinstance(error, EndpointUnreachableError)
    assert (error.reason, error.transient, health.state) == ("certificate", True, "up")
    assert told in error.detail
    assert "what the server knows of it" in (error.hint or "")


async def test_who_presents_none_where_one_is_needed_is_told_so() -> None:
    async with alerting(authority().server()) as url:
        place = Harbour(FakeTokenEndpoint(), url)
        async with place.provider(retry=AT_ONCE) as tokens:
            error = await fails(tokens)
    assert (error.reason, error.detail.partition("asks")[2]) == (
        "certificate",
        " for a client certificate and got none that it takes",
    )


async def test_a_certificate_that_the_server_takes_and_the_client_is_not_known_by_is_invalid_client(
    tmp_path: Path,
) -> None:
    right, wrong = authority().client(), authority().client()
    pair = Pair.at(tmp_path, wrong)
    async with port() as place:
        place.endpoint.register("service", thumbprint=right.thumbprint)
        async with place.provider(client(place.url, pair)) as tokens:
            assert isinstance(await fails(tokens), InvalidClientError)
            await fails(tokens)
            assert place.requests == 1, "held back"
            pair.write(right)
            with anyio.fail_after(10):  # what was refused is looked at again every two seconds at most
                while not isinstance((await at_once(tokens.token))[0], Token):  # noqa: ASYNC110 - by a clock
                    await anyio.sleep(0.05)
        assert [entry.request.thumbprint for entry in place.endpoint.ledger] == [wrong.thumbprint, right.thumbprint]


async def test_the_users_http_client_presents_its_own(tmp_path: Path) -> None:
    issued = authority().client()
    pair, context = Pair.at(tmp_path, issued), ssl.create_default_context()
    authority().ca.configure_trust(context)
    context.load_cert_chain(pair.certificate, pair.key)
    async with port() as place, httpx.AsyncClient(verify=context, trust_env=False) as http:
        async with place.provider(client(place.url), http=http) as tokens:
            await tokens.token()
        assert place.endpoint.ledger[0].request.thumbprint == issued.thumbprint


async def test_a_users_http_client_that_presents_none_is_told_to_check_it() -> None:
    context = ssl.create_default_context()
    authority().ca.configure_trust(context)
    async with (
        port() as place,
        httpx.AsyncClient(verify=context, trust_env=False) as http,
        place.provider(client(place.url), http=http, retry=AT_ONCE) as tokens,
    ):
        error = await fails(tokens)
    assert (error.reason, "check the client certificate" in (error.hint or "")) == ("reset", True)


async def test_two_certificates_at_one_endpoint_never_share_a_connection(tmp_path: Path) -> None:
    issued = {name: authority().client(name) for name in ("one", "two")}
    async with port() as place:
        clients = {
            name: client(place.url, Pair.at(tmp_path, each, name), client_id=name) for name, each in issued.items()
        }
        async with place.provider(clients) as tokens:
            for batch in range(5):
                calls = [partial(tokens.token, name, subject=f"{batch} {n}") for n in range(4) for name in issued]
                assert all(isinstance(got, Token) for got in await at_once(*calls))
            assert sockets() > 0
        entries = list(place.endpoint.ledger)
    assert len(entries) == 40
    assert all(entry.request.thumbprint == issued[entry.client or ""].thumbprint for entry in entries)


async def test_clients_that_use_the_same_files_share_their_connections(tmp_path: Path) -> None:
    pair = Pair.at(tmp_path, authority().client())
    async with port() as place:
        clients = {name: client(place.url, pair, client_id=name) for name in ("one", "two")}
        async with place.provider(clients) as tokens:
            await tokens.token("one")
            before = sockets()
            await tokens.token("two")
            assert sockets() == before


async def test_files_that_change_under_load_fail_no_flight_and_the_next_attempt_presents_the_new_one(
    tmp_path: Path,
) -> None:
    series = [authority().client() for _ in range(4)]
    pair, done = Pair.at(tmp_path, series[0]), False
    async with port() as place:
        place.endpoint.always(Delay(0.02))

        async def caller(number: int) -> None:
            asked = 0
            while not done:
                await tokens.token(subject=f"{number} {asked}")
                asked += 1

        async def change() -> None:
            nonlocal done
            for issued in series[1:]:
                begun = place.requests
                await soon(lambda begun=begun: place.requests > begun + 20)  # type: ignore[misc]
                pair.write(issued)
                written = place.requests
                await soon(lambda written=written: place.requests > written + 20)  # type: ignore[misc]
                assert place.endpoint.ledger[-1].request.thumbprint == issued.thumbprint
            done = True

        async with place.provider(client(place.url, pair)) as tokens:
            async with anyio.create_task_group() as group:
                for number in range(8):
                    group.start_soon(caller, number)
                group.start_soon(change)
            assert await place.told(FlightFailed) == []
            assert {entry.status for entry in place.endpoint.ledger} == {200}
            presented = [entry.request.thumbprint for entry in place.endpoint.ledger]
            assert list(dict.fromkeys(presented)) == [issued.thumbprint for issued in series]
            assert len(tokens._connection._carriers._slots) == 1
            former = tokens._connection._carriers._former
            await soon(lambda: all(carrier.http.is_closed for carrier in former))


async def test_what_is_in_the_air_on_the_old_certificate_lands(tmp_path: Path) -> None:
    old, new = authority().client(), authority().client()
    pair = Pair.at(tmp_path, old)
    async with port() as place, place.provider(client(place.url, pair)) as tokens:
        place.endpoint.script(Delay(0.3))
        got: list[Any] = []

        async def slow() -> None:
            got.append(await tokens.token(subject="slow"))

        async with anyio.create_task_group() as group:
            group.start_soon(slow)
            await soon(lambda: place.requests == 1)
            pair.write(new)
            await tokens.token(subject="fast")
            assert got == []
        assert isinstance(got[0], Token)
        presented = [(entry.form["subject"], entry.request.thumbprint) for entry in place.endpoint.ledger]
    assert presented == [("slow", old.thumbprint), ("fast", new.thumbprint)]


async def test_leaving_with_exchanges_in_the_air_on_two_certificates_leaves_no_socket(tmp_path: Path) -> None:
    pair = Pair.at(tmp_path, authority().client())
    async with port() as place:
        place.endpoint.hang()
        before = sockets()
        provider = place.provider(client(place.url, pair), shutdown_grace=1.0)
        async with anyio.create_task_group() as group, provider as tokens:
            for number in (1, 2):
                group.start_soon(at_once, partial(tokens.token, subject=str(number)))
                await soon(lambda number=number: place.requests == number)  # type: ignore[misc]
                pair.write(authority().client())
        await soon(lambda: sockets() <= before)


async def test_no_password_or_key_shows_in_what_a_wrong_one_leaves_behind(tmp_path: Path) -> None:
    issued: Issued = authority().client().encrypted(canary("password"))
    async with port() as place:
        wrong = client(place.url, Pair.at(tmp_path, issued), password=canary("wrong"))
        async with place.provider(wrong, retry=AT_ONCE) as tokens:
            error = await fails(tokens)
    assert (error.reason, error.transient, error.attempts) == ("credential", True, 0)
    assert error.detail == "the private key in 'client.key' was not decrypted: its password is another"
