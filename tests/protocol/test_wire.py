from __future__ import annotations

import base64
import json
from importlib import metadata
from typing import Any
from urllib.parse import parse_qsl, quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kit.attempts import work

from tokenflight.errors import (
    ConfigurationError,
    InvalidClientError,
    InvalidGrantError,
    MalformedResponseError,
    TokenEndpointError,
)
from tokenflight.model.failure import Failure
from tokenflight.model.key import Audience, TokenKey, as_scope
from tokenflight.model.secret import Secret, SecretSource
from tokenflight.model.token import Token
from tokenflight.protocol import wire
from tokenflight.protocol.client import Dialect, OAuthClient
from tokenflight.protocol.client_authentication import Attempt, ClientSecretPost, RequestParts
from tokenflight.protocol.grants import Fetch
from tokenflight.protocol.wire import Issued, TokenAnswer, TokenRequest, build, parse

pytestmark = pytest.mark.anyio

SECRET = "CNRY-secret-41c7+/&ü"
TOKEN = "CNRY-token-0c55f8"
KEY = TokenKey(client="main")
WALL = 1_750_000_000.0


def client(**fields: Any) -> OAuthClient:
    plain: dict[str, Any] = {
        "client_id": "me",
        "token_endpoint": "https://as.example/token?tenant=7",
        "authentication": ClientSecretPost(SECRET),
    }
    return OAuthClient(**(plain | fields))


async def read(source: SecretSource) -> Secret:
    assert isinstance(source, Secret)
    return source


def attempt(asked: TokenKey = KEY, **fields: Any) -> Attempt:
    return Attempt(key=asked, client=client(**fields), wall=WALL, read=read, work=work)


def answer(body: Any, status: int = 200, **headers: str) -> TokenAnswer:
    octets = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return TokenAnswer(status=status, headers={"content-type": "application/json"} | named, body=octets)


def parsed(
    body: Any, status: int = 200, *, asked: TokenKey = KEY, of: OAuthClient | None = None, **headers: str
) -> Any:
    told = answer(body, status, **headers)
    return parse(told, client=of or client(), key=asked, wall=WALL, redact=[Secret(SECRET)])


GOOD = {"access_token": TOKEN, "token_type": "bearer", "expires_in": 3600}


async def test_a_request_is_a_form_with_these_headers_and_no_other() -> None:
    request = await build(attempt(TokenKey(client="main", audience=Audience("https://api/ü")), scope="b a"))

    assert (request.method, request.url) == ("POST", "https://as.example/token?tenant=7")
    assert request.headers == {
        "accept": "application/json",
        "accept-encoding": "identity",
        "content-type": "application/x-www-form-urlencoded",
        "user-agent": request.headers["user-agent"],
    }
    assert sorted(parse_qsl(request.body.decode("ascii"), strict_parsing=True)) == [
        ("audience", "https://api/ü"),
        ("client_id", "me"),
        ("client_secret", SECRET),
        ("grant_type", "client_credentials"),
        ("scope", "a b"),
    ]


async def test_basic_authentication_adds_one_header_and_no_field() -> None:
    request = await build(attempt(authentication="s"))

    assert request.body == b"grant_type=client_credentials"
    assert request.headers["authorization"] == "Basic " + base64.b64encode(b"me:s").decode()


@given(
    name=st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda name: name != "grant_type"),
    value=st.text(st.characters(exclude_categories=["Cs"])),
)
def test_no_value_can_become_another_field(name: str, value: str) -> None:
    shaped = Dialect(form=lambda key, fields: {"grant_type": "x", name: value})
    building = build(attempt(dialect=shaped, authentication="s"))
    with pytest.raises(StopIteration) as done:
        building.send(None)

    assert parse_qsl(done.value.value.body.decode("ascii"), keep_blank_values=True, strict_parsing=True) == [
        ("grant_type", "x"),
        (name, value),
    ]


async def test_the_library_names_itself_with_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    wire._user_agent.cache_clear()
    monkeypatch.setattr(metadata, "version", lambda name: {"tokenflight": "9.8.7"}[name])

    assert (await build(attempt())).headers["user-agent"] == "tokenflight/9.8.7"
    wire._user_agent.cache_clear()


async def test_the_library_names_itself_where_it_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    wire._user_agent.cache_clear()
    monkeypatch.setattr(metadata, "version", version)

    assert (await build(attempt())).headers["user-agent"] == "tokenflight"
    wire._user_agent.cache_clear()


async def test_a_dialect_that_sets_what_authentication_sets_is_refused() -> None:
    dialect = Dialect(form=lambda key, fields: {**fields, "client_id": "you"})

    with pytest.raises(ConfigurationError, match="set client_id: take it out of the dialect's form"):
        await build(attempt(dialect=dialect))


