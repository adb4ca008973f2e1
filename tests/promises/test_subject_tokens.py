"""Tokens bought with other tokens: one exchange each, none beyond its parent, and nobody else's."""

from __future__ import annotations

import base64
import json
import random
from datetime import UTC, datetime, timedelta

import anyio
import pytest
from tests.kit.broker import brokered, children, clients

from tokenflight import (
    ConfigurationError,
    Fetch,
    OAuthClient,
    SubjectToken,
    SubjectTokenExpiredError,
    TokenEndpointError,
    TokenFlightError,
)
from tokenflight.testing import Answer, Delay, Error, Issue

pytestmark = pytest.mark.anyio


def at(place, seconds: float) -> datetime:
    return datetime.fromtimestamp(place.clock.wall() + seconds, UTC)


def jwt(**claims) -> str:
    def part(what) -> str:
        return base64.urlsafe_b64encode(json.dumps(what).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'none'})}.{part(claims)}.c2ln"


async def fails(place, call) -> TokenFlightError:
    with pytest.raises(TokenFlightError) as raised:
        await place.clock.run(call)
    return raised.value


async def test_twenty_children_and_their_parent_pass_through_one_place():
    place = brokered()
    place.endpoint.always(Delay(0.2))
    async with place.provider(clients(), max_flights=1) as tokens:
        calls = await place.once(*children(tokens, 20))
    assert not [call for call in calls if call.error]
    assert place.endpoint.ledger.max_in_flight == 1
    assert len(place.endpoint.others()) == 1
    assert len(place.endpoint.exchanges()) == 20


@pytest.mark.parametrize("count", [100, pytest.param(1_000, marks=pytest.mark.long)])
async def test_many_keys_on_one_parent_cost_one_parent_request_and_move_on_with_it_once_each_spread_out(count):
    place = brokered()
    place.endpoint.always(lambda entry: None if "subject_token" in entry.form else Issue(expires_in=1000))
    async with place.provider(clients()) as tokens:
        sources = list(children(tokens, count))
        await place.once(*sources)
        assert len(place.endpoint.others()) == 1
        assert len(place.endpoint.exchanges()) == count
        await place.everybody(sources, every=40.0, seconds=840.0)
        renewed = [entry.started for entry in place.endpoint.others()[1:]]
        assert len(renewed) == 1
        times = [entry.started for entry in place.endpoint.exchanges()[count:]]
        assert len(times) == count
        assert len({entry.form["audience"] for entry in place.endpoint.exchanges()[count:]}) == count
        assert min(times) >= renewed[0]
        assert renewed[0] + 25 <= max(times) <= renewed[0] + 31
        busiest = max(sum(second <= moment < second + 1 for moment in times) for second in map(int, times))
        assert busiest <= max(5, count / 10)
    assert not place.failures
    assert not place.dead


async def test_no_child_is_used_beyond_its_parents_token_and_nobody_waits_for_that():
    place = brokered(expires_in=5000)
    place.endpoint.always(lambda entry: None if "subject_token" in entry.form else Issue(expires_in=300))
    async with place.provider(clients()) as tokens:
        sources = list(children(tokens, 5))
        await place.once(*sources)
        token = await sources[0].token()
        assert token.expires_at <= (await tokens.token("parent")).expires_at
        await place.everybody(sources, every=7.0, seconds=2100.0)
    assert not place.failures
    assert not place.dead
    assert not [call for call in place.waits if call.at]
    assert len(place.endpoint.exchanges()) <= 5 * (len(place.endpoint.others()) + 1)


async def test_a_child_that_nobody_used_lapses_with_the_parent_and_is_due_for_its_next_caller():
    place = brokered(expires_in=1000)
    async with place.provider(clients()) as tokens:
        parent, [child] = tokens.source("parent"), children(tokens, 1)
        await place.once(child)
        await place.once(parent)
        await place.clock.advance(20)
        await place.clock.run(lambda: parent.renew())
        await place.clock.advance(60)
        assert len(place.endpoint.exchanges()) == 1
        assert child.status().verdict == "due"
        [call] = await place.once(child)
        await place.clock.settle()
    assert call.waited == 0
    assert len(place.endpoint.exchanges()) == 2


