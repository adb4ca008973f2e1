"""Box's tokens for one file, folder or shared link: from whatever token there is, and for whoever may annotate."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from tests.dialects.places import app_client, at, box_town, claims, config, header, provider
from tests.doubles.box import TOKEN, refusals
from tests.doubles.box.scene import ACCESS, APP_USER, ENTERPRISE, EXCHANGE, FILE, ID, LINK, USER, town
from tests.doubles.box.state import DOWNSCOPES

from tokenflight import (
    ConfigurationError,
    InvalidGrantError,
    PublicClient,
    Subject,
    SubjectToken,
    Token,
    TokenEndpointError,
    TokenExchange,
    TokenProvider,
)
from tokenflight.dialects import box
from tokenflight.model.key import Audience

pytestmark = pytest.mark.anyio

PREVIEW = "item_preview"
WHOLE = frozenset({"grant_type", "subject_token", "subject_token_type", "scope"})
KNOWN = frozenset({"client_id", "client_secret"})


def clients(double: Any, **narrow: Any) -> dict[str, Any]:
    """Return a client that gets the enterprise's tokens, and one that narrows them."""
    return {
        "files": app_client(double, "the-ccg"),
        "narrow": app_client(double, "the-ccg", grant=TokenExchange(), **narrow),
    }


def enterprise(tokens: TokenProvider) -> SubjectToken:
    return SubjectToken(tokens.source("files", subject=box.enterprise(ENTERPRISE)))


async def narrowed(double: Any, tokens: TokenProvider, **asked: Any) -> Token:
    asked = {"subject": enterprise(tokens), "scope": PREVIEW, **asked}
    return await double.clock.run(partial(tokens.token, "narrow", **asked))  # type: ignore[no-any-return]


@pytest.mark.proves("Box", "token-exchange, a file, a folder, a shared link or nothing to narrow to")
@pytest.mark.parametrize(
    ("audience", "more"),
    [
        (box.file("123456"), {"resource": FILE}),
        (box.folder("42"), {"resource": "https://api.box.com/2.0/folders/42"}),
        (box.shared_link(LINK), {"box_shared_link": LINK}),
        (None, {}),
    ],
)
async def test_a_token_is_narrowed_as_documented_and_nothing_more(audience: Any, more: dict[str, str]) -> None:
    double = box_town()
    async with provider(double, clients(double)) as tokens:
        token = await narrowed(double, tokens, audience=audience, scope="item_preview item_download")
    parent, seen = double.token_requests
    assert set(seen.form) == WHOLE | KNOWN | more.keys()
    assert {**seen.form, **more, "scope": "item_download item_preview"} == seen.form
    assert (seen.form["grant_type"], seen.form["subject_token_type"]) == (EXCHANGE, ACCESS)
    assert seen.form["subject_token"] == parent.token
    assert token.access_token.reveal().startswith("1!")
    assert token.scope == {"item_download", "item_preview"}


async def test_what_the_token_was_restricted_to_stays_on_it() -> None:
    double = box_town()
    async with provider(double, clients(double)) as tokens:
        token = await narrowed(double, tokens, audience=box.file("123456"))
    thing = {"type": "file", "id": "123456", "sequence_id": "0", "etag": "0", "name": "Test"}
    assert token.extra["restricted_to"] == [{"scope": PREVIEW, "object": thing}]
    assert token.extra["issued_token_type"] == ACCESS


@pytest.mark.proves("Box", "token-exchange, over a socket and without the app's credentials")
async def test_an_app_token_is_narrowed_without_the_apps_secret_over_a_socket() -> None:
    double = town()
    app_token = double.issue("the-ccg", ("enterprise", ENTERPRISE)).value
    async with double.serve() as url:
        client = box.client(client_id="a label", grant=TokenExchange(), **at(url))
        assert client.authentication == PublicClient(send_client_id=False)
        async with TokenProvider(client) as tokens:
            auth = tokens.auth(subject=SubjectToken(app_token), scope=PREVIEW, audience=box.file("123456"))
            async with httpx.AsyncClient(auth=auth, base_url=url) as http:
                got = [(await http.get(f"/2.0/files/{each}")).status_code for each in ("123456", "777")]
    assert got == [200, 403]
    [seen] = double.token_requests
    assert set(seen.form) == WHOLE | {"resource"}


