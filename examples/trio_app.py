"""Shows the same on trio: tasks of a nursery share one request, and one that gives up takes nothing from the others.

To run it, offline: python examples/trio_app.py
"""

import httpx
import trio

from tokenflight import ClientSecretPost, OAuthClient, TokenProvider
from tokenflight.testing import FakeTokenEndpoint, ProtectedApp

FEEDS = ["news", "sports", "weather", "traffic"]


async def main(token_endpoint: str, feeds: str) -> None:
    """Read all feeds at once."""
    client = OAuthClient(
        client_id="reader",
        token_endpoint=token_endpoint,
        authentication=ClientSecretPost("the client's secret"),
    )

    async def read(feed: str) -> None:
        response = await api.get(f"/{feed}")
        print(feed, response.status_code)

    async with (
        TokenProvider(client) as tokens,
        httpx.AsyncClient(base_url=feeds, auth=tokens.auth()) as api,
        trio.open_nursery() as nursery,
    ):
        # The first to ask launches the token request and has no time to wait; the request is the provider's.
        with trio.move_on_after(0) as impatient:
            await api.get("/gossip")
        print("gossip: gave up" if impatient.cancelled_caught else "gossip: read")

        for feed in FEEDS:
            nursery.start_soon(read, feed)


# -- Prerequisites: what you have already, an authorization server and an API. Here, stand-ins on loopback. --


async def rehearse() -> None:
    """Run `main` against the stand-ins."""
    endpoint = FakeTokenEndpoint()
    async with endpoint.serve() as token_endpoint, ProtectedApp(endpoint).serve() as feeds:
        await main(token_endpoint, feeds)
    print("token requests:", len(endpoint.ledger))


if __name__ == "__main__":
    trio.run(rehearse)
