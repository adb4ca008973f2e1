"""Books: what the two servers know of clients and tokens, and what they wrote down of requests."""

from __future__ import annotations

import hmac
import time
from collections import Counter
from collections.abc import Mapping
from typing import Final, TypeAlias

from attrs import define, field

from tokenflight import Subject, TokenKey

Asked: TypeAlias = tuple[str, str | None, str | None]
"""What a token was asked for, as a server sees it: client_id, subject, audience."""

LIFETIME: Final = 6
"""How long a token lives where nothing else is said, in seconds."""


def asked_for(key: TokenKey) -> Asked:
    """Return a key in the servers' words. In this demo a client's name begins with its client_id."""
    subject = key.subject.id if isinstance(key.subject, Subject) else None
    return key.client.partition(" ")[0], subject, None if key.audience is None else key.audience.value


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
        lifetimes: how long the tokens of a client live, where that is not LIFETIME.
        requests: how many tokens were asked for, by what they were asked for.
        refusals: why token requests were refused.
        jtis: the `jti` of each JWT that a client signed, as they came.
        answers: the status of each answer to a request with such a JWT.
        parents: the tokens that were exchanged for others.
        logins: who has logged in, and `lost`: whose refresh token was spent twice, which ended that.
        spent: how often each refresh token was spent.
        sends: how often each call reached the API, by the caller's number.
        unauthorized: how often it was answered 401.
        admitted: what the token was issued for with which it was served.
    """

    secrets: dict[str, str] = field(factory=dict, repr=False)
    lifetimes: dict[str, int] = field(factory=dict)
    requests: Counter[Asked] = field(factory=Counter)
    refusals: list[str] = field(factory=list)
    jtis: dict[str, list[str]] = field(factory=dict)
    answers: dict[str, list[int]] = field(factory=dict)
    parents: set[str] = field(factory=set, repr=False)
    logins: list[str] = field(factory=list)
    lost: list[str] = field(factory=list)
    spent: Counter[str] = field(factory=Counter, repr=False)
    sends: Counter[str] = field(factory=Counter)
    unauthorized: Counter[str] = field(factory=Counter)
    admitted: dict[str, Asked] = field(factory=dict)
    _tokens: dict[str, Issued] = field(factory=dict, repr=False)

    def knows(self, form: Mapping[str, str]) -> bool:
        """Tell whether a form shows the secret of the client that it names."""
        known = self.secrets.get(form.get("client_id", ""), "")
        return bool(known) and hmac.compare_digest(known, form.get("client_secret", ""))

    def answered(self, client: str, status: int) -> None:
        """Note how a request was answered that a client's signature came with."""
        self.answers.setdefault(client, []).append(status)

    def lifetime(self, asked: Asked) -> int:
        """Return how long a token lives that is asked for, in seconds."""
        return self.lifetimes.get(asked[0], LIFETIME)

    def issue(self, value: str, asked: Asked) -> int:
        """Take a token as good from now on; return for how many seconds."""
        lifetime = self.lifetime(asked)
        self._tokens[value] = Issued(asked, time.monotonic() + lifetime)
        return lifetime

    def living(self, value: str) -> Asked | None:
        """Return what a token was issued for; None where it is not good, or not any more."""
        issued = self._tokens.get(value)
        alive = issued is not None and not issued.revoked and time.monotonic() < issued.expires_at
        return issued.asked if issued is not None and alive else None

    def is_good(self, value: str, audience: str | None) -> bool:
        """Tell whether a token lives, and was issued for *audience*."""
        asked = self.living(value)
        return asked is not None and asked[2] == audience

    def revoke_all(self) -> None:
        """Revoke every token there is."""
        for issued in self._tokens.values():
            issued.revoked = True
