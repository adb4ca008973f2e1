"""Shows clients that come and go while the program runs: a resolver reads the tenant's row, each tenant has its tokens.

To run it, offline: python examples/many_tenants.py
"""

import asyncio

import httpx

from tokenflight import ConfigurationError, OAuthClient, TokenProvider
from tokenflight.testing import FakeTokenEndpoint, ProtectedApp


class Tenants:
    """The table of tenants: who has which client, registered at one authorization server."""

    def __init__(self, token_endpoint: str, api: str) -> None:
        self.secrets = {"acme": "acme's secret", "globex": "globex' secret"}
        self._token_endpoint = token_endpoint
        self._api = api

    async def client_of(self, tenant: str) -> OAuthClient | None:
        """Find a tenant's client, None where there is none. Asked before each token request, never for a held token."""
        secret = self.secrets.get(tenant)
        if secret is None:
            return None
        return OAuthClient(
            client_id=f"{tenant}-client",
            token_endpoint=self._token_endpoint,
            authentication=secret,  # a bare secret means HTTP Basic
            origins=[self._api],  # nobody else gets a token of ours
        )


async def main(tenants: Tenants, api: str) -> None:
    """Work for all tenants, then let one go."""
    async with TokenProvider(tenants.client_of) as tokens, httpx.AsyncClient() as http:
        names = ["acme", "globex"] * 3
        responses = await asyncio.gather(*(http.get(api, auth=tokens.auth(name)) for name in names))
        print("served:", [response.status_code for response in responses])

        for status in tokens.status():
            print(status.key.client, status.verdict)

        # A tenant leaves: its row goes, and with `forget_client` whatever is held for it.
        del tenants.secrets["acme"]
        print("keys of acme forgotten:", await tokens.forget_client("acme"))
        try:
            await tokens.token("acme")
        except ConfigurationError as error:
            print("refused:", error)
        print("globex:", (await http.get(api, auth=tokens.auth("globex"))).status_code)


# -- Prerequisites: what you have already, an authorization server that knows the clients, and an API. --


async def rehearse() -> None:
    """Run `main` against stand-ins on loopback."""
    endpoint = FakeTokenEndpoint()
    async with endpoint.serve() as token_endpoint, ProtectedApp(endpoint).serve() as api:
        tenants = Tenants(token_endpoint, api)
        for tenant, secret in tenants.secrets.items():
            endpoint.register(f"{tenant}-client", secret)
        await main(tenants, api)
    print("token requests:", [entry.client for entry in endpoint.ledger])


if __name__ == "__main__":
    asyncio.run(rehearse())
