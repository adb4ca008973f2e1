"""When: the windows of a token's life and the pauses between tries. Pure; all values are seconds.

Every window is a share of the lifetime with a cap, so that a 2-second and a 10-year token obey the same rules.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Final, Literal, TypeAlias

from attrs import field, frozen

from tokenflight.errors import ConfigurationError

Draw: TypeAlias = Callable[[float, float], float]
"""A uniform draw from [low, high]."""

Verdict: TypeAlias = Literal["fresh", "due", "urgent", "expired", "none"]
"""What a held token is worth right now."""

MIN_LIFETIME: Final = 1.0
MAX_LIFETIME: Final = 10 * 365.25 * 86_400.0


def _share(low: float, high: float, *, open_high: bool = False) -> Callable[[object, object, float], None]:
    def check(instance: object, attribute: object, value: float) -> None:
        name = getattr(attribute, "name", "value")
        inside = low <= value < high if open_high else low <= value <= high
        if not inside:
            edge = "below" if open_high else "at most"
            raise ConfigurationError(f"{name}={value} is out of range: set it to at least {low} and {edge} {high}")

    return check


def _number(value: float) -> float:
    number = as_float(value)
    if number is None or math.isnan(number):
        raise ConfigurationError(f"a {type(value).__name__} is given for seconds or a share: pass an int or a float")
    return number


def _count(instance: object, attribute: object, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigurationError(f"attempts={value!r} is no count of tries: set it to 1 or more")


@frozen(kw_only=True)
class RefreshPolicy:
    """When a token in use is renewed ahead of its end.

    A token of lifetime L is due `min(early·L, early_cap) · U(1 - spread, 1)` before its end, drawn once per token, and
    urgent `min(hard_margin·L, hard_margin_cap)` before it. `proactive=False` renews only when a caller asks.
    Raises ConfigurationError where urgent could precede due.
    """

    early: float = field(default=0.35, converter=_number, validator=_share(0.0, 1.0, open_high=True))
    spread: float = field(default=0.43, converter=_number, validator=_share(0.0, 1.0))
    early_cap: float = field(default=3600.0, converter=_number, validator=_share(0.0, math.inf))
    hard_margin: float = field(default=0.10, converter=_number, validator=_share(0.0, 1.0, open_high=True))
    hard_margin_cap: float = field(default=30.0, converter=_number, validator=_share(0.0, math.inf))
    proactive: bool = True

    def __attrs_post_init__(self) -> None:
        latest = 1.0 - self.spread
        if self.hard_margin > 0.0 and (
            self.early * latest < self.hard_margin or self.early_cap * latest < self.hard_margin_cap
        ):
            raise ConfigurationError(
                "a token could become urgent before it is due: raise early or early_cap, or lower spread, hard_margin "
                "or hard_margin_cap, so that early·(1 - spread) ≥ hard_margin and "
                "early_cap·(1 - spread) ≥ hard_margin_cap"
            )


@frozen(kw_only=True)
class RetryPolicy:
    """How often and how long a request is tried while somebody waits without a usable token.

    Pauses are full jitter: `U(0, min(cap, base·2ⁿ))`. `attempt_timeout` bounds one try, `total_timeout` a flight.
    """

    attempts: int = field(default=3, validator=_count)
    base: float = field(default=0.5, converter=_number, validator=_share(0.001, 3600.0))
    cap: float = field(default=5.0, converter=_number, validator=_share(0.001, 3600.0))
    attempt_timeout: float = field(default=10.0, converter=_number, validator=_share(0.001, 3600.0))
    total_timeout: float = field(default=30.0, converter=_number, validator=_share(0.001, 3600.0))


@frozen
class Span:
    """What tokens of one lifetime have in common, in seconds from when they were asked for.

    `length` is the lifetime, at least 1 s; for an unknown one it is the period after which a token is due, and
    `urgent` and `end` are infinite.
    """

    length: float
    urgent: float
    end: float


_span = lru_cache(maxsize=1_000)(Span)


@frozen(weakref_slot=False)  # one for each held token: only what is its own is kept in it
class Life:
    """The moments of one token's life on the age clock."""

    sent_at: float
    due_at: float
    span: Span

    @property
    def length(self) -> float:
        """Return the lifetime, or the period after which a token of unknown lifetime is due."""
        return self.span.length

    @property
    def urgent_at(self) -> float:
        """Return from when on callers may have to wait; infinite for an unknown lifetime."""
        return self.sent_at + self.span.urgent

    @property
    def expires_at(self) -> float:
        """Return the end; infinite for an unknown lifetime."""
        return self.sent_at + self.span.end

    @property
    def paced_until(self) -> float:
        """Return until when neither schedule nor expiry nor `min_ttl` renews it again."""
        return self.sent_at + max(1.0, 0.05 * self.length)


