"""Keys and certificates, good and bad, made anew for each test session, and JWTs signed with them."""

from __future__ import annotations

import base64
import hashlib
import ssl
import time
import uuid
import warnings
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import trustme
from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID
from joserfc import jwk, jwt
from joserfc.errors import SecurityWarning

SAN = "tls-client.test"
_ORGANIZATION = {"organization_name": "tokenflight", "organization_unit_name": "tests"}
_MAKERS: Mapping[str, Callable[[], Any]] = {
    "ES256": partial(ec.generate_private_key, ec.SECP256R1()),
    "RS256": partial(rsa.generate_private_key, 65537, 2048),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}
_TYPES: Mapping[str, Any] = {"ES256": jwk.ECKey, "RS256": jwk.RSAKey, "PS256": jwk.RSAKey, "EdDSA": jwk.OKPKey}


@frozen
class Certificate:
    """A certificate and its key in PEM files, and both in one file."""

    certificate: Path
    key: Path
    both: Path

    @property
    def der(self) -> bytes:
        return x509.load_pem_x509_certificate(self.certificate.read_bytes()).public_bytes(serialization.Encoding.DER)

    @property
    def subject(self) -> str:
        """The subject as RFC 4514 writes it."""
        return x509.load_pem_x509_certificate(self.certificate.read_bytes()).subject.rfc4514_string()

    @property
    def fingerprint(self) -> str:
        """SHA-256 in hex with colons, as the journal of a server has it."""
        return ":".join(f"{byte:02X}" for byte in hashlib.sha256(self.der).digest())

    @property
    def thumbprint(self) -> str:
        """What a token that is bound to it says in `x5t#S256` (RFC 8705, section 3.1)."""
        return base64.urlsafe_b64encode(hashlib.sha256(self.der).digest()).rstrip(b"=").decode()


@frozen
class Certificates:
    """A CA, and certificates that a server takes or not.

    `client` and `rotated` have the same names and different keys; `expired` is theirs too, and `rogue` comes from
    another CA. `self_signed` and `self_signed_next` are registered as they are.
    """

    ca: Path
    server: Certificate
    client: Certificate
    rotated: Certificate
    expired: Certificate
    rogue: Certificate
    self_signed: Certificate
    self_signed_next: Certificate

    def trusting(self, certificate: Certificate | None = None) -> ssl.SSLContext:
        """Return a context that trusts the server and shows *certificate*."""
        context = ssl.create_default_context(cafile=self.ca)
        if certificate is not None:
            context.load_cert_chain(certificate.certificate, certificate.key)
        return context


def make_certificates(folder: Path) -> Certificates:
    ca, other = (trustme.CA(**_ORGANIZATION) for _ in range(2))
    ca.cert_pem.write_to_path(folder / "ca.pem")
    yesterday = datetime.now(UTC) - timedelta(days=1)

    def client(name: str, issuer: trustme.CA = ca, **validity: Any) -> Certificate:
        return _written(folder, name, issuer.issue_cert(SAN, common_name="tls-client", **_ORGANIZATION, **validity))

    return Certificates(
        ca=folder / "ca.pem",
        server=_written(folder, "server", ca.issue_cert("127.0.0.1", "localhost")),
        client=client("client"),
        rotated=client("rotated"),
        expired=client("expired", not_before=yesterday - timedelta(days=1), not_after=yesterday),
        rogue=client("rogue", other),
        self_signed=_self_signed(folder, "self-signed"),
        self_signed_next=_self_signed(folder, "self-signed-next"),
    )


def _written(folder: Path, name: str, leaf: trustme.LeafCert) -> Certificate:
    made = Certificate(folder / f"{name}.crt", folder / f"{name}.key", folder / f"{name}.pem")
    leaf.cert_chain_pems[0].write_to_path(made.certificate)
    leaf.private_key_pem.write_to_path(made.key)
    leaf.private_key_and_cert_chain_pem.write_to_path(made.both)
    return made


def _self_signed(folder: Path, name: str) -> Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    made = Certificate(folder / f"{name}.crt", folder / f"{name}.key", folder / f"{name}.pem")
    made.certificate.write_bytes(certificate)
    made.key.write_text(_pem(key), "ascii")
    made.both.write_bytes(made.key.read_bytes() + certificate)
    return made


def make_key(algorithm: str) -> str:
    """Make a private key for ES256, RS256 (PS256 as well) or EdDSA; as PEM, PKCS #8."""
    return _pem(_MAKERS[algorithm]())


def _pem(key: Any) -> str:
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return str(key.private_bytes(*form).decode("ascii"))


def jwk_of(pem: str, algorithm: str, *, private: bool = False, **more: Any) -> dict[str, Any]:
    """Return a key as a JWK; its `kid` is its thumbprint (RFC 7638) unless *more* says another."""
    key = _TYPES[algorithm].import_key(pem)
    return {"kid": key.thumbprint(), **key.as_dict(private=private), **more}


def registered(certificate: Certificate) -> dict[str, Any]:
    """Return the JWK that registers a self-signed certificate (RFC 8705, section 2.2.2)."""
    x5c = [base64.b64encode(certificate.der).decode()]
    return jwk_of(certificate.key.read_text("ascii"), "ES256", x5c=x5c)


def signed(key: str, algorithm: str = "ES256", *, header: Mapping[str, Any] | None = None, **claims: Any) -> str:
    """Sign a JWT of a minute with a PEM key, or for HS256 with a secret; a claim that is None is left out."""
    now = int(time.time())
    every = {"jti": uuid.uuid4().hex, "iat": now, "exp": now + 60} | claims
    signer = jwk.OctKey.import_key(key) if algorithm.startswith("HS") else _TYPES[algorithm].import_key(key)
    kept = {name: value for name, value in every.items() if value is not None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)  # of EdDSA, which servers know and RFC 9864 renames
        return jwt.encode({"alg": algorithm, **(header or {})}, kept, signer, algorithms=[algorithm])


def claims_of(token: str, key: Mapping[str, Any], algorithm: str = "ES256") -> dict[str, Any]:
    """Return the claims of a JWT whose signature a public JWK proves."""
    return dict(jwt.decode(token, _TYPES[algorithm].import_key(dict(key)), algorithms=[algorithm]).claims)
