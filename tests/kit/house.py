"""A provider over a fake token endpoint in memory, in virtual time unless a test needs this machine's."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from attrs import frozen

from tokenflight import ClientSecretPost, OAuthClient, Token, TokenProvider
from tokenflight.engine.state import State
from tokenflight.model.clock import Clock
from tokenflight.testing import FakeTokenEndpoint, VirtualClock


@frozen(kw_only=True)
class House:
    """What a test needs together."""

    clock: VirtualClock
    endpoint: FakeTokenEndpoint
    provider: TokenProvider

    @property
    def state(self) -> State:
        """What the engine knows."""
        return state_of(self.provider)

    def quiet(self) -> bool:
        """Tell whether nothing is in the air, in line or waited for."""
        healths = self.state.lanes._healths.values()
        places = all(health.places.in_air == 0 and health.probe is None for health in healths)
        return not self.state.flights and places and self.endpoint.ledger.in_flight == 0

    async def get(self, audience: str = "orders", **how: Any) -> Token:
        """Ask for a token."""
        return await self.provider.token(audience=audience, **how)


def state_of(provider: TokenProvider) -> State:
    return provider._holdings.engine.state


def client_of(endpoint: FakeTokenEndpoint, **fields: Any) -> OAuthClient:
    fields = {"client_id": "service", "authentication": ClientSecretPost("hush")} | fields
    return OAuthClient(token_endpoint=endpoint.url, **fields)


def house(clients: Any = None, *, clock: VirtualClock | None = None, expires_in: Any = 3600, **settings: Any) -> House:
    """Make a provider for one client, or for *clients*, with a clock of its own."""
    clock = clock or VirtualClock()
    endpoint = FakeTokenEndpoint(clock=clock, expires_in=expires_in)
    http = httpx.AsyncClient(transport=endpoint.transport())
    provider = TokenProvider(clients or client_of(endpoint), http=http, clock=clock, **settings)
    return House(clock=clock, endpoint=endpoint, provider=provider)


def real_house(clients: Any = None, *, clock: Clock | None = None, **settings: Any) -> tuple[TokenProvider, Any]:
    """Make a provider and its endpoint on this machine's clock, for what runs in loops of its own."""
    endpoint = FakeTokenEndpoint()
    http = httpx.AsyncClient(transport=endpoint.transport())
    return TokenProvider(clients or client_of(endpoint), http=http, **settings), endpoint


@contextmanager
def watchdog(seconds: float) -> Iterator[None]:
    """Fail what takes longer than *seconds* of real time, even where it never awaits; nothing on systems without it."""
    if not hasattr(signal, "setitimer"):
        yield
        return

    def bark(number: int, frame: object) -> None:
        raise AssertionError(f"it hangs: not done after {seconds:g} s")

    before = signal.signal(signal.SIGALRM, bark)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
