"""BoundSource: one key, bound once, so that asking for its token costs next to nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from tokenflight.engine.entries import VACANT, Entry
from tokenflight.model.key import TokenKey
from tokenflight.model.origin import Origins
from tokenflight.model.status import KeyStatus
from tokenflight.model.token import Token
from tokenflight.provider.updates import Updates

if TYPE_CHECKING:
    from tokenflight.engine.engine import Engine
    from tokenflight.provider.clients import Clients


class Keeper(Protocol):
    """What a source needs of the provider that it belongs to."""

    @property
    def engine(self) -> Engine:
        """Return what keeps the tokens."""
        ...

    @property
    def clients(self) -> Clients:
        """Return the clients."""
        ...

    async def forget(self, key: TokenKey) -> bool:
        """Let go of a key; return whether a token was held."""
        ...

    async def revoke(self, key: TokenKey) -> bool:
        """Let go of a key and have its tokens revoked; return whether they were."""
        ...

    def status(self, key: TokenKey) -> KeyStatus:
        """Say how a key stands."""
        ...


class BoundSource:
    """A TokenSource for one key of a provider; made by `TokenProvider.source`, at any time and in any module.

    While the token is fresh `token()` awaits nothing, takes no lock and builds no string. Two are equal that ask one
    provider for one key.
    """

    __slots__ = ("_entry", "_fast", "_keeper", "_min_ttl", "_now", "key")

    def __init__(self, keeper: Keeper, key: TokenKey, min_ttl: float) -> None:
        self.key = key
        self._keeper = keeper
        self._min_ttl = min_ttl
        self._now = keeper.engine.state.clock.now
        self._entry = self._fast = VACANT

    @property
    def origins(self) -> Origins | None:
        """Return where the client's tokens may go, for who puts them on requests; None where that is open.

        It is where the client leaves it open, and for a resolver's client until the first flight has asked for it.
        """
        client = self._keeper.clients.known(self.key.client)
        return None if client is None else client.origins or None

    async def token(self) -> Token:
        """Return a usable token; see `TokenProvider.token` for the errors raised."""
        entry = self._fast
        now = self._now()
        if now < entry.fresh_until:
            entry.used_at = now
            return entry.token  # type: ignore[return-value]  # below fresh_until there is one
        return await self._keeper.engine.asking.token(self._find(), self._min_ttl)

    async def renew(self, rejected: Token | None = None, *, origin: str | None = None) -> Token:
        """Return another token than the one *rejected*; see `TokenProvider.renew`."""
        return await self._keeper.engine.asking.renew(self._find(), rejected, origin)

    def reject(self, rejected: Token, *, origin: str | None = None) -> None:
        """Say that the API at *origin* refused a token: it is renewed where `renew` would, and nobody waits for it."""
        self._keeper.engine.asking.reject(self._find(), rejected, origin)

    def accepted(self, token: Token, *, origin: str | None) -> None:
        """Say that the API at *origin* took a token that its refusal bore: it is a token like any other from now on."""
        if self._entry.rejections is not None:
            self._entry.rejections.accepted(origin)

    async def forget(self) -> bool:
        """Drop the key and its token; see `TokenProvider.forget`."""
        return await self._keeper.forget(self.key)

    async def revoke(self) -> bool:
        """Drop the key and have its token revoked; see `TokenProvider.revoke`."""
        return await self._keeper.revoke(self.key)

    def status(self) -> KeyStatus:
        """Say how the key stands."""
        return self._keeper.status(self.key)

    def updates(self) -> Updates:
        """Iterate over the present token, then over the newest after each landing; the key stays renewed meanwhile.

        Leave the iterator with `aclose()`. It ends when the key is forgotten or the provider left.
        """
        return Updates(self.key, self.token, self._keeper.engine)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BoundSource):
            return NotImplemented
        return self._keeper is other._keeper and (self.key, self._min_ttl) == (other.key, other._min_ttl)

    def __hash__(self) -> int:
        return hash((self.key, self._min_ttl))

    def __repr__(self) -> str:
        return f"BoundSource({self.key!r})"

    def _find(self) -> Entry:
        """Find the key's entry again after it was closed; a source with a `min_ttl` stays off the fast path."""
        if self._entry.closed:
            self._entry = self._keeper.engine.asking.entry(self.key)
            self._fast = VACANT if self._min_ttl else self._entry
        return self._entry


def engine_of(source: BoundSource) -> Engine:
    """Return the engine that keeps the key of *source*."""
    return source._keeper.engine


async def outliving(source: BoundSource, min_ttl: float) -> Token:
    """Return a token of *source* with *min_ttl* seconds left at least, where one can be had."""
    return await engine_of(source).asking.token(source._find(), max(source._min_ttl, min_ttl))
