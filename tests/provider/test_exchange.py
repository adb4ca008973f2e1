"""One attempt: read, build, send, parse, weigh."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import frozen
from tests.kit.bench import chosen_town
from tests.kit.town import Town, client

from tokenflight import (
    Dialect,
    EndpointUnreachableError,
    JWTBearer,
    MalformedResponseError,
    RefreshPolicy,
    RetryPolicy,
    SubjectToken,
    Token,
    TokenFlightError,
    TokenKey,
)
from tokenflight.errors import ConfigurationError, InvalidClientError
from tokenflight.model.events import AnswerOdd, AttemptFailed
from tokenflight.protocol.client_authentication import Attempt, RequestParts
from tokenflight.testing import Answer, Delay, Error, Issue, Refuse, Straggle

pytestmark = pytest.mark.anyio
API = "https://api.test"


def lane(tokens: Any) -> Any:
    [only] = tokens._engine.state.lanes._lanes.values()
    return only


async def fails(place: Town, call: Any, *args: Any) -> Any:
    with pytest.raises(TokenFlightError) as raised:
        await place.clock.run(call, *args)
    return raised.value


async def test_a_token_is_usable_from_when_it_was_asked_for_and_not_from_when_it_came() -> None:
    place = chosen_town(expires_in=100)
    place.endpoint.script(Delay(3.0, Straggle(4.0)))
    async with place.provider() as tokens:
        await place.clock.advance(10.0)
        wall = place.clock.wall()
        token = await place.clock.run(tokens.token)
        assert place.clock.now() == 17.0
        assert token.issued_at.timestamp() == wall
        assert token.expires_at is not None
        assert token.expires_at.timestamp() == wall + 100.0
        [status] = tokens.status()
        assert status.due_in is None
        assert tokens._engine.state.entry(status.key).life.expires_at == 110.0


async def test_everything_that_was_answered_is_in_the_token() -> None:
    place = chosen_town()
    place.endpoint.script(Issue(fields={"refresh_token": "r", "scope": "a b", "more": 1, "token_type": "bearer"}))
    async with place.provider() as tokens:
        token = await place.clock.run(tokens.token)
        assert (token.token_type, token.scope, token.extra) == ("Bearer", frozenset("ab"), {"more": 1})
        assert token.refresh_token is not None


async def test_a_servers_refresh_in_decides_when_it_is_due() -> None:
    place = chosen_town(expires_in=1000)
    place.endpoint.script(Issue(fields={"refresh_in": 100}))
    async with place.provider() as tokens:
        source = tokens.source()
        await place.once(source)
        await source.token()
        await place.clock.advance(189.0)
        assert len(place.endpoint.ledger) == 1
        await place.clock.advance(2.0)
        assert len(place.endpoint.ledger) == 2, "100 s and a tenth of the other 900"


async def test_a_clients_own_policy_goes_before_the_providers() -> None:
    place = chosen_town(expires_in=100)
    early, late = RefreshPolicy(early=0.8, spread=0.0), RefreshPolicy(early=0.2, spread=0.0)
    async with place.provider({"own": client(refresh=early), "none": client("x")}, refresh=late) as tokens:
        for name, due_at in (("own", 20.0), ("none", 80.0)):
            source = tokens.source(name)
            await place.once(source)
            assert tokens._engine.state.entry(source.key).life.due_at == due_at


async def test_a_token_without_end_is_renewed_once_per_default_lifetime_where_the_grant_may_be_repeated() -> None:
    place = chosen_town(expires_in=None)
    async with place.provider(client(default_lifetime=50.0)) as tokens:
        source = tokens.source()
        await place.once(source)
        await source.token()
        await place.clock.advance(60.0)
        assert len(place.endpoint.ledger) == 2


@frozen
class Once:
    grant_type = "client_credentials"
    repeatable = False

    def fields(self, key: TokenKey, scope: frozenset[str]) -> dict[str, str]:
        return {}


async def test_and_never_where_it_may_not() -> None:
    place = chosen_town(expires_in=None)
    async with place.provider(client(grant=Once(), default_lifetime=50.0)) as tokens:
        source = tokens.source()
        await place.once(source)
        await source.token()
        await place.clock.advance(5000.0)
        assert len(place.endpoint.ledger) == 1


async def test_an_oddity_of_the_answer_is_told() -> None:
    place = chosen_town(token_type=None)
    async with place.provider() as tokens:
        await place.clock.run(tokens.token)
    assert len(place.told(AnswerOdd)) == 1


@pytest.mark.parametrize(
    ("act", "kind", "reason"),
    [
        (Refuse(), EndpointUnreachableError, "connect"),
        (Answer(200, "<html>"), MalformedResponseError, None),
        (Error("invalid_client"), InvalidClientError, "invalid_client"),
    ],
)
async def test_what_is_no_token_is_an_error_of_its_kind(act, kind, reason) -> None:
    place = chosen_town()
    place.endpoint.always(act)
    async with place.provider() as tokens:
        error = await fails(place, tokens.token)
        assert type(error) is kind
        assert reason is None or error.reason == reason


async def test_what_was_read_and_the_held_token_are_redacted_from_what_the_server_says() -> None:
    place = chosen_town()
    async with place.provider(client(secret=lambda: "CNRY-read-secret")) as tokens:
        token = await place.clock.run(tokens.token)
        held = token.access_token.reveal()
        place.endpoint.always(Error("invalid_scope", f"no {held} for CNRY-read-secret"))
        error = await fails(place, lambda: tokens.renew(rejected=token, origin=API))
        assert "CNRY" not in error.error_description
        assert error.error_description.startswith("no ")


# credentials


async def test_a_secret_is_read_on_each_attempt() -> None:
    place, secrets = chosen_town(), iter(["one", "two", "three"])
    place.endpoint.script(Answer(503), Answer(503))
    async with place.provider(client(secret=lambda: next(secrets))) as tokens:
        await place.clock.run(tokens.token)
        assert [entry.secret for entry in place.endpoint.ledger] == ["one", "two", "three"]


async def test_a_source_that_fails_is_transient_the_keys_alone_and_sends_nothing() -> None:
    def fails_at_first() -> str:
        calls.append(1)
        if len(calls) < 6:
            raise OSError("CNRY-path")
        return "secret"

    calls: list[int] = []
    place = chosen_town()
    async with place.provider(client(secret=fails_at_first)) as tokens:
        error = await fails(place, tokens.token)
        assert (error.reason, error.transient, error.attempts) == ("credential", True, 0)
        assert error.detail == "a callable that holds a secret raised OSError"
        assert len(calls) == 3
        assert len(place.endpoint.ledger) == 0
        assert lane(tokens).health.in_a_row == 0
        await place.clock.advance(1.0)
        await place.clock.run(tokens.token)
        assert len(place.endpoint.ledger) == 1


async def test_a_source_that_takes_longer_than_an_attempt_is_transient() -> None:
    async def slow() -> str:
        await anyio.sleep_forever()
        return "never"

    place = chosen_town()
    async with place.provider(client(secret=slow), retry=RetryPolicy(attempts=1)) as tokens:
        error = await fails(place, tokens.token)
        assert (error.reason, error.transient) == ("credential", True)
        assert error.detail == "reading the client's credentials took too long"
        assert place.clock.now() == 10.0


@frozen
class Own:
    """Client authentication of a user's own."""

    act: Any
    method = "own"

    async def authenticate(self, attempt: Attempt) -> RequestParts:
        return self.act(attempt)


