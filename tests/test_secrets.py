"""No secret and no raw subject comes out anywhere: whatever fails, whoever looks, and however closely."""

from __future__ import annotations

import gc
import json
import logging
import pickle
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
from tests.kit.bench import chosen_town
from tests.kit.canary import canary, exposed, sightings
from tests.kit.keys import jwk, pem
from tests.kit.town import SUBJECTS, Town, client

from tokenflight import (
    Assertion,
    ClientAssertion,
    ClientSecretBasic,
    ClientSecretJWT,
    ClientSecretPost,
    Dialect,
    Fetch,
    JWTBearer,
    OAuthClient,
    PrivateKeyJWT,
    RetryPolicy,
    Subject,
    SubjectToken,
    Token,
    TokenFlightError,
    TokenKey,
    TokenProvider,
)
from tokenflight.ext.httpx import TokenUnavailable
from tokenflight.model.events import Event
from tokenflight.observe import LoggingHook
from tokenflight.protocol.client_authentication import Attempt, RequestParts
from tokenflight.stores import MemoryStore, TokenRecord
from tokenflight.testing import (
    Answer,
    Cut,
    Error,
    Gzip,
    Hang,
    Issue,
    ProtectedApp,
    Raw,
    Redirect,
    Refuse,
    Reset,
    Throttle,
)

pytestmark = pytest.mark.anyio

SECRET = canary("client-secret")
RAW_SUBJECT = "raw-subject-of-a-person"
ONCE = RetryPolicy(attempts=1)
API = "https://api.test"


def assert_clean(text: str) -> None:
    assert not sightings(text), sightings(text)[0]
    assert RAW_SUBJECT not in text


def assert_error_clean(error: BaseException) -> None:
    """Look at an error as a log, a debugger, a crash reporter and a process pool do."""
    assert_clean(str(error) + repr(error))
    assert_clean("".join(traceback.format_exception(error)))
    for name, value in vars(error).items():
        assert_clean(f"{name}={value!r}")
    assert not sightings(exposed(error)), "in the locals of a frame"
    if not isinstance(error, TokenUnavailable):
        shipped = pickle.dumps(error)
        assert not sightings(shipped.decode("latin-1"))
        assert_clean(str(pickle.loads(shipped)))


class Leaky:
    """Everything of a user's that may fail, failing with a secret in its words."""

    def __init__(self) -> None:
        self.text = canary("words")

    def __call__(self, *args: Any, **options: Any) -> Any:
        raise LookupError(self.text)

    async def later(self, *args: Any, **options: Any) -> Any:
        raise LookupError(self.text)

    load = save = discard = later


@attrs.frozen
class Own:
    """Client authentication of a user's own that fails."""

    secret: str = attrs.field(repr=False)
    method = "own"

    async def authenticate(self, attempt: Attempt) -> RequestParts:
        raise LookupError(self.secret)


class Transport(httpx.AsyncBaseTransport):
    """A transport that fails with all that it was given."""

    def __init__(self, kind: Callable[..., BaseException]) -> None:
        self.kind = kind

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = b"".join([part async for part in request.stream])  # type: ignore[union-attr]
        raise self.kind(f"{body!r} {request.headers!r}")


ECHO = f"wrong secret {SECRET}"
ANSWERS: dict[str, Any] = {
    "refused": Refuse(),
    "reset": Reset(),
    "hanging": Hang(),
    "cut": Cut(at=30),
    "not HTTP": Raw(SECRET.encode()),
    "an echo": Error("invalid_client", ECHO),
    "an echo in the uri": Answer(400, {"error": "invalid_grant", "error_uri": f"https://x.test/{SECRET}"}),
    "an echo for a code": Answer(400, {"error": SECRET}),
    "an echo in a page": Answer(500, f"<html>{SECRET}</html>"),
    "an echo in headers": Answer(503, None, headers={"x-request-id": SECRET, "retry-after": SECRET}),
    "a redirect": Redirect(f"https://elsewhere.test/?secret={SECRET}"),
    "a 429": Throttle(120),
    "a broken token": Issue(fields={"access_token": f"{canary('token')}\n"}),
    "no JSON": Answer(200, f'{{"access_token": "{canary("token")}", '),
    "a token beside an error": Issue(fields={"error": "invalid_scope", "error_description": "no"}),
    "a type that is none": Issue(fields={"token_type": f"{canary('type')} x"}),
    "packed": Gzip(),
}

