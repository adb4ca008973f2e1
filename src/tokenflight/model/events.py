"""Events: what happened, in the past tense. They hold no secret and no raw subject."""

from __future__ import annotations

from typing import Literal, TypeAlias

from attrs import asdict, astuple, frozen

from tokenflight.model.key import TokenKey

Trigger: TypeAlias = Literal["call", "due", "schedule", "pinned", "min_ttl", "rejection", "probe", "look", "login"]
"""Why a flight was launched: a `call` without a usable token, a call that found it `due`, the `schedule`, a `pinned`
key without a token, a `min_ttl`, a `rejection`, the `probe` of an endpoint that is down, a `look` at whether the
credentials of a key that is held back have changed, or a `login` that was redeemed."""


@frozen(kw_only=True, eq=False, repr=False)
class Event:
    """Base of all events, which compare by and show all their fields.

    Written here once: made by attrs for each kind, these methods are half of what importing this module takes.
    """

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Event) or self.__class__ is not other.__class__:
            return NotImplemented
        return astuple(self, recurse=False) == astuple(other, recurse=False)

    def __hash__(self) -> int:
        return hash((self.__class__, astuple(self, recurse=False)))

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in asdict(self, recurse=False).items())
        return f"{self.__class__.__name__}({fields})"


@frozen(kw_only=True, eq=False, repr=False)
class KeyEvent(Event):
    """Something happened to one key."""

    key: TokenKey


@frozen(kw_only=True, eq=False, repr=False)
class FlightLaunched(KeyEvent):
    """A request for a token was started."""

    trigger: Trigger


@frozen(kw_only=True, eq=False, repr=False)
class TokenLanded(KeyEvent):
    """A flight brought a token. `lifetime` is the endpoint's word; `took` counts from launch, in seconds."""

    trigger: Trigger
    lifetime: float | None
    attempts: int
    waiters: int
    took: float


@frozen(kw_only=True, eq=False, repr=False)
class FlightFailed(KeyEvent):
    """A flight brought none. `token_left` is what the held token has left, in seconds; None where there is none."""

    trigger: Trigger
    reason: str
    transient: bool
    attempts: int
    waiters: int
    token_left: float | None


@frozen(kw_only=True, eq=False, repr=False)
class AttemptFailed(KeyEvent):
    """One request of a flight failed; the flight may go on."""

    attempt: int
    reason: str
    status: int | None


@frozen(kw_only=True, eq=False, repr=False)
class TokenUrgent(KeyEvent):
    """A caller met a token in its hard margin. `left` is what it had, in seconds."""

    left: float


@frozen(kw_only=True, eq=False, repr=False)
class TokenRejected(KeyEvent):
    """An API refused a token that was still good by the clock."""

    origin: str | None
    age: float | None


@frozen(kw_only=True, eq=False, repr=False)
class RenewalRefused(KeyEvent):
    """A rejection brought no renewal; the 401 went back to its caller.

    `reason` is `held_back` or `rejected`; a renewal that was tried and failed is a `FlightFailed`.
    """

    origin: str | None
    reason: str


@frozen(kw_only=True, eq=False, repr=False)
class TokenEvicted(KeyEvent):
    """A key made room at `max_keys`. `live` tells whether it still held a usable token.

    `fleeting` is a key whose subject is one token, given by value.
    """

    reason: Literal["expired", "lapsed", "fleeting", "crowding", "unused"]
    live: bool


@frozen(kw_only=True, eq=False, repr=False)
class TokenForgotten(KeyEvent):
    """A key was dropped on purpose."""


@frozen(kw_only=True, eq=False, repr=False)
class TokenRevoked(KeyEvent):
    """A server was asked to revoke a token and said that it counts no more."""


@frozen(kw_only=True, eq=False, repr=False)
class RevocationFailed(KeyEvent):
    """A token was let go of and not revoked: it may count until its end. `reason` may be `no_endpoint`."""

    reason: str
    status: int | None


@frozen(kw_only=True, eq=False, repr=False)
class AnswerOdd(KeyEvent):
    """An endpoint's answer was used although a field of it was odd; `oddity` says how."""

    oddity: str


@frozen(kw_only=True, eq=False, repr=False)
class SessionLost(KeyEvent):
    """A session's refresh token is gone; a person has to log in again.

    `ambiguous` tells that a reply was lost that may have held its successor.
    """

    ambiguous: bool


@frozen(kw_only=True, eq=False, repr=False)
class StoreFailed(KeyEvent):
    """A store operation failed; the call went on without it."""

    operation: Literal["load", "save", "discard"]
    reason: str


@frozen(kw_only=True, eq=False, repr=False)
class EndpointDown(Event):
    """A token endpoint failed three times in a row and is probed from now on."""

    endpoint: str
    reason: str


@frozen(kw_only=True, eq=False, repr=False)
class EndpointUp(Event):
    """A token endpoint answered again, `after` seconds."""

    endpoint: str
    after: float


@frozen(kw_only=True, eq=False, repr=False)
class EndpointThrottled(Event):
    """A token endpoint said for how long a client must not ask; all keys of that client obey for `held` seconds."""

    endpoint: str
    client: str
    held: float


@frozen(kw_only=True, eq=False, repr=False)
class ClockSkewLearned(Event):
    """An endpoint refused what was signed and took it dated by its own clock, which counts from now on.

    `offset` is how many seconds that clock is ahead of this machine's; below 0, behind.
    """

    endpoint: str
    offset: float


@frozen(kw_only=True, eq=False, repr=False)
class ClientHeldBack(Event):
    """A client's credentials were refused; all its keys are held back for `held` seconds."""

    endpoint: str
    client: str
    held: float


@frozen(kw_only=True, eq=False, repr=False)
class ClientChanged(Event):
    """A resolver gave another issuer, endpoint or client_id under a name, or none; what it held was forgotten."""

    client: str
    forgotten: int


@frozen(kw_only=True, eq=False, repr=False)
class SchedulerFailed(Event):
    """A step of the scheduler raised; it goes on. `error` is the exception's type."""

    error: str
