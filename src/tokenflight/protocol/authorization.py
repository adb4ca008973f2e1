"""Authorization: sending a person to log in, with what makes the answer theirs (RFC 6749, section 4.1, RFC 7636)."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from attrs import field, frozen

from tokenflight.errors import ConfigurationError
from tokenflight.model.key import Audience, TokenKey
from tokenflight.model.secret import Secret
from tokenflight.protocol.client import OAuthClient
from tokenflight.protocol.client_authentication import Attempt, RequestParts, has_surrogate
from tokenflight.protocol.grants import audience_fields
from tokenflight.protocol.refreshing import RefreshToken, as_grace, revealed, session_fields

_ENTROPY: Final = 32
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^#]+")
_SET_HERE: Final = frozenset(
    {"response_type", "client_id", "redirect_uri", "scope", "state", "nonce", "code_challenge", "code_challenge_method"}
)


@frozen(kw_only=True)
class AuthorizationCode:
    """A person logs in once, by `sessions.begin` and `redeem`; from then on the session's refresh token is spent.

    Args:
        pkce: bind the code to who began, by a verifier of which only the S256 hash is shown (RFC 7636). On but for
            servers that do not know it.
        grace: see `RefreshToken`.
    """

    pkce: bool = True
    grace: float | None = field(default=None, converter=as_grace)
    grant_type = "authorization_code"
    repeatable = True
    carries = frozenset({"subject"})

    def fields(self, key: TokenKey, scope: frozenset[str]) -> dict[str, str]:
        """Return what its sessions' requests carry; see `RefreshToken.fields`. The code itself is `redeem`'s."""
        return {"grant_type": RefreshToken.grant_type, **session_fields(key)}

    async def present(self, attempt: Attempt) -> RequestParts:
        """Return the refresh token that is to be spent."""
        return RequestParts(fields={"refresh_token": revealed(attempt.refresh_token)})


@frozen(kw_only=True, repr=False)
class AuthorizationRequest:
    """A login that was begun: send the person to `url`, keep this until they come back, then redeem it, once.

    Keep it where only this person's browser session finds it, as `dump()` in a server-side session: who can read it
    and the callback can log in as that person.

    Attributes:
        url: where the person logs in.
        state: what the callback has to repeat; a name to find the request by (RFC 6749, section 10.12).
        expires_at: aware UTC; from then on it is not redeemed.
    """

    url: str
    state: str
    expires_at: datetime
    client: str
    issuer: str | None
    scope: frozenset[str] | None
    audience: Audience | None
    redirect_uri: str | None
    verifier: Secret | None
    nonce: str | None

    def __repr__(self) -> str:
        return f"AuthorizationRequest({self.client!r}, expires_at={self.expires_at.isoformat(timespec='seconds')})"

    def dump(self) -> Secret:
        """Return all of it as text, to be loaded here or in another process."""
        scope = None if self.scope is None else sorted(self.scope)
        audience = None if self.audience is None else [self.audience.value, self.audience.type]
        verifier = None if self.verifier is None else self.verifier.reveal()
        kept = {
            **{name: getattr(self, name) for name in _PLAIN},
            "expires_at": self.expires_at.timestamp(),
            "scope": scope,
            "audience": audience,
            "verifier": verifier,
        }
        return Secret(json.dumps(kept, separators=(",", ":")))

    @classmethod
    def load(cls, text: str | Secret) -> AuthorizationRequest:
        """Return the request that `dump` gave. Raises ConfigurationError, which shows nothing of it, for other text."""
        dumped = Secret(text)
        del text  # no traceback with locals is to show the verifier
        try:
            return cls(**_loaded(dumped))
        except (ValueError, TypeError, LookupError, OverflowError, OSError, RecursionError, ConfigurationError):
            pass
        raise ConfigurationError("this is no dumped AuthorizationRequest: load what dump() gave, unchanged")


_PLAIN: Final = ("url", "state", "client", "issuer", "redirect_uri", "nonce")
_OPTIONAL: Final = frozenset({"issuer", "redirect_uri", "nonce"})


@frozen(kw_only=True, repr=False)
class CodeExchange:
    """The one request that turns a code into tokens (RFC 6749, section 4.1.3)."""

    code: Secret
    request: AuthorizationRequest
    grant_type = "authorization_code"
    repeatable = False
    carries = frozenset({"subject", "audience", "scope"})

    def fields(self, key: TokenKey, scope: frozenset[str]) -> dict[str, str]:
        """Return the redirect_uri where one was given, and a resource (RFC 8707, section 2.2)."""
        redirect_uri = self.request.redirect_uri
        fields = {} if redirect_uri is None else {"redirect_uri": redirect_uri}
        return fields | {name: value for name, value in audience_fields(key).items() if name == "resource"}

    async def present(self, attempt: Attempt) -> RequestParts:
        """Return the code and its verifier."""
        fields = {"code": (await attempt.read(self.code)).reveal()}
        if self.request.verifier is not None:
            fields["code_verifier"] = (await attempt.read(self.request.verifier)).reveal()
        return RequestParts(fields=fields)


def begin(
    client: OAuthClient, key: TokenKey, *, redirect_uri: str | None, parameters: Mapping[str, str], until: float
) -> AuthorizationRequest:
    """Make the request that sends somebody to the authorization endpoint of *client*; *until* is Unix time.

    *key* says for which audience and scope. Raises ConfigurationError where the client has no such endpoint, is not
    registered for this grant, or *parameters* would replace what is set here.
    """
    grant, endpoint = client.grant, client.endpoints.authorization
    if not isinstance(grant, AuthorizationCode):
        raise ConfigurationError(f"nobody logs in by {grant.grant_type}: give the client grant=AuthorizationCode()")
    if endpoint is None:
        raise ConfigurationError(
            "the client has no authorization endpoint: give endpoints=Endpoints(authorization=...), or issuer= alone"
        )
    scope = client.scope if key.scope is None else key.scope
    if "openid" in scope and client.issuer is None:
        raise ConfigurationError(
            "the ID token that openid brings is validated, and who issues it is open: give the client its issuer, "
            "or leave openid out of the scope"
        )
    verifier = Secret(secrets.token_urlsafe(_ENTROPY)) if grant.pkce else None
    state, nonce = secrets.token_urlsafe(_ENTROPY), secrets.token_urlsafe(_ENTROPY) if "openid" in scope else None
    said = {"client_id": client.client_id, "redirect_uri": _redirect(redirect_uri), "state": state, "nonce": nonce}
    said |= {"scope": " ".join(sorted(scope)) or None, **_challenge(verifier), **audience_fields(key)}
    return AuthorizationRequest(
        url=_url(endpoint, said, parameters),
        state=state,
        expires_at=datetime.fromtimestamp(until, UTC),
        client=key.client,
        issuer=client.issuer,
        scope=key.scope,
        audience=key.audience,
        redirect_uri=redirect_uri,
        verifier=verifier,
        nonce=nonce,
    )


def _url(endpoint: str, said: Mapping[str, str | None], parameters: Mapping[str, str]) -> str:
    if not all(isinstance(text, str) for pair in parameters.items() for text in pair):
        raise ConfigurationError("parameters are named strings: pass a dict of str to str")
    twice = sorted(parameters.keys() & (_SET_HERE | said.keys()))
    if twice:
        raise ConfigurationError(f"the parameter {twice[0]!r} is set by the library: say it by an argument of begin()")
    query = {
        "response_type": "code",
        **{name: value for name, value in said.items() if value is not None},
        **parameters,
    }
    if any(has_surrogate(name + value) for name, value in query.items()):
        raise ConfigurationError("a parameter holds a lone surrogate, which has no UTF-8 form: check what sets it")
    joint = "&" if urlsplit(endpoint).query else "?"
    return f"{endpoint}{joint}{urlencode(query)}"


def _redirect(uri: str | None) -> str | None:
    if uri is not None and (not isinstance(uri, str) or not _ABSOLUTE.fullmatch(uri)):
        raise ConfigurationError("redirect_uri is an absolute URL without fragment: pass the one that is registered")
    return uri


def _challenge(verifier: Secret | None) -> dict[str, str]:
    """Return the hash that a code is bound to (RFC 7636, section 4.2)."""
    if verifier is None:
        return {}
    digest = hashlib.sha256(verifier.reveal().encode("ascii")).digest()
    challenge = base64.urlsafe_b64encode(digest).decode("ascii").rstrip("=")
    return {"code_challenge": challenge, "code_challenge_method": "S256"}


def _loaded(dumped: Secret) -> dict[str, Any]:
    kept: dict[str, Any] = json.loads(dumped.reveal())
    return {
        **{name: _text(kept[name], optional=name in _OPTIONAL) for name in _PLAIN},
        "expires_at": datetime.fromtimestamp(kept["expires_at"], UTC),
        "scope": None if kept["scope"] is None else frozenset(map(_text, kept["scope"])),
        "audience": None if kept["audience"] is None else Audience(*kept["audience"]),
        "verifier": None if kept["verifier"] is None else Secret(kept["verifier"]),
    }


def _text(value: Any, *, optional: bool = False) -> Any:
    if not isinstance(value, str) and not (optional and value is None):
        raise TypeError
    return value
