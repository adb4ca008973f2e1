"""Refresh tokens on the wire: what travels with one, and what of the key does."""

from __future__ import annotations

from typing import Any

import pytest
from tests.kit.attempts import work

from tokenflight import Audience, OAuthClient, RefreshToken, Secret, Subject, SubjectToken, TokenKey
from tokenflight.errors import ConfigurationError
from tokenflight.protocol.client_authentication import Attempt
from tokenflight.protocol.grants import Grant, Presenting, check_key, token_fields

pytestmark = pytest.mark.anyio

ANN = TokenKey(client="c", subject=Subject("ann"))


def client(**fields: Any) -> OAuthClient:
    fields = {"grant": RefreshToken(), "authentication": "s"} | fields
    return OAuthClient(client_id="c", token_endpoint="https://auth.test/token", **fields)


def attempt(refresh_token: Secret | None = None) -> Attempt:
    async def read(source: object) -> Secret:
        raise AssertionError("nothing is read")

    return Attempt(key=ANN, client=client(), wall=0.0, read=read, work=work, refresh_token=refresh_token)


def test_it_is_a_grant_that_presents_something_and_may_be_repeated() -> None:
    grant = RefreshToken()
    assert isinstance(grant, Grant)
    assert isinstance(grant, Presenting)
    assert (grant.grant_type, grant.repeatable, grant.grace) == ("refresh_token", True, None)
    assert hash(grant) == hash(RefreshToken())
    assert repr(RefreshToken(grace=30)) == "RefreshToken(grace=30.0)"


@pytest.mark.parametrize("grace", [-1, "soon", float("inf"), float("nan"), [], True])
def test_a_grace_that_is_no_number_of_seconds_is_refused(grace: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"set it to 0 or more, or leave it out where unknown$"):
        RefreshToken(grace=grace)


@pytest.mark.parametrize(("grace", "kept"), [(None, None), (0, 0.0), (30, 30.0), (2.5, 2.5)])
def test_a_grace_is_kept_in_seconds(grace: Any, kept: float | None) -> None:
    assert RefreshToken(grace=grace).grace == kept


@pytest.mark.parametrize(
    ("key", "fields"),
    [
        (ANN, {}),
        (TokenKey(client="c", subject=Subject("ann"), scope=frozenset("ba")), {"scope": "a b"}),
        (TokenKey(client="c", subject=Subject("ann"), audience=Audience("x")), {"audience": "x"}),
        (TokenKey(client="c", subject=Subject("ann"), audience=Audience("x", "resource")), {"resource": "x"}),
    ],
)
def test_a_calls_scope_and_audience_travel_and_neither_the_clients_scope_nor_the_subject(
    key: TokenKey, fields: dict[str, str]
) -> None:
    assert RefreshToken().fields(key, frozenset({"of the client"})) == fields
    assert token_fields(client(), key) == {"grant_type": "refresh_token"} | fields
    check_key(client(), key)


@pytest.mark.parametrize("subject", [None, SubjectToken("eyJ")])
def test_a_key_without_a_subject_known_by_its_id_is_refused(subject: Any) -> None:
    with pytest.raises(
        ConfigurationError, match=r"pass subject= with the name under which it was redeemed or adopted$"
    ):
        check_key(client(), TokenKey(client="c", subject=subject))


async def test_what_is_presented_is_the_refresh_token_of_the_attempt() -> None:
    parts = await RefreshToken().present(attempt(Secret("r1")))
    assert (dict(parts.fields), dict(parts.headers)) == ({"refresh_token": "r1"}, {})


async def test_without_one_nothing_can_be_presented() -> None:
    with pytest.raises(ConfigurationError, match=r"ask a TokenProvider, which keeps the sessions$"):
        await RefreshToken().present(attempt())