SOURCES: dict[str, Callable[[Leaky], Any]] = {
    "a resolver": lambda leak: leak,
    "an async resolver": lambda leak: leak.later,
    "a callable for a secret": lambda leak: client(secret=leak),
    "an async callable for a secret": lambda leak: client(secret=leak.later),
    "authentication": lambda leak: client(authentication=Own(leak.text)),
    "a form": lambda leak: client(dialect=attrs.evolve(SUBJECTS, parse=leak)),
    "a classifier": lambda leak: client(dialect=attrs.evolve(SUBJECTS, classify=leak)),
    "a hint": lambda leak: client(dialect=attrs.evolve(SUBJECTS, hint=leak)),
    "a fetch": lambda leak: OAuthClient(client_id="c", grant=Fetch(leak.later)),
    "a surrogate": lambda leak: client(secret=lambda: f"{leak.text}\ud800"),
    "a file": lambda leak: client(secret=Path(f"/nowhere/{leak.text[:0]}secret")),
}


class Watcher:
    """Calls that fail, in each way in which a token is asked for; all that the library told meanwhile."""

    def __init__(self, place: Town, caplog: pytest.LogCaptureFixture) -> None:
        self.place = place
        self.caplog = caplog
        self.errors: list[BaseException] = []
        caplog.set_level(logging.DEBUG)

    async def fails(self, call: Any, *args: Any) -> None:
        try:
            await self.place.clock.run(call, *args)
        except Exception as error:
            self.errors.append(error)

    async def ask(self, tokens: TokenProvider, name: str) -> None:
        """Ask by the door, a source, a renewal, an auth and a warm-up, of which each may find the key held back."""
        subject = Subject(RAW_SUBJECT, "kind")
        source = tokens.source(name, subject=subject)
        auth = tokens.auth(name, subject=subject, scope="x")
        api = ProtectedApp(self.place.endpoint)
        await self.fails(lambda: tokens.token(name, subject=subject))
        await self.fails(source.token)
        await self.fails(source.renew)
        await self.fails(lambda: tokens.warm_up(source, timeout=1.0, strict=True))
        async with httpx.AsyncClient(transport=api.transport(), auth=auth) as http:
            await self.fails(http.get, API)

    def check(self, tokens: TokenProvider) -> None:
        assert self.errors
        for error in self.errors:
            assert_error_clean(error)
        for event in self.place.events:
            assert_clean(f"{event!r} {attrs.asdict(event)!r}")
        for status in (*tokens.status(), *tokens.health()):
            assert_clean(f"{status!r} {attrs.asdict(status)!r} {attrs.astuple(status)!r}")
        assert_clean(repr(tokens))
        assert_clean(
            "\n".join(f"{record.getMessage()} {record.exc_info} {vars(record)}" for record in self.caplog.records)
        )


@pytest.mark.parametrize("what", ANSWERS)
async def test_whatever_an_endpoint_answers_no_error_log_event_or_status_tells_a_secret(what, caplog) -> None:
    place = chosen_town()
    watcher = Watcher(place, caplog)
    place.endpoint.always(ANSWERS[what])
    clients = {
        "post": client(secret=SECRET),
        "basic": client("basic", authentication=ClientSecretBasic(lambda: SECRET)),
    }
    hooks = [place.events.append, LoggingHook()]
    async with place.provider(clients, retry=ONCE, hooks=hooks) as tokens:
        for name in clients:
            await watcher.ask(tokens, name)
        watcher.check(tokens)


@pytest.mark.parametrize("what", SOURCES)
async def test_whatever_of_a_users_own_fails_its_words_are_not_told(what, caplog) -> None:
    place = chosen_town()
    watcher = Watcher(place, caplog)
    place.endpoint.script(Error("invalid_scope", "no"))
    hooks = [place.events.append, LoggingHook()]
    async with place.provider(SOURCES[what](Leaky()), retry=ONCE, hooks=hooks) as tokens:
        await watcher.ask(tokens, "default")
        watcher.check(tokens)


@pytest.mark.parametrize(
    "kind", [httpx.ConnectError, httpx.ReadTimeout, httpx.UnsupportedProtocol, RuntimeError, OSError]
)
async def test_an_exception_of_a_transport_that_holds_the_form_leaves_nothing_of_it(kind, caplog) -> None:
    place = chosen_town()
    watcher = Watcher(place, caplog)
    hooks = [place.events.append, LoggingHook()]
    async with httpx.AsyncClient(transport=Transport(kind)) as http:
        provider = TokenProvider(client(secret=SECRET), http=http, retry=ONCE, hooks=hooks, clock=place.clock)
        await provider.__aenter__()
        try:
            await watcher.ask(provider, "default")
            watcher.check(provider)
        finally:
            await provider.__aexit__(None, None, None)


