from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import anyio
import httpx
import pytest
import trio
from tests.kit.bodies import parts
from tests.kit.watch import Watch

from tokenflight import (
    Audience,
    ConfigurationError,
    EndpointUnreachableError,
    InvalidClientError,
    ProviderClosedError,
    Subject,
    SubjectToken,
    Token,
    TokenEndpointError,
    TokenProvider,
)
from tokenflight.dialects import box
from tokenflight.model.events import FlightLaunched
from tokenflight.testing import (
    FakeProvider,
    FakeTokenEndpoint,
    Hang,
    ProtectedApp,
    Refuse,
    Reset,
    Throttle,
    VirtualClock,
    fake_provider,
)

pytestmark = pytest.mark.anyio

Call = Callable[[FakeProvider], Awaitable[Any]]


@pytest.fixture
def tokens() -> FakeProvider:
    return fake_provider()


async def test_it_is_a_provider_and_any_client_name_resolves_and_none(tokens: FakeProvider) -> None:
    assert isinstance(tokens, TokenProvider)
    first = await tokens.token()
    assert await tokens.token() is first
    assert (await tokens.token("orders")).header != first.header
    assert [entry.client for entry in tokens.ledger] == ["default", "orders"]


@pytest.mark.parametrize(
    "asked",
    [
        {"subject": "me"},
        {"subject": box.user("7")},
        {"audience": "https://api.test"},
        {"audience": Audience("https://api.test", "resource")},
        {"audience": box.file("7")},
        {"scope": "a b"},
        {"subject": Subject("me", "person"), "audience": "https://api.test", "scope": ["a"], "min_ttl": 60.0},
    ],
    ids=["a str", "a user", "an API", "a resource", "a file", "a scope", "all at once"],
)
async def test_whatever_is_asked_for_counts_and_has_a_token_of_its_own(
    tokens: FakeProvider, asked: dict[str, Any]
) -> None:
    plain = await tokens.token("files")
    token = await tokens.token("files", **asked)
    assert token.header != plain.header
    assert await tokens.token("files", **asked) == token
    assert tokens.endpoint.is_live(token)
    assert len(tokens.ledger) == 2


async def test_it_is_its_own_override_of_a_dependency(tokens: FakeProvider) -> None:
    assert tokens() is tokens


async def test_a_source_and_an_auth_work_without_entering(tokens: FakeProvider) -> None:
    api = ProtectedApp(tokens.endpoint)
    source = tokens.source("orders", audience="https://api.test")
    async with httpx.AsyncClient(transport=api.transport(), auth=tokens.auth("orders")) as http:
        assert (await http.get(api.url)).status_code == 200
    assert await source.token() is await tokens.token("orders", audience="https://api.test")
    assert len(tokens.ledger) == 2


async def test_entered_it_renews_ahead_as_any_provider(tokens: FakeProvider) -> None:
    clock = VirtualClock()
    events: list[Any] = []
    tokens = fake_provider(FakeTokenEndpoint(expires_in=10.0, clock=clock), hooks=[events.append])
    async with tokens as entered:
        assert entered is tokens
        first = await tokens.token()
        await tokens.token()
        await clock.advance(9.0)
        assert (await tokens.token()).header != first.header
    assert [event.trigger for event in events if isinstance(event, FlightLaunched)] == ["call", "schedule"]


async def test_it_may_be_entered_twice_and_goes_on_until_the_last_one_leaves(tokens: FakeProvider) -> None:
    async with tokens:
        async with tokens:
            await tokens.token()
        updates = tokens.source().updates()
        assert (await anext(updates)).header
        await updates.aclose()
    assert (await tokens.token("other")).header


async def test_callers_without_entering_share_a_flight_and_any_of_them_may_leave(tokens: FakeProvider) -> None:
    clock = VirtualClock()
    endpoint = FakeTokenEndpoint(clock=clock)
    tokens = fake_provider(endpoint)
    endpoint.hang()
    got: list[Token] = []

    async def call(scope: anyio.CancelScope) -> None:
        with scope:
            got.append(await tokens.token())

    async with anyio.create_task_group() as callers:
        scopes = [anyio.CancelScope() for _ in range(10)]
        for scope in scopes:
            callers.start_soon(call, scope)
        await clock.settle()
        assert len(tokens.ledger) == 1
        for scope in scopes:
            scope.cancel()
    endpoint.up()
    assert got == []
    assert (await tokens.token()).header


def test_it_lives_through_one_loop_after_another(tokens: FakeProvider) -> None:
    got = [asyncio.run(tokens.token()), trio.run(tokens.token), asyncio.run(tokens.token()), anyio.run(tokens.token)]

    assert len({token.header for token in got}) == 1
    tokens.expire()
    assert asyncio.run(tokens.token()).header != got[0].header


def test_a_loop_that_ended_in_the_middle_of_a_call_spoils_nothing(tokens: FakeProvider, watch: Watch) -> None:
    watch.waive("tasks", because="the loop ends while a call waits")
    tokens.fail(Hang())

    async def leave() -> None:
        task = asyncio.ensure_future(tokens.token())
        await asyncio.sleep(0.01)
        assert not task.done()

    asyncio.run(leave())
    tokens.recover()
    assert asyncio.run(tokens.token()).header


