"""fake_provider: a real TokenProvider for tests of what uses one, over a token endpoint in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Final, TypedDict, Unpack

import anyio
import httpx
from anyio.lowlevel import current_token
from attrs import evolve

from tokenflight.engine.entries import NEVER, Entry
from tokenflight.engine.hooks import Hook
from tokenflight.engine.lanes import Lanes
from tokenflight.engine.state import State
from tokenflight.model.key import AnySubject, Audience, Subject, TokenKey
from tokenflight.model.policy import RetryPolicy, seconds
from tokenflight.model.status import KeyStatus
from tokenflight.model.token import Token
from tokenflight.protocol.client import OAuthClient
from tokenflight.protocol.client_authentication import ClientSecretPost
from tokenflight.protocol.dialect import Dialect
from tokenflight.provider.clients import DEFAULT
from tokenflight.provider.holdings import Holdings
from tokenflight.provider.keys import Scope
from tokenflight.provider.provider import TokenProvider
from tokenflight.provider.source import BoundSource
from tokenflight.testing.acts import Act, Error
from tokenflight.testing.endpoint import FakeTokenEndpoint
from tokenflight.testing.forms import TokenEntry
from tokenflight.testing.ledger import Ledger

_FLIGHTS: Final = 20
_ONCE: Final = RetryPolicy(attempts=1, base=0.001, cap=0.1, attempt_timeout=1.0, total_timeout=1.0)
"""A failed request is its caller's error at once, and holds nobody back for long."""


class _Asked(TypedDict, total=False):
    subject: AnySubject | str | None
    audience: Audience | str | None
    scope: Scope | None


class _AskedFor(_Asked, total=False):
    min_ttl: float


class FakeProvider(TokenProvider):
    """A TokenProvider in which every client name resolves, and none; made by `fake_provider`.

    It needs no `async with`: outside of one, each call enters it and leaves it again, in whatever loop it is made.
    What runs between calls, as renewals ahead and `keep_warm`, needs one; it may be entered several times.
    Called, it returns itself, so that it is its own override of a FastAPI dependency.
    """

    def __init__(self, endpoint: FakeTokenEndpoint, *, hooks: Iterable[Hook] = ()) -> None:
        self.endpoint = endpoint
        """What issues the tokens, and takes any script."""
        http = httpx.AsyncClient(transport=endpoint.transport(), trust_env=False)
        super().__init__(self._client, http=http, retry=_ONCE, hooks=hooks, max_flights=_FLIGHTS, clock=endpoint.clock)
        self._door = _Door(self._engine.state, super().__aenter__, super().__aexit__)

    def __call__(self) -> FakeProvider:
        """Return the provider itself."""
        return self

    @property
    def ledger(self) -> Ledger[TokenEntry]:
        """Return what the endpoint saw."""
        return self.endpoint.ledger

    def fail(self, error: str | Act = "temporarily_unavailable", *, times: int | None = None) -> None:
        """Let the next *times* token requests fail, or all until `recover`.

        *error*: a code of RFC 6749, section 5.2, or any act, such as `Refuse()`, `Reset()` or `Throttle(5)`. A held
        token is served meanwhile, as ever: see `expire`.
        """
        act = Error(error) if isinstance(error, str) else error
        left = iter(range(times)) if times is not None else None
        self.endpoint.always(lambda _: None if left is not None and next(left, None) is None else act)

    def recover(self) -> None:
        """End `fail`, and let nobody be held back by what failed."""
        self.endpoint.up()
        self.endpoint.always()
        state = self._engine.state
        for entry in state.entries:
            if entry.lane is not None:
                state.schedule.drop(entry.lane)
                state.schedule.drop(entry.lane.health)
            entry.lane, entry.not_before, entry.rejections, entry.failures = None, NEVER, None, 0
        state.lanes = Lanes(max_flights=_FLIGHTS, retry=_ONCE)

    def expire(self) -> int:
        """Put all tokens past their end, here and at the endpoint; return how many were held."""
        now = self.endpoint.clock.now()
        for issued in self.endpoint.tokens.values():
            issued.expires_at = min(issued.expires_at, now)
        return sum(_end(entry, now) for entry in self._engine.state.entries)

    def revoke_all(self) -> int:
        """Revoke all tokens at the endpoint, so that a ProtectedApp refuses what is held; return how many."""
        return self.endpoint.revoke()

    async def __aenter__(self) -> FakeProvider:
        """Start the scheduler."""
        await self._door.come()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End every task; what is held stays."""
        await self._door.go()

    async def token(self, client: str | None = None, **asked: Unpack[_AskedFor]) -> Token:
        """Return a usable token; see `TokenProvider.token`."""
        async with self._door.open():
            return await super().token(client or DEFAULT, **asked)

    async def renew(
        self,
        client: str | None = None,
        *,
        rejected: Token | None = None,
        origin: str | None = None,
        **asked: Unpack[_Asked],
    ) -> Token:
        """Return another token than the one rejected; see `TokenProvider.renew`."""
        async with self._door.open():
            return await super().renew(client or DEFAULT, rejected=rejected, origin=origin, **asked)

    def source(
        self, client: str | None = None, *, min_ttl: float = 0.0, keep_warm: bool = False, **asked: Unpack[_Asked]
    ) -> BoundSource:
        """Bind a key once; see `TokenProvider.source`."""
        key = super().source(client or DEFAULT, keep_warm=keep_warm, **asked).key
        return _FakeSource(self._holdings, key, seconds("min_ttl", min_ttl), self._door)

    async def forget(self, client: str | None = None, **asked: Unpack[_Asked]) -> bool:
        """Drop one key's token; see `TokenProvider.forget`."""
        return await super().forget(client or DEFAULT, **asked)

    async def revoke(self, client: str | None = None, **asked: Unpack[_Asked]) -> bool:
        """Drop one key's token and revoke it where there is an endpoint; see `TokenProvider.revoke`."""
        async with self._door.open():
            return await super().revoke(client or DEFAULT, **asked)

    async def warm_up(
        self, *sources: BoundSource, timeout: float = 30.0, strict: bool = False
    ) -> tuple[KeyStatus, ...]:
        """Fetch what *sources* need; see `TokenProvider.warm_up`."""
        async with self._door.open():
            return await super().warm_up(*sources, timeout=timeout, strict=strict)

    def _client(self, name: str) -> OAuthClient:
        """Resolve any name, to a client that the endpoint will see under it."""
        return OAuthClient(
            client_id=name,
            token_endpoint=self.endpoint.url,
            authentication=ClientSecretPost("fake-secret"),
            dialect=_ANYTHING,
        )


