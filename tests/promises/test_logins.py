"""A login is begun here, answered anywhere, and redeemed once: its code is never sent twice, whatever happens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest
from tests.kit.rotating import RotatingServer, Swallow, login_app, provider_of, session_town
from tests.kit.steps import Stepped
from tests.kit.town import Town

from tokenflight import (
    Audience,
    AuthorizationRequest,
    AuthorizationResponseError,
    ConfigurationError,
    MemoryStore,
    ProviderClosedError,
    SessionLostError,
    Subject,
    Token,
    TokenFlightError,
    TokenProvider,
)
from tokenflight.model.events import TokenLanded
from tokenflight.stores import SessionRecord, TokenRecord
from tokenflight.testing import Answer, Delay, Error, Hang, Issue, LoseReply, Refuse, Reset, Straggle, Throttle

pytestmark = pytest.mark.anyio

BACK = "https://app.test/callback"


async def begun(place: Town, tokens: TokenProvider, **how: Any) -> AuthorizationRequest:
    return await place.clock.run(lambda: tokens.sessions.begin(**{"redirect_uri": BACK} | how))


async def redeemed(
    place: Town, tokens: TokenProvider, request: AuthorizationRequest, callback: str, subject: Any = "ann"
) -> Any:
    """Redeem, and return the token or the error."""
    try:
        return await place.clock.run(lambda: tokens.sessions.redeem(request, callback, subject=subject))
    except TokenFlightError as error:
        return error


async def test_a_login_is_a_session_its_token_and_what_comes_after():
    place, store = session_town(expires_in=600), MemoryStore()
    server: RotatingServer = place.endpoint
    async with place.provider(login_app(scope="read"), store=store) as tokens:
        request = await begun(place, tokens)
        token = await redeemed(place, tokens, request, server.authorize(request.url))
        assert server.is_live(token)
        assert (await place.once(tokens.source(subject="ann")))[0].token is token
        assert {type(record) for record in store._records.values()} == {SessionRecord, TokenRecord}
        source = tokens.source(subject="ann")
        for _ in range(20):
            await place.clock.advance(100.0)
            await place.once(source)
    assert not place.failures
    assert place.told(TokenLanded)[0].trigger == "login"
    assert len(server.spent("authorization_code")) == 1
    assert server.family().generations >= 3
    assert server.family().reuses == 0


async def test_begun_in_one_process_it_is_redeemed_in_another_and_no_second_time_anywhere():
    place = session_town()
    server: RotatingServer = place.endpoint
    async with place.provider(login_app()) as one, place.provider(login_app()) as other:
        request = await begun(place, one)
        callback = server.authorize(request.url)
        loaded = AuthorizationRequest.load(request.dump().reveal())
        assert isinstance(await redeemed(place, other, loaded, callback), Token)
        again = await redeemed(place, other, loaded, callback)
        assert isinstance(again, AuthorizationResponseError)
        assert (again.reason, again.attempts) == ("redeemed", 0)
        assert len(server.spent("authorization_code")) == 1

        elsewhere = await redeemed(place, one, request, callback)
        assert (elsewhere.reason, elsewhere.error) == ("invalid_grant", "invalid_grant")
        [status] = one.status() or [None]
        assert status is None, "nothing is held of it"


async def test_of_many_who_redeem_at_once_one_does():
    place = session_town()
    server: RotatingServer = place.endpoint
    server.always(Delay(1.0))
    async with place.provider(login_app()) as tokens:
        request = await begun(place, tokens)
        callback = server.authorize(request.url)
        results: list[Any] = []

        async def one() -> None:
            try:
                results.append(await tokens.sessions.redeem(request, callback, subject="ann"))
            except TokenFlightError as error:
                results.append(error)

        async def everybody() -> None:
            async with anyio.create_task_group() as tasks:
                for _ in range(20):
                    tasks.start_soon(one)

        await place.clock.run(everybody)
    assert sum(isinstance(result, Token) for result in results) == 1
    assert sum(isinstance(result, AuthorizationResponseError) for result in results) == 19
    assert len(server.ledger) == 1


FAULTS = [
    pytest.param(LoseReply(), id="cut"),
    pytest.param(Swallow(), id="silent"),
    pytest.param(Hang(), id="hang"),
    pytest.param(Reset(), id="reset"),
    pytest.param(Refuse(), id="refused"),
    pytest.param(Throttle(1), id="429"),
    pytest.param(Throttle(), id="429 without a time"),
    pytest.param(Answer(503), id="503"),
    pytest.param(Answer(200, "<html>"), id="html"),
    pytest.param(Error("invalid_grant"), id="invalid_grant"),
    pytest.param(Error("temporarily_unavailable"), id="unavailable"),
    pytest.param(Issue(without=["access_token"]), id="no token"),
]


@pytest.mark.parametrize("fault", FAULTS)
async def test_the_code_is_never_sent_twice_whatever_fails(fault):
    place = session_town()
    server: RotatingServer = place.endpoint
    async with place.provider(login_app()) as tokens:
        request = await begun(place, tokens)
        callback = server.authorize(request.url)
        server.script(fault)
        error = await redeemed(place, tokens, request, callback)
        assert isinstance(error, TokenFlightError)
        assert not isinstance(error, AuthorizationResponseError)
        await place.clock.advance(120.0)
        again = await redeemed(place, tokens, request, callback)
        assert isinstance(again, AuthorizationResponseError)
        assert len(server.ledger) == 1
        assert tokens.status() == ()
        [call] = await place.once(tokens.source(subject="ann"))
        assert isinstance(call.error, SessionLostError)
        assert repr(tokens.sessions) == "Sessions(Lineages(0))"


async def _cancelled_at(step: int, *, stored: bool) -> tuple[int, Town, TokenProvider]:
    place = session_town()
    server: RotatingServer = place.endpoint
    server.always(Straggle(1.0))
    options = {"store": MemoryStore()} if stored else {}
    async with place.provider(login_app(), **options) as tokens:
        request = await begun(place, tokens)
        callback = server.authorize(request.url)
        scope = anyio.CancelScope()
        call: Callable[[], Any] = lambda: tokens.sessions.redeem(request, callback, subject="ann")  # noqa: E731
        stepped = Stepped(call, at=step, act=scope.cancel)

        async def cancelled() -> None:
            with scope:
                await stepped

        await place.clock.run(cancelled)
        await place.clock.advance(5.0)
        if server.ledger:
            [call_] = await place.once(tokens.source(subject="ann"))
            assert call_.token is not None
            assert server.is_live(call_.token)
            assert len(server.ledger) == 1
            [again] = await place.once(tokens.source(subject="ann", audience="another"))
            assert again.token is not None
        else:
            assert isinstance(await redeemed(place, tokens, request, callback), Token)
        assert len(server.spent("authorization_code")) == 1
    return stepped.count, place, tokens


@pytest.mark.parametrize("stored", [False, True])
async def test_who_is_cancelled_while_redeeming_leaves_session_and_token_or_a_login_that_can_be_redeemed(stored):
    steps, *_ = await _cancelled_at(0, stored=stored)
    assert steps >= 1
    for step in range(1, steps + 1):
        await _cancelled_at(step, stored=stored)


async def test_leaving_lets_a_login_end_and_keeps_its_session():
    place, store = session_town(), MemoryStore()
    server: RotatingServer = place.endpoint
    got: list[Any] = []
    provider, http = provider_of(place, login_app(), store=store)

    async def whole() -> None:
        async with anyio.create_task_group() as tasks, provider:
            request = await provider.sessions.begin(redirect_uri=BACK)
            callback = server.authorize(request.url)
            server.script(Straggle(3.0))

            async def redeem() -> None:
                got.append(await provider.sessions.redeem(request, callback, subject="ann"))

            tasks.start_soon(redeem)
            await place.clock.sleep_until(0.5)

    async with http:
        await place.clock.run(whole)
    [token] = got
    assert server.is_live(token)
    assert [type(record) for record in store._records.values()].count(SessionRecord) == 1


async def test_outside_of_the_provider_nothing_is_redeemed_and_the_login_stays_good():
    place = session_town()
    server: RotatingServer = place.endpoint
    async with place.provider(login_app()) as tokens:
        request = await begun(place, tokens)
        callback = server.authorize(request.url)
    assert isinstance(await redeemed(place, tokens, request, callback), ProviderClosedError)
    async with place.provider(login_app()) as tokens:
        assert isinstance(await redeemed(place, tokens, request, callback), Token)


async def test_a_login_brings_back_a_session_that_was_lost():
    place = session_town()
    server: RotatingServer = place.endpoint
    async with place.provider(login_app()) as tokens:
        for _ in range(2):
            request = await begun(place, tokens)
            await redeemed(place, tokens, request, server.authorize(request.url))
            await tokens.forget(subject="ann")
            [call] = await place.once(tokens.source(subject="ann"))
            assert call.token is not None
            server.family().dead = True
            await tokens.forget(subject="ann")
            [call] = await place.once(tokens.source(subject="ann"))
            assert isinstance(call.error, SessionLostError)


async def test_whose_login_it_is_may_be_told_by_its_token():
    place = session_town()
    server: RotatingServer = place.endpoint
    server.always(Issue(fields={"user": "u-7"}))
    async with place.provider(login_app()) as tokens:
        request = await begun(place, tokens)
        callback = server.authorize(request.url)
        token = await redeemed(place, tokens, request, callback, lambda token: Subject(token.extra["user"], "person"))
        assert token.extra["user"] == "u-7"
        [call] = await place.once(tokens.source(subject=Subject("u-7", "person")))
        assert call.token is token


class OddError(Exception):
    pass


def _raises(token: Token) -> str:
    raise OddError(token.extra["user"])


@pytest.mark.parametrize(("subject", "kind"), [(_raises, OddError), (lambda token: "", ConfigurationError)])
async def test_where_the_subject_is_not_told_nothing_is_kept(subject, kind):
    place, store = session_town(), MemoryStore()
    server: RotatingServer = place.endpoint
    server.always(Issue(fields={"user": "u-7"}))
    async with place.provider(login_app(), store=store) as tokens:
        request = await begun(place, tokens)
        callback = server.authorize(request.url)
        with pytest.raises(kind):
            await place.clock.run(lambda: tokens.sessions.redeem(request, callback, subject=subject))
        assert tokens.status() == ()
    assert store._records == {}


async def test_a_login_without_a_refresh_token_is_a_token_and_no_session():
    place = session_town(expires_in=100)
    server: RotatingServer = place.endpoint
    server.always(Issue(without=["refresh_token"]))
    async with place.provider(login_app()) as tokens:
        request = await begun(place, tokens)
        token = await redeemed(place, tokens, request, server.authorize(request.url))
        [call] = await place.once(tokens.source(subject="ann"))
        assert call.token is token
        await place.clock.advance(100.0)
        [call] = await place.once(tokens.source(subject="ann"))
        assert isinstance(call.error, SessionLostError)
        assert call.error.reason == "no_session"


async def test_the_code_of_a_client_that_has_another_issuer_by_now_is_sent_nowhere():
    place = session_town()
    server: RotatingServer = place.endpoint
    known = {"issuer": "https://auth.test"}
    async with place.provider(lambda name: login_app(**known)) as tokens:
        request = await begun(place, tokens, client="tenant")
        callback = server.authorize(request.url)
        known["issuer"] = "https://evil.test"
        error = await redeemed(place, tokens, request, callback)
        assert isinstance(error, AuthorizationResponseError)
        assert error.reason == "issuer"
        assert len(server.ledger) == 0
        known["issuer"] = "https://auth.test"
        assert isinstance(await redeemed(place, tokens, request, callback), Token)


async def test_an_audience_travels_with_the_login_and_a_resource_with_its_code_too():
    place = session_town()
    server: RotatingServer = place.endpoint
    async with place.provider(login_app()) as tokens:
        for audience in (Audience("https://api.test"), Audience("https://api.test", "resource")):
            request = await begun(place, tokens, audience=audience, scope="read")
            token = await redeemed(place, tokens, request, server.authorize(request.url))
            assert token.scope == {"read"}
            [call] = await place.once(tokens.source(subject="ann", audience=audience, scope="read"))
            assert call.token is token
    assert [entry.form.get("resource") for entry in server.ledger] == [None, "https://api.test"]
    assert [entry.form.get("audience") for entry in server.ledger] == [None, None]
