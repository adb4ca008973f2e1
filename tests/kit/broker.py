"""A broker: a token endpoint that exchanges live tokens only, and whose tokens die with those they were bought with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.kit.town import Town

from tokenflight import ClientSecretPost, OAuthClient, SubjectToken, TokenExchange, TokenProvider
from tokenflight.testing import Error, FakeTokenEndpoint, TokenEntry, VirtualClock
from tokenflight.testing.endpoint import AnyToken
from tokenflight.testing.exchange import Reply

EXCHANGE = TokenExchange().grant_type
GRANTS = ("client_credentials", EXCHANGE)


class Broker(FakeTokenEndpoint):
    """Knows its own tokens, and the bearers that the test says it issued, with their ends on its clock."""

    def __init__(self, **how: Any) -> None:
        super().__init__(grant_types=GRANTS, **how)
        self.bearers: dict[str, float] = {}
        self.parents: dict[str, str] = {}

    def exchanges(self) -> list[TokenEntry]:
        """Return the requests that presented a subject token."""
        return [entry for entry in self.ledger if "subject_token" in entry.form]

    def others(self) -> list[TokenEntry]:
        """Return the other requests, those of parents."""
        return [entry for entry in self.ledger if "subject_token" not in entry.form]

    def is_live(self, token: AnyToken) -> bool:
        plain = token if isinstance(token, str) else getattr(token, "access_token", token).reveal()
        if plain in self.bearers:
            return self.clock.now() < self.bearers[plain]
        parent = self.parents.get(plain)
        return super().is_live(plain) and (parent is None or self.is_live(parent))

    def _usual(self, entry: TokenEntry) -> Reply:
        subject = entry.form.get("subject_token")
        if subject is not None and not self.is_live(subject):
            return Error("invalid_request", "The subject_token provided is invalid.").reply()
        reply = super()._usual(entry)
        if subject is not None and entry.token is not None:
            self.parents[entry.token] = subject
        return reply


def brokered(*, seed: int = 0, clock: VirtualClock | None = None, **how: Any) -> Town:
    """Return a town whose endpoint is a Broker."""
    clock = clock or VirtualClock(seed)
    return Town(clock=clock, endpoint=Broker(clock=clock, **how))


def clients(**child: Any) -> dict[str, OAuthClient]:
    """Return a client that gets the parent's tokens, and one that exchanges them, at one endpoint."""
    where = {"token_endpoint": "https://auth.test/token", "authentication": ClientSecretPost("hush")}
    return {
        "parent": OAuthClient(client_id="parent", **where),
        "child": OAuthClient(**{"client_id": "child", "grant": TokenExchange(), **where, **child}),
    }


def children(tokens: TokenProvider, count: int, subject: SubjectToken | None = None) -> Iterator[Any]:
    """Bind as many keys that rest on the parent's token."""
    subject = subject or SubjectToken(tokens.source("parent"))
    for number in range(count):
        yield tokens.source("child", subject=subject, audience=f"https://api.test/files/{number}")
