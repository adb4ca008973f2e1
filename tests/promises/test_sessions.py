"""A session lives on its refresh token, whatever becomes of replies, callers, stores and processes."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import anyio
import pytest
from tests.kit.rotating import RotatingServer, Swallow, adopted, app, session_town
from tests.kit.town import Town

from tokenflight import SessionLostError
from tokenflight.model.events import SessionLost
from tokenflight.testing import Act, Answer, Delay, Error, Hang, LoseReply, Refuse, Reset, TokenEntry

pytestmark = pytest.mark.anyio

GENERATIONS = pytest.mark.parametrize("generations", [300, pytest.param(10_000, marks=pytest.mark.long)])


class Losing:
    """Lose *share* of the replies, half cut and half silent, at most *in_a_row* for one spent token."""

    def __init__(self, seed: int, *, share: float = 0.05, in_a_row: int = 2) -> None:
        self.random = random.Random(seed)
        self.share, self.in_a_row = share, in_a_row
        self.left: dict[str, int] = {}
        self.lost = 0

    def __call__(self, entry: TokenEntry) -> Act | None:
        value = entry.form["refresh_token"]
        if value not in self.left:
            hit = self.random.random() < self.share
            self.left[value] = self.random.randint(1, self.in_a_row) if hit else 0
        if not self.left[value]:
            return None
        self.left[value] -= 1
        self.lost += 1
        return self.random.choice([LoseReply(), Swallow()])


async def cancelled_callers(place: Town, source: object, seed: int, until: Callable[[], bool]) -> None:
    """Ask and give up at random moments."""
    draw = random.Random(seed)
    while not until():
        with place.clock.timeout_at(place.clock.now() + draw.uniform(0, 5)):
            await source.token()
        await place.clock.sleep_until(place.clock.now() + draw.uniform(0, 60))


@GENERATIONS
@pytest.mark.parametrize("cancelling", [False, True])
async def test_with_a_grace_that_is_known_two_lost_replies_in_a_row_lose_no_session(generations, cancelling):
    place = session_town(seed=1, grace=30.0, expires_in=120)
    server: RotatingServer = place.endpoint
    async with place.provider(app(30.0)) as tokens:
        family = await adopted(place, tokens)
        losing = Losing(2)
        server.always(losing)
        source = tokens.source(subject="ann", keep_warm=True)
        async with anyio.create_task_group() as tasks:
            if cancelling:
                eager = tokens.source(subject="ann", min_ttl=100.0)
                tasks.start_soon(cancelled_callers, place, eager, 3, lambda: family.generations >= generations)
            while family.generations < generations:
                await place.clock.advance(60.0)
                await place.once(source)
            await place.clock.advance(120.0)
    assert losing.lost > 0.03 * generations
    assert (family.dead, family.reuses) == (False, 0)
    assert not place.failures
    assert not place.told(SessionLost)


@pytest.mark.parametrize("sessions", [60, pytest.param(1_000, marks=pytest.mark.long)])
async def test_three_in_a_row_lose_exactly_their_sessions_and_nothing_is_sent_for_them_any_more(sessions):
    place = session_town(seed=4, grace=30.0, expires_in=600)
    server: RotatingServer = place.endpoint
    draw, hit, left = random.Random(5), set(), Counter()

    def lose(entry: TokenEntry) -> Act | None:
        value = entry.form["refresh_token"]
        family = server._by_token[value]
        if family.generations == 1 and value not in left and draw.random() < 0.1:
            hit.add(family.subject)
            left[value] = 3
        if left[value] <= 0:
            return None
        left[value] -= 1
        return draw.choice([LoseReply(), Swallow()])

    async with place.provider(app(30.0)) as tokens:
        sources = {}
        for number in range(sessions):
            subject = f"user-{number}"
            await adopted(place, tokens, subject)
            sources[subject] = tokens.source(subject=subject)
            await place.once(sources[subject])
            await place.clock.advance(300.0 / sessions)
        server.always(lose)
        await place.everybody(list(sources.values()), every=60.0, seconds=1800.0)
        lost = place.told(SessionLost)
        assert {event.key.subject.id for event in lost} == hit
        assert 0 < len(lost) == len(hit) < sessions
        assert all(event.ambiguous for event in lost)
        told = [call.error for call in place.failures if isinstance(call.error, SessionLostError)]
        assert {error.key.subject.id for error in told} == hit
        before = len(server.ledger)
        calls = await place.once(*(sources[subject] for subject in hit))
        assert all(isinstance(call.error, SessionLostError) and call.error.ambiguous for call in calls)
        await place.clock.advance(900.0)
        await place.once(*(sources[subject] for subject in hit))
        assert not {server._by_token[value].subject for value in server.spent()[before:]} & hit
        for subject in hit:
            await adopted(place, tokens, subject)
        calls = await place.once(*(sources[subject] for subject in hit))
        assert all(call.token is not None and server.is_live(call.token) for call in calls)


@pytest.mark.parametrize("grace", [None, 0.0, 30.0])
async def test_without_a_grace_exactly_those_whose_reply_was_lost_are_lost(grace):
    place = session_town(seed=6, grace=0.0, expires_in=600)
    server: RotatingServer = place.endpoint
    ways = {
        "reset": Reset(),
        "refused": Refuse(),
        "hang": Hang(),
        "cut": LoseReply(),
        "silent": Swallow(),
        "503": Answer(503),
    }
    async with place.provider(app(grace)) as tokens:
        for subject in ways:
            await adopted(place, tokens, subject)
        sources = [tokens.source(subject=subject) for subject in ways]
        await place.once(*sources)
        hit = dict(ways)
        server.always(lambda entry: hit.pop(server._by_token[entry.form["refresh_token"]].subject, None))
        for _ in range(15):
            await place.clock.advance(60.0)
            calls = await place.once(*sources)
    lost = {subject for subject, call in zip(ways, calls, strict=True) if isinstance(call.error, SessionLostError)}
    assert lost == {"cut", "silent"}
    assert {event.key.subject.id for event in place.told(SessionLost)} == lost
    assert all(event.ambiguous for event in place.told(SessionLost))
    assert {call.error.key.subject.id for call in place.failures} == lost
    assert {family.subject for family in server.families if family.dead} == lost


async def test_an_answer_that_cannot_be_read_counts_as_lost():
    place = session_town(grace=30.0)
    async with place.provider(app(30.0)) as tokens:
        family = await adopted(place, tokens)
        place.endpoint.script(Answer(200, "<html>"), Answer(200, {"refresh_token": "only"}))
        [call] = await place.once(tokens.source(subject="ann"))
    assert call.token is not None
    assert len(place.requests()) == 3
    assert family.reuses == 0


async def test_a_last_try_is_made_when_the_access_token_is_over_and_may_still_bring_it_back():
    place = session_town(grace=10_000.0, expires_in=600)
    async with place.provider(app()) as tokens:
        family = await adopted(place, tokens)
        source = tokens.source(subject="ann")
        await place.once(source)
        await place.once(source)
        place.endpoint.script(Swallow())  # for all of 30 s: too late for a replay
        await place.clock.advance(560.0)
        assert len(place.requests()) == 2, "no try while the access token lives"
        assert source.status().last_error == "in_doubt"
        await place.clock.advance(60.0)
        [call] = await place.once(source)
        assert call.token is not None
    assert not place.failures
    assert (family.reuses, len(place.requests())) == (0, 3)


async def test_a_last_try_whose_reply_is_lost_too_is_the_end():
    place = session_town(grace=10_000.0, expires_in=60)
    async with place.provider(app()) as tokens:
        await adopted(place, tokens)
        source = tokens.source(subject="ann")
        await place.once(source)
        await place.clock.advance(100.0)
        place.endpoint.always(Swallow())
        calls = [(await place.once(source))[0] for _ in range(3)]
        await place.clock.advance(60.0)
        calls += await place.once(source)
        sent = len(place.requests())
        await place.clock.advance(1000.0)
        calls += await place.once(source)
    assert [type(call.error) for call in calls[-2:]] == [SessionLostError, SessionLostError]
    assert calls[-1].error.ambiguous
    assert sent == len(place.requests()) == 3
    assert len(place.told(SessionLost)) == 1


async def test_a_refresh_has_its_whole_time_however_long_the_flight_waited_before():
    place = session_town()
    async with place.provider(app()) as tokens:
        family = await adopted(place, tokens)
        place.endpoint.script(Answer(429, headers={"retry-after": "25"}), Delay(20.0))
        [call] = await place.once(tokens.source(subject="ann"))
    assert call.token is not None
    assert (call.waited, family.generations) == (pytest.approx(45.0), 1)


async def test_a_replay_is_made_even_where_the_endpoint_went_down_by_it():
    place = session_town(grace=30.0)
    async with place.provider(app(30.0)) as tokens:
        families = [await adopted(place, tokens, subject) for subject in "abcdef"]
        place.endpoint.script(*[LoseReply()] * 6)
        calls = await place.once(*(tokens.source(subject=subject) for subject in "abcdef"))
    assert all(call.token is not None for call in calls)
    assert [(family.dead, family.reuses) for family in families] == [(False, 0)] * 6


async def test_two_audiences_of_one_session_are_two_requests_in_turn_each_with_its_own():
    place = session_town()
    place.endpoint.always(Delay(1.0))
    async with place.provider(app()) as tokens:
        family = await adopted(place, tokens, scope="read write")
        calls = await place.once(
            tokens.source(subject="ann", audience="https://one.test"),
            tokens.source(subject="ann", audience="https://two.test", scope="read"),
        )
    granted = [place.endpoint.granted(call.token) for call in calls]
    assert granted == [("https://one.test", "read write"), ("https://two.test", "read")]
    assert calls[1].token.scope == {"read"}
    assert [(entry.started, entry.finished) for entry in place.requests()] == [(0.0, 1.0), (1.0, 2.0)]
    assert (family.generations, family.reuses) == (2, 0)


async def test_twenty_keys_of_one_session_are_twenty_requests_one_after_the_other():
    place = session_town()
    place.endpoint.always(Delay(0.5))
    async with place.provider(app()) as tokens:
        family = await adopted(place, tokens)
        calls = await place.once(*(tokens.source(subject="ann", audience=f"api-{n}") for n in range(20)))
        assert len({call.token for call in calls}) == 20
    assert len(place.requests()) == 20
    assert place.endpoint.ledger.max_in_flight == 1
    assert (family.generations, family.reuses) == (20, 0)


async def test_the_clients_scope_does_not_travel_and_a_calls_own_does():
    place = session_town()
    async with place.provider(app(scope="read offline_access")) as tokens:
        await adopted(place, tokens, scope="read offline_access")
        await place.once(tokens.source(subject="ann"), tokens.source(subject="ann", scope="read"))
    assert sorted(str(entry.scope) for entry in place.requests()) == ["None", "read"]  # whose turn comes first is open


@pytest.mark.parametrize("kill", [False, True])
async def test_a_401_is_one_refresh(kill):
    place = session_town(kill_old_access=kill)
    async with place.provider(app()) as tokens:
        family = await adopted(place, tokens)
        source = tokens.source(subject="ann")
        [first] = await place.once(source)
        family.access.clear()
        callers = [await place.once(source)]
        renewed = []

        async def refused() -> None:
            renewed.append(await source.renew(first.token, origin="https://api.test"))

        async def everybody() -> None:
            async with anyio.create_task_group() as tasks:
                for _ in range(50):
                    tasks.start_soon(refused)

        await place.clock.run(everybody)
        assert callers[0][0].token is first.token
        assert len(set(renewed)) == 1
        assert place.endpoint.is_live(renewed[0])
    assert (len(place.requests()), family.generations) == (2, 2)


REFUSALS = [
    Error("invalid_grant", "Unknown or invalid refresh token.", status=403),
    Error("invalid_grant", status=400),
    Error("invalid_grant", status=401),
    Error("invalid_request", "the refresh_token is not known"),
    Error("invalid_request", "Refresh Token expired"),
]
OTHERS = [
    Answer(500, {"error": "invalid_grant"}),
    Answer(503, "<html>invalid_grant</html>"),
    Answer(502),
    Answer(400, "<html>invalid_grant: refresh token</html>"),
    Error("invalid_request", "grant_type is missing"),
    Error("unauthorized_client"),
    Error("invalid_scope"),
    Error("invalid_client"),
    Answer(429, {"error": "invalid_grant"}),
]


@pytest.mark.parametrize("refusal", REFUSALS)
async def test_a_refused_refresh_token_is_a_lost_session_and_nothing_ambiguous(refusal):
    place = session_town()
    async with place.provider(app()) as tokens:
        await adopted(place, tokens)
        place.endpoint.always(refusal)
        source = tokens.source(subject="ann")
        [call] = await place.once(source)
        assert isinstance(call.error, SessionLostError)
        assert (call.error.ambiguous, call.error.reason, call.error.transient) == (False, "session_lost", False)
        await place.clock.advance(600.0)
        [call] = await place.once(source)
        assert isinstance(call.error, SessionLostError)
    assert len(place.requests()) == 1
    [event] = place.told(SessionLost)
    assert event.ambiguous is False


@pytest.mark.parametrize("other", OTHERS)
async def test_no_other_answer_ever_is(other):
    place = session_town()
    async with place.provider(app()) as tokens:
        await adopted(place, tokens)
        source = tokens.source(subject="ann")
        place.endpoint.always(other)
        for _ in range(20):
            [call] = await place.once(source)
            assert call.error is not None
            assert not isinstance(call.error, SessionLostError)
            await place.clock.advance(60.0)
        place.endpoint.always()
        await place.clock.advance(400.0)
        [call] = await place.once(source)
    assert call.token is not None
    assert not place.told(SessionLost)


async def test_a_refusal_after_a_server_error_is_ambiguous():
    place = session_town()
    async with place.provider(app()) as tokens:
        await adopted(place, tokens)
        place.endpoint.script(Answer(504), Error("invalid_grant"))
        [call] = await place.once(tokens.source(subject="ann"))
    assert isinstance(call.error, SessionLostError)
    assert call.error.ambiguous


async def test_a_subject_without_a_session_is_told_so_and_nothing_is_sent_or_kept():
    place = session_town()
    async with place.provider(app()) as tokens:
        for number in range(50):
            [call] = await place.once(tokens.source(subject=f"nobody-{number}"))
            assert isinstance(call.error, SessionLostError)
            assert call.error.reason == "no_session"
        assert repr(tokens.sessions) == "Sessions(Lineages(0))"
    assert len(place.requests()) == 0
