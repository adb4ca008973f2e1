"""What a browser brings back: taken where it answers this login, refused for everything else."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.protocol.test_authorization import begun, client

from tokenflight import AuthorizationRequest, AuthorizationResponseError, Secret, TokenEndpointError
from tokenflight.model.failure import Failure
from tokenflight.protocol.callback import read_callback

ISSUER = "https://auth.test"
OTHER = "https://other.test"
WALL = 500.0
LOGIN = begun()
THERE = begun(client(issuer=ISSUER, scope="openid"))


def told(*more: tuple[str, str], request: AuthorizationRequest = LOGIN, **fields: str | None) -> str:
    said = {"code": "abc", "state": request.state} | fields
    pairs = [(name, value) for name, value in said.items() if value is not None]
    return f"https://app.test/callback?{urlencode([*pairs, *more])}"


def read(
    url: Any, request: AuthorizationRequest = LOGIN, *, wall: float = WALL, names_issuer: bool = False
) -> Secret | Failure:
    return read_callback(request, url, wall=wall, issuer=request.issuer, names_issuer=names_issuer)


def reason(url: Any, request: AuthorizationRequest = LOGIN, **how: Any) -> str:
    failure = read(url, request, **how)
    assert isinstance(failure, Failure)
    assert (failure.error, failure.transient) == (AuthorizationResponseError, False)
    return failure.reason


def test_the_code_of_its_own_answer_is_taken() -> None:
    assert read(told()) == Secret("abc")


@pytest.mark.parametrize("base", ["", "/callback", "com.example.app:/cb", "http://127.0.0.1:5000/x"])
def test_wherever_it_was_sent_to(base: str) -> None:
    assert read(base + told()[len("https://app.test/callback") :]) == Secret("abc")


@pytest.mark.parametrize(
    "state",
    [None, "", "x", LOGIN.state[:-1], LOGIN.state + "x", LOGIN.state.swapcase(), "ünïcode"],
    ids=["none", "empty", "short", "cut", "longer", "other case", "not ASCII"],
)
def test_another_state_is_refused(state: str | None) -> None:
    assert reason(told(state=state)) == "state"


def test_of_another_login_too() -> None:
    assert reason(told(request=begun())) == "state"


@pytest.mark.parametrize(("wall", "late"), [(999.999, False), (1000.0, True), (1e12, True)])
def test_it_has_its_time(wall: float, late: bool) -> None:
    assert (read(told(), wall=wall) == Secret("abc")) is not late
    if late:
        assert reason(told(), wall=wall) == "late"


@pytest.mark.parametrize("names_issuer", [False, True])
@pytest.mark.parametrize(
    ("iss", "taken"),
    [
        (ISSUER, (True, True)),
        (None, (True, False)),
        ("", (False, False)),
        (OTHER, (False, False)),
        (ISSUER + "/", (False, False)),
        (ISSUER.upper(), (False, False)),
        (ISSUER.replace("t", "ţ"), (False, False)),
    ],
)
def test_an_answer_of_another_server_is_a_mix_up(iss: str | None, taken: tuple[bool, bool], names_issuer: bool) -> None:
    url = told(request=THERE, iss=iss)
    if taken[names_issuer]:
        assert read(url, THERE, names_issuer=names_issuer) == Secret("abc")
    else:
        assert reason(url, THERE, names_issuer=names_issuer) == "issuer"


def test_an_error_of_another_server_is_a_mix_up_and_not_a_denial() -> None:
    assert reason(told(request=THERE, code=None, error="access_denied", iss=OTHER), THERE) == "issuer"
    assert reason(told(request=THERE, code=None, error="access_denied"), THERE, names_issuer=True) == "issuer"


def test_where_no_issuer_is_known_none_is_compared() -> None:
    assert read(told(iss=OTHER), names_issuer=True) == Secret("abc")


@pytest.mark.parametrize("issuer", [None, OTHER])
def test_a_client_that_has_another_issuer_by_now_gets_no_code(issuer: str | None) -> None:
    failure = read_callback(THERE, told(request=THERE), wall=WALL, issuer=issuer, names_issuer=False)
    assert isinstance(failure, Failure)
    assert failure.reason == "issuer"


@pytest.mark.parametrize("name", ["code", "state", "iss", "error", "error_description", "error_uri"])
def test_what_is_said_twice_is_refused(name: str) -> None:
    fields = {"code": "abc", "state": LOGIN.state}
    value = fields.get(name, "x")
    extra = () if name in fields else ((name, value),)
    assert reason(told(*extra, (name, value))) == "unreadable"


def test_what_is_none_of_ours_may_come_twice() -> None:
    assert read(told(("session", "1"), ("session", "2"))) == Secret("abc")


@pytest.mark.parametrize(
    "url",
    [
        *(None, 7, b"https://app.test/?code=x", "https://[", "https://app.test/?" + "x=1&" * 101),
        *(told() + "&x=" + "y" * 17_000, told() + "&x=%ff%fe", told() + "&x=\udc80", "https://app.test/?state=\ud800"),
    ],
    ids=lambda url: type(url).__name__,
)
def test_what_cannot_be_read_is_refused(url: Any) -> None:
    assert reason(url) == "unreadable"


@pytest.mark.parametrize(
    "url", ["", "https://app.test/", "https://app.test/?", "?code=abc", "code=abc", told() * 0 + "#"]
)
def test_what_says_nothing_is_not_of_this_login(url: str) -> None:
    assert reason(url) == "state"


def test_an_answer_in_the_fragment_is_none() -> None:
    assert reason(told().replace("?", "#")) == "state"


@pytest.mark.parametrize("code", [None, ""])
def test_one_without_code_and_error_is_refused(code: str | None) -> None:
    assert reason(told(code=code)) == "no_code"


@pytest.mark.parametrize(
    ("code", "kind", "transient"),
    [
        ("access_denied", "access_denied", False),
        ("temporarily_unavailable", "temporarily_unavailable", True),
        ("server_error", "server_error", True),
        ("login_required", "login_required", False),
        ("made_up", "denied", False),
    ],
)
def test_what_the_server_says_against_it_is_its_error(code: str, kind: str, transient: bool) -> None:
    failure = read(told(error=code, error_description="Ann said no", error_uri="https://auth.test/why"))
    assert isinstance(failure, Failure)
    assert (failure.error, failure.reason, failure.transient) == (TokenEndpointError, kind, transient)
    assert (failure.code, failure.description, failure.uri) == (code, "Ann said no", "https://auth.test/why")
    assert failure.detail == f"the authorization server denied the login: {code} (Ann said no)"
    assert failure.grant_type == "authorization_code"


def test_an_error_without_words_is_one_too() -> None:
    failure = read(told(code=None, error="access_denied"))
    assert isinstance(failure, Failure)
    assert failure.detail == "the authorization server denied the login: access_denied"


def test_nothing_secret_comes_back_in_its_words() -> None:
    assert THERE.verifier is not None
    hidden = ("the-code-that-came", THERE.state, str(THERE.nonce), THERE.verifier.reveal())
    words = " ".join(hidden)
    url = told(request=THERE, code=hidden[0], error="access_denied", error_description=words, error_uri=words)
    failure = read(url, THERE)
    assert isinstance(failure, Failure)
    assert not [secret for secret in hidden if secret in repr(failure)]


@given(st.text(max_size=300) | st.text(max_size=100).map(lambda text: told() + text))
def test_any_text_is_a_code_or_a_failure(url: str) -> None:
    assert isinstance(read(url), Secret | Failure)


@given(st.lists(st.tuples(st.sampled_from(["code", "state", "iss", "error"]), st.text(max_size=20)), max_size=8))
def test_no_code_is_taken_without_its_state_in_it_once(pairs: list[tuple[str, str]]) -> None:
    assert isinstance(read(f"https://app.test/?{urlencode(pairs, errors='replace')}"), Failure)
