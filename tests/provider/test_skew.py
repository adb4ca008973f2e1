"""A server's clock is learned where it refused what was signed for its date, and never otherwise."""

from __future__ import annotations

import json
import logging
from email.utils import formatdate
from typing import Any

import pytest
from attrs import evolve, frozen
from tests.kit.bench import chosen_town, failure
from tests.kit.keys import jwk, peek
from tests.kit.town import Town, client, records
from tests.kit.verifier import Verifier

from tokenflight import ClientCredentials, ClientSecretPost, JWTBearer, PrivateKeyJWT, TokenFlightError
from tokenflight.model.events import ClockSkewLearned
from tokenflight.provider import skew
from tokenflight.provider.skew import Skews
from tokenflight.testing import Answer, Delay, Error

pytestmark = pytest.mark.anyio

MINUTE = 60.0
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
WORDS = "Please check the 'exp' claim."


def signing(**fields: Any) -> Any:
    """Return a client that authenticates by what it signs."""
    return client(issuer="https://auth.test", **({"authentication": PrivateKeyJWT(jwk())} | fields))


def bearer() -> Any:
    return client(
        grant=JWTBearer(jwk()), authentication=ClientSecretPost("hush"), dialect=evolve(signing().dialect, form=None)
    )


def set_up(**settings: Any) -> tuple[Town, Verifier]:
    place = chosen_town(grant_types=("client_credentials", GRANT))
    verifier = Verifier(place.clock, **settings)
    place.endpoint.always(verifier)
    return place, verifier


async def fails(place: Town, call: Any, *args: Any) -> Any:
    with pytest.raises(TokenFlightError) as raised:
        await place.clock.run(call, *args)
    return raised.value


@pytest.mark.parametrize("ahead", [9 * MINUTE, -9 * MINUTE, 14 * MINUTE, -14 * MINUTE, 70.0, -70.0])
@pytest.mark.parametrize("made", [signing, bearer])
async def test_a_wrong_clock_costs_one_request_and_the_next_token_none(ahead, made, caplog):
    place, verifier = set_up(ahead=ahead, code="invalid_client" if made is signing else "invalid_grant")
    async with place.provider(made()) as tokens:
        for audience in ("a", "b", "c"):
            assert place.endpoint.is_live(await place.clock.run(lambda: tokens.token(audience=audience)))  # noqa: B023
    assert len(place.requests()) == 4
    assert len(set(verifier.seen)) == 4
    [event] = place.told(ClockSkewLearned)
    assert event == ClockSkewLearned(endpoint="https://auth.test", offset=pytest.approx(ahead, abs=1.0))
    [line] = records(caplog, logging.WARNING)
    assert "clock is" in line.getMessage()
    assert ("behind" if ahead > 0 else "ahead of") in line.getMessage()


async def test_when_a_token_ends_has_nothing_to_do_with_the_servers_clock():
    place, _ = set_up(ahead=9 * MINUTE)
    async with place.provider(bearer()) as tokens:
        token = await place.clock.run(tokens.token)
    assert token.expires_at.timestamp() == place.clock.wall() + 3600


async def test_a_clock_that_was_set_right_is_learned_anew():
    place, verifier = set_up(ahead=9 * MINUTE)
    async with place.provider(bearer()) as tokens:
        await place.clock.run(lambda: tokens.token(audience="a"))
        verifier.ahead = 0.0
        await place.clock.run(lambda: tokens.token(audience="b"))
    assert [round(event.offset / MINUTE) for event in place.told(ClockSkewLearned)] == [9, 0]


async def test_a_clock_that_is_off_by_more_is_not_followed_but_told():
    place, _ = set_up(ahead=23 * MINUTE)
    async with place.provider(bearer()) as tokens:
        error = await fails(place, tokens.token)
    assert len(place.requests()) == 1
    assert error.hint == "this machine's clock is 23 minutes behind the server's: set it"
    assert not place.told(ClockSkewLearned)


async def test_and_told_the_other_way_round():
    place, _ = set_up(ahead=-23 * MINUTE)
    async with place.provider(bearer()) as tokens:
        error = await fails(place, tokens.token)
    assert "23 minutes ahead of the server's" in str(error)