async def test_authentication_of_the_users_own_gets_the_wall_time_and_the_key() -> None:
    seen: list[Attempt] = []

    def act(attempt: Attempt) -> RequestParts:
        seen.append(attempt)
        return RequestParts(fields={"client_id": "own", "client_secret": "x"})

    place = chosen_town()
    async with place.provider(client(authentication=Own(act))) as tokens:
        await place.clock.advance(5.0)
        await place.clock.run(lambda: tokens.token(subject="s"))
        assert (seen[0].wall, seen[0].key) == (
            place.clock.wall(),
            TokenKey(client="default", subject=seen[0].key.subject),
        )


async def test_authentication_of_the_users_own_that_raises_is_transient_and_says_the_type() -> None:
    def act(attempt: Attempt) -> RequestParts:
        raise LookupError("CNRY-key")

    place = chosen_town()
    async with place.provider(client(authentication=Own(act))) as tokens:
        error = await fails(place, tokens.token)
        assert (error.reason, error.transient) == ("credential", True)
        assert error.detail == "Own raised LookupError"
        assert len(place.endpoint.ledger) == 0


class Parent:
    """A source of subject tokens that has none."""

    async def token(self) -> Token:
        raise EndpointUnreachableError("the parent's endpoint is away", reason="connect", transient=True)

    async def renew(self, rejected: Token | None = None, *, origin: str | None = None) -> Token:
        return await self.token()


async def test_a_subject_tokens_source_that_fails_is_heard_by_who_asked_for_the_child() -> None:
    place = chosen_town()
    bearing = client(grant=JWTBearer(), dialect=Dialect())
    async with place.provider(bearing, retry=RetryPolicy(attempts=1)) as tokens:
        error = await fails(place, lambda: tokens.token(subject=SubjectToken(Parent())))
        assert (type(error), error.reason) == (EndpointUnreachableError, "connect")
        assert len(place.endpoint.ledger) == 0


