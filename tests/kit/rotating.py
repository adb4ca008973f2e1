"""A strict authorization server for logins and sessions: codes once, refresh tokens in families, reuse kills.

It forgives nothing but what it says it forgives, and writes down what it was asked.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
from attrs import define, field, frozen
from tests.kit.canary import canary
from tests.kit.town import Town

from tokenflight import AuthorizationCode, ClientSecretPost, OAuthClient, RefreshToken, Token, TokenProvider
from tokenflight.model.clock import Clock
from tokenflight.protocol.client import Endpoints
from tokenflight.testing import Act, Error, Issue, Reply, Request, VirtualClock
from tokenflight.testing.acts import USUAL, Call
from tokenflight.testing.double import ScriptedDouble
from tokenflight.testing.forms import TokenEntry, read

SECRET = canary("client-secret")


@define(eq=False, kw_only=True)
class Family:
    """All refresh tokens that come of one login.

    `newest` is the one that was issued last and not used yet; `used` those that were, with when; `recent` the one whose
    use brought the newest.
    """

    client: str
    subject: str
    scope: str
    newest: str = field(factory=lambda: canary("refresh"), repr=False)
    recent: str | None = field(default=None, repr=False)
    used: dict[str, float] = field(factory=dict, repr=False)
    access: dict[str, tuple[float, str | None, str | None]] = field(factory=dict, repr=False)
    generations: int = 0
    reuses: int = 0
    dead: bool = False


@define(eq=False, kw_only=True)
class Code:
    """What one login was for."""

    client: str
    subject: str
    asked: dict[str, str] = field(repr=False)
    ends_at: float
    family: Family | None = None


@frozen
class Swallow:
    """Do it, and never answer: the reply is lost, and nobody says so."""

    then: Act = USUAL

    async def perform(self, call: Call) -> Reply:
        await self.then.perform(call)
        await call.vanish()
        raise AssertionError("unreachable: vanish() raises")


class RotatingServer(ScriptedDouble[TokenEntry]):
    """An authorization server.

    Args:
        grace: for how many seconds after its first use the newest spent refresh token is good still.
        rotates: whether a refresh brings another refresh token.
        kill_old_access: whether a refresh ends the access tokens of its family.
        expires_in: lifetime of access tokens.
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        grace: float = 0.0,
        rotates: bool = True,
        kill_old_access: bool = False,
        expires_in: float = 3600,
        issuer: str | None = None,
    ) -> None:
        super().__init__("https://auth.test/token", clock, key=lambda entry: entry.key)
        self.grace, self.rotates, self.kill_old_access = grace, rotates, kill_old_access
        self.expires_in, self.issuer = expires_in, issuer
        self.families: list[Family] = []
        self.codes: dict[str, Code] = {}
        self._by_token: dict[str, Family] = {}

    def login(self, subject: str = "ann", *, client: str = "app", scope: str = "") -> str:
        """Let somebody log in elsewhere, and return the refresh token of it."""
        return self._family(client, subject, scope).newest

    def authorize(self, url: str, *, subject: str = "ann", **added: str) -> str:
        """Let somebody log in at *url* as in a browser, and return where the browser is sent."""
        asked = {name: value for name, [value] in parse_qs(urlsplit(url).query, strict_parsing=True).items()}
        assert asked["response_type"] == "code"
        code = canary("code")
        ends_at = self.clock.now() + 30.0
        self.codes[code] = Code(client=asked["client_id"], subject=subject, asked=asked, ends_at=ends_at)
        told = {"code": code, "state": asked["state"]} | ({"iss": self.issuer} if self.issuer else {}) | added
        return f"{asked.get('redirect_uri', 'https://app.test/callback')}?{urlencode(told)}"

    def family(self, subject: str = "ann") -> Family:
        """Return the newest family of a subject."""
        return [family for family in self.families if family.subject == subject][-1]

    def is_live(self, token: Token) -> bool:
        """Tell whether an API would take *token*."""
        value = token.access_token.reveal()
        ends = [family.access[value][0] for family in self.families if value in family.access]
        return bool(ends) and self.clock.now() < ends[0]

    def granted(self, token: Token) -> tuple[str | None, str | None]:
        """Return the audience and the scope that a token is for."""
        value = token.access_token.reveal()
        [what] = [family.access[value][1:] for family in self.families if value in family.access]
        return what

    def spent(self, grant: str = "refresh_token") -> list[str]:
        """Return what was presented, in order: refresh tokens, or codes."""
        name = "code" if grant == "authorization_code" else grant
        return [entry.form.get(name, "") for entry in self.ledger if entry.form.get("grant_type") == grant]

    def _entry(self, request: Request) -> TokenEntry:
        entry = read(request, number=len(self.ledger) + 1, now=self.clock.now())
        presented = entry.form.get("refresh_token") or entry.form.get("code") or ""
        family = self._by_token.get(presented)
        entry.key = ("family", str(id(family) if family else presented))
        return entry

    def _usual(self, entry: TokenEntry) -> Reply:
        return self._issue(entry, Issue())

    def _issue(self, entry: TokenEntry, how: Issue) -> Reply:
        if entry.repeated or entry.secret != SECRET or entry.method != "POST":
            return Error("invalid_client").reply()
        grants = {"refresh_token": self._refreshed, "authorization_code": self._redeemed}
        answer = grants.get(entry.form.get("grant_type", ""), _unsupported)(entry)
        if isinstance(answer, Reply):
            return answer
        body = {name: value for name, value in (answer | dict(how.fields)).items() if name not in how.without}
        headers = (("content-type", "application/json"), *how.headers)
        return Reply(status=how.status, headers=headers, body=json.dumps(body).encode())

    def _refreshed(self, entry: TokenEntry) -> dict[str, Any] | Reply:
        value, now = entry.form.get("refresh_token", ""), self.clock.now()
        family = self._by_token.get(value)
        if family is None or family.client != entry.client or family.dead:
            return Error("invalid_grant", "unknown refresh token").reply()
        first = family.used.get(value)
        if first is not None and not (value == family.recent and now < first + self.grace):
            family.dead, family.reuses = True, family.reuses + 1
            return Error("invalid_grant", "a spent refresh token came again: its family is revoked").reply()
        if self.rotates:
            family.used.setdefault(value, now)
            family.recent = value
            self._renew(family)
        told = {"refresh_token": family.newest} if self.rotates else {}
        return self._access(entry, family, entry.scope or family.scope) | told

    def _redeemed(self, entry: TokenEntry) -> dict[str, Any] | Reply:
        code = self.codes.get(entry.form.get("code", ""))
        if code is None or code.client != entry.client:
            return Error("invalid_grant", "unknown code").reply()
        if code.family is not None:
            code.family.dead = True
            return Error("invalid_grant", "the code came again: what it brought is revoked").reply()
        fits = entry.form.get("redirect_uri") == code.asked.get("redirect_uri") and _bound(code, entry)
        if self.clock.now() >= code.ends_at or not fits:
            return Error("invalid_grant", "the code is over, or another's").reply()
        scope = code.asked.get("scope", "")
        code.family = family = self._family(code.client, code.subject, scope)
        return self._access(entry, family, scope, code.asked.get("audience")) | {"refresh_token": family.newest}

    def _access(self, entry: TokenEntry, family: Family, scope: str, audience: str | None = None) -> dict[str, Any]:
        if self.kill_old_access:
            family.access.clear()
        entry.token = canary("access")
        ends = self.clock.now() + self.expires_in
        family.access[entry.token] = (ends, entry.audience or audience, scope or None)
        told = {"access_token": entry.token, "token_type": "Bearer", "expires_in": self.expires_in}
        return told | ({"scope": scope} if scope else {})

    def _family(self, client: str, subject: str, scope: str) -> Family:
        family = Family(client=client, subject=subject, scope=scope)
        self.families.append(family)
        self._by_token[family.newest] = family
        return family

    def _renew(self, family: Family) -> None:
        family.newest, family.generations = canary("refresh"), family.generations + 1
        self._by_token[family.newest] = family


