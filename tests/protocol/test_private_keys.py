from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import threading
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.kit.keys import jwk, pem, private_key, public_pem

from tokenflight.errors import ConfigurationError
from tokenflight.model.secret import Secret
from tokenflight.protocol import private_keys
from tokenflight.protocol.private_keys import (
    MAX_PARSED,
    certificate_thumbprint,
    material,
    opened,
    parsed_key,
)

KINDS = ["RSA", "P-256", "P-384", "P-521", "Ed25519", "Ed448"]
PASSPHRASE = "CNRY-passphrase"
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nQ05SWS1jZXJ0\n-----END CERTIFICATE-----\n"


def number(value: int) -> str:
    return base64.urlsafe_b64encode(value.to_bytes(-(-value.bit_length() // 8))).decode().rstrip("=")


def weak_jwk() -> dict[str, str]:
    """Make the JWK by hand: joserfc would warn of it."""
    numbers = private_key("RSA-1024").private_numbers()
    public = numbers.public_numbers
    return {"kty": "RSA", "n": number(public.n), "e": number(public.e), "d": number(numbers.d)}


def other_pem(kind: Any) -> str:
    return kind.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def unknown_pem() -> str:
    octets = base64.b64decode("".join(pem("Ed25519").splitlines()[1:-1])).replace(b"\x2b\x65\x70", b"\x2b\x65\x7f")
    return f"-----BEGIN PRIVATE KEY-----\n{base64.b64encode(octets).decode()}\n-----END PRIVATE KEY-----\n"


def openssh() -> str:
    return private_key("Ed25519").private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()


@pytest.mark.parametrize(
    ("kind", "algorithm"),
    [
        ("RSA", "RS256"),
        ("P-256", "ES256"),
        ("P-384", "ES384"),
        ("P-521", "ES512"),
        ("Ed25519", "EdDSA"),
        ("Ed448", "EdDSA"),
    ],
)
def test_a_key_is_bound_to_the_default_of_its_kind(kind: str, algorithm: str) -> None:
    assert opened(pem(kind), None, None).algorithm == algorithm
    assert opened(json.dumps(jwk(kind)), None, None).algorithm == algorithm


@pytest.mark.parametrize("kind", ["RSA", "P-256"])
def test_pkcs1_and_sec1_are_read(kind: str) -> None:
    text = pem(kind, form="TraditionalOpenSSL")

    assert "BEGIN PRIVATE" not in text
    assert opened(text, None, None).key_id is None


def test_a_pem_may_have_a_certificate_beside_it_and_backslashes_for_line_ends() -> None:
    text = CERTIFICATE + pem()

    assert opened(text, None, None).algorithm == "ES256"
    assert opened(text.replace("\n", "\\n"), None, None).algorithm == "ES256"


@pytest.mark.parametrize("kind", ["RSA", "P-256", "Ed25519"])
def test_an_encrypted_pem_is_opened_by_its_passphrase(kind: str) -> None:
    assert opened(pem(kind, PASSPHRASE), PASSPHRASE, None).algorithm


def test_a_jwk_says_its_key_id_and_algorithm() -> None:
    key = opened(json.dumps(jwk("RSA", kid="k1", alg="PS384", use="sig", key_ops=["sign"])), None, None)

    assert (key.algorithm, key.key_id) == ("PS384", "k1")
    assert opened(json.dumps(jwk(kid="")), None, None).key_id is None
    assert "sign" not in repr(key)


def test_an_rsa_jwk_without_its_primes_is_read() -> None:
    short = {name: value for name, value in jwk("RSA").items() if name in {"kty", "n", "e", "d"}}

    assert opened(json.dumps(short), None, None).algorithm == "RS256"


BAD: dict[str, Callable[[], tuple[Any, str | None, str | None, str]]] = {
    "no key": lambda: ("CNRY-secret", None, None, "this text is neither: pass its text, or Path"),
    "a path": lambda: ("/run/key.pem", None, None, "this text is neither"),
    "a cut PEM": lambda: (pem()[:60], None, None, "this text is neither"),
    "a public PEM": lambda: (public_pem(), None, None, "this is a public key: pass the private key"),
    "a certificate": lambda: (CERTIFICATE, None, None, "this is a certificate: pass the private key"),
    "two keys": lambda: (pem() + pem("Ed25519"), None, None, "holds several: leave the one"),
    "OpenSSH": lambda: (openssh(), None, None, "convert it with ssh-keygen"),
    "a broken PEM": lambda: (re.sub("(?m)^M", "N", pem()), None, None, "cannot be read: copy it whole"),
    "not ASCII": lambda: (pem().replace("M", "\udc80", 1), None, None, "cannot be read: copy it whole"),
    "no passphrase": lambda: (pem("P-256", PASSPHRASE), None, None, "is encrypted: pass passphrase"),
    "a wrong passphrase": lambda: (
        pem("P-256", PASSPHRASE),
        "CNRY-other",
        None,
        "cannot be decrypted: check passphrase",
    ),
    "a passphrase too many": lambda: (pem(), PASSPHRASE, None, "is not encrypted: leave out passphrase"),
    "RSA of 1024 bits": lambda: (pem("RSA-1024"), None, None, "has 1024 bits: have one of 2048"),
    "RSA of 1024 bits as JWK": lambda: (weak_jwk(), None, None, "has 1024 bits"),
    "a kind that nobody knows": lambda: (unknown_pem(), None, None, "that is not known: pass one in PKCS#8"),
    "another curve": lambda: (pem("secp256k1"), None, None, "cannot sign: pass one of RSA, P-256"),
    "a key for encryption": lambda: (other_pem(x25519.X25519PrivateKey.generate()), None, None, "cannot sign: pass"),
    "DSA": lambda: (other_pem(dsa.generate_private_key(1024)), None, None, "cannot sign: pass"),
    "another kind's algorithm": lambda: (pem(), None, "RS256", "is of kind P-256, which signs with one of ES256"),
    "not JSON": lambda: ('{"kty": "RSA", CNRY', None, None, "is not JSON: copy it whole"),
    "deep JSON": lambda: ('{"a":' * 100_000, None, None, "is not JSON: copy it whole"),
    "a set": lambda: ({"keys": []}, None, None, "a set of keys: pass the one"),
    "a shared secret": lambda: ({"kty": "oct", "k": "CNRY"}, None, None, "pass it to ClientSecretJWT"),
    "no kty": lambda: ({"k": "CNRY"}, None, None, "a kty of RSA, EC or OKP"),
    "a public JWK": lambda: (jwk(private=False), None, None, "a public one: pass the private"),
    "a JWK for encryption": lambda: (jwk(use="enc"), None, None, "not meant for signing"),
    "a JWK for verifying": lambda: (jwk(key_ops=["verify"]), None, None, "not meant for signing"),
    "a JWK of another algorithm": lambda: (jwk("RSA", alg="PS256"), None, "RS256", "leave out algorithm"),
    "a JWK of no algorithm": lambda: (jwk("RSA", alg="none"), None, None, "which signs with one of RS256"),
    "a broken JWK": lambda: (jwk("P-256", x="AAAA"), None, None, "cannot be read: copy it whole"),
    "a broken RSA JWK": lambda: ({"kty": "RSA", "n": "\u20ac", "e": "AQAB", "d": "AQAB"}, None, None, "cannot be read"),
    "an RSA JWK that lacks n": lambda: ({"kty": "RSA", "e": "AQAB", "d": "AQAB"}, None, None, "cannot be read"),
    "a JWK with a passphrase": lambda: (jwk(), PASSPHRASE, None, "not encrypted: leave out passphrase"),
    "a JWK of X25519": lambda: (
        {"kty": "OKP", "crv": "X25519", "d": "A" * 43, "x": "A" * 43},
        None,
        None,
        "sign: pass|be read",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_key_is_refused_with_what_to_do_and_without_showing_it(what: str) -> None:
    text, passphrase, algorithm, why = BAD[what]()
    text = text if isinstance(text, str) else json.dumps(text)

    with pytest.raises(ConfigurationError, match=why) as caught:
        opened(text, passphrase, algorithm)

    assert "CNRY" not in str(caught.value)
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("what", ["a path", "a public PEM", "a set", "a shared secret", "a public JWK", "OpenSSH"])
def test_what_is_no_private_key_is_found_without_parsing(what: str) -> None:
    text = BAD[what]()[0]
    with pytest.raises(ConfigurationError):
        material(text if isinstance(text, str) else json.dumps(text))


def test_a_key_is_parsed_once_also_where_threads_ask_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    monkeypatch.setattr(private_keys, "opened", lambda text, *rest: parsed.append(text) or opened(text, *rest))
    text, got = Secret(pem("P-384", "CNRY-once")), []
    phrase = Secret("CNRY-once")
    threads = [
        threading.Thread(target=lambda: got.append(parsed_key(text, phrase, None).open(text, phrase, None)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(parsed) == 1
    assert len({id(key) for key in got}) == 1


def test_another_text_passphrase_or_algorithm_is_another_key() -> None:
    one, two = Secret("a"), Secret("b")
    places = [
        parsed_key(*each) for each in [(one, None, None), (two, None, None), (one, two, None), (one, None, "RS256")]
    ]

    assert len({id(place) for place in places}) == 4
    assert parsed_key(one, None, None) is places[0]
    assert "Parsed(key=None" in repr(places[0])


def test_the_keys_used_last_are_kept() -> None:
    first = parsed_key(Secret("first"), None, None)
    for number in range(MAX_PARSED):
        assert parsed_key(Secret("first"), None, None) is first
        parsed_key(Secret(f"another {number}"), None, None)

    assert len(private_keys._CACHE.slots) == MAX_PARSED
    for number in range(MAX_PARSED):
        parsed_key(Secret(f"more {number}"), None, None)
    assert parsed_key(Secret("first"), None, None) is not first


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_a_forked_child_begins_without_keys_and_without_its_parents_locks() -> None:
    parsed_key(Secret("of the parent"), None, None)
    with private_keys._CACHE.guard:
        private_keys._CACHE.forget()

    assert not private_keys._CACHE.slots
    parsed_key(Secret("of the child"), None, None)


def test_a_certificates_thumbprint_is_the_hash_of_its_octets() -> None:
    digest = hashlib.sha256(b"CNRY-cert").digest()

    assert certificate_thumbprint(pem() + CERTIFICATE) == base64.urlsafe_b64encode(digest).decode().rstrip("=")


@pytest.mark.parametrize("text", ["", "-----BEGIN CERTIFICATE-----\nCNRY!\n-----END CERTIFICATE-----"])
def test_a_text_without_certificate_has_no_thumbprint(text: str) -> None:
    text += pem()
    with pytest.raises(ConfigurationError, match="this text holds none") as caught:
        certificate_thumbprint(text)
    assert "CNRY" not in str(caught.value)