def live(
    policy: RefreshPolicy,
    *,
    sent_at: float,
    lifetime: float | None,
    draw: Draw,
    refresh_in: float | None = None,
    default_lifetime: float | None = None,
    ends_by: float = math.inf,
    fleeting: bool = False,
) -> Life:
    """Lay out the life of a token asked for at *sent_at*.

    A *lifetime* below 1 s is kept as 1 s, one beyond 10 years as 10 years; neither goes beyond *ends_by*. Where no end
    is known the token is due once per *default_lifetime*, or never where that is None too. *refresh_in* is the server's
    own wish. The token of a *fleeting* key is fresh to its end: nothing renews it ahead.
    """
    if lifetime is None and ends_by == math.inf:
        period = math.inf if default_lifetime is None else max(MIN_LIFETIME, default_lifetime)
        due_at = math.inf if fleeting else sent_at + period * draw(1.0, 1.0 + policy.early * policy.spread)
        return Life(sent_at, due_at, _span(period, math.inf, math.inf))
    length = MAX_LIFETIME if lifetime is None else min(max(lifetime, MIN_LIFETIME), MAX_LIFETIME)
    length = min(length, ends_by - sent_at)
    if fleeting:
        return Life(sent_at, sent_at + length, _span(length, length, length))
    span = _span(length, length - min(policy.hard_margin * length, policy.hard_margin_cap), length)
    if refresh_in is not None and 0.0 <= refresh_in < length:
        due_at = min(sent_at + refresh_in + draw(0.0, 0.1) * (length - refresh_in), sent_at + 0.85 * length)
    else:
        due_at = sent_at + length - min(policy.early * length, policy.early_cap) * draw(1.0 - policy.spread, 1.0)
    return Life(sent_at, min(due_at, sent_at + span.urgent), span)


def judge(life: Life | None, now: float) -> Verdict:
    """Say what a token with that life is worth at *now*."""
    if life is None:
        return "none"
    if now < life.due_at:
        return "fresh"
    if now < life.urgent_at:
        return "due"
    return "urgent" if now < life.expires_at else "expired"


def as_float(value: object) -> float | None:
    """Return an int or a float as a float; None for anything else, a bool and an int beyond all floats included."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def clamp(value: float, low: float, high: float) -> float:
    """Return *value*, or the bound that it passed."""
    return max(low, min(value, high))


def attempt_limit(left: float | None, retry: RetryPolicy) -> float:
    """Return how long one attempt may take: a third of what a held token has *left*, 0.25 s at least; or all."""
    if left is None:
        return retry.attempt_timeout
    return clamp(left / 3, min(0.25, retry.attempt_timeout), retry.attempt_timeout)


def retry_pause(failed: int, retry: RetryPolicy, draw: Draw) -> float:
    """Return the pause after the *failed*-th failed attempt of a flight that somebody waits for: full jitter."""
    return draw(0.0, min(retry.cap, _doubled(retry.base, failed - 1)))


def backoff_alive(failures: int, *, left: float, length: float, draw: Draw) -> float:
    """Return the pause until the next try for a key whose token lives on: *left* of *length* seconds."""
    span = 200.0 if math.isinf(length) else length
    base = clamp(0.01 * span, min(0.5, 0.05 * span), 10.0)
    cap = clamp(left / 3, clamp(0.01 * span, min(1.0, 0.05 * span), 30.0), 300.0)
    return draw(0.5, 1.0) * min(cap, _doubled(base, failures - 1))


def backoff_without(failures: int, retry: RetryPolicy, draw: Draw) -> float:
    """Return the pause for a key without a usable token, or between the probes of an endpoint that is down."""
    return draw(0.5, 1.0) * min(retry.cap, _doubled(retry.base, failures))


def backoff_permanent(refusals: int, draw: Draw) -> float:
    """Return the pause after the *refusals*-th permanent failure in a row: 30 s doubling to 300 s."""
    return draw(0.75, 1.0) * min(300.0, _doubled(30.0, refusals - 1))


def server_pause(asked: float, repeats: int) -> float:
    """Return how long a Retry-After of *asked* s is obeyed: 600 s at most, doubled by each repeat up to its word."""
    return min(asked, _doubled(600.0, repeats - 1))


def rejection_window(length: float) -> float:
    """Return how young a token born of a rejection must be for its own rejection to shut renewals."""
    return max(1.0, min(60.0, 0.10 * length))


def rejection_pause(shut: int) -> float:
    """Return for how long the *shut*-th such rejection in a row shuts them: 60 s doubling to 10 min."""
    return min(600.0, _doubled(60.0, shut - 1))


def _doubled(base: float, times: int) -> float:
    return base * 2.0 ** min(max(times, 0), 64)


def seconds(name: str, value: object) -> float:
    """Take an argument that is a length of time. Raises ConfigurationError for what is negative or no number."""
    number = as_float(value)
    if number is None or not 0.0 <= number < math.inf:
        raise ConfigurationError(f"{name} is a number of seconds: set it to 0 or more")
    return number


def count(name: str, value: object) -> int:
    """Take an argument that is a count. Raises ConfigurationError for what is below 1 or no whole number."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigurationError(f"{name} is a whole number: set it to 1 or more")
    return value