async def test_a_parent_whose_token_is_rejected_takes_its_children_along_at_once():
    place = brokered()
    async with place.provider(clients()) as tokens:
        parent, sources = tokens.source("parent"), list(children(tokens, 10))
        await place.once(*sources)
        await place.once(*sources)
        await place.clock.advance(200)
        first = await parent.token()
        place.endpoint.revoke(first)
        await place.clock.run(lambda: parent.renew(first, origin="https://api.test"))
        await place.clock.advance(5.5)
        await place.once(*sources)
    assert len(place.endpoint.others()) == 2
    assert len(place.endpoint.exchanges()) == 20
    assert not place.dead


async def test_a_child_that_was_on_its_way_while_its_parent_moved_on_is_due_when_it_lands():
    place = brokered()
    async with place.provider(clients()) as tokens:
        parent, [child] = tokens.source("parent"), children(tokens, 1)
        await place.once(parent)
        place.endpoint.script(Delay(2.0))

        async def both() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(child.token)
                await place.clock.sleep_until(place.clock.now() + 1.0)
                tasks.start_soon(parent.renew)

        await place.clock.run(both)
        assert child.status().verdict == "due"
        await place.once(child)
        await place.clock.settle()
    presented = [entry.form["subject_token"] for entry in place.endpoint.exchanges()]
    assert presented == [entry.token for entry in place.endpoint.others()]


@pytest.mark.parametrize(
    "refusal",
    [
        Error("invalid_grant"),
        Error("invalid_request", "The subject_token provided is invalid."),
        Error("invalid_request"),
        Error("invalid_token", status=401),
    ],
)
async def test_a_refused_subject_token_renews_its_parent_once_and_the_exchange_is_tried_once_more(refusal):
    place = brokered()
    async with place.provider(clients()) as tokens:
        parent, [child] = tokens.source("parent"), children(tokens, 1)
        await place.once(parent)
        place.endpoint.script(refusal)
        [call] = await place.once(child)
        assert call.error is None
        presented = [entry.form["subject_token"] for entry in place.endpoint.exchanges()]
        assert presented == [entry.token for entry in place.endpoint.others()]
        assert len(presented) == 2


async def test_what_is_refused_with_a_new_subject_token_as_well_stays_refused_and_renews_no_parent_again():
    place = brokered()
    place.endpoint.always(lambda entry: Error("invalid_request") if "subject_token" in entry.form else None)
    async with place.provider(clients()) as tokens:
        [child] = children(tokens, 1)
        error = await fails(place, child.token)
        assert (error.reason, error.attempts, error.transient) == ("invalid_request", 2, False)
        assert len(place.endpoint.others()) == 2
        for _ in range(5):
            await place.clock.advance(300)
            await place.once(child)
        assert len(place.endpoint.exchanges()) == 7
        assert len(place.endpoint.others()) == 2


async def test_a_dead_parents_many_children_renew_it_once():
    place = brokered()
    async with place.provider(clients()) as tokens:
        parent, sources = tokens.source("parent"), list(children(tokens, 30))
        first = (await place.once(parent))[0].token
        place.endpoint.revoke(first)
        calls = await place.once(*sources)
    assert not [call for call in calls if call.error]
    assert len(place.endpoint.others()) == 2
    assert not place.dead


@pytest.mark.parametrize(
    "refusal",
    [
        Answer(401, {"error": "invalid_scope", "error_description": "the subject token lacks it"}),
        Answer(401),
        Answer(401, headers={"www-authenticate": 'Bearer realm="Service", error="insufficient_scope"'}),
        Error("invalid_target"),
        Error("invalid_client", status=401),
    ],
)
@pytest.mark.parametrize("count", [30, pytest.param(1_000, marks=pytest.mark.long)])
async def test_a_key_that_the_server_refuses_fails_alone(refusal, count):
    place = brokered()
    bad = "https://api.test/files/7"
    place.endpoint.always(lambda entry: refusal if entry.form.get("audience") == bad else None)
    async with place.provider(clients()) as tokens:
        sources = list(children(tokens, count))
        good = [source for source in sources if source.key.audience.value != bad]
        await place.once(*good)
        [call] = await place.once(sources[7])
        assert isinstance(call.error, TokenEndpointError)
        await place.clock.advance(30)
        calls = await place.once(*good, *children(tokens, 1, SubjectToken(tokens.source("parent"), type="urn:other")))
        assert not [call for call in calls if call.error]
    assert len(place.endpoint.others()) == 1