async def test_a_renewal_that_fails_tells_neither_the_held_token_nor_the_subject(caplog) -> None:
    place = chosen_town()
    watcher = Watcher(place, caplog)
    async with place.provider(client(secret=SECRET), retry=ONCE) as tokens:
        source = tokens.source(subject=RAW_SUBJECT)
        token = await place.clock.run(source.token)
        held = token.access_token.reveal()
        for text in (held, token.header, json.dumps({"token": held})):
            place.endpoint.always(Error("invalid_grant", text))
            await watcher.fails(lambda: source.renew(token, origin=API))
            await place.clock.advance(400.0)
        watcher.check(tokens)
        assert len(watcher.errors) == 3


async def test_a_store_and_a_hook_that_fail_say_their_types_alone(caplog) -> None:
    place, leak = chosen_town(), Leaky()
    caplog.set_level(logging.DEBUG)
    hooks = [leak, leak.later, place.events.append, LoggingHook()]
    async with place.provider(client(secret=SECRET), store=leak, hooks=hooks) as tokens:
        await place.clock.run(lambda: tokens.token(subject=RAW_SUBJECT))
        await tokens.forget(subject=RAW_SUBJECT)
    assert_clean(caplog.text)
    assert_clean("".join(map(repr, place.events)))


async def test_no_object_of_the_library_shows_a_secret_or_a_raw_subject_to_who_looks_at_it(caplog) -> None:
    place, store, auths = chosen_town(), MemoryStore(), []
    caplog.set_level(logging.DEBUG)
    api = ProtectedApp(place.endpoint)
    answer = Issue(fields={"refresh_token": canary("refresh"), "id_token": canary("extra")})
    place.endpoint.always(answer)
    clients = {
        "post": client(secret=SECRET, parameters={"more": canary("parameter")}),
        "basic": client("basic", authentication=ClientSecretBasic(SECRET)),
        "file": client("file", secret=lambda: SECRET),
    }
    async with place.provider(clients, store=store, hooks=[place.events.append, LoggingHook()]) as tokens:
        for name in clients:
            source = tokens.source(name, subject=RAW_SUBJECT, keep_warm=True)
            auths.append(tokens.auth(name, subject=RAW_SUBJECT))
            updates = source.updates()
            await place.clock.run(anext, updates)
            async with httpx.AsyncClient(transport=api.transport(), auth=auths[-1]) as http:
                place.endpoint.revoke()
                assert (await place.clock.run(http.get, API)).status_code == 200
        place.endpoint.always(Hang())
        tokens.source("post", subject=RAW_SUBJECT, scope="another", keep_warm=True)
        await place.clock.advance(0.5)
        assert len(tokens._engine.state.flights) == 1
        looked_at = look_at_everything()
        for wanted in (
            "TokenProvider", "Engine", "State", "Entry", "Flight", "Trip", "WireExchange", "Lane", "Health", "Places",
            "BoundSource", "TokenAuth", "Updates", "Mint", "Holdings", "Records", "Clients", "Keys", "Token", "Secret",
            "OAuthClient", "ClientSecretPost", "ClientSecretBasic", "MemoryStore", "TokenLanded", "TokenKey",
            "TokenRecord", "Connection", "Scheduler", "RootTask", "EventQueue", "LoggingHook", "Reader", "TokenRequest",
        ):  # fmt: skip
            assert wanted in looked_at, f"none of {wanted} was alive: it was not looked at"
        place.endpoint.always()
    assert_clean(caplog.text)


PASSPHRASE = canary("passphrase")
SIGNING: dict[str, Callable[[], Any]] = {
    "a key": lambda: PrivateKeyJWT(pem("P-256", PASSPHRASE), passphrase=PASSPHRASE),
    "a JWK": lambda: PrivateKeyJWT(jwk(note=canary("jwk"))),
    "a broken key": lambda: PrivateKeyJWT(lambda: f"-----BEGIN PRIVATE KEY----- {PASSPHRASE}"),
    "a wrong passphrase": lambda: PrivateKeyJWT(pem("P-256", PASSPHRASE), passphrase=canary("wrong")),
    "a secret": lambda: ClientSecretJWT(SECRET),
    "somebody else's": lambda: ClientAssertion(lambda: canary("jwt")),
}


def echo(entry: Any) -> Answer:
    """Tell the client what it sent, as a server with a debug switch does."""
    sent = entry.form["client_assertion"]
    return Error("invalid_request", f"check the exp of {sent}")


