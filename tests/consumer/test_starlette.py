"""As users write them: an app in starlette with the provider in its lifespan, tested by the TestClient."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from tokenflight import TokenProvider, TokenRequestError
from tokenflight.testing import FakeProvider, ProtectedApp, Throttle, fake_provider


async def orders(request: Request) -> Response:
    try:
        answer = await request.app.state.api.get("https://api.test/orders")
    except TokenRequestError as error:
        wait = {} if error.retry_after is None else {"Retry-After": str(round(error.retry_after))}
        return JSONResponse({"reason": error.reason}, 503, headers=wait)
    return JSONResponse(answer.json(), answer.status_code)


def app_with(tokens: TokenProvider, transport: httpx.AsyncBaseTransport) -> Starlette:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with tokens, httpx.AsyncClient(transport=transport, auth=tokens.auth("orders")) as app.state.api:
            yield

    return Starlette(routes=[Route("/orders", orders)], lifespan=lifespan)


def made() -> tuple[FakeProvider, ProtectedApp, Any]:
    tokens = fake_provider()
    api = ProtectedApp(tokens.endpoint, content=[{"id": 1}])
    return tokens, api, app_with(tokens, api.transport())


def test_requests_share_a_token_for_the_life_of_the_app() -> None:
    tokens, api, app = made()
    with TestClient(app) as client:
        assert [client.get("/orders").json() for _ in range(3)] == [[{"id": 1}]] * 3
    assert (len(tokens.ledger), len(api.ledger)) == (1, 3)


def test_an_outage_is_a_503_that_says_when_to_come_back() -> None:
    tokens, _, app = made()
    tokens.fail(Throttle(7))
    with TestClient(app) as client:
        answer = client.get("/orders")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")
        tokens.recover()
        assert client.get("/orders").status_code == 200


def test_a_revoked_token_is_healed_behind_the_apps_back() -> None:
    tokens, _, app = made()
    with TestClient(app) as client:
        client.get("/orders")
        tokens.revoke_all()
        assert client.get("/orders").status_code == 200
    assert len(tokens.ledger) == 2


def test_the_app_may_be_started_again_with_the_token_that_it_holds() -> None:
    tokens, _, app = made()
    for _ in range(2):
        with TestClient(app) as client:
            assert client.get("/orders").status_code == 200
    assert len(tokens.ledger) == 1