async def test_an_authentication_that_replaces_a_header_is_refused() -> None:
    class Loud:
        method = "loud"

        async def authenticate(self, attempt: Attempt) -> RequestParts:
            return RequestParts(headers={"Accept": "text/html"})

    with pytest.raises(ConfigurationError, match="parts of the request set accept"):
        await build(attempt(authentication=Loud()))


async def test_a_field_without_utf8_form_is_refused() -> None:
    dialect = Dialect(form=lambda key, fields: {**fields, "x": "\udc80"})

    with pytest.raises(ConfigurationError, match="lone surrogate"):
        await build(attempt(dialect=dialect))


async def test_what_reading_a_secret_raises_comes_out() -> None:
    async def fail(source: SecretSource) -> Secret:
        raise PermissionError

    with pytest.raises(PermissionError):
        await build(Attempt(key=KEY, client=client(), wall=WALL, read=fail, work=work))


async def test_a_grant_without_endpoint_has_no_request() -> None:
    async def fetch(key: TokenKey) -> Token:
        return Token("t")

    label = OAuthClient(client_id="label", grant=Fetch(fetch))
    with pytest.raises(ConfigurationError, match="and fetch has none: give token_endpoint"):
        await build(Attempt(key=KEY, client=label, wall=WALL, read=read, work=work))


async def test_a_client_whose_issuer_was_not_asked_yet_has_no_request() -> None:
    found = OAuthClient(client_id="c", issuer="https://as.example", authentication=SECRET)
    with pytest.raises(ConfigurationError, match=r"https://as\.example has not told it yet: give token_endpoint"):
        await build(Attempt(key=KEY, client=found, wall=WALL, read=read, work=work))


def test_requests_and_answers_show_names_alone() -> None:
    request = TokenRequest(
        url=f"https://as.example/t?k={SECRET}", headers={"authorization": SECRET}, body=SECRET.encode()
    )
    told = TokenAnswer(status=200, headers={"Set-Cookie": SECRET}, body=TOKEN.encode())

    assert repr(request) == "TokenRequest('https://as.example/t', headers=['authorization'])"
    assert repr(told) == f"TokenAnswer(200, {len(TOKEN)} bytes, headers=['set-cookie'])"
    assert TOKEN not in repr(parsed(GOOD | {"refresh_token": TOKEN, "id_token": TOKEN}))


def test_a_good_answer_is_issued_field_by_field() -> None:
    issued = parsed(GOOD | {"refresh_in": 1800, "scope": "b a", "refresh_token": "r1", "instance_url": "https://i"})

    assert isinstance(issued, Issued)
    assert issued.access_token == TOKEN
    assert issued.token_type == "Bearer"
    assert issued.expires_in == 3600.0
    assert issued.refresh_in == 1800.0
    assert issued.scope == {"a", "b"}
    assert issued.refresh_token == "r1"
    assert issued.extra == {"refresh_in": 1800, "instance_url": "https://i"}
    assert issued.oddities == ()


@pytest.mark.parametrize("status", [200, 201, 203])
def test_any_2xx_may_bring_a_token(status: int) -> None:
    assert isinstance(parsed(GOOD, status), Issued)


def test_a_scope_that_is_not_told_is_the_one_that_was_asked_for() -> None:
    own = TokenKey(client="main", scope=as_scope("x"))

    assert parsed(GOOD, of=client(scope="a")).scope == {"a"}
    assert parsed(GOOD, of=client(scope="a"), asked=own).scope == {"x"}


def test_a_json_answer_is_read_whatever_it_is_labelled() -> None:
    for label in ("text/plain", "text/html; charset=utf-8", "", "application/json;charset=latin-1", "\x00"):
        assert isinstance(parsed(GOOD, content_type=label), Issued)


def test_a_form_is_read_where_the_content_type_says_so_or_says_only_text() -> None:
    form = f"access_token={TOKEN}&token_type=bearer&expires_in=60&scope=a+b".encode()

    issued = parsed(form, content_type="application/x-www-form-urlencoded; charset=utf-8")
    assert (issued.access_token, issued.expires_in, issued.scope) == (TOKEN, 60.0, {"a", "b"})
    assert parsed(form, content_type="text/plain").access_token == TOKEN
    assert parsed(b"access_token=a&access_token=b", content_type="text/plain").reason == "malformed"
    assert parsed(b"nothing=of+a+token", content_type="text/plain").reason == "malformed"
    for label in ("text/html", "application/octet-stream", ""):
        assert parsed(form, content_type=label).reason == "malformed"


