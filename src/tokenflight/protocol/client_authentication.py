"""Client authentication: how a client proves to the token endpoint that it is itself (RFC 6749, section 2.3)."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable
from urllib.parse import quote

from attrs import field, frozen

from tokenflight.errors import ConfigurationError
from tokenflight.model.key import TokenKey
from tokenflight.model.secret import Secret, SecretSource, secret_source

if TYPE_CHECKING:
    from tokenflight.protocol.client import OAuthClient

_NOTHING: Mapping[str, str] = MappingProxyType({})

Source: TypeAlias = Secret | Path | Callable[[], Any]
"""A secret as it is kept: itself, or where to read it on each attempt."""


@frozen(kw_only=True)
class Attempt:
    """One request about to be made: for which key, by which client, when (`wall`, Unix time by the server's clock).

    `read` turns a secret source into a Secret, each time anew, and `work` runs in a worker thread what takes long and
    returns its result: files, callables and threads are met outside of this floor. `refresh_token` is the one to spend,
    where the grant spends one. What writes `wall` into something for this request appends it to `dated`: where that is
    refused, a wrong clock may be why.
    """

    key: TokenKey
    client: OAuthClient
    wall: float
    read: Callable[[Any], Awaitable[Secret]] = field(repr=False)
    work: Callable[[Callable[[], Any]], Awaitable[Any]] = field(repr=False)
    refresh_token: Secret | None = None
    dated: list[float] = field(factory=list, repr=False, eq=False)


@frozen(kw_only=True, repr=False)
class RequestParts:
    """What authentication adds to a request: form fields and headers. The repr shows names only."""

    fields: Mapping[str, str] = _NOTHING
    headers: Mapping[str, str] = _NOTHING

    def __repr__(self) -> str:
        return f"RequestParts(fields={sorted(self.fields)}, headers={sorted(self.headers)})"


@runtime_checkable
class Demanding(Protocol):
    """A client authentication or grant that cannot serve every client."""

    def check_client(self, client: OAuthClient) -> None:
        """Raise ConfigurationError where *client* lacks what is needed; called when the client is made."""
        ...


@runtime_checkable
class ClientAuthentication(Protocol):
    """How a client authenticates: a frozen, hashable value whose repr shows no secret."""

    @property
    def method(self) -> str:
        """Return the registered name, such as `client_secret_basic` or `none` (RFC 7591, section 2)."""
        ...

    async def authenticate(self, attempt: Attempt) -> RequestParts:
        """Return what proves the client's identity in this one request.

        Called once per attempt, right before it is sent, so that what is signed is fresh and what is read is current.
        Secrets are read by `attempt.read` and nothing else. A field or header that the request has already is a
        ConfigurationError. Raises ConfigurationError where no attempt can ever succeed.
        """
        ...


def a_switch(instance: object, attribute: Any, value: object) -> None:
    """Check, as a validator of attrs, that a value is True or False."""
    if not isinstance(value, bool):
        raise ConfigurationError(f"{attribute.name} is True or False, not {type(value).__name__}: pass one of the two")


@frozen
class ClientSecretBasic:
    """Send client id and secret in an Authorization header (RFC 6749, section 2.3.1).

    Both are percent-encoded first, as the RFC says. `raw=True` sends them as they are, for servers that do not decode.
    """

    secret: Source = field(converter=secret_source)
    raw: bool = field(default=False, kw_only=True)
    method = "client_secret_basic"

    async def authenticate(self, attempt: Attempt) -> RequestParts:
        """Return the header. Raises ConfigurationError where a raw client id holds a colon (RFC 7617, section 2)."""
        client_id = attempt.client.client_id
        secret = sendable(await attempt.read(self.secret))
        if not self.raw:
            # A space as %20: those who decode forms undo it as well, and some servers undo nothing but percent signs.
            client_id, secret = quote(client_id, safe=""), quote(secret, safe="")
        elif ":" in client_id:
            raise ConfigurationError("a client id with a colon cannot be sent raw: leave out raw=True")
        credentials = base64.b64encode(f"{client_id}:{secret}".encode()).decode("ascii")
        return RequestParts(headers={"authorization": f"Basic {credentials}"})

    def __repr__(self) -> str:
        return f"ClientSecretBasic(***{', raw=True' if self.raw else ''})"


@frozen
class ClientSecretPost:
    """Send client id and secret as form fields (RFC 6749, section 2.3.1)."""

    secret: Source = field(converter=secret_source)
    method = "client_secret_post"

    async def authenticate(self, attempt: Attempt) -> RequestParts:
        """Return the two fields."""
        secret = sendable(await attempt.read(self.secret))
        return RequestParts(fields={"client_id": attempt.client.client_id, "client_secret": secret})

    def __repr__(self) -> str:
        return "ClientSecretPost(***)"


@frozen(kw_only=True)
class PublicClient:
    """Say who the client is and prove nothing (RFC 6749, section 2.1): for clients that cannot keep a secret.

    `send_client_id=False` leaves even the id out, for servers that know the client by its assertion.
    """

    send_client_id: bool = field(default=True, validator=a_switch)
    method = "none"

    async def authenticate(self, attempt: Attempt) -> RequestParts:
        """Return the client id alone."""
        return RequestParts(fields=client_id_field(attempt.client, self.send_client_id))


def client_id_field(client: OAuthClient, send: bool) -> dict[str, str]:
    """Return the form field that says who the client is, or none."""
    return {"client_id": client.client_id} if send else {}


def sendable(secret: Secret) -> str:
    """Return a secret's text for sending.

    Raises ConfigurationError where it has no UTF-8 form: the codec's own exception would hold the secret.
    """
    text = secret.reveal()
    if has_surrogate(text):
        raise ConfigurationError("a client secret holds a lone surrogate, which has no UTF-8 form: check its source")
    return text


def has_surrogate(text: str) -> bool:
    """Tell whether *text* has no UTF-8 form."""
    return any("\ud800" <= c <= "\udfff" for c in text)


def as_authentication(value: ClientAuthentication | SecretSource | None) -> ClientAuthentication:
    """Take what a user passed as authentication: a bare secret means ClientSecretBasic, None a PublicClient.

    Raises ConfigurationError for anything else.
    """
    if value is None:
        return PublicClient()
    if isinstance(value, type):
        raise ConfigurationError(f"{value.__name__} is a class: call it with the client's secret, or leave it out")
    if isinstance(value, ClientAuthentication):
        return value
    return ClientSecretBasic(value)
