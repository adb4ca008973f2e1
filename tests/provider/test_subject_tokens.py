"""What a flight presents: asked for before it takes a place, and never past its end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.kit.broker import brokered, children, clients
from tests.kit.town import Town

from tokenflight import (
    ConfigurationError,
    Fetch,
    InvalidGrantError,
    OAuthClient,
    SubjectToken,
    SubjectTokenExpiredError,
    Token,
    TokenFlightError,
    TokenProvider,
    TokenRequestError,
)
from tokenflight.model.events import AttemptFailed
from tokenflight.testing import Delay, Error

pytestmark = pytest.mark.anyio

Ask = Callable[[], Awaitable[Token]]


class Source:
    """A source of the test's own: what it gives, in turn, and who asked it."""

    def __init__(self, *gives: Any) -> None:
        self.gives = list(gives)
        self.rejected: list[tuple[Token | None, str | None]] = []
        self.asked = 0

    async def token(self) -> Any:
        self.asked += 1
        return await self._next()

    async def renew(self, rejected: Token | None = None, *, origin: str | None = None) -> Any:
        self.rejected.append((rejected, origin))
        return await self._next()

    async def _next(self) -> Any:
        given = self.gives.pop(0) if len(self.gives) > 1 else self.gives[0]
        if isinstance(given, BaseException):
            raise given
        return await given() if callable(given) else given


def parent(place: Town, value: str = "theirs", *, left: float = 1000.0, **fields: Any) -> Token:
    place.endpoint.bearers[value] = place.clock.now() + left  # type: ignore[attr-defined]
    return Token(value, expires_at=at(place, left), **fields)


def at(place: Town, seconds: float) -> datetime:
    return datetime.fromtimestamp(place.clock.wall() + seconds, UTC)


def presented(place: Town) -> list[str]:
    return [entry.form["subject_token"] for entry in place.endpoint.exchanges()]  # type: ignore[attr-defined]


async def fails(place: Town, ask: Ask) -> Any:
    with pytest.raises((TokenFlightError, AssertionError)) as raised:
        await place.clock.run(ask)
    return raised.value


async def test_any_source_is_asked_for_each_attempt_and_what_it_buys_ends_with_it() -> None:
    place = brokered()
    source = Source(parent(place))
    async with place.provider(clients()) as tokens:
        place.endpoint.script(Error("temporarily_unavailable", status=503))
        token = await place.clock.run(lambda: tokens.token("child", subject=SubjectToken(source)))
        assert (source.asked, presented(place)) == (2, ["theirs", "theirs"])
        assert token.expires_at == at(place, 1000.0) - timedelta(seconds=place.clock.now())


async def test_a_source_without_an_end_bounds_nothing() -> None:
    place = brokered(expires_in=100)
    place.endpoint.bearers["endless"] = 1e9  # type: ignore[attr-defined]
    async with place.provider(clients()) as tokens:
        token = await place.clock.run(lambda: tokens.token("child", subject=SubjectToken(Source(Token("endless")))))
        assert token.expires_at == token.issued_at + timedelta(seconds=100)


async def test_the_end_that_was_given_with_a_file_holds_although_another_token_may_lie_in_it(tmp_path: Path) -> None:
    place, file = brokered(), tmp_path / "token"
    file.write_text("one\n")
    place.endpoint.bearers = {"one": 1e9, "two": 1e9}  # type: ignore[attr-defined]
    async with place.provider(clients()) as tokens:
        subject = SubjectToken(file, expires_at=at(place, 100))
        source = tokens.source("child", subject=subject)
        await place.clock.run(source.token)
        file.write_text("two\n")
        assert (await place.clock.run(source.renew)).expires_at == subject.expires_at
        assert presented(place) == ["one", "two"]
        await place.clock.advance(100)
        assert type(await fails(place, source.token)) is SubjectTokenExpiredError
    assert len(presented(place)) == 2


async def test_a_token_that_ends_while_its_flight_stands_in_line_is_not_sent() -> None:
    place = brokered()
    async with place.provider(clients(), max_flights=1) as tokens:
        place.endpoint.script(Delay(5.0))
        place.endpoint.bearers["brief"] = 1e9  # type: ignore[attr-defined]
        brief = SubjectToken("brief", expires_at=at(place, 3.0))

        async def both() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(tokens.token, "parent")
                await place.clock.sleep_until(1.0)
                with pytest.raises(SubjectTokenExpiredError):
                    await tokens.token("child", subject=brief)

        await place.clock.run(both)
    assert presented(place) == []


