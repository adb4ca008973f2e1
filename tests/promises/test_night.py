"""A night without an endpoint: forty minutes in which nothing is lost, hidden or shouted."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack

import anyio
import pytest
from tests.kit.town import client, records, town

from tokenflight import EndpointHealth, KeyStatus
from tokenflight.model.events import EndpointDown, EndpointUp
from tokenflight.testing import Hang, Refuse

pytestmark = pytest.mark.anyio

SIZES = pytest.mark.parametrize(
    ("tenants", "keys", "every"), [(12, 8, 20.0), pytest.param(300, 40, 30.0, marks=pytest.mark.long)]
)


def _right(status: KeyStatus, health: EndpointHealth) -> set[str | None]:
    """Return what may hold a key back, as its token and its endpoint stand."""
    down = health.state == "probing"
    own = {"fresh": {None, "pace"}, "due": {None, "backoff"}, "urgent": {None, "backoff"}}
    reasons = own.get(status.verdict, {None, "failed"})
    return reasons | {"probing"} if health.next_probe_in == 0 or not down else reasons - {None} | {"probing"}


@SIZES
@pytest.mark.parametrize("act", [Refuse(), Hang()], ids=["refusing", "hanging"])
async def test_forty_minutes_of_a_dead_endpoint(tenants, keys, every, act, caplog):
    caplog.set_level(logging.DEBUG, "tokenflight")
    place = town(seed=tenants, expires_in=3600)
    place.endpoint.ledger.waive("flights", "two providers ask for the same keys, each for itself")
    clients = {f"t{n}": client(f"t{n}") for n in range(tenants)}
    async with AsyncExitStack() as stack:
        tokens = await stack.enter_async_context(place.provider(clients))
        sources = [tokens.source(name, subject=f"s{n}") for name in clients for n in range(keys)]
        ages = sorted(range(len(sources)), key=lambda number: number * 7919 % len(sources))
        for minute in range(6):  # their lives began at different times
            await place.once(*(sources[number] for number in ages[minute::6]))
            await place.clock.advance(600)
        await place.everybody(sources, every=60.0, seconds=120)
        place.endpoint.always(act)
        began, sent = place.clock.now(), len(place.requests())
        place.failures.clear()
        place.waits.clear()
        for minute in range(40):
            await place.everybody(sources, every=every, seconds=60)
            statuses = tokens.status(limit=100_000)
            [health] = tokens.health()
            for status in statuses:
                assert status.holding_back in _right(status, health), (minute, status, health)
            if minute == 20:
                mark = place.clock.now()
                young = await stack.enter_async_context(place.provider(clients))
                assert place.clock.now() == mark
                new = [young.source(name, subject=f"s{n}") for name in clients for n in range(3)]
            if minute >= 20:
                await place.everybody(new, every=10.0, seconds=10)
        assert not place.dead
        held = [call for call in place.failures if call.source in sources]
        assert {call.source.key for call in held} <= {status.key for status in statuses if status.verdict == "expired"}
        assert len(place.requests()) - sent <= 2 * 1200
        place.endpoint.always()
        await place.everybody([*sources, *new], every=2.0, seconds=60)
        late = await place.once(*sources, *new)
        assert [provider.health()[0].state for provider in (tokens, young)] == ["up", "up"]
    assert not [call for call in late if call.error]
    assert len(place.told(EndpointDown)) == len(place.told(EndpointUp)) == 2  # one a provider
    assert len(records(caplog, logging.WARNING)) == 2
    assert len(records(caplog, logging.INFO)) == 2
    assert place.clock.now() > began + 2400


async def test_no_token_is_refused_a_moment_before_its_end_while_the_night_lasts():
    place = town(expires_in=900)
    async with place.provider() as tokens:
        sources = [tokens.source(subject=f"s{number}") for number in range(10)]
        ends = {}
        for source in sources:
            [call] = await place.once(source)
            ends[source] = place.clock.now() + 900
            await place.clock.advance(37)
        place.endpoint.down()

        async def until_refused(source: object) -> None:
            while (await place.call(source)).error is None:
                await place.clock.sleep_until(place.clock.now() + 0.25)

        async def all_of_them() -> None:
            async with anyio.create_task_group() as tasks:
                for source in sources:
                    tasks.start_soon(until_refused, source)

        await place.clock.run(all_of_them)
    assert len(place.failures) == 10
    for call in place.failures:
        assert ends[call.source] <= call.at <= ends[call.source] + 0.25
