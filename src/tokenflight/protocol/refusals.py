"""Refusals: what a bad answer means, and whether it may heal without a human (RFC 6749, section 5.2)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from attrs import frozen

from tokenflight.errors import ConfigurationError, MalformedResponseError
from tokenflight.model.failure import Failure, error_for
from tokenflight.protocol.answers import TokenAnswer, retry_after
from tokenflight.protocol.client import OAuthClient
from tokenflight.protocol.redaction import Redaction

_TRANSIENT_CODES: Final = frozenset({"temporarily_unavailable", "server_error", "slow_down"})
_TROUBLE_CODES: Final = frozenset({"temporarily_unavailable", "server_error"})
_TRANSIENT_STATUSES: Final = frozenset({408, 425, 429})
_TOO_MANY: Final = 429
_ACCESS = "check the client's grants and access where it is registered"
_PERSON = "a person has to take part: use a grant in which somebody logs in"
_DPOP = "the server wants DPoP proofs: register the client for bearer tokens"

HINTS: Final[Mapping[str, str | None]] = {
    # RFC 6749, sections 4.1.2.1 and 5.2
    "invalid_request": "check the client's grant, parameters and dialect",
    "invalid_client": "check client_id and authentication: the secret, and the method that the server wants",
    "invalid_grant": "check the subject, and that the client may act for it",
    "unauthorized_client": _ACCESS,
    "unsupported_grant_type": "check token_endpoint and the client's grant",
    "unsupported_response_type": "check the client's grant",
    "invalid_scope": "check scope against what the client may ask for",
    "access_denied": _ACCESS,
    "server_error": None,
    "temporarily_unavailable": None,
    # RFC 7009, section 2.2.1
    "unsupported_token_type": "this server does not revoke such tokens: leave out endpoints.revocation",
    # RFC 8628, section 3.5
    "authorization_pending": None,
    "slow_down": None,
    "expired_token": "start the login again",
    # RFC 8693, section 2.2.2, and RFC 8707, section 2
    "invalid_target": "check audience against the APIs that the server knows",
    # RFC 9449, sections 5 and 8
    "invalid_dpop_proof": _DPOP,
    "use_dpop_nonce": _DPOP,
    # OpenID Connect Core, section 3.1.2.6
    "interaction_required": _PERSON,
    "login_required": _PERSON,
    "account_selection_required": _PERSON,
    "consent_required": _PERSON,
    "invalid_request_uri": _ACCESS,
    "invalid_request_object": _ACCESS,
    "request_not_supported": _ACCESS,
    "request_uri_not_supported": _ACCESS,
    "registration_not_supported": _ACCESS,
}
"""The registered error codes that a token endpoint may send, and what to check; any other code counts as none."""

_CERTIFICATE: Final = "check client_id and authentication: the certificate, and what the server knows the client by"
_OF_METHODS: Final[Mapping[str, str]] = {
    "private_key_jwt": "check client_id and authentication: the key, the key_id and the audience that the server knows",
    "client_secret_jwt": "check client_id and authentication: the secret, and the audience that the server wants",
    "tls_client_auth": _CERTIFICATE,
    "self_signed_tls_client_auth": _CERTIFICATE,
    "none": "check client_id, and give authentication where the client is registered with a secret or a key",
}
"""What to check after `invalid_client`, by how the client authenticated."""

_REQUEST_IDS: Final = (
    *("box-request-id", "x-request-id", "x-ms-request-id", "x-okta-request-id", "x-auth0-requestid"),
    *("x-amzn-requestid", "request-id", "x-correlation-id", "cf-ray"),
)
_REQUEST_ID_FIELDS: Final = ("request_id", "trace_id", "correlation_id", "errorId")
_MEDIA_TYPE = re.compile(r"[a-z0-9.+-]{1,40}/[a-z0-9.+-]{1,60}")


@frozen(kw_only=True)
class Refusals:
    """Makes failures of one answer. `wall` is Unix time in seconds. Nothing of the body but cleaned words goes in."""

    answer: TokenAnswer
    client: OAuthClient
    wall: float
    redaction: Redaction

    def refused(self, fields: Mapping[str, Any]) -> Failure:
        """Say what the server refused and whether that may heal.

        The dialect's code counts first; then 408, 425, 429 and 5xx, transient whatever the code; then a registered
        code; then the status. Raises ConfigurationError where a function of the dialect fails.
        """
        status, clean = self.answer.status, self.redaction.clean
        said, description = self._code(fields.get("error")), clean(fields.get("error_description"))
        ruled = self.client.dialect.code(status, said, description)
        code = ruled or said
        verdict = _verdict(status, code, ruled=bool(ruled))
        advice = clean(self.client.dialect.advice(status, said, description))
        return Failure(
            error=error_for(code if verdict.reason == code else None),
            reason=verdict.reason,
            detail=self._sentence(verdict, said, description),
            transient=verdict.transient,
            counts=verdict.counts,
            hint=advice or self._hint(verdict),
            code=code,
            description=description,
            uri=clean(fields.get("error_uri")),
            **self._facts(fields),
        )

    def malformed(self, why: str, *, lasting: bool = False, fields: Mapping[str, Any] | None = None) -> Failure:
        """Say that a good status came without a token response; *lasting* where only a person can change that."""
        media = self.answer.media_type
        kind = media if _MEDIA_TYPE.fullmatch(media) and self.redaction.clean(media) == media else "no media type"
        return Failure(
            error=MalformedResponseError,
            reason="token_type" if lasting else "malformed",
            detail=f"{self._answered} but {why} ({kind}, {len(self.answer.body)} bytes)",
            transient=not lasting,
            counts=not lasting,
            lost=True,
            hint="register the client for bearer tokens"
            if lasting
            else "check that token_endpoint is the token endpoint",
            **self._facts(fields or {}),
        )

    def misread(self, problem: ConfigurationError) -> Failure:
        """Say that the client's dialect failed at this answer."""
        return Failure(
            error=ConfigurationError,
            reason="dialect",
            detail=self.redaction.clean(str(problem)) or "the client's dialect failed: check its functions",
            transient=False,
            lost=self.answer.succeeded,
            **self._facts({}),
        )

    @property
    def _answered(self) -> str:
        return f"{self.client.endpoint_label} answered {self.answer.status}"

    def _hint(self, verdict: _Verdict) -> str | None:
        own = _OF_METHODS.get(self.client.authentication.method) if verdict.reason == "invalid_client" else None
        return own or verdict.hint

    def _code(self, error: object) -> str | None:
        """Clean an error code, but for the registered ones: these stay, even where a secret is one of their words."""
        return error if isinstance(error, str) and error in HINTS else self.redaction.clean(error, 128)

    def _facts(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        headers = self.answer.headers
        names = [*map(headers.get, _REQUEST_IDS), *map(fields.get, _REQUEST_ID_FIELDS)]
        cleaned = (self.redaction.clean(name, 128) for name in names)
        return {
            "status": self.answer.status,
            "grant_type": self.client.grant.grant_type,
            "retry_after": retry_after(headers, self.wall),
            "request_id": next((name for name in cleaned if name), None),
        }

    def _sentence(self, verdict: _Verdict, said: str | None, description: str | None) -> str:
        words = said or ""
        if verdict.reason != said and not verdict.reason.startswith("http_"):
            words = f"{verdict.reason}, told as {said}" if said else verdict.reason
        if description:
            words = f"{words} ({description})" if words else description
        return f"{self._answered}: {words}" if words else self._answered


@frozen(kw_only=True)
class _Verdict:
    """What an answer comes to: by its code where `reason` is one, else by its status."""

    reason: str
    transient: bool
    counts: bool
    hint: str | None


def _verdict(status: int, code: str | None, *, ruled: bool) -> _Verdict:
    troubled = status in _TRANSIENT_STATUSES or status >= 500
    if code is not None and code in HINTS and (ruled or not troubled):
        return _Verdict(
            reason=code,
            transient=code in _TRANSIENT_CODES,
            counts=code in _TROUBLE_CODES,
            hint=HINTS[code],
        )
    return _Verdict(
        reason=f"http_{status}",
        transient=troubled or 200 <= status < 300,
        counts=troubled and status != _TOO_MANY,
        hint=None if troubled else _status_hint(status),
    )


def _status_hint(status: int) -> str:
    if 300 <= status < 400:
        return "a redirect is never followed: set token_endpoint to where it leads"
    if status in (401, 403):
        return "check client_id and authentication"
    if status in (404, 405, 406, 410, 415):
        return "check token_endpoint"
    return "check token_endpoint and the client's grant, scope and parameters"
