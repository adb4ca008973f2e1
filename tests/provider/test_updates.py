"""A key's tokens as they come: the present one first, the newest after each landing, and an end."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from tests.kit.bench import chosen_town

from tokenflight import RetryPolicy, Token, TokenFlightError
from tokenflight.testing import Answer

pytestmark = pytest.mark.anyio


class Reader:
    """Reads updates until they end."""

    def __init__(self, updates: Any) -> None:
        self.updates = updates
        self.got: list[Token] = []
        self.done = False

    async def __call__(self) -> None:
        async for token in self.updates:
            self.got.append(token)
        self.done = True


async def test_the_present_token_comes_first_then_each_that_lands() -> None:
    place = chosen_town(expires_in=100)
    async with place.provider() as tokens, anyio.create_task_group() as tasks:
        source = tokens.source()
        present = await place.clock.run(source.token)
        reader = Reader(source.updates())
        tasks.start_soon(reader)
        await place.clock.settle()
        assert reader.got == [present]
        await place.clock.advance(200.0)
        assert len(reader.got) == 4
        assert reader.got[-1] is await source.token()
        await reader.updates.aclose()
        await place.clock.settle()
        assert reader.done


async def test_it_keeps_the_key_renewed_while_it_is_open_and_no_longer() -> None:
    place = chosen_town(expires_in=100)
    async with place.provider() as tokens:
        source = tokens.source()
        updates = source.updates()
        assert not source.status().pinned
        first = await place.clock.run(anext, updates)
        assert source.status().pinned
        await place.clock.advance(150.0)
        assert len(place.endpoint.ledger) == 3
        assert await anext(updates) is not first, "a slow reader skips to the newest"
        await updates.aclose()
        await updates.aclose()
        assert not source.status().pinned
        await place.clock.advance(300.0)
        assert len(place.endpoint.ledger) == 3
        with pytest.raises(StopAsyncIteration):
            await anext(updates)


async def test_two_of_one_key_pin_it_twice_and_hear_the_same() -> None:
    place = chosen_town(expires_in=100)
    async with place.provider() as tokens:
        source = tokens.source()
        one, other = source.updates(), source.updates()
        assert await place.clock.run(anext, one) is await anext(other)
        await one.aclose()
        assert source.status().pinned
        await place.clock.advance(70.0)
        assert await anext(other) is await source.token()
        await other.aclose()


async def test_closed_it_leaves_a_pin_of_another_kind_alone() -> None:
    place = chosen_town()
    async with place.provider() as tokens:
        updates = tokens.source().updates()
        await place.clock.run(anext, updates)
        warm = tokens.source(keep_warm=True)
        await updates.aclose()
        assert warm.status().pinned


async def test_until_the_first_token_it_raises_what_asking_raises_and_goes_on_after_that() -> None:
    place = chosen_town()
    place.endpoint.script(Answer(503))
    async with place.provider(retry=RetryPolicy(attempts=1)) as tokens:
        updates = tokens.source().updates()
        with pytest.raises(TokenFlightError):
            await place.clock.run(anext, updates)
        await place.clock.advance(1.0)
        assert place.endpoint.is_live(await place.clock.run(anext, updates))
        assert tokens.status()[0].pinned
        await updates.aclose()
        assert not tokens.status()[0].pinned


async def test_a_failed_renewal_is_no_news() -> None:
    place = chosen_town(expires_in=100)
    async with place.provider() as tokens, anyio.create_task_group() as tasks:
        reader = Reader(tokens.source().updates())
        tasks.start_soon(reader)
        await place.clock.settle()
        place.endpoint.script(Answer(503))
        await place.clock.advance(65.5)
        assert len(reader.got) == 1
        await place.clock.advance(10.0)
        assert len(reader.got) == 2
        await reader.updates.aclose()


@pytest.mark.parametrize("how", ["forget", "leave"])
async def test_it_ends_when_the_key_is_forgotten_or_the_provider_left(how) -> None:
    place = chosen_town()
    async with anyio.create_task_group() as tasks:
        async with place.provider() as tokens:
            source = tokens.source()
            reader = Reader(source.updates())
            tasks.start_soon(reader)
            await place.clock.settle()
            assert not reader.done
            if how == "forget":
                await source.forget()
                await place.clock.settle()
                assert reader.done
        await place.clock.settle()
        assert reader.done
        assert len(reader.got) == 1
    await reader.updates.aclose()


async def test_one_that_was_closed_before_it_began_asks_for_nothing() -> None:
    place = chosen_town()
    async with place.provider() as tokens:
        updates = tokens.source().updates()
        assert aiter(updates) is updates
        await updates.aclose()
        with pytest.raises(StopAsyncIteration):
            await anext(updates)
        assert len(place.endpoint.ledger) == 0


async def test_a_wait_for_news_that_is_cancelled_may_be_taken_up_again() -> None:
    place = chosen_town(expires_in=100)
    async with place.provider() as tokens:
        updates = tokens.source().updates()
        await place.clock.run(anext, updates)
        with anyio.move_on_after(0):
            await anext(updates)
        await place.clock.advance(66.0)
        assert place.endpoint.is_live(await anext(updates))
        await updates.aclose()


async def test_who_closes_after_a_forgotten_key_was_pinned_anew_leaves_that_pin_alone() -> None:
    place = chosen_town()
    async with place.provider() as tokens:
        source = tokens.source()
        old = source.updates()
        await place.clock.run(anext, old)
        await source.forget()
        new = source.updates()
        await place.clock.run(anext, new)
        await old.aclose()
        assert source.status().pinned
        await new.aclose()