async def test_a_date_that_led_astray_is_forgotten():
    """A cache in front of the server may tell another time than the server has."""
    place, _ = set_up()
    stale = formatdate(place.clock.wall() - 9 * MINUTE, usegmt=True)
    place.endpoint.script(Error("invalid_grant", headers={"date": stale}))
    async with place.provider(bearer()) as tokens:
        await fails(place, tokens.token)
        await place.clock.advance(60.0)
        await place.clock.run(tokens.token)
    assert len(place.requests()) == 3
    assert not place.told(ClockSkewLearned)


async def test_a_server_that_says_nothing_of_time_is_believed_where_the_clocks_are_far_apart():
    place, _ = set_up(ahead=9 * MINUTE, mute=True)
    async with place.provider(bearer()) as tokens:
        await place.clock.run(tokens.token)
    assert len(place.requests()) == 2


@pytest.mark.parametrize("answer", [Error("invalid_client"), Answer(401), Answer(403, "no"), Answer(400, b"")])
async def test_a_refusal_of_something_else_costs_no_second_request_where_the_clocks_agree(answer):
    place = chosen_town()
    place.endpoint.always(evolve(answer, headers={"date": formatdate(place.clock.wall() + 8, usegmt=True)}))
    async with place.provider(signing()) as tokens:
        await fails(place, tokens.token)
    assert len(place.requests()) == 1


@pytest.mark.parametrize(
    "answer",
    [
        Error("invalid_scope", WORDS),
        Error("invalid_grant", "Please check the 'sub' claim."),
        Error("unauthorized_client"),
        Answer(404),
        Answer(400, {"error_description": "expenses are not allowed"}),
    ],
)
async def test_a_refusal_that_is_not_about_time_learns_nothing_from_a_wrong_clock(answer):
    place = chosen_town()
    wrong = formatdate(place.clock.wall() + 9 * MINUTE, usegmt=True)
    place.endpoint.always(evolve(answer, headers=[*answer.headers, ("date", wrong)]))
    async with place.provider(signing()) as tokens:
        await fails(place, tokens.token)
    assert len(place.requests()) == 1
    assert not place.told(ClockSkewLearned)


async def test_what_was_not_signed_is_not_dated_by_anybodys_clock():
    place = chosen_town()
    wrong = formatdate(place.clock.wall() + 9 * MINUTE, usegmt=True)
    place.endpoint.always(Error("invalid_grant", WORDS, headers={"date": wrong}))
    async with place.provider() as tokens:
        await fails(place, tokens.token)
    assert len(place.requests()) == 1


async def test_a_server_that_does_not_tell_its_time_teaches_nothing():
    place, _ = set_up(ahead=9 * MINUTE, dateless=True)
    async with place.provider(bearer()) as tokens:
        await fails(place, tokens.token)
    assert len(place.requests()) == 1


async def test_a_second_refusal_is_the_callers_error():
    place = chosen_town(grant_types=(GRANT,))

    def refuse(entry: Any) -> Any:
        date = formatdate(place.clock.wall() + 9 * MINUTE, usegmt=True)
        return Error("invalid_grant", WORDS, headers={"date": date})

    place.endpoint.always(refuse)
    async with place.provider(bearer()) as tokens:
        error = await fails(place, tokens.token)
    assert error.reason == "invalid_grant"
    assert (len(place.requests()), error.attempts) == (2, 2)
    assert not place.told(ClockSkewLearned), "a clock that helps nobody is not followed"


async def test_a_slow_answer_is_no_wrong_clock():
    """Its Date may have been written at any moment of the round trip."""
    place = chosen_town()

    def slowly(entry: Any) -> Any:
        date = formatdate(place.clock.wall() + 4.0, usegmt=True)
        return Delay(8.0, Error("invalid_client", WORDS, headers={"date": date}))

    place.endpoint.always(slowly)
    async with place.provider(signing()) as tokens:
        await fails(place, tokens.token)
    assert len(place.requests()) == 1