async def test_another_loop_beside_an_entered_one_is_told_so(tokens: FakeProvider) -> None:
    async with tokens:
        held = await tokens.token()
        assert await anyio.to_thread.run_sync(anyio.run, tokens.token) is held
        with pytest.raises(ProviderClosedError, match="another loop"):
            await anyio.to_thread.run_sync(anyio.run, tokens.token, "new")
        with pytest.raises(ConfigurationError, match="entered already"):
            await anyio.to_thread.run_sync(anyio.run, tokens.__aenter__)
        assert (await tokens.token("new")).header


@pytest.mark.parametrize(
    ("error", "kind", "reason", "transient"),
    [
        ("temporarily_unavailable", TokenEndpointError, "temporarily_unavailable", True),
        ("invalid_client", InvalidClientError, "invalid_client", False),
        ("invalid_scope", TokenEndpointError, "invalid_scope", False),
        (Refuse(), EndpointUnreachableError, "connect", True),
        (Reset(), EndpointUnreachableError, "reset", True),
        (Throttle(5), TokenEndpointError, "http_429", True),
    ],
)
async def test_requests_fail_until_it_recovers(
    tokens: FakeProvider, error: Any, kind: type[TokenEndpointError], reason: str, transient: bool
) -> None:
    held = await tokens.token("held")
    tokens.fail(error)
    for _ in range(5):
        with pytest.raises(kind) as caught:
            await tokens.token()
        assert (caught.value.reason, caught.value.transient) == (reason, transient)
    assert await tokens.token("held") is held
    tokens.recover()
    assert (await tokens.token()).header
    assert (await tokens.renew("held")).header != held.header


async def test_a_few_requests_may_fail(tokens: FakeProvider) -> None:
    tokens.fail(Reset(), times=2)
    for name in ("a", "b"):
        with pytest.raises(EndpointUnreachableError):
            await tokens.token(name)
    assert (await tokens.token("c")).header
    assert len(tokens.ledger) == 3


async def test_the_next_request_alone_fails_and_the_next_call_is_good(tokens: FakeProvider) -> None:
    tokens.fail(times=1)
    with pytest.raises(TokenEndpointError):
        await tokens.token()
    await anyio.sleep(0.005)
    assert (await tokens.token()).header


@pytest.mark.parametrize("lifetime", [3600, None])
async def test_expired_tokens_are_fetched_anew_and_refused_by_the_api(lifetime: float | None) -> None:
    tokens = fake_provider(FakeTokenEndpoint(expires_in=lifetime))
    held = [await tokens.token(name) for name in ("a", "b")]
    tokens.source("empty")
    assert tokens.expire() == 2
    assert not any(tokens.endpoint.is_live(token) for token in held)
    assert {status.verdict for status in tokens.status()} == {"expired"}
    assert (await tokens.token("a")).header != held[0].header
    tokens.fail()
    with pytest.raises(TokenEndpointError):
        await tokens.token("b")


@pytest.mark.parametrize("entered", [False, True])
async def test_revoked_tokens_are_refused_by_the_api_and_healed_by_the_auth(
    tokens: FakeProvider, entered: bool
) -> None:
    api = ProtectedApp(tokens.endpoint)
    async with httpx.AsyncClient(transport=api.transport(), auth=tokens.auth()) as http:
        if entered:
            await tokens.__aenter__()
        assert (await http.get(api.url)).status_code == 200
        assert tokens.revoke_all() == 1
        assert (await http.get(api.url)).status_code == 200
        assert tokens.revoke_all() == 1
        assert (await http.post(api.url, content=parts())).status_code == 401
        await anyio.wait_all_tasks_blocked()
        assert (await http.post(api.url, content=parts())).status_code == 200
        if entered:
            await tokens.__aexit__(None, None, None)
    assert [entry.status for entry in api.ledger] == [200, 401, 200, 401, 200]
    assert len(tokens.ledger) == 3


async def test_a_refusal_of_a_token_that_is_not_held_costs_nothing(tokens: FakeProvider) -> None:
    source = tokens.source()
    held = await source.token()
    source.reject(Token("another"))
    assert await source.token() is held


@pytest.mark.parametrize(
    "call",
    [
        lambda tokens: tokens.renew(),
        lambda tokens: tokens.source().renew(),
        lambda tokens: tokens.warm_up(tokens.source()),
        lambda tokens: tokens.source(keep_warm=True).token(),
        lambda tokens: tokens.source(min_ttl=60).token(),
    ],
    ids=["renew", "source.renew", "warm_up", "keep_warm", "min_ttl"],
)
async def test_each_call_works_without_entering(tokens: FakeProvider, call: Call) -> None:
    await call(tokens)
    assert len(tokens.ledger) == 1
    assert await tokens.forget()
    assert not await tokens.forget()
    assert tokens.status() == ()


async def test_in_virtual_time_a_fault_takes_none_of_yours() -> None:
    clock = VirtualClock()
    tokens = fake_provider(FakeTokenEndpoint(clock=clock))
    tokens.fail(Hang())
    with pytest.raises(EndpointUnreachableError):
        await clock.run(partial(tokens.token))


async def test_subjects_known_by_tokens_are_told_apart_and_move_on_with_their_source(tokens: FakeProvider) -> None:
    first, other = SubjectToken("a-bearer"), SubjectToken("another")
    token = await tokens.token(subject=first)
    assert await tokens.token(subject=SubjectToken("a-bearer")) is token
    assert (await tokens.token(subject=other)).header != token.header
    child = SubjectToken(tokens.source("parent"))
    assert (await tokens.token("child", subject=child)).header != token.header
    assert [entry.client for entry in tokens.ledger] == ["default", "default", "parent", "child"]
    assert "a-bearer" not in str([entry.form for entry in tokens.ledger])
