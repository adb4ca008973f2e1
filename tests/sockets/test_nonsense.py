"""Endpoints that answer nonsense: over the wire, to a provider that holds a token, which lives on."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.kit.canary import canary
from tests.kit.harbour import AT_ONCE, Harbour, at_once, harbour

from tokenflight import MalformedResponseError, Token, TokenEndpointError, TokenRequestError
from tokenflight.model.events import AnswerOdd, FlightFailed
from tokenflight.testing import Answer, Error, Issue
from tokenflight.testing.acts import Act

pytestmark = pytest.mark.anyio

JSON = {"content-type": "application/json"}


@pytest.fixture
async def port() -> AsyncIterator[Harbour]:
    async with harbour() as port:
        yield port


def raw(body: bytes, status: int = 200, kind: str = "application/json") -> Answer:
    return Answer(status, body, headers={"content-type": kind})


def fields(**changed: Any) -> Answer:
    good = {"access_token": canary("access"), "token_type": "Bearer", "expires_in": 3600}
    return Answer(200, good | changed)


def digits(count: int) -> bytes:
    return b'{"access_token": "t", "token_type": "Bearer", "expires_in": ' + b"9" * count + b"}"


UNREADABLE: dict[str, Act] = {
    "empty": raw(b""),
    "204": Answer(204),
    "html": raw(b"<html>Welcome</html>", kind="text/html"),
    "html as json": raw(b"<html>Welcome</html>"),
    "null": raw(b"null"),
    "list": raw(b'[{"access_token": "t"}]'),
    "number": raw(b"42"),
    "string": raw(b'"t"'),
    "cut json": raw(b'{"access_token": "t"'),
    "utf-16": raw('{"access_token": "t"}'.encode("utf-16")),
    "latin-1": raw('{"access_token": "ä"}'.encode("latin-1")),
    "nested": raw(b'{"a":' * 100_000),
    "twice": raw(b'{"access_token": "a", "access_token": "b", "token_type": "Bearer"}'),
    "gzip unsaid": raw(gzip.compress(b'{"access_token": "t"}')),
    "no token": fields(access_token=None),
    "empty token": fields(access_token=""),
    "number as token": fields(access_token=123),
    "object as token": fields(access_token={}),
    "line break in the token": fields(access_token=f"{canary('access')}\r\nX-Evil: 1"),
    "nul in the token": fields(access_token=f"{canary('access')}\0"),
    "letter in the token": fields(access_token=f"{canary('access')}é"),
    "surrogate in the token": raw(b'{"access_token": "\\ud800", "token_type": "Bearer"}'),
    "200,000 letters of token": fields(access_token="x" * 200_000),
    "number as type": fields(token_type=7),
}


@pytest.mark.parametrize("act", UNREADABLE.values(), ids=UNREADABLE)
async def test_what_is_no_token_response_is_a_typed_error_and_the_held_token_lives_on(port: Harbour, act: Act) -> None:
    async with port.provider(retry=AT_ONCE) as tokens:
        held = await tokens.token()
        port.endpoint.always(act)
        (error,) = await at_once(tokens.renew)
        assert isinstance(error, MalformedResponseError)
        assert error.transient
        assert await tokens.token() is held
        (event,) = await port.told(FlightFailed)
        assert event.reason == error.reason
        assert event.token_left is not None
    assert port.requests == 1 + 3


@pytest.mark.parametrize("kind", ["mac", "N_A", "DPoP"])
async def test_a_token_that_is_no_bearer_token_is_asked_for_once(port: Harbour, kind: str) -> None:
    async with port.provider(retry=AT_ONCE) as tokens:
        held = await tokens.token()
        port.endpoint.always(fields(token_type=kind))
        (error,) = await at_once(tokens.renew)
        assert isinstance(error, MalformedResponseError)
        assert not error.transient
        assert await tokens.token() is held
    assert port.requests == 2


REFUSALS: dict[str, tuple[Act, str, bool]] = {
    "400": (Error("invalid_request"), "invalid_request", False),
    "error in a 200": (Answer(200, {"error": "invalid_grant"}), "invalid_grant", False),
    "error and token in a 200": (fields(error="invalid_scope"), "invalid_scope", False),
    "error in a 500": (Answer(500, {"error": "invalid_client"}), "http_500", True),
    "error in a 418": (Answer(418, {"error": "unauthorized_client"}), "unauthorized_client", False),
    "unknown error": (Answer(400, {"error": "kaputt"}), "http_400", False),
    "token in a 400": (Answer(400, {"access_token": canary("access")}), "http_400", False),
    "401 without a body": (Answer(401), "http_401", False),
    "403 of a firewall": (raw(b"<html>blocked</html>", 403, "text/html"), "http_403", False),
    "404": (Answer(404, "not here"), "http_404", False),
    "408": (Answer(408), "http_408", True),
    "503 with html": (raw(b"<html>busy</html>", 503, "text/html"), "http_503", True),
    "temporarily": (Error("temporarily_unavailable"), "temporarily_unavailable", True),
}


@pytest.mark.parametrize(("act", "reason", "transient"), REFUSALS.values(), ids=REFUSALS)
async def test_a_refusal_is_typed_by_its_code_then_its_status_and_the_held_token_lives_on(
    port: Harbour, act: Act, reason: str, transient: bool
) -> None:
    async with port.provider(retry=AT_ONCE) as tokens:
        held = await tokens.token()
        port.endpoint.always(act)
        (error,) = await at_once(tokens.renew)
        assert isinstance(error, TokenEndpointError)
        assert (error.reason, error.transient) == (reason, transient)
        assert await tokens.token() is held
        assert len(await port.told(FlightFailed)) == 1
    assert port.requests == 1 + (3 if transient else 1)


ODD: dict[str, tuple[Act, float | None]] = {
    "no lifetime": (Issue(without=["expires_in"]), None),
    "null": (Issue(fields={"expires_in": None}), None),
    "true": (Issue(fields={"expires_in": True}), None),
    "list": (Issue(fields={"expires_in": []}), None),
    "negative": (Issue(fields={"expires_in": -5}), None),
    "soon": (Issue(fields={"expires_in": "soon"}), None),
    "NaN": (raw(b'{"access_token": "t", "token_type": "Bearer", "expires_in": NaN}'), None),
    "1e400": (raw(b'{"access_token": "t", "token_type": "Bearer", "expires_in": 1e400}'), None),
    "5,000 digits": (raw(digits(5_000)), None),
    "text": (Issue(fields={"expires_in": "3600"}), 3600.0),
    "spaced text": (Issue(fields={"expires_in": " 3600 "}), 3600.0),
    "decimals": (Issue(fields={"expires_in": "3600.5"}), 3600.5),
    "float": (Issue(fields={"expires_in": 3600.0}), 3600.0),
    "no type": (Issue(without=["token_type"]), 3600.0),
    "BEARER": (Issue(fields={"token_type": "BEARER"}), 3600.0),
    "array of scopes": (Issue(fields={"scope": ["a", "b"]}), 3600.0),
    "byte order mark": (raw(b"\xef\xbb\xbf" + json.dumps({"access_token": "t", "expires_in": 3600}).encode()), 3600.0),
    "a form": (
        raw(b"access_token=t&token_type=bearer&expires_in=3600", kind="application/x-www-form-urlencoded"),
        3600.0,
    ),
    "json as text": (raw(b'{"access_token": "t", "expires_in": 3600}', kind="text/plain"), 3600.0),
}


@pytest.mark.parametrize(("act", "lifetime"), ODD.values(), ids=ODD)
async def test_what_is_odd_and_still_means_a_token_is_one(port: Harbour, act: Act, lifetime: float | None) -> None:
    async with port.provider(retry=AT_ONCE) as tokens:
        held = await tokens.token()
        port.endpoint.always(act)
        token = await tokens.renew(rejected=held)
        assert token.header.startswith("Bearer ")
        assert token.header != held.header
        (status,) = tokens.status()
        assert (status.expires_at is None) == (lifetime is None)
        if lifetime is not None and status.expires_at is not None:
            assert round((status.expires_at - token.issued_at).total_seconds(), 3) == lifetime
        odd = {event.oddity for event in await port.told(AnswerOdd)}
        assert odd or lifetime is not None
    assert port.requests == 2


@pytest.mark.parametrize("lifetime", [0, 0.2, 0.9])
async def test_a_lifetime_below_a_second_serves_a_second_and_no_request_more(port: Harbour, lifetime: float) -> None:
    port.endpoint.always(Issue(fields={"expires_in": lifetime}))
    async with port.provider() as tokens:
        got = [await tokens.token() for _ in range(200)]
    assert len({token.header for token in got}) == port.requests <= 2


async def test_what_an_endpoint_echoes_is_cleaned_and_shows_no_secret(port: Harbour) -> None:
    echo = f"\x1b[31m bad {port.secret}\r\n{'x' * 10_000}"
    port.endpoint.always(Error("invalid_request", echo))
    async with port.provider() as tokens:
        with pytest.raises(TokenRequestError) as caught:
            await tokens.token()
    error = caught.value
    assert isinstance(error, TokenEndpointError)
    assert error.error_description is not None
    assert len(error.error_description) <= 512
    assert error.error_description.isprintable()
    assert port.secret not in str(error) + repr(error) + error.error_description


async def test_a_token_response_after_nonsense_is_taken_by_the_same_callers(port: Harbour) -> None:
    port.endpoint.script(raw(b"<html>"), Answer(503))
    async with port.provider(retry=AT_ONCE) as tokens:
        got = await at_once(*[tokens.token] * 100)
    assert all(isinstance(token, Token) for token in got)
    assert port.requests == 3
