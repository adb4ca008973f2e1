"""FakeTokenEndpoint: a token endpoint with the semantics of RFC 6749, in memory or on loopback."""

from __future__ import annotations

import json
import math
import secrets
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import cycle, repeat
from typing import Any, ClassVar, Final, TypeAlias

from attrs import define, field, frozen

from tokenflight.model.clock import Clock
from tokenflight.model.secret import Secret
from tokenflight.model.token import Token
from tokenflight.testing.acts import Answer, Error, Issue, Throttle
from tokenflight.testing.double import ScriptedDouble
from tokenflight.testing.exchange import Reply, Request
from tokenflight.testing.forms import FORM, TokenEntry, read
from tokenflight.testing.patience import Patience, seconds_to_wait

Lifetime: TypeAlias = float | None
AnyToken: TypeAlias = str | Secret | Token

_NO_STORE: Final = (("content-type", "application/json"), ("cache-control", "no-store"), ("pragma", "no-cache"))


@define(eq=False, kw_only=True)
class IssuedToken:
    """What the endpoint knows of a token that it issued. Moments are readings of its clock."""

    value: str = field(repr=False)
    client: str | None
    key: tuple[str, ...]
    audience: str | None
    scope: str | None
    issued_at: float
    expires_at: float
    revoked: bool = False


@frozen
class _Client:
    secrets: frozenset[str]
    thumbprints: frozenset[str]
    scope: frozenset[str] | None
    audiences: frozenset[str] | None


