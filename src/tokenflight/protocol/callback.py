"""Callback: what a person's browser brings back, and whether it answers what was begun (RFC 6749, section 4.1.2)."""

from __future__ import annotations

import hmac
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from tokenflight.errors import AuthorizationResponseError, TokenEndpointError
from tokenflight.model.failure import Failure
from tokenflight.model.secret import Secret
from tokenflight.protocol.authorization import AuthorizationRequest
from tokenflight.protocol.client_authentication import has_surrogate
from tokenflight.protocol.redaction import Redaction
from tokenflight.protocol.refusals import HINTS

_ONCE: Final = frozenset({"code", "state", "iss", "error", "error_description", "error_uri"})
_MAX_LENGTH: Final = 16 * 1024
_MAX_PARAMETERS: Final = 100


def read_callback(
    request: AuthorizationRequest, callback_url: str, *, wall: float, issuer: str | None, names_issuer: bool
) -> Secret | Failure:
    """Return the code in *callback_url*, or why it is refused; nothing has been sent then.

    Refused are a callback that is too late or unreadable, that says one thing twice, whose `state` is not the
    request's, and whose `iss` is not *issuer*; a missing one where the server *names_issuer* in every answer (RFC
    9207, section 2.4). What the server says against the login is a failure with its error code.
    """
    told = _told(callback_url)
    if told is None:
        return _refused("unreadable", "the callback cannot be read, or says one thing twice")
    if wall >= request.expires_at.timestamp():
        return _refused("late", "the callback came after the login's time was over", hint="let the person begin anew")
    if not _same(told.get("state", ""), request.state):
        return _refused("state", "the callback's state is not that of this login")
    iss = told.get("iss")
    if request.issuer != issuer:
        return _refused("issuer", "the client has another issuer than when this login was begun")
    if issuer is not None and ((iss is None and names_issuer) or (iss is not None and not _same(iss, issuer))):
        return _refused("issuer", "the callback is not from the server that this login was begun at")
    if "error" in told:
        return _denied(told, Redaction(_known(request, told)))
    if not told.get("code"):
        return _refused("no_code", "the callback has neither code nor error")
    return Secret(told["code"])


def _told(callback_url: str) -> dict[str, str] | None:
    if not isinstance(callback_url, str) or len(callback_url) > _MAX_LENGTH or has_surrogate(callback_url):
        return None
    try:
        pairs = parse_qsl(
            urlsplit(callback_url).query, keep_blank_values=True, errors="strict", max_num_fields=_MAX_PARAMETERS
        )
    except ValueError:
        return None
    told = dict(pairs)
    twice = any(name in _ONCE and sum(name == other for other, _ in pairs) > 1 for name in told)
    return None if twice else told


def _same(told: str, known: str) -> bool:
    return hmac.compare_digest(told.encode("utf-8"), known.encode("utf-8"))


def _known(request: AuthorizationRequest, told: dict[str, str]) -> list[Secret]:
    plain = (told.get("code"), request.state, request.nonce)
    return [Secret(text) for text in plain if text] + ([] if request.verifier is None else [request.verifier])


def _refused(reason: str, detail: str, *, hint: str | None = None) -> Failure:
    return Failure(error=AuthorizationResponseError, reason=reason, detail=detail, transient=False, hint=hint)


def _denied(told: dict[str, str], redaction: Redaction) -> Failure:
    code, description = redaction.clean(told["error"], 128) or "", redaction.clean(told.get("error_description"))
    words = f"{code} ({description})" if description else code
    return Failure(
        error=TokenEndpointError,
        reason=code if code in HINTS else "denied",
        detail=f"the authorization server denied the login: {words}",
        transient=code in ("temporarily_unavailable", "server_error"),
        hint=HINTS.get(code),
        code=code,
        description=description,
        uri=redaction.clean(told.get("error_uri")),
        grant_type="authorization_code",
    )