async def test_a_secret_source_that_fails_between_the_two_requests_is_a_failure_of_that():
    place, _ = set_up(ahead=9 * MINUTE, code="invalid_client")
    given = [json.dumps(jwk())]

    async with place.provider(signing(authentication=PrivateKeyJWT(given.pop))) as tokens:
        source_is_empty = await fails(place, tokens.token)
    assert source_is_empty.reason == "credential"
    assert len(place.requests()) == 1


async def test_an_offset_is_the_endpoints_and_not_the_clients():
    place, _ = set_up(ahead=9 * MINUTE, code="invalid_client")
    clients = {"a": signing(), "b": signing(client_id="other")}
    async with place.provider(clients) as tokens:
        await place.clock.run(tokens.token, "a")
        await place.clock.run(tokens.token, "b")
    assert len(place.requests()) == 3
    last = peek(place.requests()[-1].form["client_assertion"])[1]
    assert last["exp"] - place.clock.wall() > 9 * MINUTE


async def test_what_a_request_spends_is_refused_for_itself_and_sent_once():
    place = chosen_town()
    wrong = formatdate(place.clock.wall() + 9 * MINUTE, usegmt=True)
    place.endpoint.always(Error("invalid_grant", WORDS, headers={"date": wrong}))

    @frozen
    class Spending(ClientCredentials):
        repeatable = False

    async with place.provider(signing(grant=Spending())) as tokens:
        await fails(place, tokens.token)
    assert len(place.requests()) == 1


# the pure part


@pytest.mark.parametrize(
    ("code", "description", "tolerated"),
    [
        ("invalid_grant", WORDS, skew.WITH_WORDS),
        ("invalid_client", "assertion expired", skew.WITH_WORDS),
        ("invalid_client", "JWT is not valid yet: issued in the future", skew.WITH_WORDS),
        ("invalid_request", "The iat is too late", skew.WITH_WORDS),
        ("invalid_client", "clock skew", skew.WITH_WORDS),
        ("invalid_grant", None, skew.WITHOUT_WORDS),
        ("invalid_grant", "Please check the 'jti' claim.", None),
        ("invalid_client", "client authentication failed", skew.WITHOUT_WORDS),
        ("invalid_grant", "grant request is invalid", skew.WITHOUT_WORDS),
        ("invalid_grant", "an expert opinion", skew.WITHOUT_WORDS),
        ("invalid_client", "the signature does not fit", None),
        ("invalid_scope", WORDS, None),
        (None, WORDS, None),
        (None, None, skew.WITHOUT_WORDS),
    ],
)
def test_words_decide_how_far_clocks_may_differ(code, description, tolerated):
    refusal = failure(code=code, description=description, status=400)

    assert skew.tolerance(refusal, spends=False) == tolerated


def test_an_empty_answer_counts_by_its_status():
    assert skew.tolerance(failure(status=404), spends=False) is None
    assert skew.tolerance(failure(status=403), spends=False) == skew.WITHOUT_WORDS


def test_a_spent_thing_that_is_refused_is_refused_for_itself():
    expired = failure(code="invalid_grant", description="the refresh token expired", status=400)

    assert skew.tolerance(expired, spends=True) is None
    assert skew.tolerance(evolve(expired, code="invalid_client"), spends=True) == skew.WITH_WORDS


def test_a_date_counts_from_the_middle_of_its_second():
    wall = 1_700_000_000.0

    assert skew.ahead({"date": formatdate(wall + 60, usegmt=True)}, wall) == 60.5
    assert skew.ahead({"date": "yesterday"}, wall) is None
    assert skew.ahead({}, wall) is None


def test_offsets_are_kept_for_the_endpoints_that_were_learned_last(monkeypatch):
    monkeypatch.setattr(skew, "MAX_ENDPOINTS", 2)
    skews = Skews()
    for endpoint, offset in (("a", 1.0), ("b", 2.0), ("a", 3.0), ("c", 4.0)):
        skews.learn(endpoint, offset)

    assert [skews.offset(endpoint) for endpoint in "abc"] == [3.0, 0.0, 4.0]
    assert repr(skews) == "Skews()"
