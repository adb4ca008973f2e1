"""OddDouble: one host at whose paths other providers answer, each in its own way."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Final

from attrs import evolve
from tests.doubles.odd import entra, github, google, keycloak, okta, salesforce, shapes, zoom
from tests.doubles.odd.desk import RefusedError
from tests.doubles.server import Route, ServerDouble
from tests.doubles.tokens import AnyToken, key, public, text_of
from tests.doubles.visits import Visit
from tests.kit.canary import canary

from tokenflight.testing import Act, Answer, Cut, Delay, Reply
from tokenflight.testing.acts import USUAL

CLIENT: Final = "the-client"
_PROVIDERS: Final = (shapes, entra, okta, google, github, keycloak, salesforce, zoom)


class OddDouble(ServerDouble):
    """Providers that deviate from the RFCs, each at its documented path; whatever else comes is refused.

    Attributes:
        secrets: the client secret of each client.
        keys: public JWKs, by client, service account or app.
        tokens: what is out, and when it ends by the clock that lifetimes go by.
        subjects: known users: who may be impersonated, and who granted what is exchanged.
        elsewhere: where `/o/redirect-cross-origin` sends who asks.
        slow: seconds that `/o/slow` takes.
        lifetimes: the lifetime of tokens to come, by provider, where it is not the usual one.
    """

    url_in_memory: ClassVar[str] = "https://odd.example"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.secrets = {CLIENT: canary("secret")}
        mine = [public(key("odd-key"))]
        self.keys: dict[str, list[dict[str, Any]]] = dict.fromkeys(
            (CLIENT, google.ACCOUNT, github.APP, entra.FEDERATION), mine
        )
        self.tokens: dict[str, float] = {}
        self.subjects = {"person@example.com"}
        self.elsewhere = "https://elsewhere.example/token"
        self.slow = 5.0
        self.lifetimes: dict[str, int] = {}

    def issue(self, seen: Visit, lifetime: float | None, *, prefix: str = "", value: str = "") -> str:
        """Issue a token and note it."""
        value = value or prefix + canary("access")
        self.tokens[value] = math.inf if lifetime is None else self.clock.now() + lifetime
        seen.token = value
        return value

    def lifetime_of(self, seen: Visit, provider: str, usual: int) -> int:
        """Return the lifetime of the next token of a provider."""
        return int(self._lifetime(seen, self.lifetimes.get(provider, usual)))

    def is_live(self, token: AnyToken) -> bool:
        """Tell whether an access token was issued here and is not past its end."""
        return self.clock.now() < self.tokens.get(text_of(token), -math.inf)

    def _next(self, entry: Visit) -> Act:
        act = super()._next(entry)
        if act is USUAL and entry.path == "/o/slow":
            return Delay(self.slow)
        return Cut(at=20) if act is USUAL and entry.path == "/o/truncated" else act

    def _routes(self) -> tuple[Route, ...]:
        told = [route for provider in _PROVIDERS for route in provider.ROUTES]
        routes = [(method, path, self._answering(respond)) for method, path, respond in told]
        return (*routes, ("GET", "/api", self._api))

    def _answering(self, respond: Any) -> Any:
        def answer(seen: Visit) -> Reply:
            try:
                reply: Reply = respond(self, seen)
            except RefusedError as refused:
                reply = refused.answer.reply()
            if reply.header("cache-control") is not None:
                return reply
            return evolve(reply, headers=(*reply.headers, ("cache-control", "no-store")))

        return answer

    def _api(self, seen: Visit) -> Reply:
        """Serve who shows a live token; Salesforce's 401 is a list."""
        if seen.bearer is None or not self.is_live(seen.bearer):
            return Answer(401, [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]).reply()
        return Answer(200, {"served": True}).reply()
