"""Box's JWT grant, from the console's config to the token: what is signed, and what heals by itself."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.dialects.places import app_client, at, box_town, claims, config, encrypted, header, provider
from tests.doubles.box import TOKEN, refusals
from tests.doubles.box.scene import APP_USER, ENTERPRISE, JWT, USER, town
from tests.doubles.tokens import key, public
from tests.kit.canary import canary, sightings

from tokenflight import ConfigurationError, InvalidGrantError, SubjectToken, TokenEndpointError, TokenProvider
from tokenflight.dialects import box
from tokenflight.model.events import ClockSkewLearned
from tokenflight.protocol.assertions import Assertion
from tokenflight.protocol.jwt_bearer import JWTBearer

pytestmark = pytest.mark.anyio


@pytest.mark.proves("Box", "jwt-bearer, enterprise subject")
@pytest.mark.proves("Box", "jwt-bearer, user subject")
@pytest.mark.parametrize(
    ("subject", "id"),
    [(box.enterprise(ENTERPRISE), ENTERPRISE), (box.user(USER), USER), (box.user(APP_USER), APP_USER)],
)
async def test_an_app_signs_for_a_subject_as_documented_and_nothing_more(subject: Any, id: str) -> None:
    double = box_town()
    async with provider(double, box.jwt_client(config(double))) as tokens:
        token = await double.clock.run(partial(tokens.token, subject=subject))
    [seen] = double.token_requests
    assert set(seen.form) == {"grant_type", "assertion", "client_id", "client_secret"}
    assert (seen.form["grant_type"], seen.form["client_id"]) == (JWT, "the-jwt")
    assert header(seen) == {"alg": "RS256", "kid": "box-key", "typ": "JWT"}
    said = claims(seen)
    assert set(said) == {"iss", "sub", "box_sub_type", "aud", "jti", "exp"}
    assert (said["iss"], said["sub"], said["box_sub_type"]) == ("the-jwt", id, subject.type)
    assert said["aud"] == "https://api.box.com/oauth2/token"
    assert said["exp"] == int(double.now()) + 30
    assert 16 <= len(said["jti"]) <= 128
    assert double.house.tokens[token.access_token.reveal()].subject == (subject.type, id)


@pytest.mark.proves("Box", "jwt-bearer, over a socket, with a file and a passphrase from elsewhere")
async def test_a_file_from_the_console_is_all_it_takes(tmp_path: Path) -> None:
    double, path = town(), tmp_path / "1234567_config.json"
    told = config(double)
    phrase = told["boxAppSettings"]["appAuth"].pop("passphrase")
    path.write_text(json.dumps(told), "utf-8")
    async with double.serve() as url:
        client = box.jwt_client(path, passphrase=lambda: phrase, **at(url))
        async with TokenProvider(client) as tokens:
            token = await tokens.token(subject=box.user(USER))
    assert double.is_live(token.access_token.reveal())
    [seen] = double.token_requests
    assert claims(seen)["aud"] == "https://api.box.com/oauth2/token"


@pytest.mark.proves("Box", "jwt-bearer, RS384 and RS512")
@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512"])
async def test_each_of_boxs_algorithms_signs(algorithm: str) -> None:
    double = box_town()
    async with provider(double, box.jwt_client(box.read_config(config(double), algorithm=algorithm))) as tokens:
        await double.clock.run(partial(tokens.token, subject=box.user(USER)))
    assert header(double.token_requests[0])["alg"] == algorithm


@pytest.mark.proves("Box", "jwt-bearer, 429 and 503")
async def test_after_429_and_503_another_assertion_is_signed_each_time() -> None:
    double = box_town()
    double.script(refusals.throttled("1"), refusals.unavailable("1"), at=TOKEN)
    async with provider(double, box.jwt_client(config(double))) as tokens:
        await double.clock.run(partial(tokens.token, subject=box.user(USER)))
    assert len({claims(seen)["jti"] for seen in double.token_requests}) == 3
    begun = double.now() - double.clock.now()
    for seen in double.token_requests:
        assert begun + seen.started < claims(seen)["exp"] <= begun + seen.started + 60
    assert double.clock.now() >= 2


@pytest.mark.proves("Box", "jwt-bearer, a clock that is 9 minutes off")
@pytest.mark.parametrize("offset", [-540.0, 540.0])
@pytest.mark.parametrize("escaped", [False, True])
async def test_a_clock_that_is_off_by_nine_minutes_costs_one_refusal_and_the_next_token_none(
    offset: float, escaped: bool, caplog: pytest.LogCaptureFixture
) -> None:
    double, events = box_town(now_offset=offset), list[Any]()
    double.slashes_escaped = escaped
    async with provider(double, box.jwt_client(config(double)), hooks=[events.append]) as tokens:
        await double.clock.run(partial(tokens.token, subject=box.user(USER)))
        assert [seen.error for seen in double.token_requests] == ["invalid_grant", None]
        await double.clock.run(partial(tokens.token, subject=box.enterprise(ENTERPRISE)))
        await double.clock.settle()
    assert [seen.error for seen in double.token_requests] == ["invalid_grant", None, None]
    [learned] = [event for event in events if isinstance(event, ClockSkewLearned)]
    assert learned.offset == pytest.approx(offset, abs=1.0)


@pytest.mark.parametrize("shift", [-25, 25])
async def test_a_clock_that_is_off_by_less_than_an_assertions_half_life_is_not_noticed(shift: int) -> None:
    double = box_town(now_offset=float(shift))
    async with provider(double, box.jwt_client(config(double))) as tokens:
        await double.clock.run(partial(tokens.token, subject=box.user(USER)))
    assert len(double.token_requests) == 1


async def test_an_assertion_that_says_when_it_was_made_is_refused_by_a_clock_behind_and_made_again() -> None:
    double = box_town(now_offset=-120.0)
    app = box.read_config(config(double))
    dated = Assertion(
        app.key, passphrase=app.passphrase, key_id=app.key_id, audience=box.TOKEN_ENDPOINT, backdate=0.0, lifetime=30.0
    )
    client = box.jwt_client(app, grant=JWTBearer(dated, inside={"subject_type": "box_sub_type"}))
    double.script(refusals.EARLY_ASSERTION, at=TOKEN)
    async with provider(double, client) as tokens:
        await double.clock.run(partial(tokens.token, subject=box.user(USER)))
    assert [seen.error for seen in double.token_requests] == ["invalid_grant", None]


@pytest.mark.proves("Box", "jwt-bearer, an assertion that was delivered twice")
async def test_an_assertion_that_was_seen_before_is_replaced_and_nobody_is_held_back() -> None:
    double = box_town()
    double.script(refusals.REPLAYED_ASSERTION, at=TOKEN)
    async with provider(double, box.jwt_client(config(double))) as tokens:
        await double.clock.run(partial(tokens.token, subject=box.user(USER)))
        [status] = tokens.status()
    first, second = double.token_requests
    assert claims(first)["jti"] != claims(second)["jti"]
    assert (status.verdict, status.failures) == ("fresh", 0)


@pytest.mark.proves("Box", "jwt-bearer, a key that rotates")
async def test_a_key_that_rotates_is_found_where_it_lies_without_a_failure(tmp_path: Path) -> None:
    double, path = box_town(), tmp_path / "key.json"

    def put(kid: str) -> None:
        path.write_text(json.dumps(key(kid).as_dict(private=True)), "utf-8")

    put("box-key")
    path.chmod(0o600)
    told = config(double)
    del told["boxAppSettings"]["appAuth"]
    async with provider(double, box.jwt_client(box.read_config(told, key=path))) as tokens:
        first = await double.clock.run(partial(tokens.token, subject=box.user(USER)))
        double.house.apps["the-jwt"].keys = [public(key("box-key")), public(key("next-key"))]
        put("next-key")
        double.house.apps["the-jwt"].keys = [public(key("next-key"))]
        await double.clock.run(partial(tokens.renew, subject=box.user(USER), rejected=first))
    assert [header(seen)["kid"] for seen in double.token_requests] == ["box-key", "next-key"]
    assert [seen.error for seen in double.token_requests] == [None, None]


@pytest.mark.parametrize("clash", [(box.user(ENTERPRISE), box.enterprise(ENTERPRISE))])
async def test_two_subjects_with_one_id_never_share_a_token(clash: Any) -> None:
    double = box_town()
    double.enterprise("7", users=[ENTERPRISE])
    double.app("the-jwt", kind="jwt", keys=[public(key("box-key"))])
    async with provider(double, box.jwt_client(config(double))) as tokens:
        one, two = [await double.clock.run(partial(tokens.token, subject=subject)) for subject in clash]
    whose = [double.house.tokens[token.access_token.reveal()].subject for token in (one, two)]
    assert whose == [("user", ENTERPRISE), ("enterprise", ENTERPRISE)]


REFUSED: dict[str, tuple[dict[str, Any], Any, str]] = {
    "sub": ({}, box.user("404"), "box.enterprise"),
    "kid": ({"keys": []}, box.user(USER), "Add and Manage Public Keys"),
    "kind": ({"kind": "ccg"}, box.user(USER), "Server Authentication (with JWT)"),
    "admin": ({"enterprises": frozenset()}, box.user(USER), "Platform Apps Manager"),
    "users": ({"user_tokens": False}, box.user(USER), "Generate user access tokens"),
    "secret": ({"secret": canary("secret")}, box.user(USER), "OAuth 2.0 Credentials"),
}


@pytest.mark.proves("Box", "jwt-bearer, what an admin has to mend")
@pytest.mark.parametrize(("app", "subject", "step"), REFUSED.values(), ids=REFUSED.keys())
async def test_what_only_a_person_can_mend_is_asked_for_once_and_says_where(
    app: dict[str, Any], subject: Any, step: str
) -> None:
    double, errors = box_town(), list[TokenEndpointError]()
    client = box.jwt_client(config(double))
    for name, value in app.items():
        setattr(double.house.apps["the-jwt"], name, value)
    async with provider(double, client) as tokens:

        async def one() -> None:
            with pytest.raises(TokenEndpointError) as caught:
                await tokens.token(subject=subject)
            errors.append(caught.value)

        async def crowd() -> None:
            async with anyio.create_task_group() as tasks:
                for _ in range(100):
                    tasks.start_soon(one)

        await double.clock.run(crowd)
        await double.clock.advance(20)
        await double.clock.run(crowd)
        assert len(double.token_requests) == 1
        await double.clock.advance(31)
        await double.clock.run(crowd)
    assert len(double.token_requests) == 2
    assert all(step in str(error) and not error.transient for error in errors)
    assert len(errors) == 300


async def test_what_a_request_names_in_vain_is_refused_before_it_is_sent() -> None:
    double = box_town()
    async with provider(double, box.jwt_client(config(double))) as tokens:
        for asked, advice in [
            ({}, "box.enterprise"),
            ({"subject": USER}, "box.enterprise"),
            ({"subject": box.user(USER), "audience": box.file("1")}, "leave the audience out"),
            ({"subject": SubjectToken("a.b.c")}, "JWTBearer"),
        ]:
            with pytest.raises(ConfigurationError, match=advice):
                await double.clock.run(partial(tokens.token, **asked))
    assert double.token_requests == []


async def test_an_assertion_of_somebody_elses_making_goes_as_it_is() -> None:
    double = box_town()
    app = box.read_config(config(double))
    client = box.jwt_client(app, grant=JWTBearer())
    async with provider(double, client) as tokens:
        subject = box.assertion(box.user(USER), app)
        await double.clock.run(partial(tokens.token, subject=subject))
    [seen] = double.token_requests
    assert claims(seen)["sub"] == USER


@pytest.mark.proves("Box", "client credentials, enterprise and user subject")
@pytest.mark.parametrize("subject", [box.enterprise(ENTERPRISE), box.user(USER)])
async def test_client_credentials_are_taken_in_the_body(subject: Any) -> None:
    double = box_town()
    async with provider(double, app_client(double, "the-ccg")) as tokens:
        token = await double.clock.run(partial(tokens.token, subject=subject))
    assert double.house.tokens[token.access_token.reveal()].subject == (subject.type, subject.id)


async def test_nothing_of_the_config_shows_in_what_fails(caplog: pytest.LogCaptureFixture) -> None:
    double = box_town()
    told = config(double)
    told["boxAppSettings"]["appAuth"]["passphrase"] = wrong = canary("another")
    app = box.read_config(told)
    async with provider(double, box.jwt_client(app)) as tokens:
        with pytest.raises(ConfigurationError, match="check passphrase"):
            await double.clock.run(partial(tokens.token, subject=box.user(USER)))
    shown = f"{app!r} {box.jwt_client(app)!r} {app.grant!r} {caplog.text}"
    assert wrong not in shown
    assert encrypted("box-key")[40:80] not in shown
    assert not sightings(shown)


async def test_a_grant_error_keeps_boxs_words() -> None:
    double = box_town()
    async with provider(double, box.jwt_client(config(double))) as tokens:
        with pytest.raises(InvalidGrantError, match="The 'sub' specified is invalid"):
            await double.clock.run(partial(tokens.token, subject=box.user("404")))
