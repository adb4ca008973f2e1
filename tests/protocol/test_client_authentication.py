from __future__ import annotations

import base64
from pathlib import Path
from typing import Any
from urllib.parse import unquote, unquote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kit.attempts import work

from tokenflight.errors import ConfigurationError
from tokenflight.model.key import TokenKey
from tokenflight.model.secret import Secret, SecretSource
from tokenflight.protocol.client import OAuthClient
from tokenflight.protocol.client_authentication import (
    Attempt,
    ClientAuthentication,
    ClientSecretBasic,
    ClientSecretPost,
    PublicClient,
    RequestParts,
    as_authentication,
)

SECRET = "CNRY-secret-9b1e"


async def read(source: SecretSource) -> Secret:
    assert isinstance(source, Secret)
    return source


def attempt(client_id: str = "me", reader: Any = read) -> Attempt:
    client = OAuthClient(client_id=client_id, token_endpoint="https://as.example/token", authentication="unused")
    return Attempt(key=TokenKey(client="main"), client=client, wall=1.7e9, read=reader, work=work)


def run(coroutine: Any) -> RequestParts:
    """Drive a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    raise AssertionError("it waited")


def credentials(parts: RequestParts) -> str:
    scheme, encoded = parts.headers["authorization"].split()
    assert scheme == "Basic"
    return base64.b64decode(encoded, validate=True).decode()


def test_post_puts_id_and_secret_into_the_form() -> None:
    parts = run(ClientSecretPost(SECRET).authenticate(attempt()))

    assert parts.fields == {"client_id": "me", "client_secret": SECRET}
    assert parts.headers == {}


def test_a_public_client_says_its_id_alone() -> None:
    parts = run(PublicClient().authenticate(attempt()))

    assert (parts.fields, parts.headers) == ({"client_id": "me"}, {})


def test_basic_puts_both_into_the_header_and_nothing_into_the_form() -> None:
    parts = run(ClientSecretBasic(SECRET).authenticate(attempt()))

    assert parts.fields == {}
    assert credentials(parts) == f"me:{SECRET}"


@given(client_id=st.text("ab:+%& ä€", min_size=1), secret=st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_basic_encodes_id_and_secret_so_that_a_server_gets_both_back(client_id: str, secret: str) -> None:
    parts = run(ClientSecretBasic(secret).authenticate(attempt(client_id)))

    first, _, second = credentials(parts).partition(":")
    for decode in (unquote_plus, unquote):  # as a form, and as a URL: servers do either
        assert (decode(first), decode(second)) == (client_id, secret)


def test_raw_basic_sends_both_as_they_are() -> None:
    parts = run(ClientSecretBasic("a+b%ü", raw=True).authenticate(attempt("m e")))

    assert credentials(parts) == "m e:a+b%ü"


def test_raw_basic_refuses_an_id_that_would_be_cut_in_two() -> None:
    with pytest.raises(ConfigurationError, match="leave out raw=True"):
        run(ClientSecretBasic("s", raw=True).authenticate(attempt("a:b")))


@pytest.mark.parametrize("make", [ClientSecretBasic, ClientSecretPost])
def test_a_secret_without_utf8_form_is_refused_and_not_shown(make: Any) -> None:
    with pytest.raises(ConfigurationError, match="check its source") as caught:
        run(make(f"{SECRET}\ud800").authenticate(attempt()))

    assert SECRET not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("make", [ClientSecretBasic, ClientSecretPost])
def test_the_secret_is_read_through_the_attempt_each_time(make: Any) -> None:
    asked: list[SecretSource] = []

    async def reader(source: SecretSource) -> Secret:
        asked.append(source)
        return Secret(f"read-{len(asked)}")

    authentication, path = make(Path("/run/secret")), Path("/run/secret")
    first, second = (run(authentication.authenticate(attempt(reader=reader))) for _ in range(2))

    assert asked == [path, path]
    assert (first.fields, first.headers) != (second.fields, second.headers)


@pytest.mark.parametrize("make", [ClientSecretBasic, ClientSecretPost])
def test_secret_methods_are_values_that_show_no_secret(make: Any) -> None:
    assert make(SECRET) == make(Secret(SECRET))
    assert hash(make(SECRET)) == hash(make(SECRET))
    assert make(SECRET) != make("other")
    assert make(SECRET).secret == Secret(SECRET)
    assert repr(make(SECRET)) == f"{make.__name__}(***)"
    assert isinstance(make(SECRET), ClientAuthentication)


def test_the_repr_of_basic_tells_that_it_is_raw() -> None:
    assert repr(ClientSecretBasic(SECRET, raw=True)) == "ClientSecretBasic(***, raw=True)"
    assert ClientSecretBasic(SECRET, raw=True) != ClientSecretBasic(SECRET)


def test_each_method_has_its_registered_name() -> None:
    assert ClientSecretBasic(SECRET).method == "client_secret_basic"
    assert ClientSecretPost(SECRET).method == "client_secret_post"
    assert PublicClient().method == "none"


@pytest.mark.parametrize("bad", [None, 7, b"secret", ""])
@pytest.mark.parametrize("make", [ClientSecretBasic, ClientSecretPost])
def test_what_is_no_secret_is_refused(make: Any, bad: Any) -> None:
    with pytest.raises(ConfigurationError, match="a secret is"):
        make(bad)


def test_neither_attempt_nor_parts_show_a_secret() -> None:
    parts = RequestParts(fields={"client_secret": SECRET}, headers={"authorization": SECRET})

    assert repr(parts) == "RequestParts(fields=['client_secret'], headers=['authorization'])"
    assert "read" not in repr(attempt())


def test_none_means_a_public_client_and_an_authentication_stays_itself() -> None:
    post = ClientSecretPost(SECRET)

    assert as_authentication(None) == PublicClient()
    assert as_authentication(post) is post
    assert as_authentication(SECRET) == ClientSecretBasic(SECRET)


def test_a_class_in_place_of_a_value_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="ClientSecretPost is a class: call it"):
        as_authentication(ClientSecretPost)
