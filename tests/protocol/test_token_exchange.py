"""Token exchange: what is presented, and as what (RFC 8693, section 2.1)."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from tokenflight import ACCESS_TOKEN, Audience, ConfigurationError, Secret, Subject, SubjectToken, TokenExchange
from tokenflight.model.failure import Failure
from tokenflight.model.key import AnySubject, TokenKey, as_scope
from tokenflight.model.subject_token import ID_TOKEN
from tokenflight.protocol.answers import TokenAnswer
from tokenflight.protocol.client import OAuthClient
from tokenflight.protocol.client_authentication import Attempt
from tokenflight.protocol.grants import Grant, Presenting, check_key
from tokenflight.protocol.presented import blames_actor, blames_subject_token, unverified_end
from tokenflight.protocol.wire import Issued, build, parse

pytestmark = pytest.mark.anyio
GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
JWT = "urn:ietf:params:oauth:token-type:jwt"
SUBJECT = SubjectToken("the-bearer")


class Made:
    def __init__(self) -> None:
        self.count = 0

    async def made(self, attempt: Any) -> str:
        self.count += 1
        return f"signed-{self.count}"


def client(**fields: Any) -> OAuthClient:
    plain = {"client_id": "me", "token_endpoint": "https://as.example/token", "grant": TokenExchange()}
    return OAuthClient(**(plain | fields))


def key(subject: AnySubject | None = SUBJECT, scope: str | None = None, **fields: Any) -> TokenKey:
    return TokenKey(client="main", subject=subject, scope=as_scope(scope), **fields)


async def read(source: Any) -> Secret:
    return Secret("from a source") if isinstance(source, Path) or callable(source) else Secret(source)


async def work(function: Any) -> Any:
    return function()


async def form(asked: TokenKey, **fields: Any) -> dict[str, str]:
    request = await build(Attempt(key=asked, client=client(**fields), wall=0.0, read=read, work=work))
    return dict(parse_qsl(request.body.decode(), strict_parsing=True))


def test_it_is_a_grant_that_presents_and_may_be_repeated() -> None:
    grant = TokenExchange()
    assert isinstance(grant, Grant)
    assert isinstance(grant, Presenting)
    assert (grant.grant_type, grant.repeatable) == (GRANT, True)
    assert (grant, hash(grant)) == (TokenExchange(), hash(TokenExchange()))


async def test_the_subject_token_goes_with_its_type_and_nothing_else_by_itself() -> None:
    assert await form(key()) == {
        "grant_type": GRANT,
        "subject_token": "the-bearer",
        "subject_token_type": ACCESS_TOKEN,
        "client_id": "me",
    }


async def test_scope_audience_actor_and_the_wanted_type_go_along() -> None:
    subject = SubjectToken("theirs", type=ID_TOKEN, actor=SubjectToken(Path("/run/actor"), type=JWT))
    sent = await form(
        key(subject, "write read", audience=Audience("https://api")), grant=TokenExchange(requested_token_type=JWT)
    )
    assert sent == {
        "grant_type": GRANT,
        "subject_token": "theirs",
        "subject_token_type": ID_TOKEN,
        "actor_token": "from a source",
        "actor_token_type": JWT,
        "requested_token_type": JWT,
        "scope": "read write",
        "audience": "https://api",
        "client_id": "me",
    }


async def test_a_resource_travels_as_one() -> None:
    resource = Audience("https://api/files/1", "resource")
    assert (await form(key(audience=resource)))["resource"] == "https://api/files/1"


async def test_an_assertion_is_made_anew_for_each_attempt() -> None:
    asked = key(SubjectToken(Made()))
    assert [(await form(asked))["subject_token"] for _ in range(2)] == ["signed-1", "signed-2"]


async def test_a_subject_token_that_has_no_utf_8_form_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="lone surrogate"):
        await form(key(SubjectToken("\ud800")))


@pytest.mark.parametrize("subject", [None, Subject("somebody")])
def test_a_subject_that_is_no_token_is_told_what_to_pass(subject: AnySubject | None) -> None:
    with pytest.raises(ConfigurationError, match=r"pass subject=SubjectToken\(\.\.\.\)"):
        check_key(client(), key(subject))


def test_an_actor_has_no_actor() -> None:
    nested = SubjectToken("a", actor=SubjectToken("b", actor=SubjectToken("c")))
    assert [part.value for part in nested.parts] == [Secret("a"), Secret("b"), Secret("c")]
    with pytest.raises(ConfigurationError, match="leave it out"):
        check_key(client(), key(nested))


def test_an_audience_that_the_form_has_no_name_for_is_refused() -> None:
    check_key(client(), key(audience=Audience("https://api")))
    with pytest.raises(ConfigurationError, match="the audience would be dropped"):
        check_key(client(), key(audience=Audience("x", "shared_link")))


@pytest.mark.parametrize("wanted", ["", 7, ["urn:x"]])
def test_a_wanted_type_is_text(wanted: Any) -> None:
    with pytest.raises(ConfigurationError, match="requested_token_type is a URI"):
        TokenExchange(requested_token_type=wanted)


def answered(requested: str | None, token_type: str) -> Issued | Failure:
    body = {"access_token": "t", "token_type": token_type, "expires_in": 60, "issued_token_type": JWT}
    answer = TokenAnswer(status=200, headers={"content-type": "application/json"}, body=json.dumps(body).encode())
    exchange = TokenExchange(requested_token_type=requested)
    return parse(answer, client=client(grant=exchange), key=key(), wall=0.0, redact=())


@pytest.mark.parametrize(
    ("requested", "told", "taken"),
    [
        (JWT, "N_A", "N_A"),
        (JWT, "n_a", "N_A"),
        (JWT, "bearer", "Bearer"),
        (JWT, "mac", None),
        (ACCESS_TOKEN, "N_A", None),
        (None, "N_A", None),
    ],
)
def test_a_token_that_is_no_access_token_is_taken_where_it_was_asked_for(
    requested: str | None, told: str, taken: str | None
) -> None:
    got = answered(requested, told)
    assert (got.token_type if isinstance(got, Issued) else None) == taken


def jwt(payload: bytes, *, tail: str = ".c2ln") -> str:
    return "eyJhbGciOiJub25lIn0." + base64.urlsafe_b64encode(payload).rstrip(b"=").decode() + tail


@pytest.mark.parametrize(
    ("text", "end"),
    [
        (jwt(b'{"exp": 1750000000}'), 1750000000.0),
        (jwt(b'{"exp": 1750000000.5}', tail="."), 1750000000.5),
        (jwt(b'{"exp": 0}'), 0.0),
        (jwt(b'{"exp": "1750000000"}'), None),
        (jwt(b'{"exp": true}'), None),
        (jwt(b'{"exp": -1}'), None),
        (jwt(b'{"exp": NaN}'), None),
        (jwt(b'{"exp": 1e999}'), None),
        (jwt(b'{"exp": ' + b"9" * 5_000 + b"}"), None),
        (jwt(b"{}"), None),
        (jwt(b"[1]"), None),
        (jwt(b"[" * 30_000), None),
        (jwt(b"\xff{"), None),
        ("a.b", None),
        ("a.b.c.d.e", None),
        ("a.!.c", None),
        ("a.b.c", None),
        ("opaque", None),
        (jwt(b'{"exp": 1750000000, "x": "' + b"x" * 65_536 + b'"}'), None),
    ],
)
def test_the_end_of_what_is_shaped_like_a_jwt_is_read_and_whatever_else_it_is_says_nothing(
    text: str, end: float | None
) -> None:
    assert unverified_end(text) == end


@pytest.mark.parametrize(
    ("status", "code", "description", "blames"),
    [
        (400, "invalid_grant", None, True),
        (401, "invalid_token", "gone", True),
        (400, "invalid_request", None, True),
        (400, "invalid_request", "The subject_token provided is invalid.", True),
        (400, "invalid_request", "unknown requested_token_type", False),
        (400, "invalid_request", "resource and box_shared_link", False),
        (400, "invalid_scope", None, False),
        (400, "invalid_target", "token", False),
        (401, None, None, False),
        (403, "invalid_grant", None, False),
    ],
)
def test_a_refusal_blames_the_subject_token_by_its_code_and_words(
    status: int, code: str | None, description: str | None, blames: bool
) -> None:
    failure = Failure(reason="r", detail="d", transient=False, status=status, code=code, description=description)
    assert blames_subject_token(failure) == blames


def test_what_is_transient_blames_nothing() -> None:
    assert not blames_subject_token(Failure(reason="r", detail="d", status=400, code="invalid_grant"))


@pytest.mark.parametrize(("description", "blames"), [(None, False), ("bad actor_token", True), ("bad token", False)])
def test_a_refusal_blames_the_actor_in_words(description: str | None, blames: bool) -> None:
    assert blames_actor(Failure(reason="r", detail="d", description=description)) == blames
