"""Okta: an authorization server is chosen by its path and has one audience; service apps sign for its endpoint."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from tokenflight.dialects.advice import Advice, hints
from tokenflight.dialects.credentials import one_authentication
from tokenflight.errors import ConfigurationError
from tokenflight.model.key import TokenKey
from tokenflight.model.secret import SecretSource
from tokenflight.protocol.assertions import TOKEN_ENDPOINT
from tokenflight.protocol.client import Dialect, Endpoints, OAuthClient
from tokenflight.protocol.client_assertions import PrivateKeyJWT
from tokenflight.protocol.client_authentication import ClientAuthentication
from tokenflight.protocol.signing import KeySource

_DOMAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?")
_APP: Final = "Okta Admin Console > Applications > Applications > your app"
_CREDENTIALS: Final = f"{_APP} > General > Client Credentials"
_DPOP: Final = (
    f"{_APP} > General > General Settings: take away Require Demonstrating Proof of Possession (DPoP) header in token "
    "requests"
)


def client(
    *,
    domain: str,
    client_id: str,
    client_secret: SecretSource | str | None = None,
    authentication: ClientAuthentication | SecretSource | str | None = None,
    authorization_server: str | None = None,
    **fields: Any,
) -> OAuthClient:
    """Return a client of an Okta org; *domain* is its bare host name, *fields* go to OAuthClient.

    *authorization_server* is the id of a custom one, such as `default`; None is the org's own, for Okta's APIs. The
    client's other endpoints are that server's, unless *fields* name another `token_endpoint`.
    """
    if not isinstance(domain, str) or not _DOMAIN.fullmatch(domain):
        raise ConfigurationError(
            "an Okta domain is a bare host name: write it like acme.okta.com, without https:// and path"
        )
    org = f"https://{domain.lower()}"
    issuer = org if authorization_server is None else f"{org}/oauth2/{quote(authorization_server, safe='')}"
    base = f"{org}/oauth2" if authorization_server is None else issuer
    defaults: dict[str, Any] = {"issuer": issuer, "dialect": DIALECT}
    if "token_endpoint" not in fields:
        defaults |= {"token_endpoint": f"{base}/v1/token", "endpoints": _endpoints(base)}
    proof = one_authentication(client_secret, authentication)
    return OAuthClient(client_id=client_id, authentication=proof, **{**defaults, **fields})


def private_key(
    key: KeySource, *, passphrase: SecretSource | None = None, key_id: str | None = None, algorithm: str | None = None
) -> PrivateKeyJWT:
    """Return the authentication of a service app: a JWT for the token endpoint, and no client id beside it.

    *key* is the private key whose public part the app holds; *key_id* is its `kid` there, unless a JWK says it.
    """
    return PrivateKeyJWT(
        key,
        passphrase=passphrase,
        key_id=key_id,
        algorithm=algorithm,
        audience=TOKEN_ENDPOINT,
        send_client_id=False,
    )


def _endpoints(base: str) -> Endpoints:
    return Endpoints(
        revocation=f"{base}/v1/revoke",
        authorization=f"{base}/v1/authorize",
        device=f"{base}/v1/device/authorize",
        introspection=f"{base}/v1/introspect",
        jwks=f"{base}/v1/keys",
    )


def _form(key: TokenKey, fields: dict[str, str]) -> Mapping[str, str]:
    """Refuse the audience of client credentials: each authorization server has one of its own."""
    if fields["grant_type"] == "client_credentials" and key.audience is not None:
        raise ConfigurationError(
            "an Okta authorization server has one audience of its own: leave the audience out, choose the server by "
            "authorization_server= and what is wanted there by scope="
        )
    return fields


def _parse(status: int, headers: Mapping[str, str], fields: dict[str, Any]) -> Mapping[str, Any]:
    """Read an error of the management API's shape as one of OAuth's."""
    if status >= 400 and "error" not in fields and isinstance(fields.get("errorCode"), str):
        return {**fields, "error": fields["errorCode"], "error_description": fields.get("errorSummary")}
    return fields


ADVICE: Final = (
    Advice(errors={"invalid_dpop_proof", "use_dpop_nonce"}, text=_DPOP),
    Advice(
        errors={"invalid_client"},
        words="audience",
        text="let the assertion name the token endpoint: authentication=okta.private_key(...)",
    ),
    Advice(errors={"invalid_client"}, text=f"compare client_id, key and key_id with {_CREDENTIALS}"),
    Advice(
        errors={"invalid_scope"},
        text=f"grant the scope: for Okta's APIs under {_APP} > Okta API Scopes, else under Security > API > the "
        "authorization server > Scopes; where none is named, mark one as default",
    ),
    Advice(
        errors={"access_denied"},
        text="allow the app under Security > API > the authorization server > Access Policies",
    ),
    Advice(
        errors={"unauthorized_client", "unsupported_grant_type"},
        text=f"switch Client Credentials on: {_APP} > General > Grant type",
    ),
    Advice(errors={"E0000047"}, text="the org's rate limit is reached: let all processes share their tokens"),
)
"""What to do about Okta's refusals; the first row that fits counts."""

DIALECT: Final = Dialect(form=_form, parse=_parse, hint=hints(ADVICE))