async def test_a_request_that_cannot_be_made_is_a_configuration_error() -> None:
    def act(attempt: Attempt) -> RequestParts:
        return RequestParts(fields={"grant_type": "another"})

    place = chosen_town()
    async with place.provider(client(authentication=Own(act))) as tokens:
        error = await fails(place, tokens.token)
        assert type(error) is ConfigurationError
        assert "grant_type" in str(error)
        assert len(place.endpoint.ledger) == 0
        assert place.told(AttemptFailed)[0].reason == "configuration"


async def test_refused_credentials_are_sent_again_only_when_they_changed() -> None:
    place, secret, reads = chosen_town(), ["old"], []
    place.endpoint.register("service", "new")

    def source() -> str:
        reads.append(place.clock.now())
        return secret[0]

    async with place.provider(client(secret=source)) as tokens:
        await fails(place, tokens.token)
        assert len(place.endpoint.ledger) == 1
        await place.clock.advance(1.0)
        first_look = await fails(place, tokens.token)
        assert (first_look.reason, first_look.attempts) == ("invalid_client", 0)
        assert first_look.retry_after == pytest.approx(34.0)
        assert len(reads) == 2
        await fails(place, tokens.token)
        assert len(reads) == 2, "at most every 2 s"
        assert len(place.endpoint.ledger) == 1, "still the one that was refused"
        secret[0] = "new"
        await place.clock.advance(2.0)
        assert place.endpoint.is_live(await place.clock.run(tokens.token))
        assert len(place.endpoint.ledger) == 2


async def test_a_look_is_let_through_while_another_one_takes_its_time() -> None:
    place, reads = chosen_town(), []
    place.endpoint.register("service", "new")

    async def source() -> str:
        reads.append(place.clock.now())
        if len(reads) == 1:
            return "old"
        await place.clock.sleep_until(place.clock.now() + 3.0)
        return "new"

    async with place.provider(client(secret=source)) as tokens:
        for subject in "ab":
            await fails(place, lambda: tokens.token(subject=subject))  # noqa: B023
        await place.clock.advance(2.0)
        first, second = tokens.source(subject="a"), tokens.source(subject="b")

        async def both() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(first.token)
                await place.clock.sleep_until(place.clock.now() + 2.0)
                assert place.endpoint.is_live(await second.token())

        await place.clock.run(both)
        assert len(place.endpoint.ledger) == 3


async def test_a_look_that_finds_the_same_leaves_the_failures_as_they_were() -> None:
    place = chosen_town()
    place.endpoint.register("service", "other")
    async with place.provider(client(secret=lambda: "same")) as tokens:
        await fails(place, tokens.token)
        before = tokens.status()[0]
        await place.clock.advance(2.0)
        await fails(place, tokens.token)
        after = tokens.status()[0]
        assert (after.failures, after.holding_back) == (before.failures, before.holding_back)
        assert after.not_before_in == pytest.approx(before.not_before_in - 2.0)


async def test_a_fixed_secret_is_not_looked_at_again_but_a_resolvers_client_is(tmp_path: Path) -> None:
    place = chosen_town()
    place.endpoint.register("service", "right")
    async with place.provider(client(secret="wrong")) as tokens:
        await fails(place, tokens.token)
        assert not lane(tokens).changeable
    secret = ["wrong"]
    async with place.provider(lambda name: client(secret=secret[0])) as tokens:
        await fails(place, tokens.token, "c")
        assert lane(tokens).changeable
        secret[0] = "right"
        assert place.endpoint.is_live(await place.clock.run(tokens.token, "c"))


async def test_the_same_token_come_again_by_schedule_is_a_transient_failure_of_that_key_alone() -> None:
    place = chosen_town(expires_in=100)
    async with place.provider() as tokens:
        source = tokens.source()
        await place.once(source)
        token = await source.token()
        place.endpoint.always(Issue(again=True))
        await place.clock.advance(65.5)
        [status] = tokens.status()
        assert (status.last_error, status.failures, status.holding_back) == ("no_gain", 1, "backoff")
        assert lane(tokens).health.in_a_row == 0
        assert await source.token() is token
        place.endpoint.always()
        await place.clock.advance(20.0)
        assert await source.token() is not token


async def test_a_token_that_was_dead_on_arrival_is_a_no_gain_with_its_reason() -> None:
    place = chosen_town(expires_in=2)
    place.endpoint.always(Straggle(3.0))
    async with place.provider() as tokens:
        error = await fails(place, tokens.token)
        assert (error.reason, error.transient) == ("no_gain", True)
        assert error.detail.endswith("no gain: it was past its end on arrival")
