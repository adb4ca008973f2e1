"""Shows the shortest way: one client, a token for an API, and an httpx client that carries it.

To run it, offline: python examples/quickstart.py
"""

import asyncio

import httpx

from tokenflight import ClientSecretPost, OAuthClient, TokenProvider
from tokenflight.testing import FakeTokenEndpoint, ProtectedApp

AUDIENCE = "https://api.example.com"


async def main(token_endpoint: str, orders: str) -> None:
    """Read orders, then look at the token."""
    client = OAuthClient(
        client_id="my-service",
        token_endpoint=token_endpoint,
        authentication=ClientSecretPost("the client's secret"),
    )
    async with TokenProvider(client) as tokens:
        async with httpx.AsyncClient(auth=tokens.auth(audience=AUDIENCE)) as api:
            for _ in range(3):
                response = await api.get(orders)
                print(response.status_code, response.json())

        token = await tokens.token(audience=AUDIENCE)  # the same one: it is held, so nothing is asked
        print(token)  # neither str nor repr shows the secret; token.header is what goes on the wire


# -- Prerequisites: what you have already, an authorization server and an API. Here, stand-ins on loopback. --


async def rehearse() -> None:
    """Run `main` against the stand-ins."""
    endpoint = FakeTokenEndpoint()
    async with endpoint.serve() as token_endpoint, ProtectedApp(endpoint).serve() as orders:
        await main(token_endpoint, orders)
    print("token requests:", len(endpoint.ledger))


if __name__ == "__main__":
    asyncio.run(rehearse())
