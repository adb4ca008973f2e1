"""OAuthClient: who asks for tokens, where, and how."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from attrs import Attribute, asdict, field, frozen

from tokenflight.errors import ConfigurationError
from tokenflight.model.key import NO_SCOPE, as_scope
from tokenflight.model.origin import Origins, is_private_to_the_wire, origin_of
from tokenflight.model.origin import origins as as_origins
from tokenflight.model.policy import RefreshPolicy
from tokenflight.protocol.access_token import AccessTokenValidation
from tokenflight.protocol.client_authentication import (
    ClientAuthentication,
    Demanding,
    PublicClient,
    as_authentication,
    has_surrogate,
)
from tokenflight.protocol.dialect import Dialect
from tokenflight.protocol.grants import ClientCredentials, Fetch, Grant

__all__ = ["Dialect", "Endpoints", "OAuthClient", "Parameters"]

logger = logging.getLogger(__name__)

RESERVED: Final = frozenset(
    {"grant_type", "scope", "audience", "resource", "assertion", "requested_token_type"}
    | {"client_id", "client_secret", "client_assertion", "client_assertion_type"}
    | {"subject_token", "subject_token_type", "actor_token", "actor_token_type"}
    | {"code", "code_verifier", "redirect_uri", "refresh_token", "device_code"}
)
"""Form fields that grants and client authentication set themselves."""


class Parameters(Mapping[str, str]):
    """More form fields for every request of a client: immutable and hashable; the repr shows names only.

    Raises ConfigurationError for names that the library sets itself and for what is not text.
    """

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, str]) -> None:
        if not isinstance(items, Mapping):
            raise ConfigurationError(f"parameters are a mapping, not {type(items).__name__}: pass a dict of str to str")
        for name, value in items.items():
            if not isinstance(name, str) or not isinstance(value, str) or not name:
                raise ConfigurationError("parameters are named strings: pass a dict of str to str")
            if name in RESERVED:
                raise ConfigurationError(
                    f"the parameter {name!r} is set by the library: say it by an argument of the client, grant or call"
                )
            if has_surrogate(name + value):
                raise ConfigurationError(f"the parameter {name!r} has no UTF-8 form: decode its source strictly")
        self._items = dict(items)

    def __getitem__(self, name: str) -> str:
        return self._items[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(frozenset(self._items.items()))

    def __repr__(self) -> str:
        return f"Parameters({sorted(self._items)})"


@frozen(kw_only=True)
class Endpoints:
    """A client's other endpoints, each a URL; None where the server has none or discovery tells."""

    revocation: str | None = None
    authorization: str | None = None
    device: str | None = None
    introspection: str | None = None
    jwks: str | None = None


def _text(instance: object, attribute: Attribute[str], value: object) -> None:
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ConfigurationError(f"{attribute.name} is printable text: copy it from where the client is registered")


def _lasting(instance: object, attribute: Attribute[float], value: object) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or value <= 0:  # type: ignore[arg-type, operator]  # checked before
        raise ConfigurationError(f"{attribute.name} is a number of seconds: set it above 0")


def _one_of(*kinds: type) -> Any:
    def check(instance: object, attribute: Attribute[Any], value: object) -> None:
        if not isinstance(value, kinds):
            wanted = kinds[0].__name__
            raise ConfigurationError(f"{attribute.name} is a {wanted}, not {type(value).__name__}: pass a {wanted}")

    return check


def _grant(instance: object, attribute: Attribute[Grant], value: object) -> None:
    if isinstance(value, type) or not isinstance(value, Grant):
        raise ConfigurationError("grant is the value of a grant: pass one, such as ClientCredentials()")


def _scope(value: str | Iterable[str] | None) -> frozenset[str]:
    return as_scope(value) or NO_SCOPE


