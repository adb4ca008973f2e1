"""What a session lives on is kept before its token is handed out, and nothing brings back what was ended."""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from typing import Any

import anyio
import pytest
from attrs import define, field
from tests.kit.rotating import RotatingServer, Swallow, adopted, app, provider_of, session_town
from tests.kit.town import Town, records

from tokenflight import MemoryStore, ProviderClosedError, SessionLostError, TokenFlightError, TokenProvider
from tokenflight.model.clock import Clock
from tokenflight.model.events import SessionLost, StoreFailed
from tokenflight.stores import Record, SessionRecord, TokenRecord
from tokenflight.testing import Delay, Issue, Straggle

pytestmark = pytest.mark.anyio


@define(eq=False)
class Slow:
    """A store in memory that takes its time, fails, or hangs, where a test says so; `late` does it all the same."""

    clock: Clock
    store: MemoryStore = field(factory=MemoryStore)
    delay: Callable[[], float] = field(default=float)
    failing: bool = False
    hanging: bool = False
    late: bool = False

    async def load(self, name: str) -> Record | None:
        await self._work()
        return await self.store.load(name)

    async def save(self, name: str, record: Record, *, expected: int | None) -> bool:
        kept = self.late and await self.store.save(name, record, expected=expected)
        await self._work()
        return kept or await self.store.save(name, record, expected=expected)

    async def discard(self, name: str) -> None:
        await self._work()
        await self.store.discard(name)

    async def _work(self) -> None:
        await self.clock.sleep_until(self.clock.now() + self.delay())
        if self.failing:
            raise OSError("no space left")
        if self.hanging:
            await anyio.sleep_forever()


def kept(store: MemoryStore) -> list[str]:
    """Return the refresh tokens that a store holds."""
    return [held.refresh_token.reveal() for held in store._records.values() if isinstance(held, SessionRecord)]


async def asked(place: Town, source: Any) -> Any:
    [call] = await place.once(source)
    return call


ABSENT = [
    pytest.param(Issue(), id="absent"),
    pytest.param(Issue(fields={"refresh_token": ""}), id="empty"),
    pytest.param(Issue(fields={"refresh_token": None}), id="null"),
    pytest.param(Issue(fields={"refresh_token": ["a"]}), id="no string"),
]


@pytest.mark.parametrize("answer", ABSENT)
async def test_where_no_refresh_token_comes_the_old_one_stays(answer):
    place, store = session_town(rotates=False), MemoryStore()
    place.endpoint.always(answer)
    async with place.provider(app(), store=store) as tokens:
        family = await adopted(place, tokens)
        source = tokens.source(subject="ann")
        for _ in range(5):
            assert (await asked(place, source)).token is not None
            await place.clock.advance(3600.0)
    assert place.endpoint.spent() == [family.newest] * 5
    assert kept(store) == [family.newest]


async def test_what_comes_in_its_place_is_saved_before_anybody_gets_the_token():
    place = session_town()
    store = Slow(place.clock, delay=lambda: 0.3)
    async with place.provider(app(), store=store) as tokens:
        family = await adopted(place, tokens)
        for number in range(5):
            call = await asked(place, tokens.source(subject="ann", audience=f"api-{number}"))
            assert call.waited >= 0.3
            assert kept(store.store) == [family.newest]
            assert place.endpoint.spent()[-1] != family.newest
        records = [held for held in store.store._records.values() if isinstance(held, TokenRecord)]
        assert all(record.token.refresh_token is None for record in records)
    assert family.reuses == 0


@pytest.mark.parametrize("how", ["failing", "hanging", "late"])
async def test_where_it_cannot_be_saved_that_is_loud_served_and_saved_later_and_the_spent_one_is_never_sent(
    how, caplog
):
    place = session_town(expires_in=600)
    store = Slow(place.clock)
    async with place.provider(app(), store=store) as tokens:
        family = await adopted(place, tokens)
        source = tokens.source(subject="ann")
        before = family.newest
        setattr(store, how, True)
        store.hanging |= how == "late"
        for number in range(4):
            call = await asked(place, tokens.source(subject="ann", audience=f"api-{number}"))
            assert call.token is not None
        assert [told.operation for told in place.told(StoreFailed)].count("save") >= 4
        assert len(records(caplog, logging.ERROR)) == 1
        assert kept(store.store) == [before] if how != "late" else kept(store.store)
        store.failing = store.hanging = store.late = False
        await place.clock.advance(61.0)
        assert kept(store.store) == [family.newest]
        assert (await asked(place, source)).token is not None
    assert kept(store.store) == [family.newest]
    assert len(set(place.endpoint.spent())) == len(place.endpoint.spent()) == 5
    assert family.reuses == 0


async def test_leaving_saves_what_is_not_saved_yet():
    place = session_town()
    store = Slow(place.clock)
    async with AsyncExitStack() as stack:
        tokens = await stack.enter_async_context(place.provider(app(), store=store))
        family = await adopted(place, tokens)
        store.failing = True
        await asked(place, tokens.source(subject="ann"))
        store.failing = False
    assert kept(store.store) == [family.newest]


