"""TokenAuth over real sockets: what goes out, what comes back, and what is never sent twice."""

from __future__ import annotations

import copy
import pickle
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest
from tests.kit.bodies import BODIES, REFUSED, close, parts
from tests.kit.raw import Received, Stream, always, raw_server, reply

from tokenflight.errors import (
    ConfigurationError,
    InvalidClientError,
    ProviderClosedError,
    StoreError,
    TokenFlightError,
    TokenRequestError,
)
from tokenflight.ext.httpx import TokenAuth, TokenUnavailable
from tokenflight.model.key import TokenKey
from tokenflight.model.origin import ANY
from tokenflight.model.token import Token

pytestmark = pytest.mark.anyio
INVALID = 'WWW-Authenticate: Bearer error="invalid_token"'
API = "https://api.example"


class Source:
    """Gives t1, and t2 once t1 was refused; keeps a ledger."""

    def __init__(self, *, fails: Exception | None = None, renewal_fails: Exception | None = None) -> None:
        self.serial = 1
        self.fails = fails
        self.renewal_fails = renewal_fails
        self.tokens = 0
        self.renewals: list[tuple[str, str | None]] = []

    async def token(self) -> Token:
        self.tokens += 1
        if self.fails is not None:
            raise self.fails
        return Token(f"t{self.serial}")

    async def renew(self, rejected: Token | None = None, *, origin: str | None = None) -> Token:
        assert rejected is not None
        self.renewals.append((rejected.header, origin))
        if self.renewal_fails is not None:
            raise self.renewal_fails
        self.serial += 1
        return Token(f"t{self.serial}")


class FullSource(Source):
    """A source that is told of acceptance and takes a rejection without making anybody wait."""

    def __init__(self, origins: object = None) -> None:
        super().__init__()
        self.origins = origins
        self.acceptances: list[tuple[str, str]] = []
        self.rejections: list[tuple[str, str]] = []

    def accepted(self, token: Token, *, origin: str) -> None:
        self.acceptances.append((token.header, origin))

    def reject(self, token: Token, *, origin: str) -> None:
        self.rejections.append((token.header, origin))


def only(token: str, refusal: bytes = reply(401, b"no", INVALID)) -> Any:
    """Answer 200 to *token* and *refusal* to everything else."""

    async def answer(stream: Stream, received: Received) -> None:
        good = received.header("authorization") == f"Bearer {token}"
        await stream.send(reply(200, b"yes") if good else refusal)

    return answer


