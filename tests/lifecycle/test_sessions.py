"""Sessions over loops that end, well or badly: a refresh that nobody heard the end of is in doubt, and no more."""

from __future__ import annotations

import asyncio
import gc

import anyio
import httpx
import pytest
from anyio.lowlevel import checkpoint
from tests.kit.rotating import RotatingServer, Swallow, app
from tests.kit.watch import Watch

from tokenflight import SessionLostError, Token, TokenProvider
from tokenflight.testing import Act, Hang


def made(grace: float) -> tuple[TokenProvider, RotatingServer]:
    server = RotatingServer(grace=grace)
    return TokenProvider(app(grace), http=httpx.AsyncClient(transport=server.transport())), server


async def seen(server: RotatingServer, requests: int) -> None:
    while len(server.ledger) < requests:
        await checkpoint()


async def again(provider: TokenProvider) -> Token:
    async with provider:
        return await provider.token(subject="ann")


@pytest.mark.parametrize("act", [Hang(), Swallow()])
@pytest.mark.parametrize("grace", [0.0, 30.0])
def test_a_loop_that_is_closed_under_a_refresh_leaves_it_in_doubt_and_the_next_goes_on(grace: float, act: Act) -> None:
    provider, server = made(grace)
    server.ledger.waive("flights", because="what was in the air when its loop was closed stays there for ever")
    loop = asyncio.new_event_loop()

    async def never_left() -> None:
        await provider.__aenter__()
        await provider.sessions.adopt(subject="ann", refresh_token=server.login())
        server.script(act)
        asyncio.ensure_future(provider.token(subject="ann")).add_done_callback(lambda _: None)
        await seen(server, 1)
        await asyncio.sleep(0)

    loop.run_until_complete(never_left())
    loop.close()
    if grace or isinstance(act, Hang):
        assert server.is_live(asyncio.run(again(provider)))
    else:
        with pytest.raises(SessionLostError) as caught:
            asyncio.run(again(provider))
        assert caught.value.ambiguous
    assert len(server.ledger) == 2


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_one_that_ends_under_a_refresh_breaks_it_off(backend: str, watch: Watch) -> None:
    watch.waive("tasks", because="its loop ends under it")
    provider, server = made(30.0)

    async def never_left() -> None:
        await provider.__aenter__()
        await provider.sessions.adopt(subject="ann", refresh_token=server.login())
        server.script(Swallow())
        provider.source(subject="ann", keep_warm=True)
        await seen(server, 1)

    anyio.run(never_left, backend=backend)
    with pytest.warns(ResourceWarning, match="entered and never left"):  # noqa: PT031 - whichever comes first
        assert server.is_live(anyio.run(again, provider, backend=backend))
        gc.collect()
    assert server.family().reuses == 0


def test_a_session_goes_on_from_loop_to_loop() -> None:
    provider, server = made(0.0)

    async def adopt() -> None:
        async with provider:
            await provider.sessions.adopt(subject="ann", refresh_token=server.login())

    async def renew() -> Token:
        async with provider:
            return await provider.token(subject="ann", min_ttl=0) if not server.ledger else await renewed()

    async def renewed() -> Token:
        await provider.forget(subject="ann")
        return await provider.token(subject="ann")

    asyncio.run(adopt())
    for number in range(6):
        assert server.is_live(anyio.run(renew, backend=("asyncio", "trio")[number % 2]))
    assert (server.family().generations, server.family().reuses) == (6, 0)
