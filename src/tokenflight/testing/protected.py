"""ProtectedApp: an API that asks for a live token (RFC 6750)."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from attrs import define, field

from tokenflight.testing.acts import Answer, Forbidden, Unauthorized
from tokenflight.testing.double import ScriptedDouble
from tokenflight.testing.endpoint import FakeTokenEndpoint
from tokenflight.testing.exchange import Reply, Request
from tokenflight.testing.ledger import Entry

INVALID_TOKEN: Final = 'Bearer error="invalid_token", error_description="the token is not, or no longer, good"'


@define(eq=False, kw_only=True)
class ApiEntry(Entry):
    """One request to the API. `token` is what came in its Authorization header, whatever the scheme; None without."""

    token: str | None = field(default=None, repr=False)

    @property
    def body(self) -> bytes:
        """Return the body's bytes."""
        return self.request.body

    @property
    def sha256(self) -> str:
        """Return the body's digest, in hex."""
        return hashlib.sha256(self.request.body).hexdigest()


class ProtectedApp(ScriptedDouble[ApiEntry]):
    """An API that serves who shows a live token of *endpoint*, and answers 401 `invalid_token` otherwise.

    Args:
        endpoint: whose tokens count.
        audience: what a token must have been issued for; None takes any. One issued for another is refused, and is
            a broken rule in the ledger: it should not have come here.
        scope: what a token must grant, else 403.
        content: what the API serves: JSON, str or bytes.
        url: where it lives in memory.
    """

    def __init__(
        self,
        endpoint: FakeTokenEndpoint,
        *,
        audience: str | None = None,
        scope: str | None = None,
        content: Any = None,
        url: str = "https://api.test/",
    ) -> None:
        super().__init__(url, endpoint.clock)
        self.endpoint = endpoint
        self.audience = audience
        self.scope = scope
        self.content = {"served": True} if content is None else content

    def _entry(self, request: Request) -> ApiEntry:
        token = (request.header("authorization") or "").partition(" ")[2].strip() or None
        entry = ApiEntry(number=len(self.ledger) + 1, started=self.clock.now(), request=request, token=token)
        issued = self.endpoint.tokens.get(token or "")
        if issued is not None and self.audience is not None and issued.audience != self.audience:
            self.ledger.complain(
                "audience",
                f"request {entry.number} to {request.origin} ({self.audience}) showed a token for {issued.audience}",
            )
        return entry

    def _usual(self, entry: ApiEntry) -> Reply:
        if entry.token is None:
            return Unauthorized('Bearer realm="api"').reply()
        issued = self.endpoint.tokens.get(entry.token)
        good = issued is not None and self.endpoint.is_live(issued.value) and self.audience in (None, issued.audience)
        if issued is None or not good or not (entry.headers["authorization"]).lower().startswith("bearer "):
            return Unauthorized(INVALID_TOKEN).reply()
        if self.scope is not None and not set(self.scope.split()) <= set((issued.scope or "").split()):
            return Forbidden(self.scope).reply()
        return Answer(200, self.content).reply()
