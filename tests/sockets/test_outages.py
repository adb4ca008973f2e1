"""An endpoint that is down past a token's end sees the schedule, and not the callers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from tests.kit.harbour import harbour, soon

from tokenflight import Token, TokenRequestError
from tokenflight.model.events import AttemptFailed, EndpointDown, EndpointUp, Event
from tokenflight.testing import Answer, FakeTokenEndpoint

pytestmark = pytest.mark.anyio

LIFE, OUTAGE = 2.0, 4.0
WHILE_IT_LIVES = 16
"""From when it is due, 0.7 s before its end at most, a try every 0.05 s at least: half of 0.01·L or 0.05·L."""
AFTERWARDS = 5
"""The next is at least half of min(5 s, 0.5·2^m) away: even from m = 0 on, that is 0.25, 0.75, 1.75 and 3.75 s."""


@pytest.mark.parametrize(
    ("fall", "reason"),
    [
        (FakeTokenEndpoint.down, "connect"),
        (lambda endpoint: endpoint.always(Answer(503)), "http_503"),
    ],
    ids=["refusing", "503"],
)
async def test_an_endpoint_that_is_down_past_the_end_of_a_token_sees_the_schedule(
    fall: Callable[[FakeTokenEndpoint], Any], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[tuple[float, Event]] = []
    served: list[tuple[float, Token]] = []
    failed: list[tuple[float, TokenRequestError]] = []

    async def caller() -> None:
        while True:
            try:
                served.append((anyio.current_time(), await tokens.token()))
            except TokenRequestError as error:
                failed.append((anyio.current_time(), error))
            await anyio.sleep(0.1)

    def note(event: Event) -> None:
        port.events.append(event)
        told.append((anyio.current_time(), event))

    async with (
        harbour(expires_in=LIFE) as port,
        port.provider(hooks=[note]) as tokens,
        anyio.create_task_group() as callers,
    ):
        await tokens.token()
        sent_before = len(port.endpoint.ledger)
        began = anyio.current_time()
        fall(port.endpoint)
        for _ in range(10):
            callers.start_soon(caller)
        await anyio.sleep(OUTAGE)
        attempts = await port.told(AttemptFailed)
        late = [when for when, event in told if isinstance(event, AttemptFailed) and when > began + LIFE]
        port.endpoint.always()
        port.endpoint.up()
        healed = anyio.current_time()
        await soon(lambda: served[-1][0] >= healed)
        down, up = await port.told(EndpointDown), await port.told(EndpointUp)
        (health,) = tokens.health()
        callers.cancel_scope.cancel()
    assert 3 <= len(attempts) <= WHILE_IT_LIVES + AFTERWARDS
    assert len(late) <= AFTERWARDS
    assert {attempt.reason for attempt in attempts} == {reason}
    assert len([entry for entry in port.endpoint.ledger if entry.status == 200]) <= sent_before + 2
    assert len(failed) > 50
    assert all(error.transient and error.reason == reason for _, error in failed)
    assert all(error.retry_after is not None and error.retry_after <= 6 for _, error in failed)
    assert min(moment for moment, _ in failed) >= began + LIFE * 0.95
    assert (len(down), len(up)) == (1, 1)
    assert health.state in {"opening", "up"}
    levels = [record.levelno for record in caplog.records if record.name.startswith("tokenflight.engine")]
    assert [level for level in levels if level >= logging.INFO] == [logging.WARNING, logging.INFO]
