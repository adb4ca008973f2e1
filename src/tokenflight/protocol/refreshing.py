"""Refresh tokens: what a session lives on, once a person has logged in (RFC 6749, section 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from attrs import field, frozen

from tokenflight.errors import ConfigurationError
from tokenflight.model.key import NO_SCOPE, Subject, TokenKey
from tokenflight.model.policy import as_float
from tokenflight.protocol.client_authentication import Attempt, RequestParts
from tokenflight.protocol.grants import audience_fields, scope_fields

if TYPE_CHECKING:
    from tokenflight.model.secret import Secret

LOST_REPLY_WINDOW: Final = 10.0
"""For how many seconds after it was first sent a refresh token whose reply was lost may be sent again."""


def as_grace(value: Any) -> float | None:
    """Take a grace in seconds. Raises ConfigurationError for what is negative or no number."""
    if value is None:
        return None
    grace = as_float(value)
    if grace is None or not 0.0 <= grace < float("inf"):
        raise ConfigurationError("grace is a number of seconds: set it to 0 or more, or leave it out where unknown")
    return grace


@frozen(kw_only=True)
class RefreshToken:
    """A session's refresh token is spent for each access token.

    `sessions.adopt` says which one; what the server gives in its place is kept before the access token is handed out,
    and where it gives none the old one stays. Keys of one session, one subject, take turns.

    Args:
        grace: for how many seconds the server takes the refresh token before the newest one again, for who lost its
            reply; None where that is unknown, 0 where it never does. With it an attempt is given up early enough for
            two more within the grace; without it none is given up before `total_timeout`.

    A call's own scope travels; the client's does not, for it is what the session was made with, and servers refuse to
    hear it again.
    """

    grace: float | None = field(default=None, converter=as_grace)
    grant_type = "refresh_token"
    repeatable = True
    carries = frozenset({"subject"})

    def fields(self, key: TokenKey, scope: frozenset[str]) -> dict[str, str]:
        """Return the call's own scope and its audience, each where there is one.

        Raises ConfigurationError for a key without a subject known by its id.
        """
        return session_fields(key)

    async def present(self, attempt: Attempt) -> RequestParts:
        """Return the refresh token that is to be spent."""
        return RequestParts(fields={"refresh_token": revealed(attempt.refresh_token)})


def session_fields(key: TokenKey) -> dict[str, str]:
    """Return what a key adds to a request that spends its session's refresh token; see `RefreshToken.fields`."""
    if not isinstance(key.subject, Subject):
        raise ConfigurationError(
            "a session belongs to a subject: pass subject= with the name under which it was redeemed or adopted"
        )
    return scope_fields(key.scope or NO_SCOPE) | audience_fields(key)


def revealed(refresh_token: Secret | None) -> str:
    """Return the refresh token of an attempt. Raises ConfigurationError where it has none: no session spends it."""
    if refresh_token is None:
        raise ConfigurationError("there is no refresh token to spend: ask a TokenProvider, which keeps the sessions")
    return refresh_token.reveal()