NO_TOKEN: dict[str, Any] = {
    "empty": b"",
    "null": None,
    "number": 7,
    "list": [GOOD],
    "string": "access_token",
    "html": b"<html>login</html>",
    "no token": {"token_type": "bearer"},
    "empty token": GOOD | {"access_token": ""},
    "null token": GOOD | {"access_token": None},
    "number token": GOOD | {"access_token": 123},
    "object token": GOOD | {"access_token": {}},
    "spaced token": GOOD | {"access_token": f" {TOKEN}"},
    "CR LF token": GOOD | {"access_token": f"{TOKEN}\r\nx: y"},
    "NUL token": GOOD | {"access_token": f"{TOKEN}\x00"},
    "DEL token": GOOD | {"access_token": f"{TOKEN}\x7f"},
    "umlaut token": GOOD | {"access_token": f"{TOKEN}ü"},
    "surrogate token": GOOD | {"access_token": f"{TOKEN}\ud800"},
    "1 MB token": GOOD | {"access_token": TOKEN * 60_000},
    "typeless number": GOOD | {"token_type": 7},
    "UTF-16": json.dumps(GOOD).encode("utf-16"),
    "UTF-32": json.dumps(GOOD).encode("utf-32"),
    "latin-1": json.dumps(GOOD | {"x": "ü"}, ensure_ascii=False).encode("latin-1"),
    "truncated": json.dumps(GOOD).encode()[:-1],
    "two objects": json.dumps(GOOD).encode() * 2,
    "nested": b"[" * 100_000,
    "nested objects": b'{"a":' * 100_000,
    "one token twice": json.dumps(GOOD).encode()[:-1] + b', "access_token": "other"}',
    "one error twice": b'{"error": null, "error": "", "access_token": "t"}',
    "one scope twice": b'{"scope": "a", "access_token": "t", "scope": "b"}',
}


@pytest.mark.parametrize("body", NO_TOKEN.values(), ids=NO_TOKEN.keys())
def test_a_good_status_without_a_usable_token_is_malformed_transient_and_counts(body: Any) -> None:
    failure = parsed(body, content_type="application/json", x_request_id="r-7", retry_after="3")

    assert isinstance(failure, Failure)
    assert failure.error is MalformedResponseError
    assert failure.reason == "malformed"
    assert failure.transient
    assert failure.counts
    assert failure.status == 200
    assert failure.request_id == "r-7"
    assert failure.retry_after == 3.0
    assert failure.grant_type == "client_credentials"
    assert failure.detail.startswith("https://as.example answered 200 but ")
    assert "application/json" in failure.detail
    assert failure.hint == "check that token_endpoint is the token endpoint"
    assert TOKEN not in repr(failure) + str(failure.exception(KEY))


def test_a_mark_of_byte_order_is_passed_over() -> None:
    assert isinstance(parsed(b"\xef\xbb\xbf" + json.dumps(GOOD).encode()), Issued)


def test_a_field_that_decides_nothing_may_come_twice() -> None:
    assert parsed(json.dumps(GOOD).encode()[:-1] + b', "x": 1, "x": 2, "y": {"scope": 1, "scope": 2}}').extra == {
        "x": 2,
        "y": {"scope": 2},
    }


def test_a_form_that_tells_its_token_twice_is_malformed() -> None:
    failure = parsed(b"access_token=a&access_token=b", content_type="application/x-www-form-urlencoded")

    assert (failure.reason, "says access_token twice" in failure.detail) == ("malformed", True)


def test_a_form_of_too_many_fields_is_malformed() -> None:
    failure = parsed(b"a=b&" * 2_000, content_type="application/x-www-form-urlencoded")

    assert failure.reason == "malformed"


def test_a_media_type_is_shown_only_where_it_is_one() -> None:
    for label in (f"text/{SECRET}", "x" * 500, "\x1b[31m/html", "text/html\nInjected: 1"):
        failure = parsed(b"", content_type=label)

        assert "no media type" in failure.detail


@pytest.mark.parametrize("token_type", ["mac", "DPoP", "dpop", "N_A", "Application Access Token", "Bearer x"])
def test_a_token_type_that_was_not_asked_for_lasts_until_a_person_changes_it(token_type: str) -> None:
    failure = parsed(GOOD | {"token_type": token_type})

    assert (failure.error, failure.reason, failure.transient, failure.counts) == (
        MalformedResponseError,
        "token_type",
        False,
        False,
    )
    assert failure.hint == "register the client for bearer tokens"
    assert token_type not in failure.detail.replace("Bearer", "")


