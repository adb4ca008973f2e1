"""The error tree: everything the library raises is a TokenFlightError.

`transient` answers the one question that decides what to do next: may this heal without a human?
No error holds a request, a response, a form, a secret or a raw subject; none has a `__cause__` of another library.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenflight.model.key import TokenKey
    from tokenflight.model.status import KeyStatus


class TokenFlightError(Exception):
    """Base of all errors of this library.

    `transient` is true only where the same call may succeed later without anybody changing anything.
    """

    transient: bool = False


class ConfigurationError(TokenFlightError):
    """Something was set up in a way that cannot work; the message ends in what to do.

    Raised before anything is sent, as early as it can be known.
    """


class ProviderClosedError(TokenFlightError):
    """A call had to start something on a provider that is not entered, was left, or lives in another loop."""


class StoreError(TokenFlightError):
    """A store could not do what only a store can do."""

    transient = True


class WarmUpError(TokenFlightError):
    """`warm_up(strict=True)` ran out of time; `failed` names the keys without a usable token. Their flights go on."""

    transient = True

    def __init__(self, message: str, *, failed: tuple[KeyStatus, ...] = ()) -> None:
        super().__init__(message)
        self.failed = failed


class TokenRequestError(TokenFlightError):
    """No usable token: the request failed, or the key is held back and nothing was sent.

    Attributes:
        key: what was asked for.
        grant_type: the grant's wire name, or None where no grant was reached.
        attempts: how many requests this flight sent; 0 where nothing was sent.
        retry_after: seconds until this key can be asked for again, and nothing is sent before; None where nothing holds
            it back.
        reason: a short stable code, such as `timeout`, `http_503`, `invalid_client` or `held_back`.
        detail: one sanitized sentence.
        hint: what to check or click, where it is known.
    """

    def __init__(
        self,
        message: str = "the token request failed",
        *,
        key: TokenKey | None = None,
        grant_type: str | None = None,
        attempts: int = 0,
        retry_after: float | None = None,
        reason: str = "failed",
        detail: str = "",
        hint: str | None = None,
        transient: bool = False,
    ) -> None:
        super().__init__(message)
        self.key = key
        self.grant_type = grant_type
        self.attempts = attempts
        self.retry_after = retry_after
        self.reason = reason
        self.detail = detail
        self.hint = hint
        self.transient = transient

    def __reduce__(self) -> tuple[Callable[..., TokenRequestError], tuple[Any, ...]]:
        fields = {name: value for name, value in self.__dict__.items() if not name.startswith("_")}
        return partial(type(self), **fields), self.args


class EndpointUnreachableError(TokenRequestError):
    """No answer came: refused, reset, cut, timed out, or no connection could be had."""


class MalformedResponseError(TokenRequestError):
    """An answer came that is no token response (RFC 6749, section 5.1); of its body nothing is kept."""


class TokenValidationError(TokenRequestError):
    """An access or ID token came that failed validation: it is neither handed out nor kept, and never shown.

    `reason` says what failed, such as `signature`, `issuer`, `audience`, `expired`, `algorithm`, `unknown_key` or
    `not_a_jwt`.
    """


class AuthorizationResponseError(TokenRequestError):
    """A callback was refused: it does not answer the login that it was redeemed for. Nothing was sent.

    `reason` is `unreadable`, `late`, `state`, `issuer`, `no_code` or `redeemed`.
    """


class SessionLostError(TokenRequestError):
    """The refresh token is gone and a person has to log in again.

    `ambiguous` is true where a lost reply may have spent it: the server never said so.
    """

    def __init__(self, message: str = "the session is lost", *, ambiguous: bool = False, **fields: Any) -> None:
        super().__init__(message, **fields)
        self.ambiguous = ambiguous


class TokenEndpointError(TokenRequestError):
    """The token endpoint said no (RFC 6749, section 5.2).

    Attributes:
        error: the error code, or None where the body held none.
        error_description: at most 512 printable characters, known secrets redacted.
        error_uri: likewise; never fetched.
        status: the HTTP status.
        request_id: the server's own name for the exchange, for its support.
    """

    def __init__(
        self,
        message: str = "the token endpoint refused",
        *,
        error: str | None = None,
        error_description: str | None = None,
        error_uri: str | None = None,
        status: int = 0,
        request_id: str | None = None,
        **fields: Any,
    ) -> None:
        super().__init__(message, **fields)
        self.error = error
        self.error_description = error_description
        self.error_uri = error_uri
        self.status = status
        self.request_id = request_id


class InvalidClientError(TokenEndpointError):
    """`invalid_client`: the client's credentials were refused (RFC 6749, section 5.2)."""


class InvalidGrantError(TokenEndpointError):
    """`invalid_grant`: what was presented is unknown, spent or not this client's (RFC 6749, section 5.2)."""


class SubjectTokenExpiredError(InvalidGrantError):
    """The subject token that a token was asked for with has expired (RFC 8693, section 2.2.2)."""
