"""What each exchange says of its endpoint: once when it goes down, once when it is back, whoever asked."""

from __future__ import annotations

import logging

import pytest
from tests.kit.bench import KEY, Bench, failure, key

from tokenflight.engine.health import Lane
from tokenflight.model.events import EndpointDown, EndpointThrottled, EndpointUp

pytestmark = pytest.mark.anyio

REFUSED = failure("invalid_scope", transient=False, counts=False)
URL = "https://auth.test"


def lane_of(bench: Bench, client: str = "c") -> Lane:
    return bench.state.lanes.lane(client, "https://auth.test/token", URL, bench.clock.now())


def hear(bench: Bench, *failures: object, lane: Lane | None = None) -> None:
    for each in failures:
        bench.engine.answers.hear(lane or lane_of(bench), KEY, each)  # type: ignore[arg-type]


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    return [(record.levelno, record.getMessage()) for record in caplog.records if record.levelno >= logging.INFO]


async def test_one_warning_when_it_goes_down_and_one_info_when_it_is_back(caplog) -> None:
    caplog.set_level(logging.INFO, "tokenflight")
    async with Bench().entered() as bench:
        hear(bench, *[failure("timeout")] * 30)
        await bench.clock.advance(90.0)
        hear(bench, *[None] * 30)
        await bench.clock.settle()
    assert lines(caplog) == [
        (logging.WARNING, f"token endpoint {URL} is down (timeout): held tokens are served, it is probed"),
        (logging.INFO, f"token endpoint {URL} is back after 90.0 s"),
    ]
    assert bench.told(EndpointDown) == [EndpointDown(endpoint=URL, reason="timeout")]
    assert bench.told(EndpointUp) == [EndpointUp(endpoint=URL, after=90.0)]


async def test_failures_of_several_clients_count_together() -> None:
    async with Bench().entered() as bench:
        for client in "abc":
            hear(bench, failure(), lane=lane_of(bench, client))
        assert lane_of(bench).health.state == "probing"


async def test_a_failure_that_is_not_the_endpoints_says_nothing_of_it() -> None:
    async with Bench().entered() as bench:
        hear(bench, *[failure("pool", counts=False)] * 5)
        assert (lane_of(bench).health.state, lane_of(bench).health.in_a_row) == ("up", 0)
        hear(bench, failure(), failure(), failure("pool", counts=False), failure())
        assert lane_of(bench).health.state == "probing", "nor does it say that it serves"


async def test_a_refusal_is_an_answer_of_an_endpoint_that_is_up() -> None:
    async with Bench().entered() as bench:
        hear(bench, failure(), failure(), REFUSED, failure(), failure())
        assert (lane_of(bench).health.state, lane_of(bench).health.issued) == ("up", 0)
        hear(bench, failure(), REFUSED)
        assert lane_of(bench).health.state == "opening"


async def test_tokens_are_counted() -> None:
    async with Bench().entered() as bench:
        hear(bench, None, REFUSED, None)
        assert lane_of(bench).health.issued == 2


async def test_a_429_halves_the_places_and_is_no_failure() -> None:
    async with Bench().entered() as bench:
        hear(bench, *[failure("http_429", status=429, counts=False)] * 5)
        health = lane_of(bench).health
        assert (health.state, health.in_a_row, health.places.limit) == ("up", 0, 1)


async def test_a_429_to_a_probe_postpones_the_next_one() -> None:
    async with Bench(latency=0.0).entered() as bench:
        bench.script(*[failure()] * 3)
        for name in "abc":
            await bench.fails(key(name))
        bench.script(failure("http_429", status=429, counts=False))
        await bench.fails(key("a"))
        await bench.clock.advance(0.5)
        await bench.fails(key("b"))
        await bench.clock.advance(0.5)
        assert bench.launches[3:] == [0.5, 1.0]
        assert bench.triggers[3:] == ["probe", "probe"]


async def test_a_429_to_what_was_in_the_air_postpones_the_probe_that_was_planned() -> None:
    async with Bench(latency=0.0).entered() as bench:
        bench.script(*[failure()] * 3)
        for name in "abc":
            await bench.fails(key(name))
        await bench.fails(key("a"))
        await bench.clock.advance(0.3)
        hear(bench, failure("http_429", status=429, counts=False))
        await bench.clock.advance(1.0)
        assert bench.launches[3:] == pytest.approx([0.8], abs=0.01)


async def test_a_short_retry_after_holds_the_clients_flights_in_line_until_its_end() -> None:
    async with Bench().entered() as bench:
        lane = lane_of(bench)
        hear(bench, failure(retry_after=30.0))
        assert lane.health.places._blocked == {"c"}
        await bench.clock.settle()
        assert bench.told(EndpointThrottled) == [EndpointThrottled(endpoint=URL, client="c", held=30.0)]
        await bench.clock.advance(30.0)
        assert lane.health.places._blocked == set()


async def test_a_long_one_ends_the_flights_in_line_instead() -> None:
    async with Bench().entered() as bench:
        lane = lane_of(bench)
        hear(bench, failure(retry_after=30.1))
        assert lane.health.places._blocked == set()
        assert lane.brake(KEY, 30.0) is not None
        await bench.clock.settle()
        assert bench.told(EndpointThrottled)[0].held == 30.1


async def test_a_retry_after_beside_a_lasting_refusal_says_nothing() -> None:
    async with Bench().entered() as bench:
        hear(bench, failure("invalid_scope", transient=False, retry_after=30.0))
        assert lane_of(bench).brake(KEY, 0.0) is None
        assert bench.told(EndpointThrottled) == []