@pytest.mark.proves("Box", "token-exchange, 1,000 files through one client")
@pytest.mark.parametrize("shape", ["json", "empty", "header"])
async def test_of_a_thousand_files_the_one_with_a_scope_that_the_subject_token_lacks_fails_alone(shape: Any) -> None:
    double, errors = box_town(lifetimes=(3600,)), list[Any]()
    double.scope_refusal = shape
    double.app("the-ccg", kind="ccg", scopes=DOWNSCOPES - {"item_delete"})
    for number in range(1000):
        double.item("file", str(number))
    async with provider(double, clients(double)) as tokens:
        subject = enterprise(tokens)
        asked = [
            tokens.source(
                "narrow",
                subject=subject,
                scope="item_delete" if number == 500 else PREVIEW,
                audience=box.file(str(number)),
            )
            for number in range(1000)
        ]
        got: dict[int, Token] = {}

        async def one(number: int) -> None:
            try:
                got[number] = await asked[number].token()
            except TokenEndpointError as error:
                errors.append((number, error))

        async def all_of_them() -> None:
            async with anyio.create_task_group() as tasks:
                for number in range(1000):
                    tasks.start_soon(one, number)

        await double.clock.run(all_of_them)
        assert len(got) == 999
        first = len(double.token_requests)
        await double.clock.run(all_of_them)
        [known] = [health for health in tokens.health() if health.issued]
    assert [number for number, _ in errors] == [500, 500]
    assert "ask for scopes that the subject token has" in str(errors[0][1])
    assert not errors[0][1].transient
    assert first == len(double.token_requests) == 1001
    assert len({token.access_token.reveal() for token in got.values()}) == 999
    assert known.state == "up"


@pytest.mark.proves("Box", "token-exchange, from an assertion that is made anew")
async def test_an_assertion_is_narrowed_and_made_anew_for_each_attempt() -> None:
    double = box_town()
    app = box.read_config(config(double))
    double.script(refusals.throttled("1"), refusals.unavailable("1"), at=TOKEN)
    async with provider(double, box.jwt_client(app, grant=TokenExchange(), scope=PREVIEW)) as tokens:
        subject = box.assertion(box.user(APP_USER), app)
        token = await double.clock.run(partial(tokens.token, subject=subject, audience=box.file("777")))
        other = box.assertion(box.user(USER), app)
        with pytest.raises(TokenEndpointError, match="the subject may see it") as caught:
            await double.clock.run(partial(tokens.token, subject=other, audience=box.file("777")))
    assert double.is_live(token.access_token.reveal())
    assert caught.value.error == "invalid_resource"
    said = [claims(seen, "subject_token") for seen in double.token_requests]
    assert len({each["jti"] for each in said}) == 4
    assert [each["sub"] for each in said] == [APP_USER] * 3 + [USER]
    assert {seen.form["subject_token_type"] for seen in double.token_requests} == {ACCESS}
    begun = double.now() - double.clock.now()
    for seen, each in zip(double.token_requests, said, strict=True):
        assert 0 < each["exp"] - begun - seen.started <= 60


async def test_a_clock_that_is_off_is_followed_for_subject_tokens_too() -> None:
    double = box_town(now_offset=540.0)
    app = box.read_config(config(double))
    async with provider(double, box.jwt_client(app, grant=TokenExchange(), scope=PREVIEW)) as tokens:
        for each in ("123456", "777"):
            subject = box.assertion(box.user(APP_USER), app)
            await double.clock.run(partial(tokens.token, subject=subject, audience=box.file(each)))
    assert [seen.error for seen in double.token_requests] == ["invalid_grant", None, None]


@pytest.mark.proves("Box", "token-exchange, an app token that is swapped")
async def test_an_app_token_in_a_file_is_swapped_without_a_restart(tmp_path: Path) -> None:
    double, path = box_town(lifetimes=(3600,)), tmp_path / "app-token"
    primary, secondary = (double.issue("the-ccg", ("enterprise", ENTERPRISE)) for _ in range(2))
    path.write_text(f"{primary.value}\n", "utf-8")
    path.chmod(0o600)
    async with provider(double, clients(double)) as tokens:
        ask = partial(narrowed, double, tokens, subject=SubjectToken(path), audience=box.file("123456"))
        await ask()
        path.write_text(secondary.value, "utf-8")
        primary.revoked = True
        await double.clock.advance(3601)
        await ask()
    assert [seen.form["subject_token"] for seen in double.token_requests] == [primary.value, secondary.value]
    assert [seen.error for seen in double.token_requests] == [None, None]


@pytest.mark.proves("Box", "token-exchange, a subject token that Box calls invalid")
async def test_a_parent_that_box_calls_invalid_is_renewed_once_and_exchanged_again() -> None:
    double = box_town(lifetimes=(3600,))
    async with provider(double, clients(double)) as tokens:
        parent = await double.clock.run(partial(tokens.token, "files", subject=box.enterprise(ENTERPRISE)))
        double.house.tokens[parent.access_token.reveal()].revoked = True
        token = await narrowed(double, tokens, audience=box.file("123456"))
    assert double.is_live(token.access_token.reveal())
    assert [seen.error for seen in double.token_requests] == [None, "invalid_grant", None, None]


