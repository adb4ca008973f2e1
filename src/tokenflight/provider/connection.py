"""Connection: how token requests go out: through the user's client, one of our own, or one that presents a certificate.

The last two are made for each entering.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenflight.errors import ConfigurationError, ProviderClosedError
from tokenflight.model.clock import Clock
from tokenflight.model.failure import CredentialError, Failure
from tokenflight.protocol.client import OAuthClient
from tokenflight.protocol.client_certificates import MutualTLS
from tokenflight.provider.credentials import Reader
from tokenflight.transport.carriers import Carrier, Carriers
from tokenflight.transport.certificates import KeyPair
from tokenflight.transport.endpoint import checked_client, token_client

if TYPE_CHECKING:
    from httpx import AsyncClient


class Connection:
    """Opens what it owns, closes what it opened, and leaves the user's client alone."""

    def __init__(self, given: AsyncClient | None) -> None:
        self._given = None if given is None else checked_client(given)
        self._own: AsyncClient | None = None
        self._carriers = Carriers()

    def open(self) -> None:
        """Be ready to send. Raises ConfigurationError for a client of the user's that came to carry our own auth."""
        self._carriers = Carriers()
        if self._given is None:
            self._own = token_client()
        else:
            checked_client(self._given)

    @property
    def http(self) -> AsyncClient:
        """Return the client to send with where no certificate counts."""
        http = self._given or self._own
        if http is None:
            raise ProviderClosedError("the provider is not entered: use `async with`")
        return http

    def check(self, client: OAuthClient) -> None:
        """Raise ConfigurationError where nobody would present the client's certificate."""
        authentication = client.authentication
        if not isinstance(authentication, MutualTLS):
            return
        if self._given is not None and authentication.certificate is not None:
            raise ConfigurationError(
                f"client {client.client_id!r} has a certificate, which the provider's http cannot present: "
                "give the certificate to the http client and use MutualTLS(), or leave http out"
            )
        if self._given is None and authentication.certificate is None:
            raise ConfigurationError(
                f"client {client.client_id!r} has no certificate to present: give MutualTLS its certificate, "
                "or give the provider an http client that presents one"
            )

    async def carrier(self, client: OAuthClient, reader: Reader, clock: Clock) -> Carrier:
        """Return who carries a request of *client*: its certificate is read anew, and counts in the fingerprint.

        To be sent through before anything else is awaited. Raises ConfigurationError as `check` does, and
        CredentialError, transient, for a certificate that is of no use.
        """
        self.check(client)
        authentication = client.authentication
        if not isinstance(authentication, MutualTLS) or authentication.certificate is None:
            return Carrier(http=self.http, certified=isinstance(authentication, MutualTLS))
        password = None if authentication.password is None else await reader.read(authentication.password)
        pair = KeyPair(certificate=authentication.certificate, key=authentication.key, password=password)
        carrier = await self._carriers.carrier(pair, clock)
        if isinstance(carrier, Failure):
            raise CredentialError(carrier)
        reader.note(carrier.fingerprint)
        return carrier

    async def close(self) -> None:
        """Close the clients that were made here."""
        own, self._own = self._own, None
        await self._carriers.aclose()
        if own is not None:
            await own.aclose()
