"""Private keys: reading and parsing them, and what each may sign with (RFC 7517, RFC 7518, RFC 7468).

A key is read on each attempt and parsed once: what was parsed is found again by a keyed digest of its text.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any, Final

from attrs import define, field, frozen

from tokenflight.errors import ConfigurationError
from tokenflight.model.secret import Secret

ALGORITHMS: Final[Mapping[str, tuple[str, ...]]] = {
    "RSA": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    "P-256": ("ES256",),
    "P-384": ("ES384",),
    "P-521": ("ES512",),
    "Ed25519": ("EdDSA", "Ed25519"),
    "Ed448": ("EdDSA", "Ed448"),
}
"""What a kind of key may sign with (RFC 7518, section 3.1, RFC 8037, RFC 9864); the first is the default."""

PUBLIC_KEY_ALGORITHMS: Final = frozenset(name for names in ALGORITHMS.values() for name in names)
MIN_RSA_BITS: Final = 2048
MAX_PARSED: Final = 256

_PEM: Final = re.compile(r"-----BEGIN (?P<label>[A-Z0-9 ]+)-----(?P<body>.+?)-----END (?P=label)-----", re.DOTALL)
_CURVES: Final = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
_JWK_TYPES: Final = frozenset({"RSA", "EC", "OKP"})
_SALT: Final = secrets.token_bytes(16)


@frozen
class PrivateKey:
    """A parsed private key, bound to one algorithm; the repr shows nothing of the key."""

    algorithm: str
    key_id: str | None
    sign: Callable[[bytes], bytes] = field(repr=False)


@define(eq=False)
class Parsed:
    """The place of one key among the parsed ones; `opening` keeps threads from parsing it twice at once."""

    key: PrivateKey | None = None
    opening: Lock = field(factory=Lock, repr=False)

    def open(self, text: Secret, passphrase: Secret | None, algorithm: str | None) -> PrivateKey:
        """Parse the key unless that was done meanwhile: with a passphrase it may take a second, so not in the loop."""
        with self.opening:
            if self.key is None:
                self.key = opened(text.reveal(), None if passphrase is None else passphrase.reveal(), algorithm)
            return self.key


@define(eq=False)
class _Cache:
    """The keys that were parsed last. A forked child begins with none: a lock of its parent's may be held for ever."""

    slots: OrderedDict[bytes, Parsed] = field(factory=OrderedDict, repr=False)
    guard: Lock = field(factory=Lock, repr=False)

    def slot(self, digest: bytes) -> Parsed:
        with self.guard:
            parsed = self.slots.setdefault(digest, Parsed())
            self.slots.move_to_end(digest)
            if len(self.slots) > MAX_PARSED:
                self.slots.popitem(last=False)
            return parsed

    def forget(self) -> None:
        self.slots, self.guard = OrderedDict(), Lock()


_CACHE: Final = _Cache()
if hasattr(os, "register_at_fork"):  # pragma: no branch - POSIX
    os.register_at_fork(after_in_child=_CACHE.forget)


def parsed_key(text: Secret, passphrase: Secret | None, algorithm: str | None) -> Parsed:
    """Return the place where a key is, or will be once it was parsed."""
    digest = hashlib.blake2b(digest_size=32, key=_SALT)
    for part in (text.reveal(), None if passphrase is None else passphrase.reveal(), algorithm):
        octets = b"" if part is None else part.encode("utf-8", "surrogatepass")
        digest.update(b"%d:" % (-1 if part is None else len(octets)) + octets)
    return _CACHE.slot(digest.digest())


def material(text: str) -> str | dict[str, Any]:
    """Return the PEM block or the JWK of a private key in *text*, without parsing the key itself.

    A PEM may have certificates beside the key, and backslash-n for line ends, as environment variables do. Raises
    ConfigurationError, which shows nothing of it, for any other text.
    """
    if text.lstrip().startswith("{"):
        return _jwk(text)
    blocks = [(block["label"], block[0]) for block in _PEM.finditer(text.replace("\\n", "\n"))]
    keys = [block for label, block in blocks if label.endswith("PRIVATE KEY")]
    if len(keys) > 1:
        raise ConfigurationError("the text of a private key holds several: leave the one that signs")
    if any(label == "OPENSSH PRIVATE KEY" for label, _ in blocks):
        raise ConfigurationError("a private key is in OpenSSH's own form: convert it with ssh-keygen -p -m PKCS8")
    if keys:
        return keys[0]
    if blocks:
        what = blocks[0][0].lower()
        raise ConfigurationError(f"a private key is wanted and this is a {what}: pass the private key")
    raise ConfigurationError("a private key is a PEM or a JWK, and this text is neither: pass its text, or Path(...)")


def _jwk(text: str) -> dict[str, Any]:
    try:
        jwk = json.loads(text)
    except (ValueError, RecursionError):
        jwk = None
    if not isinstance(jwk, dict):
        raise ConfigurationError("a private key begins as a JWK does but is not JSON: copy it whole")
    if "keys" in jwk:
        raise ConfigurationError("this is a set of keys: pass the one JWK that signs")
    if jwk.get("kty") == "oct":
        raise ConfigurationError("this JWK is a shared secret: pass it to ClientSecretJWT, or pass a private key")
    if jwk.get("kty") not in _JWK_TYPES:
        raise ConfigurationError("a JWK for signing has a kty of RSA, EC or OKP, and this one has not: pass such a one")
    if "d" not in jwk:
        raise ConfigurationError("a private key is wanted and this JWK is a public one: pass the private one")
    operations = jwk.get("key_ops")
    if jwk.get("use", "sig") != "sig" or (isinstance(operations, list) and "sign" not in operations):
        raise ConfigurationError("this JWK is not meant for signing, by its use or key_ops: pass one that is")
    return jwk


