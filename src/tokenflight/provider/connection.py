"""Connection: the httpx client that token requests go through, the user's or one of our own for each entering."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenflight.errors import ProviderClosedError
from tokenflight.transport.endpoint import checked_client, token_client

if TYPE_CHECKING:
    from httpx import AsyncClient


class Connection:
    """Opens what it owns, closes what it opened, and leaves the user's client alone."""

    def __init__(self, given: AsyncClient | None) -> None:
        self._given = None if given is None else checked_client(given)
        self._own: AsyncClient | None = None

    def open(self) -> None:
        """Be ready to send. Raises ConfigurationError for a client of the user's that came to carry our own auth."""
        if self._given is None:
            self._own = token_client()
        else:
            checked_client(self._given)

    @property
    def http(self) -> AsyncClient:
        """Return the client to send with."""
        http = self._given or self._own
        if http is None:
            raise ProviderClosedError("the provider is not entered: use `async with`")
        return http

    async def close(self) -> None:
        """Close the client that `open` made."""
        own, self._own = self._own, None
        if own is not None:
            await own.aclose()