@pytest.mark.parametrize(
    ("users", "minutes", "calls"),
    [(20, 8, 300), pytest.param(500, 200, 100_000, marks=pytest.mark.long)],
)
async def test_users_with_a_new_bearer_every_minute_get_their_own_tokens_and_leave_nothing_behind(
    users, minutes, calls
):
    place = brokered(expires_in=3600)
    dice = random.Random(1)
    audiences = ["https://a.test", "https://b.test"]
    wanted: set[tuple[str, str, str]] = set()
    kept: list[int] = []
    async with place.provider(clients()) as tokens:
        for minute in range(minutes):
            bearers = [jwt(sub=user, exp=place.clock.wall() + 60, n=minute) for user in range(users)]
            place.endpoint.bearers = {bearer: place.clock.now() + 60 for bearer in bearers}
            for _ in range(calls // minutes):
                bearer, audience, scope = dice.choice(bearers), dice.choice(audiences), dice.choice(["read", "write"])
                wanted.add((bearer, audience, scope))
                token = await place.clock.run(
                    lambda b=bearer, a=audience, s=scope: tokens.token(
                        "child", subject=SubjectToken(b), audience=a, scope=s
                    )
                )
                assert place.endpoint.parents[token.access_token.reveal()] == bearer
                assert place.endpoint.tokens[token.access_token.reveal()].audience == audience
                assert token.scope == {scope}
            await place.clock.advance(60.0)
            state = tokens._engine.state
            kept.append(len(state.entries))
            assert len(state.schedule) <= len(state.entries)
            assert not tokens._aliases
    asked = [(each.form["subject_token"], each.audience, each.scope) for each in place.endpoint.ledger]
    assert sorted(asked) == sorted(wanted), "one exchange each, none for a repeat"
    assert max(kept) == 0, "what no bearer can buy any more is let go"


async def test_callers_that_are_cancelled_at_random_change_nothing():
    place = brokered(expires_in=200)
    place.endpoint.always(Delay(0.3))
    dice = random.Random(2)
    async with place.provider(clients(), max_flights=2) as tokens:
        sources = list(children(tokens, 20))

        async def impatient(source) -> None:
            with place.clock.timeout_at(place.clock.now() + dice.uniform(0.0, 1.0)):
                await source.token()

        async def crowd() -> None:
            async with anyio.create_task_group() as tasks:
                for _ in range(100):
                    tasks.start_soon(impatient, dice.choice(sources))

        for _ in range(10):
            await place.clock.run(crowd)
            await place.clock.advance(30)
        calls = await place.once(*sources)
        assert not [call for call in calls if call.error]
        assert not place.dead
        assert not tokens._engine.state.flights


async def test_a_token_by_value_buys_nothing_beyond_its_end_and_is_not_renewed_ahead():
    place = brokered(expires_in=3600)
    async with place.provider(clients()) as tokens:
        place.endpoint.bearers["opaque"] = 100.0
        subject = SubjectToken("opaque", expires_at=at(place, 100))
        source = tokens.source("child", subject=subject, keep_warm=True)
        await place.clock.advance(0.1)
        for _ in range(9):
            await place.clock.advance(11)
            assert (await source.token()).expires_at == subject.expires_at
            assert source.status().due_in is None
        assert len(place.endpoint.exchanges()) == 1
        await place.clock.advance(60)
        assert (source.status().verdict, source.status().pinned) == ("expired", True)
        error = await fails(place, source.token)
        assert type(error) is SubjectTokenExpiredError
        assert (error.attempts, error.reason) == (0, "subject_token_expired")
        await place.clock.advance(1000)
        assert len(place.endpoint.exchanges()) == 1


async def test_what_lapses_before_its_subject_token_is_bought_again_by_the_next_caller():
    place = brokered(expires_in=100)
    async with place.provider(clients()) as tokens:
        place.endpoint.bearers["opaque"] = 1000.0
        source = tokens.source("child", subject=SubjectToken("opaque"))
        for expected in (1, 2, 3):
            await place.once(source)
            await place.once(source)
            await place.clock.advance(150)
            assert len(place.endpoint.exchanges()) == expected


async def test_the_exp_of_a_bearer_that_is_a_jwt_can_only_shorten():
    place = brokered(expires_in=300)
    async with place.provider(clients()) as tokens:
        wall = place.clock.wall()
        for claims, left in (
            ({"exp": wall + 100}, 100),
            ({"exp": wall + 1000}, 300),
            ({"exp": "soon"}, 300),
            ({}, 300),
        ):
            bearer = jwt(**claims)
            place.endpoint.bearers[bearer] = 5000.0
            token = await place.clock.run(lambda b=bearer: tokens.token("child", subject=SubjectToken(b)))
            assert token.expires_at - token.issued_at == timedelta(seconds=left)
        error = await fails(place, lambda: tokens.token("child", subject=SubjectToken(jwt(exp=wall - 1))))
        assert type(error) is SubjectTokenExpiredError
    assert len(place.endpoint.exchanges()) == 4


async def test_a_subject_that_needs_the_very_token_that_is_asked_for_is_told_and_does_not_hang():
    place = brokered()

    class Own:
        async def token(self):
            return await tokens.token("middle")

        async def renew(self, rejected=None, *, origin=None):
            raise AssertionError("not reached")

    async def middle(key):
        return await tokens.token("child", subject=subject)

    subject = SubjectToken(Own())
    chain = clients() | {"middle": OAuthClient(client_id="m", grant=Fetch(middle))}
    async with place.provider(chain) as tokens:
        error = await fails(place, lambda: tokens.token("child", subject=subject))
        assert type(error) is ConfigurationError
        assert "is asked for by what is to bring it" in str(error)
    assert not place.endpoint.ledger


async def test_an_endpoint_that_both_need_is_found_healed_although_only_the_child_is_asked_for():
    place = brokered(expires_in=100)
    async with place.provider(clients()) as tokens:
        [child] = children(tokens, 1)
        await place.once(child)
        place.endpoint.down()
        await place.everybody([child], every=3.0, seconds=300.0)
        assert child.status().verdict == "expired"
        place.endpoint.up()
        await place.everybody([child], every=1.0, seconds=15.0)
        assert child.status().verdict == "fresh"


async def test_keys_whose_bearers_are_refused_do_not_pile_up():
    place = brokered()
    async with place.provider(clients()) as tokens:
        for number in range(50):
            assert await fails(place, lambda n=number: tokens.token("child", subject=SubjectToken(f"forged{n}")))
        await place.clock.advance(40)
        assert len(tokens.status()) == 0


async def test_bearers_without_any_end_go_when_nobody_used_their_tokens_for_a_while():
    place = brokered(expires_in=None)
    async with place.provider(clients(default_lifetime=100.0)) as tokens:
        place.endpoint.bearers = {"used": 1e9, "unused": 1e9}
        used, unused = (tokens.source("child", subject=SubjectToken(name)) for name in ("used", "unused"))
        await place.once(used, unused)
        for _ in range(5):
            await place.clock.advance(90)
            await used.token()
        assert [status.key for status in tokens.status()] == [used.key]
        await place.clock.advance(201)
        assert len(tokens.status()) == 0
    assert len(place.endpoint.exchanges()) == 2


async def test_room_is_made_by_subject_tokens_before_what_is_in_use():
    place = brokered()
    place.endpoint.bearers = {f"b{number}": 1e9 for number in range(5)}
    async with place.provider(clients(), max_keys=6) as tokens:
        lasting = [tokens.source("parent", audience=f"https://{number}.test") for number in range(3)]
        fleeting = [tokens.source("child", subject=SubjectToken(bearer)) for bearer in place.endpoint.bearers]
        await place.once(*lasting)
        await place.once(*lasting)
        await place.clock.advance(1)
        for source in fleeting:
            await place.once(source)
            await place.once(source)
            await place.clock.advance(1)
        assert {source.status().verdict for source in lasting} == {"fresh"}
        assert [source.status().verdict for source in fleeting] == ["none"] * 2 + ["fresh"] * 3
