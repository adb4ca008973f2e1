"""The only way to a token: find the client, look in the store, ask, save."""

from __future__ import annotations

from typing import Any

import pytest
from tests.kit.bench import chosen_town
from tests.kit.town import Town, client

from tokenflight import MemoryStore, OAuthClient, TokenFlightError, TokenKey
from tokenflight.errors import ConfigurationError
from tokenflight.model.events import ClientChanged, StoreFailed, TokenLanded
from tokenflight.stores import Record
from tokenflight.testing import Answer, Delay, Error

pytestmark = pytest.mark.anyio
API = "https://api.test"


async def fails(place: Town, call: Any, *args: Any) -> Any:
    with pytest.raises(TokenFlightError) as raised:
        await place.clock.run(call, *args)
    return raised.value


class Broken:
    async def load(self, name: str) -> Record | None:
        raise OSError("CNRY-dsn")

    async def save(self, name: str, record: Record, *, expected: int | None) -> bool:
        raise OSError("CNRY-dsn")

    async def discard(self, name: str) -> None:
        raise OSError("CNRY-dsn")


async def test_a_client_that_cannot_be_found_is_the_flights_failure() -> None:
    place = chosen_town()
    async with place.provider(lambda name: None) as tokens:
        error = await fails(place, tokens.token, "tenant")
        assert type(error) is ConfigurationError
        assert str(error) == "the resolver knows no client 'tenant': check the name, or add the client"
        assert len(place.endpoint.ledger) == 0


async def test_a_resolvers_client_that_cannot_carry_the_key_is_told_before_anything_is_sent() -> None:
    plain = OAuthClient(client_id="c", token_endpoint="https://auth.test/token", authentication="s")
    place = chosen_town()
    async with place.provider(lambda name: plain) as tokens:
        error = await fails(place, lambda: tokens.token("tenant", subject="somebody"))
        assert type(error) is ConfigurationError
        assert "the subject would be dropped" in str(error)
        assert len(place.endpoint.ledger) == 0
        assert tokens.health() == ()


async def test_a_token_in_the_store_needs_no_request() -> None:
    place, store = chosen_town(), MemoryStore()
    async with place.provider(store=store) as tokens:
        first = await place.clock.run(tokens.token)
    async with place.provider(store=store) as tokens:
        assert (await place.clock.run(tokens.token)).header == first.header
        assert len(place.endpoint.ledger) == 1
        [health] = tokens.health()
        assert (health.issued, health.keys) == (0, 1)
    assert [told.attempts for told in place.told(TokenLanded)] == [1, 0]


async def test_its_age_is_counted_on_and_a_dead_one_is_not_taken() -> None:
    place, store = chosen_town(expires_in=100), MemoryStore()
    async with place.provider(store=store) as tokens:
        await place.clock.run(tokens.token)
    await place.clock.advance(60.0)
    async with place.provider(store=store) as tokens:
        await place.clock.run(tokens.token)
        assert tokens._engine.state.entry(tokens.status()[0].key).life.expires_at == 100.0
        await place.clock.advance(40.0)
        await place.clock.run(tokens.token)
        assert len(place.endpoint.ledger) == 2


async def test_who_renews_ahead_takes_what_another_has_renewed_already() -> None:
    place, store = chosen_town(expires_in=100), MemoryStore()
    async with place.provider(store=store) as slow, place.provider(store=store) as quick:
        for tokens in (slow, quick):
            source = tokens.source()
            await place.once(source)
            await source.token()
        assert len(place.endpoint.ledger) == 1
        await place.clock.advance(10.0)
        await place.clock.run(quick.renew)
        await place.clock.advance(56.0)
        assert len(place.endpoint.ledger) == 2
        assert (await slow.token()).header == (await quick.token()).header


async def test_who_renews_ahead_and_finds_nothing_but_the_held_one_asks() -> None:
    place, store = chosen_town(expires_in=100), MemoryStore()
    async with place.provider(store=store) as tokens:
        source = tokens.source()
        await place.once(source)
        await source.token()
        await place.clock.advance(66.0)
        assert len(place.endpoint.ledger) == 2


