from __future__ import annotations

import json
import math
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from tests.kit.attempts import WALL, a_client, attempt, finished
from tests.kit.keys import jwk, peek, pem, public_pem, read_jwt

from tokenflight.errors import ConfigurationError
from tokenflight.model.failure import CredentialError
from tokenflight.model.secret import Secret
from tokenflight.model.subject_token import AssertionSource, SubjectToken
from tokenflight.protocol.assertions import TOKEN_ENDPOINT, Assertion
from tokenflight.protocol.private_keys import certificate_thumbprint

CERTIFICATE = "-----BEGIN CERTIFICATE-----\nQ05SWS1jZXJ0\n-----END CERTIFICATE-----\n"
BOX = "https://api.box.com/oauth2/token"
ALL_ALGORITHMS = [
    *(("RSA", name) for name in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")),
    *(("P-256", "ES256"), ("P-384", "ES384"), ("P-521", "ES512")),
    *(("Ed25519", "EdDSA"), ("Ed25519", "Ed25519"), ("Ed448", "EdDSA"), ("Ed448", "Ed448")),
]


def made(assertion: Assertion, **said: Any) -> str:
    at = said.pop("at", None) or attempt()
    return finished(assertion.made(at, **said))


def claims_of(assertion: Assertion, **said: Any) -> dict[str, Any]:
    return peek(made(assertion, **said))[1]


@pytest.mark.parametrize(("kind", "algorithm"), ALL_ALGORITHMS)
def test_what_is_signed_is_verified_by_the_public_key(kind: str, algorithm: str) -> None:
    header, claims = read_jwt(made(Assertion(jwk(kind, kid="k"), algorithm=algorithm)), kind, algorithm)

    assert header == {"typ": "JWT", "alg": algorithm, "kid": "k"}
    assert claims["iss"] == "me"


def test_each_one_is_new_and_ends_a_minute_after_it_was_made() -> None:
    first, second = (claims_of(Assertion(pem())) for _ in range(2))

    assert first["jti"] != second["jti"]
    assert (first["exp"], first["iat"]) == (WALL + 60, WALL - 5)
    assert "nbf" not in first


@given(wall=st.floats(1.0e9, 4.0e9), lifetime=st.floats(1.0, 3600.0))
def test_its_end_is_never_later_than_its_lifetime_says(wall: float, lifetime: float) -> None:
    claims = claims_of(Assertion(unsigned=True, lifetime=lifetime), at=attempt(wall=wall))

    assert claims["iat"] <= wall - 5 < claims["exp"] <= wall + lifetime
    assert math.floor(claims["exp"]) == claims["exp"]


def test_what_is_left_open_comes_from_the_request() -> None:
    client = a_client(issuer=None)

    assert claims_of(Assertion(pem()))["aud"] == "https://as.example/"
    assert claims_of(Assertion(pem()), at=attempt(client))["aud"] == "https://as.example/token"
    assert claims_of(Assertion(pem(), audience=TOKEN_ENDPOINT))["aud"] == "https://as.example/token"
    assert claims_of(Assertion(pem()), audience="x")["aud"] == "x"
    assert "sub" not in claims_of(Assertion(pem()))
    assert claims_of(Assertion(pem()), subject="7")["sub"] == "7"


def test_what_it_says_itself_goes_before() -> None:
    said = Assertion(pem(), issuer="i", subject="s", audience=["a", "b"], claims={"x": [1]})

    claims = claims_of(said, subject="7", audience="x", claims={"scope": "r"})

    assert (claims["iss"], claims["sub"], claims["aud"]) == ("i", "s", ["a", "b"])
    assert (claims["x"], claims["scope"]) == ([1], "r")


def test_boxs_rules_can_be_kept() -> None:
    box = Assertion(pem("RSA"), key_id="pk1", audience=BOX, lifetime=45, backdate=None, claims={"box_sub_type": "user"})

    header, claims = read_jwt(made(box, subject="123"), "RSA", "RS256")

    assert (header["kid"], header["typ"]) == ("pk1", "JWT")
    assert {name: claims[name] for name in ("sub", "aud", "box_sub_type")} == {
        "sub": "123",
        "aud": BOX,
        "box_sub_type": "user",
    }
    assert 16 <= len(claims["jti"]) <= 64
    assert claims["exp"] - WALL <= 60
    assert not {"iat", "nbf"} & claims.keys()


def test_a_box_annotators_token_may_be_unsigned_where_that_is_said() -> None:
    text = made(Assertion(unsigned=True, subject="u", claims={"box_sub_type": "external"}, backdate=None))

    assert peek(text)[0] == {"typ": "JWT", "alg": "none"}
    assert text.endswith(".")


def test_auth0s_rules_can_be_kept() -> None:
    text = made(Assertion(pem("RSA")), subject="me")

    assert len(text) <= 2048
    assert peek(text)[1]["aud"] == "https://as.example/"


def test_googles_and_githubs_rules_can_be_kept() -> None:
    google = claims_of(Assertion(pem("RSA"), issuer="sa@x", lifetime=3600, claims={"scope": "a b"}))
    github = claims_of(Assertion(pem("RSA"), issuer="12", lifetime=540, backdate=60))

    assert (google["iss"], google["scope"], "sub" in google) == ("sa@x", "a b", False)
    assert github["iat"] == WALL - 60


def test_entras_certificate_goes_along_by_its_hash() -> None:
    text = made(Assertion(pem("RSA"), algorithm="PS256", certificate=lambda: pem() + CERTIFICATE))

    assert read_jwt(text, "RSA", "PS256")[0]["x5t#S256"] == certificate_thumbprint(CERTIFICATE)


def test_a_certificate_that_is_none_is_told_as_a_key_would_be() -> None:
    with pytest.raises(ConfigurationError, match="this text holds none"):
        made(Assertion(pem(), certificate=pem()))
    with pytest.raises(CredentialError) as caught:
        made(Assertion(pem(), certificate=pem))
    assert (caught.value.failure.transient, caught.value.__context__) == (True, None)
    assert "a certificate is wanted" in caught.value.failure.detail


def test_the_type_may_be_another() -> None:
    header = {"typ": "client-authentication+jwt", "x": 1}

    assert peek(made(Assertion(pem(), headers=header)))[0] == {**header, "alg": "ES256"}


def test_it_tells_the_attempt_that_it_was_dated() -> None:
    at = attempt()
    made(Assertion(pem()), at=at)

    assert at.dated == [WALL]


BAD: dict[str, tuple[Any, str]] = {
    "no key": (lambda: Assertion(), "pass one, or unsigned=True"),
    "a key for nothing": (lambda: Assertion(pem(), unsigned=True), "unsigned=True instead"),
    "an unsigned switch": (lambda: Assertion(unsigned="yes"), "True or False"),
    "an algorithm without a key": (lambda: Assertion(unsigned=True, algorithm="RS256"), "leave them out"),
    "none": (lambda: Assertion(pem(), algorithm="none"), "signs with one of"),
    "HMAC": (lambda: Assertion(pem(), algorithm="HS256"), "signs with one of"),
    "a public key": (lambda: Assertion(public_pem()), "pass the private key"),
    "no lifetime": (lambda: Assertion(pem(), lifetime=0), "set it from 1 to 3600"),
    "a long life": (lambda: Assertion(pem(), lifetime=3601), "set it from 1 to 3600"),
    "a lifetime of text": (lambda: Assertion(pem(), lifetime="60"), "set it from 1 to 3600"),
    "a lifetime of none": (lambda: Assertion(pem(), lifetime=None), "set it from 1 to 3600"),
    "a time to come": (lambda: Assertion(pem(), backdate=-1), "from 0 to 600, or to None"),
    "a bool": (lambda: Assertion(pem(), backdate=True), "from 0 to 600, or to None"),
    "nan": (lambda: Assertion(pem(), backdate=math.nan), "from 0 to 600, or to None"),
    "an id of a number": (lambda: Assertion(pem(), subject=7), "subject is text"),
    "an empty id": (lambda: Assertion(pem(), key_id=""), "key_id is text"),
    "a surrogate": (lambda: Assertion(pem(), issuer="\ud800"), "issuer is text"),
    "no audience": (lambda: Assertion(pem(), audience=""), "audience is a str, several, or TOKEN_ENDPOINT"),
    "no audiences": (lambda: Assertion(pem(), audience=[]), "audience is a str, several, or TOKEN_ENDPOINT"),
    "an audience of a number": (lambda: Assertion(pem(), audience=7), "audience is a str, several"),
    "audiences of numbers": (lambda: Assertion(pem(), audience=[7]), "audience is a str, several"),
    "a claim of ours": (lambda: Assertion(pem(), claims={"exp": 1}), "'exp' is set by the library"),
    "a header of ours": (lambda: Assertion(pem(), headers={"alg": "none"}), "'alg' is set by the library"),
    "claims of a list": (lambda: Assertion(pem(), claims=["CNRY"]), "pass a dict"),
    "claims with a number for a name": (lambda: Assertion(pem(), claims={7: "CNRY"}), "pass a dict"),
    "a claim without JSON": (lambda: Assertion(pem(), claims={"x": {"CNRY"}}), "have a form in JSON"),
    "a claim of nan": (lambda: Assertion(pem(), claims={"x": math.nan}), "have a form in JSON"),
    "two thumbprints": (
        lambda: Assertion(pem(), certificate=CERTIFICATE, headers={"x5t#S256": "x"}),
        "leave one out",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_what_cannot_work_is_refused_when_it_is_made(what: str) -> None:
    make, why = BAD[what]

    with pytest.raises(ConfigurationError, match=why) as caught:
        make()

    assert "CNRY" not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_signers_algorithm_is_its_own() -> None:
    class Vault:
        algorithm = "ES256"
        key_id = "v1"

        async def sign(self, data: bytes) -> bytes:
            return b"signature"

    assert peek(made(Assertion(Vault())))[0] == {"typ": "JWT", "alg": "ES256", "kid": "v1"}
    assert peek(made(Assertion(Vault(), key_id="k2")))[0]["kid"] == "k2"
    with pytest.raises(ConfigurationError, match="go with a key that is read here"):
        Assertion(Vault(), algorithm="ES256")


def test_it_is_a_value() -> None:
    one, same = (Assertion(pem(), claims={"a": 1, "b": [2]}) for _ in range(2))

    assert one == same
    assert hash(one) == hash(same)
    assert one != Assertion(pem(), claims={"a": 2, "b": [2]})
    assert dict(evolve(one, lifetime=30.0).claims) == {"a": 1, "b": [2]}
    assert evolve(one, lifetime=30.0) == evolve(same, lifetime=30.0)
    assert (len(one.claims), list(one.claims), one.claims["a"]) == (2, ["a", "b"], 1)


def test_its_claims_are_its_own() -> None:
    own = {"a": [1]}
    assertion = Assertion(pem(), claims=own)
    own["a"].append(2)

    assert claims_of(assertion)["a"] == [1]


def test_it_shows_neither_key_nor_subject_nor_claims() -> None:
    secret = Assertion(
        pem(), passphrase=Secret("CNRY"), key_id="k", issuer="i", subject="CNRY", audience="a", claims={"n": "CNRY"}
    )

    assert repr(secret) == "Assertion(***, key_id='k', issuer='i', audience='a')"
    assert repr(Assertion(unsigned=True, audience=TOKEN_ENDPOINT)) == (
        "Assertion(unsigned=True, audience=TOKEN_ENDPOINT)"
    )
    assert repr(secret.claims) == "Members(['n'])"


def test_a_subject_may_be_known_by_it() -> None:
    assert isinstance(Assertion(pem()), AssertionSource)
    assert SubjectToken(Assertion(pem())) == SubjectToken(Assertion(pem()))
    assert "PRIVATE" not in repr(SubjectToken(Assertion(pem())))


def test_its_text_is_a_jwt_without_padding_or_space() -> None:
    text = made(Assertion(json.dumps(jwk()), claims={"name": "Zoë"}))

    assert text.count(".") == 2
    assert not set("=+/ \n") & set(text)
    assert peek(text)[1]["name"] == "Zoë"
