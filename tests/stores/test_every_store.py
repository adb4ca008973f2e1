"""What the contract promises, of every store."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import anyio
import pytest
from attrs import evolve

from tokenflight.model.key import Subject, TokenKey
from tokenflight.model.token import Token
from tokenflight.stores import Record, Store, TokenRecord
from tokenflight.stores.contract import SCHEMA, record_name

pytestmark = pytest.mark.anyio

NAME = record_name(["a"])
OTHER = record_name(["b"])


def record(generation: int = 1, *, value: str = "canary-token", schema: int = SCHEMA) -> Record:
    token = Token(value, expires_in=60, issued_at=datetime(2026, 1, 1, tzinfo=UTC), scope="read write", extra={"n": 1})
    key = TokenKey(client="orders", subject=Subject("canary-subject"), scope=frozenset({"read", "write"}))
    return TokenRecord(
        schema=schema, generation=generation, key=key, token=token, sent_at=1_767_225_600.0, lifetime=60.0
    )


async def test_nothing_is_there_at_first(store: Store) -> None:
    assert await store.load(NAME) is None


async def test_what_was_saved_is_loaded_whole(store: Store) -> None:
    saved = evolve(record(), refresh_in=20.0)

    assert await store.save(NAME, saved, expected=None)
    loaded = await store.load(NAME)

    assert loaded == saved
    assert loaded is not None
    assert loaded.token.access_token.reveal() == "canary-token"
    assert loaded.token.extra == {"n": 1}


async def test_names_are_kept_apart(store: Store) -> None:
    await store.save(NAME, record(value="one"), expected=None)
    await store.save(OTHER, record(value="two"), expected=None)

    loaded = await store.load(OTHER)

    assert loaded is not None
    assert loaded.token.header == "Bearer two"


async def test_a_first_record_never_overwrites(store: Store) -> None:
    await store.save(NAME, record(value="first"), expected=None)

    assert not await store.save(NAME, record(value="second"), expected=None)
    assert await store.load(NAME) == record(value="first")


async def test_the_expected_generation_is_replaced(store: Store) -> None:
    await store.save(NAME, record(1), expected=None)

    assert await store.save(NAME, record(2), expected=1)
    assert await store.load(NAME) == record(2)


@pytest.mark.parametrize("expected", [1, 3, 7])
async def test_another_generation_is_not_replaced(store: Store, expected: int) -> None:
    await store.save(NAME, record(1), expected=None)
    await store.save(NAME, record(2), expected=1)

    assert not await store.save(NAME, record(9), expected=expected)
    assert await store.load(NAME) == record(2)


async def test_nothing_is_not_replaced_as_if_it_were_a_generation(store: Store) -> None:
    assert not await store.save(NAME, record(2), expected=1)
    assert await store.load(NAME) is None


async def test_of_many_savers_at_once_one_wins(store: Store) -> None:
    await store.save(NAME, record(1), expected=None)
    won: list[str] = []

    async def try_to_save(value: str) -> None:
        if await store.save(NAME, record(2, value=value), expected=1):
            won.append(value)

    async with anyio.create_task_group() as tasks:
        for number in range(50):
            tasks.start_soon(try_to_save, f"t{number}")

    loaded = await store.load(NAME)
    assert loaded is not None
    assert [loaded.token.access_token.reveal()] == won


async def test_a_discarded_record_is_gone_and_its_name_free(store: Store) -> None:
    await store.save(NAME, record(5), expected=None)

    await store.discard(NAME)

    assert await store.load(NAME) is None
    assert await store.save(NAME, record(1), expected=None)


async def test_discarding_nothing_is_fine(store: Store) -> None:
    await store.discard(NAME)


async def test_a_record_of_a_newer_schema_is_not_shown_overwritten_or_discarded(store: Store) -> None:
    newer = record(1, schema=SCHEMA + 1)
    assert await store.save(NAME, newer, expected=None)

    assert await store.load(NAME) is None
    assert not await store.save(NAME, record(1), expected=None)
    assert not await store.save(NAME, record(2), expected=1)
    await store.discard(NAME)
    assert not await store.save(NAME, record(1), expected=None)


async def test_its_repr_shows_no_record(store: Store) -> None:
    await store.save(NAME, record(), expected=None)

    assert "canary" not in repr(store)
    assert NAME not in repr(store)


def test_it_serves_loops_one_after_another_and_threads_at_once(store: Store) -> None:
    won: list[bool] = []
    start = threading.Barrier(4)

    async def save() -> bool:
        return await store.save(NAME, record(), expected=None)

    def one() -> None:
        start.wait()
        won.append(anyio.run(save))

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(won) == [False, False, False, True]
    assert anyio.run(store.load, NAME) == record()


def test_it_is_a_store(store: Store) -> None:
    assert isinstance(store, Store)
