"""Keys for tests: made once, in the forms in which users bring them, and what reads the JWTs that they signed."""

from __future__ import annotations

import base64
import json
import warnings
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from joserfc import jws
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

CURVES = {"P-256": ec.SECP256R1, "P-384": ec.SECP384R1, "P-521": ec.SECP521R1, "secp256k1": ec.SECP256K1}


@cache
def private_key(kind: str = "P-256") -> Any:
    """Return a private key: `RSA`, `RSA-1024`, a curve, `Ed25519` or `Ed448`; the same one each time."""
    if kind.startswith("RSA"):
        return rsa.generate_private_key(65537, int(kind.partition("-")[2] or 2048))
    if kind == "Ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return ed448.Ed448PrivateKey.generate() if kind == "Ed448" else ec.generate_private_key(CURVES[kind]())


@cache
def pem(kind: str = "P-256", passphrase: str | None = None, form: str = "PKCS8") -> str:
    """Return a private key as PEM: `PKCS8`, or `TraditionalOpenSSL`, which is PKCS#1 for RSA and SEC1 for EC."""
    wrapped: KeySerializationEncryption = NoEncryption()
    if passphrase is not None:
        wrapped = BestAvailableEncryption(passphrase.encode())
    return private_key(kind).private_bytes(Encoding.PEM, getattr(PrivateFormat, form), wrapped).decode()


@cache
def public_pem(kind: str = "P-256") -> str:
    return private_key(kind).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def jwk(kind: str = "P-256", *, private: bool = True, **more: Any) -> dict[str, Any]:
    """Return a key as a JWK."""
    return {**_joserfc(kind).as_dict(private=private), **more}


def read_jwt(text: str, kind: str | bytes = "P-256", algorithm: str = "ES256") -> tuple[dict[str, Any], dict[str, Any]]:
    """Verify a JWT by a key of *kind*, or by a secret, and return its header and claims."""
    key = OctKey.import_key(kind) if isinstance(kind, bytes) else _joserfc(kind)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # EdDSA is deprecated there in favour of Ed25519
        registry = jws.JWSRegistry(algorithms=[algorithm], strict_check_header=False)
        read = jws.deserialize_compact(text, key, registry=registry)
    return dict(read.headers()), json.loads(read.payload)


def peek(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and claims of a JWT without a look at its signature."""
    header, claims, _ = text.split(".")
    return _part(header), _part(claims)


def _part(text: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return read


@cache
def _joserfc(kind: str) -> Any:
    native = private_key(kind)
    return (RSAKey if kind.startswith("RSA") else OKPKey if kind.startswith("Ed") else ECKey).import_key(native)
