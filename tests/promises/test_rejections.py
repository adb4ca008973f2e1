"""A 401 for a token that is good by the clock: one renewal heals it, and an API that never agrees costs little."""

from __future__ import annotations

import pytest
from tests.kit.town import Town, town

from tokenflight import Token, TokenFlightError, TokenRequestError
from tokenflight.model.events import RenewalRefused, TokenRejected
from tokenflight.testing import Delay, Refuse, Throttle

pytestmark = pytest.mark.anyio

HERE, THERE = "https://api.test", "https://other.test"


async def _renew(place: Town, source: object, token: Token, origin: str = HERE) -> Token | TokenFlightError:
    """Say that *origin* refused *token*, and return what came of it."""
    try:
        return await place.clock.run(lambda: source.renew(token, origin=origin))
    except TokenFlightError as error:
        return error


async def test_a_thousand_refusals_of_one_token_are_one_renewal():
    place = town()
    place.endpoint.always(Delay(0.2))
    async with place.provider() as tokens:
        source = tokens.source()
        [first] = await place.once(source)
        place.endpoint.revoke()

        class Refused:
            async def token(self) -> Token:
                return await source.renew(first.token, origin=HERE)

        calls = await place.once(*(Refused() for _ in range(1000)))
        straggler = await _renew(place, source, first.token)
    assert len({call.token for call in calls}) == 1
    assert straggler is calls[0].token
    assert len(place.requests()) == 2


async def test_a_first_refusal_renews_however_young_the_token_is():
    place = town()
    async with place.provider() as tokens:
        source = tokens.source()
        [first] = await place.once(source)
        renewed = await _renew(place, source, first.token)
    assert renewed is not first.token
    assert len(place.requests()) == 2
    [event] = place.told(TokenRejected)
    assert (event.origin, event.age) == (HERE, 0)


async def test_an_api_that_always_says_401_costs_two_requests_a_minute_and_less_each_time():
    place = town(expires_in=3600)
    async with place.provider() as tokens:
        source = tokens.source()
        await place.once(source)
        refused = []
        for _ in range(300):  # 5 calls a second for a minute
            [call] = await place.once(source)
            outcome = await _renew(place, source, call.token)
            refused.append(outcome)
            await place.clock.advance(0.199)
        assert len(place.requests()) == 2
        assert source.status().holding_back == "rejected"
        assert all(isinstance(error, TokenRequestError) and error.reason == "rejected" for error in refused[1:])
        assert all(0 < error.retry_after <= 60 for error in refused[1:])
        for _ in range(1200):
            [call] = await place.once(source)
            await _renew(place, source, call.token)
            await place.clock.advance(1.0)
        assert len(place.requests()) <= 2 + 5
        assert not place.failures
    assert len({event.reason for event in place.told(RenewalRefused)}) == 1


async def test_an_api_that_never_agrees_takes_nothing_from_one_that_does():
    place = town(expires_in=3600)
    async with place.provider() as tokens:
        source = tokens.source()
        await place.once(source)
        for _ in range(100):
            [call] = await place.once(source)
            await _renew(place, source, call.token, THERE)
            await place.clock.advance(1.0)
        [call] = await place.once(source)
        place.endpoint.revoke(call.token)
        healed = await _renew(place, source, call.token, HERE)
        assert isinstance(healed, Token)
        assert place.endpoint.is_live(healed)
        source.accepted(healed, origin=HERE)
        place.endpoint.revoke(healed)
        again = await _renew(place, source, healed, HERE)
    assert isinstance(again, Token)
    assert place.endpoint.is_live(again)


async def test_a_renewal_that_fails_leaves_the_held_token_and_is_held_back_for_a_moment():
    place = town(expires_in=3600)
    async with place.provider() as tokens:
        source = tokens.source()
        [first] = await place.once(source)
        place.endpoint.always(Refuse())
        failed = await _renew(place, source, first.token)
        at_once = await _renew(place, source, first.token)
        [call] = await place.once(source)
        assert call.token is first.token
        place.endpoint.always()
        await place.clock.advance(6)
        healed = await _renew(place, source, first.token)
    assert isinstance(failed, TokenRequestError)
    assert failed.reason == "connect"
    assert at_once.reason == "held_back"
    assert isinstance(healed, Token)
    assert healed is not first.token


async def test_a_refusal_obeys_a_retry_after():
    place = town(expires_in=3600)
    async with place.provider() as tokens:
        source = tokens.source()
        [first] = await place.once(source)
        place.endpoint.script(Throttle(120.0))
        await place.once(tokens.source(subject="cold"))
        shut = await _renew(place, source, first.token)
    assert shut.reason == "held_back"
    assert shut.retry_after == pytest.approx(120, abs=1)
    assert len(place.requests()) == 2


async def test_neither_pace_nor_the_backoff_of_a_live_token_holds_back_a_refusal():
    place = town(expires_in=100)
    async with place.provider() as tokens:
        source = tokens.source()
        await place.once(source)
        await place.once(source)
        place.endpoint.script(Refuse())
        await place.clock.advance(85)
        assert source.status().failures <= 1
        [call] = await place.once(source)
        healed = await _renew(place, source, call.token)
        again = await _renew(place, source, healed, THERE)  # another origin, in the pace of the last success
    assert isinstance(again, Token)
    assert again is not healed


async def test_tokens_revoked_at_random_are_one_renewal_each():
    place = town(seed=8, expires_in=600)
    async with place.provider() as tokens:
        source = tokens.source()
        await place.once(source)
        revocations = 0
        for second in range(1, 1200):
            await place.clock.advance(1.0)
            [call] = await place.once(source)
            if second % 97 == 0:
                revocations += place.endpoint.revoke(call.token)
            if not place.endpoint.is_live(call.token):
                healed = await _renew(place, source, call.token)
                assert place.endpoint.is_live(healed)
                source.accepted(healed, origin=HERE)
    assert revocations == 12
    assert len(place.requests()) <= 1 + revocations + 4