STATUSES = [200, 201, 302, 400, 401, 403, 404, 418, 429, 500, 503]


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("body", ["ok", "error", "both", "neither"])
def test_an_error_wins_over_any_status_and_only_2xx_brings_a_token(status: int, body: str) -> None:
    error = {"error": "invalid_grant", "error_description": "no"}
    outcome = parsed({"ok": GOOD, "error": error, "both": GOOD | error, "neither": {}}[body], status)

    if body == "ok" and status < 300:
        assert isinstance(outcome, Issued)
        return
    assert isinstance(outcome, Failure)
    troubled = status in (429, 500, 503)
    if body in ("error", "both"):
        assert outcome.code == "invalid_grant"
        assert outcome.error is (TokenEndpointError if troubled else InvalidGrantError)
        assert outcome.reason == (f"http_{status}" if troubled else "invalid_grant")
        assert outcome.transient is troubled
    elif status < 300:
        assert outcome.error is MalformedResponseError
    else:
        assert (outcome.error, outcome.reason, outcome.code) == (TokenEndpointError, f"http_{status}", None)
        assert outcome.transient is troubled
    assert TOKEN not in repr(outcome)


@pytest.mark.parametrize("error", [None, "", False, 0, [], {}])
def test_an_error_that_says_nothing_is_none(error: Any) -> None:
    assert isinstance(parsed(GOOD | {"error": error}), Issued)


@pytest.mark.parametrize("error", [7, True, ["x"], {"code": "x"}, "odd"])
def test_an_error_that_is_no_known_code_still_refuses_the_token_beside_it(error: Any) -> None:
    failure = parsed(GOOD | {"error": error})

    assert (failure.error, failure.reason, failure.transient, failure.counts) == (
        TokenEndpointError,
        "http_200",
        True,
        False,
    )
    assert failure.code == ("odd" if error == "odd" else None)


def test_a_dialect_reads_good_and_bad_answers_alike() -> None:
    def parse_answer(status: int, headers: Any, fields: dict[str, Any]) -> dict[str, Any]:
        if "ok" in fields and not fields["ok"]:
            return {"error": "invalid_client"}
        return {"access_token": fields["token"], "token_type": "bearer", "region": headers["x-region"]}

    own = client(dialect=Dialect(parse=parse_answer))

    assert parsed({"token": TOKEN}, of=own, X_Region="eu").extra == {"region": "eu"}
    assert parsed({"ok": False}, of=own).error is InvalidClientError


def test_a_dialect_is_not_asked_to_read_what_has_no_fields() -> None:
    def parse_answer(status: int, headers: Any, fields: dict[str, Any]) -> dict[str, Any]:
        raise AssertionError

    own = client(dialect=Dialect(parse=parse_answer))

    assert parsed([], of=own).reason == "malformed"
    assert parsed(b"oops", 502, of=own).reason == "http_502"


def fail(*arguments: object) -> Any:
    raise KeyError(TOKEN)


def refuse(*arguments: object) -> Any:
    raise ConfigurationError(f"give {SECRET} another \x1b[31m")


@pytest.mark.parametrize("name", ["parse", "classify", "hint"])
def test_a_dialect_that_fails_is_a_configuration_error_of_the_key_alone(name: str) -> None:
    failure = parsed({"error": "x", "t": TOKEN}, 400, of=client(dialect=Dialect(**{name: fail})))

    assert (failure.error, failure.reason, failure.transient, failure.counts) == (
        ConfigurationError,
        "dialect",
        False,
        False,
    )
    assert f"{name} function raised KeyError" in failure.detail
    assert isinstance(failure.exception(KEY), ConfigurationError)
    assert TOKEN not in repr(failure)


def test_what_a_dialect_says_of_itself_is_cleaned() -> None:
    failure = parsed({}, 400, of=client(dialect=Dialect(parse=refuse)))

    assert failure.detail == "give *** another \\x1b[31m"


def test_a_dialect_that_fails_without_a_word_is_given_some() -> None:
    def mute(*arguments: object) -> Any:
        raise ConfigurationError

    failure = parsed({}, 400, of=client(dialect=Dialect(parse=mute)))

    assert failure.detail == "the client's dialect failed: check its functions"


ECHOES = {
    "plain": SECRET,
    "base64": base64.b64encode(SECRET.encode()).decode(),
    "basic": base64.b64encode(f"me:{quote(SECRET)}".encode()).decode(),
    "percent": quote(SECRET, safe=""),
    "hex": SECRET.encode().hex(),
    "token": TOKEN,
    "jwt": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJDTlJZIn0.c2lnbmF0dXJl",
}


@pytest.mark.parametrize("status", [200, 400, 429, 500])
@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES.keys())
def test_no_form_of_a_secret_comes_back_out_of_any_field_or_header(status: int, echo: str) -> None:
    told = f"you sent {echo}, no?"
    fields = dict.fromkeys(("error", "error_description", "error_uri", "request_id", "scope"), told)
    failure = parsed(
        fields | {"access_token": TOKEN}, status, x_request_id=told, retry_after=told, content_type=f"text/{echo}"
    )

    shown = repr(failure) + str(failure.exception(KEY)) + repr(vars(failure.exception(KEY)))
    assert echo not in shown
    assert echo[:12] not in shown
    assert "you sent ***, no?" in shown
