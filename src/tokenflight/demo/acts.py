"""The acts that any client shows: each lets callers loose, breaks something, and returns what was counted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import anyio

from tokenflight.demo import promises
from tokenflight.demo.clients import TENANTS
from tokenflight.demo.patience import until
from tokenflight.demo.stage import Caller, Stage
from tokenflight.demo.stream import Stream
from tokenflight.dialects import box

SECONDS: Final = 12.5
DOWN_FOR: Final = 0.6
AHEAD_OF_DUE: Final = 0.15


async def cold_callers(stage: Stage) -> promises.ColdCallers:
    """Let a thousand callers ask for one key that has no token."""
    caller = stage.orders("invoices")
    served = await all_at_once(stage, [caller] * 1000)
    await stage.told([caller])
    key = caller.source.key
    return promises.ColdCallers(
        callers=1000, served=served, requests=stage.books.requests[caller.asked], ahead=stage.tally.ahead(key)
    )


async def steady(stage: Stage) -> promises.Steady:
    """Let 200 requests a second go out over four keys, for longer than two lives of a token."""
    callers = _regulars(stage)
    began = anyio.current_time()
    stream = Stream(stage, callers)
    await stream.run(seconds=SECONDS)
    seconds = anyio.current_time() - began
    requests = {repr(caller.source.key): stage.books.requests[caller.asked] for caller in callers}
    await stage.told(callers)
    return promises.Steady(
        calls=stream.calls,
        served=stream.served,
        waits_after_first=sum(stage.tally.waits_after_first[caller.source.key] for caller in callers),
        requests=requests,
        seconds=seconds,
    )


async def outage(stage: Stage) -> promises.Outage:
    """Let the token endpoint go down just before a renewal of the same keys, while the requests go on."""
    callers = _regulars(stage)
    keys = [caller.source.key for caller in callers]
    stream = Stream(stage, callers)
    failures = sum(stage.tally.failures[key] for key in keys)
    missed, down_for = 0, 0.0
    async with stream.running():
        for _ in range(3):  # once, but for a machine so busy that the renewal came too late to meet it
            down_for = await _go_down(stage, callers)
            await until(lambda: not any(caller.source.status().failures for caller in callers), patience=4.0)
            missed = sum(stage.tally.failures[key] for key in keys) - failures
            if missed:
                break
    return promises.Outage(seconds=down_for, missed=missed, calls=stream.calls, served=stream.served)


async def revoked(stage: Stage) -> promises.Revoked:
    """Revoke every token there is while a hundred calls with ten of them are in the air."""
    callers = [stage.files(box.user(str(100 + number))) for number in range(10)]
    await all_at_once(stage, callers)
    numbers = [stage.number() for _ in range(100)]
    before = [stage.books.requests[caller.asked] for caller in callers]
    served: list[bool] = []

    async def call(position: int) -> None:
        served.append(await stage.numbered_call(callers[position % 10], numbers[position]))

    await stage.api_site.call(stage.api_turnstile.shut)
    async with anyio.create_task_group() as tasks:
        for position in range(100):
            tasks.start_soon(call, position)
        await until(lambda: stage.api_turnstile.waiting == 100)
        await stage.token_site.call(stage.books.revoke_all)
        await stage.api_site.call(stage.api_turnstile.open)
    return promises.Revoked(
        calls=100,
        served=sum(served),
        refused=sum(stage.books.unauthorized[str(number)] for number in numbers),
        sends=tuple(stage.books.sends[str(number)] for number in numbers),
        renewals=tuple(stage.books.requests[caller.asked] - old for caller, old in zip(callers, before, strict=True)),
    )


async def first_cancelled(stage: Stage) -> promises.FirstCancelled:
    """Cancel the caller who launched a request, while 99 others wait for it."""
    caller = stage.orders("invoices", organization="org_42")
    others: list[bool] = []
    first = anyio.CancelScope()

    async def launch() -> None:
        with first:
            await stage.call(caller)

    async def join() -> None:
        others.append(await stage.call(caller))

    await stage.token_site.call(stage.token_turnstile.shut)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(launch)
        await until(lambda: stage.token_turnstile.waiting == 1)
        for _ in range(99):
            tasks.start_soon(join)
        await anyio.sleep(0.2)
        first.cancel()
        await until(lambda: first.cancelled_caught)
        await stage.token_site.call(stage.token_turnstile.open)
    await stage.told([caller])
    return promises.FirstCancelled(
        cancelled=first.cancelled_caught,
        others=99,
        served=sum(others),
        requests=stage.books.requests[caller.asked],
        ahead=stage.tally.ahead(caller.source.key),
    )


async def tenants(stage: Stage) -> promises.Tenants:
    """Let two callers of each of three hundred tenants call at once."""
    stage.showing = stage.tenants
    callers = [stage.tenant(name) for name in TENANTS]
    served = await all_at_once(stage, [*callers, *callers])
    await stage.told(callers)
    keys = [caller.source.key for caller in callers]
    return promises.Tenants(
        calls=2 * len(callers),
        served=served,
        requests=tuple(stage.books.requests[caller.asked] - stage.tally.ahead(caller.source.key) for caller in callers),
        flights=tuple(stage.tally.flights(key) for key in keys),
        lookups=tuple(stage.lookups.values()),
    )


async def forms(stage: Stage) -> promises.Forms:
    """Count all token requests, and those that the authorization server refused."""
    refused = len(stage.books.refusals)
    return promises.Forms(requests=stage.books.requests.total() + refused, refused=refused)


async def all_at_once(stage: Stage, callers: Iterable[Caller]) -> int:
    """Let all of them call at once; return how many were served."""
    served: list[bool] = []

    async def call(caller: Caller) -> None:
        served.append(await stage.call(caller))

    async with anyio.create_task_group() as tasks:
        for caller in callers:
            tasks.start_soon(call, caller)
    return sum(served)


def _regulars(stage: Stage) -> list[Caller]:
    return [
        stage.orders("orders"),
        stage.orders("stock", organization="org_7"),
        stage.files(box.enterprise("1234567")),
        stage.files(box.user("987")),
    ]


async def _go_down(stage: Stage, callers: Sequence[Caller]) -> float:
    """Take the token endpoint down before the next of the callers' tokens is due; return for how long."""
    waiting = [due for caller in callers if (due := caller.source.status().due_in) is not None and due > AHEAD_OF_DUE]
    await anyio.sleep(min(waiting, default=AHEAD_OF_DUE) - AHEAD_OF_DUE)
    await stage.token_site.down()
    began = anyio.current_time()
    await anyio.sleep(DOWN_FOR)
    await stage.token_site.up()
    return anyio.current_time() - began