async def test_where_leaving_cannot_save_it_either_it_is_in_memory_and_saved_with_the_next(caplog):
    place = session_town()
    store = Slow(place.clock)
    provider, http = provider_of(place, app(), store=store)
    async with http:
        async with provider:
            family = await adopted(place, provider)
            store.failing = True
            await asked(place, provider.source(subject="ann"))
        assert len(records(caplog, logging.ERROR)) == 2, "when it failed, and when it was left so"
        store.failing = False
        async with provider:
            assert (await asked(place, provider.source(subject="ann", audience="another"))).token is not None
        assert kept(store.store) == [family.newest]
        assert family.reuses == 0


async def leave_in_the_air(place: Town, provider: TokenProvider, *, after: float = 0.5) -> list[Any]:
    """Ask for a token, leave *after* seconds, and return what the caller got."""
    got: list[Any] = []

    async def ask() -> None:
        try:
            got.append(await provider.token(subject="ann"))
        except TokenFlightError as error:
            got.append(error)

    async def whole() -> None:
        async with anyio.create_task_group() as tasks, provider:
            tasks.start_soon(ask)
            await place.clock.sleep_until(place.clock.now() + after)

    await place.clock.run(whole)
    return got


@pytest.mark.parametrize("slow", [0.0, 0.4])
async def test_leaving_lets_a_refresh_end_and_keeps_what_it_brings(slow):
    place = session_town()
    store = Slow(place.clock, delay=lambda: slow)
    provider, http = provider_of(place, app(), store=store)
    async with http:
        async with provider:
            family = await adopted(place, provider)
        place.endpoint.always(Straggle(5.0))
        [got] = await leave_in_the_air(place, provider, after=2.0)
        assert kept(store.store) == [family.newest]
        assert place.endpoint.is_live(got), "its caller is served"
        place.endpoint.always()
        async with provider:
            assert (await provider.token(subject="ann")) is got
            await asked(place, provider.source(subject="ann", audience="other"))
    assert (family.reuses, family.generations) == (0, 2)


async def test_what_takes_longer_than_the_grace_is_broken_off_and_in_doubt_afterwards():
    place = session_town(grace=60.0)
    provider, http = provider_of(place, app(), shutdown_grace=3.0)
    async with http:
        async with provider:
            family = await adopted(place, provider)
        place.endpoint.script(Swallow())
        began = place.clock.now()
        [got] = await leave_in_the_air(place, provider)
        assert isinstance(got, ProviderClosedError)
        assert place.clock.now() - began <= 0.5 + 3.0 + 1.0
        async with provider:
            assert (await asked(place, provider.source(subject="ann"))).token is not None, "a replay within the grace"
    assert (family.reuses, family.dead) == (0, False)
    assert not place.told(SessionLost)


async def test_a_login_elsewhere_is_taken_from_the_store_instead_of_giving_up():
    place, store = session_town(), MemoryStore()
    async with place.provider(app(), store=store) as one, place.provider(app(), store=store) as other:
        family = await adopted(place, one)
        for number in range(6):  # each in turn spends what the other one left
            call = await asked(place, (one, other)[number % 2].source(subject="ann", audience=f"api-{number}"))
            assert call.token is not None
        assert family.reuses == 0

        family.dead = True
        newer = await adopted(place, other)
        for provider in (one, other):
            call = await asked(place, provider.source(subject="ann", audience="after"))
            assert call.token is not None
        assert not newer.dead
    assert not place.told(SessionLost)


async def test_one_that_is_refused_while_another_provider_renewed_goes_on_with_the_newer():
    place, store = session_town(), MemoryStore()
    async with place.provider(app(), store=store) as one, place.provider(app(), store=store) as other:
        await adopted(place, one)
        first = place.endpoint.family()

        async def meanwhile() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(one.source(subject="ann", audience="a").token)
                await place.clock.sleep_until(place.clock.now() + 1.0)
                first.dead = True  # at the server
                await other.sessions.adopt(subject="ann", refresh_token=place.endpoint.login())

        place.endpoint.script(Delay(5.0))
        await place.clock.run(meanwhile)
        assert place.endpoint.spent()[-1] != place.endpoint.spent()[-2]
    assert not place.told(SessionLost)


async def test_a_session_ended_elsewhere_is_ended_here_and_one_begun_anew_there_counts():
    place, store = session_town(), MemoryStore()
    async with place.provider(app(), store=store) as one, place.provider(app(), store=store) as other:
        await adopted(place, one)
        for number in range(3):
            await place.once(one.source(subject="ann", audience=f"before-{number}"))
        await other.forget_client("default", subject="ann")  # it never asked for anything of hers
        assert kept(store) == []
        call = await asked(place, one.source(subject="ann", audience="after"))
        assert isinstance(call.error, SessionLostError)
        assert call.error.reason == "no_session"

        await adopted(place, one)
        await place.once(one.source(subject="ann", audience="more"), one.source(subject="ann", audience="still more"))
        await other.forget_client("default", subject="ann")
        newest = await adopted(place, other)  # its count begins at 1 again
        call = await asked(place, one.source(subject="ann", audience="at last"))
        assert call.token is not None
        assert newest.generations == 1
        assert kept(store) == [newest.newest]


