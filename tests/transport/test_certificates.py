"""Reading a certificate and its key: whole or not at all, and never a word of what was in the files."""

from __future__ import annotations

import logging
import os
import ssl
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import PrivateFormat
from tests.kit.canary import canary
from tests.kit.pki import Issued, Pair, authority, self_signed

from tokenflight.model.failure import Failure
from tokenflight.model.secret import Secret
from tokenflight.transport import certificates
from tokenflight.transport.certificates import Identity, KeyPair, read_identity


def key_pair(pair: Pair, password: str | None = None) -> KeyPair:
    return KeyPair(certificate=pair.certificate, key=pair.key, password=None if password is None else Secret(password))


def why(pair: KeyPair) -> str:
    read = read_identity(pair)
    assert isinstance(read, Failure)
    assert (read.reason, read.transient, read.counts) == ("credential", True, False)
    assert "CNRY" not in repr(read)
    return read.detail


def test_what_has_not_changed_is_what_it_was_and_what_has_is_another(tmp_path: Path) -> None:
    issued = self_signed()
    pair = Pair.at(tmp_path, issued)
    first = read_identity(key_pair(pair))
    assert isinstance(first, Identity)
    assert read_identity(key_pair(pair), first) is first
    pair.write(issued)
    assert read_identity(key_pair(pair), first) is first, "new files, the same content"
    pair.write(self_signed())
    second = read_identity(key_pair(pair), first)
    assert isinstance(second, Identity)
    assert second.fingerprint != first.fingerprint
    assert second.context is not first.context
    assert second.context.verify_mode is ssl.CERT_REQUIRED
    assert second.context.check_hostname


def test_a_change_of_the_same_length_in_the_same_moment_is_seen(tmp_path: Path) -> None:
    pair = Pair.at(tmp_path, self_signed())
    first = read_identity(key_pair(pair))
    assert isinstance(first, Identity)
    status = pair.certificate.stat()
    text = pair.certificate.read_bytes()
    pair.certificate.write_bytes(text.replace(b"-----END", b"-----EnD"))
    os.utime(pair.certificate, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert isinstance(read_identity(key_pair(pair), first), Failure)


@pytest.mark.parametrize("kind", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_an_encrypted_key_needs_its_password_and_nobody_is_asked_for_it(
    tmp_path: Path, kind: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    password = canary("password")
    pair = Pair.at(tmp_path, authority().client().encrypted(password, kind))
    assert isinstance(read_identity(key_pair(pair, password)), Identity)
    assert why(key_pair(pair)) == "the private key in 'client.key' is encrypted and there is no password for it"
    for wrong in (canary("wrong"), "\ud800", "x" * 2000):
        told = why(key_pair(pair, wrong))
        assert told == "the private key in 'client.key' was not decrypted: its password is another"
    assert capfd.readouterr() == ("", "")


def test_a_password_that_is_not_needed_does_no_harm(tmp_path: Path) -> None:
    assert isinstance(read_identity(key_pair(Pair.at(tmp_path, self_signed()), "unused")), Identity)


def test_a_key_of_another_certificate_does_not_fit(tmp_path: Path) -> None:
    mixed = Issued(self_signed().certificate, self_signed().key)
    told = why(key_pair(Pair.at(tmp_path, mixed)))
    assert told == "the private key in 'client.key' does not fit the certificate in 'client.pem'"


def test_files_that_hold_something_else_are_named(tmp_path: Path) -> None:
    issued, secret = self_signed(), canary("key").encode()
    begin, end = b"-----BEGIN PRIVATE KEY-----\n", b"\n-----END PRIVATE KEY-----\n"
    for broken, told in (
        (Issued(secret, issued.key), "the file 'client.pem' holds no certificate in PEM"),
        (Issued(issued.certificate, secret), "the file 'client.key' holds no private key in PEM"),
        (
            Issued(issued.certificate, begin + secret + end),
            "the certificate in 'client.pem' or its private key is damaged",
        ),
    ):
        assert why(key_pair(Pair.at(tmp_path, broken))) == told
    alone = KeyPair(certificate=Pair.at(tmp_path, issued).certificate)
    assert why(alone) == "the file 'client.pem' holds no private key in PEM"


def test_files_that_cannot_be_read_are_named_with_the_type_of_the_trouble(tmp_path: Path) -> None:
    pair = Pair.at(tmp_path, self_signed())
    pair.key.unlink()
    assert why(key_pair(pair)) == "the file 'client.key' that holds a private key raised FileNotFoundError"
    pair.certificate.unlink()
    assert why(key_pair(pair)) == "the file 'client.pem' that holds a certificate raised FileNotFoundError"
    pair.certificate.mkdir()
    assert why(key_pair(pair)) == "the file 'client.pem' that holds a certificate raised IsADirectoryError"


def test_files_that_change_while_they_are_read_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair, left, make = Pair.at(tmp_path, self_signed()), [2], certificates.trusting_context

    def changing() -> ssl.SSLContext:
        if left[0]:
            left[0] -= 1
            pair.write(self_signed())
        return make()

    monkeypatch.setattr(certificates, "trusting_context", changing)
    read = read_identity(key_pair(pair))
    assert isinstance(read, Identity)
    assert read_identity(key_pair(pair), read) is read
    left[0] = 100
    pair.write(self_signed())
    assert "did not stay the same while it was read" in why(key_pair(pair))


def test_pairs_are_told_apart_by_files_and_password_and_show_no_password(tmp_path: Path) -> None:
    pair = Pair.at(tmp_path, self_signed())
    names = [
        KeyPair(certificate=pair.certificate).name,
        key_pair(pair).name,
        key_pair(pair, canary("one")).name,
        key_pair(pair, canary("two")).name,
    ]
    assert len(set(names)) == 4
    assert key_pair(pair).name == key_pair(pair).name
    assert "CNRY" not in repr(names) + repr(key_pair(pair, canary("one")))


def test_a_key_that_others_can_read_or_replace_is_warned_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for mode, warned in ((0o600, False), (0o640, False), (0o644, True), (0o620, True)):
        place = tmp_path / oct(mode)
        place.mkdir()
        pair = Pair.at(place, self_signed())
        pair.key.chmod(mode)
        caplog.clear()
        for _ in range(3):
            assert isinstance(read_identity(key_pair(pair)), Identity)
        told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        text = "the private key in 'client.key' can be read or replaced by others: chmod it to 0600"
        assert told == ([text] if warned else [])


def test_a_failure_of_the_look_at_its_mode_is_no_failure(tmp_path: Path) -> None:
    certificates._warn_of_readers(tmp_path / str(time.time_ns()))
