"""Books: what the two servers know of clients and tokens, and what they wrote down of requests."""

from __future__ import annotations

import time
from collections import Counter
from typing import Final, TypeAlias

from attrs import define, field

from tokenflight import Subject, TokenKey

Asked: TypeAlias = tuple[str, str | None, str | None]
"""What a token was asked for, as a server sees it: client_id, subject, audience."""

LIFETIME: Final = 6
"""How long each token lives, in seconds."""


def asked_for(key: TokenKey) -> Asked:
    """Return a key in the servers' words. In this demo a client's name is its client_id."""
    subject = key.subject.id if isinstance(key.subject, Subject) else None
    return key.client, subject, None if key.audience is None else key.audience.value


@define(eq=False)
class Issued:
    """A token that was issued."""

    asked: Asked
    expires_at: float
    revoked: bool = False


@define(eq=False)
class Books:
    """Written in the servers' thread; what is counted may be read from any.

    Attributes:
        secrets: the registered clients.
        requests: how many tokens were asked for, by what they were asked for.
        refusals: why token requests were refused.
        sends: how often each call reached the API, by the caller's number.
        unauthorized: how often it was answered 401.
    """

    secrets: dict[str, str] = field(factory=dict, repr=False)
    requests: Counter[Asked] = field(factory=Counter)
    refusals: list[str] = field(factory=list)
    sends: Counter[str] = field(factory=Counter)
    unauthorized: Counter[str] = field(factory=Counter)
    _tokens: dict[str, Issued] = field(factory=dict, repr=False)

    def issue(self, value: str, asked: Asked) -> None:
        """Take a token as good from now on, for its lifetime."""
        self._tokens[value] = Issued(asked, time.monotonic() + LIFETIME)

    def is_good(self, value: str, audience: str | None) -> bool:
        """Tell whether a token lives, and was issued for *audience*."""
        issued = self._tokens.get(value)
        alive = issued is not None and not issued.revoked and time.monotonic() < issued.expires_at
        return issued is not None and alive and issued.asked[2] == audience

    def revoke_all(self) -> None:
        """Revoke every token there is."""
        for issued in self._tokens.values():
            issued.revoked = True
