"""Mutual TLS as a value: what it takes, what it shows, and the client id that it sends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tokenflight.errors import ConfigurationError
from tokenflight.model.key import TokenKey
from tokenflight.model.secret import Secret
from tokenflight.protocol.client import OAuthClient
from tokenflight.protocol.client_authentication import Attempt, ClientAuthentication
from tokenflight.protocol.client_certificates import MutualTLS

PASSWORD = "CNRY-passphrase"
CERTIFICATE, KEY = Path("/etc/ssl/client.pem"), Path("/etc/ssl/client.key")


def client(authentication: MutualTLS) -> OAuthClient:
    return OAuthClient(client_id="me", token_endpoint="https://mtls.as.example/token", authentication=authentication)


async def nothing(asked: object) -> Any:
    raise AssertionError(f"{asked!r} is not needed here")


@pytest.mark.parametrize("method", [MutualTLS(), MutualTLS(CERTIFICATE), MutualTLS(CERTIFICATE, self_signed=True)])
def test_the_form_says_the_client_id_and_nothing_is_read(method: MutualTLS) -> None:
    attempt = Attempt(key=TokenKey(client="main"), client=client(method), wall=1.7e9, read=nothing, work=nothing)
    coroutine: Any = method.authenticate(attempt)
    with pytest.raises(StopIteration) as done:
        coroutine.send(None)
    assert (done.value.value.fields, done.value.value.headers) == ({"client_id": "me"}, {})


def test_each_kind_has_its_registered_name() -> None:
    assert MutualTLS(CERTIFICATE).method == "tls_client_auth"
    assert MutualTLS(CERTIFICATE, self_signed=True).method == "self_signed_tls_client_auth"
    assert isinstance(MutualTLS(), ClientAuthentication)
    assert "authentication=tls_client_auth" in repr(client(MutualTLS()))


def test_it_is_a_value() -> None:
    made = [MutualTLS(CERTIFICATE, KEY, password=PASSWORD) for _ in range(2)]
    assert made[0] == made[1]
    assert hash(client(made[0])) == hash(client(made[1]))
    others = {MutualTLS(), MutualTLS(CERTIFICATE), MutualTLS(CERTIFICATE, KEY), MutualTLS(CERTIFICATE, password="p")}
    assert len({*made, *others, MutualTLS(CERTIFICATE, self_signed=True)}) == 6


def test_a_password_is_a_secret_from_anywhere() -> None:
    assert MutualTLS(CERTIFICATE, password=PASSWORD).password == Secret(PASSWORD)
    assert MutualTLS(CERTIFICATE, password=KEY).password == KEY
    assert MutualTLS(CERTIFICATE, password=str).password is str


@pytest.mark.parametrize(
    ("method", "shown"),
    [
        (MutualTLS(), "MutualTLS()"),
        (MutualTLS(CERTIFICATE, KEY), "MutualTLS('client.pem', 'client.key')"),
        (MutualTLS(CERTIFICATE, password=PASSWORD), "MutualTLS('client.pem', password=***)"),
        (MutualTLS(CERTIFICATE, self_signed=True), "MutualTLS('client.pem', self_signed=True)"),
    ],
)
def test_its_repr_shows_the_files_names_and_no_secret(method: MutualTLS, shown: str) -> None:
    assert repr(method) == shown


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"certificate": "client.pem"}, r"certificate is the Path of a file in PEM, not str: pass Path\(...\)$"),
        ({"certificate": CERTIFICATE, "key": b"-----BEGIN"}, r"key is the Path .* not bytes"),
        ({"key": KEY}, "give certificate too$"),
        ({"password": PASSWORD}, "give certificate too$"),
        ({"certificate": CERTIFICATE, "password": 7}, "a secret is"),
        ({"certificate": CERTIFICATE, "self_signed": 1}, "self_signed is a bool, not int: pass True or False$"),
    ],
)
def test_what_it_cannot_use_is_refused_and_not_shown(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told) as caught:
        MutualTLS(**arguments)
    assert PASSWORD not in str(caught.value)
    assert "BEGIN" not in str(caught.value)
