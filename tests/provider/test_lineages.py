"""All sessions of a provider: found by whose they are, kept in the store, let go where nothing is left."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.kit.rotating import app, login_app, session_town

from tokenflight import ClientCredentials, MemoryStore, OAuthClient, Secret, Subject, SubjectToken, Token, TokenKey
from tokenflight.engine.hooks import EventQueue
from tokenflight.engine.state import State
from tokenflight.model.policy import RetryPolicy
from tokenflight.provider.lineage import Lineage
from tokenflight.provider.lineages import Lineages
from tokenflight.provider.shelf import Shelf
from tokenflight.stores import Record, SessionRecord, TokenRecord
from tokenflight.testing import VirtualClock

pytestmark = pytest.mark.anyio
ANN = TokenKey(client="default", subject=Subject("ann"))


class Case:
    """Lineages over a store, without a provider: what cannot be saved at once is left to a flush."""

    def __init__(self, store: Any = None) -> None:
        self.clock = VirtualClock()
        self.state = State(
            clock=self.clock,
            retry=RetryPolicy(),
            max_keys=10,
            max_flights=10,
            hooks=EventQueue.of([], clock=self.clock),
        )
        self.store = MemoryStore() if store is None else store
        self.lineages = Lineages(Shelf(self.store, clock=self.clock), self.state)

    def of(self, client: OAuthClient | None = None, key: TokenKey = ANN) -> Lineage:
        lineage = self.lineages.of(client or app(), key)
        assert lineage is not None
        return lineage

    async def adopt(self, value: str, lineage: Lineage | None = None) -> Lineage:
        lineage = lineage or self.of()
        await self.lineages.adopt(lineage, Secret(value), ANN)
        return lineage

    def kept(self) -> list[tuple[str, int]]:
        held = self.store._records.values()
        return [
            (record.refresh_token.reveal(), record.generation) for record in held if isinstance(record, SessionRecord)
        ]


class Meddling(MemoryStore):
    """A store in memory into which somebody else writes right before a save."""

    meddle: Callable[[str], Awaitable[None]] | None = None

    async def save(self, name: str, record: Record, *, expected: int | None) -> bool:
        if self.meddle is not None:
            await self.meddle(name)
        return await super().save(name, record, expected=expected)


def record(value: str, generation: int, **fields: Any) -> SessionRecord:
    known = {"server": "https://auth.test/token", "client_id": "app", "subject": Subject("ann"), "saved_at": 0.0}
    return SessionRecord(generation=generation, refresh_token=Secret(value), **known | fields)


async def test_keys_of_one_person_at_one_client_share_a_lineage() -> None:
    case = Case()
    same = [
        case.of(app(1.0)),
        case.of(login_app()),
        case.of(app(scope="x")),
        case.of(app(), TokenKey(client="another name", subject=Subject("ann"), scope=frozenset("s"))),
    ]
    assert len(set(map(id, same))) == 1
    assert len(same[0].keys) == 2
    assert case.lineages.of_client("default") == case.lineages.of_client("another name") == [same[0]]
    assert case.lineages.of_client("nobody's") == []
    assert repr(case.lineages) == "Lineages(1)"


@pytest.mark.parametrize(
    ("client", "key"),
    [
        (app(client_id="other"), ANN),
        (app(issuer="https://issuer.test"), ANN),
        (app(), TokenKey(client="default", subject=Subject("ann", "kind"))),
        (app(), TokenKey(client="default", subject=Subject("bob"))),
    ],
)
async def test_another_server_client_or_subject_is_another(client: OAuthClient, key: TokenKey) -> None:
    case = Case()
    assert case.of() is not case.of(client, key)


@pytest.mark.parametrize(
    ("client", "key"),
    [
        (app(grant=ClientCredentials()), ANN),
        (app(), TokenKey(client="default")),
        (app(), TokenKey(client="default", subject=SubjectToken("eyJ"))),
    ],
)
async def test_what_spends_no_refresh_token_has_none(client: OAuthClient, key: TokenKey) -> None:
    assert Case().lineages.of(client, key) is None


async def test_one_that_holds_nothing_is_let_go_and_only_itself() -> None:
    case = Case()
    first = case.of()
    case.lineages.let_go(first)
    second = case.of()
    assert second is not first
    case.lineages.let_go(first)
    assert case.of() is second
    await case.adopt("r1", second)
    case.lineages.let_go(second)
    assert case.of() is second


async def test_without_a_store_memory_is_all_there_is() -> None:
    case = Case()
    case.lineages = Lineages(None, case.state)
    lineage = await case.adopt("r1")
    await case.lineages.look(lineage, ANN)
    await case.lineages.rotate(lineage, Secret("r2"), ANN)
    assert lineage.session is not None
    assert (lineage.session.refresh_token.reveal(), lineage.session.generation) == ("r2", 2)
    await case.lineages.flush()
    await case.lineages.drop([lineage])
    assert repr(case.lineages) == "Lineages(0)"


async def test_each_new_refresh_token_counts_on_and_the_same_one_again_does_not() -> None:
    case = Case()
    lineage = await case.adopt("r1")
    for value in (Secret("r2"), Secret("r2"), None, Secret("r3")):
        await case.lineages.rotate(lineage, value, ANN)
    assert case.kept() == [("r3", 3)]


async def test_what_is_adopted_counts_on_from_what_the_store_has() -> None:
    case = Case()
    await case.store.save(case.of().name, record("old", 7), expected=None)
    await case.adopt("new")
    assert case.kept() == [("new", 8)]


async def test_what_is_adopted_wins_over_who_writes_at_the_same_time() -> None:
    store = Meddling()
    case = Case(store)

    async def once(name: str) -> None:
        store.meddle = None
        await MemoryStore.save(store, name, record("theirs", 5), expected=None)

    store.meddle = once
    lineage = await case.adopt("mine")
    assert case.kept() == [("mine", 6)]
    assert lineage.stored is lineage.session
    assert not lineage.unsaved


async def test_what_came_by_a_refresh_gives_way_to_who_was_first() -> None:
    store = Meddling()
    case = Case(store)
    lineage = await case.adopt("r1")

    async def once(name: str) -> None:
        store.meddle = None
        await MemoryStore.save(store, name, record("theirs", 2), expected=1)

    store.meddle = once
    await case.lineages.rotate(lineage, Secret("ours"), ANN)
    assert case.kept() == [("theirs", 2)]
    assert lineage.session is lineage.stored


async def test_a_session_that_was_ended_while_its_successor_was_saved_stays_ended() -> None:
    store = Meddling()
    case = Case(store)
    lineage = await case.adopt("r1")

    async def once(name: str) -> None:
        await store.discard(name)

    store.meddle = once
    await case.lineages.rotate(lineage, Secret("r2"), ANN)
    assert (case.kept(), lineage.session) == ([], None)


async def test_one_that_is_replaced_while_it_is_saved_is_saved_as_it_is_then() -> None:
    store = Meddling()
    case = Case(store)

    async def once(name: str) -> None:
        store.meddle = None
        assert lineage.session is not None
        lineage.replace(record("r2", 2))

    lineage = case.of()
    store.meddle = once
    await case.adopt("r1", lineage)
    assert case.kept() == [("r2", 2)]
    assert not lineage.owed


async def test_one_that_is_ended_while_it_is_saved_is_discarded() -> None:
    store = Meddling()
    case = Case(store)

    async def once(name: str) -> None:
        store.meddle = None
        lineage.begin_anew(None, owed=True)

    lineage = case.of()
    store.meddle = once
    await case.adopt("r1", lineage)
    assert (case.kept(), lineage.unsaved, lineage.session) == ([], False, None)


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param(record("r", 1, schema=99), id="of a newer schema"),
        pytest.param(TokenRecord(key=ANN, token=Token("t"), sent_at=0.0), id="a token"),
        pytest.param(record("r", 1, client_id="another"), id="another's"),
    ],
)
async def test_what_cannot_be_read_there_is_left_and_memory_goes_on(odd: Record) -> None:
    case = Case()
    lineage = case.of()
    await case.store.save(lineage.name, odd, expected=None)
    await case.lineages.look(lineage, ANN)
    assert lineage.session is None
    await case.adopt("mine", lineage)
    assert list(case.store._records.values()) == [odd]
    assert lineage.session is not None
    assert lineage.unsaved
    await case.lineages.rotate(lineage, Secret("r2"), ANN)
    await case.lineages.flush()
    assert list(case.store._records.values()) == [odd]


async def test_reset_frees_the_turns_of_tasks_that_are_gone() -> None:
    case = Case()
    lineage = await case.adopt("r1")
    await lineage.turn.acquire()
    await lineage.desk.acquire()
    lineage.saving = True
    before = (lineage.turn, lineage.desk)
    case.lineages.reset()
    assert not lineage.turn.locked()
    assert not lineage.desk.locked()
    assert not lineage.saving
    for lock in before:
        lock.release()


async def test_what_is_tried_again_waits_longer_each_time() -> None:
    class Full(MemoryStore):
        full = False

        async def save(self, name: str, record: Record, *, expected: int | None) -> bool:
            if self.full:
                saves.append(place.clock.now())
                raise OSError
            return await super().save(name, record, expected=expected)

    saves: list[float] = []
    place, store = session_town(), Full()
    async with place.provider(app(), store=store) as tokens:
        store.full = True
        await tokens.sessions.adopt(subject="ann", refresh_token=place.endpoint.login())
        await tokens.sessions.adopt(subject="ann", refresh_token=place.endpoint.login())
        await place.clock.advance(200.0)
        store.full = False
        await place.clock.advance(60.0)
        [kept] = store._records.values()
        assert isinstance(kept, SessionRecord)
        assert kept.refresh_token.reveal() == place.endpoint.family().newest
    assert saves == [0, 0, 1, 3, 7, 15, 31, 63, 123, 183]
