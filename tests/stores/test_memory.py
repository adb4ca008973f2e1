from __future__ import annotations

import pytest

from tokenflight import errors
from tokenflight.model.key import Subject, TokenKey
from tokenflight.model.secret import Secret
from tokenflight.model.token import Token
from tokenflight.stores import MemoryStore, Record, SessionRecord, TokenRecord

pytestmark = pytest.mark.anyio


def ending(at: float | None, generation: int = 1) -> Record:
    lifetime = None if at is None else at - 1_000.0
    return TokenRecord(
        generation=generation, key=TokenKey(client="c"), token=Token("t"), sent_at=1_000.0, lifetime=lifetime
    )


async def kept(store: MemoryStore, *names: str) -> list[str]:
    return [name for name in names if await store.load(name) is not None]


async def test_beyond_its_cap_what_ends_first_makes_room() -> None:
    store = MemoryStore(max_records=2)
    await store.save("late", ending(3_000), expected=None)
    await store.save("soon", ending(2_000), expected=None)

    await store.save("new", ending(1_500), expected=None)

    assert await kept(store, "late", "soon", "new") == ["late", "new"]


async def test_records_without_an_end_make_room_last_and_the_oldest_of_them_first() -> None:
    store = MemoryStore(max_records=2)
    for name, end in (("old", None), ("young", None), ("dated", 9_000.0), ("newest", None)):
        await store.save(name, ending(end), expected=None)

    assert await kept(store, "old", "young", "dated", "newest") == ["young", "newest"]

    await store.save("another", ending(None), expected=None)

    assert await kept(store, "young", "newest", "another") == ["newest", "another"]


async def test_a_replaced_record_counts_by_its_new_end_and_needs_no_room() -> None:
    store = MemoryStore(max_records=2)
    await store.save("renewed", ending(1_100), expected=None)
    await store.save("stays", ending(5_000), expected=None)
    await store.save("renewed", ending(9_000, 2), expected=1)

    await store.save("new", ending(9_500), expected=None)

    assert await kept(store, "renewed", "stays", "new") == ["renewed", "new"]


async def test_it_keeps_nothing_of_what_was_replaced_or_discarded() -> None:
    store = MemoryStore()
    await store.save("a", ending(2_000), expected=None)
    for generation in range(1, 1_000):
        await store.save("a", ending(2_000, generation + 1), expected=generation)
        await store.save("b", ending(None), expected=None)
        await store.discard("b")

    assert len(store._by_end) <= 70


async def test_its_repr_counts() -> None:
    store = MemoryStore(max_records=5)
    await store.save("a", ending(2_000), expected=None)

    assert repr(store) == "MemoryStore(records=1, max_records=5)"


@pytest.mark.parametrize("wrong", [0, -1, True, 1.5, None, "many"])
def test_a_cap_that_holds_nothing_is_refused(wrong: object) -> None:
    with pytest.raises(errors.ConfigurationError, match="set it to 1 or more"):
        MemoryStore(max_records=wrong)  # type: ignore[arg-type]


def session(generation: int = 1) -> SessionRecord:
    return SessionRecord(
        generation=generation,
        server="https://as.example",
        client_id="c",
        subject=Subject("alice"),
        refresh_token=Secret("r"),
        saved_at=1_000.0,
    )


async def test_sessions_neither_make_room_nor_count() -> None:
    store = MemoryStore(max_records=2)
    for name in ("s1", "s2", "s3"):
        assert await store.save(name, session(), expected=None)
    for name in ("t1", "t2", "t3"):
        assert await store.save(name, ending(2_000.0), expected=None)

    kept = [name for name in ("s1", "s2", "s3", "t1", "t2", "t3") if await store.load(name) is not None]
    assert kept == ["s1", "s2", "s3", "t2", "t3"]


async def test_a_session_is_replaced_and_discarded_like_any_record() -> None:
    store = MemoryStore(max_records=1)
    assert await store.save("s", session(), expected=None)
    assert not await store.save("s", session(2), expected=None)
    assert await store.save("s", session(2), expected=1)
    await store.discard("s")
    assert await store.load("s") is None
    assert await store.save("t", ending(2_000.0), expected=None)
    assert await store.load("t") is not None
