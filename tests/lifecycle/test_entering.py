"""Entering and leaving: the user's tasks and the provider's have nothing to do with each other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import anyio
import pytest
from tests.kit.house import House, house

from tokenflight import ConfigurationError, ProviderClosedError, TokenFlightError, TokenRequestError
from tokenflight.testing import AsUsual, Delay, VirtualClock

pytestmark = pytest.mark.anyio


class ThrownError(Exception):
    pass


class HardError(BaseException):
    pass


async def in_a_task(call: Callable[[], Awaitable[object]]) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call)


@pytest.mark.parametrize("kind", [ThrownError, HardError, KeyboardInterrupt, SystemExit, ExceptionGroup])
async def test_what_the_body_raises_leaves_as_it_is(kind: type[BaseException]) -> None:
    at = house()
    error = ExceptionGroup("its own", [ThrownError()]) if kind is ExceptionGroup else kind("why")
    try:
        async with at.provider:
            await at.get()
            raise error
    except kind as caught:
        assert caught is error  # noqa: PT017 - pytest.raises would keep it from being seen as it left
    assert error.__cause__ is None
    assert error.__context__ is None


async def test_a_cancelled_body_is_cancelled_and_nothing_else() -> None:
    at, after = house(), []
    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope() as scope:
            async with at.provider:
                scope.cancel()
                await anyio.sleep_forever()
        after.append(scope.cancelled_caught)
        tasks.cancel_scope.cancel()
    assert after == [True]


async def test_entered_in_one_task_and_left_in_another_while_a_third_asks() -> None:
    at, tokens = house(), []

    async def ask() -> None:
        tokens.append(await at.get())

    await in_a_task(at.provider.__aenter__)
    await in_a_task(ask)
    await in_a_task(lambda: at.provider.__aexit__(None, None, None))
    assert len(tokens) == 1
    with pytest.raises(ProviderClosedError):
        await at.get("other")


async def test_the_scope_in_which_it_was_entered_may_be_cancelled() -> None:
    at = house()
    with anyio.CancelScope() as scope:
        await at.provider.__aenter__()
        scope.cancel()
    assert (await at.get()).access_token
    await at.provider.__aexit__(None, None, None)


async def test_an_exit_stack_is_closed_by_a_sibling_task() -> None:
    at, stack, entered = house(), AsyncExitStack(), anyio.Event()

    async def enter() -> None:
        await stack.enter_async_context(at.provider)
        assert (await at.get()).access_token
        entered.set()
        with pytest.raises(ProviderClosedError):
            await at.get("late")

    async def close() -> None:
        at.endpoint.script(AsUsual(), Delay(5.0))
        await entered.wait()
        await at.clock.settle()
        await stack.aclose()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(enter)
        tasks.start_soon(close)
    assert at.quiet()


async def test_two_providers_are_left_in_the_wrong_order() -> None:
    first, second = house(), house()
    await first.provider.__aenter__()
    await second.provider.__aenter__()
    await first.provider.__aexit__(None, None, None)
    assert (await second.get()).access_token
    await second.provider.__aexit__(None, None, None)
    assert first.quiet()
    assert second.quiet()


async def test_a_provider_inside_another_ones_block_does_not_end_it() -> None:
    outer, inner = house(), house()
    async with outer.provider:
        with pytest.raises(ThrownError):
            async with inner.provider:
                raise ThrownError
        assert (await outer.get()).access_token


@pytest.mark.parametrize("steps", [0, 1])
async def test_entering_that_is_cancelled_half_way_leaves_nothing_and_may_be_repeated(steps: int) -> None:
    at = house()
    entering = at.provider.__aenter__()
    with anyio.CancelScope() as scope:
        if not steps:
            scope.cancel()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_cancel, scope)
            await entering
    assert not at.state.entered or at.state.open
    if at.state.open:
        await at.provider.__aexit__(None, None, None)
    async with at.provider:
        assert (await at.get()).access_token


async def _cancel(scope: anyio.CancelScope) -> None:
    scope.cancel()


async def test_left_in_a_cancelled_scope_it_leaves_no_task_behind() -> None:
    at = house()
    at.endpoint.hang()
    await at.provider.__aenter__()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_closed_error, at, "orders")
        await at.clock.settle()
        with anyio.CancelScope() as scope:
            scope.cancel()
            await at.provider.__aexit__(None, None, None)
    assert at.quiet()
    assert not at.state.entered


async def test_everybody_who_waits_at_leaving_gets_a_provider_closed_error() -> None:
    at = house()
    at.endpoint.hang()
    async with anyio.create_task_group() as tasks, at.provider:
        for number in range(100):
            tasks.start_soon(_closed_error, at, f"api-{number % 7}")
        await at.clock.settle()
        assert len(at.endpoint.ledger) == 7
    assert at.quiet()


async def _closed_error(at: House, audience: str) -> None:
    with pytest.raises(ProviderClosedError, match=r"ask again$") as caught:
        await at.get(audience)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


async def test_a_flight_that_shields_itself_holds_up_leaving_for_the_grace_and_its_waiters_not_longer() -> None:
    release = anyio.Event()

    async def stubborn(name: str) -> None:
        with anyio.CancelScope(shield=True):
            await release.wait()

    at = house(stubborn, shutdown_grace=0.05)
    await at.provider.__aenter__()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_closed_of_client, at)
        await at.clock.settle()
        await at.clock.run(at.provider.__aexit__, None, None, None)
        await at.clock.settle()
        assert not at.state.flights
        release.set()


async def _closed_of_client(at: House) -> None:
    with pytest.raises(ProviderClosedError):
        await at.provider.token("tenant")


async def test_leaving_twice_or_without_having_entered_does_nothing() -> None:
    at = house()
    await at.provider.__aexit__(None, None, None)
    async with at.provider:
        pass
    await at.provider.__aexit__(None, None, None)
    assert not at.state.entered


async def test_what_was_fetched_is_there_when_it_is_entered_again() -> None:
    at = house()
    async with at.provider:
        token = await at.get()
    assert await at.get() is token
    async with at.provider:
        assert await at.get() is token
    assert len(at.endpoint.ledger) == 1


async def test_entered_again_it_renews_ahead_what_is_in_use() -> None:
    at = house(expires_in=100)
    async with at.provider:
        token = await at.get()
    async with at.provider:
        await at.get()
        await at.clock.advance(90)
        await at.get()
        await at.clock.settle()
        assert await at.get() is not token
    assert len(at.endpoint.ledger) == 2


async def test_entered_twice_at_once_is_an_error_that_says_what_to_do() -> None:
    at = house()
    async with at.provider:
        with pytest.raises(ConfigurationError, match=r"enter it once, and share it with who needs it$"):
            await at.provider.__aenter__()
        assert (await at.get()).access_token


@pytest.mark.parametrize("left", [False, True])
async def test_not_entered_or_left_whatever_must_start_something_says_what_to_do(left: bool) -> None:
    at = house(expires_in=None)
    if left:
        async with at.provider:
            pass
    source = at.provider.source(audience="orders")
    for call in (at.get, source.token, source.renew, at.provider.renew, source.updates().__anext__):
        with pytest.raises(ProviderClosedError, match=r"put `async with provider:` around whatever asks for tokens$"):
            await call()
    assert not at.endpoint.ledger.entries


async def test_source_and_auth_are_made_before_entering_and_work_after() -> None:
    at = house()
    source, auth = at.provider.source(audience="orders"), at.provider.auth(audience="orders")
    async with at.provider:
        assert (await source.token()).access_token
    assert auth is not None


async def test_nobody_waits_at_entering_though_the_endpoint_hangs_and_keys_are_pinned() -> None:
    at = house()
    at.endpoint.hang()
    at.provider.source(audience="orders", keep_warm=True)
    before = at.clock.now()
    async with at.provider:
        assert at.clock.now() == before
        await at.clock.settle()
        assert len(at.endpoint.ledger) == 1
    assert at.quiet()


async def test_a_clock_that_serves_two_loops_is_no_excuse_for_a_task_left_behind() -> None:
    at = house()
    async with at.provider:
        await at.get()
    assert isinstance(at.clock, VirtualClock)
    assert at.clock.pending == 0


async def test_leaving_from_a_task_that_waits_for_a_token_itself() -> None:
    at = house()
    at.endpoint.hang()
    errors: list[TokenFlightError] = []

    async def ask() -> None:
        try:
            await at.get()
        except TokenFlightError as error:
            errors.append(error)

    async with anyio.create_task_group() as tasks:
        await at.provider.__aenter__()
        tasks.start_soon(ask)
        await at.clock.settle()
        tasks.start_soon(at.provider.__aexit__, None, None, None)
        tasks.start_soon(at.provider.__aexit__, None, None, None)
    assert [type(error) for error in errors] == [ProviderClosedError]
    assert not isinstance(errors[0], TokenRequestError)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_native_cancellation_of_leaving_leaves_no_task_behind(anyio_backend: str) -> None:
    at = house()
    at.endpoint.hang()
    before = asyncio.all_tasks()
    await at.provider.__aenter__()
    at.provider.source(audience="orders", keep_warm=True)
    await at.clock.settle()
    leaving = asyncio.ensure_future(at.provider.__aexit__(None, None, None))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    await at.clock.settle()
    assert asyncio.all_tasks() == before
    assert at.quiet()
