"""Google service accounts: a signed assertion buys an access token for scopes, or an ID token for an audience."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tokenflight.dialects.advice import Advice, hints
from tokenflight.dialects.key_files import KeyFile
from tokenflight.errors import ConfigurationError
from tokenflight.model.key import TokenKey
from tokenflight.protocol.answers import http_date
from tokenflight.protocol.assertions import Assertion
from tokenflight.protocol.client import Dialect, OAuthClient
from tokenflight.protocol.client_authentication import PublicClient
from tokenflight.protocol.compact import Compact, read_compact
from tokenflight.protocol.jwt_bearer import JWTBearer

_LIFETIME: Final = 3300.0
"""Seconds of an assertion: Google takes up to an hour, from an `iat` that lies a little in the past."""

_WHERE: Final = "Google Cloud console > IAM & Admin > Service Accounts > the account > Keys"
_RETRY: Final = frozenset({"internal_failure"})


def client(configuration: Mapping[str, Any] | str | Path, **fields: Any) -> OAuthClient:
    """Return a client whose tokens are for scopes, made of a service account's key file; *fields* go to OAuthClient.

    *configuration* is the file's path, its text, or what its JSON says; a file is read once, now. A call's subject is
    the user to act for, by domain-wide delegation. Raises ConfigurationError that names what the file lacks.
    """
    return _client(configuration, {"scope": "scope"}, ACCESS_TOKENS, fields)


def id_token_client(configuration: Mapping[str, Any] | str | Path, **fields: Any) -> OAuthClient:
    """Return a client whose tokens are ID tokens for the audience of a call, as Cloud Run and IAP want them.

    The arguments are those of `client`. What comes back is handed out as the access token and ends when it says.
    """
    return _client(configuration, {"audience": "target_audience"}, ID_TOKENS, fields)


def _client(
    configuration: Mapping[str, Any] | str | Path, inside: Mapping[str, str], dialect: Dialect, fields: dict[str, Any]
) -> OAuthClient:
    file = KeyFile.read(configuration, what="a service account's key file", where=_WHERE)
    if file.text("type") != "service_account":
        raise ConfigurationError(f"the file is of another type than service_account: download one from {_WHERE}")
    email, endpoint = file.text("client_email"), file.text("token_uri")
    assertion = Assertion(
        file.text("private_key"),
        key_id=file.text("private_key_id"),
        issuer=email,
        audience=endpoint,
        lifetime=_LIFETIME,
    )
    defaults = {
        "client_id": email,
        "token_endpoint": endpoint,
        "authentication": PublicClient(send_client_id=False),
        "grant": JWTBearer(assertion, inside=inside),
        "dialect": dialect,
    }
    return OAuthClient(**{**defaults, **fields})


def _access_form(key: TokenKey, fields: dict[str, str]) -> Mapping[str, str]:
    if key.audience is not None:
        raise ConfigurationError(
            "Google's access tokens are for scopes and ID tokens for an audience: pass scope=, or make the client "
            "by google.id_token_client(...)"
        )
    if not key.scope:
        raise ConfigurationError(
            "Google gives an access token for scopes: pass scope=, such as https://www.googleapis.com/auth/cloud-platform"
        )
    return fields


def _id_form(key: TokenKey, fields: dict[str, str]) -> Mapping[str, str]:
    if key.audience is None or key.audience.type is not None or key.scope:
        raise ConfigurationError(
            "Google gives an ID token for one audience and no scope: pass audience= with the service's URL or the "
            "OAuth client id of IAP"
        )
    return fields


def _parse(status: int, headers: Mapping[str, str], fields: dict[str, Any]) -> Mapping[str, Any]:
    """Read an error of the API's shape, which is an object, as one of OAuth's."""
    error = fields.get("error")
    if isinstance(error, dict):
        return {**fields, "error": error.get("status"), "error_description": error.get("message")}
    return fields


def _parse_id_token(status: int, headers: Mapping[str, str], fields: dict[str, Any]) -> Mapping[str, Any]:
    """Take the ID token for the access token; it says itself when it ends, and the answer's Date says when it is."""
    fields = dict(_parse(status, headers, fields))
    token = fields.pop("id_token", None)
    if not isinstance(token, str) or "access_token" in fields:
        return fields
    read = read_compact(token)
    claims = read.claims if isinstance(read, Compact) else {}
    end, now = claims.get("exp"), http_date(headers.get("date", "")) or claims.get("iat")
    known = all(isinstance(moment, int | float) for moment in (end, now))
    lifetime = {"expires_in": max(0.0, end - now)} if known else {}  # type: ignore[operator]  # both are numbers
    return {"token_type": "Bearer", **fields, **lifetime, "access_token": token}


def _classify(status: int, error: str | None, description: str | None) -> str | None:
    return "temporarily_unavailable" if error in _RETRY else None


ADVICE: Final = (
    Advice(errors={"invalid_grant"}, words="signature", text=f"the key is not the account's any more: {_WHERE}"),
    Advice(errors={"invalid_grant"}, words="account not found", text=f"the account is deleted or disabled: {_WHERE}"),
    Advice(errors={"invalid_grant"}, words="short-lived", text="set this machine's clock"),
    Advice(
        errors={"unauthorized_client"},
        text="to act for a user, allow client id and scopes: Google Admin console > Security > Access and data control "
        "> API controls > Domain-wide delegation",
    ),
    Advice(
        errors={"invalid_scope"},
        text="check scope: Google's are URLs, such as https://www.googleapis.com/auth/drive",
    ),
)
"""What to do about Google's refusals; the first row that fits counts."""

ACCESS_TOKENS: Final = Dialect(form=_access_form, parse=_parse, classify=_classify, hint=hints(ADVICE))
ID_TOKENS: Final = Dialect(form=_id_form, parse=_parse_id_token, classify=_classify, hint=hints(ADVICE))