def fake_provider(endpoint: FakeTokenEndpoint | None = None, *, hooks: Iterable[Hook] = ()) -> FakeProvider:
    """Return a real TokenProvider over *endpoint*, by default one of its own whose tokens live an hour.

    Every client name resolves, and none; any subject, audience and scope can be asked for. It goes by the endpoint's
    clock, repeats no failed request, and opens no connection.
    """
    return FakeProvider(FakeTokenEndpoint() if endpoint is None else endpoint, hooks=hooks)


class _FakeSource(BoundSource):
    """A source that enters its provider where nobody did."""

    __slots__ = ("_door",)

    def __init__(self, holdings: Holdings, key: TokenKey, min_ttl: float, door: _Door) -> None:
        super().__init__(holdings, key, min_ttl)
        self._door = door

    async def token(self) -> Token:
        async with self._door.open():
            return await super().token()

    async def renew(self, rejected: Token | None = None, *, origin: str | None = None) -> Token:
        async with self._door.open():
            return await super().renew(rejected, origin=origin)

    async def revoke(self) -> bool:
        async with self._door.open():
            return await super().revoke()

    def reject(self, rejected: Token, *, origin: str | None = None) -> None:
        entry = self._find()
        if self._keeper.engine.state.open:
            super().reject(rejected, origin=origin)
        elif entry.token is not None and entry.token.header == rejected.header:
            _end(entry, self._now())  # nothing can be launched between two calls: the next one fetches


class _Door:
    """Lets the first guest enter and the last one leave, in whatever loop they are."""

    def __init__(
        self, state: State, enter: Callable[[], Awaitable[object]], leave: Callable[..., Awaitable[object]]
    ) -> None:
        self._state = state
        self._enter = enter
        self._leave = leave
        self._guests = 0
        self._loop: object = None
        self._turn: anyio.Lock | None = None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Be a guest for the length of the block; where another loop has entered, just look in."""
        if self._taken():
            yield
            return
        await self.come()
        try:
            yield
        finally:
            await self.go()

    async def come(self) -> None:
        """Become a guest. A loop that ended took its guests along."""
        if self._taken():
            await self._enter()  # raises
        if self._turn is None or self._loop != current_token():
            self._loop, self._turn, self._guests = current_token(), anyio.Lock(), 0
        async with self._turn:
            if not self._guests:
                await self._enter()
            self._guests += 1

    async def go(self) -> None:
        """Be a guest no more."""
        with anyio.CancelScope(shield=True):
            async with self._turn or anyio.Lock():
                self._guests -= 1
                if not self._guests:
                    await self._leave(None, None, None)

    def _taken(self) -> bool:
        """Tell whether another loop has entered, and goes on."""
        root = self._state.root
        return root is not None and root.alive and not root.here


def _end(entry: Entry, now: float) -> bool:
    """Put a key's token past its end; return whether there was one."""
    if entry.life is None:
        return False
    age = now - entry.life.sent_at
    entry.life = evolve(entry.life, due_at=now, span=evolve(entry.life.span, urgent=age, end=age))
    entry.fresh_until = NEVER
    return True


def _named(key: TokenKey, fields: dict[str, str]) -> Mapping[str, str]:
    """Put all that a key names into the form, so that whatever is asked for counts; a token only as its short hash."""
    named: dict[str, AnySubject | Audience | None] = {"subject": key.subject, "audience": key.audience}
    for name, what in named.items():
        if what is not None:
            fields.setdefault(name, _plainly(what))
            if what.type is not None:
                fields[f"{name}_type"] = what.type
    return fields


def _plainly(what: AnySubject | Audience) -> str:
    match what:
        case Subject():
            return what.id
        case Audience():
            return what.value
        case _:
            return repr(what)


_ANYTHING: Final = Dialect(form=_named)
