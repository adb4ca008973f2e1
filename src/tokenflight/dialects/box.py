"""Box: one subject, the secret in the body, no PKCE, and tokens that can be narrowed to a file.

Its answers may lack `token_type`; its lifetimes vary around an hour.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote

from attrs import evolve

from tokenflight.dialects.advice import hints
from tokenflight.dialects.box_advice import ADVICE, classify
from tokenflight.dialects.box_config import (
    ENTERPRISE,
    TOKEN_ENDPOINT,
    USER,
    Config,
    ConfigSource,
    annotator,
    assertion,
    read_config,
)
from tokenflight.dialects.credentials import one_authentication
from tokenflight.errors import ConfigurationError
from tokenflight.model.key import Audience, Subject, TokenKey
from tokenflight.model.policy import RefreshPolicy
from tokenflight.model.secret import SecretSource
from tokenflight.model.subject_token import ACCESS_TOKEN, ID_TOKEN, SubjectToken
from tokenflight.protocol.authorization import AuthorizationCode
from tokenflight.protocol.client import Dialect, Endpoints, OAuthClient
from tokenflight.protocol.client_authentication import ClientAuthentication, ClientSecretPost, PublicClient
from tokenflight.protocol.grants import ClientCredentials
from tokenflight.protocol.jwt_bearer import JWTBearer
from tokenflight.protocol.refreshing import RefreshToken
from tokenflight.protocol.token_exchange import TokenExchange

__all__ = [
    "REFRESH",
    "TOKEN_ENDPOINT",
    "Config",
    "annotator",
    "assertion",
    "client",
    "enterprise",
    "file",
    "folder",
    "jwt_client",
    "read_config",
    "shared_link",
    "user",
]

ENDPOINTS: Final = Endpoints(
    revocation="https://api.box.com/oauth2/revoke",
    authorization="https://account.box.com/api/oauth2/authorize",
)
REFRESH: Final = RefreshPolicy(early_cap=120.0)
"""Late, for who lives on refresh tokens: a refresh may end the access token that others are using."""

_API: Final = "https://api.box.com/2.0"
_SHARED_LINK: Final = "box_shared_link"
_RESOURCE: Final = "resource"


def client(
    *,
    client_id: str,
    client_secret: SecretSource | str | None = None,
    authentication: ClientAuthentication | SecretSource | str | None = None,
    **fields: Any,
) -> OAuthClient:
    """Return a client of Box; *fields* go to OAuthClient.

    Box knows no PKCE, so `grant=AuthorizationCode()` goes without. Clients that live on refresh tokens have `REFRESH`
    as their policy, unless *fields* say otherwise; one that exchanges tokens may do without a secret. The client's
    other endpoints are Box's, unless *fields* name another `token_endpoint`: credentials made for a stand-in stay
    there. Raises ConfigurationError for any authentication but ClientSecretPost.
    """
    grant = fields.get("grant")
    defaults: dict[str, Any] = {"dialect": DIALECT}
    if isinstance(grant, AuthorizationCode | RefreshToken):
        defaults["refresh"] = REFRESH
    if isinstance(grant, AuthorizationCode):
        fields = {**fields, "grant": evolve(grant, pkce=False)}
    if "token_endpoint" not in fields:
        defaults |= {"token_endpoint": TOKEN_ENDPOINT, "endpoints": ENDPOINTS}
    return OAuthClient(
        client_id=client_id,
        authentication=_proof(client_secret, authentication, grant),
        **{**defaults, **fields},
    )


def jwt_client(config: ConfigSource, *, passphrase: SecretSource | None = None, **fields: Any) -> OAuthClient:
    """Return a client of the app whose config Box's developer console hands out; it signs for each call's subject.

    *config* is a Path, the JSON text, a mapping, or what `read_config` made of them; *passphrase* opens its key where
    that is kept elsewhere; *fields* go to OAuthClient: with `grant=TokenExchange()` the client narrows tokens instead.
    Raises ConfigurationError, which says where in the console to look, for what is missing in the config.
    """
    app = read_config(config, passphrase=passphrase)
    fields = {"grant": app.grant, **fields}
    return client(client_id=app.client_id, client_secret=app.client_secret, **fields)


def enterprise(id: str) -> Subject:
    """Return the subject for the app's service account in an enterprise."""
    return Subject(id, ENTERPRISE)


def user(id: str) -> Subject:
    """Return the subject for a managed user or app user."""
    return Subject(id, USER)


def file(id: str) -> Audience:
    """Return the audience that narrows an exchanged token to one file (RFC 8707)."""
    return _item("files", id)


def folder(id: str) -> Audience:
    """Return the audience that narrows an exchanged token to one folder and what it holds (RFC 8707)."""
    return _item("folders", id)


def shared_link(url: str) -> Audience:
    """Return the audience that narrows an exchanged token to what a shared link shows."""
    return Audience(url, _SHARED_LINK)