@pytest.mark.proves("Box", "token-exchange, an annotator")
async def test_an_annotator_is_signed_for_anew_in_each_attempt() -> None:
    double = box_town()
    app = box.read_config(config(double))
    double.script(refusals.throttled("1"), at=TOKEN)
    async with provider(double, box.jwt_client(app, grant=TokenExchange(), scope=PREVIEW)) as tokens:
        actor = box.annotator("ext-7", "Jane Doe", app)
        subject = box.assertion(box.enterprise(ENTERPRISE), app, actor=actor)
        token = await double.clock.run(partial(tokens.token, subject=subject, audience=box.file("123456")))
    seen = double.token_requests[-1]
    assert double.house.tokens[token.access_token.reveal()].actor == ("external", "ext-7")
    assert seen.form["actor_token_type"] == ID
    said = claims(seen, "actor_token")
    assert set(said) == {"iss", "sub", "name", "box_sub_type", "aud", "jti", "exp"}
    assert (said["iss"], said["sub"], said["name"]) == ("the-jwt", "ext-7", "Jane Doe")
    assert (said["box_sub_type"], said["aud"]) == ("external", "https://api.box.com/oauth2/token")
    assert header(seen, "actor_token") == {"alg": "RS256", "kid": "box-key", "typ": "JWT"}
    assert len({claims(each, "actor_token")["jti"] for each in double.token_requests}) == 2


@pytest.mark.proves("Box", "token-exchange, an annotator without a signature")
@pytest.mark.parametrize("taken", [True, False])
async def test_an_annotator_goes_unsigned_where_somebody_asked_for_it(taken: bool) -> None:
    double = box_town()
    double.house.apps["the-ccg"].unsigned_actors = taken
    parent = double.issue("the-ccg", ("enterprise", ENTERPRISE), expires_in=3600).value
    subject = SubjectToken(parent, actor=box.annotator("ext-7", "Jane Doe", unsigned=True))
    async with provider(double, clients(double)) as tokens:
        if taken:
            await narrowed(double, tokens, subject=subject, audience=box.file("123456"))
        else:
            with pytest.raises(InvalidGrantError):
                await narrowed(double, tokens, subject=subject, audience=box.file("123456"))
    assert header(double.token_requests[0], "actor_token") == {"alg": "none", "typ": "JWT"}
    assert double.token_requests[0].form["actor_token"].endswith(".")


async def test_two_annotators_and_two_subjects_never_share_a_token() -> None:
    double = box_town()
    app = box.read_config(config(double))
    async with provider(double, box.jwt_client(app, grant=TokenExchange(), scope=PREVIEW)) as tokens:
        got = []
        for who, name in [("1", "Ann"), ("2", "Bob"), ("1", "Ann")]:
            subject = box.assertion(box.enterprise(ENTERPRISE), app, actor=box.annotator(who, name, app))
            got.append(await double.clock.run(partial(tokens.token, subject=subject, audience=box.file("123456"))))
        plain = box.assertion(box.enterprise(ENTERPRISE), app)
        got.append(await double.clock.run(partial(tokens.token, subject=plain, audience=box.file("123456"))))
    values = [token.access_token.reveal() for token in got]
    assert values[0] == values[2]
    assert len(set(values)) == 3
    assert [double.house.tokens[value].actor for value in values[:2]] == [("external", "1"), ("external", "2")]


VAIN: list[tuple[dict[str, Any], str]] = [
    ({"scope": ""}, "pass scope, such as item_preview"),
    ({"audience": Audience("https://api.example/")}, r"pass audience=box\.file"),
    ({"subject": SubjectToken("t", type="urn:ietf:params:oauth:token-type:jwt")}, "leave out its type"),
    ({"subject": SubjectToken("t", actor=SubjectToken("a"))}, r"actor=box\.annotator"),
    ({"subject": box.enterprise("1")}, "subject=SubjectToken"),
    ({"subject": Subject("1")}, "subject=SubjectToken"),
]


@pytest.mark.parametrize(("asked", "advice"), VAIN)
async def test_what_box_would_not_exchange_is_refused_before_it_is_sent(asked: dict[str, Any], advice: str) -> None:
    double = box_town()
    async with provider(double, clients(double)) as tokens:
        with pytest.raises(ConfigurationError, match=advice):
            await narrowed(double, tokens, **asked)
    assert double.token_requests == []


async def test_no_other_type_of_token_is_asked_for() -> None:
    double = box_town()
    client = app_client(double, "the-ccg", grant=TokenExchange(requested_token_type=ACCESS))
    async with provider(double, clients(double) | {"narrow": client}) as tokens:
        with pytest.raises(ConfigurationError, match="leave requested_token_type out"):
            await narrowed(double, tokens, subject=SubjectToken("t"))


@pytest.mark.parametrize("authentication", [PublicClient(), PublicClient(send_client_id=False)])
def test_half_of_the_credentials_are_refused(authentication: Any) -> None:
    with pytest.raises(ConfigurationError, match="Box takes the secret in the body"):
        box.client(client_id="c", grant=TokenExchange(), authentication=authentication)
