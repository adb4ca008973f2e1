"""What a tenant knows: clients, APIs, organizations, and what is out."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Literal, TypeAlias

from attrs import define, field, frozen

Method: TypeAlias = Literal["post", "basic", "private_key_jwt", "tls", "none"]
Profile: TypeAlias = Literal["access_token", "rfc9068_profile"]


@frozen(kw_only=True)
class ClientGrant:
    """What a client may have of an API: scopes, and whether for organizations: never, if it wishes, or always."""

    scopes: frozenset[str] = frozenset()
    organization_usage: Literal["deny", "allow", "require"] = "deny"
    organizations: frozenset[str] = frozenset()


@frozen(kw_only=True)
class Quota:
    """How many tokens may be issued in an hour and a day of UTC; without `enforce` it is only told."""

    hour: int | None = None
    day: int | None = None
    enforce: bool = True


@define(eq=False, kw_only=True)
class Client:
    """An application.

    Attributes:
        method: the one way in which it authenticates.
        keys: public JWKs for assertions.
        thumbprint: `x5t#S256` of the certificate of a client that authenticates by TLS.
        grants: what it may have without a person, by audience.
        refreshes: further audiences that its refresh tokens are good for.
        resource_server: the audience of the API that this application is, for exchanges on behalf of who called it.
    """

    id: str
    secret: str = field(default="", repr=False)
    method: Method = "post"
    keys: Collection[Mapping[str, Any]] = ()
    thumbprint: str | None = None
    grants: dict[str, ClientGrant] = field(factory=dict)
    grant_types: frozenset[str] = frozenset({"client_credentials"})
    quota: Quota | None = None
    redirect_uris: tuple[str, ...] = ()
    refreshes: frozenset[str] = frozenset()
    resource_server: str | None = None


@frozen(kw_only=True)
class Api:
    """An API by its identifier. Tokens for the tenant's own API are not billed."""

    audience: str
    lifetime: int = 86_400
    profile: Profile = "access_token"
    scopes: frozenset[str] = frozenset()
    billed: bool = True


@frozen(kw_only=True)
class Organization:
    """An organization."""

    id: str
    name: str
    quota: Quota | None = None


@define(eq=False, kw_only=True)
class Issued:
    """An access token that is out. `expires_at` is Unix time by the server's clock, as the token says itself."""

    value: str = field(repr=False)
    client: Client
    audience: str | None
    expires_at: float
    revoked: bool = False


@define(eq=False, kw_only=True)
class Person:
    """What somebody consented to."""

    client: Client
    user: str
    audience: str | None
    scopes: tuple[str, ...]
    organization: Organization | None = None
    nonce: str | None = None


@define(eq=False, kw_only=True)
class Code:
    """An authorization code, and what its redemption has to show."""

    value: str = field(repr=False)
    person: Person
    redirect_uri: str
    expires_at: float
    challenge: str | None
    family: Family | None = None
    used: bool = False


@define(eq=False, kw_only=True)
class Family:
    """All refresh tokens that came of one consent; its end is not put off by rotation."""

    person: Person
    expires_at: float
    revoked: bool = False


@define(eq=False, kw_only=True)
class Refresh:
    """A refresh token, and what came of it."""

    value: str = field(repr=False)
    family: Family
    used_at: float | None = None
    successors: list[Refresh] = field(factory=list, repr=False)


@define(eq=False)
class Tenant:
    """Everything that a tenant knows, by id or value."""

    clients: dict[str, Client] = field(factory=dict)
    apis: dict[str, Api] = field(factory=dict)
    organizations: dict[str, Organization] = field(factory=dict)
    tokens: dict[str, Issued] = field(factory=dict, repr=False)
    refreshing: dict[str, Refresh] = field(factory=dict, repr=False)
    codes: dict[str, Code] = field(factory=dict, repr=False)
    subject_tokens: dict[tuple[str, str], str] = field(factory=dict, repr=False)
    """What an Action takes in custom token exchange: the user, by type and token."""