def _unsupported(entry: TokenEntry) -> Reply:
    return Error("unsupported_grant_type").reply()


def _bound(code: Code, entry: TokenEntry) -> bool:
    """Tell whether the verifier is that of the code's challenge (RFC 7636, section 4.6)."""
    challenge, verifier = code.asked.get("code_challenge"), entry.form.get("code_verifier")
    if challenge is None or verifier is None:
        return challenge is verifier is None
    assert code.asked["code_challenge_method"] == "S256"
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == challenge


def app(grace: float | None = None, *, client_id: str = "app", **fields: Any) -> OAuthClient:
    """Return a client that lives on refresh tokens."""
    fields = {"grant": RefreshToken(grace=grace), "authentication": ClientSecretPost(SECRET)} | fields
    return OAuthClient(client_id=client_id, token_endpoint="https://auth.test/token", **fields)


def login_app(**fields: Any) -> OAuthClient:
    """Return a client at which people log in."""
    fields = {
        "grant": AuthorizationCode(),
        "endpoints": Endpoints(authorization="https://auth.test/authorize"),
    } | fields
    return app(**fields)


def session_town(*, seed: int = 0, clock: VirtualClock | None = None, **server: Any) -> Town:
    """Return a town whose endpoint is a rotating server."""
    clock = clock or VirtualClock(seed)
    return Town(clock=clock, endpoint=RotatingServer(clock=clock, **server))  # type: ignore[arg-type]  # what a Town asks


def provider_of(place: Town, client: OAuthClient, **options: Any) -> tuple[TokenProvider, httpx.AsyncClient]:
    """Return a provider that is entered and left by the test itself, and the http client that it goes by."""
    http = httpx.AsyncClient(transport=place.endpoint.transport(), trust_env=False)
    options = {"hooks": [place.events.append], "clock": place.clock} | options
    return TokenProvider(client, http=http, **options), http


async def adopted(place: Town, tokens: TokenProvider, subject: str = "ann", **login: Any) -> Family:
    """Let *subject* log in elsewhere, hand the session over, and return its family."""
    server: Any = place.endpoint
    refresh_token = server.login(subject, **login)
    await place.clock.run(lambda: tokens.sessions.adopt(subject=subject, refresh_token=refresh_token))
    family: Family = server.family(subject)
    return family
