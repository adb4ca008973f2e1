from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from tests.kit.attempts import WALL, a_client, attempt, finished
from tests.kit.keys import jwk, peek, pem, read_jwt

from tokenflight import ClientCredentials, OAuthClient
from tokenflight.errors import ConfigurationError
from tokenflight.model.key import TokenKey
from tokenflight.model.secret import Secret
from tokenflight.protocol.assertions import TOKEN_ENDPOINT
from tokenflight.protocol.client_assertions import ASSERTION_TYPE, ClientAssertion, ClientSecretJWT, PrivateKeyJWT
from tokenflight.protocol.client_authentication import ClientAuthentication, Demanding, PublicClient
from tokenflight.protocol.grants import check_key

SECRET = "CNRY-secret-0123456789-0123456789"
ENDPOINT = "https://as.example/token"


def fields_of(authentication: Any, **client: Any) -> dict[str, str]:
    parts = finished(authentication.authenticate(attempt(a_client(authentication=authentication, **client))))
    assert not parts.headers
    return dict(parts.fields)


@pytest.mark.parametrize(
    ("authentication", "key", "algorithm"),
    [
        (PrivateKeyJWT(lambda: pem("RSA"), algorithm="PS256"), "RSA", "PS256"),
        (PrivateKeyJWT(lambda: json.dumps(jwk("Ed25519"))), "Ed25519", "EdDSA"),
        (ClientSecretJWT(SECRET), SECRET.encode(), "HS256"),
    ],
    ids=["RSA", "Ed25519", "HMAC"],
)
def test_a_jwt_says_who_the_client_is_and_for_whom_it_says_so(authentication: Any, key: Any, algorithm: str) -> None:
    fields = fields_of(authentication)

    header, claims = read_jwt(fields.pop("client_assertion"), key, algorithm)
    assert fields == {"client_id": "me", "client_assertion_type": ASSERTION_TYPE}
    assert header["typ"] == "JWT"
    assert (claims["iss"], claims["sub"], claims["aud"]) == ("me", "me", "https://as.example/")
    assert (claims["exp"], claims["iat"]) == (WALL + 60, WALL - 5)


@pytest.mark.parametrize(
    "make", [lambda **more: PrivateKeyJWT(pem(), **more), lambda **more: ClientSecretJWT(SECRET, **more)]
)
def test_what_a_server_wants_otherwise_is_said(make: Any) -> None:
    said = make(
        audience=TOKEN_ENDPOINT,
        lifetime=30,
        backdate=None,
        headers={"typ": "client-authentication+jwt"},
        send_client_id=False,
    )

    fields = fields_of(said, issuer=None)

    header, claims = peek(fields["client_assertion"])
    assert "client_id" not in fields
    assert header["typ"] == "client-authentication+jwt"
    assert (claims["aud"], claims["exp"], "iat" in claims) == (ENDPOINT, WALL + 30, False)
    assert peek(fields_of(make(audience="https://else"))["client_assertion"])[1]["aud"] == "https://else"


@pytest.mark.parametrize(
    "authentication", [PrivateKeyJWT(lambda: pem()), ClientSecretJWT(SECRET)], ids=["key", "secret"]
)
def test_a_client_without_issuer_has_to_say_who_the_jwt_is_for(authentication: Any) -> None:
    with pytest.raises(ConfigurationError, match="give the client its issuer, or the authentication audience="):
        OAuthClient(client_id="me", token_endpoint=ENDPOINT, authentication=authentication)
    told = evolve(authentication, audience=TOKEN_ENDPOINT)
    assert OAuthClient(client_id="me", token_endpoint=ENDPOINT, authentication=told)
    assert isinstance(authentication, Demanding)


def test_a_grant_may_demand_something_of_its_client_too() -> None:
    class Choosy(ClientCredentials):
        def check_client(self, client: OAuthClient) -> None:
            raise ConfigurationError("this client will not do: take another")

    with pytest.raises(ConfigurationError, match="will not do"):
        a_client(grant=Choosy())


def test_an_audience_is_for_one_server_even_where_its_endpoint_is_anothers() -> None:
    evil = {"token_endpoint": "https://honest.example/token", "issuer": "https://evil.example"}

    claims = peek(fields_of(PrivateKeyJWT(pem()), **evil)["client_assertion"])[1]

    assert claims["aud"] == "https://evil.example"


