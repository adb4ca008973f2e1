"""TokenProvider: the front door. Normalise what was asked, judge what is held, delegate the rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Final

import anyio

from tokenflight.engine.entries import VACANT
from tokenflight.engine.hooks import Hook
from tokenflight.errors import ConfigurationError, WarmUpError
from tokenflight.model.clock import Clock
from tokenflight.model.key import AnySubject, Audience, TokenKey, as_audience, as_scope, as_subject
from tokenflight.model.origin import OriginsArgument
from tokenflight.model.policy import RefreshPolicy, RetryPolicy, count, seconds
from tokenflight.model.status import EndpointHealth, KeyStatus
from tokenflight.model.token import Token
from tokenflight.protocol.client import OAuthClient
from tokenflight.provider.clients import ClientResolver
from tokenflight.provider.connection import Connection
from tokenflight.provider.holdings import Holdings
from tokenflight.provider.keys import Keys, Scope
from tokenflight.provider.reports import worst
from tokenflight.provider.sessions import Sessions
from tokenflight.provider.source import BoundSource
from tokenflight.stores.contract import Store
from tokenflight.transport.clock import SystemClock

if TYPE_CHECKING:
    import httpx

    from tokenflight.ext.httpx import TokenAuth

_CLOCK: Final = SystemClock()


class TokenProvider:
    """Keep the tokens of one or many clients fresh, and hand them out at once.

    Args:
        clients: one OAuthClient, several by name, or a resolver that finds them while the program runs.
        http: the httpx.AsyncClient that token requests go through; never closed here. None: one of its own.
        store: keeps tokens beyond this provider. None: its own entries, which outlive leaving.
        refresh: when tokens are renewed ahead. retry: how a request that somebody waits for is repeated.
        hooks: told of every event; can neither delay nor break a caller.
        max_keys: how many keys are kept. max_flights: how many requests may be in the air at one endpoint.
        shutdown_grace: seconds that leaving may take.
        clock: the time; another one for tests.

    Attributes:
        sessions: what needs a person once: `begin`, `redeem`, `adopt`.

    Enter it with `async with` before it has to fetch anything. Entering and leaving may happen in different tasks;
    what the block raises comes out as it is. Leaving ends tasks, not tokens: entered again, in another loop or a forked
    child, it goes on with what is still valid. Raises ConfigurationError for what cannot work.
    """

    def __init__(
        self,
        clients: OAuthClient | Mapping[str, OAuthClient] | ClientResolver,
        *,
        http: httpx.AsyncClient | None = None,
        store: Store | None = None,
        refresh: RefreshPolicy = RefreshPolicy(),
        retry: RetryPolicy = RetryPolicy(),
        hooks: Iterable[Hook] = (),
        max_keys: int = 100_000,
        max_flights: int = 20,
        shutdown_grace: float = 10.0,
        clock: Clock = _CLOCK,
    ) -> None:
        self._clock = clock
        self._now = clock.now
        self._grace = seconds("shutdown_grace", shutdown_grace)
        self._connection = Connection(http)
        self._holdings = Holdings(
            clients,
            connection=self._connection,
            store=store,
            refresh=refresh,
            retry=retry,
            hooks=hooks,
            max_keys=count("max_keys", max_keys),
            max_flights=count("max_flights", max_flights),
            clock=clock,
        )
        self._engine = self._holdings.engine
        self._keys = Keys(self._holdings.clients)
        self._aliases = self._keys.aliases
        self.sessions = Sessions(self._holdings)

    def __repr__(self) -> str:
        return f"TokenProvider({self._holdings.clients!r}, {self._engine!r})"

    async def __aenter__(self) -> TokenProvider:
        """Start the scheduler. Nothing is fetched but for pinned keys, and nobody waits for those."""
        if self._engine.state.entered:
            raise ConfigurationError("the provider is entered already: enter it once, and share it with who needs it")
        self._connection.open()
        self._holdings.reset()
        await self._engine.start(self._holdings.mint, cleanup=self._holdings.close, grace=self._grace)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End every task; who still waits gets ProviderClosedError. What is held stays."""
        await self._engine.stop(self._grace)

    async def token(
        self,
        client: str | None = None,
        *,
        subject: AnySubject | str | None = None,
        audience: Audience | str | None = None,
        scope: Scope | None = None,
        min_ttl: float = 0.0,
    ) -> Token:
        """Return a usable token: the held one at once, else what the key's one flight brings.

        *min_ttl* seconds: a held token with less left counts as none for this call, which takes what then lands.
        Raises TokenRequestError (and its kinds) where there is none, ConfigurationError for what cannot be asked for,
        ProviderClosedError where a request would have to start and none can.
        """
        try:
            entry = self._aliases[client, subject, audience, scope]
        except (KeyError, TypeError):  # not asked for in these words yet, or with a scope that is a list
            entry = VACANT
        now = self._now()
        if now < entry.fresh_until and not min_ttl:
            entry.used_at = now
            return entry.token  # type: ignore[return-value]  # below fresh_until there is one
        if entry.closed:
            typed = client, subject, audience, scope
            entry = self._engine.asking.entry(self._keys.key(typed))
            self._keys.remember(typed, entry)
        return await self._engine.asking.token(entry, seconds("min_ttl", min_ttl))

    def source(
        self,
        client: str | None = None,
        *,
        subject: AnySubject | str | None = None,
        audience: Audience | str | None = None,
        scope: Scope | None = None,
        min_ttl: float = 0.0,
        keep_warm: bool = False,
    ) -> BoundSource:
        """Bind a key once, for who asks for its token often. *keep_warm* keeps it renewed until forgotten or left."""
        key = self._keys.key((client, subject, audience, scope))
        if keep_warm:
            entry = self._engine.state.entry(key)
            entry.pins += 1
            if self._engine.state.open:
                self._engine.planning.keep_warm(entry)
        return BoundSource(self._holdings, key, seconds("min_ttl", min_ttl))

    def auth(
        self,
        client: str | None = None,
        *,
        subject: AnySubject | str | None = None,
        audience: Audience | str | None = None,
        scope: Scope | None = None,
        min_ttl: float = 0.0,
        origins: OriginsArgument = None,
        retry_unauthorized: bool = True,
    ) -> TokenAuth:
        """Return an `httpx.Auth` that puts the key's token on requests to *origins* and heals a 401 once.

        *origins*: URLs, or ANY; else the client's own; else pinned to the first origin that it signs for.
        """
        from tokenflight.ext.httpx import TokenAuth

        source = self.source(client, subject=subject, audience=audience, scope=scope, min_ttl=min_ttl)
        return TokenAuth(source, origins=origins, retry_unauthorized=retry_unauthorized)

    async def renew(
        self,
        client: str | None = None,
        *,
        rejected: Token | None = None,
        origin: str | None = None,
        subject: AnySubject | str | None = None,
        audience: Audience | str | None = None,
        scope: Scope | None = None,
    ) -> Token:
        """Return another token than the one that the API at *origin* *rejected* (None: than the held one).

        The held token is returned where it is another already; else one flight renews it, however many ask. Raises
        TokenRequestError: `reason` "held_back" where nothing may be sent now, "rejected" where this origin keeps
        refusing fresh tokens; other reasons are the flight's.
        """
        key = self._keys.key((client, subject, audience, scope))
        return await self._engine.asking.renew(self._engine.asking.entry(key), rejected, origin)

    async def forget(
        self,
        client: str | None = None,
        *,
        subject: AnySubject | str | None = None,
        audience: Audience | str | None = None,
        scope: Scope | None = None,
    ) -> bool:
        """Drop one key's token, here and in the store; return whether one was held here.

        A flight in the air answers who joined it and leaves nothing behind. Pins and open `updates()` end.
        """
        return await self._holdings.forget(self._keys.key((client, subject, audience, scope)))

    async def revoke(
        self,
        client: str | None = None,
        *,
        subject: AnySubject | str | None = None,
        audience: Audience | str | None = None,
        scope: Scope | None = None,
    ) -> bool:
        """Drop one key's token and have its server revoke it (RFC 7009); return whether the server said that it did.

        A key of a session ends that, for all its keys: its refresh token is what is revoked. The key is forgotten at
        once and in every case. False: nothing was held, the client has no revocation endpoint,
        or asking failed, which a `RevocationFailed` tells; no failure of the server's is raised. What was begun goes
        on where the caller is cancelled. Raises ProviderClosedError where nothing can be sent.
        """
        return await self._holdings.revoke(self._keys.key((client, subject, audience, scope)))

    async def forget_client(self, name: str, *, subject: AnySubject | str | None = None) -> int:
        """Drop every key of a client, or of one of its subjects; return how many were kept."""
        return await self._holdings.forget_client(self._holdings.clients.name(name), as_subject(subject))

    async def warm_up(
        self, *sources: BoundSource, timeout: float = 30.0, strict: bool = False
    ) -> tuple[KeyStatus, ...]:
        """Fetch what *sources* need, *timeout* seconds at most; none named: the pinned keys. Return how they stand.

        *strict*: WarmUpError where one is without a usable token by then; its `failed` names them. Flights go on.
        """
        self._engine.asking.require_open()
        keys = [source.key for source in sources] or [entry.key for entry in self._engine.state.entries if entry.pins]
        until = self._now() + seconds("timeout", timeout)
        with self._clock.timeout_at(until):
            async with anyio.create_task_group() as group:
                for key in keys:
                    group.start_soon(self._holdings.warm, key)
        statuses = tuple(self._holdings.status(key) for key in keys)
        failed = tuple(status for status in statuses if status.verdict in ("none", "expired"))
        if strict and failed:
            names = ", ".join(repr(status.key) for status in failed[:5])
            raise WarmUpError(f"{len(failed)} of {len(keys)} keys have no usable token, such as {names}", failed=failed)
        return statuses

    def status(
        self,
        client: str | None = None,
        *,
        subject: AnySubject | str | None = None,
        audience: Audience | str | None = None,
        scope: Scope | None = None,
        limit: int = 1000,
    ) -> tuple[KeyStatus, ...]:
        """Say how keys stand, the worst first; what is not named is not filtered by."""
        name = None if client is None else self._holdings.clients.name(client)
        wanted = (name, as_subject(subject), as_audience(audience), as_scope(scope))

        def matches(key: TokenKey) -> bool:
            have = (key.client, key.subject, key.audience, key.scope)
            return all(want is None or want == has for want, has in zip(wanted, have, strict=True))

        chosen = [entry for entry in self._engine.state.entries if matches(entry.key)]
        return worst(self._engine.state, chosen, self._now(), count("limit", limit))

    def health(self) -> tuple[EndpointHealth, ...]:
        """Say how each token endpoint is."""
        return self._engine.state.lanes.report(self._engine.state.entries, self._now())
