"""What a provider says of itself: values, made when asked for."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypeAlias

from attrs import frozen

from tokenflight.model.key import TokenKey
from tokenflight.model.policy import Verdict

HoldingBack: TypeAlias = Literal[
    "pace", "backoff", "failed", "permanent", "client", "retry_after", "probing", "rejected"
]
"""What keeps a key from being asked for: see `KeyStatus.holding_back`."""


@frozen(kw_only=True)
class KeyStatus:
    """One key as it stands.

    Attributes:
        verdict: `fresh`, `due`, `urgent`, `expired` or `none`.
        expires_at: the endpoint's word, aware UTC; None where there is no token or no word.
        due_in: seconds until the renewal ahead, below 0 where it is overdue; None where none is planned.
        used_ago: seconds since the last use; None where it was never used.
        in_flight: whether a request for it is on its way.
        pinned: whether `keep_warm` or an open `updates()` keeps it renewed.
        holding_back: None, or `pace` (just renewed), `backoff` (a renewal ahead failed; the token lives), `failed`
            (a request failed and there is no usable token), `permanent` (refused), `client` (the client's credentials
            were refused), `retry_after` (the server said when), `probing` (its endpoint is down) or `rejected` (the
            API keeps refusing fresh tokens).
        not_before_in: seconds until that ends; None where nothing holds it back.
        failures: how many flights failed in a row.
        last_error: the reason of the last failure in that row.
    """

    key: TokenKey
    verdict: Verdict
    expires_at: datetime | None
    due_in: float | None
    used_ago: float | None
    in_flight: bool
    pinned: bool
    holding_back: HoldingBack | None
    not_before_in: float | None
    failures: int
    last_error: str | None


@frozen(kw_only=True)
class EndpointHealth:
    """One token endpoint as it stands.

    Attributes:
        endpoint: its origin, or the label of a `Fetch` client.
        state: `up`, `probing` (it fails; one attempt at a time) or `opening` (it answered; steps of 1, 2, 4 …).
        since: seconds since it entered that state.
        last_error: the reason of its last failure; None while it is up.
        next_probe_in: seconds until the next attempt while probing; None otherwise.
        keys: how many keys are kept for it.
        keys_without_token: how many of them hold no usable token.
        survives_for: seconds until the first key in use would be without a token; None where none is in use.
        issued: tokens it gave since the provider was made.
    """

    endpoint: str
    state: Literal["up", "probing", "opening"]
    since: float
    last_error: str | None
    next_probe_in: float | None
    keys: int
    keys_without_token: int
    survives_for: float | None
    issued: int