def test_a_key_says_its_id_and_a_certificate_its_hash() -> None:
    certificate = "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----"

    header = peek(fields_of(PrivateKeyJWT(pem(), key_id="k", certificate=certificate))["client_assertion"])[0]

    assert header["kid"] == "k"
    assert len(header["x5t#S256"]) == 43


def test_an_encrypted_key_has_its_passphrase() -> None:
    fields = fields_of(PrivateKeyJWT(pem("RSA", "CNRY-phrase"), passphrase="CNRY-phrase"))

    assert read_jwt(fields["client_assertion"], "RSA", "RS256")


def test_a_secret_may_be_an_oct_jwk() -> None:
    key = {"kty": "oct", "k": "A" * 43}

    fields = fields_of(ClientSecretJWT(key))

    assert read_jwt(fields["client_assertion"], bytes(32), "HS256")
    assert ClientSecretJWT(key) == ClientSecretJWT(dict(key))


def test_a_short_secret_is_refused_before_it_is_used() -> None:
    with pytest.raises(ConfigurationError, match="too short for HS512"):
        fields_of(ClientSecretJWT(SECRET, algorithm="HS512"))


def test_an_assertion_of_somebody_elses_is_read_each_time(tmp_path: Path) -> None:
    path = tmp_path / "token"
    authentication = ClientAssertion(path)
    for text in ("one", "two"):
        path.write_text(f"{text}\n")
        assert fields_of(authentication) == {
            "client_id": "me",
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": text,
        }
    assert "client_id" not in fields_of(ClientAssertion("jwt", send_client_id=False), issuer=None)


def test_a_public_client_may_leave_out_even_its_id() -> None:
    silent = PublicClient(send_client_id=False)

    assert finished(silent.authenticate(attempt())).fields == {}
    assert silent != PublicClient()


@pytest.mark.parametrize(
    "make",
    [
        lambda: PrivateKeyJWT(pem(), send_client_id="no"),
        lambda: ClientSecretJWT(SECRET, send_client_id=None),
        lambda: ClientAssertion("jwt", send_client_id=0),
        lambda: PublicClient(send_client_id="yes"),
        lambda: PrivateKeyJWT("CNRY"),
        lambda: PrivateKeyJWT(pem(), lifetime=0),
        lambda: PrivateKeyJWT(pem(), audience=7),
        lambda: PrivateKeyJWT(pem(), headers={"alg": "none"}),
        lambda: PrivateKeyJWT(pem(), algorithm="HS256"),
        lambda: PrivateKeyJWT({"kty": "oct", "k": "CNRY"}),
        lambda: ClientSecretJWT(SECRET, algorithm="none"),
        lambda: ClientSecretJWT(SECRET, backdate=-1),
        lambda: ClientSecretJWT(7),
        lambda: ClientAssertion(None),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_made(make: Any) -> None:
    with pytest.raises(ConfigurationError, match=": ") as caught:
        make()
    assert "CNRY" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "method", "shown"),
    [
        (lambda: PrivateKeyJWT(pem(), key_id="k"), "private_key_jwt", "PrivateKeyJWT(***, key_id='k')"),
        (
            lambda: ClientSecretJWT(SECRET, audience=TOKEN_ENDPOINT),
            "client_secret_jwt",
            "ClientSecretJWT(***, algorithm='HS256', audience=TOKEN_ENDPOINT)",
        ),
        (lambda: ClientAssertion("CNRY"), "private_key_jwt", "ClientAssertion(***)"),
    ],
    ids=["key", "secret", "assertion"],
)
def test_they_are_values_that_show_no_secret(make: Any, method: str, shown: str) -> None:
    one, same = make(), make()

    assert one == same
    assert hash(one) == hash(same)
    assert (one.method, repr(one)) == (method, shown)
    assert isinstance(one, ClientAuthentication)
    client = a_client(authentication=one)
    assert (hash(client), repr(client)) == (hash(a_client(authentication=same)), repr(client))
    assert method in repr(client)
    check_key(client, TokenKey(client="main"))


def test_a_changed_key_makes_another_client() -> None:
    assert PrivateKeyJWT(pem()) != PrivateKeyJWT(pem("RSA"))
    assert ClientSecretJWT(SECRET) != ClientSecretJWT(Secret(SECRET[::-1]))