async def test_a_source_is_asked_again_for_what_ended_while_its_flight_stood_in_line() -> None:
    place = brokered()
    source = Source(parent(place, "brief", left=3.0), parent(place, "lasting"))
    async with place.provider(clients(), max_flights=1) as tokens:
        place.endpoint.script(Delay(5.0))

        async def both() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(tokens.token, "parent")
                await place.clock.sleep_until(1.0)
                await tokens.token("child", subject=SubjectToken(source))

        await place.clock.run(both)
    assert presented(place) == ["lasting"]


class OddError(TokenFlightError):
    transient = False


@pytest.mark.parametrize(
    ("gives", "kind", "reason"),
    [
        (KeyError("x"), TokenRequestError, "subject_token"),
        (TokenRequestError("not now", reason="held_back"), TokenRequestError, "held_back"),
        (ConfigurationError("set it up: do"), ConfigurationError, None),
        (OddError("odd"), OddError, None),
        ("a str", ConfigurationError, None),
        (AssertionError("a test's verdict"), AssertionError, None),
    ],
)
async def test_a_source_that_fails_fails_its_children_with_nothing_sent(
    gives: Any, kind: type[Exception], reason: str | None
) -> None:
    place = brokered()
    async with place.provider(clients()) as tokens:
        source = Source(gives)
        error = await fails(place, lambda: tokens.token("child", subject=SubjectToken(source)))
        assert type(error) is kind
        assert getattr(error, "reason", None) == reason
        assert source.asked == 1, "what it says is not asked for again in the same flight"
    assert not place.endpoint.ledger
    assert not place.told(AttemptFailed)


async def test_a_source_that_gives_what_is_over_fails_its_children() -> None:
    place = brokered()
    async with place.provider(clients()) as tokens:
        over = Token("old", expires_at=at(place, -1.0))
        error = await fails(place, lambda: tokens.token("child", subject=SubjectToken(Source(over))))
        assert (error.reason, error.transient) == ("subject_token", True)
        assert "past its end" in str(error)


async def test_a_source_that_hangs_is_given_up_after_the_time_of_a_flight() -> None:
    place = brokered()
    async with place.provider(clients()) as tokens:
        source = Source(anyio.sleep_forever)
        error = await fails(place, lambda: tokens.token("child", subject=SubjectToken(source)))
        assert (error.reason, place.clock.now()) == ("subject_token", 30.0)


async def test_a_parents_hold_back_is_short_for_its_children() -> None:
    place = brokered()
    place.endpoint.script(Error("invalid_scope"))
    async with place.provider(clients()) as tokens:
        [child] = children(tokens, 1)
        error = await fails(place, child.token)
        assert (error.reason, error.key.client, error.transient) == ("invalid_scope", "parent", False)
        assert child.status().not_before_in < 5.0
        assert tokens.source("parent").status().not_before_in > 20.0


async def test_a_refused_token_of_any_source_is_renewed_there_with_the_origin_that_refused_it() -> None:
    place = brokered()
    bad, good = Token("bad"), parent(place, "good")
    source = Source(bad, good)
    async with place.provider(clients()) as tokens:
        await place.clock.run(lambda: tokens.token("child", subject=SubjectToken(source)))
        assert source.rejected == [(bad, "https://auth.test")]
        assert presented(place) == ["bad", "good"]


async def test_a_source_that_has_no_other_lets_the_refusal_stand() -> None:
    place = brokered()
    source = Source(Token("bad"), KeyError("no other"))
    async with place.provider(clients()) as tokens:
        error = await fails(place, lambda: tokens.token("child", subject=SubjectToken(source)))
        assert (error.reason, error.attempts, len(source.rejected)) == ("invalid_request", 1, 1)


