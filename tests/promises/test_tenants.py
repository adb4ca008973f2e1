"""Hundreds of clients from a resolver, that come, change and go while the program runs."""

from __future__ import annotations

import random
from collections import Counter

import anyio
import pytest
from attrs import define, field
from tests.kit.town import Town, client, town

from tokenflight import ConfigurationError, OAuthClient
from tokenflight.model.events import ClientChanged, FlightLaunched
from tokenflight.testing import Delay, Hang, Refuse

pytestmark = pytest.mark.anyio


@define(eq=False)
class Registry:
    """The tenants' table and the resolver that reads it, which takes a moment and counts."""

    place: Town
    rows: dict[str, OAuthClient] = field(factory=dict, repr=False)
    asked: Counter = field(factory=Counter)
    together: int = 0
    latency: float = 0.02
    broken: bool = False
    _reading: set = field(factory=set)

    async def __call__(self, name: str) -> OAuthClient | None:
        self.asked[name] += 1
        self.together += name in self._reading
        self._reading.add(name)
        try:
            await self.place.clock.sleep_until(self.place.clock.now() + self.latency)
            if self.broken:
                raise LookupError("no connection to the table")
            return self.rows.get(name)
        finally:
            self._reading.discard(name)

    def put(self, name: str, secret: str, **fields: object) -> None:
        """Write a tenant's row, and let the server know that secret alone."""
        client_id = str(fields.pop("client_id", name))
        self.rows[name] = client(client_id, secret=secret, **fields)
        self.place.endpoint.register(client_id, secret)


SIZES = pytest.mark.parametrize(
    ("tenants", "rate", "seconds"), [(60, 40, 120), pytest.param(300, 200, 600, marks=pytest.mark.long)]
)


@SIZES
async def test_tenants_are_added_changed_and_removed_at_random_under_traffic(tenants, rate, seconds):
    place = town(seed=5, expires_in=30)
    place.endpoint.always(Delay(0.03))
    registry, chance = Registry(place), random.Random(7)
    names = [f"t{number}" for number in range(tenants)]
    for name in names:
        registry.put(name, "s0")
    gone: dict[str, float] = {}

    async def upheaval(tokens: object) -> None:
        for step in range(int(seconds * 2)):
            await place.clock.sleep_until(place.clock.now() + 0.5)
            name = chance.choice(names)
            if name in gone:
                registry.put(name, f"s{step}")
                await place.clock.sleep_until(place.clock.now() + 5.1)  # a None is kept for 5 s
                del gone[name]
            elif chance.random() < 0.7:
                registry.put(name, f"s{step}")
            else:
                del registry.rows[name]
                gone[name] = place.clock.now()
                await tokens.forget_client(name)

    async with place.provider(registry) as tokens:
        sources = [tokens.source(name) for name in names]
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(upheaval, tokens)
            rounds = random.Random(11).sample(sources * 4, k=4 * len(sources))
            await place.traffic(rounds, rate=rate, seconds=seconds, lanes=20)
            tasks.cancel_scope.cancel()
    flights = Counter(event.key.client for event in place.told(FlightLaunched))
    assert registry.together == 0
    assert all(registry.asked[name] <= flights[name] for name in names)
    assert sum(registry.asked.values()) < place.calls / 5
    assert all(isinstance(call.error, ConfigurationError) for call in place.failures)
    assert all(entry.status == 200 or entry.error == "invalid_client" for entry in place.requests())
    refused = [entry for entry in place.requests() if entry.status != 200]
    assert len(refused) <= 0.02 * len(place.requests())  # a row that changed between its reading and the request
    assert max(place.endpoint.ledger.max_in_flight_by_key.values()) == 1


async def test_a_changed_secret_is_used_by_the_next_renewal_and_a_held_token_asks_nobody():
    place = town(expires_in=100)
    registry = Registry(place)
    registry.put("t", "one")
    async with place.provider(registry) as tokens:
        source = tokens.source("t")
        await place.once(source)
        registry.put("t", "two")
        await place.traffic([source], rate=10, seconds=60)
        assert registry.asked["t"] == 1
        await place.traffic([source], rate=10, seconds=30)
    assert registry.asked["t"] == 2
    assert [entry.secret for entry in place.requests()] == ["one", "two"]
    assert not place.failures


async def test_many_cold_keys_of_one_name_ask_the_resolver_once():
    place = town()
    registry = Registry(place)
    registry.put("t", "one")
    async with place.provider(registry) as tokens:
        calls = await place.once(*(tokens.source("t", subject=f"s{n}") for n in range(200)))
    assert registry.asked == {"t": 1}
    assert not [call for call in calls if call.error]


async def test_nothing_of_a_client_is_served_after_it_was_forgotten():
    place = town()
    registry = Registry(place)
    registry.put("t", "one")
    async with place.provider(registry) as tokens:
        sources = [tokens.source("t", subject=f"s{n}") for n in range(20)]
        await place.once(*sources)
        place.endpoint.always(Delay(0.5))
        late = tokens.source("t", subject="late")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(place.call, late)
            await place.clock.advance(0.1)
            del registry.rows["t"]
            assert await tokens.forget_client("t") == 21
            await place.clock.advance(1.0)
        calls = await place.once(*sources, late)
        assert tokens.status("t", limit=100)[0].verdict == "none"
    assert all(isinstance(call.error, ConfigurationError) for call in calls)


