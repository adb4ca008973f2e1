from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.dialects.asking import lifetime, provider, refusal, token
from tests.doubles.odd import OddDouble
from tests.doubles.odd.google import ACCOUNT as EMAIL
from tests.doubles.odd.google import INTERNAL_FAILURE
from tests.doubles.tokens import key, peeked

from tokenflight import (
    Audience,
    ConfigurationError,
    InvalidGrantError,
    OAuthClient,
    SubjectToken,
    TokenEndpointError,
    TokenKey,
)
from tokenflight.dialects import google
from tokenflight.protocol.grants import check_key
from tokenflight.testing import Answer, VirtualClock

pytestmark = pytest.mark.anyio
STORAGE = "https://www.googleapis.com/auth/devstorage.read_only"
SERVICE = "https://orders-abc.a.run.app"


@pytest.fixture
def double() -> OddDouble:
    return OddDouble()


def configuration(**members: Any) -> dict[str, Any]:
    whole = {
        "type": "service_account",
        "project_id": "project",
        "private_key_id": "odd-key",
        "private_key": key("odd-key").as_pem(private=True).decode(),  # type: ignore[attr-defined]
        "client_email": EMAIL,
        "client_id": "1234567890",
        "token_uri": "https://oauth2.googleapis.com/token",
        "universe_domain": "googleapis.com",
    }
    return {name: value for name, value in (whole | members).items() if value is not None}


def client(**fields: Any) -> OAuthClient:
    return google.client(configuration(), **({"scope": STORAGE} | fields))


@pytest.mark.proves("Google", "service account, access token")
async def test_an_account_gets_an_access_token_for_a_scope(double: OddDouble) -> None:
    got = await token(client(), double)

    [seen] = double.ledger
    assert set(seen.form) == {"grant_type", "assertion"}
    claims = peeked(seen.form["assertion"]) or {}
    assert (claims["iss"], claims["scope"]) == (EMAIL, STORAGE)
    assert "sub" not in claims
    assert (got.access_token.reveal(), lifetime(got), got.scope) == (list(double.tokens)[-1], 3599, {STORAGE})


@pytest.mark.proves("Google", "service account acting for a user")
async def test_an_account_acts_for_a_user_of_the_domain(double: OddDouble) -> None:
    await token(client(), double, subject="person@example.com")

    assert (peeked(double.ledger[0].form["assertion"]) or {})["sub"] == "person@example.com"


@pytest.mark.proves("Google", "service account, ID token")
async def test_an_account_gets_an_id_token_for_an_audience_and_it_ends_when_it_says(double: OddDouble) -> None:
    services = google.id_token_client(configuration())
    async with provider(services, double) as tokens:
        got = await tokens.token(audience=SERVICE)
        other = await tokens.token(audience="1234.apps.googleusercontent.com")

    assert [got.access_token.reveal(), other.access_token.reveal()] == list(double.tokens)
    assert lifetime(got) in (3599, 3600)
    assert (got.token_type, dict(got.extra)) == ("Bearer", {})
    assert (peeked(got.access_token.reveal()) or {})["aud"] == SERVICE


async def test_an_id_token_ends_by_the_servers_clock_whatever_ours_says() -> None:
    clock = VirtualClock()
    double = OddDouble(clock=clock, now_offset=500)
    async with provider(google.id_token_client(configuration()), double, clock=clock) as tokens:
        source = tokens.source(audience=SERVICE)
        got = await clock.run(source.token)

    assert lifetime(got) == 3600


@pytest.mark.parametrize(
    ("answer", "expires_in"),
    [
        ({"id_token": "no-jwt-at-all"}, None),
        ({"id_token": "e30.e30.e30"}, None),
        ({"id_token": "e30.eyJleHAiOjEwMCwiaWF0IjoyMDB9.e30"}, 0.0),
        ({"id_token": "e30.eyJleHAiOjMwMCwiaWF0IjoyMDB9.e30"}, 100.0),
    ],
)
def test_an_id_token_that_says_no_end_has_none(answer: dict[str, Any], expires_in: float | None) -> None:
    read = google.ID_TOKENS.read(200, {}, answer)

    assert read["access_token"] == answer["id_token"]
    assert read.get("expires_in") == expires_in


