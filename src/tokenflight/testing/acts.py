"""Acts: what a double is told to do with a request. They nest: ``Delay(2.0, Drip(Issue(expires_in=5)))``."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Collection, Mapping
from http import HTTPStatus
from typing import Any, Final, Protocol, runtime_checkable

from attrs import evolve, field, frozen

from tokenflight.testing.exchange import Drops, Fields, Pairs, Reply, Request, pairs


class Call(Protocol):
    """A request that an act is performed on, with what the double lends for it."""

    @property
    def request(self) -> Request:
        """Return the request as it came."""
        ...

    async def pause(self, seconds: float) -> None:
        """Wait on the double's clock; raises AskerGoneError where the asker leaves meanwhile."""
        ...

    async def vanish(self) -> None:
        """Wait until the asker has left, and raise AskerGoneError."""
        ...

    def usual(self) -> Reply:
        """Do the double's ordinary business."""
        ...

    def issue(self, how: Issue) -> Reply:
        """Issue a token; raises TypeError where the double is no token endpoint."""
        ...


@runtime_checkable
class Act(Protocol):
    """One thing that a double can do."""

    async def perform(self, call: Call) -> Reply:
        """Answer *call*."""
        ...


@frozen
class AsUsual:
    """Do what the double is for: issue a token, or serve who shows a live one."""

    async def perform(self, call: Call) -> Reply:
        """Answer *call*."""
        ...
        return call.usual()


USUAL: Final = AsUsual()


@frozen
class Answer:
    """Answer with *status* and *content*: bytes or str as they are, None for an empty body, anything else as JSON."""

    status: int = 200
    content: Any = field(default=None, repr=False)
    headers: Pairs = field(default=(), converter=pairs, kw_only=True, repr=False)

    async def perform(self, call: Call) -> Reply:
        """Answer *call*."""
        ...
        return self.reply()

    def reply(self) -> Reply:
        """Return the reply that this makes."""
        body, kind = _encoded(self.content)
        typed = kind is None or any(name == "content-type" for name, _ in self.headers)
        headers = self.headers if typed else (("content-type", str(kind)), *self.headers)
        return Reply(status=self.status, headers=headers, body=body)


@frozen
class Issue:
    """Validate the request and issue a token, as a token endpoint always does, but differently in detail.

    Args:
        expires_in: this token's lifetime in seconds, None for no end and no word of it; ``...`` means the endpoint's.
        fields: fields of the answer, added or put in place of the endpoint's own, wrong ones too.
        without: names of fields that the answer lacks.
        again: give the token that this key got last, with what it has left, while it lives.
        status, headers: of the answer.
    """

    expires_in: Any = field(default=..., kw_only=True)
    fields: Mapping[str, Any] = field(factory=dict, kw_only=True, repr=False)
    without: Collection[str] = field(default=(), kw_only=True)
    again: bool = field(default=False, kw_only=True)
    status: int = field(default=200, kw_only=True)
    headers: Pairs = field(default=(), converter=pairs, kw_only=True, repr=False)

    async def perform(self, call: Call) -> Reply:
        """Answer *call*."""
        ...
        return call.issue(self)


@frozen
class Delay:
    """Wait *seconds*, then go on: what happens is judged at the end of the wait."""

    seconds: float
    then: Act = USUAL

    async def perform(self, call: Call) -> Reply:
        """Answer *call*."""
        ...
        await call.pause(self.seconds)
        return await self.then.perform(call)


@frozen
class Straggle:
    """Do it at once, and keep the answer back for *seconds*."""

    seconds: float
    then: Act = USUAL

    async def perform(self, call: Call) -> Reply:
        """Answer *call*."""
        ...
        reply = await self.then.perform(call)
        await call.pause(self.seconds)
        return reply


@frozen
class Hang:
    """Take the request and never answer."""

    async def perform(self, call: Call) -> Reply:
        """Wait for the asker to leave."""
        await call.vanish()
        raise AssertionError("unreachable: vanish() raises")


