"""What cannot work is an error of the tree, raised before anything is sent, whose message ends in what to do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.to_thread
import httpx
import pytest

from tokenflight import (
    Audience,
    ClientSecretBasic,
    ClientSecretPost,
    Fetch,
    OAuthClient,
    PublicClient,
    RefreshPolicy,
    RetryPolicy,
    Secret,
    Token,
    TokenAuth,
    TokenKey,
    TokenProvider,
)
from tokenflight.dialects import auth0, box
from tokenflight.errors import ConfigurationError, ProviderClosedError, TokenFlightError
from tokenflight.testing import Answer, FakeTokenEndpoint, ProtectedApp, Raw, Redirect, StaticTokenSource, VirtualClock

pytestmark = pytest.mark.anyio

URL, API = "https://auth.test/token", "https://api.test"


async def fetch(key: TokenKey) -> Token:
    return Token("t")


def plain(**fields: Any) -> OAuthClient:
    return OAuthClient(**{"client_id": "c", "token_endpoint": URL, "authentication": ClientSecretPost("s")} | fields)


class House:
    """Clients of all sorts at one endpoint, and an API; both write down what they see."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.endpoint = FakeTokenEndpoint(clock=self.clock)
        self.api = ProtectedApp(self.endpoint)
        self.http = httpx.AsyncClient(transport=self.endpoint.transport())
        clients = {
            "plain": plain(),
            "box": box.client(client_id="c", client_secret="s"),
            "auth0": auth0.client(domain="t.eu.auth0.com", client_id="c", client_secret="s"),
        }
        self.provider = TokenProvider(clients, http=self.http, clock=self.clock)

    @asynccontextmanager
    async def entered(self) -> AsyncIterator[TokenProvider]:
        async with self.http, self.provider as tokens:
            yield tokens
            await self.clock.settle()


Wrong = Callable[[], object]

MADE_WRONG: dict[str, tuple[Wrong, str]] = {
    "a public client with client credentials": (
        lambda: plain(authentication=PublicClient()),
        "give authentication, such as ClientSecretPost(...)",
    ),
    "no authentication with client credentials": (
        lambda: plain(authentication=None),
        "give authentication, such as ClientSecretPost(...)",
    ),
    "a class for an authentication": (
        lambda: plain(authentication=ClientSecretBasic),
        "call it with the client's secret, or leave it out",
    ),
    "no endpoint": (
        lambda: plain(token_endpoint=None),
        "give token_endpoint, or the issuer whose metadata tell it",
    ),
    "an issuer in plain http": (
        lambda: plain(token_endpoint=None, issuer="http://auth.test"),
        "write it with https (http is for loopback; allow_insecure=True accepts the risk)",
    ),
    "Fetch and an endpoint": (
        lambda: OAuthClient(client_id="c", token_endpoint=URL, grant=Fetch(fetch)),
        "cannot use token_endpoint: leave it out",
    ),
    "Fetch and an issuer": (
        lambda: OAuthClient(client_id="c", issuer=API, grant=Fetch(fetch)),
        "cannot use issuer: leave it out",
    ),
    "Fetch and a secret": (
        lambda: OAuthClient(client_id="c", authentication="s", grant=Fetch(fetch)),
        "cannot use authentication: leave it out",
    ),
    "Fetch of a value": (lambda: Fetch("token"), "pass one"),  # type: ignore[arg-type]
    "a http token endpoint": (
        lambda: plain(token_endpoint="http://auth.test/token"),
        "(http is for loopback; allow_insecure=True accepts the risk)",
    ),
    "a token endpoint with userinfo": (
        lambda: plain(token_endpoint="https://user@auth.test"),
        "take it out, it would show in logs",
    ),
    "a token endpoint with a fragment": (lambda: plain(token_endpoint=f"{URL}#x"), "take out what follows the #"),
    "a parameter of the library's own": (
        lambda: plain(parameters={"scope": "x"}),
        "say it by an argument of the client, grant or call",
    ),
    "an empty secret": (lambda: Secret(""), "check where it is read from"),
    "two secrets for Auth0": (
        lambda: auth0.client(domain="t.auth0.com", client_id="c", client_secret="s", authentication="s"),
        "give one of them",
    ),
    "a URL for Auth0's domain": (
        lambda: auth0.client(domain="https://t.auth0.com", client_id="c", client_secret="s"),
        "write it like tenant.eu.auth0.com, without https:// and path",
    ),
    "a Basic secret for Box": (
        lambda: box.client(client_id="c", authentication=ClientSecretBasic("s")),
        "give client_secret, or ClientSecretPost(...)",
    ),
    "urgent before due": (
        lambda: RefreshPolicy(early=0.1, hard_margin=0.1),
        "so that early·(1 - spread) ≥ hard_margin and early_cap·(1 - spread) ≥ hard_margin_cap",
    ),
    "urgent before due, by the caps": (
        lambda: RefreshPolicy(early_cap=40.0),
        "so that early·(1 - spread) ≥ hard_margin and early_cap·(1 - spread) ≥ hard_margin_cap",
    ),
    "a share above the whole": (lambda: RefreshPolicy(early=1.5), "set it to at least 0.0 and below 1.0"),
    "no attempt": (lambda: RetryPolicy(attempts=0), "set it to 1 or more"),
    "both ends of a token": (
        lambda: Token("t", expires_in=1, expires_at=VirtualClock),
        "pass expires_in or expires_at, not both",
    ),  # type: ignore[arg-type]
    "a token that no header can carry": (lambda: Token("a\nb"), "check where it is from"),
    "no client at all": (lambda: TokenProvider({}), "give at least one OAuthClient"),
    "something else for the clients": (lambda: TokenProvider("plain"), "pass one"),  # type: ignore[arg-type]
    "a synchronous client": (lambda: TokenProvider(plain(), http=httpx.Client()), "pass an httpx.AsyncClient"),  # type: ignore[arg-type]
    "a client that carries our own auth": (
        lambda: TokenProvider(plain(), http=httpx.AsyncClient(auth=TokenAuth(StaticTokenSource("t")))),
        "pass a client of its own, without auth",
    ),
    "no keys": (lambda: TokenProvider(plain(), max_keys=0), "set it to 1 or more"),
    "no flights": (lambda: TokenProvider(plain(), max_flights=0), "set it to 1 or more"),
    "a grace below nothing": (lambda: TokenProvider(plain(), shutdown_grace=-1.0), "set it to 0 or more"),
    "an auth of no source": (lambda: TokenAuth("token"), "pass what TokenProvider.source() returns"),  # type: ignore[arg-type]
    "an auth for nowhere": (lambda: TokenAuth(StaticTokenSource("t"), origins=[]), "name one, or leave it out"),
    "an origin that is no URL": (
        lambda: TokenAuth(StaticTokenSource("t"), origins="api.test"),
        "write it as https://host[:port]/path",
    ),
}


