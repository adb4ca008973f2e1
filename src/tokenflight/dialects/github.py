"""GitHub Apps: a JWT of the app, in a header, buys a token for one installation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from attrs import field, frozen
from attrs.converters import optional

from tokenflight.dialects.advice import Advice, hints
from tokenflight.errors import ConfigurationError
from tokenflight.model.key import TokenKey
from tokenflight.model.secret import secret_source
from tokenflight.protocol.answers import http_date
from tokenflight.protocol.assertions import signed
from tokenflight.protocol.client import Dialect, OAuthClient
from tokenflight.protocol.client_authentication import Attempt, RequestParts, Source
from tokenflight.protocol.signing import KeptKey, KeySource, as_key, signer_of

API: Final = "https://api.github.com"
_LIFETIME: Final = 540.0
_BACKDATE: Final = 60.0
_APP: Final = "GitHub > Settings > Developer settings > GitHub Apps > your app"


@frozen(repr=False)
class AppJWT:
    """Send a JWT of the app as a bearer token: `iss` is the client id, and it says `iat` and `exp` and nothing more.

    Args:
        key: the app's private key, as PEM text, a Path or callable that gives it, or a `Signer`.
        passphrase: of an encrypted key.
    """

    key: KeptKey = field(converter=as_key)
    passphrase: Source | None = field(default=None, kw_only=True, converter=optional(secret_source))
    method = "github_app_jwt"

    async def authenticate(self, attempt: Attempt) -> RequestParts:
        """Return the header. It begins a minute ago and ends in nine: GitHub takes ten."""
        signer = await signer_of(self.key, attempt, passphrase=self.passphrase, algorithm=None)
        attempt.dated.append(attempt.wall)
        claims = {
            "iss": attempt.client.client_id,
            "iat": math.floor(attempt.wall - _BACKDATE),
            "exp": math.floor(attempt.wall + _LIFETIME),
        }
        jwt = await signed(signer, {"typ": "JWT", "alg": signer.algorithm}, claims)
        return RequestParts(headers={"authorization": f"Bearer {jwt}"})

    def __repr__(self) -> str:
        return "AppJWT(***)"


def installation(
    id: int | str, *, client_id: str, key: KeySource | AppJWT, api: str = API, **fields: Any
) -> OAuthClient:
    """Return the client for one installation of an app; *fields* go to OAuthClient.

    *client_id* is the app's client id or its app id, *key* its private key, *api* the REST API of a server of your own.
    A program with many installations passes its provider a resolver that calls this. The tokens may do all that the
    installation may.
    """
    name = str(id)
    if not name.isascii() or not name.isdigit():
        raise ConfigurationError("a GitHub installation id is a number: take it from GET /app/installations")
    defaults: dict[str, Any] = {
        "token_endpoint": f"{api.rstrip('/')}/app/installations/{quote(name)}/access_tokens",
        "authentication": key if isinstance(key, AppJWT) else AppJWT(key),
        "dialect": DIALECT,
    }
    return OAuthClient(client_id=client_id, **{**defaults, **fields})


def _form(key: TokenKey, fields: dict[str, str]) -> Mapping[str, str]:
    """Send nothing: who asks stands in the header, and for which installation in the path."""
    return {}


def _parse(status: int, headers: Mapping[str, str], fields: dict[str, Any]) -> Mapping[str, Any]:
    """Read `token` and `expires_at`, of which the answer's own Date says how far off it is; and errors."""
    if status >= 400:
        return {**fields, "error_description": fields.get("message"), "error_uri": fields.get("documentation_url")}
    fields = dict(fields)
    token, end = fields.pop("token", None), _moment(fields.get("expires_at"))
    now = http_date(headers.get("date", ""))
    lifetime = {} if end is None or now is None else {"expires_in": max(0.0, end - now)}
    return {"token_type": "Bearer", **fields, **lifetime, "access_token": token}


def _moment(text: object) -> float | None:
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return None if moment is None or moment.tzinfo is None else moment.timestamp()


def _classify(status: int, error: str | None, description: str | None) -> str | None:
    """Tell by status what has no code: a refused JWT is the app's, too many requests pass."""
    if status == 401:
        return "invalid_client"
    limited = status == 403 and "rate limit" in (description or "").lower()
    return "temporarily_unavailable" if limited else None


ADVICE: Final = (
    Advice(status=401, words="expiration", text="set this machine's clock"),
    Advice(status=401, text=f"compare client_id and key with {_APP} > General > Private keys"),
    Advice(
        status=404, text=f"check the installation's id; it is listed in {_APP} > Advanced, or GET /app/installations"
    ),
    Advice(status=403, words="suspended", text="have its owner unsuspend the installation"),
    Advice(
        status=403, words="rate limit", text="GitHub limits how often it is asked: let processes share their tokens"
    ),
    Advice(status=422, text=f"check what the installation may do: {_APP} > Permissions & events"),
)
"""What to do about GitHub's refusals; the first row that fits counts."""

DIALECT: Final = Dialect(form=_form, parse=_parse, classify=_classify, hint=hints(ADVICE))
