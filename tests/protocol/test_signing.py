from __future__ import annotations

import base64
import hashlib
import hmac
import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field, frozen
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from tests.kit.attempts import attempt, finished
from tests.kit.keys import jwk, pem, private_key

from tokenflight.errors import ConfigurationError
from tokenflight.model.failure import CredentialError
from tokenflight.model.secret import Secret
from tokenflight.protocol import signing
from tokenflight.protocol.signing import (
    SharedSecret,
    Signer,
    as_algorithm,
    as_jwk_text,
    as_key,
    as_mac_algorithm,
    require_extra,
    signer_of,
)

SECRET = "CNRY-secret-0123456789-0123456789"


@frozen
class Vault:
    """A signer of a user's own, which signs as *act* does."""

    act: Any = field(default=lambda data: b"signed " + data, eq=False)
    algorithm: str = "ES256"
    key_id: str | None = "v1"

    async def sign(self, data: bytes) -> bytes:
        return self.act(data)  # type: ignore[no-any-return]


def signer(key: Any, passphrase: Any = None, algorithm: str | None = None, **more: Any) -> Signer:
    kept = key if isinstance(key, SharedSecret) else as_key(key)
    return finished(signer_of(kept, attempt(**more), passphrase=passphrase, algorithm=algorithm))


def failing(call: Any) -> Any:
    with pytest.raises((ConfigurationError, CredentialError)) as caught:
        finished(call)
    assert "CNRY" not in str(caught.value)
    assert caught.value.__context__ is None
    return caught.value


def test_a_key_signs_what_its_public_half_verifies() -> None:
    made = signer(pem("RSA"))

    signature = finished(made.sign(b"data"))

    assert (made.algorithm, made.key_id) == ("RS256", None)
    private_key("RSA").public_key().verify(signature, b"data", padding.PKCS1v15(), hashes.SHA256())


