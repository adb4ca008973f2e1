"""Client certificates: two files in PEM as a context for TLS, read and checked outside of the event loop."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import secrets
import ssl
import stat
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Final

from attrs import field, frozen

from tokenflight.model.failure import Failure
from tokenflight.model.secret import Secret
from tokenflight.transport.endpoint import trusting_context

logger = logging.getLogger(__name__)

_SALT: Final = secrets.token_bytes(16)
_LOOKS: Final = 3
_CERTIFICATE: Final = re.compile(rb"-----BEGIN [A-Z0-9 ]*CERTIFICATE-----")
_KEY: Final = re.compile(rb"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----")
_ENCRYPTED: Final = re.compile(rb"-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED", re.MULTILINE)


@frozen(kw_only=True)
class KeyPair:
    """Where a certificate and its key lie; without `key` both are in one file."""

    certificate: Path
    key: Path | None = None
    password: Secret | None = None

    @property
    def name(self) -> tuple[Path, Path | None, bytes]:
        """Return what tells it from others, without the password itself."""
        text = "" if self.password is None else self.password.reveal()
        return self.certificate, self.key, _digest(text.encode("utf-8", "surrogatepass"))


@frozen(kw_only=True)
class Identity:
    """A certificate with its key, ready to be presented; `fingerprint` stands for what was in the files."""

    context: ssl.SSLContext = field(repr=False)
    fingerprint: bytes


def read_identity(pair: KeyPair, known: Identity | None = None) -> Identity | Failure:
    """Return what the files hold, *known* itself where they hold that still; a Failure where they are of no use.

    Blocks: for a worker thread. Never raises, and a failure says nothing of what was read. OpenSSL reads the files once
    more by itself, so what it read counts only where they were the same before and after.
    """
    for _ in range(_LOOKS):
        before = _contents(pair)
        if isinstance(before, Failure):
            return before
        fingerprint = _digest(*before)
        if known is not None and known.fingerprint == fingerprint:
            return known
        loaded = _loaded(pair, *before)
        if _contents(pair) == before:
            return loaded if isinstance(loaded, Failure) else Identity(context=loaded, fingerprint=fingerprint)
    return _failure(f"the file {pair.certificate.name!r} or that of its key did not stay the same while it was read")


def _contents(pair: KeyPair) -> tuple[bytes, bytes] | Failure:
    certificate = _content(pair.certificate, "a certificate")
    key = certificate if pair.key is None else _content(pair.key, "a private key")
    if isinstance(certificate, Failure):
        return certificate
    return key if isinstance(key, Failure) else (certificate, key)


def _content(path: Path, what: str) -> bytes | Failure:
    try:
        return path.read_bytes()
    except Exception as error:
        return _failure(f"the file {path.name!r} that holds {what} raised {type(error).__name__}")


def _loaded(pair: KeyPair, certificate: bytes, key: bytes) -> ssl.SSLContext | Failure:
    lack = _lack(pair, certificate, key)
    if lack is not None:
        return _failure(lack)
    place = pair.key or pair.certificate
    _warn_of_readers(place)
    context = trusting_context()
    try:
        # Without a password OpenSSL would ask for one on the terminal.
        password = "" if pair.password is None else pair.password.reveal()
        context.load_cert_chain(pair.certificate, pair.key, lambda: password)
    except Exception as error:
        mismatch = isinstance(error, ssl.SSLError) and "MISMATCH" in (error.reason or "")
    else:
        return context
    # Outside of the except block, so that nothing holds the password that the error may hold.
    if mismatch:
        return _failure(f"the private key in {place.name!r} does not fit the certificate in {pair.certificate.name!r}")
    if _ENCRYPTED.search(key):
        return _failure(f"the private key in {place.name!r} was not decrypted: its password is another")
    return _failure(f"the certificate in {pair.certificate.name!r} or its private key is damaged")


def _lack(pair: KeyPair, certificate: bytes, key: bytes) -> str | None:
    """Say what is missing before OpenSSL is asked, whose words for it are poor."""
    place = pair.key or pair.certificate
    if not _CERTIFICATE.search(certificate):
        return f"the file {pair.certificate.name!r} holds no certificate in PEM"
    if not _KEY.search(key):
        return f"the file {place.name!r} holds no private key in PEM"
    if pair.password is None and _ENCRYPTED.search(key):
        return f"the private key in {place.name!r} is encrypted and there is no password for it"
    return None


@lru_cache(1024)
def _warn_of_readers(place: Path) -> None:
    """Warn once of a key that other users of the machine can read, or anybody but its owner can replace."""
    with suppress(OSError):
        if os.name == "posix" and place.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH | stat.S_IWGRP):
            logger.warning("the private key in %r can be read or replaced by others: chmod it to 0600", place.name)


def _digest(*parts: bytes) -> bytes:
    digest = hashlib.blake2b(digest_size=16, key=_SALT)
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()


def _failure(detail: str) -> Failure:
    return Failure(reason="credential", detail=detail)