@pytest.mark.parametrize("what", SIGNING)
async def test_what_signs_and_what_was_signed_is_told_by_nothing(what, caplog) -> None:
    place = chosen_town()
    watcher = Watcher(place, caplog)
    place.endpoint.always(echo)
    hooks = [place.events.append, LoggingHook()]
    signing = client(issuer="https://auth.test", authentication=SIGNING[what]())
    async with place.provider(signing, retry=ONCE, hooks=hooks) as tokens:
        await watcher.ask(tokens, "default")
        watcher.check(tokens)
        for error in watcher.errors:
            assert all(entry.form["client_assertion"][:40] not in str(error) for entry in place.requests())
        look_at_everything()
    assert_clean(caplog.text)


async def test_no_object_that_signs_shows_its_key_to_who_looks_at_it() -> None:
    place = chosen_town(grant_types=("client_credentials", "urn:ietf:params:oauth:grant-type:jwt-bearer"))
    subject = Assertion(jwk(note=canary("jwk")), subject=RAW_SUBJECT, claims={"name": canary("claim")})
    clients = {name: client(issuer="https://auth.test", authentication=make()) for name, make in SIGNING.items()}
    clients["bearer"] = client(grant=JWTBearer(), dialect=Dialect())
    async with place.provider(clients, retry=ONCE) as tokens:
        for name in ("a key", "a JWK", "a secret"):
            await place.clock.run(tokens.token, name)
        await place.clock.run(lambda: tokens.token("bearer", subject=SubjectToken(subject)))
        looked_at = look_at_everything()
    for wanted in ("PrivateKeyJWT", "ClientSecretJWT", "ClientAssertion", "Assertion", "JWTBearer", "SharedSecret",
                   "PrivateKey", "Parsed", "Members", "SubjectToken"):  # fmt: skip
        assert wanted in looked_at, f"none of {wanted} was alive: it was not looked at"


SENT_AS_IT_IS = {"_Form", "_Once"}
"""A body on its way to the wire: what it shows of itself is clean, what it holds is what is sent."""


def look_at_everything() -> set[str]:
    """Print every object of the library that is alive, whole and by its attributes; return whose."""
    seen = set()
    for each in gc.get_objects():
        kind = type(each)
        room = str(kind.__module__)
        if not room.startswith("tokenflight.") or room.startswith("tokenflight.testing"):
            continue
        seen.add(kind.__name__)
        assert_clean(f"{kind.__name__}: {each!r} {each!s}")
        inside = getattr(each, "__dict__", None)
        if inside is not None and kind.__name__ not in SENT_AS_IT_IS:
            shown = {name: value for name, value in inside.items() if not isinstance(value, dict)}
            assert_clean(f"{kind.__name__}: {shown!r}")
        if attrs.has(kind) and isinstance(each, Event):
            assert_clean(repr(attrs.asdict(each)))
    return seen


async def test_a_token_and_a_secret_are_serialized_by_nobody() -> None:
    token = Token(canary("token"), refresh_token=canary("refresh"), extra={"id_token": canary("extra")})
    post = ClientSecretPost(SECRET)
    for each in (token, token.access_token, token.refresh_token, post.secret, post, client(secret=SECRET)):
        assert_clean(f"{each!r} {each!s} {each:}")
        with pytest.raises(TypeError):
            pickle.dumps(each)
        with pytest.raises(TypeError):
            json.dumps(each)


def test_a_record_and_a_client_turned_into_dicts_keep_their_secrets() -> None:
    record = TokenRecord(
        key=TokenKey(client="c", subject=Subject(RAW_SUBJECT)), token=Token(canary("token")), sent_at=0.0
    )
    for each in (record, client(secret=SECRET, parameters={"more": canary("parameter")})):
        assert_clean(repr(attrs.asdict(each)) + repr(attrs.astuple(each)))


def test_an_error_shipped_to_another_process_is_whole_and_holds_no_secret() -> None:
    key = TokenKey(client="c", subject=Subject("s"))
    error = TokenFlightError("text")
    assert str(pickle.loads(pickle.dumps(error))) == "text"
    from tokenflight import InvalidClientError

    full = InvalidClientError("text", key=key, retry_after=3.0, reason="invalid_client", hint="click", status=401)
    copied = pickle.loads(pickle.dumps(full))
    assert (type(copied), vars(copied)) == (InvalidClientError, vars(full))


def test_a_dialect_shows_its_functions_and_nothing_of_what_they_hold() -> None:
    secret = canary("closure")
    assert_clean(repr(Dialect(form=lambda key, fields: {**fields, "x": secret})))