async def test_forgetting_a_key_keeps_its_session():
    place = session_town()
    async with place.provider(app(), store=MemoryStore()) as tokens:
        family = await adopted(place, tokens)
        source = tokens.source(subject="ann")
        await place.once(source)
        assert await source.forget()
        assert (await asked(place, source)).token is not None
    assert family.generations == 2


async def test_an_end_that_the_store_does_not_take_is_an_end_here_and_told_it_later():
    place = session_town()
    store = Slow(place.clock)
    async with place.provider(app(), store=store) as tokens:
        await adopted(place, tokens)
        source = tokens.source(subject="ann")
        await place.once(source)
        store.failing = True
        assert await tokens.forget_client("default", subject="ann") == 1
        store.failing = False
        call = await asked(place, tokens.source(subject="ann", audience="other"))
        assert isinstance(call.error, SessionLostError)
        await place.clock.advance(5.0)
        assert kept(store.store) == []
    assert len(place.requests()) == 1


@define
class Done:
    """One thing that was done on purpose, from when to when; what it left: a refresh token's family, or nothing."""

    began: float
    ended: float
    family: Any


class Race:
    """Refreshes, logins and ends of one session at random moments, over a store that takes its time."""

    def __init__(self, seed: int, *, stored: bool) -> None:
        self.draw = random.Random(seed)
        self.place = session_town(seed=seed)
        self.server: RotatingServer = self.place.endpoint  # type: ignore[assignment]
        self.store = Slow(self.place.clock, delay=lambda: self.draw.choice([0.0, self.draw.uniform(0, 0.9)]))
        self.stored = stored
        self.done: list[Done] = []

    async def run(self) -> None:
        options = {"store": self.store} if self.stored else {}
        async with self.place.provider(app(), **options) as tokens:
            await adopted(self.place, tokens)
            self.done = [Done(-2.0, -1.0, self.server.family())]
            self.server.always(lambda entry: self.draw.choice([Delay, Straggle])(self.draw.uniform(0, 2)))
            acts = [self.refresh] * 3 + self.draw.choices([self.adopt, self.end], k=self.draw.randint(1, 3))
            await self.place.clock.run(self.together, [self.somewhen(act, tokens) for act in acts])
            await self.place.clock.advance(120.0)
            self.server.always()
            await self.check(tokens)

    async def together(self, acts: list[Callable[[], Awaitable[None]]]) -> None:
        async with anyio.create_task_group() as tasks:
            for act in acts:
                tasks.start_soon(act)

    def somewhen(self, act: Callable[[TokenProvider], Awaitable[None]], tokens: TokenProvider) -> Any:
        when = self.place.clock.now() + self.draw.uniform(0, 3)

        async def later() -> None:
            await self.place.clock.sleep_until(when)
            await act(tokens)

        return later

    async def refresh(self, tokens: TokenProvider) -> None:
        with suppress(SessionLostError):
            await tokens.token(subject="ann", audience=f"api-{self.draw.random()}")

    async def adopt(self, tokens: TokenProvider) -> None:
        refresh_token, began = self.server.login(), self.place.clock.now()
        family = self.server.family()
        await tokens.sessions.adopt(subject="ann", refresh_token=refresh_token)
        self.done.append(Done(began, self.place.clock.now(), family))

    async def end(self, tokens: TokenProvider) -> None:
        began = self.place.clock.now()
        await tokens.forget_client("default", subject="ann")
        self.done.append(Done(began, self.place.clock.now(), None))

    def possible(self) -> list[Any]:
        """Return what may be left: what anything left that was not over before another thing was begun."""
        return [act.family for act in self.done if not any(other.began > act.ended for other in self.done)]

    async def check(self, tokens: TokenProvider) -> None:
        held = kept(self.store.store)
        [call] = await self.place.once(tokens.source(subject="ann", audience="afterwards"))
        left = None if call.token is None else self.server._by_token[self.server.spent()[-1]]
        assert left in self.possible()
        assert not any(family.reuses for family in self.server.families)
        assert not any(told.ambiguous for told in self.place.told(SessionLost))
        if self.stored:
            assert [self.server._by_token[value] for value in held] == [left] * (left is not None)
            assert kept(self.store.store) == ([] if left is None else [left.newest])


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("races", [60, pytest.param(1_000, marks=pytest.mark.long)])
async def test_nothing_that_was_ended_or_replaced_comes_back_by_a_refresh_on_its_way(races, stored):
    for seed in range(races):
        try:
            await Race(seed, stored=stored).run()
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