async def test_the_actors_source_is_renewed_where_the_refusal_speaks_of_it() -> None:
    place = brokered()
    actor, source = Source(Token("old-actor"), Token("new-actor")), Source(parent(place))
    subject = SubjectToken(source, actor=SubjectToken(actor))
    async with place.provider(clients()) as tokens:
        place.endpoint.script(Error("invalid_request", "the actor_token is too old"))
        await place.clock.run(lambda: tokens.token("child", subject=subject))
        assert [entry.form["actor_token"] for entry in place.endpoint.ledger] == ["old-actor", "new-actor"]
        assert (len(actor.rejected), len(source.rejected)) == (1, 0)


async def test_what_was_given_by_value_has_no_other() -> None:
    place = brokered()
    async with place.provider(clients()) as tokens:
        place.endpoint.script(Error("invalid_grant"))
        error = await fails(place, lambda: tokens.token("child", subject=SubjectToken("bearer")))
        assert type(error) is InvalidGrantError
        assert error.attempts == 1


async def test_a_fetch_asks_for_itself_and_is_bound_by_what_was_given_with_the_token() -> None:
    place = brokered()
    source = Source(parent(place))

    async def fetch(key: Any) -> Token:
        return Token("fetched", expires_at=at(place, 1000.0))

    async with place.provider(OAuthClient(client_id="f", grant=Fetch(fetch))) as tokens:
        own = tokens.source(subject=SubjectToken(source, expires_at=at(place, 50.0)))
        await place.clock.run(own.token)
        assert source.asked == 0
        await place.clock.advance(50.0)
        assert own.status().verdict == "expired"
        assert type(await fails(place, own.token)) is SubjectTokenExpiredError


async def test_another_providers_source_is_any_source() -> None:
    place = brokered()
    async with place.provider(clients()) as first, place.provider(clients()) as second:
        [child] = children(second, 1, SubjectToken(first.source("parent")))
        await place.clock.run(child.token)
        await place.clock.advance(1.0)
        await place.clock.run(lambda: first.renew("parent"))
        assert child.status().verdict == "fresh"
        await place.everybody([child], every=20.0, seconds=7200.0)
    assert not place.failures
    assert not place.dead


async def test_a_parent_that_cannot_be_renewed_is_not_presented_again_for_what_would_end_no_later() -> None:
    place = brokered(expires_in=1000)
    async with place.provider(clients()) as tokens:
        [child] = children(tokens, 1)
        await place.once(child)
        await place.once(child)
        place.endpoint.always(lambda entry: None if "subject_token" in entry.form else Error("invalid_scope"))
        await place.everybody([child], every=10.0, seconds=990.0)
        assert len(presented(place)) == 1
        assert not place.failures
    assert not place.dead


async def test_the_subject_token_is_no_credential_of_the_client() -> None:
    place = brokered()
    place.endpoint.bearers = {"good": 1e9}  # type: ignore[attr-defined]
    async with place.provider(clients()) as tokens:
        await place.clock.run(lambda: tokens.token("child", subject=SubjectToken("good")))
        place.endpoint.script(Error("invalid_client", "no such subject_token=other-bearer", status=401))
        error = await fails(place, lambda: tokens.token("child", subject=SubjectToken("other-bearer")))
        assert "other-bearer" not in repr(vars(error)) + str(error)
        assert tokens.health()[0].state == "up"
        await place.clock.run(lambda: tokens.token("child", subject=SubjectToken("good"), audience="https://b"))


async def test_a_forgotten_flight_goes_on_for_who_joined_it() -> None:
    place = brokered()
    async with place.provider(clients()) as tokens:
        [child] = children(tokens, 1)
        await place.clock.run(lambda: tokens.token("parent"))
        place.endpoint.script(Delay(1.0, Error("temporarily_unavailable", status=503)))
        got: list[Token] = []

        async def ask() -> None:
            got.append(await child.token())

        async def forgetful() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask)
                await place.clock.sleep_until(0.5)
                await child.forget()

        await place.clock.run(forgetful)
        assert (len(got), len(presented(place))) == (1, 2)
        assert child.status().verdict == "none"
        assert len(tokens._engine.state.dependants) == 0


async def test_what_is_shown_of_it_is_no_secret() -> None:
    place = brokered()
    async with place.provider(clients()) as tokens:
        assert isinstance(tokens, TokenProvider)
        [child] = children(tokens, 1, SubjectToken("the-bearer-of-somebody"))
        assert "the-bearer-of-somebody" not in repr(child)
