"""The error tree: one root, one question, and nothing in it that must not show."""

from __future__ import annotations

import copy
import pickle

import pytest

from tokenflight import errors
from tokenflight.errors import (
    AuthorizationResponseError,
    ConfigurationError,
    EndpointUnreachableError,
    InvalidClientError,
    InvalidGrantError,
    MalformedResponseError,
    ProviderClosedError,
    SessionLostError,
    StoreError,
    SubjectTokenExpiredError,
    TokenEndpointError,
    TokenFlightError,
    TokenRequestError,
    TokenValidationError,
    WarmUpError,
)
from tokenflight.model.key import Subject, TokenKey

KEY = TokenKey(client="c", subject=Subject("canary-subject"))
ALL = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, BaseException)]


def test_the_tree_is_as_documented() -> None:
    assert {kind.__name__: kind.__mro__[1].__name__ for kind in ALL} == {
        "TokenFlightError": "Exception",
        "ConfigurationError": "TokenFlightError",
        "ProviderClosedError": "TokenFlightError",
        "StoreError": "TokenFlightError",
        "WarmUpError": "TokenFlightError",
        "TokenRequestError": "TokenFlightError",
        "EndpointUnreachableError": "TokenRequestError",
        "MalformedResponseError": "TokenRequestError",
        "SessionLostError": "TokenRequestError",
        "TokenValidationError": "TokenRequestError",
        "AuthorizationResponseError": "TokenRequestError",
        "TokenEndpointError": "TokenRequestError",
        "InvalidClientError": "TokenEndpointError",
        "InvalidGrantError": "TokenEndpointError",
        "SubjectTokenExpiredError": "InvalidGrantError",
    }


@pytest.mark.parametrize("kind", ALL)
def test_each_can_be_raised_with_a_message_alone(kind: type[TokenFlightError]) -> None:
    with pytest.raises(kind, match=r"^what happened$") as caught:
        raise kind("what happened")

    assert caught.value.transient is (kind in (StoreError, WarmUpError))


def full() -> list[TokenFlightError]:
    request = {
        "key": KEY,
        "attempts": 3,
        "retry_after": 1.5,
        "reason": "r",
        "detail": "d",
        "hint": "h",
        "transient": True,
    }
    endpoint = {"error": "e", "error_description": "ed", "error_uri": "eu", "status": 400, "request_id": "id"}
    return [
        TokenFlightError("m"),
        ConfigurationError("m"),
        ProviderClosedError("m"),
        StoreError("m"),
        WarmUpError("m", failed=()),
        *[
            kind("m", **request)  # type: ignore[arg-type]
            for kind in (
                *(TokenRequestError, EndpointUnreachableError, MalformedResponseError, TokenValidationError),
                AuthorizationResponseError,
            )
        ],
        SessionLostError("m", ambiguous=True, **request),
        *[
            kind("m", **request, **endpoint)  # type: ignore[arg-type]
            for kind in (TokenEndpointError, InvalidClientError, InvalidGrantError, SubjectTokenExpiredError)
        ],
    ]


@pytest.mark.parametrize("error", full(), ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
def test_a_copy_is_whole(error: TokenFlightError, again: object) -> None:
    other = again(error)  # type: ignore[operator]

    assert type(other) is type(error)
    assert other is not error
    assert (other.args, vars(other)) == (error.args, vars(error))


def test_a_note_is_no_obstacle_to_a_copy() -> None:
    error = TokenRequestError("m", key=KEY)
    error.add_note("seen in staging")

    assert pickle.loads(pickle.dumps(error)).key == KEY


@pytest.mark.parametrize("error", full(), ids=lambda error: type(error).__name__)
def test_no_subject_shows(error: TokenFlightError) -> None:
    assert "canary" not in f"{error!r} {error} {vars(error)!r}"


def test_a_lost_session_is_not_ambiguous_unless_said() -> None:
    assert SessionLostError().ambiguous is False


def test_each_has_a_message_of_its_own_where_it_can() -> None:
    assert str(TokenRequestError()) == "the token request failed"
    assert str(TokenEndpointError()) == "the token endpoint refused"
    assert str(SessionLostError()) == "the session is lost"
