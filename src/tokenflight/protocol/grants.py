"""Grants: what a client presents to get a token (RFC 6749, section 1.3)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from attrs import evolve, field, frozen

from tokenflight.errors import ConfigurationError
from tokenflight.model.key import NO_SCOPE, TokenKey
from tokenflight.model.token import Token

if TYPE_CHECKING:
    from tokenflight.protocol.client import OAuthClient
    from tokenflight.protocol.client_authentication import Attempt, RequestParts


@runtime_checkable
class Grant(Protocol):
    """How a client asks for a token: a frozen, hashable value."""

    @property
    def grant_type(self) -> str:
        """Return the wire name, such as `client_credentials`."""
        ...

    @property
    def repeatable(self) -> bool:
        """Return whether the same request may be sent again at any time; false where it spends what it presents."""
        ...

    def fields(self, key: TokenKey, scope: frozenset[str]) -> dict[str, str]:
        """Return the form fields of a request for *key*; `grant_type` only where it is not the grant's own.

        *scope* is the effective one: the key's own, else the client's. Called often and in no particular order, it is
        synchronous, reads nothing and spends nothing. No field is a secret: those come from `Presenting.present`. What
        of the key it cannot use it leaves alone: `check_key` tells the caller. Raises ConfigurationError for a key that
        the grant cannot serve.
        """
        ...


@runtime_checkable
class Presenting(Protocol):
    """A grant that presents something secret: an assertion, a subject token, a refresh token."""

    @property
    def carries(self) -> frozenset[str]:
        """Return what of a key travels in it and not in `fields`: of `subject`, `audience` and `scope`."""
        ...

    async def present(self, attempt: Attempt) -> RequestParts:
        """Return what is presented in this one request, as form fields or headers beside those of `fields`.

        Called once per attempt, right before it is sent, so that what is signed is fresh and what is read is current.
        Secrets are read by `attempt.read` and nothing else, so that no error text shows them. A field that the request
        has already is a ConfigurationError. Raises ConfigurationError where no attempt can ever succeed.
        """
        ...


@runtime_checkable
class Named(Protocol):
    """A grant whose repr does not tell it from all others, because that would show too much."""

    @property
    def named_by(self) -> tuple[object, ...]:
        """Return what makes its tokens others than those of a grant with the same repr; hashed, it names records.

        Made of str, numbers, None, tuples and mappings. What a secret is, is not in it: a new one finds the old token.
        """
        ...


@frozen
class ClientCredentials:
    """The client asks in its own name (RFC 6749, section 4.4).

    An audience travels as `audience`; one of type `resource` as `resource` (RFC 8707); any other type, and a subject,
    are a dialect's to place.
    """

    grant_type = "client_credentials"
    repeatable = True

    def fields(self, key: TokenKey, scope: frozenset[str]) -> dict[str, str]:
        """Return `scope`, sorted, and `audience` or `resource`, each where there is one."""
        return scope_fields(scope) | audience_fields(key)


def scope_fields(scope: frozenset[str]) -> dict[str, str]:
    """Return a scope as `scope`, sorted; nothing for an empty one."""
    return {"scope": " ".join(sorted(scope))} if scope else {}


def audience_fields(key: TokenKey) -> dict[str, str]:
    """Return a key's audience as `audience`, one of type `resource` as `resource` (RFC 8707); other types are left."""
    audience = key.audience
    if audience is None or audience.type not in (None, "resource"):
        return {}
    return {audience.type or "audience": audience.value}


def _is_callable(instance: object, attribute: Any, value: Any) -> None:
    if not callable(value):
        raise ConfigurationError(f"Fetch takes an async function of a TokenKey, not {type(value).__name__}: pass one")


@frozen
class Fetch:
    """Tokens come from an async function of the user's instead of a token endpoint.

    A TokenFlightError out of it counts as it is; any other exception is transient. It accepts any key.
    """

    fetch: Callable[[TokenKey], Awaitable[Token]] = field(validator=_is_callable)
    grant_type = "fetch"
    repeatable = True

    def fields(self, key: TokenKey, scope: frozenset[str]) -> dict[str, str]:
        """Return nothing: no form is ever sent."""
        return {}


def effective_scope(client: OAuthClient, key: TokenKey) -> frozenset[str]:
    """Return the scope that is asked for: the key's own, else the client's."""
    return client.scope if key.scope is None else key.scope


def token_fields(client: OAuthClient, key: TokenKey) -> dict[str, str]:
    """Return the form of a token request, without what authenticates the client.

    The grant comes first, the client's dialect may change what it said, the client's parameters are added.
    Raises ConfigurationError where grant or dialect refuse the key and where a parameter would replace a field.
    """
    scope = effective_scope(client, key)
    fields = {"grant_type": client.grant.grant_type} | client.grant.fields(key, scope)
    fields = client.dialect.shape(evolve(key, scope=scope), fields)
    for name, value in client.parameters.items():
        if name in fields:
            raise ConfigurationError(
                f"the parameter {name!r} would replace what the request says already: "
                "take it out of the client's parameters, or leave out what sets it in the call"
            )
        fields[name] = value
    return fields


def check_key(client: OAuthClient, key: TokenKey) -> None:
    """Raise ConfigurationError for what a key names and a request for it would not carry.

    Nothing is dropped in silence: the form is made with and without each of subject, audience and scope; what makes no
    difference, and is not in what the grant presents, cannot be used. Raises ConfigurationError also where the key
    cannot be served at all.
    """
    if isinstance(client.grant, Fetch):
        return
    key = evolve(key, scope=effective_scope(client, key))
    carried = token_fields(client, key)
    if client.validation is not None:
        client.validation.check_key(key)
    without = {
        "subject": evolve(key, subject=None),
        "audience": evolve(key, audience=None),
        "scope": evolve(key, scope=NO_SCOPE),
    }
    presented = client.grant.carries if isinstance(client.grant, Presenting) else NO_SCOPE
    for name, bare in without.items():
        if name not in presented and bare != key and _fields_or_none(client, bare) == carried:
            raise ConfigurationError(
                f"the {name} would be dropped: {client.grant.grant_type} of client {key.client!r} cannot carry it; "
                "leave it out, or give the client a dialect whose form says where it goes"
            )


def _fields_or_none(client: OAuthClient, key: TokenKey) -> dict[str, str] | None:
    """Return the form of *key*, None where it is refused: what is missing there is demanded."""
    try:
        return token_fields(client, key)
    except ConfigurationError:
        return None
