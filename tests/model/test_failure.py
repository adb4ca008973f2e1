"""A failure crosses as a value; each waiter makes its own exception of it."""

from __future__ import annotations

from typing import Any

import pytest

from tokenflight.errors import (
    ConfigurationError,
    EndpointUnreachableError,
    InvalidClientError,
    InvalidGrantError,
    ProviderClosedError,
    SessionLostError,
    TokenEndpointError,
    TokenRequestError,
)
from tokenflight.model.failure import CLOSED, Failure, error_for
from tokenflight.model.key import Subject, TokenKey

KEY = TokenKey(client="c", subject=Subject("canary-subject"))
REFUSED = Failure(
    error=InvalidClientError,
    reason="invalid_client",
    detail="the endpoint refused the client",
    hint="check the secret",
    transient=False,
    attempts=2,
    retry_after=3.0,
    grant_type="client_credentials",
    code="invalid_client",
    description="no such client",
    uri="https://docs.example.com",
    status=401,
    request_id="r1",
)


def test_each_waiter_gets_an_exception_of_its_own() -> None:
    one, other = REFUSED.exception(KEY), REFUSED.exception(KEY)

    assert one is not other
    assert vars(one) == vars(other)
    assert (one.__cause__, one.__context__, one.__traceback__) == (None, None, None)


def test_all_fields_reach_the_exception() -> None:
    error = REFUSED.exception(KEY)

    assert isinstance(error, InvalidClientError)
    assert str(error) == "the endpoint refused the client; check the secret"
    assert vars(error) == {
        "key": KEY,
        "grant_type": "client_credentials",
        "attempts": 2,
        "retry_after": 3.0,
        "reason": "invalid_client",
        "detail": "the endpoint refused the client",
        "hint": "check the secret",
        "transient": False,
        "error": "invalid_client",
        "error_description": "no such client",
        "error_uri": "https://docs.example.com",
        "status": 401,
        "request_id": "r1",
    }
    assert "canary" not in repr(vars(error))


def test_the_pause_that_is_left_replaces_the_servers_word() -> None:
    error = REFUSED.exception(KEY, retry_after=0.5)

    assert isinstance(error, TokenRequestError)
    assert error.retry_after == 0.5


def test_a_failure_of_the_wire_has_no_status() -> None:
    error = Failure(error=EndpointUnreachableError, reason="timeout", detail="no answer within 10 s").exception(KEY)

    assert isinstance(error, EndpointUnreachableError)
    assert (str(error), error.transient, error.retry_after) == ("no answer within 10 s", True, None)
    assert not hasattr(error, "status")


def test_an_endpoints_failure_without_a_status_has_zero() -> None:
    error = Failure(error=TokenEndpointError, reason="r", detail="d").exception(KEY)

    assert isinstance(error, TokenEndpointError)
    assert (error.status, error.error) == (0, None)


def test_an_error_that_is_about_no_request_gets_the_text_alone() -> None:
    error = Failure(error=ConfigurationError, reason="configuration", detail="wrong", hint="do this").exception(KEY)

    assert isinstance(error, ConfigurationError)
    assert error.args == ("wrong; do this",)


def test_a_closed_provider_is_a_failure_of_its_own() -> None:
    error = CLOSED.exception(KEY)

    assert isinstance(error, ProviderClosedError)
    assert "enter it again" in str(error)
    assert not error.transient


def test_an_exception_that_goes_to_the_caller_as_it_is_is_made_anew() -> None:
    failure = Failure(reason="r", detail="d", prototype=KeyError("canary"))

    one, other = failure.exception(KEY), failure.exception(KEY)

    assert isinstance(one, KeyError)
    assert one.args == ("canary",)
    assert one is not other
    assert "canary" not in repr(failure)


@pytest.mark.parametrize(
    ("failure", "local"),
    [
        (Failure(reason="r", detail="d", error=ConfigurationError), True),
        (Failure(reason="r", detail="d", prototype=AssertionError("unmocked")), True),
        (Failure(reason="r", detail="d", prototype=KeyError("k")), False),
        (REFUSED, False),
    ],
)
def test_what_this_program_did_itself_can_be_told_from_what_the_world_did(failure: Failure, local: bool) -> None:
    assert failure.local is local


def test_held_back_callers_sent_nothing() -> None:
    error = REFUSED.held_back().exception(KEY)

    assert isinstance(error, TokenRequestError)
    assert error.attempts == 0
    assert error.detail == REFUSED.detail
    assert REFUSED.attempts == 2


@pytest.mark.parametrize(("status", "throttled"), [(429, True), (503, False), (None, False)])
def test_429_is_a_pace_and_no_fault(status: int | None, throttled: bool) -> None:
    assert Failure(reason="r", detail="d", status=status).throttled is throttled


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("invalid_client", InvalidClientError),
        ("invalid_grant", InvalidGrantError),
        ("invalid_scope", TokenEndpointError),
        ("", TokenEndpointError),
        (None, TokenEndpointError),
    ],
)
def test_a_code_has_its_error(code: str | None, error: type[Any]) -> None:
    assert error_for(code) is error


def test_a_lost_session_can_be_told_by_a_failure() -> None:
    error = Failure(error=SessionLostError, reason="invalid_grant", detail="gone", transient=False).exception(KEY)

    assert isinstance(error, SessionLostError)
    assert error.ambiguous is False
