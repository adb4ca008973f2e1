"""Records: what a store keeps of tokens, and that a store which fails costs no call anything."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from attrs import evolve
from tests.kit.bench import ChosenClock
from tests.kit.keys import jwk
from tests.kit.town import client

from tokenflight import (
    Assertion,
    Audience,
    Dialect,
    JWTBearer,
    MemoryStore,
    OAuthClient,
    RefreshPolicy,
    Subject,
    Token,
    TokenKey,
)
from tokenflight.dialects import box
from tokenflight.engine.flight import Minted
from tokenflight.model.events import Event, StoreFailed
from tokenflight.protocol.client_authentication import ClientSecretBasic, ClientSecretPost
from tokenflight.protocol.grants import Fetch
from tokenflight.provider import shelf as shelves
from tokenflight.provider.records import Records
from tokenflight.stores import Record, TokenRecord

pytestmark = pytest.mark.anyio
KEY = TokenKey(client="name", subject=Subject("s"))


class Shelf:
    """Records over a store in memory, or one that does what it is told."""

    def __init__(self, store: Any = None) -> None:
        self.clock = ChosenClock()
        self.store = MemoryStore() if store is None else store
        self.records = Records(shelves.Shelf(self.store, clock=self.clock), clock=self.clock)
        self.events: list[Event] = []

    def minted(self, value: str = "t", **fields: Any) -> Minted:
        token = Token(value, expires_in=100.0, issued_at=None)
        made = {"sent_at": self.clock.now(), "lifetime": 100.0, "refresh": RefreshPolicy()} | fields
        return Minted(token=token, **made)

    async def save(
        self, of: OAuthClient, key: TokenKey = KEY, *, after: Record | None = None, value: str = "t"
    ) -> None:
        await self.records.save(of, key, self.minted(value), self.events.append, after=after)

    async def load(self, of: OAuthClient, key: TokenKey = KEY) -> Record | None:
        return await self.clock.run(self.records.load, of, key, self.events.append)


class Failing:
    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    async def _act(self, *args: object, **options: object) -> Any:
        if self.error is not None:
            raise self.error
        await anyio.sleep_forever()

    load = save = discard = _act


async def test_what_is_saved_is_found_again_and_gone_when_discarded() -> None:
    shelf = Shelf()
    await shelf.save(client())
    record = await shelf.load(client())
    assert record is not None
    assert (record.token.header, record.generation, record.lifetime) == ("Bearer t", 1, 100.0)
    assert record.sent_at == record.token.issued_at.timestamp()
    await shelf.records.discard(client(), KEY, shelf.events.append)
    assert await shelf.load(client()) is None
    assert shelf.events == []


async def test_a_new_token_replaces_the_record_that_was_found_and_no_newer_one() -> None:
    shelf = Shelf()
    await shelf.save(client(), value="first")
    found = await shelf.load(client())
    await shelf.save(client(), after=found, value="second")
    await shelf.save(client(), after=found, value="too late")
    await shelf.save(client(), after=None, value="too late as well")
    record = await shelf.load(client())
    assert record is not None
    assert (record.token.header, record.generation) == ("Bearer second", 2)


SAME = [
    client(secret="another"),
    client(authentication=ClientSecretPost(lambda: "read")),
    client(origins="https://api.test"),
    client(default_lifetime=7.0),
]
OTHER = [
    client("another"),
    client(host="other.test"),
    client(issuer="https://issuer.test"),
    client(authentication=ClientSecretBasic("hush")),
    client(parameters={"more": "yes"}),
    client(scope="x"),
]


@pytest.mark.parametrize("asker", SAME)
async def test_what_does_not_shape_the_request_does_not_name_the_record(asker) -> None:
    shelf = Shelf()
    await shelf.save(client())
    assert await shelf.load(asker) is not None


@pytest.mark.parametrize("asker", OTHER)
async def test_what_shapes_the_request_does(asker) -> None:
    shelf = Shelf()
    await shelf.save(client())
    assert await shelf.load(asker) is None


@pytest.mark.parametrize(
    "key",
    [
        TokenKey(client="name"),
        evolve(KEY, subject=Subject("other")),
        evolve(KEY, subject=Subject("s", "type")),
        evolve(KEY, audience=Audience("a")),
        evolve(KEY, audience=Audience("a", "resource")),
        evolve(KEY, scope=frozenset({"x"})),
    ],
)
async def test_so_does_the_whole_key_but_for_the_name_that_a_provider_gave_the_client(key) -> None:
    shelf = Shelf()
    await shelf.save(client(), key)
    assert await shelf.load(client(), KEY) is None
    assert await shelf.load(client(), key) is not None
    assert await shelf.load(client(), evolve(key, client="another name")) is not None


async def test_the_clients_scope_and_the_same_one_of_a_call_are_one() -> None:
    shelf = Shelf()
    await shelf.save(client(scope="x"))
    assert await shelf.load(client(), evolve(KEY, scope=frozenset({"x"}))) is not None


async def test_a_record_that_is_not_really_the_keys_own_is_none() -> None:
    class Mixed(MemoryStore):
        async def load(self, name: str) -> Record | None:
            return TokenRecord(key=TokenKey(client="service"), token=Token("another's"), sent_at=0.0)

    assert await Shelf(Mixed()).load(client()) is None


async def test_without_a_store_and_for_fetch_there_are_no_records() -> None:
    async def fetch(key: TokenKey) -> Token:
        return Token("t")

    shelf = Shelf(Failing(RuntimeError("not to be asked")))
    fetched = OAuthClient(client_id="c", grant=Fetch(fetch))
    nowhere = Records(None, clock=shelf.clock)
    for records, of in ((shelf.records, fetched), (nowhere, client())):
        assert await records.load(of, KEY, shelf.events.append) is None
        await records.save(of, KEY, shelf.minted(), shelf.events.append, after=None)
        await records.discard(of, KEY, shelf.events.append)
    assert shelf.events == []


@pytest.mark.parametrize(
    ("error", "reason", "took"),
    [(OSError("CNRY-dsn"), "OSError", 0.0), (None, "timeout", 1.0)],
    ids=["raises", "hangs"],
)
async def test_a_store_that_fails_costs_a_second_at_most_and_is_told(error, reason, took) -> None:
    shelf = Shelf(Failing(error))
    assert await shelf.load(client()) is None
    assert shelf.clock.now() == took

    async def save_and_discard() -> None:
        await shelf.save(client())
        await shelf.records.discard(client(), KEY, shelf.events.append)

    await shelf.clock.run(save_and_discard)
    assert shelf.clock.now() == 3 * took
    assert shelf.events == [
        StoreFailed(key=KEY, operation=operation, reason=reason) for operation in ("load", "save", "discard")
    ]


async def test_a_record_is_brought_with_its_age_by_the_wall_clock_and_never_below_nothing() -> None:
    shelf = Shelf()
    await shelf.clock.advance(50.0)
    record = TokenRecord(key=KEY, token=Token("t"), sent_at=shelf.clock.wall() - 20.0, lifetime=100.0, refresh_in=60.0)
    minted = shelf.records.minted(record, client(refresh=RefreshPolicy(early=0.5)), RefreshPolicy())
    assert (minted.token, minted.sent_at, minted.lifetime, minted.refresh_in) == (record.token, 30.0, 100.0, 60.0)
    assert (minted.refresh, minted.default_lifetime, minted.attempts) == (RefreshPolicy(early=0.5), 300.0, 0)
    shelf.clock.jump_wall(-1000.0)
    assert shelf.records.minted(record, client(), RefreshPolicy()).sent_at == 50.0, "a wall jump extends no token"


async def test_without_a_policy_of_the_clients_own_the_providers_counts() -> None:
    shelf = Shelf()
    record = TokenRecord(key=KEY, token=Token("t"), sent_at=0.0)
    assert shelf.records.minted(record, client(), RefreshPolicy(early=0.7)).refresh == RefreshPolicy(early=0.7)


async def test_a_grant_that_spends_what_it_presents_has_no_default_lifetime() -> None:
    class Once:
        grant_type = "once"
        repeatable = False

        def fields(self, key: TokenKey, scope: frozenset[str]) -> dict[str, str]:
            return {}

        def __hash__(self) -> int:
            return 1

    shelf = Shelf()
    record = TokenRecord(key=KEY, token=Token("t"), sent_at=0.0)
    once = box.client(client_id="c", client_secret="s", grant=Once())
    assert shelf.records.minted(record, once, RefreshPolicy()).default_lifetime is None


async def test_what_an_assertion_says_of_whom_names_the_record_and_its_key_does_not() -> None:
    shelf = Shelf()

    def bearing(kind: str = "P-256", **said: Any) -> OAuthClient:
        inside = said.pop("inside", {})
        grant = JWTBearer(Assertion(jwk(kind), **said), inside=inside)
        return client(issuer="https://auth.test", grant=grant, dialect=Dialect())

    key = TokenKey(client="name")
    await shelf.save(bearing(subject="alice"), key)

    assert await shelf.load(bearing("RSA", subject="alice", lifetime=30), key) is not None
    for other in (
        bearing(),
        bearing(subject="bob"),
        bearing(subject="alice", issuer="i"),
        bearing(subject="alice", audience="a"),
        bearing(subject="alice", claims={"role": "admin"}),
        bearing(subject="alice", inside={"scope": "scope"}),
    ):
        assert await shelf.load(other, key) is None
    presenting = client(grant=JWTBearer(), dialect=Dialect())
    assert await shelf.load(presenting, key) is None
