"""Shows a FastAPI app with the provider in its lifespan, and 503 with Retry-After where there is no token.

To run it, offline: python examples/fastapi_app.py
To serve it, give `create_app` your endpoint and API: uvicorn --factory yours:create_app
"""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from tokenflight import ClientSecretPost, OAuthClient, TokenProvider, TokenRequestError
from tokenflight.testing import FakeTokenEndpoint, ProtectedApp, Throttle


def create_app(token_endpoint: str, orders: str) -> FastAPI:
    """Make the app: one provider and one httpx client, for as long as it runs."""
    client = OAuthClient(
        client_id="shop",
        token_endpoint=token_endpoint,
        authentication=ClientSecretPost("the client's secret"),
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with TokenProvider(client) as tokens, httpx.AsyncClient(base_url=orders, auth=tokens.auth()) as api:
            app.state.tokens, app.state.api = tokens, api
            yield

    app = FastAPI(lifespan=lifespan)

    # A token that is missing in a request of the httpx client comes as TokenUnavailable, which is a TokenRequestError.
    @app.exception_handler(TokenRequestError)
    async def no_token(request: Request, error: TokenRequestError) -> JSONResponse:
        headers = {} if error.retry_after is None else {"Retry-After": str(math.ceil(error.retry_after))}
        return JSONResponse({"error": "no token", "reason": error.reason}, 503, headers)

    @app.get("/orders")
    async def read_orders(request: Request) -> Any:
        response = await request.app.state.api.get("")
        response.raise_for_status()
        return response.json()

    @app.get("/whoami")
    async def read_token(request: Request) -> dict[str, Any]:
        token = await request.app.state.tokens.token()
        return {"expires_at": token.expires_at, "scope": sorted(token.scope)}

    @app.get("/health")
    async def read_health(request: Request) -> list[dict[str, Any]]:
        tokens: TokenProvider = request.app.state.tokens
        return [
            {"endpoint": each.endpoint, "state": each.state, "keys_without_token": each.keys_without_token}
            for each in tokens.health()
        ]

    return app


# -- Prerequisites: what you have already, an authorization server, an API and visitors. Here, stand-ins. --


async def rehearse() -> None:
    """Visit the app while its endpoint serves, and again when it asks for patience."""
    endpoint = FakeTokenEndpoint()
    async with endpoint.serve() as token_endpoint, ProtectedApp(endpoint).serve() as orders:
        app = create_app(token_endpoint, orders)
        visitors = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop")
        async with app.router.lifespan_context(app), visitors as visitor:
            await visit(visitor, "/orders")

            endpoint.always(Throttle(60))
            await visit(visitor, "/orders")  # nobody notices while the token lives
            await app.state.tokens.forget()
            await visit(visitor, "/orders")
            await visit(visitor, "/whoami")
            await visit(visitor, "/health")


async def visit(visitor: httpx.AsyncClient, path: str) -> None:
    """Ask for *path* and print what comes."""
    response = await visitor.get(path)
    later = response.headers.get("retry-after")
    print(path, response.status_code, response.json(), *([f"Retry-After: {later}"] if later else []))


if __name__ == "__main__":
    asyncio.run(rehearse())
