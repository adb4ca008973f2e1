"""As users write them: a program's tests with respx."""

from __future__ import annotations

import httpx
import pytest
import respx

from tokenflight import ClientSecretPost, InvalidClientError, OAuthClient, RetryPolicy, TokenProvider

pytestmark = pytest.mark.anyio

AUTH, API = "https://auth.example.com/token", "https://api.example.com/orders"
CLIENT = OAuthClient(client_id="app", token_endpoint=AUTH, authentication=ClientSecretPost("s3cret"))
GOOD = {"access_token": "t1", "token_type": "Bearer", "expires_in": 3600}


@respx.mock
async def test_orders_are_fetched_with_a_token() -> None:
    auth = respx.post(AUTH).respond(json=GOOD)
    orders = respx.get(API, headers={"Authorization": "Bearer t1"}).respond(json=[{"id": 1}])
    async with TokenProvider(CLIENT) as tokens, httpx.AsyncClient(auth=tokens.auth()) as api:
        for _ in range(3):
            assert (await api.get(API)).json() == [{"id": 1}]
    assert (auth.call_count, orders.call_count) == (1, 3)
    assert auth.calls.last.request.content == b"grant_type=client_credentials&client_id=app&client_secret=s3cret"


@respx.mock
async def test_a_wrong_secret_is_told() -> None:
    respx.post(AUTH).respond(401, json={"error": "invalid_client"})
    async with TokenProvider(CLIENT) as tokens:
        with pytest.raises(InvalidClientError):
            await tokens.token()


@respx.mock
async def test_an_outage_of_a_moment_is_nothing() -> None:
    auth = respx.post(AUTH)
    auth.side_effect = [httpx.Response(503), httpx.ConnectError("no"), httpx.Response(200, json=GOOD)]
    async with TokenProvider(CLIENT, retry=RetryPolicy(base=0.01)) as tokens:
        assert (await tokens.token()).header == "Bearer t1"
    assert auth.call_count == 3


@respx.mock
async def test_a_401_is_healed() -> None:
    respx.post(AUTH).side_effect = [
        httpx.Response(200, json=GOOD),
        httpx.Response(200, json=GOOD | {"access_token": "t2"}),
    ]
    orders = respx.post(API)
    orders.side_effect = [httpx.Response(401, headers={"WWW-Authenticate": "Bearer"}), httpx.Response(201)]
    async with TokenProvider(CLIENT) as tokens, httpx.AsyncClient(auth=tokens.auth()) as api:
        assert (await api.post(API, json={"id": 2})).status_code == 201
    assert [call.request.headers["authorization"] for call in orders.calls] == ["Bearer t1", "Bearer t2"]


@respx.mock
async def test_a_token_request_that_nobody_mocked_fails_the_test_at_once() -> None:
    async with TokenProvider(CLIENT) as tokens:
        with pytest.raises(AssertionError, match="not mocked"):
            await tokens.token()
