"""One exchange with a server: what comes back, or why nothing did, as values.

No exception of httpx, httpcore, h11 or ssl leaves this module: their texts and attributes may hold headers and forms.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any, Final

import anyio.lowlevel
import httpx
from attrs import evolve, frozen

from tokenflight.errors import ConfigurationError, MalformedResponseError
from tokenflight.model.clock import Clock
from tokenflight.model.failure import Failure
from tokenflight.protocol.wire import TokenAnswer
from tokenflight.transport.causes import Asked, failure_of, redirected

MAX_ANSWER: Final = 1024 * 1024
"""How many bytes of an answer are read; a token response has a few hundred."""

_CLOSING: Final = 1.0
"""Seconds that closing an answer may take; a transport that needs longer is left to itself."""

_MAX_LEFT_OVER: Final = 64
"""How many parts a closed answer may still bring: what was received before, and no more."""


@frozen(kw_only=True, repr=False)
class Outgoing:
    """A request as it goes out: nothing is added to it."""

    asked: Asked
    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes = b""


async def exchange(
    http: httpx.AsyncClient, request: Outgoing, *, clock: Clock, deadline: float
) -> TokenAnswer | Failure:
    """Make one exchange, which ends when `clock.now()` reaches *deadline*; return the answer, or why there is none.

    Nothing of the client but its transport and hooks takes part: no auth, header, cookie, parameter, redirect or
    timeout of its own. Raises only an AssertionError of the transport, which belongs to the test that mocks it.
    """
    if http.is_closed:
        return _CLIENT_CLOSED
    connecting, failure = _Connecting(), failure_of(TimeoutError(), request.asked)
    with clock.timeout_at(deadline):
        try:
            return await _exchange(http, request, connecting, clock=clock, left=deadline - clock.now())
        except AssertionError:
            raise
        except Exception as error:  # a transport may raise anything; all of it becomes a value
            failure = failure_of(error, request.asked)
    return evolve(failure, lost=connecting.answering or connecting.lost(failure.reason))


class _Connecting:
    """Follow a connection that is being made, so that none is left behind where its maker is cancelled.

    httpcore closes a socket when TLS fails on it, not when TLS is cancelled on it: asyncio would keep it open for as
    long as the server does. And a connection whose maker is cancelled between its last step and its first
    request stays in httpcore's pool as new for ever; beyond twenty of these no idle one is kept. So a cancellation is
    let in at the end of each step, where httpcore still counts the connection as failed.
    Called by httpcore as its `trace`; other transports do not call it.
    """

    __slots__ = ("_followed", "_loose", "_stream", "answering", "sent")

    def __init__(self) -> None:
        self._stream: Any = None
        self._loose = self._followed = self.sent = self.answering = False

    async def __call__(self, event: str, info: dict[str, Any]) -> None:
        self._followed = True
        step = event.rpartition(".")[0].rpartition(".")[2]
        if step in {"connect_tcp", "connect_unix_socket", "start_tls"}:
            self._stream = info.get("return_value", self._stream)
            self._loose = True
            if event.endswith(".complete"):
                await anyio.lowlevel.checkpoint_if_cancelled()
        elif step == "send_request_headers":
            self._loose = False
            # A proxy is asked for a way first, which is no request yet.
            self.sent |= getattr(info.get("request"), "method", b"CONNECT") != b"CONNECT"

    def lost(self, reason: str) -> bool:
        """Tell whether what failed for *reason*, before an answer began, may have reached the server."""
        return self.sent if self._followed else reason not in _BEFORE_SENDING

    async def aclose(self) -> None:
        if self._loose and self._stream is not None:
            await self._stream.aclose()


async def _exchange(
    http: httpx.AsyncClient, request: Outgoing, connecting: _Connecting, *, clock: Clock, left: float
) -> TokenAnswer | Failure:
    outgoing = _outgoing(request, pool=_pool_timeout(http, left), trace=connecting)
    try:
        response = await http.send(outgoing, stream=True, auth=None, follow_redirects=False)
    except BaseException:
        await close(connecting, clock)
        raise
    connecting.answering = True
    try:
        return await _read(response, request.asked)
    except (httpx.NetworkError, httpx.RemoteProtocolError) as error:
        return evolve(failure_of(error, request.asked, answering=True), lost=True)
    finally:
        await close(response, clock)


class _Form(httpx.AsyncByteStream):
    """A body in one part, for as many sends as a transport makes of it.

    Its iterator is no generator: a cancelled write would leave that suspended, which trio warns of.
    """

    def __init__(self, form: bytes) -> None:
        self._form = form

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _Once(self._form)


class _Once:
    def __init__(self, part: bytes) -> None:
        self._parts = [part]

    def __aiter__(self) -> _Once:
        return self

    async def __anext__(self) -> bytes:
        if not self._parts:
            raise StopAsyncIteration
        return self._parts.pop()


def _outgoing(request: Outgoing, *, pool: float | None, trace: _Connecting) -> httpx.Request:
    """Build the request without the client's help, which would add its headers, cookies and parameters."""
    timeouts = {"connect": None, "read": None, "write": None, "pool": pool}
    outgoing = httpx.Request(
        request.method,
        request.url,
        headers=dict(request.headers),
        content=request.body,
        extensions={"timeout": timeouts, "trace": trace},
    )
    outgoing.stream = _Form(request.body)
    return outgoing