@pytest.mark.parametrize("what", MADE_WRONG)
async def test_what_is_made_wrong_is_refused_when_it_is_made(what: str) -> None:
    make, ending = MADE_WRONG[what]
    with pytest.raises(ConfigurationError) as raised:
        make()
    assert_helps(raised.value, ending)


Call = Callable[[House], Awaitable[object]]

ASKED_WRONG: dict[str, tuple[Call, str]] = {
    "an unknown client": (lambda at: at.provider.token("plane"), "name one of auth0, box, plain"),
    "no client among several": (lambda at: at.provider.token(), "name it, one of auth0, box, plain"),
    "an unknown client of a source": (
        lambda at: _async(lambda: at.provider.source("plane")),
        "name one of auth0, box, plain",
    ),
    "an unknown client of an auth": (
        lambda at: _async(lambda: at.provider.auth("plane")),
        "name one of auth0, box, plain",
    ),
    "an unknown client to renew": (lambda at: at.provider.renew("plane"), "name one of auth0, box, plain"),
    "an unknown client to forget": (lambda at: at.provider.forget("plane"), "name one of auth0, box, plain"),
    "an unknown client to forget whole": (
        lambda at: at.provider.forget_client("plane"),
        "name one of auth0, box, plain",
    ),
    "a subject where none can go": (
        lambda at: at.provider.token("plain", subject="s"),
        "or give the client a dialect whose form says where it goes",
    ),
    "an audience where none can go": (
        lambda at: at.provider.token("plain", audience=Audience("a", "odd")),
        "or give the client a dialect whose form says where it goes",
    ),
    "an audience for Box": (
        lambda at: at.provider.token("box", subject=box.user("1"), audience="a"),
        "leave the audience out",
    ),
    "no subject for Box": (lambda at: at.provider.token("box"), "or subject=box.user(id) for a user"),
    "a subject of no kind for Box": (
        lambda at: at.provider.token("box", subject="1"),
        "or subject=box.user(id) for a user",
    ),
    "no audience for Auth0": (
        lambda at: at.provider.token("auth0"),
        "with the identifier of an API from Auth0 Dashboard > Applications > APIs",
    ),
    "a subject of no kind for Auth0": (
        lambda at: at.provider.token("auth0", subject="s", audience=API),
        "pass subject=auth0.organization(...), or leave it out",
    ),
    "a scope that is none": (lambda at: at.provider.token("plain", scope=['"']), "list one an item"),
    "an empty subject": (lambda at: at.provider.token("plain", subject=""), "leave it out or name it"),
    "a min_ttl below nothing": (lambda at: at.provider.token("plain", min_ttl=-1.0), "set it to 0 or more"),
    "entered twice at once": (lambda at: at.provider.__aenter__(), "enter it once, and share it with who needs it"),
    "a status of nothing": (lambda at: _async(lambda: at.provider.status(limit=0)), "set it to 1 or more"),
    "a URL outside of the auth's origins": (
        lambda at: _get(at, origins="https://other.test"),
        "or use another auth for it",
    ),
    "a plain http URL": (lambda at: _get(at, url="http://api.test"), "use https"),
}