class FakeTokenEndpoint(ScriptedDouble[TokenEntry]):
    """A token endpoint that issues real, unguessable tokens and knows which of them live.

    It takes client credentials from any client with any secret, by `client_secret_basic` or `client_secret_post`, or
    with any certificate that the TLS of `serve()` lets in, until `register` names those that it knows. It answers at
    any path. Where and how to reach it: `asgi`, `transport()`, `serve()`; what to do instead of issuing: `script`,
    `always`, `down`, `hang`, `up`, `limit`.

    Args:
        expires_in: lifetime in seconds, None for no end and no word of it, or several that are used in turn.
        scope: what is granted, whatever was asked for; None grants what was asked for.
        audiences: those it issues for, None for any; another is `invalid_target`.
        token_type: the answer's; None leaves it out.
        grant_types: those it knows.
        clock: what lifetimes, delays and the ledger go by; this machine's where None is given.
        url: where it lives in memory.
    """

    token_prefix: ClassVar[str] = "fake-"
    """What each token starts with."""

    def __init__(
        self,
        *,
        expires_in: Lifetime | Sequence[Lifetime] = 3600,
        scope: str | None = None,
        audiences: Iterable[str] | None = None,
        token_type: str | None = "Bearer",
        grant_types: Iterable[str] = ("client_credentials",),
        clock: Clock | None = None,
        url: str = "https://auth.test/token",
    ) -> None:
        super().__init__(url, clock, key=lambda entry: entry.key)
        self.expires_in = expires_in
        self.scope = scope
        self.audiences = None if audiences is None else frozenset(audiences)
        self.token_type = token_type
        self.grant_types = frozenset(grant_types)
        self.tokens: dict[str, IssuedToken] = {}
        self._clients: dict[str, _Client] = {}
        self._latest: dict[tuple[str, ...], IssuedToken] = {}
        self._rate: tuple[int, float | None] | None = None
        self._admitted: deque[float] = deque()
        self._patience = Patience(self.clock)

    @property
    def expires_in(self) -> Lifetime | Sequence[Lifetime]:
        """The lifetime of tokens to come."""
        return self._expires_in

    @expires_in.setter
    def expires_in(self, value: Lifetime | Sequence[Lifetime]) -> None:
        self._expires_in = value
        self._lifetimes: Iterator[Lifetime] = cycle(value) if isinstance(value, Sequence) else repeat(value)

    def register(
        self,
        client_id: str,
        secret: str | Iterable[str] = (),
        *,
        thumbprint: str | Iterable[str] = (),
        scope: str | None = None,
        audiences: Iterable[str] | None = None,
    ) -> None:
        """Know a client by its secret, or by any of several; from the first on, no other client is served.

        *thumbprint*: `x5t#S256` of the certificate, or of any of several, that it presents in place of a secret. What
        is outside its *scope* or *audiences* is refused; None allows all. Registered again, it replaces itself.
        """
        self._clients[client_id] = _Client(
            frozenset({secret} if isinstance(secret, str) else secret),
            frozenset({thumbprint} if isinstance(thumbprint, str) else thumbprint),
            None if scope is None else frozenset(scope.split()),
            None if audiences is None else frozenset(audiences),
        )

    def limit(self, rate: int | None, *, retry_after: float | None = None) -> None:
        """Issue no more than *rate* tokens within any second, and answer 429 beyond; None lifts the limit."""
        self._rate = None if rate is None else (rate, retry_after)

    def revoke(self, token: AnyToken | None = None) -> int:
        """Revoke a token, or all that live; return how many died of it."""
        chosen = list(self.tokens.values()) if token is None else [self.tokens[_plain(token)]]
        dying = [issued for issued in chosen if self.is_live(issued.value)]
        for issued in dying:
            issued.revoked = True
        return len(dying)

    def is_live(self, token: AnyToken) -> bool:
        """Tell whether *token* was issued here, is not past its end and was not revoked."""
        issued = self.tokens.get(_plain(token))
        return issued is not None and not issued.revoked and self.clock.now() < issued.expires_at

    def _entry(self, request: Request) -> TokenEntry:
        entry = read(request, number=len(self.ledger) + 1, now=self.clock.now())
        self._patience.came(self.ledger, entry, entry.client)
        return entry

    def _usual(self, entry: TokenEntry) -> Reply:
        return self._issue(entry, Issue())

    def _issue(self, entry: TokenEntry, how: Issue) -> Reply:
        refusal = self._over_limit() or _unreadable(entry) or self._unknown(entry) or self._ungranted(entry)
        if refusal is not None:
            return refusal.reply()
        issued = self._again(entry) if how.again else None
        left = None if issued is None else issued.expires_at - self.clock.now()
        if issued is None:
            left = next(self._lifetimes) if how.expires_in is ... else how.expires_in
            issued = self._new(entry, left)
        entry.token = issued.value
        fields: dict[str, Any] = {
            "access_token": issued.value,
            "token_type": self.token_type,
            "expires_in": None if left is None or math.isinf(left) else _number(left),
            "scope": issued.scope,
        }
        fields = {name: value for name, value in fields.items() if value is not None} | dict(how.fields)
        body = {name: value for name, value in fields.items() if name not in how.without}
        return Reply(status=how.status, headers=(*_NO_STORE, *how.headers), body=json.dumps(body).encode())

    def _again(self, entry: TokenEntry) -> IssuedToken | None:
        latest = self._latest.get(entry.key)
        return latest if latest is not None and self.is_live(latest.value) else None

    def _new(self, entry: TokenEntry, lifetime: Lifetime) -> IssuedToken:
        now = self.clock.now()
        issued = IssuedToken(
            value=self.token_prefix + secrets.token_urlsafe(24),
            client=entry.client,
            key=entry.key,
            audience=entry.audience,
            scope=self.scope if self.scope is not None else entry.scope,
            issued_at=now,
            expires_at=math.inf if lifetime is None else now + lifetime,
        )
        self.tokens[issued.value] = self._latest[entry.key] = issued
        return issued

    def _over_limit(self) -> Answer | None:
        if self._rate is None:
            return None
        rate, retry_after = self._rate
        now = self.clock.now()
        while self._admitted and self._admitted[0] <= now - 1:
            self._admitted.popleft()
        if len(self._admitted) >= rate:
            return Throttle(retry_after)
        self._admitted.append(now)
        return None

    def _unknown(self, entry: TokenEntry) -> Answer | None:
        challenge = {"www-authenticate": 'Basic realm="token endpoint"'} if "basic" in entry.authentication else {}
        unproven = entry.secret is None and entry.authentication not in ("client_assertion", "tls_client_auth")
        if entry.client is None or unproven:
            return Error("invalid_client", "client authentication is required", headers=challenge)
        known = self._clients.get(entry.client)
        if not self._clients or (known and _proven(entry, known)):
            return None
        return Error("invalid_client", "client authentication failed", headers=challenge)

    def _ungranted(self, entry: TokenEntry) -> Answer | None:
        known = self._clients.get(entry.client or "", _Client(frozenset(), frozenset(), None, None))
        grant = entry.form.get("grant_type")
        if grant is None:
            return Error("invalid_request", "grant_type is missing")
        if grant not in self.grant_types:
            return Error("unsupported_grant_type")
        if known.scope is not None and not set((entry.scope or "").split()) <= known.scope:
            return Error("invalid_scope", "that is more than this client may have")
        for allowed in (self.audiences, known.audiences):
            if allowed is not None and entry.audience not in allowed:
                return Error("invalid_target", "no such audience for this client")
        return None

    def _answered(self, entry: TokenEntry, reply: Reply) -> None:
        super()._answered(entry, reply)
        if reply.fault is not None or reply.status < 400:
            return
        entry.error = _error_code(reply.body)
        entry.retry_after = seconds_to_wait(reply.header("retry-after"), self.clock.wall())
        if entry.retry_after is not None and (reply.status == 429 or reply.status >= 500):
            self._patience.told(entry.request.origin, entry.client, entry.retry_after)


def _proven(entry: TokenEntry, known: _Client) -> bool:
    if entry.authentication == "tls_client_auth":
        return entry.request.thumbprint in known.thumbprints
    return entry.secret in known.secrets


def _unreadable(entry: TokenEntry) -> Answer | None:
    if entry.method != "POST":
        return Answer(405, {"error": "invalid_request"}, headers={"allow": "POST"})
    if (entry.headers.get("content-type") or "").partition(";")[0].strip().lower() != FORM:
        return Error("invalid_request", f"the body must be {FORM}")
    if entry.repeated:
        return Error("invalid_request", f"repeated: {' '.join(entry.repeated)}")
    if " " in entry.authentication:
        return Error("invalid_request", "more than one method of client authentication")
    return None


def _error_code(body: bytes) -> str | None:
    try:
        code = json.loads(body)["error"]
    except (ValueError, TypeError, LookupError):
        return None
    return code if isinstance(code, str) else None


def _number(seconds: float) -> float:
    """Return whole seconds as an int, which is what most servers write."""
    return int(seconds) if seconds == int(seconds) else seconds


def _plain(token: AnyToken) -> str:
    if isinstance(token, Token):
        token = token.access_token
    return token.reveal() if isinstance(token, Secret) else token