def _pool_timeout(http: httpx.AsyncClient, left: float) -> float:
    """Return how long to wait for a place in the pool: not all there is, to tell a crowd from a slow server."""
    half = max(left / 2, 0.0)
    return half if http.timeout.pool is None else min(http.timeout.pool, half)


async def _read(response: httpx.Response, asked: Asked) -> TokenAnswer | Failure:
    """Read an answer within the limits. One that breaks them is still judged by its status where that says no."""
    status = response.status_code
    if 300 <= status < 400:
        return redirected(asked, status)
    headers = {name: value for name, value in response.headers.items() if name != "set-cookie"}
    if headers.get("content-encoding", "").strip().lower() not in {"", "identity"}:
        trouble, body = "encoded", b""
    else:
        trouble, body = await _body(response)
    if trouble and 200 <= status < 300:
        return Failure(
            error=MalformedResponseError,
            reason=trouble,
            detail=f"{asked.name} sent {_TROUBLES[trouble]}",
            counts=True,
            status=status,
            lost=True,
        )
    return TokenAnswer(status=status, headers=headers, body=body)


async def _body(response: httpx.Response) -> tuple[str, bytes]:
    """Return the bytes as they came, or `too_large` and none."""
    if response.is_stream_consumed:  # by a test's double, which is made of what it says, or by a hook of the user's
        content = response.content
        return ("too_large", b"") if len(content) > MAX_ANSWER else ("", content)
    body, stream = bytearray(), response.aiter_raw()
    async for part in stream:
        body += part
        if len(body) > MAX_ANSWER:
            await _unwind(response, stream)
            return "too_large", b""
    return "", bytes(body)


async def _unwind(response: httpx.Response, stream: AsyncIterator[bytes]) -> None:
    """End a body that is not read on: closed first, it fails at the next read, which ends each generator it passes.

    Left as they are, all generators between here and the socket would be finalized one by one, with a warning each.
    """
    await response.aclose()
    with suppress(Exception):
        for _ in range(_MAX_LEFT_OVER):
            await anext(stream)


async def close(what: _Connecting | httpx.Response | httpx.AsyncClient, clock: Clock) -> None:
    """Close, even where this task is being cancelled; a failure to close is no failure of the exchange."""
    with clock.timeout_at(clock.now() + _CLOSING) as scope:
        scope.shield = True
        with suppress(Exception):
            await what.aclose()


_BEFORE_SENDING: Final = frozenset({"connect", "dns", "tls", "pool", "proxy", "request", "redirected", "transport"})
"""Reasons that say that nothing was sent, for transports that do not tell."""

_TROUBLES: Final = {
    "encoded": "an encoded body although it was asked for none",
    "too_large": f"more than {MAX_ANSWER} bytes",
}

_CLIENT_CLOSED: Final = Failure(
    error=ConfigurationError,
    reason="client_closed",
    detail="the http client that the provider was given is closed: keep it open for as long as the provider is entered",
    transient=False,
)
