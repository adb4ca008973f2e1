"""Carriers: the http clients that present a certificate, each for as long as it is the current one."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio.to_thread
from attrs import define, evolve, field

from tokenflight.model.clock import Clock
from tokenflight.model.failure import Failure
from tokenflight.protocol.wire import TokenAnswer, TokenRequest
from tokenflight.transport.certificates import Identity, KeyPair, read_identity
from tokenflight.transport.endpoint import send, token_client
from tokenflight.transport.exchange import close

if TYPE_CHECKING:
    import httpx

MAX_CARRIERS: Final = 64
"""How many certificates have a client of their own at once; each takes 0.7 MB and, to be made, 20 ms of a thread."""

PATIENCE: Final = 10.0
"""Seconds for which a certificate goes on being presented while its files are of no use: they are written in turn."""

HINTS: Final = {
    "reset": "check the client certificate: many servers refuse one by breaking the connection off",
    "tls": (
        "check the certificates, the server's and the client's; for a private authority pass "
        "http=httpx.AsyncClient(verify=context), whose context presents the client's, and MutualTLS()"
    ),
}
"""What a failure of the wire may mean for a client that authenticates by its certificate."""


@define(eq=False, kw_only=True)
class Carrier:
    """A way to the endpoint: one http client, and whether a certificate that it presents is what counts there.

    One that is retired takes no new exchange, and closes when its last one has ended.
    """

    http: httpx.AsyncClient
    certified: bool = False
    identity: Identity | None = None
    in_the_air: int = 0
    retired: bool = False

    @property
    def fingerprint(self) -> bytes:
        """Return what stands for the certificate that is presented here, if there is one."""
        return b"" if self.identity is None else self.identity.fingerprint

    async def send(
        self, request: TokenRequest, *, clock: Clock, deadline: float, endpoint: str = "token"
    ) -> TokenAnswer | Failure:
        """Make one exchange as `endpoint.send` does; a failure tells where the certificate may be why."""
        self.in_the_air += 1
        try:
            answer = await send(self.http, request, clock=clock, deadline=deadline, endpoint=endpoint)
        finally:
            self.in_the_air -= 1
            await self._close_when_done(clock)
        if self.certified and isinstance(answer, Failure):
            return evolve(answer, hint=HINTS.get(answer.reason, answer.hint))
        return answer

    async def retire(self, clock: Clock) -> None:
        """Let what is in the air end, and then close."""
        self.retired = True
        await self._close_when_done(clock)

    async def _close_when_done(self, clock: Clock) -> None:
        if self.retired and not self.in_the_air:
            await close(self.http, clock)


@define(eq=False)
class _Slot:
    """The place of one certificate: who presents it now, who is asking for that, and since when it is broken."""

    turn: anyio.Lock = field(factory=anyio.Lock)
    carrier: Carrier | None = None
    asking: int = 0
    broken_since: float | None = None

    @property
    def busy(self) -> bool:
        return bool(self.asking or (self.carrier and self.carrier.in_the_air))


class Carriers:
    """One carrier for each certificate, shared by all who present it; the longest unused makes room."""

    def __init__(self, limit: int = MAX_CARRIERS) -> None:
        self._limit = limit
        self._slots: dict[object, _Slot] = {}
        self._former: set[Carrier] = set()

    def __repr__(self) -> str:
        return f"Carriers({len(self._slots)} certificates)"

    async def carrier(self, pair: KeyPair, clock: Clock) -> Carrier | Failure:
        """Return who presents what the files hold now; a Failure where they are of no use.

        To be sent through before anything else is awaited: an idle carrier may be closed.
        """
        name = pair.name
        await self._make_room(name, clock)
        slot = self._slots.pop(name) if name in self._slots else _Slot()
        self._slots[name] = slot  # last, for they are in the order of their use
        slot.asking += 1
        try:
            async with slot.turn:
                return await self._current(slot, pair, clock)
        finally:
            slot.asking -= 1

    async def aclose(self) -> None:
        """Close every client, and what is in the air with it."""
        carriers = [*self._former, *(slot.carrier for slot in self._slots.values() if slot.carrier)]
        self._slots.clear()
        self._former.clear()
        for carrier in carriers:
            with suppress(Exception):
                await carrier.http.aclose()

    async def _current(self, slot: _Slot, pair: KeyPair, clock: Clock) -> Carrier | Failure:
        before = slot.carrier
        known = None if before is None else before.identity
        read = await anyio.to_thread.run_sync(partial(read_identity, pair, known), abandon_on_cancel=True)
        if isinstance(read, Failure):
            now = clock.now()
            slot.broken_since = now if slot.broken_since is None else slot.broken_since
            return read if before is None or now >= slot.broken_since + PATIENCE else before
        slot.broken_since = None
        if before is not None and before.identity is read:
            return before
        slot.carrier = Carrier(http=token_client(read.context), certified=True, identity=read)
        await self._retire([before], clock)
        return slot.carrier

    async def _retire(self, carriers: Iterable[Carrier | None], clock: Clock) -> None:
        """Let carriers close when they are idle; known until then, so that leaving closes what a cancellation left."""
        leaving = [carrier for carrier in carriers if carrier is not None]
        self._former = {each for each in self._former if not each.http.is_closed}.union(leaving)
        for carrier in leaving:
            await carrier.retire(clock)

    async def _make_room(self, name: object, clock: Clock) -> None:
        """Close the longest unused where there are too many; one that is in use stays."""
        if name in self._slots:
            return
        idle = [each for each, slot in self._slots.items() if not slot.busy]
        leaving = [self._slots.pop(each) for each in idle[: max(0, len(self._slots) + 1 - self._limit)]]
        await self._retire([slot.carrier for slot in leaving], clock)