@pytest.mark.parametrize("kind", ["P-256", "P-384", "P-521"])
def test_an_ecdsa_signature_is_r_and_s_at_full_length(kind: str) -> None:
    signature = finished(signer(pem(kind)).sign(b"data"))

    assert len(signature) == 2 * -(-private_key(kind).key_size // 8)


def test_a_key_comes_from_text_mapping_file_or_callable(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_text(pem())

    async def read() -> str:
        return pem()

    for key in (pem(), Secret(pem()), jwk(), json.dumps(jwk()), path, pem, read):
        assert signer(key).algorithm == "ES256"


def test_parsing_and_signing_are_done_by_the_attempts_worker() -> None:
    done: list[object] = []

    async def work(do: Any) -> Any:
        done.append(do)
        return do()

    made = signer(pem("P-256", "worker"), Secret("worker"), work=work)
    finished(made.sign(b"data"))
    again = signer(pem("P-256", "worker"), Secret("worker"), work=work)

    assert len(done) == 2, "once parsed, once signed"
    assert again == made or again.algorithm == made.algorithm


def test_the_passphrase_is_read_as_the_key_is() -> None:
    assert signer(pem("RSA", "phrase"), lambda: "phrase", "PS512").algorithm == "PS512"


def test_a_text_that_is_no_private_key_is_refused_when_it_is_given() -> None:
    with pytest.raises(ConfigurationError, match="neither"):
        as_key("CNRY-no-key")
    with pytest.raises(ConfigurationError, match="a public one"):
        as_key(jwk(private=False))


@pytest.mark.parametrize("bad", [7, None, b"bytes", SharedSecret(Secret(SECRET), "HS256")])
def test_what_is_no_key_at_all_is_refused(bad: Any) -> None:
    with pytest.raises(ConfigurationError, match="pass one of these"):
        as_key(bad)


def test_a_class_is_no_key() -> None:
    with pytest.raises(ConfigurationError, match="not the class Vault"):
        as_key(Vault)  # type: ignore[arg-type]


def test_a_jwk_is_kept_as_a_secret_text() -> None:
    assert as_key(jwk()) == as_key(dict(reversed(jwk().items())))
    assert isinstance(as_key(jwk()), Secret)
    with pytest.raises(ConfigurationError, match="has a form in JSON") as caught:
        as_jwk_text({"kty": object()})
    assert caught.value.__context__ is None


def test_a_bad_key_that_is_fixed_is_a_configuration_error() -> None:
    wrong = failing(signer_of(as_key(pem("P-256", "right")), attempt(), passphrase=Secret("wrong"), algorithm=None))

    assert isinstance(wrong, ConfigurationError)
    assert "check passphrase" in str(wrong)


@pytest.mark.parametrize(
    ("key", "passphrase"),
    [(lambda: "CNRY-not-a-key", None), (pem, Secret("CNRY-too-many")), (partial(pem, "P-256", "x"), lambda: "CNRY-no")],
    ids=["no key", "no passphrase wanted", "the passphrase may change"],
)
def test_a_bad_key_that_may_change_is_a_transient_failure(key: Any, passphrase: Any) -> None:
    error = failing(signer_of(key, attempt(), passphrase=passphrase, algorithm=None))

    assert isinstance(error, CredentialError)
    assert (error.failure.reason, error.failure.transient) == ("credential", True)
    assert "private key" in error.failure.detail
    assert "CNRY" not in repr(error.failure)


def test_a_signer_of_the_users_own_is_asked() -> None:
    made = signer(Vault())

    assert (made.algorithm, made.key_id) == ("ES256", "v1")
    assert finished(made.sign(b"data")) == b"signed data"
    assert isinstance(Vault(), Signer)


def test_a_signer_that_raises_is_a_transient_failure_that_tells_the_type_alone() -> None:
    def act(data: bytes) -> bytes:
        raise LookupError("CNRY-kms")

    error = failing(signer(Vault(act)).sign(b"CNRY-data"))

    assert error.failure.detail == "the signer Vault raised LookupError"
    assert (error.failure.reason, error.failure.transient, error.failure.counts) == ("credential", True, False)


def test_a_signer_may_say_that_no_attempt_will_do() -> None:
    def act(data: bytes) -> bytes:
        raise ConfigurationError("there is no such key: name another")

    assert isinstance(failing(signer(Vault(act)).sign(b"data")), ConfigurationError)


@pytest.mark.parametrize("signature", ["text", None, b""])
def test_a_signer_that_gives_no_signature_is_refused(signature: Any) -> None:
    error = failing(signer(Vault(lambda data: signature)).sign(b"data"))

    assert "let sign() return non-empty bytes" in str(error)


@pytest.mark.parametrize("algorithm", ["none", "HS256", "es256", None])
def test_a_signer_that_says_another_algorithm_is_refused(algorithm: Any) -> None:
    with pytest.raises(ConfigurationError, match="let Vault say one of these"):
        as_key(Vault(algorithm=algorithm))


def test_a_signer_that_cannot_be_part_of_a_client_is_refused() -> None:
    @define
    class Unhashable:
        algorithm = "ES256"
        key_id = None

        async def sign(self, data: bytes) -> bytes:
            return data

    with pytest.raises(ConfigurationError, match="let Unhashable be so"):
        as_key(Unhashable())


def test_a_shared_secret_signs_by_hmac() -> None:
    made = signer(SharedSecret(Secret(SECRET), "HS256"))

    assert finished(made.sign(b"data")) == hmac.new(SECRET.encode(), b"data", hashlib.sha256).digest()
    assert (made.algorithm, made.key_id) == ("HS256", None)


def test_an_oct_jwk_is_a_shared_secret_by_its_octets() -> None:
    octets = bytes(range(200, 232))
    text = json.dumps({"kty": "oct", "k": base64.urlsafe_b64encode(octets).decode().rstrip("=")})

    made = signer(SharedSecret(Secret(text), "HS256"))

    assert finished(made.sign(b"d")) == hmac.new(octets, b"d", hashlib.sha256).digest()


@pytest.mark.parametrize(
    "text", ['{"kty": "oct"', '{"kty": "oct", "k": 7}', '{"kty": "oct", "k": "ä"}', '{"kty": "RSA"}']
)
def test_a_secret_that_only_begins_as_a_jwk_is_itself(text: str) -> None:
    text = text.ljust(64)

    made = signer(SharedSecret(Secret(text), "HS256"))

    assert finished(made.sign(b"d")) == hmac.new(text.encode(), b"d", hashlib.sha256).digest()


@pytest.mark.parametrize(("algorithm", "length"), [("HS256", 31), ("HS384", 47), ("HS512", 63)])
def test_a_shared_secret_shorter_than_the_hash_is_refused(algorithm: str, length: int) -> None:
    call = signer_of(SharedSecret(Secret("x" * length), algorithm), attempt(), passphrase=None, algorithm=None)

    assert f"of {length} octets is too short for {algorithm}" in str(failing(call))


def test_a_key_in_place_of_a_shared_secret_is_refused() -> None:
    call = signer_of(SharedSecret(Secret(pem()), "HS256"), attempt(), passphrase=None, algorithm=None)

    assert "use PrivateKeyJWT" in str(failing(call))


def test_algorithms_are_those_that_are_known() -> None:
    assert (as_algorithm(None), as_algorithm("PS256"), as_mac_algorithm("HS512")) == (None, "PS256", "HS512")
    for bad in ("none", "HS256", "RS1", ""):
        with pytest.raises(ConfigurationError, match="pass one of these, or leave it out"):
            as_algorithm(bad)
    with pytest.raises(ConfigurationError, match="pass one of these"):
        as_mac_algorithm("RS256")


def test_without_the_extra_a_key_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing, "_installed", lambda: False)

    with pytest.raises(ConfigurationError, match=r"a private key needs .*: install tokenflight\[jwt\]"):
        as_key(pem())
    assert isinstance(as_key(Vault()), Vault), "who signs elsewhere needs no library"
    with pytest.raises(ConfigurationError, match=r"install tokenflight\[jwt\]"):
        require_extra("this")


def test_no_signer_shows_what_it_signs_with() -> None:
    for key in (pem(), SharedSecret(Secret(SECRET), "HS256"), Vault()):
        shown = repr(signer(key))
        assert "CNRY" not in shown
        assert "PRIVATE" not in shown


def test_neither_is_loaded_before_a_key_is_used() -> None:
    code = "import sys, tokenflight; print({'joserfc', 'cryptography'} & set(sys.modules))"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"
