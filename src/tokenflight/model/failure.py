"""Failure: why there is no token, as a value that can cross from the wire to every waiter.

Exceptions are made from it in the waiter's own frame, so that none drags along frames, causes or forms of others.
"""

from __future__ import annotations

from copy import copy
from typing import Any, Final

from attrs import evolve, field, frozen

from tokenflight.errors import (
    ConfigurationError,
    InvalidClientError,
    InvalidGrantError,
    ProviderClosedError,
    SessionLostError,
    TokenEndpointError,
    TokenFlightError,
    TokenRequestError,
)
from tokenflight.model.key import TokenKey


@frozen(kw_only=True)
class Failure:
    """What went wrong, sanitized.

    `error` is the exception type that a waiter gets. `counts` is true for what says that the endpoint itself is in
    trouble (the wire and the server), which is what probing goes by. `retry_after` is the server's word in seconds.
    """

    error: type[TokenFlightError] = TokenRequestError
    reason: str
    detail: str
    transient: bool = True
    counts: bool = False
    attempts: int = 0
    retry_after: float | None = None
    grant_type: str | None = None
    hint: str | None = None
    code: str | None = None
    description: str | None = None
    uri: str | None = None
    status: int | None = None
    request_id: str | None = None
    lost: bool = False
    """Whether the request went out and no readable answer came back: what it spent may be spent."""
    ambiguous: bool = False
    """Whether a session is lost without the server having said so."""
    prototype: BaseException | None = field(default=None, repr=False)
    """An exception that goes to every caller as a copy of itself; it has no frames and no causes."""

    @property
    def throttled(self) -> bool:
        """Tell whether the server said 429 (RFC 6585, section 4), which is its pace and no fault."""
        return self.status == 429

    @property
    def local(self) -> bool:
        """Tell whether it is this program's own doing: set up wrongly, or a test's assertion. Nobody waits for that."""
        return issubclass(self.error, ConfigurationError) or isinstance(self.prototype, AssertionError)

    def exception(self, key: TokenKey, *, retry_after: float | None = None) -> BaseException:
        """Make the waiter's own exception; *retry_after* (seconds from now) replaces the server's word."""
        if self.prototype is not None:
            return copy(self.prototype)
        text = self.detail if self.hint is None else f"{self.detail}; {self.hint}"
        if not issubclass(self.error, TokenRequestError):
            return self.error(text)
        fields: dict[str, Any] = {
            "key": key,
            "grant_type": self.grant_type,
            "attempts": self.attempts,
            "retry_after": self.retry_after if retry_after is None else retry_after,
            "reason": self.reason,
            "detail": self.detail,
            "hint": self.hint,
            "transient": self.transient,
        }
        if issubclass(self.error, TokenEndpointError):
            fields |= {
                "error": self.code,
                "error_description": self.description,
                "error_uri": self.uri,
                "status": self.status or 0,
                "request_id": self.request_id,
            }
        if issubclass(self.error, SessionLostError):
            fields["ambiguous"] = self.ambiguous
        return self.error(text, **fields)

    def held_back(self) -> Failure:
        """Return this failure as those get it who come while the key is held back: nothing was sent for them."""
        return evolve(self, attempts=0)


class CredentialError(Exception):
    """A source gave no secret, or what it gave cannot be used; carries the Failure that says so, and leaves no room."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


_ERRORS: Final[dict[str, type[TokenEndpointError]]] = {
    "invalid_client": InvalidClientError,
    "invalid_grant": InvalidGrantError,
}


def error_for(code: str | None) -> type[TokenEndpointError]:
    """Return the exception type of an error code (RFC 6749, section 5.2)."""
    return _ERRORS.get(code or "", TokenEndpointError)


CLOSED: Final = Failure(
    error=ProviderClosedError,
    reason="closed",
    detail="the provider was left while this token was on its way: enter it again with `async with`, then ask again",
)