@frozen(kw_only=True, repr=False)
class OAuthClient:
    """A client as it is registered at one authorization server (RFC 6749, section 2); immutable and hashable.

    Attributes:
        client_id: its name there; for `Fetch` a label.
        token_endpoint: https; plain http on loopback only, or with `allow_insecure=True`. None: the issuer's metadata
            say where it is.
        issuer: the server's own name (RFC 8414), to the letter; part of the client's identity.
        authentication: how it proves who it is. A str, Secret, Path or callable is a secret and means
            ClientSecretBasic; None is PublicClient.
        grant: how it asks.
        scope: asked for where a call names none; a str is split on spaces.
        parameters: more form fields for every request.
        origins: where its tokens may go; `()` leaves that to the auth, `ANY` allows every origin.
        endpoints: its server's other endpoints; where they are None, the issuer's metadata count.
        dialect: its provider's deviations.
        refresh: its own refresh windows; None takes the provider's.
        default_lifetime: how often, in seconds, a token without `expires_in` is renewed while in use.
        validation: how each new access token is checked before it is kept; None takes it as it is, opaque.
        allow_insecure: send credentials in plain text over http; says so loudly.

    Raises ConfigurationError for whatever cannot work, before anything is sent.
    """

    client_id: str = field(validator=_text)
    token_endpoint: str | None = None
    issuer: str | None = None
    authentication: ClientAuthentication = field(default=None, converter=as_authentication)
    grant: Grant = field(factory=ClientCredentials, validator=_grant)
    scope: frozenset[str] = field(default=NO_SCOPE, converter=_scope)
    parameters: Parameters = field(default=Parameters({}), converter=Parameters)
    origins: Origins = field(default=frozenset(), converter=as_origins)
    endpoints: Endpoints = field(factory=Endpoints, validator=_one_of(Endpoints))
    dialect: Dialect = field(factory=Dialect, validator=_one_of(Dialect))
    refresh: RefreshPolicy | None = field(default=None, validator=_one_of(RefreshPolicy, type(None)))
    default_lifetime: float = field(default=300.0, validator=_lasting)
    allow_insecure: bool = field(default=False, validator=_one_of(bool))
    validation: AccessTokenValidation | None = field(default=None, validator=_one_of(AccessTokenValidation, type(None)))

    def __attrs_post_init__(self) -> None:
        """Check what no field can see alone."""
        if isinstance(self.grant, Fetch):
            self._check_fetch()
            return
        if self.token_endpoint is None and self.issuer is None:
            raise ConfigurationError(
                "a client needs to know where to ask: give token_endpoint, or the issuer whose metadata tell it"
            )
        if isinstance(self.grant, ClientCredentials) and isinstance(self.authentication, PublicClient):
            raise ConfigurationError(
                "client credentials need a client that authenticates (RFC 6749, section 4.4): "
                "give authentication, such as ClientSecretPost(...)"
            )
        self._check_urls()
        self._check_validation()
        for part in (self.authentication, self.grant):
            if isinstance(part, Demanding):
                part.check_client(self)

    @property
    def identity(self) -> tuple[str | None, str | None, str]:
        """Return what makes another client of it when changed: issuer, token endpoint and client id."""
        return self.issuer, self.token_endpoint, self.client_id

    @property
    def endpoint_label(self) -> str:
        """Return the origin of the token endpoint, or of the issuer that tells it; for `Fetch` the client id."""
        where = self.token_endpoint or self.issuer
        return self.client_id if where is None else origin_of(where)

    def __repr__(self) -> str:
        return (
            f"OAuthClient({self.client_id!r}, endpoint={self.endpoint_label!r}, "
            f"authentication={self.authentication.method}, grant={self.grant.grant_type})"
        )

    def _check_fetch(self) -> None:
        unused = {
            "token_endpoint": self.token_endpoint is not None,
            "issuer": self.issuer is not None,
            "authentication": not isinstance(self.authentication, PublicClient),
            "parameters": bool(self.parameters),
            "endpoints": self.endpoints != Endpoints(),
            "dialect": self.dialect != Dialect(),
            "validation": self.validation is not None,
        }
        for name, is_set in unused.items():
            if is_set:
                raise ConfigurationError(f"Fetch asks no token endpoint and cannot use {name}: leave it out")

    def _check_validation(self) -> None:
        if self.validation is None or self.issuer is not None:
            return
        if self.validation.issuer is None:
            raise ConfigurationError(
                "access tokens are validated, and by whom they must be issued is open: "
                "give issuer, or AccessTokenValidation(issuer=...)"
            )
        if self.endpoints.jwks is None:
            raise ConfigurationError(
                "access tokens are validated, and where the server publishes its keys is open: "
                "give endpoints=Endpoints(jwks=...), or issuer"
            )

    def _check_urls(self) -> None:
        urls = {
            "token_endpoint": self.token_endpoint,
            "issuer": self.issuer,
            **{f"endpoints.{name}": url for name, url in asdict(self.endpoints).items()},
        }
        for name, url in urls.items():
            if url is not None and not is_private_to_the_wire(endpoint_origin(name, url)):
                self._allow_plain_text(name, url)

    def _allow_plain_text(self, name: str, url: str) -> None:
        if not self.allow_insecure:
            raise ConfigurationError(
                f"{name} is plain http, on which credentials can be read: write it with https "
                "(http is for loopback; allow_insecure=True accepts the risk)"
            )
        text = f"{name} of client {self.client_id!r} is plain http: credentials and tokens can be read on the way"
        logger.warning("%s (%s)", text, origin_of(url))
        warnings.warn(text, stacklevel=5)


def endpoint_origin(name: str, url: object) -> str:
    """Return an endpoint's origin. Raises ConfigurationError for no plain absolute URL (RFC 6749, section 3.2)."""
    if not isinstance(url, str) or not all("!" <= c <= "~" for c in url):
        raise ConfigurationError(f"{name} is no URL in ASCII: write it as https://host/path, percent-encoded")
    try:
        origin = origin_of(url)
    except ConfigurationError as error:
        raise ConfigurationError(f"{name}: {error}") from None
    if "#" in url:
        raise ConfigurationError(f"{name} has a fragment, which is never sent: take out what follows the #")
    if name == "issuer" and urlsplit(url).query:
        raise ConfigurationError("issuer has a query (RFC 8414, section 2): take out what follows the ?")
    return origin
