"""How keys stand, the worst first; and what holds them back, by its name."""

from __future__ import annotations

from typing import Any

import pytest
from tests.kit.bench import chosen_town
from tests.kit.town import Town, client

from tokenflight import RetryPolicy, TokenFlightError, TokenKey, TokenProvider
from tokenflight.model.status import KeyStatus
from tokenflight.testing import Answer, Delay, Error, Refuse, Throttle

pytestmark = pytest.mark.anyio
API = "https://api.test"
ONCE = RetryPolicy(attempts=1)


async def fails(place: Town, call: Any, *args: Any) -> Any:
    with pytest.raises(TokenFlightError) as raised:
        await place.clock.run(call, *args)
    return raised.value


def only(tokens: TokenProvider, **which: Any) -> KeyStatus:
    [status] = tokens.status(**which)
    return status


async def test_a_key_that_is_not_kept_has_neither_token_nor_history() -> None:
    place = chosen_town()
    async with place.provider() as tokens:
        assert tokens.source().status() == KeyStatus(
            key=TokenKey(client="default"),
            verdict="none",
            expires_at=None,
            due_in=None,
            used_ago=None,
            in_flight=False,
            pinned=False,
            holding_back=None,
            not_before_in=None,
            failures=0,
            last_error=None,
        )
        assert tokens.status() == (), "to look is not to ask"


async def test_a_key_in_use_says_when_it_is_due_and_when_it_was_used() -> None:
    place = chosen_town(expires_in=100)
    async with place.provider() as tokens:
        token = await place.clock.run(tokens.token)
        await place.clock.advance(10.0)
        await tokens.token()
        await place.clock.advance(5.0)
        status = only(tokens)
        assert (status.verdict, status.expires_at, status.due_in, status.used_ago) == (
            "fresh",
            token.expires_at,
            50.0,
            5.0,
        )
        assert (status.in_flight, status.pinned, status.holding_back, status.not_before_in) == (
            False,
            False,
            None,
            None,
        )


async def test_one_that_nobody_used_since_it_landed_is_due_for_nobody() -> None:
    place = chosen_town(expires_in=100)
    async with place.provider() as tokens:
        await place.clock.run(tokens.token)
        await place.clock.advance(7.0)
        assert (only(tokens).due_in, only(tokens).used_ago) == (None, 7.0)


async def test_a_pin_and_a_flight_show() -> None:
    place = chosen_town()
    place.endpoint.always(Delay(1.0))
    async with place.provider() as tokens:
        source = tokens.source(keep_warm=True)
        await place.clock.settle()
        assert (source.status().pinned, source.status().in_flight) == (True, True)
        await place.clock.advance(1.0)
        assert (source.status().pinned, source.status().in_flight) == (True, False)
        assert source.status().due_in is not None


@pytest.mark.parametrize(("at", "verdict"), [(1.0, "fresh"), (70.0, "due"), (95.0, "urgent"), (100.0, "expired")])
async def test_the_verdict_is_that_of_now(at, verdict) -> None:
    place = chosen_town(expires_in=100)
    async with place.provider() as tokens:
        await place.clock.run(tokens.token)
        await place.clock.advance(at)
        assert only(tokens).verdict == verdict


async def test_right_after_a_success_it_is_pace() -> None:
    place = chosen_town(expires_in=100)
    async with place.provider() as tokens:
        await place.clock.run(tokens.token)
        await place.clock.advance(1.0)
        assert (only(tokens).holding_back, only(tokens).not_before_in) == ("pace", 4.0)
        await place.clock.advance(4.0)
        assert only(tokens).holding_back is None


async def test_a_failed_renewal_ahead_is_backoff_and_due_again_at_its_end() -> None:
    place = chosen_town(expires_in=100)
    async with place.provider() as tokens:
        source = tokens.source()
        await place.once(source)
        await source.token()
        place.endpoint.script(Answer(503))
        await place.clock.advance(65.5)
        status = only(tokens)
        assert (status.holding_back, status.failures, status.last_error) == ("backoff", 1, "http_503")
        assert status.not_before_in == status.due_in == pytest.approx(0.5)


async def test_a_failed_call_without_a_token_is_failed() -> None:
    place = chosen_town()
    place.endpoint.always(Answer(503))
    async with place.provider(retry=ONCE) as tokens:
        await fails(place, tokens.token)
        assert (only(tokens).holding_back, only(tokens).not_before_in) == ("failed", 1.0)
        assert only(tokens).used_ago == 0.0, "it was asked for"