def client(source: Source, **options: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(auth=TokenAuth(source), **options)


def sent(server: Any) -> list[str | None]:
    return [request.header("authorization") for request in server.received]


async def test_a_request_carries_the_token() -> None:
    source = Source()
    async with raw_server(only("t1")) as server, client(source) as api:
        assert (await api.get(server.url)).text == "yes"
    assert sent(server) == ["Bearer t1"]
    assert source.renewals == []


async def test_one_header_is_changed_and_no_other_byte() -> None:
    lines = [b"X-b: 2", b"x-A: 1", b"X-B: 3", b"Cookie: a=b", b"authORIZATION: Basic mine", b"Z: \xc3\xa9"]
    headers = [(line.partition(b": ")[0], line.partition(b": ")[2]) for line in lines]
    async with raw_server(only("t2")) as server:
        target = f"{server.url}/a%2Fb/?q=%C3%A9&q=+"
        async with httpx.AsyncClient() as plain:
            await plain.post(target, headers=headers, content=b"body", auth=lambda request: request)
        async with client(Source()) as api:
            await api.post(target, headers=headers, content=b"body")
    bare, first, second = server.received
    assert first.body == second.body == bare.body
    for signed, token in ((first, b"t1"), (second, b"t2")):
        assert signed.head == bare.head.replace(b"authORIZATION: Basic mine", b"Authorization: Bearer " + token)


async def test_without_an_authorization_of_its_own_a_request_gets_one_line_more() -> None:
    async with raw_server(only("t1")) as server:
        async with httpx.AsyncClient() as plain:
            await plain.get(server.url)
        async with client(Source()) as api:
            await api.get(server.url)
    bare, signed = server.received
    assert signed.head == bare.head.removesuffix(b"\r\n") + b"Authorization: Bearer t1\r\n\r\n"


@pytest.mark.parametrize(("body", "twice"), BODIES)
@pytest.mark.parametrize("kind", [Source, FullSource])
async def test_the_second_send_is_byte_identical_or_not_made(
    body: Callable[[], dict[str, Any]], twice: bool, kind: type[Source]
) -> None:
    source, made = kind(), body()
    async with raw_server(only("t2")) as server, client(source) as api:
        response = await api.post(server.url, **made)
    close(made)
    assert response.status_code == (200 if twice else 401)
    assert len(server.received) == (2 if twice else 1)
    assert len({request.body for request in server.received}) == 1
    assert len({request.head.replace(b"t2", b"t1") for request in server.received}) == 1
    told = source.rejections if isinstance(source, FullSource) and not twice else source.renewals
    assert told == [("Bearer t1", server.url)]


@pytest.mark.parametrize("content", REFUSED)
async def test_a_synchronous_stream_is_refused_by_httpx_itself_and_nothing_is_sent(content: Callable[[], Any]) -> None:
    async with raw_server(only("t1")) as server, client(Source()) as api:
        with pytest.raises(RuntimeError):
            await api.post(server.url, content=content())
    assert server.received == []


async def test_a_file_of_anyio_as_content_is_sent_once(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"a\nb\n")
    async with raw_server(only("t2")) as server, client(Source()) as api, await anyio.open_file(path, "rb") as file:
        assert (await api.post(server.url, content=file)).status_code == 401
    assert [request.body for request in server.received] == [b"a\nb\n"]


async def test_a_body_that_cannot_be_sent_again_still_has_the_token_renewed_and_swallows_its_failure() -> None:
    source = Source(renewal_fails=TokenRequestError(reason="held_back"))
    async with raw_server(only("t2")) as server, client(source) as api:
        response = await api.post(server.url, content=parts())
    assert (response.status_code, response.text, response.history) == (401, "no", [])
    assert source.renewals == [("Bearer t1", server.url)]


@pytest.mark.parametrize("refusal", [INVALID, "WWW-Authenticate: Bearer", "X-None: 1", "WWW-Authenticate: DPoP"])
async def test_a_401_that_never_ends_is_sent_twice_and_goes_back(refusal: str) -> None:
    source = FullSource()
    async with raw_server(always(reply(401, b"no", refusal))) as server, client(source) as api:
        response = await api.get(server.url)
    assert (response.status_code, response.text) == (401, "no")
    assert sent(server) == ["Bearer t1", "Bearer t2"]
    assert len(source.renewals) == 1
    assert source.acceptances == []


@pytest.mark.parametrize(
    ("status", "lines"),
    [(403, [INVALID]), (407, []), (401, ["WWW-Authenticate: Negotiate"]), (401, ['WWW-Authenticate: Basic realm="x"'])],
)
async def test_what_is_not_about_the_token_passes_through(status: int, lines: list[str]) -> None:
    source = Source()
    async with raw_server(always(reply(status, b"no", *lines))) as server, client(source) as api:
        assert (await api.get(server.url)).status_code == status
    assert len(server.received) == 1
    assert source.renewals == []


@pytest.mark.parametrize(
    "error", [TokenRequestError(reason="rejected"), ConfigurationError("x"), ProviderClosedError("x")]
)
async def test_a_renewal_that_fails_gives_the_401_back_unread(error: TokenFlightError) -> None:
    source = Source(renewal_fails=error)
    refusal = reply(401, b"x" * 100_000, INVALID)
    async with (
        raw_server(only("t2", refusal)) as server,
        client(source) as api,
        api.stream("GET", server.url) as response,
    ):
        assert response.status_code == 401
        assert not response.is_stream_consumed
        assert b"".join([part async for part in response.aiter_raw()]) == b"x" * 100_000
    assert len(server.received) == 1


async def test_a_renewal_that_brings_the_same_token_sends_nothing_again() -> None:
    class Static(Source):
        async def renew(self, rejected: Token | None = None, *, origin: str | None = None) -> Token:
            return Token("t1")

    async with raw_server(only("t2")) as server, client(Static()) as api:
        assert (await api.get(server.url)).status_code == 401
    assert len(server.received) == 1


async def test_retry_unauthorized_false_leaves_a_401_to_the_caller() -> None:
    source = FullSource()
    auth = TokenAuth(source, retry_unauthorized=False)
    async with raw_server(only("t2")) as server, httpx.AsyncClient(auth=auth) as api:
        assert (await api.get(server.url)).status_code == 401
    assert (len(server.received), source.renewals, source.rejections) == (1, [], [])


@pytest.mark.parametrize("status", [200, 403, 404])
async def test_an_origin_that_takes_the_renewed_token_is_told_of(status: int) -> None:
    source = FullSource()

    async def answer(stream: Stream, received: Received) -> None:
        renewed = received.header("authorization") == "Bearer t2"
        await stream.send(reply(status) if renewed else reply(401))

    async with raw_server(answer) as server, client(source) as api:
        await api.get(server.url)
    assert source.acceptances == [("Bearer t2", server.url)]


async def test_an_outage_after_a_renewal_is_no_acceptance() -> None:
    source = FullSource()

    async def answer(stream: Stream, received: Received) -> None:
        await stream.send(reply(503) if received.header("authorization") == "Bearer t2" else reply(401))

    async with raw_server(answer) as server, client(source) as api:
        assert (await api.get(server.url)).status_code == 503
    assert source.acceptances == []


async def test_a_first_send_that_is_taken_costs_no_acceptance() -> None:
    source = FullSource()
    async with raw_server(only("t1")) as server, client(source) as api:
        await api.get(server.url)
    assert source.acceptances == []


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_a_401_of_another_host_after_a_redirect_renews_nothing(code: int) -> None:
    source = Source()
    async with raw_server(always(reply(401, b"", INVALID))) as other:
        there = reply(code, b"", f"Location: {other.url}/x")
        async with raw_server(always(there)) as server, client(source, follow_redirects=True) as api:
            response = await api.get(server.url)
    assert response.status_code == 401
    assert sent(other) == [None]
    assert source.renewals == []


async def test_a_401_after_a_redirect_within_the_origin_is_healed() -> None:
    async def answer(stream: Stream, received: Received) -> None:
        if received.target == "/a":
            await stream.send(reply(307, b"", "Location: /b"))
        else:
            await only("t2")(stream, received)

    async with raw_server(answer) as server, client(Source(), follow_redirects=True) as api:
        response = await api.post(f"{server.url}/a", content=b"body")
    assert response.status_code == 200
    assert [request.target for request in server.received] == ["/a", "/b", "/a", "/b"]
    assert {request.body for request in server.received} == {b"body"}


async def test_a_pool_of_one_connection_and_a_large_401_do_not_block_each_other() -> None:
    refusal = reply(401, b"x" * 10_000_000, INVALID)
    async with raw_server(only("t2", refusal)) as server:
        limits = httpx.Limits(max_connections=1)
        async with client(Source(), limits=limits, timeout=10) as api:
            with anyio.fail_after(10):
                assert (await api.get(server.url)).text == "yes"
    assert server.connections == 1


async def test_many_refusals_at_once_each_heal() -> None:
    async with raw_server(only("t2")) as server:
        source = Source()

        async def renew(rejected: Token | None = None, *, origin: str | None = None) -> Token:
            await anyio.lowlevel.checkpoint()
            source.serial = 2
            return Token("t2")

        source.renew = renew  # type: ignore[method-assign]  # a source that shares one renewal
        answers: list[int] = []
        async with client(source) as api, anyio.create_task_group() as group:

            async def call() -> None:
                answers.append((await api.get(server.url)).status_code)

            for _ in range(50):
                group.start_soon(call)
    assert answers == [200] * 50


@pytest.mark.parametrize("step", [1, 2])
async def test_the_flow_may_be_driven_and_closed_from_different_tasks(step: int) -> None:
    request = httpx.Request("GET", API)
    flow = TokenAuth(Source()).async_auth_flow(request)

    async def drive() -> None:
        await anext(flow)

    async def refuse() -> None:
        await flow.asend(httpx.Response(401, request=request))

    for act in [*[drive, refuse][:step], flow.aclose]:
        async with anyio.create_task_group() as group:
            group.start_soon(act)
    with pytest.raises(StopAsyncIteration):
        await anext(flow)


async def test_a_call_that_is_cancelled_in_a_renewal_ends() -> None:
    class Slow(Source):
        async def renew(self, rejected: Token | None = None, *, origin: str | None = None) -> Token:
            await anyio.sleep_forever()
            raise AssertionError

    async with raw_server(only("t2")) as server, client(Slow()) as api:
        with anyio.move_on_after(0.1) as scope:
            await api.get(server.url)
        assert scope.cancelled_caught


def test_a_synchronous_client_is_told_what_to_do_and_sends_nothing() -> None:
    calls: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        calls.append(request)
        return httpx.Response(200)

    api = httpx.Client(auth=TokenAuth(Source()), transport=httpx.MockTransport(handle))
    with api, pytest.raises(ConfigurationError, match=r"use httpx\.AsyncClient"):
        api.get(API)
    assert calls == []


def test_an_auth_that_wraps_this_one_synchronously_is_told_the_same() -> None:
    with pytest.raises(ConfigurationError, match=r"use httpx\.AsyncClient"):
        TokenAuth(Source()).auth_flow(httpx.Request("GET", API))


async def signed(auth: TokenAuth, url: str) -> str:
    """Return what the auth puts on a request to *url*."""
    flow = auth.async_auth_flow(httpx.Request("GET", url))
    request = await anext(flow)
    await flow.aclose()
    return request.headers["Authorization"]


async def refused(auth: TokenAuth, url: str, match: str) -> None:
    source: Any = auth.tokenflight_source
    before = source.tokens
    with pytest.raises(ConfigurationError, match=match):
        await signed(auth, url)
    assert source.tokens == before


async def test_without_origins_the_first_that_is_signed_for_is_the_only_one() -> None:
    auth = TokenAuth(Source())
    assert await signed(auth, "https://API.example:443/a") == "Bearer t1"
    assert await signed(auth, "https://api.example/b?c") == "Bearer t1"
    for other in ("https://other.example", "https://api.example:8443", "https://sub.api.example"):
        await refused(auth, other, r"add it, as in origins=\[")
        await refused(auth, other, r"only to https://api\.example")


async def test_given_origins_are_the_only_ones() -> None:
    auth = TokenAuth(FullSource(origins=frozenset({"https://other.example"})), origins=[API, "https://b.example/path"])
    await signed(auth, f"{API}/x")
    await signed(auth, "https://b.example/y")
    await refused(auth, "https://other.example", "add it")


async def test_without_given_origins_those_of_the_source_count() -> None:
    auth = TokenAuth(FullSource(origins=frozenset({API, "https://b.example"})))
    await signed(auth, "https://b.example")
    await signed(auth, API)
    await refused(auth, "https://c.example", "add it")


@pytest.mark.parametrize("none", [None, frozenset()])
async def test_a_source_that_names_no_origins_leaves_it_to_the_first(none: object) -> None:
    auth = TokenAuth(FullSource(origins=none))
    await signed(auth, API)
    await refused(auth, "https://b.example", "add it")


async def test_origins_that_a_source_learns_on_the_way_to_a_token_count_at_once() -> None:
    class Learning(FullSource):
        async def token(self) -> Token:
            self.origins = frozenset({API})
            return await super().token()

    auth = TokenAuth(Learning())
    with pytest.raises(ConfigurationError, match="add it"):
        await signed(auth, "https://b.example")
    assert await signed(auth, API) == "Bearer t1"


@pytest.mark.parametrize("given", [True, False])
async def test_any_origin_is_any_but_plain_http(given: bool) -> None:
    auth = TokenAuth(Source(), origins=ANY) if given else TokenAuth(FullSource(origins=ANY))
    for url in (API, "https://b.example", "http://127.0.0.1:8000", "http://[::1]/x", "http://localhost:1"):
        await signed(auth, url)
    await refused(auth, "http://b.example", "use https")


async def test_plain_http_is_for_loopback_alone_even_where_it_is_named() -> None:
    await refused(TokenAuth(Source(), origins="http://b.example"), "http://b.example/x", "use https")
    await refused(TokenAuth(Source()), "http://b.example/x", "use https")


async def test_a_url_with_a_password_is_refused_without_showing_it() -> None:
    auth = TokenAuth(Source(), origins=API)
    with pytest.raises(ConfigurationError, match="take it out") as caught:
        await signed(auth, "https://user:c4n4ry@api.example/")
    assert "c4n4ry" not in str(caught.value)
    await refused(auth, "https://user@api.example/", "take it out")


async def test_a_websocket_belongs_to_the_origin_that_opens_it() -> None:
    auth = TokenAuth(Source(), origins=API)
    assert await signed(auth, "wss://api.example/socket") == "Bearer t1"
    await refused(auth, "ws://api.example/socket", "use https")


@pytest.mark.parametrize("written", ["https://bücher.example", "https://xn--bcher-kva.example"])
async def test_a_host_in_another_script_is_the_same_host(written: str) -> None:
    auth = TokenAuth(Source(), origins=written)
    assert await signed(auth, "https://bücher.example/x") == "Bearer t1"
    assert await signed(auth, "https://xn--bcher-kva.example/x") == "Bearer t1"


async def test_a_trailing_dot_names_the_same_host() -> None:
    assert await signed(TokenAuth(Source(), origins=API), "https://api.example./x") == "Bearer t1"


async def test_many_origins_are_not_kept_for_ever() -> None:
    auth = TokenAuth(Source(), origins=ANY)
    for number in range(1_100):
        await signed(auth, f"https://h{number}.example")
    assert len(auth._known) == 1_000


@pytest.mark.parametrize("bad", [[], ["ftp://x"], 3, "api.example"])
def test_origins_that_cannot_work_are_refused_at_once(bad: object) -> None:
    with pytest.raises(ConfigurationError):
        TokenAuth(Source(), origins=bad)


@pytest.mark.parametrize("bad", [None, "token", object()])
def test_what_is_no_source_is_refused_at_once(bad: Any) -> None:
    with pytest.raises(ConfigurationError, match="pass what"):
        TokenAuth(bad)


def test_the_repr_shows_the_source() -> None:
    assert repr(TokenAuth(Source())).startswith("TokenAuth(<")


def failure() -> InvalidClientError:
    return InvalidClientError(
        "the client was refused",
        error="invalid_client",
        status=401,
        key=TokenKey(client="default"),
        grant_type="client_credentials",
        attempts=1,
        retry_after=2.5,
        reason="invalid_client",
        detail="the client was refused",
        hint="check the secret",
        transient=True,
    )


async def unavailable(error: Exception) -> TokenUnavailable:
    async with raw_server(only("t1")) as server, client(Source(fails=error)) as api:
        with pytest.raises(httpx.HTTPError) as caught:
            await api.get(f"{server.url}/x")
    assert server.received == []
    assert isinstance(caught.value, TokenUnavailable)
    assert caught.value.request.url.path == "/x"
    return caught.value


async def test_a_missing_token_is_an_error_of_ours_and_of_httpx() -> None:
    original = failure()
    error = await unavailable(original)
    assert isinstance(error, TokenRequestError)
    assert isinstance(error, httpx.RequestError)
    assert error.__cause__ is original
    assert str(error) == "the client was refused"
    assert (error.key, error.grant_type, error.attempts) == (original.key, "client_credentials", 1)
    assert (error.retry_after, error.reason, error.hint, error.transient) == (
        2.5,
        "invalid_client",
        "check the secret",
        True,
    )
    assert "Authorization" not in error.request.headers


async def test_another_error_of_ours_comes_the_same_way() -> None:
    error = await unavailable(StoreError("the store is gone"))
    assert (str(error), error.transient, error.reason) == ("the store is gone", True, "failed")


@pytest.mark.parametrize(
    "error", [ConfigurationError("x"), ProviderClosedError("x"), KeyError("x"), AssertionError("x")]
)
async def test_what_a_program_has_to_mend_stays_what_it_is(error: Exception) -> None:
    async with raw_server(only("t1")) as server, client(Source(fails=error)) as api:
        with pytest.raises(type(error)) as caught:
            await api.get(server.url)
    assert caught.value is error


@pytest.mark.parametrize("through", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
async def test_a_missing_token_is_copied_and_pickled_without_its_request(through: Callable[[Any], Any]) -> None:
    error = await unavailable(failure())
    error.add_note("seen by the user's code")
    twin = through(error)
    assert type(twin) is TokenUnavailable
    assert (str(twin), twin.reason, twin.key, twin.retry_after) == (str(error), error.reason, error.key, 2.5)
    with pytest.raises(RuntimeError):
        _ = twin.request


async def test_no_token_shows_in_what_a_failing_call_leaves_behind() -> None:
    class Refusing(Source):
        async def token(self) -> Token:
            raise failure()

    with pytest.raises(TokenUnavailable) as caught:
        await signed(TokenAuth(Refusing()), API)
    assert "Bearer" not in "".join(traceback.format_exception(caught.value))
