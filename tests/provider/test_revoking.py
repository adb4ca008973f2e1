"""Revoking: the server is told, and whatever it answers the key is let go of."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

import anyio
import httpx
import pytest
from attrs import evolve
from tests.kit.canary import canary
from tests.kit.issuers import SECRET, found, said
from tests.kit.raw import Received, Stream, raw_server, reply
from tests.provider.test_discovery import Place, place

from tokenflight import (
    ClientSecretPost,
    Endpoints,
    Fetch,
    MemoryStore,
    OAuthClient,
    RefreshToken,
    SessionLostError,
    Subject,
    Token,
    TokenKey,
    TokenProvider,
)
from tokenflight.errors import ProviderClosedError
from tokenflight.model.events import Event, RevocationFailed, TokenForgotten, TokenRevoked
from tokenflight.provider.revoking import revoked_with
from tokenflight.testing import fake_provider

pytestmark = pytest.mark.anyio
REVOKE = "https://auth.test/revoke"
KEY = TokenKey(client="default")


def revocable(**fields: Any) -> OAuthClient:
    return found(**({"token_endpoint": "https://auth.test/token", "endpoints": Endpoints(revocation=REVOKE)} | fields))


class Office:
    """Answers at the revocation endpoint with one answer after the other, the last one for ever."""

    def __init__(self, here: Place, answers: Iterable[Any] = (200,)) -> None:
        self.at: list[float] = []
        self._answers = list(answers)
        self._here = here
        here.issuers.posted = self

    def __call__(self, request: httpx.Request) -> httpx.Response | None:
        if not request.url.path.endswith("revoke"):
            return None
        self.at.append(self._here.clock.now())
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer) if isinstance(answer, int) else answer


async def revoked(here: Place, **asked: Any) -> bool:
    return bool(await here.clock.run(lambda: here.tokens.revoke(**asked)))


def told(events: list[Event]) -> list[Event]:
    return [event for event in events if isinstance(event, TokenForgotten | TokenRevoked | RevocationFailed)]


async def test_a_held_token_is_revoked_and_forgotten() -> None:
    events: list[Event] = []
    async with place(revocable(), hooks=[events.append]) as here:
        office = Office(here)
        token = await here.token()
        assert await revoked(here) is True
        assert here.tokens.status() == ()
        assert len(office.at) == 1
        assert (await here.token()).header != token.header
        await here.clock.settle()
    assert told(events) == [TokenForgotten(key=KEY), TokenRevoked(key=KEY)]


async def test_where_nothing_is_held_nothing_is_sent() -> None:
    events: list[Event] = []
    async with place(revocable(), hooks=[events.append]) as here:
        office = Office(here)
        assert await revoked(here) is False
        assert await revoked(here, audience="never asked for") is False
        assert office.at == []
    assert told(events) == []


async def test_a_source_revokes_its_key_alone() -> None:
    async with place(revocable()) as here:
        office = Office(here)
        source = here.tokens.source(audience="a")
        await here.clock.run(source.token)
        await here.token(audience="b")
        assert await here.clock.run(source.revoke) is True
        assert [status.key.audience.value for status in here.tokens.status() if status.key.audience] == ["b"]
        assert len(office.at) == 1


async def test_the_endpoint_is_discovered_where_the_client_names_none() -> None:
    async with place(found()) as here:
        here.issuers.say(said(revocation_endpoint=REVOKE))
        office = Office(here)
        await here.token()
        assert await revoked(here) is True
        assert (len(office.at), len(here.issuers.read)) == (1, 1)


@pytest.mark.parametrize(
    ("client", "reason"),
    [
        (found(), "no_endpoint"),
        (found(None, token_endpoint="https://auth.test/token"), "no_endpoint"),
        (found(endpoints=Endpoints(jwks="https://auth.test/jwks")), "no_endpoint"),
    ],
)
async def test_without_an_endpoint_the_token_is_forgotten_and_an_event_says_so(client: Any, reason: str) -> None:
    events: list[Event] = []
    async with place(client, hooks=[events.append]) as here:
        await here.token()
        assert await revoked(here) is False
        assert here.tokens.status() == ()
        await here.clock.settle()
    assert told(events) == [TokenForgotten(key=KEY), RevocationFailed(key=KEY, reason=reason, status=None)]


async def test_a_token_that_was_fetched_has_no_endpoint() -> None:
    async def fetch(key: TokenKey) -> Token:
        return Token("t", expires_in=60)

    events: list[Event] = []
    async with place(OAuthClient(client_id="label", grant=Fetch(fetch)), hooks=[events.append]) as here:
        await here.token()
        assert await revoked(here) is False
        await here.clock.settle()
    assert told(events)[1:] == [RevocationFailed(key=KEY, reason="no_endpoint", status=None)]


async def test_an_endpoint_elsewhere_gets_no_token() -> None:
    events: list[Event] = []
    async with place(found(), hooks=[events.append]) as here:
        here.issuers.say(said(revocation_endpoint="https://evil.test/revoke"))
        office = Office(here)
        await here.token()
        assert await revoked(here) is False
        assert office.at == []
        await here.clock.settle()
    assert told(events)[1:] == [RevocationFailed(key=KEY, reason="metadata", status=None)]


@pytest.mark.parametrize(
    ("answers", "at", "reason", "status"),
    [
        ([400], [0.0], "http_400", 400),
        ([401], [0.0], "http_401", 401),
        ([302], [0.0], "redirected", 302),
        ([503], [0.0, 0.5, 1.5], "http_503", 503),
        ([httpx.ReadError("cut")], [0.0, 0.5, 1.5], "reset", None),
        ([httpx.Response(503, headers={"retry-after": "600"})], [0.0], "http_503", 503),
    ],
    ids=["bad", "client", "redirect", "down", "cut", "long"],
)
async def test_what_the_server_refuses_is_an_event_and_the_key_is_forgotten_all_the_same(
    answers: list[Any], at: list[float], reason: str, status: int | None
) -> None:
    events: list[Event] = []
    async with place(revocable(), hooks=[events.append]) as here:
        office = Office(here, answers)
        await here.token()
        assert await revoked(here) is False
        assert office.at == at
        assert here.tokens.status() == ()
        await here.clock.settle()
    assert told(events) == [TokenForgotten(key=KEY), RevocationFailed(key=KEY, reason=reason, status=status)]


async def test_a_server_that_says_when_to_come_back_is_asked_again_then() -> None:
    async with place(revocable()) as here:
        office = Office(here, [httpx.Response(503, headers={"retry-after": "7"}), 429, 200])
        await here.token()
        assert await revoked(here) is True
        assert office.at == [0.0, 7.0, 8.0]


async def test_credentials_that_cannot_be_read_are_an_event() -> None:
    secrets = ["first"]

    def secret() -> str:
        return secrets.pop()

    events: list[Event] = []
    async with place(revocable(authentication=ClientSecretPost(secret)), hooks=[events.append]) as here:
        await here.token()
        assert await revoked(here) is False
        await here.clock.settle()
    assert told(events)[1:] == [RevocationFailed(key=KEY, reason="credential", status=None)]


async def test_a_caller_that_is_cancelled_leaves_nothing_held_and_the_token_is_revoked() -> None:
    events: list[Event] = []
    async with place(revocable(), latency=1.0, hooks=[events.append]) as here:
        Office(here)
        await here.token()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(here.tokens.revoke)
            await here.clock.settle()
            assert here.tokens.status() == ()
            assert repr(here.tokens._holdings._revoking) == "Revoking(Errands(1 under way))"
            tasks.cancel_scope.cancel()
        await here.clock.advance(2.0)
    assert told(events) == [TokenForgotten(key=KEY), TokenRevoked(key=KEY)]


async def test_what_lands_while_a_token_is_being_revoked_is_another_tokens_life() -> None:
    async with place(revocable(), latency=1.0) as here:
        office = Office(here)
        await here.token()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(here.tokens.revoke)
            await here.clock.settle()
            tasks.start_soon(here.tokens.token)
            await here.clock.advance(3.0)
        assert [status.verdict for status in here.tokens.status()] == ["fresh"]
        assert await revoked(here) is True
        assert len(office.at) == 2


async def test_a_stored_token_is_revoked_too() -> None:
    store = MemoryStore()
    async with place(revocable(), store=store) as first:
        await first.token()
    async with place(revocable(), store=store) as second:
        office = Office(second)
        assert await revoked(second) is True
        assert len(office.at) == 1
        assert len(store._records) == 0
        assert await revoked(second) is False


async def test_the_same_token_here_and_in_the_store_is_revoked_once() -> None:
    async with place(revocable(), store=MemoryStore()) as here:
        office = Office(here)
        await here.token()
        assert await revoked(here) is True
        assert len(office.at) == 1


def test_what_is_revoked_is_each_token_once() -> None:
    one, two = Token("one"), Token("two")
    assert [doomed.token.reveal() for doomed in revoked_with(one, None, two, Token("one"))] == ["one", "two"]


async def test_a_resolvers_client_revokes_with_its_present_secret() -> None:
    client = revocable()
    clients: dict[str, OAuthClient | None] = {"tenant": client}
    async with place(lambda name: clients[name]) as here:
        office = Office(here)
        assert await revoked(here, client="tenant") is False, "nobody is known under the name yet"
        await here.token("tenant")
        clients["tenant"] = evolve(client, authentication=ClientSecretPost("rotated"))
        assert await revoked(here, client="tenant") is True
        assert len(office.at) == 1


@pytest.mark.parametrize("now", [None, revocable(client_id="other", endpoints=Endpoints(revocation="https://x.test/"))])
async def test_a_token_goes_back_to_who_gave_it_where_the_name_means_another_by_now(now: OAuthClient | None) -> None:
    clients: dict[str, OAuthClient | None] = {"tenant": revocable()}
    async with place(lambda name: clients[name]) as here:
        office = Office(here)
        await here.token("tenant")
        clients["tenant"] = now
        assert await revoked(here, client="tenant") is True
        assert len(office.at) == 1
        assert here.issuers.sent[-1] == REVOKE


async def test_outside_of_the_provider_the_key_is_forgotten_and_the_caller_told_that_nothing_was_sent() -> None:
    async with place(revocable()) as here:
        await here.token()
        tokens = here.tokens
    with pytest.raises(ProviderClosedError):
        await tokens.revoke()
    assert tokens.status() == ()


async def test_leaving_in_the_middle_ends_it_as_not_revoked() -> None:
    got: list[bool] = []
    async with anyio.create_task_group() as tasks, place(revocable(), latency=1.0) as here:
        await here.token()

        async def revoke() -> None:
            got.append(await here.tokens.revoke())

        tasks.start_soon(revoke)
        await here.clock.settle()
    assert got == [False]


async def test_a_fake_provider_revokes_what_it_can_and_forgets() -> None:
    tokens = fake_provider()
    await tokens.token()
    assert await tokens.revoke() is False
    source = tokens.source()
    await source.token()
    assert await source.revoke() is False
    assert tokens.status() == ()


async def test_over_real_sockets_a_revocation_carries_the_token_and_the_client() -> None:
    async def answer(stream: Stream, received: Received) -> None:
        body = b'{"access_token":"tk-1","token_type":"Bearer","expires_in":60}' if received.target == "/token" else b""
        await stream.send(reply(200, body))

    async with raw_server(answer) as server:
        client = found(
            None, token_endpoint=f"{server.url}/token", endpoints=Endpoints(revocation=f"{server.url}/revoke")
        )
        async with TokenProvider(client) as tokens:
            await tokens.token()
            assert await tokens.revoke() is True
    _, received = server.received
    assert (received.target, dict(parse_qsl(received.body.decode()))) == (
        "/revoke",
        {"token": "tk-1", "client_id": "service", "client_secret": SECRET},
    )


class Sessions(Office):
    """An endpoint that spends refresh tokens too, and notes what it is told to revoke."""

    def __init__(self, here: Place, *, latency: float = 0.0) -> None:
        super().__init__(here)
        self.latency, self.generation = latency, 0
        self.told: list[dict[str, str]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response | None:
        form = dict(parse_qsl(request.content.decode()))
        if "grant_type" not in form:
            self.told.append(form)
            return super().__call__(request)
        self.generation += 1
        fields = {"access_token": canary("at"), "token_type": "Bearer", "expires_in": 100}
        return httpx.Response(200, json=fields | {"refresh_token": f"{form['refresh_token']}-{self.generation}"})


async def test_of_a_key_of_a_session_the_newest_refresh_token_is_revoked_and_the_session_ends() -> None:
    store = MemoryStore()
    async with place(revocable(grant=RefreshToken()), store=store) as here:
        office, first = Sessions(here), canary("refresh")
        await here.tokens.sessions.adopt(subject="ann", refresh_token=first)
        await here.tokens.sessions.adopt(subject="bob", refresh_token=canary("refresh"))
        for asked in ({"subject": "ann"}, {"subject": "ann", "scope": "read"}, {"subject": "bob"}):
            await here.token(**asked)
        assert await revoked(here, subject="ann") is True
        assert office.told == [
            {
                "client_id": "service",
                "client_secret": SECRET,
                "token": f"{first}-1-2",
            }
        ]
        assert [status.key.subject for status in here.tokens.status()] == [Subject("bob")]
        for asked in ({"subject": "ann"}, {"subject": "ann", "scope": "read"}):
            assert isinstance(await here.fails(**asked), SessionLostError)
        assert office.generation == 3
    assert repr(store) == "MemoryStore(records=2, max_records=100000)"  # bob's session, and his token


async def test_a_refresh_that_is_on_its_way_is_waited_for_and_what_it_brings_is_revoked() -> None:
    async with place(revocable(grant=RefreshToken()), latency=1.0) as here:
        office, first = Sessions(here), canary("refresh")
        await here.tokens.sessions.adopt(subject="ann", refresh_token=first)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(here.tokens.token, subject="ann"))
            await here.clock.settle()
            assert await revoked(here, subject="ann") is True
        assert [form["token"] for form in office.told] == [f"{first}-1"]
        assert isinstance(await here.fails(subject="ann"), SessionLostError)


async def test_where_the_session_was_ended_before_nothing_is_sent() -> None:
    async with place(revocable(grant=RefreshToken())) as here:
        office = Sessions(here)
        assert await revoked(here, subject="ann") is False
        assert office.told == []
        assert repr(here.tokens.sessions) == "Sessions(Lineages(0))"
