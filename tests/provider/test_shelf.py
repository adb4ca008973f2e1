"""The store as a provider reaches it: within a second, and what it raises is an event."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from tests.kit.canary import canary, sightings

from tokenflight import MemoryStore, Subject, Token, TokenKey
from tokenflight.model.events import Event, StoreFailed
from tokenflight.provider.shelf import FAILED, Failed, Shelf
from tokenflight.stores import Record, TokenRecord
from tokenflight.testing import VirtualClock

pytestmark = pytest.mark.anyio
KEY = TokenKey(client="c", subject=Subject("ann"))
RECORD = TokenRecord(key=KEY, token=Token("t"), sent_at=0.0)


class Broken:
    def __init__(self, error: Exception | None) -> None:
        self.error = error

    async def _act(self, *args: object, **options: object) -> Any:
        if self.error is not None:
            raise self.error
        await anyio.sleep_forever()

    load = save = discard = _act


async def test_what_the_store_says_is_passed_on() -> None:
    shelf, told = Shelf(MemoryStore(), clock=VirtualClock()), list[Event]()
    assert await shelf.load("n", KEY, told.append) is None
    assert await shelf.save("n", RECORD, KEY, told.append, expected=None) is True
    assert await shelf.save("n", RECORD, KEY, told.append, expected=7) is False
    assert await shelf.load("n", KEY, told.append) is RECORD
    assert await shelf.discard("n", KEY, told.append) is None
    assert await shelf.load("n", KEY, told.append) is None
    assert told == []


@pytest.mark.parametrize(
    ("error", "reason"), [(OSError(canary("dsn")), "OSError"), (KeyError(canary("row")), "KeyError"), (None, "timeout")]
)
async def test_what_it_raises_and_a_second_without_an_answer_are_events(error: Any, reason: str) -> None:
    clock, told = VirtualClock(), list[Event]()
    shelf = Shelf(Broken(error), clock=clock)

    async def all_of_them() -> list[Record | Failed | bool | None]:
        return [
            await shelf.load("n", KEY, told.append),
            await shelf.save("n", RECORD, KEY, told.append, expected=None),
            await shelf.discard("n", KEY, told.append),
        ]

    assert await clock.run(all_of_them) == [FAILED] * 3
    assert told == [
        StoreFailed(key=KEY, operation=operation, reason=reason) for operation in ("load", "save", "discard")
    ]
    assert clock.now() == (3.0 if error is None else 0.0)
    assert sightings(repr(told)) == []