@pytest.mark.parametrize("what", ASKED_WRONG)
async def test_what_is_asked_for_wrongly_is_refused_before_anything_is_sent(what: str) -> None:
    call, ending = ASKED_WRONG[what]
    at = House()
    async with at.entered():
        with pytest.raises(ConfigurationError) as raised:
            await call(at)
        assert_helps(raised.value, ending)
    assert len(at.endpoint.ledger) == len(at.api.ledger) == 0


async def _async(call: Callable[[], object]) -> object:
    return call()


async def _get(at: House, *, url: str = API, origins: str | None = None) -> object:
    auth = at.provider.auth("plain", origins=origins)
    async with httpx.AsyncClient(transport=at.api.transport(), auth=auth) as api:
        return await api.get(url)


STARTERS: dict[str, Call] = {
    "token": lambda at: at.provider.token("plain"),
    "renew": lambda at: at.provider.renew("plain"),
    "warm_up": lambda at: at.provider.warm_up(at.provider.source("plain")),
    "source.token": lambda at: at.provider.source("plain").token(),
    "source.renew": lambda at: at.provider.source("plain").renew(),
    "updates": lambda at: anext(at.provider.source("plain").updates()),
    "auth": _get,
}


@pytest.mark.parametrize("what", STARTERS)
async def test_what_must_start_something_needs_a_provider_that_is_entered(what: str) -> None:
    never, left = House(), House()
    async with left.entered():
        pass
    await never.http.aclose()
    for at in (never, left):
        with pytest.raises(ProviderClosedError) as raised:
            await STARTERS[what](at)
        assert_helps(raised.value, "put `async with provider:` around whatever asks for tokens")
        assert len(at.endpoint.ledger) == 0


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("what", STARTERS)
async def test_what_must_start_something_does_not_from_another_loop(what: str) -> None:
    at = House()

    def elsewhere() -> None:
        async def call() -> None:
            await STARTERS[what](at)

        asyncio.run(call())

    async with at.entered():
        with pytest.raises(ProviderClosedError) as raised:
            await anyio.to_thread.run_sync(elsewhere)
        assert_helps(raised.value, "use one provider a loop, with one store if they should share tokens")
    assert len(at.endpoint.ledger) == 0


def test_a_synchronous_client_sends_nothing_without_a_token() -> None:
    seen: list[httpx.Request] = []
    auth = TokenProvider(plain()).auth()
    api = httpx.Client(transport=httpx.MockTransport(seen.append), auth=auth)  # type: ignore[arg-type]
    with api, pytest.raises(ConfigurationError) as raised:
        api.get(API)
    assert_helps(raised.value, "use httpx.AsyncClient")
    assert seen == []


async def test_a_client_that_came_to_carry_our_own_auth_is_refused_when_it_is_entered() -> None:
    at = House()
    at.http.auth = at.provider.auth("plain")
    with pytest.raises(ConfigurationError) as raised:
        await at.provider.__aenter__()
    assert_helps(raised.value, "pass a client of its own, without auth")
    await at.http.aclose()


async def test_a_loopback_or_an_allowed_http_endpoint_is_taken_and_the_latter_is_said_loudly() -> None:
    plain(token_endpoint="http://127.0.0.1:8000/token")
    with pytest.warns(UserWarning, match="can be read on the way"):
        plain(token_endpoint="http://auth.test/token", allow_insecure=True)


NONSENSE = {
    "a page": Answer(200, "<html>sign in</html>"),
    "an empty body": Answer(200),
    "not a mapping": Answer(200, [1, 2, 3]),
    "no token": Answer(200, {"token_type": "Bearer"}),
    "a token of no header": Answer(200, {"access_token": "a\r\nb: c", "token_type": "Bearer"}),
    "a number for a token": Answer(200, {"access_token": 7, "token_type": "Bearer"}),
    "broken JSON": Answer(200, b'{"access_token": "CNRY'),
    "deep JSON": Answer(200, b"[" * 100_000),
    "no UTF-8": Answer(200, b"\xff\xfe\x00"),
    "too much": Answer(200, b"x" * (1024 * 1024 + 1)),
    "a redirect": Redirect("https://elsewhere.test/token"),
    "no HTTP": Raw(b"\x00\x01\x02"),
    "an error of odd types": Answer(400, {"error": 7, "error_description": [1]}),
    "a teapot": Answer(418, "short and stout"),
}


@pytest.mark.parametrize("what", NONSENSE)
async def test_an_endpoint_that_answers_nonsense_gives_a_typed_error_and_the_held_token_lives_on(what: str) -> None:
    at = House()
    async with at.entered() as tokens:
        source = tokens.source("plain", scope="held")
        held = await at.clock.run(source.token)
        at.endpoint.always(NONSENSE[what])
        with pytest.raises(TokenFlightError) as raised:
            await at.clock.run(lambda: tokens.token("plain", scope="other"))
        assert type(raised.value) is not TokenFlightError
        await at.clock.advance(3000.0)
        assert await source.token() is held
        at.endpoint.always()
        await at.clock.advance(500.0)
        assert at.endpoint.is_live(await at.clock.run(source.token))


def assert_helps(error: TokenFlightError, ending: str) -> None:
    """The message is one line, and what comes last says what to do."""
    assert "\n" not in str(error)
    assert str(error).endswith(ending)
    assert error.transient is False
