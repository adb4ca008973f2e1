"""Auth0: client credentials for one API, which is demanded, and where wanted for one organization.

Logins, refresh tokens that rotate and exchanges of tokens go as the RFCs have them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from tokenflight.dialects.advice import hints
from tokenflight.dialects.auth0_answers import ADVICE, APIS, classify, parse
from tokenflight.dialects.credentials import one_authentication
from tokenflight.errors import ConfigurationError
from tokenflight.model.key import Subject, TokenKey
from tokenflight.model.secret import SecretSource
from tokenflight.protocol.client import Dialect, Endpoints, OAuthClient
from tokenflight.protocol.client_assertions import ClientSecretJWT, PrivateKeyJWT
from tokenflight.protocol.client_authentication import ClientAuthentication
from tokenflight.protocol.grants import ClientCredentials
from tokenflight.protocol.metadata import MTLS_METHODS
from tokenflight.protocol.token_exchange import TokenExchange

__all__ = ["client", "organization"]

_ORGANIZATION: Final = "organization"
_DOMAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?")
_ALGORITHMS: Final = ("RS256", "RS384", "PS256", "PS384", "ES256", "ES384")
_LONGEST: Final = 300.0


def client(
    *,
    domain: str,
    client_id: str,
    client_secret: SecretSource | str | None = None,
    authentication: ClientAuthentication | SecretSource | str | None = None,
    **fields: Any,
) -> OAuthClient:
    """Return a client of an Auth0 tenant; *domain* is its bare host name, *fields* go to OAuthClient.

    The client's other endpoints are the tenant's, unless *fields* name another `token_endpoint`: credentials made for a
    stand-in stay there. With `MutualTLS` it has none: the tenant's metadata tell where certificates are taken.
    Raises ConfigurationError for a ClientSecretJWT, and for a PrivateKeyJWT of an algorithm or lifetime that Auth0
    refuses.
    """
    if not isinstance(domain, str) or not _DOMAIN.fullmatch(domain):
        raise ConfigurationError(
            "an Auth0 domain is a bare host name: write it like tenant.eu.auth0.com, without https:// and path"
        )
    tenant = f"https://{domain.lower()}"
    proof = _proof(client_secret, authentication)
    defaults: dict[str, Any] = {"issuer": f"{tenant}/", "dialect": DIALECT}
    if "token_endpoint" not in fields and proof.method not in MTLS_METHODS:
        defaults |= {"token_endpoint": f"{tenant}/oauth/token", "endpoints": _endpoints(tenant)}
    return OAuthClient(client_id=client_id, authentication=proof, **{**defaults, **fields})


def organization(id_or_name: str) -> Subject:
    """Return the subject for one organization: its id, or its name where the tenant allows names."""
    return Subject(id_or_name, _ORGANIZATION)


def _proof(
    client_secret: SecretSource | str | None, authentication: ClientAuthentication | SecretSource | str | None
) -> ClientAuthentication:
    proof = one_authentication(client_secret, authentication)
    if isinstance(proof, ClientSecretJWT):
        raise ConfigurationError(
            "Auth0 takes no assertion that a secret signed: give client_secret, or PrivateKeyJWT(...)"
        )
    if isinstance(proof, PrivateKeyJWT):
        if proof.algorithm not in (None, *_ALGORITHMS):
            raise ConfigurationError(f"Auth0 takes assertions signed with {', '.join(_ALGORITHMS)}: pass one of these")
        if proof.lifetime > _LONGEST:
            raise ConfigurationError(f"Auth0 takes no assertion of over {_LONGEST:g} s: set a lifetime below")
    return proof


def _endpoints(tenant: str) -> Endpoints:
    return Endpoints(
        revocation=f"{tenant}/oauth/revoke",
        authorization=f"{tenant}/authorize",
        device=f"{tenant}/oauth/device/code",
        jwks=f"{tenant}/.well-known/jwks.json",
    )


def _form(key: TokenKey, fields: dict[str, str]) -> Mapping[str, str]:
    """Demand the audience where no login has settled it; add the organization of client credentials."""
    grant = fields["grant_type"]
    if grant in (ClientCredentials.grant_type, TokenExchange.grant_type) and not {"audience", "resource"} & set(fields):
        raise ConfigurationError(
            "Auth0 gives a token that no API takes where the audience is missing: pass audience= with the identifier "
            f"of an API from {APIS}"
        )
    if grant != ClientCredentials.grant_type or key.subject is None:
        return fields
    if not isinstance(key.subject, Subject) or key.subject.type != _ORGANIZATION:
        raise ConfigurationError(
            "Auth0 gives client credentials to an organization or to nobody: pass subject=auth0.organization(...), "
            "or leave it out"
        )
    return {**fields, "organization": key.subject.id}


DIALECT: Final = Dialect(form=_form, parse=parse, classify=classify, hint=hints(ADVICE))