async def test_a_stored_token_that_is_due_itself_is_taken_only_where_the_endpoint_gives_none() -> None:
    place, store = chosen_town(expires_in=100), MemoryStore()
    async with place.provider(store=store) as first, place.provider(store=store) as second:
        await place.clock.run(first.token)
        await place.clock.run(second.token)
        await place.clock.advance(10.0)
        await place.clock.run(second.renew)
        await place.clock.advance(70.0)
        place.endpoint.always(Answer(503))
        held = await place.clock.run(lambda: first.token(min_ttl=25.0))
        assert held.header == (await second.token()).header, "10 s more than its own"
        assert len(place.endpoint.ledger) == 5, "two, and three attempts at a better one"
        place.endpoint.always()
        await place.clock.advance(15.0)
        newest = await place.clock.run(lambda: first.token(min_ttl=25.0))
        assert place.endpoint.ledger[-1].token in newest.header


async def test_a_rejected_token_is_not_taken_from_the_store_again_but_another_is() -> None:
    place, store = chosen_town(), MemoryStore()
    async with place.provider(store=store) as first, place.provider(store=store) as second:
        old = await place.clock.run(first.token)
        await place.clock.run(second.token)
        newer = await place.clock.run(lambda: first.renew(rejected=old, origin=API))
        assert len(place.endpoint.ledger) == 2
        assert (await place.clock.run(lambda: second.renew(rejected=old, origin=API))).header == newer.header
        assert len(place.endpoint.ledger) == 2


async def test_each_new_token_replaces_the_stored_one() -> None:
    place, store = chosen_town(), MemoryStore()
    async with place.provider(store=store) as tokens:
        for _ in range(3):
            await place.clock.run(tokens.renew)
            await place.clock.advance(61.0)
        [record] = store._records.values()
        assert record.generation == 3
        assert record.token.header == (await tokens.token()).header
        assert record.key == TokenKey(client="service", scope=frozenset())


async def test_a_wall_clock_that_is_set_back_lets_no_token_outlive_its_end() -> None:
    place, store = chosen_town(expires_in=100), MemoryStore()
    async with place.provider(store=store) as tokens:
        token = await place.clock.run(tokens.token)
        await place.clock.advance(50.0)
        place.clock.jump_wall(-3600.0)
        place.endpoint.always(Answer(503))
        assert await place.clock.run(lambda: tokens.token(min_ttl=90.0)) is token
        await place.clock.advance(50.0)
        assert (await fails(place, tokens.token)).reason == "http_503"


async def test_a_store_that_fails_costs_no_call_anything() -> None:
    place = chosen_town()
    async with place.provider(store=Broken()) as tokens:
        assert place.endpoint.is_live(await place.clock.run(tokens.token))
        assert await tokens.forget()
    assert [told.operation for told in place.told(StoreFailed)] == ["load", "save", "discard"]


async def test_a_flight_that_was_forgotten_saves_nothing() -> None:
    class Watched(MemoryStore):
        async def save(self, name: str, record: Record, *, expected: int | None) -> bool:
            raise AssertionError("it is saved")

    place, store = chosen_town(), Watched()
    place.endpoint.always(Delay(1.0))
    async with place.provider(store=store) as tokens:
        source = tokens.source()

        async def ask_and_forget() -> None:
            import anyio

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(source.token)
                await place.clock.sleep_until(0.5)
                await source.forget()

        await place.clock.run(ask_and_forget)
        assert place.told(StoreFailed) == []


async def test_one_forgotten_while_it_saves_takes_it_back() -> None:
    class Slow(MemoryStore):
        async def save(self, name: str, record: Record, *, expected: int | None) -> bool:
            saved = await super().save(name, record, expected=expected)
            tokens._engine.forget(tokens._engine.state.entry(TokenKey(client="default")))
            return saved

    place, store = chosen_town(), Slow()
    async with place.provider(store=store) as tokens:
        await place.clock.run(tokens.token)
        assert store._records == {}


async def test_a_failure_names_the_grant() -> None:
    place = chosen_town()
    place.endpoint.always(Error("invalid_scope"))
    async with place.provider() as tokens:
        assert (await fails(place, tokens.token)).grant_type == "client_credentials"


async def test_each_flight_is_on_the_lane_of_its_client_as_it_is_now() -> None:
    host = ["one.test"]
    place = chosen_town()
    async with place.provider(lambda name: client(host=host[0])) as tokens:
        await place.clock.run(tokens.token, "tenant")
        host[0] = "two.test"
        await place.clock.run(lambda: tokens.renew("tenant"))
        assert [health.endpoint for health in tokens.health()] == ["https://two.test"]
        assert [entry.request.origin for entry in place.endpoint.ledger] == ["https://one.test", "https://two.test"]
    assert place.told(ClientChanged) == [ClientChanged(client="tenant", forgotten=1)]