def _item(kind: str, id: str) -> Audience:
    plain = Audience(id).value  # which refuses what is no id at all
    return Audience(f"{_API}/{kind}/{quote(plain, safe='')}", _RESOURCE)


def _proof(
    client_secret: SecretSource | str | None,
    authentication: ClientAuthentication | SecretSource | str | None,
    grant: object,
) -> ClientAuthentication:
    """Return how the app authenticates; where it exchanges tokens, Box knows it by these."""
    if client_secret is None and authentication is None and isinstance(grant, TokenExchange):
        return PublicClient(send_client_id=False)
    proof = one_authentication(client_secret, authentication)
    if proof.method != ClientSecretPost.method:
        raise ConfigurationError(
            f"Box takes the secret in the body and refuses {proof.method}: give client_secret, or ClientSecretPost(...)"
        )
    return proof


def _form(key: TokenKey, fields: dict[str, str]) -> Mapping[str, str]:
    """Shape the request of a grant that Box knows; a user's own go as they say."""
    shape = _SHAPES.get(fields["grant_type"])
    return fields if shape is None else shape(key, fields)


def _for_one_subject(key: TokenKey, fields: dict[str, str]) -> Mapping[str, str]:
    """Add the subject that client credentials demand."""
    subject = _one_subject(_unscoped(_whole(key)))
    return {**fields, "box_subject_type": subject.type or "", "box_subject_id": subject.id}


def _by_assertion(key: TokenKey, fields: dict[str, str]) -> Mapping[str, str]:
    """Demand a subject of a kind, unless somebody else's assertion speaks for it: either is in what is signed."""
    if not isinstance(_unscoped(_whole(key)).subject, SubjectToken):
        _one_subject(key)
    return fields


def _of_a_session(key: TokenKey, fields: dict[str, str]) -> Mapping[str, str]:
    """Refuse what cannot be asked for in a login's name; the rest is as the RFC has it."""
    _whole(key)
    return fields


def _narrowed(key: TokenKey, fields: dict[str, str]) -> Mapping[str, str]:
    """Demand scopes, and name the one thing that a token is narrowed to."""
    if "requested_token_type" in fields:
        raise ConfigurationError("Box exchanges for access tokens alone: leave requested_token_type out")
    if fields.get("subject_token_type", ACCESS_TOKEN) != ACCESS_TOKEN:
        raise ConfigurationError(
            "Box takes every subject token as an access token, an assertion too: leave out its type"
        )
    if fields.get("actor_token_type", ID_TOKEN) != ID_TOKEN:
        raise ConfigurationError("Box takes an annotator's token alone as an actor: pass actor=box.annotator(...)")
    if "scope" not in fields:
        raise ConfigurationError("Box narrows a token to scopes: pass scope, such as item_preview")
    if key.audience is None or key.audience.type == _RESOURCE:
        return fields
    if key.audience.type != _SHARED_LINK:
        raise ConfigurationError(
            "Box narrows a token to a file, a folder or a shared link: pass audience=box.file(id), box.folder(id) or "
            "box.shared_link(url)"
        )
    return {**fields, _SHARED_LINK: key.audience.value}


def _whole(key: TokenKey) -> TokenKey:
    if key.audience is not None:
        raise ConfigurationError(
            "Box narrows only exchanged tokens to files, folders and shared links: give a client TokenExchange() for "
            "that, and here leave the audience out"
        )
    return key


def _unscoped(key: TokenKey) -> TokenKey:
    if key.scope:
        raise ConfigurationError(
            "Box gives an app the scopes that it is registered with: leave scope out, and narrow the token by "
            "TokenExchange() where less is wanted"
        )
    return key


def _one_subject(key: TokenKey) -> Subject:
    subject = key.subject
    if not isinstance(subject, Subject) or subject.type not in (ENTERPRISE, USER):
        raise ConfigurationError(
            "Box demands one subject and its kind: pass subject=box.enterprise(id) for the service account, or "
            "subject=box.user(id) for a user"
        )
    return subject


_SHAPES: Final[Mapping[str, Callable[[TokenKey, dict[str, str]], Mapping[str, str]]]] = {
    ClientCredentials.grant_type: _for_one_subject,
    JWTBearer.grant_type: _by_assertion,
    AuthorizationCode.grant_type: _of_a_session,
    RefreshToken.grant_type: _of_a_session,
    TokenExchange.grant_type: _narrowed,
}


def _parse(status: int, headers: Mapping[str, str], fields: dict[str, Any]) -> Mapping[str, Any]:
    """Read an error of the API's shape as one of OAuth's; fill in the token type that Box may leave out."""
    if fields.get("type") == "error" and "error" not in fields:
        return {**fields, "error": fields.get("code"), "error_description": fields.get("message")}
    return {"token_type": "bearer", **fields}


DIALECT: Final = Dialect(form=_form, parse=_parse, classify=classify, hint=hints(ADVICE))
