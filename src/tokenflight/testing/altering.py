"""Acts that let another act happen and change what is sent of it."""

from __future__ import annotations

from collections.abc import Callable

from attrs import evolve, field, frozen

from tokenflight.testing.acts import USUAL, Act, Call
from tokenflight.testing.exchange import Pairs, Reply, pairs


@frozen
class Amend:
    """Do it, and answer with another status, with headers in place of those of the same name, or another body.

    `body` is a function of the body's bytes. So a token is issued for good, and told in a way that no client may like.
    """

    then: Act = USUAL
    status: int | None = field(default=None, kw_only=True)
    headers: Pairs = field(default=(), converter=pairs, kw_only=True, repr=False)
    body: Callable[[bytes], bytes] | None = field(default=None, kw_only=True, repr=False)

    async def perform(self, call: Call) -> Reply:
        """Answer *call*."""
        ...
        reply = await self.then.perform(call)
        replaced = {name for name, _ in self.headers}
        kept = tuple((name, value) for name, value in reply.headers if name not in replaced)
        return evolve(
            reply,
            status=reply.status if self.status is None else self.status,
            headers=(*kept, *self.headers),
            body=reply.body if self.body is None else self.body(reply.body),
        )


@frozen
class Chunked:
    """Announce no length; over a socket the body comes in chunks (RFC 9112, section 7.1), be it empty."""

    then: Act = USUAL

    async def perform(self, call: Call) -> Reply:
        """Answer *call*."""
        ...
        return evolve(await self.then.perform(call), chunked=True)
