"""JWTs as servers check and make them, and keys to do it with."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, TypeAlias

from attrs import field, frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey, import_key

from tokenflight import Secret, Token

AnyToken: TypeAlias = str | Secret | Token


class NoSuchKeyError(Exception):
    """The header names a key that is not known, or none where there are several."""


class BadTokenError(Exception):
    """What came is no JWT, is not signed by its key, or is signed in a way that is not taken."""


@frozen
class Read:
    """A JWT whose signature holds."""

    header: dict[str, Any]
    claims: dict[str, Any] = field(repr=False)


@cache
def key(kid: str, kind: str = "RSA") -> Key:
    """Return a private key for tests, the same for the same name: `RSA`, a curve such as `P-256`, or `Ed25519`."""
    if kind == "RSA":
        return RSAKey.generate_key(2048, {"kid": kid}, private=True)
    if kind.startswith("P-"):
        return ECKey.generate_key(kind, {"kid": kid}, private=True)
    return OKPKey.generate_key(kind, {"kid": kid}, private=True)  # type: ignore[arg-type]


def public(private: Key) -> dict[str, Any]:
    """Return the public JWK of a key."""
    return dict(private.as_dict(private=False))


def certificate(private: Key) -> x509.Certificate:
    """Return a self-signed certificate of an RSA key."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, str(private.kid))])
    begin = datetime(2025, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(1)
    builder = builder.not_valid_before(begin).not_valid_after(begin + timedelta(days=36_500))
    builder = builder.public_key(private.public_key)  # type: ignore[arg-type]
    return builder.sign(private.private_key, hashes.SHA256())  # type: ignore[arg-type]


def certified(private: Key) -> dict[str, Any]:
    """Return the public JWK of an RSA key as servers publish it, with `x5t` and `x5c` (RFC 7517, section 4.7)."""
    der = certificate(private).public_bytes(Encoding.DER)
    thumbprint = base64.urlsafe_b64encode(hashlib.sha1(der).digest()).decode().rstrip("=")
    more = {"use": "sig", "alg": "RS256", "x5t": thumbprint, "x5c": [base64.b64encode(der).decode()]}
    return public(private) | more


def signed(claims: Mapping[str, Any], by: Key, *, algorithm: str = "RS256", **header: Any) -> str:
    """Return a signed JWT. Its header names the key, unless *header* says ``kid=None``."""
    full = {"alg": algorithm, "kid": by.kid, **header}
    return jwt.encode({name: value for name, value in full.items() if value is not None}, dict(claims), by, [algorithm])


def unsigned(claims: Mapping[str, Any]) -> str:
    """Return a JWT of `alg` none: the third part is empty (RFC 7519, section 6)."""
    return f"{_part({'alg': 'none', 'typ': 'JWT'})}.{_part(claims)}."


def verified(
    text: str,
    keys: Collection[Mapping[str, Any]],
    algorithms: Collection[str],
    types: Collection[str] = ("JWT",),
) -> Read:
    """Verify a JWT with public JWKs.

    A header without `kid` is taken where there is one key. Raises NoSuchKeyError and BadTokenError.
    """
    header = _header(text)
    if header.get("alg") not in algorithms or header.get("typ", "JWT") not in types:
        raise BadTokenError(f"alg {header.get('alg')}, typ {header.get('typ')}")
    known = [jwk for jwk in keys if header.get("kid", jwk.get("kid")) == jwk.get("kid")]
    if len(known) != 1:
        raise NoSuchKeyError
    try:
        read = jwt.decode(text, import_key(dict(known[0])), algorithms)
    except (JoseError, ValueError, TypeError) as error:
        raise BadTokenError(str(error)) from None
    return Read(read.header, read.claims)


def opened(text: str) -> Read:
    """Read a JWT of `alg` none; raises BadTokenError for any other."""
    header, claims = _header(text), peeked(text)
    if header.get("alg") != "none" or not text.endswith(".") or text.count(".") != 2 or claims is None:
        raise BadTokenError("this is no unsigned JWT")
    return Read(header, claims)


def text_of(token: AnyToken) -> str:
    """Return what is sent of a token."""
    if isinstance(token, Token):
        token = token.access_token
    return token.reveal() if isinstance(token, Secret) else token


def header_of(text: str) -> dict[str, Any]:
    """Return the header of what looks like a JWT, unverified; an empty one where it does not."""
    try:
        return _header(text)
    except BadTokenError:
        return {}


def peeked(text: str | None) -> dict[str, Any] | None:
    """Return the claims of what looks like a JWT, unverified; None where it does not."""
    parts = (text or "").split(".")
    return _decoded(parts[1]) if len(parts) == 3 else None


def _header(text: str) -> dict[str, Any]:
    header = _decoded(text.partition(".")[0])
    if header is None:
        raise BadTokenError("no header")
    return header


def _decoded(part: str) -> dict[str, Any] | None:
    try:
        read = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except ValueError:
        return None
    return read if isinstance(read, dict) else None


def _part(value: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(dict(value)).encode()).decode().rstrip("=")