@frozen
class Drip:
    """Send the body *size* bytes at a time, *pause* seconds before each; with *head*, over a socket, the head too."""

    then: Act = USUAL
    size: int = field(default=1, kw_only=True)
    pause: float = field(default=0.1, kw_only=True)
    head: bool = field(default=False, kw_only=True)

    async def perform(self, call: Call) -> Reply:
        """Answer *call*."""
        ...

        async def pause() -> None:
            await call.pause(self.pause)

        return evolve(await self.then.perform(call), drops=Drops(size=self.size, pause=pause, head=self.head))


@frozen
class Cut:
    """End the connection after *at* bytes of a body that was announced whole."""

    then: Act = USUAL
    at: int = field(default=1, kw_only=True)

    async def perform(self, call: Call) -> Reply:
        """Answer *call*."""
        ...
        return evolve(await self.then.perform(call), cut=self.at)


@frozen
class Gzip:
    """Compress the body, asked or not."""

    then: Act = USUAL

    async def perform(self, call: Call) -> Reply:
        """Answer *call*."""
        ...
        reply = await self.then.perform(call)
        return evolve(reply, body=gzip.compress(reply.body), headers=(*reply.headers, ("content-encoding", "gzip")))


@frozen
class Refuse:
    """Refuse the connection. Over a socket it is there already and gets reset; `down()` refuses for real."""

    async def perform(self, call: Call) -> Reply:
        """Answer *call* with a fault."""
        return Reply(fault="refused")


@frozen
class Reset:
    """Reset the connection, with nothing done."""

    async def perform(self, call: Call) -> Reply:
        """Answer *call* with a fault."""
        return Reply(fault="reset")


@frozen
class LoseReply:
    """Do it, and end the connection without a byte of the answer."""

    then: Act = USUAL

    async def perform(self, call: Call) -> Reply:
        """Answer *call* with a fault."""
        return evolve(await self.then.perform(call), fault="lost")


@frozen
class Raw:
    """Put *data* on the wire, be it HTTP or not, and end the connection. In memory, where no wire is: not HTTP."""

    data: bytes = field(repr=False)

    async def perform(self, call: Call) -> Reply:
        """Answer *call*."""
        ...
        return Reply(raw=self.data)


def Error(  # noqa: N802 - one of the acts
    code: str, description: str | None = None, *, status: int | None = None, headers: Fields = ()
) -> Answer:
    """Return an act that says no as RFC 6749, section 5.2 has it: 401 to `invalid_client`, else 400."""
    fields = {"error": code} if description is None else {"error": code, "error_description": description}
    return Answer(status or (401 if code == "invalid_client" else 400), fields, headers=headers)


def Throttle(retry_after: float | str | None = None, *, status: int = 429) -> Answer:  # noqa: N802 - likewise
    """Return an act that says "later" (RFC 6585, section 4): in *retry_after* seconds, or at that HTTP date."""
    when = f"{retry_after:g}" if isinstance(retry_after, int | float) else retry_after
    return Answer(status, HTTPStatus(status).phrase, headers={} if when is None else {"retry-after": when})


def Redirect(url: str, *, status: int = 307) -> Answer:  # noqa: N802 - likewise
    """Return an act that sends the asker to *url*."""
    return Answer(status, headers={"location": url})


def Unauthorized(*challenges: str, content: Any = None) -> Answer:  # noqa: N802 - likewise
    """Return an act that says 401 with one WWW-Authenticate line for each of *challenges*, none included."""
    return Answer(401, content, headers=[("www-authenticate", challenge) for challenge in challenges])


def Forbidden(scope: str = "more") -> Answer:  # noqa: N802 - likewise
    """Return an act that says 403: the token lacks *scope* (RFC 6750, section 3.1)."""
    return Answer(403, headers={"www-authenticate": f'Bearer error="insufficient_scope", scope="{scope}"'})


Script = Act | Callable[[Any], "Act | None"]
"""An act, or a function of the ledger's entry that returns one; None means business as usual."""


def _encoded(content: Any) -> tuple[bytes, str | None]:
    if content is None:
        return b"", None
    if isinstance(content, bytes):
        return content, None
    if isinstance(content, str):
        return content.encode(), "text/plain; charset=utf-8"
    return json.dumps(content).encode(), "application/json"
