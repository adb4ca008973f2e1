"""A JWT is believed where a listed key signed it by an accepted algorithm, and for no other reason."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from joserfc.jws import JWSRegistry
from tests.kit.jwts import KINDS, b64, key_for, packed, public, sign

from tokenflight.errors import ConfigurationError
from tokenflight.protocol.compact import Compact, Invalid, read_compact
from tokenflight.protocol.verification import ALGORITHMS, MAX_DOCUMENT, MAX_KEYS, Claims, KeySet, verify

CLAIMS = {"iss": "https://as.test", "sub": "s"}
RSA, EC, ED = key_for("RS256"), key_for("ES256"), key_for("EdDSA")
JWKS = [public(RSA, kid="rsa"), public(EC, kid="ec", alg="ES256", use="sig"), public(ED, kid="ed", key_ops=["verify"])]


def read(*keys: Any) -> KeySet:
    found = KeySet.read(json.dumps({"keys": list(keys)}).encode())
    assert isinstance(found, KeySet), found
    return found


def unread(document: Any) -> str:
    found = KeySet.read(document if isinstance(document, bytes) else json.dumps(document).encode())
    assert isinstance(found, Invalid), found
    assert found.reason == "key_set"
    return found.detail


KEYS = read(*JWKS)
RS = {"alg": "RS256", "kid": "rsa"}


def refusal(text: Any, keys: KeySet = KEYS, algorithms: Any = ALGORITHMS) -> Invalid:
    found = verify(text, keys, algorithms=algorithms)
    assert isinstance(found, Invalid), found
    return found


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("named", [True, False])
def test_each_algorithm_verifies_what_it_signed_and_nothing_else(algorithm: str, named: bool) -> None:
    private, kid = key_for(algorithm), {"kid": "k"} if named else {}
    keys = read(public(private, kid="k"))
    good = sign(algorithm, private, {"alg": algorithm, **kid, "typ": "at+jwt"}, CLAIMS)

    claims = verify(good, keys, algorithms=ALGORITHMS)

    assert isinstance(claims, Claims)
    assert (dict(claims.values), claims.algorithm, claims.typ) == (CLAIMS, algorithm, "at+jwt")
    assert (claims.get("sub"), claims.get("none"), repr(claims)) == ("s", None, f"Claims(['iss', 'sub'], {algorithm})")
    head, _, signature = good.split(".")
    assert refusal(f"{head}.{packed(CLAIMS | {'sub': 'other'})}.{signature}", keys).reason == "signature"
    other = sign(algorithm, key_for(algorithm, 1), {"alg": algorithm, **kid}, CLAIMS)
    assert refusal(other, keys) == Invalid(
        reason="signature", detail="its signature is not the server's", outdated=not named
    )
    without = [name for name in ALGORITHMS if name != algorithm]
    assert refusal(good, keys, without).reason == "algorithm"


def test_what_can_be_verified_is_what_can_be_signed_with_a_key_pair() -> None:
    assert set(ALGORITHMS) == set(KINDS)


PEM = RSA.as_pem(private=False)
DER = RSA.as_der(private=False)
MODULUS = RSA.as_dict()["n"].encode()
GOOD = sign("RS256", RSA, RS, CLAIMS)
HEAD, BODY, SIGNATURE = GOOD.split(".")
ATTACKER = key_for("RS256", 1)


def forged(header: Any, signature: bytes = b"", claims: Any = CLAIMS) -> str:
    return f"{packed(header)}.{packed(claims)}.{b64(signature)}"


def signed(header: dict[str, Any], claims: Any = CLAIMS) -> str:
    return sign("RS256", RSA, header, claims)


def by_attacker(**header: Any) -> str:
    return sign("RS256", ATTACKER, {"alg": "RS256", **header}, CLAIMS)


CORPUS: dict[str, tuple[Any, str]] = {
    **{
        f"alg {name!r}": (forged({"alg": name, "kid": "rsa"}), "algorithm")
        for name in ("none", "None", "NONE", "nOnE", "none ", "", " ", "RSA", "rs256", "RS256 ", "RS1", "ES256K", "dir")
    },
    **{f"alg {value}": (forged({"alg": value}), "algorithm") for value in (None, 1, ["RS256"], {"RS256": 1}, True)},
    "alg none with a good signature": (f"{packed(RS | {'alg': 'none'})}.{BODY}.{SIGNATURE}", "algorithm"),
    "no alg": (forged({"kid": "rsa"}), "algorithm"),
    **{
        f"HS{size} with the public key's {what} as its secret": (
            sign(f"HS{size}", secret, {"alg": f"HS{size}", "kid": "rsa"}, CLAIMS),
            "algorithm",
        )
        for size in (256, 384, 512)
        for what, secret in (("PEM", PEM), ("DER", DER), ("modulus", MODULUS))
    },
    "HS256 dressed as RS256": (sign("HS256", DER, RS, CLAIMS), "signature"),
    "an embedded jwk": (by_attacker(jwk=public(ATTACKER)), "signature"),
    "an embedded jwk with a known kid": (by_attacker(kid="rsa", jwk=public(ATTACKER, kid="rsa")), "signature"),
    "a jku": (by_attacker(kid="mine", jku="https://evil.test/jwks"), "unknown_key"),
    "an x5u": (by_attacker(kid="mine", x5u="https://evil.test/cert"), "unknown_key"),
    "an x5c": (by_attacker(kid="rsa", x5c=["MIIB"], x5t="x"), "signature"),
    "crit": (signed(RS | {"crit": ["exp"]}), "critical"),
    "crit that is understood nowhere": (signed(RS | {"crit": ["bork"], "bork": True}), "critical"),
    "crit that is empty": (signed(RS | {"crit": []}), "critical"),
    "crit that is null": (signed(RS | {"crit": None}), "critical"),
    "b64 false": (signed(RS | {"crit": ["b64"], "b64": False}), "critical"),
    "a foreign kid": (signed(RS | {"kid": "other"}), "unknown_key"),
    **{
        f"the kid {kid!r}": (signed(RS | {"kid": kid}), "unknown_key")
        for kid in ("", "../../dev/null", "/dev/null", "rsa\0", "RSA", "rsa'; --", "file:///etc/passwd", "\ud800")
    },
    **{f"the kid {kid}": (signed(RS | {"kid": kid}), "not_a_jwt") for kid in (None, 0, ["rsa"], {"kid": "rsa"})},
    "a kid of another type of key": (signed(RS | {"kid": "ec"}), "algorithm"),
    "an algorithm of another type of key": (forged({"alg": "ES256", "kid": "rsa"}, b"\1" * 64), "algorithm"),
    "an algorithm of another family than the signature's": (signed(RS | {"alg": "PS256"}), "signature"),
    "another hash than the signature's": (signed(RS | {"alg": "RS512"}), "signature"),
    "another curve than the algorithm's": (
        sign("ES384", key_for("ES384"), {"alg": "ES384", "kid": "ec"}, CLAIMS),
        "algorithm",
    ),
    **{
        f"ES256 signed with {what}": (forged({"alg": "ES256", "kid": "ec"}, signature), "signature")
        for what, signature in (
            ("zeros", b"\0" * 64),
            ("ones", b"\0" * 31 + b"\1" + b"\0" * 31 + b"\1"),
            ("the order", bytes.fromhex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551") * 2),
            ("too little", b"\1" * 63),
            ("too much", b"\1" * 65),
            ("nothing", b""),
            ("DER", bytes.fromhex("3006020101020101")),
        )
    },
    "EdDSA by another key": (
        sign("EdDSA", key_for("EdDSA", 1), {"alg": "EdDSA", "kid": "ed"}, CLAIMS),
        "signature",
    ),
    "EdDSA signed with zeros": (forged({"alg": "EdDSA", "kid": "ed"}, b"\0" * 64), "signature"),
    "RS256 signed with zeros": (forged(RS, b"\0" * 256), "signature"),
    "RS256 signed with ones": (forged(RS, b"\0" * 255 + b"\1"), "signature"),
    "no signature": (f"{HEAD}.{BODY}.", "signature"),
    "a signature cut short": (f"{HEAD}.{BODY}.{SIGNATURE[:-6]}", "signature"),
    "a stranger's signature": (f"{HEAD}.{BODY}.{b64(b'x' * 256)}", "signature"),
    "two parts": (f"{HEAD}.{BODY}", "not_a_jwt"),
    "one part": (HEAD, "not_a_jwt"),
    "four parts": (f"{GOOD}.{SIGNATURE}", "not_a_jwt"),
    "a JWE": (f"{packed({'alg': 'RSA-OAEP', 'enc': 'A256GCM'})}.a.b.c.d", "not_a_jwt"),
    "a JWS in JSON": (json.dumps({"payload": BODY, "protected": HEAD, "signature": SIGNATURE}), "not_a_jwt"),
    "nothing": ("", "not_a_jwt"),
    "dots": ("..", "not_a_jwt"),
    "no text": (None, "not_a_jwt"),
    "bytes": (GOOD.encode(), "not_a_jwt"),
    "an opaque token": ("ghp_0123456789", "not_a_jwt"),
    "5 MB of header": (f"{'A' * 5_000_000}.{BODY}.{SIGNATURE}", "not_a_jwt"),
    "5 MB of content": (f"{HEAD}.{'A' * 5_000_000}.{SIGNATURE}", "not_a_jwt"),
    "5 MB of signature": (f"{HEAD}.{BODY}.{'A' * 5_000_000}", "not_a_jwt"),
    "5 MB of dots": ("." * 5_000_000, "not_a_jwt"),
    "alg twice": (forged(b'{"alg":"none","alg":"RS256","kid":"rsa"}'), "not_a_jwt"),
    "a claim twice": (sign("RS256", RSA, RS, b'{"sub":"a","sub":"b"}'), "not_a_jwt"),
    "a claim twice inside": (sign("RS256", RSA, RS, b'{"act":{"sub":"a","sub":"b"}}'), "not_a_jwt"),
    "NaN": (sign("RS256", RSA, RS, b'{"exp":NaN}'), "not_a_jwt"),
    "Infinity": (sign("RS256", RSA, RS, b'{"exp":Infinity}'), "not_a_jwt"),
    "a number of 5,000 digits": (sign("RS256", RSA, RS, b'{"exp":' + b"9" * 5000 + b"}"), "not_a_jwt"),
    "lists in lists": (sign("RS256", RSA, RS, b"[" * 20_000), "not_a_jwt"),
    "content that is no JSON": (sign("RS256", RSA, RS, b"sub=s"), "not_a_jwt"),
    "content that is no UTF-8": (sign("RS256", RSA, RS, b'{"sub":"\xff"}'), "not_a_jwt"),
    "content with a byte order mark": (sign("RS256", RSA, RS, b"\xef\xbb\xbf{}"), "not_a_jwt"),
    "content that is a list": (sign("RS256", RSA, RS, [CLAIMS]), "not_a_jwt"),
    "content that is empty": (sign("RS256", RSA, RS, b""), "not_a_jwt"),
    "a JWT in a JWT": (sign("RS256", RSA, RS | {"cty": "JWT"}, GOOD.encode()), "not_a_jwt"),
    "a header that is a list": (forged([RS]), "not_a_jwt"),
    "a header that is null": (forged(None), "not_a_jwt"),
    "padding": (f"{HEAD}.{BODY}.{SIGNATURE}==", "not_a_jwt"),
    "plain base64": (f"{HEAD}.{BODY}.ab+/", "not_a_jwt"),
    "a space at the end": (GOOD + " ", "not_a_jwt"),
    "a line end": (GOOD + "\n", "not_a_jwt"),
    "a scheme": ("Bearer " + GOOD, "not_a_jwt"),
    "a letter that is none": (GOOD.replace(".", "．"), "not_a_jwt"),
    "one letter too many": (f"{HEAD}.{BODY}.{SIGNATURE}A" + "A" * (4 - len(SIGNATURE) % 4), "not_a_jwt"),
    "stray bits": (f"{HEAD}.{BODY}.AB", "not_a_jwt"),
}


@pytest.mark.parametrize("name", CORPUS)
def test_a_forged_jwt_is_refused_for_what_it_is(name: str) -> None:
    text, reason = CORPUS[name]

    assert refusal(text).reason == reason


@pytest.mark.parametrize("name", CORPUS)
def test_a_refusal_shows_nothing_of_the_jwt(name: str) -> None:
    text, _ = CORPUS[name]

    shown = repr(refusal(text))
    assert not any(part in shown for part in str(text).split(".") if len(part) > 8)


def test_only_what_other_keys_could_change_is_outdated() -> None:
    outdated = {name for name, (text, _) in CORPUS.items() if refusal(text).outdated}

    assert {"a foreign kid", "a jku", "an x5u"} <= outdated
    assert {name for name in outdated if CORPUS[name][1] != "unknown_key"} == {"an embedded jwk"}, "it names no key"
    assert refusal(signed({"alg": "RS256"}, CLAIMS), read(JWKS[1])).outdated


def test_without_a_kid_exactly_one_key_must_fit() -> None:
    text = signed({"alg": "RS256"})

    assert isinstance(verify(text, KEYS, algorithms=ALGORITHMS), Claims)
    two = read(*JWKS, public(ATTACKER, kid="second"))
    assert refusal(text, two) == Invalid(reason="unknown_key", detail="more than one key could be meant")
    bound = read(*JWKS, public(ATTACKER, kid="second", alg="PS256"))
    assert isinstance(verify(text, bound, algorithms=ALGORITHMS), Claims)


def test_a_kid_that_two_keys_have_means_the_one_that_fits() -> None:
    keys = read(public(RSA, kid="k"), public(EC, kid="k"))
    assert isinstance(verify(signed(RS | {"kid": "k"}), keys, algorithms=ALGORITHMS), Claims)
    same = read(public(RSA, kid="k"), public(ATTACKER, kid="k"))
    assert refusal(signed(RS | {"kid": "k"}), same).reason == "unknown_key"


def test_a_key_is_bound_to_its_own_algorithm() -> None:
    keys = read(public(RSA, kid="rsa", alg="PS256"))
    assert refusal(GOOD, keys).reason == "algorithm"


def test_a_caller_cannot_allow_what_is_never_accepted() -> None:
    text = sign("HS256", DER, {"alg": "HS256", "kid": "rsa"}, CLAIMS)
    assert refusal(text, KEYS, ["HS256", "none"]).reason == "algorithm"
    assert refusal(forged({"alg": "none"}), KEYS, ["HS256", "none"]).reason == "algorithm"


def test_headers_that_name_keys_are_passed_over_where_a_listed_key_signed() -> None:
    text = signed(RS | {"jwk": public(ATTACKER), "jku": "https://evil.test", "x5c": ["MIIB"], "typ": 7})
    claims = verify(text, KEYS, algorithms=ALGORITHMS)
    assert isinstance(claims, Claims)
    assert claims.typ is None


SMALL = {"kty": "RSA", "n": b64(b"\xc1" + b"\1" * 127), "e": "AQAB"}
UNUSABLE: dict[str, Any] = {
    "no object": "key",
    "no type": {"kid": "x"},
    "an unknown type": {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA"},
    "a type that is no text": {"kty": ["RSA"]},
    "1024 bits": SMALL,
    "a modulus that is none": public(RSA, n=7),
    "a modulus without end": public(RSA, n="A" * 5000),
    "no exponent": {name: value for name, value in public(RSA).items() if name != "e"},
    "an even exponent": public(RSA, e="AA"),
    "for encryption": public(RSA, use="enc"),
    "a use that is null": public(RSA, use=None),
    "for signing only": public(RSA, key_ops=["sign"]),
    "operations that are none": public(RSA, key_ops="verify"),
    "an algorithm for encryption": public(RSA, alg="RSA-OAEP"),
    "an algorithm with a shared secret": public(RSA, alg="HS256"),
    "an algorithm that is no text": public(RSA, alg=["RS256"]),
    "a name that is no text": public(RSA, kid=7),
    "an unknown curve": public(EC, crv="secp256k1"),
    "a curve that is no text": public(EC, crv=["P-256"]),
    "a point off its curve": public(EC, x=b64(b"\1" * 32)),
    "a curve for key agreement": {"kty": "OKP", "crv": "X25519", "x": b64(b"\1" * 32)},
    "Ed448": {"kty": "OKP", "crv": "Ed448", "x": b64(b"\1" * 57)},
    "an Ed25519 key that is too short": public(ED, x="AAAA"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_key_that_is_of_no_use_is_passed_over(name: str) -> None:
    assert repr(read(*JWKS, UNUSABLE[name])) == "KeySet(3 keys)"
    assert "none of its keys" in unread({"keys": [UNUSABLE[name]]})


SECRETS: dict[str, Any] = {
    "a shared secret": {"kty": "oct", "k": b64(b"canary")},
    "a shared secret of another type": {"kty": "RSA", "k": b64(b"canary")},
    "an RSA private key": RSA.as_dict(private=True),
    "an EC private key": EC.as_dict(private=True),
    "an Ed25519 private key": ED.as_dict(private=True),
    "a prime": public(RSA, p="AQAB"),
}


@pytest.mark.parametrize("name", SECRETS)
def test_a_document_that_publishes_a_secret_is_refused_whole(name: str) -> None:
    assert unread({"keys": [*JWKS, SECRETS[name]]}) == "it publishes a symmetric or private key"


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"<html>",
        b"[]",
        b"null",
        b"{}",
        b'{"keys":{}}',
        b'{"keys":null}',
        b'{"keys":[]}',
        b'{"keys":[],"keys":[]}',
        b'{"keys":[{"kty":"RSA","kty":"EC"}]}',
        b"\xff",
        b"[" * 100_000,
        b" " * (MAX_DOCUMENT + 1),
    ],
)
def test_a_bad_document_is_no_key_set(document: bytes) -> None:
    unread(document)


def test_a_document_has_a_hundred_keys_at_most() -> None:
    assert read(*[JWKS[1]] * MAX_KEYS)
    assert "at most" in unread({"keys": [JWKS[1]] * (MAX_KEYS + 1)})


def test_without_joserfc_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "joserfc", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'tokenflight\[jwt\]'"):
        KeySet.read(b"{}")


def test_a_jwt_taken_apart_shows_nothing() -> None:
    assert repr(read_compact(GOOD)) == "Compact(***)"
    assert isinstance(read_compact(GOOD), Compact)


def test_whatever_the_library_below_raises_is_no_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any) -> bool:
        raise RuntimeError(SIGNATURE)

    monkeypatch.setattr(JWSRegistry.algorithms["RS256"], "verify", broken)
    assert refusal(GOOD).reason == "signature"
