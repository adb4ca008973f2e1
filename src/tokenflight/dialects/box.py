"""Box: client credentials for exactly one subject, with the secret in the body.

Its answers may lack `token_type`; its lifetimes vary around an hour.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from tokenflight.dialects.advice import Advice, hints
from tokenflight.dialects.credentials import one_authentication
from tokenflight.errors import ConfigurationError
from tokenflight.model.key import Audience, Subject, TokenKey
from tokenflight.model.secret import SecretSource
from tokenflight.protocol.client import Dialect, Endpoints, OAuthClient
from tokenflight.protocol.client_authentication import ClientAuthentication, ClientSecretPost
from tokenflight.protocol.grants import ClientCredentials

TOKEN_ENDPOINT: Final = "https://api.box.com/oauth2/token"  # a URL
ENDPOINTS: Final = Endpoints(
    revocation="https://api.box.com/oauth2/revoke",
    authorization="https://account.box.com/api/oauth2/authorize",
)
_API: Final = "https://api.box.com/2.0"
_ENTERPRISE: Final = "enterprise"
_USER: Final = "user"
_SHARED_LINK: Final = "box_shared_link"
_RESOURCE: Final = "resource"
_CONFIGURATION: Final = "Box Developer Console > your app > Configuration"
_APPROVAL: Final = "Box Admin Console > Platform Apps Manager > Server Authentication Apps"


def client(
    *,
    client_id: str,
    client_secret: SecretSource | str | None = None,
    authentication: ClientAuthentication | SecretSource | str | None = None,
    **fields: Any,
) -> OAuthClient:
    """Return a client of Box; *fields* go to OAuthClient.

    The client's other endpoints are Box's, unless *fields* name another `token_endpoint`: credentials made for a
    stand-in stay there. Raises ConfigurationError for any authentication but ClientSecretPost.
    """
    proof = one_authentication(client_secret, authentication)
    if proof.method != ClientSecretPost.method:
        raise ConfigurationError(
            f"Box takes the secret in the body and refuses {proof.method}: give client_secret, or ClientSecretPost(...)"
        )
    defaults: dict[str, Any] = {"dialect": DIALECT}
    if "token_endpoint" not in fields:
        defaults |= {"token_endpoint": TOKEN_ENDPOINT, "endpoints": ENDPOINTS}
    return OAuthClient(client_id=client_id, authentication=proof, **{**defaults, **fields})


def enterprise(id: str) -> Subject:
    """Return the subject for the app's service account in an enterprise."""
    return Subject(id, _ENTERPRISE)


def user(id: str) -> Subject:
    """Return the subject for a managed user or app user."""
    return Subject(id, _USER)


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


def _form(key: TokenKey, fields: dict[str, str]) -> Mapping[str, str]:
    """Add the subject that client credentials demand; other grants go as the RFCs say."""
    if fields["grant_type"] != ClientCredentials.grant_type:
        return fields
    if key.audience is not None:
        raise ConfigurationError(
            "Box narrows only exchanged tokens to files, folders and shared links, not client credentials: "
            "leave the audience out"
        )
    subject = key.subject
    if not isinstance(subject, Subject) or subject.type not in (_ENTERPRISE, _USER):
        raise ConfigurationError(
            "Box demands one subject and its kind: pass subject=box.enterprise(id) for the service account, or "
            "subject=box.user(id) for a user"
        )
    return {**fields, "box_subject_type": subject.type, "box_subject_id": subject.id}


def _parse(status: int, headers: Mapping[str, str], fields: dict[str, Any]) -> Mapping[str, Any]:
    """Read an error of the API's shape as one of OAuth's; fill in the token type that Box may leave out."""
    if fields.get("type") == "error" and "error" not in fields:
        return {**fields, "error": fields.get("code"), "error_description": fields.get("message")}
    return {"token_type": "bearer", **fields}


ADVICE: Final = (
    Advice(
        errors={"invalid_client"},
        text=f"compare client id and secret with {_CONFIGURATION} > OAuth 2.0 Credentials, and leave them in the body",
    ),
    Advice(
        errors={"invalid_request", "unauthorized_client"},
        words="grant type is unauthorized",
        text="the app is of another kind, which cannot be changed: create one in the Box Developer Console > "
        "Create Platform App > Server Authentication (with Client Credentials Grant)",
    ),
    Advice(
        errors={"unauthorized_client"},
        words="box_subject_type",
        text=f"allow this kind of subject under {_CONFIGURATION}: for users App + Enterprise Access and Generate user "
        f"access tokens; then have an admin reauthorize the app in the {_APPROVAL}",
    ),
    Advice(
        errors={"unauthorized_client"},
        text=f"have an admin of this enterprise authorize the app by its client id in the {_APPROVAL}",
    ),
    Advice(
        errors={"invalid_grant"},
        text="check that the id of box.enterprise(...) or box.user(...) is of an enterprise that authorized the app: "
        f"{_APPROVAL}; for users also {_CONFIGURATION} > Generate user access tokens; and that client id and secret "
        "belong together",
    ),
    Advice(
        errors={"rate_limit_exceeded"},
        text="Box limits how often tokens are asked for: let all processes that use this app share their tokens",
    ),
)
"""What to do about Box's refusals; the first row that fits counts."""

DIALECT: Final = Dialect(form=_form, parse=_parse, hint=hints(ADVICE))
"""Nothing is reclassified: `invalid_client` speaks for the whole app, and every other code for one subject."""
