"""One attempt that spends a refresh token: how long it has, when it is made again, and what its failure means."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from tests.kit.rotating import Swallow, adopted, app, login_app, session_town

from tokenflight import AuthorizationCode, InvalidGrantError, MemoryStore, RetryPolicy, SessionLostError
from tokenflight.model.events import AttemptFailed, SessionLost
from tokenflight.testing import Error, Hang, LoseReply, Straggle

pytestmark = pytest.mark.anyio


def cut_at(place: Any) -> list[float]:
    return [entry.finished - entry.started for entry in place.requests()]


@pytest.mark.parametrize(
    ("client", "seconds"),
    [
        (app(), 30.0),
        (app(0.0), 30.0),
        (app(30.0), 10 / 3),
        (app(6.0), 2.0),
        (login_app(grant=AuthorizationCode(grace=30)), 10 / 3),
    ],
)
async def test_an_attempt_has_all_the_time_there_is_or_a_third_of_a_known_grace(client, seconds):
    place = session_town()
    async with place.provider(client) as tokens:
        await adopted(place, tokens)
        place.endpoint.script(Hang())
        await place.once(tokens.source(subject="ann"))
    assert cut_at(place)[0] == pytest.approx(seconds)


async def test_a_live_token_makes_it_no_shorter():
    place = session_town(expires_in=40)
    async with place.provider(app(), retry=RetryPolicy(total_timeout=20.0)) as tokens:
        await adopted(place, tokens)
        source = tokens.source(subject="ann", keep_warm=True)
        await place.once(source)
        place.endpoint.script(Hang())
        await place.clock.advance(60.0)
    assert cut_at(place)[1] == pytest.approx(20.0)


async def test_in_doubt_nothing_is_sent_for_who_wants_a_longer_life_and_nobody_is_kept_waiting():
    place = session_town(expires_in=600)
    async with place.provider(app()) as tokens:
        await adopted(place, tokens)
        source = tokens.source(subject="ann", min_ttl=590.0)
        [first] = await place.once(source)
        await place.clock.advance(100.0)
        place.endpoint.script(Swallow())
        await place.once(source)
        await place.clock.advance(60.0)
        [call] = await place.once(source)
    assert call.token is first.token
    assert call.waited == 0.0
    assert len(place.requests()) == 2
    assert [told.reason for told in place.told(AttemptFailed)][-1] == "in_doubt"


async def test_replays_are_made_though_nobody_waits():
    place = session_town(grace=30.0, expires_in=600)
    async with place.provider(app(30.0)) as tokens:
        family = await adopted(place, tokens)
        source = tokens.source(subject="ann")
        await place.once(source)
        await place.once(source)
        place.endpoint.script(LoseReply(), Swallow())
        await place.clock.advance(500.0)
    assert len(place.requests()) == 4
    assert (family.reuses, family.generations) == (0, 4)


async def test_a_refusal_while_the_session_was_ended_in_the_store_says_so():
    place, store = session_town(), MemoryStore()
    async with place.provider(app(), store=store) as one, place.provider(app(), store=store) as other:
        await adopted(place, one)

        def refuse(entry: Any) -> Any:
            store._records.clear()
            return Error("invalid_grant")

        place.endpoint.script(refuse)
        [call] = await place.once(one.source(subject="ann"))
        assert isinstance(call.error, SessionLostError)
        assert call.error.reason == "no_session"
        assert other.status() == ()
    assert not place.told(SessionLost)


async def test_what_the_server_said_is_told_with_the_loss():
    place = session_town()
    async with place.provider(app()) as tokens:
        await adopted(place, tokens)
        place.endpoint.script(Error("invalid_grant", "spent", headers={"x-request-id": "id-7"}))
        [call] = await place.once(tokens.source(subject="ann"))
    assert "invalid_grant (spent)" in str(call.error)
    assert call.error.detail.startswith("the session is lost: https://auth.test answered 400")
    assert call.error.attempts == 1


async def test_of_an_answer_to_a_session_that_was_replaced_meanwhile_nothing_is_kept():
    place = session_town()
    async with place.provider(app()) as tokens:
        old = await adopted(place, tokens)
        place.endpoint.script(Straggle(2.0, Error("invalid_grant")))

        async def refused() -> None:
            with pytest.raises(InvalidGrantError):
                await tokens.token(subject="ann")

        async def meanwhile() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(refused)
                await place.clock.sleep_until(1.0)
                await tokens.sessions.adopt(subject="ann", refresh_token=place.endpoint.login())

        await place.clock.run(meanwhile)
        [call] = await place.once(tokens.source(subject="ann", audience="another"))
        assert call.token is not None
    assert old.generations == 0
    assert not place.told(SessionLost)
