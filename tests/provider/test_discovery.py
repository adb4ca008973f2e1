"""From an issuer to a token: read once for everybody, kept for a day, and no secret to where nobody trusts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
import pytest
from attrs import define
from tests.kit.bench import ChosenClock
from tests.kit.issuers import ISSUER, SECRET, Issuers, found, said
from tests.kit.raw import Received, Stream, raw_server, reply
from tests.protocol.test_metadata import ELSEWHERE, UNUSABLE

from tokenflight import Endpoints, MemoryStore, OAuthClient, RetryPolicy, Token, TokenFlightError, TokenProvider
from tokenflight.errors import ConfigurationError, EndpointUnreachableError, ProviderClosedError
from tokenflight.model.failure import Failure
from tokenflight.protocol.metadata import Metadata
from tokenflight.provider.discovery import ISSUERS, Discovery
from tokenflight.testing import FakeTokenEndpoint
from tokenflight.transport.exchange import MAX_ANSWER

pytestmark = pytest.mark.anyio
OAUTH = f"{ISSUER}/.well-known/oauth-authorization-server"
OPENID = f"{ISSUER}/.well-known/openid-configuration"
DAY = 86_400.0


@define(eq=False)
class Place:
    """A provider whose clients know their issuer alone, and what its issuers are asked."""

    clock: ChosenClock
    issuers: Issuers
    tokens: TokenProvider

    @property
    def discovery(self) -> Discovery:
        return self.tokens._holdings.discovery

    async def token(self, client: str | None = None, **asked: Any) -> Token:
        return await self.clock.run(lambda: self.tokens.token(client, **asked))

    async def fails(self, client: str | None = None, **asked: Any) -> TokenFlightError:
        with pytest.raises(TokenFlightError) as raised:
            await self.token(client, **asked)
        return raised.value


@asynccontextmanager
async def place(
    clients: Any = None, *, share: float = 1.0, latency: float = 0.0, expires_in: Any = 100, **options: Any
) -> AsyncIterator[Place]:
    clock = ChosenClock(share)
    issuers = Issuers(FakeTokenEndpoint(clock=clock, expires_in=expires_in), clock, latency=latency)
    issuers.say(said())
    http = httpx.AsyncClient(transport=issuers, trust_env=False)
    async with http, TokenProvider(clients or found(), http=http, clock=clock, **options) as tokens:
        yield Place(clock, issuers, tokens)
        await clock.settle()


async def test_an_issuer_alone_is_enough_to_get_a_token() -> None:
    async with place() as here:
        assert here.issuers.endpoint.is_live(await here.token())
        await here.clock.advance(101.0)
        await here.token()
        assert (here.issuers.read, here.issuers.sent) == ([OAUTH], ["https://auth.test/token"] * 2)
        assert [health.endpoint for health in here.tokens.health()] == ["https://auth.test"]
        assert repr(here.discovery) == "Discovery(1 issuers)"


async def test_nothing_that_reads_metadata_carries_a_secret() -> None:
    async with place() as here:
        await here.token()
        [request] = [request for request in here.issuers.asked if request.method == "GET"]
    assert sorted(request.headers) == ["accept", "accept-encoding", "host", "user-agent"]
    assert request.content == b""


async def test_a_client_that_knows_its_token_endpoint_asks_no_issuer() -> None:
    async with place(found(token_endpoint="https://auth.test/other")) as here:
        await here.token()
        assert (here.issuers.read, here.issuers.sent) == ([], ["https://auth.test/other"])


@pytest.mark.parametrize(
    "first", [404, 401, 500, b"<html>", b"{}", httpx.Response(302, headers={"location": "https://evil.test"})]
)
async def test_where_the_first_place_has_no_document_the_second_is_asked(first: Any) -> None:
    async with place() as here:
        here.issuers.say(first)
        here.issuers.say(said(), openid=True)
        await here.token()
        assert here.issuers.read == [OAUTH, OPENID]


@pytest.mark.parametrize("first", [429, httpx.ConnectError("refused")])
async def test_who_does_not_answer_or_wants_to_be_left_alone_is_not_asked_at_the_second(first: Any) -> None:
    async with place() as here:
        here.issuers.say(first)
        here.issuers.say(said(), openid=True)
        await here.fails()
        assert here.issuers.read == [OAUTH] * 3, "three tries"


async def test_a_thousand_cold_keys_read_one_document() -> None:
    async with place(latency=0.2, max_flights=1_000) as here:

        async def everybody() -> None:
            async with anyio.create_task_group() as tasks:
                for number in range(1_000):
                    tasks.start_soon(here.tokens.source(audience=f"api-{number}").token)

        await here.clock.run(everybody)
        assert here.issuers.read == [OAUTH]
        assert len(here.issuers.sent) == 1_000


async def test_several_clients_of_one_issuer_share_its_document() -> None:
    clients = {"a": found(client_id="a"), "b": found(client_id="b", endpoints=Endpoints(jwks="https://keys.test/"))}
    async with place(clients) as here:
        await here.token("a")
        await here.token("b")
        assert here.issuers.read == [OAUTH]


async def test_a_document_is_read_again_after_a_day_at_most() -> None:
    async with place(expires_in=2 * DAY) as here:
        await here.token()
        await here.clock.advance(DAY - 1)
        await here.token(audience="b")
        assert here.issuers.read == [OAUTH]
        await here.clock.advance(1.0)
        here.issuers.say(said(token_endpoint="https://auth.test/new"))
        await here.token(audience="c")
        assert here.issuers.read == [OAUTH] * 2
        assert here.issuers.sent[-1] == "https://auth.test/new"


BAD: dict[str, Any] = {
    "another issuer": said() | {"issuer": "https://evil.test"},
    "a slash": said() | {"issuer": ISSUER + "/"},
    "another host": said(token_endpoint="https://evil.test/token"),
    "no endpoint": said(token_endpoint=None),
    "a page": b"<html>",
    "twice": b'{"issuer": "https://auth.test", "token_endpoint": "a", "token_endpoint": "b"}',
    "huge": b" " * (MAX_ANSWER + 1),
    "a redirect": httpx.Response(302, headers={"location": "https://evil.test/"}),
    "trouble": 503,
    "gone": 404,
    "no answer": httpx.ReadError("cut"),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
async def test_a_bad_document_never_replaces_a_good_one_and_is_asked_for_again(bad: Any) -> None:
    async with place(expires_in=30 * DAY) as here:
        await here.token()
        for number in range(3):
            await here.clock.advance(DAY)
            here.issuers.say(bad)
            read = len(here.issuers.read)
            await here.token(audience=f"bad-{number}")
            assert len(here.issuers.read) in (read + 1, read + 2), "tried once"
            await here.clock.advance(29.0)
            await here.token(audience=f"soon-{number}")
            assert len(here.issuers.read) in (read + 1, read + 2), "and not again within half a minute"
            await here.clock.advance(2.0)
            here.issuers.say(said())
            await here.token(audience=f"good-{number}")
            assert here.issuers.read[-1] == OAUTH
        assert set(here.issuers.sent) == {"https://auth.test/token"}


async def test_first_reads_that_fail_hold_everybody_back_for_the_same_pause() -> None:
    async with place(retry=RetryPolicy(attempts=1)) as here:
        here.issuers.say(503)
        error = await here.fails(audience="a")
        assert (error.transient, error.attempts, error.reason) == (True, 0, "http_503")  # type: ignore[attr-defined]
        for name in "bcd":
            await here.fails(audience=name)
        assert len(here.issuers.read) == 2, "both places, once"
        await here.clock.advance(1.0)
        await here.fails(audience="e")
        assert len(here.issuers.read) == 4
        await here.clock.advance(1.0)
        await here.fails(audience="f")
        assert len(here.issuers.read) == 4, "the second pause is twice as long"
        await here.clock.advance(1.0)
        here.issuers.say(said())
        await here.token(audience="g")
        assert here.issuers.sent == ["https://auth.test/token"]


async def test_a_first_read_is_tried_a_few_times_with_pauses() -> None:
    async with place(latency=1.0) as here:
        here.issuers.say(httpx.ConnectError("refused"))
        error = await here.fails()
        assert type(error) is EndpointUnreachableError
        assert str(error).startswith("the document at https://auth.test could not be reached")
        assert len(here.issuers.read) == 3
        assert here.clock.now() == 3 * 1.0 + 0.5 + 1.0


async def test_a_retry_after_is_obeyed_and_ends_the_tries_where_it_is_long() -> None:
    async with place() as here:
        here.issuers.say(httpx.Response(503, headers={"retry-after": "100"}))
        await here.fails(audience="a")
        assert len(here.issuers.read) == 2
        await here.clock.advance(99.0)
        await here.fails(audience="b")
        assert len(here.issuers.read) == 2
        await here.clock.advance(1.0)
        here.issuers.say(said())
        await here.token(audience="c")


async def test_a_short_retry_after_lengthens_the_pause_between_the_tries() -> None:
    async with place() as here:
        here.issuers.say(httpx.Response(429, headers={"retry-after": "7"}))
        await here.fails()
        assert (len(here.issuers.read), here.clock.now()) == (3, 14.0)


async def test_an_issuer_that_hangs_is_given_up_within_the_total_time() -> None:
    async with place(latency=100.0) as here:
        error = await here.fails()
        assert error.reason == "timeout"  # type: ignore[attr-defined]
        assert here.clock.now() <= 30.0


async def test_where_both_places_fail_the_one_that_tells_most_is_told() -> None:
    async with place() as here:
        here.issuers.say(said() | {"issuer": ISSUER + "/"})
        error = await here.fails()
        assert type(error) is ConfigurationError
        assert "differs by the slash at its end" in str(error)
        here.issuers.say(404)
        await here.clock.advance(10.0)
        assert "answered 404" in str(await here.fails())


async def test_a_token_endpoint_elsewhere_is_told_with_advice_and_is_found_again_once_it_is_put_right() -> None:
    async with place() as here:
        here.issuers.say(said(token_endpoint="https://evil.test/token"))
        error = await here.fails()
        assert type(error) is ConfigurationError
        assert "https://evil.test" in str(error)
        assert str(error).endswith("give token_endpoint with its URL")
        here.issuers.say(said())
        await here.clock.advance(59.0)
        await here.fails()
        assert here.issuers.read == [OAUTH]
        await here.clock.advance(1.0)
        await here.token()
        assert here.issuers.read == [OAUTH] * 2


async def test_reading_again_what_nobody_trusted_may_fail_too() -> None:
    async with place() as here:
        here.issuers.say(said(token_endpoint=None))
        await here.fails()
        await here.clock.advance(60.0)
        await here.fails()
        assert here.issuers.read == [OAUTH] * 2
        await here.clock.advance(20.0)
        await here.fails()
        assert here.issuers.read == [OAUTH] * 2


EVIL = ELSEWHERE | {name: (url, "") for name, url in UNUSABLE.items()}


@pytest.mark.parametrize(("url", "origin"), EVIL.values(), ids=EVIL)
async def test_no_request_goes_where_an_evil_document_points(url: Any, origin: str) -> None:
    async with place() as here:
        evil = said(token_endpoint=url, revocation_endpoint=url, authorization_endpoint=url, jwks_uri=url)
        evil["mtls_endpoint_aliases"] = {"token_endpoint": url}
        for openid in (False, True):
            here.issuers.say(evil, openid=openid)
        assert type(await here.fails()) is ConfigurationError
        assert here.issuers.sent == []
        assert {request.url.host for request in here.issuers.asked} == {"auth.test"}
        assert SECRET not in "".join(repr(request.headers) + request.content.decode() for request in here.issuers.asked)


async def test_a_tenant_cannot_speak_for_its_host_nor_for_another_tenant() -> None:
    async with place() as here:
        here.issuers.documents.clear()
        mine = "https://auth.test/tenant"
        here.issuers.say(said(mine), issuer=mine)  # not where path insertion looks
        here.issuers.documents[f"{mine}/.well-known/openid-configuration"] = said("https://auth.test")
        assert type(await here.fails()) is ConfigurationError
        assert here.issuers.sent == []


async def test_no_cookie_of_an_issuer_is_kept() -> None:
    async with place() as here:
        here.issuers.say(httpx.Response(503, headers={"set-cookie": "a=b; Path=/"}))
        await here.fails()
        assert not any("cookie" in request.headers for request in here.issuers.asked)


async def test_a_stored_token_needs_no_issuer() -> None:
    store = MemoryStore()
    async with place(store=store) as first:
        token = await first.token()
    async with place(store=store) as second:
        second.issuers.say(503)
        assert (await second.token()).header == token.header
        assert second.issuers.asked == []


async def test_records_are_named_by_the_client_as_it_was_given() -> None:
    store = MemoryStore()
    async with place(store=store) as first:
        first.issuers.say(said(token_endpoint="https://auth.test/one"))
        token = await first.token()
    async with place(store=store) as second:
        second.issuers.say(said(token_endpoint="https://auth.test/two"))
        assert (await second.token()).header == token.header
        assert await second.tokens.forget()
        assert len(store._records) == 0


async def test_a_stored_token_that_is_due_is_taken_where_the_issuer_is_down() -> None:
    store = MemoryStore()
    async with place(store=store) as here:
        await here.token()
        other = TokenProvider(found(), http=here.tokens._connection.http, clock=here.clock, store=store)
        async with other:
            await here.clock.advance(1.0)
            here.issuers.say(503)
            assert await here.clock.run(other.token)


async def test_a_name_that_means_another_client_meanwhile_holds_nothing_of_the_first() -> None:
    named = {"tenant": found(client_id="old")}
    async with place(lambda name: named["tenant"], latency=1.0) as here:
        got: list[Token] = []

        async def old() -> None:
            got.append(await here.tokens.token("tenant", audience="a"))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(old)
            await here.clock.advance(0.5)
            named["tenant"] = found(client_id="new")
            tasks.start_soon(lambda: here.tokens.token("tenant", audience="b"))
            await here.clock.advance(5.0)
        issued = here.issuers.endpoint.tokens
        assert issued[got[0].access_token.reveal()].client == "old", "who joined it is answered"
        token = await here.token("tenant", audience="a")
        assert issued[token.access_token.reveal()].client == "new"


async def test_a_caller_that_is_cancelled_leaves_the_reading_alone() -> None:
    async with place(latency=1.0) as here:
        got: list[object] = []

        async def one() -> None:
            got.append(await here.discovery.metadata(found()))

        async with anyio.create_task_group() as staying:
            async with anyio.create_task_group() as leaving:
                leaving.start_soon(one)
                await here.clock.settle()
                staying.start_soon(one)
                await here.clock.settle()
                leaving.cancel_scope.cancel()
            await here.clock.advance(1.0)
        [metadata] = got
        assert isinstance(metadata, Metadata)
        assert metadata.jwks == "https://auth.test/jwks"
        assert here.issuers.read == [OAUTH]


async def test_metadata_are_a_failure_where_they_cannot_be_read() -> None:
    async with place() as here:
        here.issuers.say(404)
        assert isinstance(await here.clock.run(here.discovery.metadata, found()), Failure)


async def test_without_an_issuer_there_is_what_the_client_says() -> None:
    client = found(None, token_endpoint="https://a.test/token", endpoints=Endpoints(jwks="https://a.test/jwks"))
    async with place() as here:
        metadata = await here.discovery.metadata(client)
        assert isinstance(metadata, Metadata)
        assert (metadata.token_endpoint, metadata.jwks, metadata.revocation) == (
            "https://a.test/token",
            "https://a.test/jwks",
            None,
        )
        assert await here.discovery.complete(client, "revocation") is client
        assert here.issuers.read == []


async def test_a_client_with_a_token_endpoint_is_completed_where_something_else_is_needed() -> None:
    client = found(token_endpoint="https://a.test/token", endpoints=Endpoints(jwks="https://a.test/jwks"))
    async with place() as here:
        here.issuers.say(said(revocation_endpoint="https://auth.test/revoke"))
        assert await here.discovery.complete(client) is client
        assert await here.discovery.complete(client, "jwks") is client
        for _ in range(2):
            whole = await here.clock.run(here.discovery.complete, client, "revocation")
            assert isinstance(whole, OAuthClient)
            assert (whole.token_endpoint, whole.endpoints.revocation) == (
                "https://a.test/token",
                "https://auth.test/revoke",
            )
        assert here.issuers.read == [OAUTH]


async def test_a_need_that_lies_elsewhere_is_a_failure() -> None:
    async with place() as here:
        here.issuers.say(said(revocation_endpoint="https://evil.test/revoke"))
        await here.token()
        failure = await here.clock.run(here.discovery.complete, found(), "revocation")
        assert isinstance(failure, Failure)
        assert "give endpoints=Endpoints(revocation=...)" in failure.detail


async def test_issuers_without_end_make_room() -> None:
    def tenant(name: str) -> OAuthClient:
        return found(f"https://{name}.test")

    async with place(tenant) as here:
        for number in range(ISSUERS + 50):
            issuer = f"https://t{number}.test"
            here.issuers.say(said(issuer), issuer=issuer)
            here.discovery._issuer(issuer)
        await here.token("t1000")
        assert len(here.discovery._issuers) == ISSUERS


async def test_a_tests_own_verdict_about_a_document_reaches_its_caller() -> None:
    async with place() as here:
        here.issuers.documents[OAUTH] = AssertionError("not that one")  # type: ignore[assignment]
        with pytest.raises(AssertionError, match="not that one"):
            await here.token()


async def test_outside_of_the_provider_nothing_is_read() -> None:
    clock = ChosenClock()
    http = httpx.AsyncClient(transport=Issuers(FakeTokenEndpoint(clock=clock), clock), trust_env=False)
    async with http:
        provider = TokenProvider(found(), http=http, clock=clock)
        failure = await provider._holdings.discovery.metadata(found())
    assert isinstance(failure, Failure)
    assert failure.error is ProviderClosedError
    assert failure.detail.startswith("the metadata of https://auth.test were not read: the provider is not entered")


async def test_over_real_sockets_an_issuer_on_loopback_is_enough() -> None:
    async def answer(stream: Stream, received: Received) -> None:
        issuer = f"http://{received.header('host')}"
        if received.head.startswith(b"GET /.well-known/openid-configuration "):
            body = b'{"issuer":"%s","token_endpoint":"%s/token"}' % (issuer.encode(), issuer.encode())
            await stream.send(reply(200, body, "Content-Type: application/json"))
        elif received.target == "/token":
            await stream.send(reply(200, b'{"access_token":"t","token_type":"Bearer","expires_in":60}'))
        else:
            await stream.send(reply(404, b"nothing here"))

    async with raw_server(answer) as server, TokenProvider(found(server.url)) as tokens:
        assert (await tokens.token()).header == "Bearer t"
    assert [received.target for received in server.received] == [
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
        "/token",
    ]
    assert not any(SECRET.encode() in received.head + received.body for received in server.received[:2])