def test_an_answer_without_an_id_token_is_left_as_it_is() -> None:
    assert google.ID_TOKENS.read(200, {}, {"id_token": 5}) == {}
    assert google.ID_TOKENS.read(200, {}, {"access_token": "a"}) == {"access_token": "a"}


async def test_a_key_that_was_deleted_is_told_where_to_make_another(double: OddDouble) -> None:
    pem = key("another").as_pem(private=True).decode()  # type: ignore[attr-defined]

    error = await refusal(google.client(configuration(private_key=pem), scope=STORAGE), double)

    assert isinstance(error, InvalidGrantError)
    assert "Service Accounts" in (error.hint or "")


async def test_an_unknown_account_and_a_user_who_was_not_allowed_are_permanent(double: OddDouble) -> None:
    unknown = await refusal(google.client(configuration(client_email="x@y.example"), scope=STORAGE), double)
    denied = await refusal(client(), double, subject="ada@acme.example")

    assert "deleted or disabled" in (unknown.hint or "")
    assert "Domain-wide delegation" in (denied.hint or "")
    assert not unknown.transient
    assert not denied.transient


async def test_a_clock_that_is_off_heals_by_the_answers_date() -> None:
    clock = VirtualClock()
    double = OddDouble(clock=clock, now_offset=-540)
    async with provider(client(), double, clock=clock) as tokens:
        await clock.run(tokens.token)

    assert [seen.status for seen in double.ledger] == [400, 200]


@pytest.mark.parametrize(
    "answer",
    [INTERNAL_FAILURE, Answer(400, {"error": "server_error"}), Answer(403, {"error": "temporarily_unavailable"})],
)
async def test_what_google_cannot_do_now_is_asked_again_whatever_the_status(double: OddDouble, answer: Answer) -> None:
    double.script(answer)

    await token(client(), double)

    assert [seen.status for seen in double.ledger] == [answer.status, 200]


async def test_an_error_of_the_apis_shape_is_understood(double: OddDouble) -> None:
    told = {"error": {"code": 403, "message": "IAM API is disabled.", "status": "PERMISSION_DENIED"}}
    double.always(Answer(403, told))

    error = await refusal(client(), double)

    assert isinstance(error, TokenEndpointError)
    assert (error.error, error.error_description) == ("PERMISSION_DENIED", "IAM API is disabled.")
    assert not error.transient


@pytest.mark.parametrize(
    ("of", "key", "words"),
    [
        (google.client, TokenKey(client="c"), "pass scope="),
        (google.client, TokenKey(client="c", audience=Audience(SERVICE)), r"google\.id_token_client"),
        (google.client, TokenKey(client="c", subject=SubjectToken("t"), scope=frozenset({"s"})), "cannot present"),
        (google.id_token_client, TokenKey(client="c"), "pass audience="),
        (google.id_token_client, TokenKey(client="c", audience=Audience(SERVICE, "resource")), "pass audience="),
        (google.id_token_client, TokenKey(client="c", audience=Audience("a"), scope=frozenset({"s"})), "no scope"),
    ],
)
def test_a_key_that_google_cannot_serve_is_refused_before_anything_is_sent(of: Any, key: TokenKey, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        check_key(of(configuration()), key)


def test_the_key_file_may_be_a_path_a_text_or_what_it_says(tmp_path: Path) -> None:
    file, text = tmp_path / "key.json", json.dumps(configuration())
    file.write_text(text, "utf-8")

    assert google.client(file) == google.client(text) == google.client(configuration())
    assert "BEGIN" not in repr(google.client(text))


@pytest.mark.parametrize("missing", ["type", "client_email", "private_key", "private_key_id", "token_uri"])
def test_what_the_key_file_lacks_is_named_and_nothing_else_of_it(missing: str) -> None:
    with pytest.raises(ConfigurationError, match=f"has no {missing}: get a whole one from Google Cloud") as caught:
        google.client(configuration(**{missing: None}))

    assert "BEGIN" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("{", "pass the file's text"),
        ("[]", "a JSON object, not list"),
        (configuration(type="authorized_user"), "another type"),
        (configuration(client_email=5), "has no client_email"),
        (Path("/nowhere/key.json"), "FileNotFoundError"),
        (configuration(private_key="nonsense"), "key"),
    ],
)
def test_what_is_no_key_file_is_refused(given: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        google.client(given)
