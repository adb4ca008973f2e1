"""Token requests through an httpx client of the user's: what is taken of it, what is refused, and whom it delays."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import anyio
import httpx
import pytest
from tests.kit.canary import canary
from tests.kit.harbour import AT_ONCE, Harbour, at_once, calling, harbour

from tokenflight import ConfigurationError, EndpointUnreachableError, RetryPolicy, Token, TokenProvider
from tokenflight.model.events import EndpointDown
from tokenflight.testing import Answer, Delay, Issue, Redirect

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("hushed")]


@pytest.fixture
async def port() -> AsyncIterator[Harbour]:
    async with harbour() as port:
        yield port


async def test_a_client_that_carries_the_providers_own_auth_is_refused_before_anything_is_sent(port: Harbour) -> None:
    async with calling(None) as http:
        provider = TokenProvider(port.client(), http=http)
        http.auth = provider.auth()
        with pytest.raises(ConfigurationError, match="without auth"):
            await provider.__aenter__()
        with pytest.raises(ConfigurationError, match="without auth"):
            TokenProvider(port.client(), http=http)
    assert port.requests == 0


async def test_an_auth_that_the_client_gets_later_is_not_used_for_token_requests(port: Harbour) -> None:
    async with calling(None) as http, port.provider(http=http) as tokens, port.api() as served:
        http.auth = tokens.auth()
        with anyio.fail_after(5):
            assert (await http.get(served.url)).status_code == 200
            port.endpoint.revoke()
            assert (await http.get(served.url)).status_code == 200
    assert port.requests == 2
    assert {entry.authentication for entry in port.endpoint.ledger} == {"client_secret_post"}


async def test_300_keys_through_two_connections_are_each_served_or_told_when_to_ask_again(port: Harbour) -> None:
    port.endpoint.always(Delay(0.03))
    limits, patience = httpx.Limits(max_connections=2), httpx.Timeout(5, pool=0.05)
    left = [f"s{number}" for number in range(300)]
    rounds = 0
    async with (
        calling(None, limits=limits, timeout=patience) as http,
        port.provider(http=http, retry=RetryPolicy(attempts=1, base=0.01, cap=0.02)) as tokens,
    ):
        while left:
            rounds += 1
            got = await at_once(*[partial(tokens.token, subject=name) for name in left])
            failed = [(name, what) for name, what in zip(left, got, strict=True) if not isinstance(what, Token)]
            for _, error in failed:
                assert isinstance(error, EndpointUnreachableError)
                assert (error.reason, error.transient) == ("pool", True)
                assert error.retry_after is None or error.retry_after <= 1
            left = [name for name, _ in failed]
            await anyio.sleep(0.02)
        (health,) = tokens.health()
        assert await port.told(EndpointDown) == []
    assert rounds > 1
    assert (health.state, health.issued, health.last_error) == ("up", 300, None)
    assert port.requests == 300
    assert port.endpoint.ledger.max_in_flight <= 2


async def test_our_own_pool_makes_nobody_wait_for_a_connection(port: Harbour) -> None:
    port.endpoint.always(Delay(0.03))
    async with port.provider(max_flights=100) as tokens:
        got = await at_once(*[partial(tokens.token, subject=f"s{number}") for number in range(300)])
    assert all(isinstance(token, Token) for token in got)
    assert port.endpoint.ledger.max_in_flight > 50


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_no_redirect_of_the_endpoint_is_followed_even_where_the_client_would(port: Harbour, code: int) -> None:
    async with (
        harbour() as evil,
        calling(None, follow_redirects=True) as http,
        port.provider(http=http) as tokens,
    ):
        port.endpoint.always(Redirect(evil.url, status=code))
        (error,) = await at_once(tokens.token)
    assert evil.requests == 0
    assert port.requests == 1
    assert getattr(error, "reason", None) == "redirected"
    assert evil.url not in str(error)


async def test_nothing_of_the_clients_surroundings_goes_to_the_endpoint(
    port: Harbour, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine 127.0.0.1 login me password {canary('netrc')}\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    port.endpoint.always(Issue(headers={"set-cookie": "session=1; Path=/"}))
    async with port.provider() as tokens, port.api() as served, calling(tokens.auth()) as api:
        await tokens.token()
        await tokens.renew()
        assert (await api.get(served.url)).status_code == 200
    assert ["cookie" in entry.headers for entry in port.endpoint.ledger] == [False, False]
    assert {"authorization" in entry.headers for entry in port.endpoint.ledger} == {False}
    assert ["cookie" in entry.headers for entry in served.sent()] == [False]


async def test_a_clients_own_headers_cookies_and_hooks_of_requests_stay_out_of_the_form(port: Harbour) -> None:
    options: dict[str, Any] = {"headers": {"x-mine": "1"}, "cookies": {"mine": "1"}, "params": {"mine": "1"}}
    async with calling(None, **options) as http, port.provider(http=http) as tokens:
        await tokens.token()
    (entry,) = port.endpoint.ledger
    assert not {"x-mine", "cookie"} & set(entry.headers)
    assert "mine" not in entry.request.url
    assert sorted(entry.form) == ["client_id", "client_secret", "grant_type"]


async def test_a_failure_of_one_key_in_the_pool_leaves_the_held_tokens_of_others_alone(port: Harbour) -> None:
    limits, patience = httpx.Limits(max_connections=1), httpx.Timeout(5, pool=0.05)
    async with (
        calling(None, limits=limits, timeout=patience) as http,
        port.provider(http=http, retry=AT_ONCE) as tokens,
    ):
        held = await tokens.token(subject="held")
        port.endpoint.script(Delay(1.0, Answer(503)))
        async with anyio.create_task_group() as group:
            group.start_soon(at_once, partial(tokens.token, subject="slow"))
            await anyio.sleep(0.1)
            (error,) = await at_once(partial(tokens.token, subject="late"))
            assert getattr(error, "reason", None) == "pool"
            assert await tokens.token(subject="held") is held
            group.cancel_scope.cancel()