def opened(text: str, passphrase: str | None, algorithm: str | None) -> PrivateKey:
    """Parse a private key and bind it to *algorithm*, to the one that its JWK names, or to its kind's default.

    Raises ConfigurationError, which shows nothing of it, for a key that cannot sign so.
    """
    from joserfc.jws import JWSRegistry

    found = material(text)
    jwk = found if isinstance(found, dict) else {}
    native = _from_jwk(jwk, passphrase) if jwk else _from_pem(str(found), passphrase)
    kind, key = _wrapped(native)
    meant = jwk.get("alg")
    if algorithm is not None and meant is not None and algorithm != meant:
        raise ConfigurationError("the algorithm is not the one that the JWK is for: leave out algorithm")
    chosen = algorithm or meant or ALGORITHMS[kind][0]
    if chosen not in ALGORITHMS[kind]:
        raise ConfigurationError(
            f"this key is of kind {kind}, which signs with one of {', '.join(ALGORITHMS[kind])}: "
            "pass one of these as algorithm, or leave it out"
        )
    # Straight from the table: asked for by name, joserfc warns of what RFC 9864 calls deprecated and servers expect.
    model = JWSRegistry.algorithms[chosen]
    kid = jwk.get("kid")
    return PrivateKey(chosen, kid if isinstance(kid, str) and kid else None, lambda data: model.sign(data, key))


def _from_pem(pem: str, passphrase: str | None) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    octets = None if passphrase is None else passphrase.encode("utf-8", "surrogatepass")
    try:
        return load_pem_private_key(pem.encode("utf-8", "surrogatepass"), octets)
    except TypeError:  # its words for one passphrase too few or too many
        why = "is encrypted: pass passphrase" if octets is None else "is not encrypted: leave out passphrase"
    except UnsupportedAlgorithm:
        why = "is of a kind, or encrypted in a way, that is not known: pass one in PKCS#8"
    except ValueError:
        why = "cannot be read: copy it whole" if octets is None else "cannot be decrypted: check passphrase"
    raise ConfigurationError(f"the private key {why}")


def _from_jwk(jwk: dict[str, Any], passphrase: str | None) -> Any:
    from joserfc.jwk import JWKRegistry

    if passphrase is not None:
        raise ConfigurationError("a JWK is not encrypted: leave out passphrase")
    if jwk["kty"] == "RSA" and 0 < (bits := _bits(jwk.get("n", ""))) < MIN_RSA_BITS:
        raise _weak(bits)  # before joserfc warns of it
    try:
        native = JWKRegistry.import_key(jwk).private_key
    except Exception:  # a broken number may bring about anything
        native = None
    if native is not None:
        return native
    raise ConfigurationError("the JWK of a private key cannot be read: copy it whole")


def _bits(number: object) -> int:
    """Return how many bits a number of a JWK has; 0 where it cannot be read (RFC 7518, section 2)."""
    try:
        return int.from_bytes(base64.urlsafe_b64decode(f"{number}==")).bit_length()
    except ValueError:
        return 0


def _wrapped(native: Any) -> tuple[str, Any]:
    """Return the kind of a key and the key as joserfc takes it."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
    from joserfc.jwk import ECKey, OKPKey, RSAKey

    if isinstance(native, rsa.RSAPrivateKey):
        if native.key_size < MIN_RSA_BITS:
            raise _weak(native.key_size)
        return "RSA", RSAKey.import_key(native)
    if isinstance(native, ec.EllipticCurvePrivateKey) and native.curve.name in _CURVES:
        return _CURVES[native.curve.name], ECKey.import_key(native)
    if isinstance(native, ed25519.Ed25519PrivateKey):
        return "Ed25519", OKPKey.import_key(native)
    if isinstance(native, ed448.Ed448PrivateKey):
        return "Ed448", OKPKey.import_key(native)
    raise ConfigurationError("the private key cannot sign: pass one of RSA, P-256, P-384, P-521, Ed25519 or Ed448")


def _weak(bits: int) -> ConfigurationError:
    return ConfigurationError(f"the RSA key has {bits} bits: have one of {MIN_RSA_BITS} or more made")


def certificate_thumbprint(text: str) -> str:
    """Return the `x5t#S256` of the first certificate in *text* (RFC 7515, section 4.1.8).

    Raises ConfigurationError, which shows nothing of it, where there is none.
    """
    for block in _PEM.finditer(text):
        if block["label"] == "CERTIFICATE":
            try:
                octets = base64.b64decode("".join(block["body"].split()), validate=True)
            except ValueError:
                break
            return base64.urlsafe_b64encode(hashlib.sha256(octets).digest()).decode("ascii").rstrip("=")
    raise ConfigurationError("a certificate is wanted as PEM, and this text holds none: pass its text, or Path(...)")