async def test_a_refusal_is_the_keys_or_the_clients_with_all_its_keys() -> None:
    place = chosen_town(expires_in=100)
    async with place.provider() as tokens:
        await place.clock.run(lambda: tokens.token(subject="good"))
        await place.clock.advance(62.0)
        place.endpoint.script(Error("invalid_scope"), Error("invalid_client"))
        await fails(place, lambda: tokens.token(subject="a"))
        assert (only(tokens, subject="a").holding_back, only(tokens, subject="a").not_before_in) == ("permanent", 30.0)
        assert only(tokens, subject="good").holding_back is None
        await fails(place, lambda: tokens.token(subject="b"))
        assert only(tokens, subject="b").holding_back == "client"
        assert (only(tokens, subject="good").holding_back, only(tokens, subject="good").not_before_in) == (
            "client",
            30.0,
        )


async def test_a_retry_after_is_the_clients_with_all_its_keys() -> None:
    place = chosen_town()
    async with place.provider() as tokens:
        await place.clock.run(lambda: tokens.token(subject="a"))
        place.endpoint.script(Throttle(60))
        await fails(place, lambda: tokens.token(subject="b"))
        assert [only(tokens, subject=subject).holding_back for subject in ("b",)] == ["retry_after"]
        assert only(tokens, subject="b").not_before_in == 60.0
        assert only(tokens, subject="a").holding_back == "pace", "which ends later"


async def test_an_endpoint_that_is_down_is_probing() -> None:
    place = chosen_town()
    async with place.provider(retry=ONCE) as tokens:
        place.endpoint.always(Refuse())
        for subject in ("a", "b", "c"):
            await fails(place, lambda: tokens.token(subject=subject))  # noqa: B023
        tokens._engine.state.entry(only(tokens, subject="a").key).not_before = 0.0
        status = only(tokens, subject="a")
        assert (status.holding_back, status.not_before_in) == ("probing", 0.5)


async def test_an_api_that_keeps_refusing_is_rejected_until_it_opens_which_says_more_than_pace() -> None:
    place = chosen_town()
    async with place.provider() as tokens:
        token = await place.clock.run(tokens.token)
        newer = await place.clock.run(lambda: tokens.renew(rejected=token, origin=API))
        assert only(tokens).holding_back == "pace"
        with pytest.raises(TokenFlightError):
            await tokens.renew(rejected=newer, origin=API)
        assert (only(tokens).holding_back, only(tokens).not_before_in) == ("rejected", 60.0)
        await place.clock.advance(61.0)
        assert only(tokens).holding_back == "pace"
        place.endpoint.script(Throttle(60))
        await fails(place, lambda: tokens.renew(rejected=newer, origin="https://other.test"))
        assert only(tokens).holding_back == "pace", "which ends later"


async def test_the_worst_come_first_and_no_more_than_asked_for() -> None:
    place = chosen_town(expires_in=100)
    async with place.provider() as tokens:
        for name, at in (("urgent", 0.0), ("due", 25.0), ("short", 70.0), ("long", 75.0)):
            await place.clock.advance(at - place.clock.now())
            await place.clock.run(lambda: tokens.token(subject=name))  # noqa: B023
        await place.clock.advance(92.0 - place.clock.now())
        place.endpoint.always(Error("invalid_scope"))
        tokens._engine.state.entry(TokenKey(client="default", scope=frozenset({"never asked"})))
        await fails(place, lambda: tokens.token(subject="failed"))
        names = [status.key.subject.id if status.key.subject else None for status in tokens.status()]
        assert names == ["failed", None, "urgent", "due", "short", "long"]
        assert [status.key.subject.id for status in tokens.status(limit=1) if status.key.subject] == ["failed"]
        assert len(tokens.status(limit=3)) == 3


async def test_among_those_without_a_token_the_one_that_failed_most_comes_first() -> None:
    place = chosen_town(expires_in=100)
    async with place.provider(retry=ONCE) as tokens:
        await place.clock.run(lambda: tokens.token(subject="expired"))
        await place.clock.advance(150.0)
        place.endpoint.always(Answer(503))
        await fails(place, lambda: tokens.token(subject="failed"))
        assert [status.verdict for status in tokens.status()] == ["none", "expired"]


async def test_what_is_named_is_filtered_by() -> None:
    place = chosen_town()
    async with place.provider({"a": client(), "b": client("b")}) as tokens:
        for name in "ab":
            for subject in ("s", "t"):
                for audience in ("x", "y"):
                    await place.clock.run(lambda: tokens.token(name, subject=subject, audience=audience, scope="z"))  # noqa: B023
        assert len(tokens.status()) == 8
        assert len(tokens.status("a")) == 4
        assert len(tokens.status(subject="s")) == 4
        assert len(tokens.status("a", subject="s", audience="x", scope=["z"])) == 1
        assert tokens.status(scope="other") == ()
