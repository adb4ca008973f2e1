"""What token endpoints answer that no RFC foresees, through a provider: what is kept, what fails, and how."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field
from tests.dialects.asking import lifetime, provider
from tests.doubles.odd import CLIENT, OddDouble, shapes

from tokenflight import (
    ClientSecretPost,
    Dialect,
    EndpointUnreachableError,
    InvalidClientError,
    MalformedResponseError,
    OAuthClient,
    RetryPolicy,
    Token,
    TokenEndpointError,
    TokenProvider,
    TokenRequestError,
)
from tokenflight.model.events import AnswerOdd, Event
from tokenflight.testing import VirtualClock

pytestmark = pytest.mark.anyio


@define
class Asked:
    """A provider before one odd endpoint, in virtual time."""

    tokens: TokenProvider
    double: OddDouble
    clock: VirtualClock
    events: list[Event] = field(factory=list)

    async def token(self) -> Token:
        return await self.clock.run(self.tokens.token)

    async def refusal(self) -> TokenRequestError:
        with pytest.raises(TokenRequestError) as caught:
            await self.clock.run(self.tokens.token)
        return caught.value

    def oddities(self) -> set[str]:
        return {event.oddity for event in self.events if isinstance(event, AnswerOdd)}


@asynccontextmanager
async def asked(name: str, dialect: Dialect | None = None, **fields: Any) -> AsyncIterator[Asked]:
    clock, events = VirtualClock(), list[Event]()
    double = OddDouble(clock=clock)
    client = OAuthClient(
        client_id=CLIENT,
        token_endpoint=f"https://odd.example/o/{name}",
        authentication=ClientSecretPost(double.secrets[CLIENT]),
        dialect=dialect or Dialect(),
        **fields,
    )
    async with provider(client, double, clock=clock, retry=RetryPolicy(), hooks=[events.append]) as tokens:
        yield Asked(tokens, double, clock, events)


@pytest.mark.parametrize("name", ["string-expires", "v1-strings"])
async def test_a_lifetime_may_be_a_string(name: str) -> None:
    async with asked(name) as place:
        got = await place.token()
        await place.clock.advance(1)

        assert lifetime(got) == 3600
        assert place.oddities() == {"expires_in is a string"}


@pytest.mark.parametrize(
    ("name", "oddity"),
    [
        ("null-expires", "expires_in is no number of seconds but null"),
        ("no-expires", "expires_in is missing"),
        ("expires-on-only", "expires_in is missing"),
    ],
)
async def test_a_token_without_a_lifetime_is_renewed_while_it_is_used_and_never_expires(name: str, oddity: str) -> None:
    async with asked(name, default_lifetime=600) as place:
        source = place.tokens.source(keep_warm=True)
        got = await place.clock.run(source.token)
        assert got.expires_at is None
        await place.clock.advance(700)

        assert oddity in place.oddities()
        assert len(place.double.ledger) == 2


async def test_a_lifetime_of_zero_is_a_second_and_does_not_make_a_storm() -> None:
    async with asked("zero-expires") as place:
        for _ in range(20):
            await place.token()
            await place.clock.advance(0.5)

        assert "expires_in is below one second" in place.oddities()
        assert len(place.double.ledger) <= 12


async def test_what_comes_beside_a_token_is_kept() -> None:
    async with asked("no-expires") as place:
        got = await place.token()

        assert got.extra["instance_url"] == "https://acme.my.salesforce.com"
        assert got.extra["issued_at"].isdigit()


async def test_a_server_may_say_when_it_wants_to_be_asked_again() -> None:
    async with asked("refresh-in") as place:
        source = place.tokens.source(keep_warm=True)
        await place.clock.run(source.token)
        await place.clock.advance(3590)
        assert len(place.double.ledger) == 1
        await place.clock.advance(500)
        assert len(place.double.ledger) == 2


def until(headers: Mapping[str, str], moment: float) -> float:
    """Return the seconds from an answer's Date to a moment."""
    return moment - parsedate_to_datetime(headers["date"]).timestamp()


def by_end(status: int, headers: Mapping[str, str], fields: dict[str, Any]) -> Mapping[str, Any]:
    return {**fields, "expires_in": until(headers, float(fields["expires_on"]))}


def by_date(status: int, headers: Mapping[str, str], fields: dict[str, Any]) -> Mapping[str, Any]:
    end = datetime.fromisoformat(fields["expires_at"]).timestamp()
    return {"access_token": fields["token"], "expires_in": until(headers, end)}


def id_token(status: int, headers: Mapping[str, str], fields: dict[str, Any]) -> Mapping[str, Any]:
    return {"access_token": fields["id_token"], "expires_in": 3600}


def commas(status: int, headers: Mapping[str, str], fields: dict[str, Any]) -> Mapping[str, Any]:
    return {**fields, "scope": fields["scope"].split(",")}


def camel(status: int, headers: Mapping[str, str], fields: dict[str, Any]) -> Mapping[str, Any]:
    names = {"accessToken": "access_token", "tokenType": "token_type", "expiresIn": "expires_in"}
    return {names.get(name, name): value for name, value in fields.items()}


def bearer(status: int, headers: Mapping[str, str], fields: dict[str, Any]) -> Mapping[str, Any]:
    return {**fields, "token_type": "Bearer"}


def expires(status: int, headers: Mapping[str, str], fields: dict[str, Any]) -> Mapping[str, Any]:
    return {**fields, "expires_in": fields["expires"]}