async def test_forgetting_one_subject_of_a_client_leaves_the_others():
    place = town()
    async with place.provider() as tokens:
        a, b = tokens.source(subject="a"), tokens.source(subject="b")
        await place.once(a, b)
        assert await tokens.forget_client("default", subject="a") == 1
        await place.once(a, b)
    assert sorted(entry.form["subject"] for entry in place.requests()) == ["a", "a", "b"]


async def test_an_absent_client_is_looked_up_again_after_five_seconds():
    place = town()
    registry = Registry(place)
    async with place.provider(registry) as tokens:
        source = tokens.source("t")
        [absent] = await place.once(source)
        registry.put("t", "one")
        await place.traffic([source], rate=10, seconds=4.9)
        assert registry.asked["t"] == 1
        assert len(place.failures) == place.calls
        await place.clock.advance(0.2)
        [served] = await place.once(source)
    assert isinstance(absent.error, ConfigurationError)
    assert served.error is None


@pytest.mark.parametrize("change", [{"host": "new.test"}, {"client_id": "renamed"}, {"issuer": "https://new.test"}])
async def test_a_client_that_becomes_another_forgets_what_was_held_under_its_name(change):
    place = town(expires_in=100)
    registry = Registry(place)
    registry.put("t", "one")
    async with place.provider(registry) as tokens:
        sources = [tokens.source("t", subject=name) for name in "abc"]
        before = await place.once(*sources)
        registry.put("t", "one", **change)
        await place.once(tokens.source("t", subject="cold"))
        after = await place.once(*sources)
    [changed] = place.told(ClientChanged)
    assert changed.forgotten == 3
    assert not {call.token.header for call in before} & {call.token.header for call in after}


async def test_a_resolver_that_raises_is_transient_and_held_tokens_live_on():
    place = town(expires_in=20)
    registry = Registry(place)
    registry.put("t", "one")
    async with place.provider(registry) as tokens:
        source = tokens.source("t")
        await place.once(source)
        registry.broken = True
        await place.traffic([source], rate=10, seconds=19.8)
        assert not place.failures
        [cold] = await place.once(tokens.source("t", subject="cold"))
        assert cold.error.transient
        assert cold.error.reason == "resolver"
        assert 0 < cold.error.retry_after <= 5
        assert tokens.health()[0].state == "up"
        registry.broken = False
        await place.clock.advance(6)
        [healed] = await place.once(source)
    assert healed.error is None


@pytest.mark.parametrize("act", [Refuse(), Hang()], ids=["refusing", "hanging"])
async def test_the_dead_endpoint_of_one_tenant_is_nothing_to_the_others(act):
    place = town(expires_in=60)
    place.endpoint.always(lambda entry: act if entry.client == "t0" else Delay(0.03))
    clients = {f"t{n}": client(f"t{n}", host=f"t{n}.test") for n in range(40)}
    async with place.provider(clients) as tokens:
        victims = [tokens.source("t0", subject=f"s{n}") for n in range(50)]
        others = [tokens.source(name) for name in clients if name != "t0"]
        await place.once(*others)
        place.waits.clear()
        await place.everybody([*victims, *others], every=1.0, seconds=120)
        [cold] = await place.once(tokens.source("t7", subject="cold"))
    assert {call.source.key.client for call in (*place.failures, *place.waits)} == {"t0", "t7"}
    assert cold.waited == pytest.approx(0.03)


@pytest.mark.parametrize("subjects", [1000, pytest.param(100_000, marks=pytest.mark.long)])
async def test_a_tenant_with_very_many_subjects_takes_nothing_from_the_others(subjects):
    place = town(expires_in=3600)
    place.endpoint.always(Delay(0.02))
    names = [f"t{n}" for n in range(30)]
    async with place.provider({name: client(name) for name in [*names, "flood"]}, max_keys=subjects // 2) as tokens:
        others = [tokens.source(name, subject=f"s{n}") for name in names for n in range(5)]
        await place.once(*others)
        place.waits.clear()
        flood = [tokens.source("flood", subject=f"s{n}") for n in range(subjects)]
        cold = tokens.source("t3", subject="cold")
        turns = []

        async def caller(source: object) -> None:
            for number in range(round(subjects / 1000)):
                await place.clock.sleep_until(1.0 + number * 0.9)
                await place.call(source)

        async def late() -> None:
            await place.clock.sleep_until(1.5)
            turns.append(await place.call(cold))

        async def crowd() -> None:
            async with anyio.create_task_group() as tasks:
                for source in others:
                    tasks.start_soon(caller, source)
                tasks.start_soon(late)
                await place.clock.sleep_until(1.1)
                for source in flood:
                    tasks.start_soon(place.call, source)

        await place.clock.run(crowd)
        assert len(tokens.status(limit=subjects * 2)) <= subjects // 2 + 20
    assert not place.failures
    assert turns[0].waited <= 0.1
    assert {call.source.key.client for call in place.waits} == {"flood", "t3"}
    assert Counter(entry.client for entry in place.requests())["t3"] == 6
