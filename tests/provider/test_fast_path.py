"""What a call for a held token does not do: counted and read from bytecode, never timed."""

from __future__ import annotations

import asyncio
import dis
import gc
import sys
from collections.abc import Coroutine, Iterator
from types import CodeType
from typing import Any

import httpx
import pytest

from tokenflight import BoundSource, ClientSecretPost, OAuthClient, Subject, TokenProvider
from tokenflight.testing import FakeTokenEndpoint

pytestmark = pytest.mark.anyio

CALLS = 100_000
STRINGS = {"FORMAT_VALUE", "BUILD_STRING", "FORMAT_SIMPLE", "FORMAT_WITH_SPEC", "CONVERT_VALUE"}


def provider(endpoint: FakeTokenEndpoint, http: httpx.AsyncClient) -> TokenProvider:
    client = OAuthClient(client_id="c", token_endpoint=endpoint.url, authentication=ClientSecretPost("s3cret-of-c"))
    return TokenProvider(client, http=http)


def outcome(call: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that must not suspend."""
    with pytest.raises(StopIteration) as finished:
        call.send(None)
    return finished.value.value


def fast_part(code: CodeType) -> Iterator[dis.Instruction]:
    """Yield what runs up to the first return: the way of a fresh token."""
    for instruction in dis.get_instructions(code):
        yield instruction
        if instruction.opname.startswith("RETURN_VALUE"):
            return
    raise AssertionError("nothing is returned")


async def test_a_held_token_is_returned_on_the_first_send():
    endpoint = FakeTokenEndpoint()
    async with httpx.AsyncClient(transport=endpoint.transport()) as http, provider(endpoint, http) as tokens:
        source = tokens.source()
        held = await source.token()
        assert await tokens.token() is held
        assert outcome(source.token()) is held
        assert outcome(tokens.token()) is held


async def test_a_hundred_thousand_calls_keep_nothing_allocated():
    endpoint = FakeTokenEndpoint()
    async with httpx.AsyncClient(transport=endpoint.transport()) as http, provider(endpoint, http) as tokens:
        source = tokens.source()
        await source.token()
        counts = []
        for calls in (10, CALLS, CALLS):
            for _ in range(calls):
                await source.token()
            gc.collect()
            counts.append(sys.getallocatedblocks())
        assert counts[2] - counts[1] < 100
        assert len(endpoint.ledger.entries) == 1


def test_the_way_of_a_fresh_token_through_a_source_awaits_locks_and_spells_nothing():
    way = list(fast_part(BoundSource.token.__code__))
    names = {
        str(instruction.argval) for instruction in way if "ATTR" in instruction.opname or "METHOD" in instruction.opname
    }
    assert not {"GET_AWAITABLE", "YIELD_VALUE", "BEFORE_WITH", "BEFORE_ASYNC_WITH"} & {i.opname for i in way[3:]}
    assert not STRINGS & {instruction.opname for instruction in way}
    assert names == {"_fast", "_now", "fresh_until", "used_at", "token"}
    assert (
        sum(
            instruction.opname.startswith(("CALL", "PRECALL")) and instruction.opname != "PRECALL"
            for instruction in way
        )
        == 1
    )


def test_the_way_of_a_fresh_token_through_the_provider_awaits_locks_and_spells_nothing():
    way = list(fast_part(TokenProvider.token.__code__))
    assert not {"GET_AWAITABLE", "YIELD_VALUE", "BEFORE_WITH", "BEFORE_ASYNC_WITH"} & {i.opname for i in way[3:]}
    assert not STRINGS & {instruction.opname for instruction in way}
    assert sum(i.opname in {"CALL", "CALL_FUNCTION_EX"} for i in way) == 1


async def test_a_source_with_a_min_ttl_stays_off_the_fast_path_and_asks_once():
    endpoint = FakeTokenEndpoint()
    async with httpx.AsyncClient(transport=endpoint.transport()) as http, provider(endpoint, http) as tokens:
        source = tokens.source(min_ttl=1.0)
        assert await source.token() is await source.token()
        assert len(endpoint.ledger.entries) == 1


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # which can list its tasks
async def test_two_tasks_stand_by_beside_the_root_task(anyio_backend):
    endpoint = FakeTokenEndpoint()
    before = len(asyncio.all_tasks())
    async with httpx.AsyncClient(transport=endpoint.transport()) as http:
        client = OAuthClient(client_id="c", token_endpoint=endpoint.url, authentication=ClientSecretPost("s3cret-of-c"))
        async with TokenProvider(client, http=http, hooks=[lambda event: None]) as tokens:
            await tokens.token()
            await asyncio.sleep(0)
            assert len(asyncio.all_tasks()) - before == 3


def test_subjects_of_one_text_and_two_types_are_two_keys():
    assert Subject("7", "user") != Subject("7", "enterprise")
    assert len({Subject("7", "user"), Subject("7", "enterprise"), Subject("7")}) == 3