@pytest.mark.parametrize(
    ("name", "parse", "seconds", "scope"),
    [
        ("expires-on-only", by_end, 3600, set()),
        ("iso", by_date, 3600, set()),
        ("id-token-only", id_token, 3600, set()),
        ("scope-comma", commas, 86399, {"read_products", "write_orders"}),
        ("camel", camel, 3600, set()),
        ("token-type-odd", bearer, 3600, set()),
        ("urlencoded", expires, 3600, set()),
    ],
)
async def test_three_lines_of_a_dialect_read_what_a_provider_spells_its_own_way(
    name: str, parse: Any, seconds: int, scope: set[str]
) -> None:
    async with asked(name, Dialect(parse=parse)) as place:
        got = await place.token()

        assert (got.access_token.reveal(), got.header.partition(" ")[0]) == (list(place.double.tokens)[-1], "Bearer")
        assert (lifetime(got), got.scope) == (seconds, scope)


async def test_a_scope_may_be_a_list() -> None:
    async with asked("scope-array") as place:
        assert (await place.token()).scope == {"read:a", "write:a"}


async def test_a_token_without_a_type_is_a_bearer_token() -> None:
    async with asked("scope-comma") as place:
        assert (await place.token()).header.startswith("Bearer ")
        await place.clock.advance(1)
        assert "token_type is missing" in place.oddities()


@pytest.mark.parametrize("name", ["bom", "urlencoded"])
async def test_a_body_may_begin_with_a_mark_or_be_a_form(name: str) -> None:
    async with asked(name) as place:
        assert (await place.token()).access_token.reveal() == list(place.double.tokens)[-1]


@pytest.mark.parametrize("name", ["iso", "id-token-only", "camel", "list-json"])
async def test_a_good_status_without_a_token_is_malformed_and_tried_three_times(name: str) -> None:
    async with asked(name) as place:
        error = await place.refusal()

        assert type(error) is MalformedResponseError
        assert (error.transient, error.reason, error.attempts) == (True, "malformed", 3)


async def test_a_token_of_a_type_that_no_header_knows_is_permanent_unless_a_dialect_knows_better() -> None:
    async with asked("token-type-odd") as place:
        error = await place.refusal()

        assert type(error) is MalformedResponseError
        assert (error.transient, error.attempts) == (False, 1)


async def test_an_error_in_a_good_status_is_an_error() -> None:
    async with asked("error-200") as place:
        error = await place.refusal()

        assert type(error) is TokenEndpointError
        assert (error.status, error.error, error.error_description) == (
            200, "incorrect_client_credentials", "They are wrong.",
        )  # fmt: skip


async def test_ok_false_is_an_error_whose_code_a_dialect_may_know() -> None:
    known = Dialect(classify=lambda status, error, text: "invalid_client" if error == "invalid_auth" else None)
    async with asked("ok-false") as place:
        unknown = await place.refusal()
    async with asked("ok-false", known) as place:
        named = await place.refusal()

    assert isinstance(unknown, TokenEndpointError)
    assert (unknown.error, unknown.transient, unknown.reason) == ("invalid_auth", True, "http_200")
    assert isinstance(named, InvalidClientError)
    assert not named.transient


async def test_a_list_of_errors_is_read_by_its_status_or_by_a_dialect() -> None:
    def first(status: int, headers: Mapping[str, str], fields: dict[str, Any]) -> Mapping[str, Any]:
        [problem] = fields["errors"]
        return {"error": problem["errorType"], "error_description": problem["message"]}

    async with asked("errors-list") as place:
        plain = await place.refusal()
    async with asked("errors-list", Dialect(parse=first)) as place:
        read = await place.refusal()

    assert isinstance(plain, TokenEndpointError)
    assert (plain.status, plain.error, plain.transient) == (401, None, False)
    assert isinstance(read, InvalidClientError)
    assert read.error_description == "Invalid authorization header"


async def test_too_many_requests_in_plain_text_say_for_how_long() -> None:
    async with asked("plain-429") as place:
        error = await place.refusal()

        assert (error.reason, error.transient, error.retry_after) == ("http_429", True, 60)
        assert len(place.double.ledger) == 1


async def test_a_gateways_page_is_transient_and_none_of_it_is_shown() -> None:
    async with asked("html-502") as place:
        error = await place.refusal()

        assert (error.reason, error.transient, error.attempts) == ("http_502", True, 3)
        assert "html" not in str(error)


async def test_two_mebibytes_are_too_many() -> None:
    async with asked("huge") as place:
        error = await place.refusal()

        assert (error.reason, error.transient) == ("too_large", True)


async def test_a_redirect_to_another_host_is_never_followed() -> None:
    async with asked("redirect-cross-origin") as place:
        error = await place.refusal()

        assert not error.transient
        assert place.double.elsewhere not in {seen.request.url for seen in place.double.ledger}
        assert len(place.double.ledger) == 1


async def test_an_endpoint_that_never_answers_ends_at_the_limit_of_a_flight() -> None:
    async with asked("slow") as place:
        place.double.slow = math.inf
        error = await place.refusal()

        assert isinstance(error, EndpointUnreachableError)
        assert error.transient
        assert place.clock.now() <= 31


async def test_a_slow_endpoint_answers_after_all() -> None:
    async with asked("slow") as place:
        await place.token()

        assert place.clock.now() == place.double.slow


async def test_a_body_that_ends_too_early_is_as_good_as_none() -> None:
    async with asked("truncated") as place:
        error = await place.refusal()

        assert isinstance(error, EndpointUnreachableError)
        assert (error.transient, error.attempts) == (True, 3)


def test_every_shape_that_there_is_is_tried_here() -> None:
    named = {path.rpartition("/")[2] for _, path, _ in shapes.ROUTES}
    here = Path(__file__).read_text("utf-8")

    assert len(named) == 25
    assert {name for name in named if f'"{name}"' not in here} == set()
