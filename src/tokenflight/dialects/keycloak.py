"""Keycloak: endpoints by realm; audiences come from client scopes, but for an exchange of tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from tokenflight.dialects.advice import Advice, hints
from tokenflight.dialects.credentials import one_authentication
from tokenflight.errors import ConfigurationError
from tokenflight.model.key import TokenKey
from tokenflight.model.secret import SecretSource
from tokenflight.model.subject_token import ACCESS_TOKEN
from tokenflight.protocol.client import Dialect, Endpoints, OAuthClient
from tokenflight.protocol.client_authentication import ClientAuthentication
from tokenflight.protocol.grants import ClientCredentials
from tokenflight.protocol.token_exchange import TokenExchange

_CLIENT: Final = "Keycloak Admin Console > the realm > Clients > your client"


def client(
    *,
    url: str,
    realm: str,
    client_id: str,
    client_secret: SecretSource | str | None = None,
    authentication: ClientAuthentication | SecretSource | str | None = None,
    **fields: Any,
) -> OAuthClient:
    """Return a client of a realm; *url* is Keycloak's own, with `/auth` where an old one has it.

    *fields* go to OAuthClient; `grant=TokenExchange()` exchanges tokens within the realm. The issuer is the realm's
    URL, which JWTs of the client are made for. The client's other endpoints are the realm's, unless *fields* name
    another `token_endpoint`.
    """
    if not isinstance(realm, str) or not realm:
        raise ConfigurationError("a Keycloak client belongs to a realm: pass realm= with its name")
    issuer = f"{url.rstrip('/')}/realms/{quote(realm, safe='')}"
    base = f"{issuer}/protocol/openid-connect"
    defaults: dict[str, Any] = {"issuer": issuer, "dialect": DIALECT}
    if "token_endpoint" not in fields:
        defaults |= {"token_endpoint": f"{base}/token", "endpoints": _endpoints(base)}
    proof = one_authentication(client_secret, authentication)
    return OAuthClient(client_id=client_id, authentication=proof, **{**defaults, **fields})


def _endpoints(base: str) -> Endpoints:
    return Endpoints(
        revocation=f"{base}/revoke",
        authorization=f"{base}/auth",
        device=f"{base}/auth/device",
        introspection=f"{base}/token/introspect",
        jwks=f"{base}/certs",
    )


def _form(key: TokenKey, fields: dict[str, str]) -> Mapping[str, str]:
    """Refuse what Keycloak would pass over: an audience of client credentials, an exchange of other tokens."""
    grant_type = fields["grant_type"]
    if grant_type == ClientCredentials.grant_type and key.audience is not None:
        raise ConfigurationError(
            "Keycloak puts audiences into a token by client scopes: leave the audience out, and pass scope= with an "
            "optional client scope that has an audience mapper"
        )
    if grant_type == TokenExchange.grant_type and fields["subject_token_type"] != ACCESS_TOKEN:
        raise ConfigurationError("Keycloak exchanges access tokens only: pass SubjectToken(...) with type=ACCESS_TOKEN")
    return fields


def _classify(status: int, error: str | None, description: str | None) -> str | None:
    """Tell wrong credentials from other refusals of the same code, and a dead subject token from a wrong request."""
    words = (description or "").lower()
    if status == 401 and error == "unauthorized_client" and words.startswith("invalid client"):
        return "invalid_client"
    if status == 400 and error == "invalid_client" and words in ("client disabled", "audience not found"):
        return "invalid_target"
    return "invalid_grant" if (status, error, words) == (400, "invalid_request", "invalid token") else None


ADVICE: Final = (
    Advice(
        errors={"unauthorized_client", "invalid_client"},
        words="public client",
        text=f"switch Client authentication on: {_CLIENT} > Settings > Capability config",
    ),
    Advice(
        errors={"unauthorized_client"},
        words="service account",
        text=f"switch Service accounts roles on: {_CLIENT} > Settings > Capability config",
    ),
    Advice(
        errors={"invalid_client"},
        status=400,
        text="check audience: it is the client id of a client that is enabled in this realm",
    ),
    Advice(
        errors={"unauthorized_client", "invalid_client"},
        words="invalid client",
        text=f"compare realm, client_id, secret and method with {_CLIENT} > Credentials",
    ),
    Advice(
        errors={"invalid_request"},
        words="token exchange is not enabled",
        text=f"switch Standard token exchange on: {_CLIENT} > Settings > Capability config",
    ),
    Advice(
        errors={"invalid_request"},
        words="invalid token",
        text="the subject token has ended, its session is over, or it is of another realm: get a new one",
    ),
    Advice(
        errors={"access_denied"},
        words="audience",
        text="the subject token was not issued for this client: add this client to its audience by a client scope",
    ),
    Advice(errors={"invalid_scope"}, text=f"add the client scope as an optional one: {_CLIENT} > Client scopes"),
    Advice(status=404, text="check url and realm; servers before 17 have /auth at the end of their URL"),
)
"""What to do about Keycloak's refusals; the first row that fits counts."""

DIALECT: Final = Dialect(form=_form, classify=_classify, hint=hints(ADVICE))
