"""Signing: with a private key, with a client secret, or by asking who holds the key (RFC 7515)."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from collections.abc import Mapping
from functools import cache, partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, runtime_checkable

from attrs import field, frozen

from tokenflight.errors import ConfigurationError
from tokenflight.model.failure import CredentialError, Failure
from tokenflight.model.secret import Secret, SecretSource, secret_source
from tokenflight.protocol.private_keys import PUBLIC_KEY_ALGORITHMS, PrivateKey, material, parsed_key

if TYPE_CHECKING:
    from tokenflight.protocol.client_authentication import Attempt, Source

MAC_ALGORITHMS: Final[Mapping[str, int]] = {"HS256": 32, "HS384": 48, "HS512": 64}
"""What a client secret may sign with, and how many octets it needs for it (RFC 7518, section 3.2)."""


@runtime_checkable
class Signer(Protocol):
    """Signs with a private key that nobody sees: in a KMS, an HSM, an agent. It is hashable and shows no secret.

    `isinstance` looks at the names alone.
    """

    @property
    def algorithm(self) -> str:
        """Return the `alg` of what it signs, such as `ES256`: one for public keys (RFC 7518, section 3.1)."""
        ...

    @property
    def key_id(self) -> str | None:
        """Return the `kid` by which the server finds the public key; None leaves it out."""
        ...

    async def sign(self, data: bytes) -> bytes:
        """Return the signature of *data* in the form of RFC 7518: an ECDSA one as R and S, not as DER.

        Called once per attempt, within its time limit. A ConfigurationError ends the request for good; whatever else it
        raises is a transient failure, of which the type's name is told and nothing more.
        """
        ...


KeySource: TypeAlias = SecretSource | Mapping[str, Any] | Signer
"""A private key: the text of a PEM or JWK, a JWK as a mapping, where to read such a text, or who signs with it."""


@frozen
class SharedSecret:
    """A client secret that signs by HMAC."""

    source: Source = field(repr=False)
    algorithm: str


KeptKey: TypeAlias = "Source | Signer | SharedSecret"


def as_key(value: KeySource) -> Source | Signer:
    """Take what a user passed as a key; one that is given by its text is looked at as far as that takes no time.

    Raises ConfigurationError, without showing it, for what is no private key, and where the extra `jwt` is missing.
    """
    if isinstance(value, type):
        raise ConfigurationError(f"a key is a value and not the class {value.__name__}: pass one that is made")
    if isinstance(value, Signer):
        return _checked_signer(value)
    require_extra("a private key")
    kept = Secret(as_jwk_text(value)) if isinstance(value, Mapping) else secret_source(value)
    if isinstance(kept, Secret):
        material(kept.reveal())
    return kept


def require_extra(what: str) -> None:
    """Raise ConfigurationError where what signs and verifies is not installed."""
    if not _installed():
        raise ConfigurationError(f"{what} needs a library for signatures: install tokenflight[jwt]")


@cache
def _installed() -> bool:
    return find_spec("joserfc") is not None


async def signer_of(key: KeptKey, attempt: Attempt, *, passphrase: Source | None, algorithm: str | None) -> Signer:
    """Return what signs in one attempt with *key*, by *algorithm* or by the key's own.

    Raises ConfigurationError for a key that will never do, CredentialError, transient, for one from a file or callable,
    which may give another next time.
    """
    if isinstance(key, Signer):
        return _Elsewhere(_checked_signer(key))
    if isinstance(key, SharedSecret):
        return _mac(key, await attempt.read(key.source))
    text, phrase = await attempt.read(key), None if passphrase is None else await attempt.read(passphrase)
    known = parsed_key(text, phrase, algorithm)
    try:
        opened = known.key or await attempt.work(partial(known.open, text, phrase, algorithm))
    except ConfigurationError as problem:
        if isinstance(key, Secret) and (passphrase is None or isinstance(passphrase, Secret)):
            raise
        why = str(problem)
    else:
        return _Local(opened, attempt)
    raise CredentialError(Failure(reason="credential", detail=why))


@frozen
class _Local:
    """Signs with a parsed key, in a worker thread: RSA takes a millisecond and more."""

    key: PrivateKey
    attempt: Attempt = field(repr=False)

    @property
    def algorithm(self) -> str:
        return self.key.algorithm

    @property
    def key_id(self) -> str | None:
        return self.key.key_id

    async def sign(self, data: bytes) -> bytes:
        signature: bytes = await self.attempt.work(partial(self.key.sign, data))
        return signature


@frozen
class _Elsewhere:
    """Asks a user's Signer, and tells nothing of how it fails."""

    signer: Signer

    @property
    def algorithm(self) -> str:
        return self.signer.algorithm

    @property
    def key_id(self) -> str | None:
        return self.signer.key_id

    async def sign(self, data: bytes) -> bytes:
        who = type(self.signer).__name__
        try:
            signature: object = await self.signer.sign(data)
        except ConfigurationError:
            raise
        except Exception as error:
            why = f"the signer {who} raised {type(error).__name__}"
        else:
            if isinstance(signature, bytes) and signature:
                return signature
            raise ConfigurationError(f"the signer {who} gave no signature: let sign() return non-empty bytes")
        raise CredentialError(Failure(reason="credential", detail=why))


@frozen
class _Mac:
    """Signs by HMAC with a client secret."""

    algorithm: str
    octets: bytes = field(repr=False)
    key_id: str | None = None

    async def sign(self, data: bytes) -> bytes:
        return hmac.new(self.octets, data, f"sha{self.algorithm[2:]}").digest()


def as_mac_algorithm(value: str) -> str:
    """Take an algorithm for a client secret. Raises ConfigurationError for any other."""
    if value not in MAC_ALGORITHMS:
        raise ConfigurationError(f"a client secret signs with one of {', '.join(MAC_ALGORITHMS)}: pass one of these")
    return value


def as_algorithm(value: str | None) -> str | None:
    """Take an algorithm for a private key, or None. Raises ConfigurationError for any other, `none` included."""
    if value is not None and value not in PUBLIC_KEY_ALGORITHMS:
        known = ", ".join(sorted(PUBLIC_KEY_ALGORITHMS))
        raise ConfigurationError(f"a private key signs with one of {known}: pass one of these, or leave it out")
    return value


def _mac(key: SharedSecret, secret: Secret) -> _Mac:
    """Return what signs with a client secret: its octets in UTF-8 (OpenID Connect Core, section 10.1), or a JWK's."""
    text, needed = secret.reveal(), MAC_ALGORITHMS[key.algorithm]
    octets = _symmetric(text) if text.lstrip().startswith("{") else text.encode("utf-8", "surrogatepass")
    if "-----BEGIN " in text or text.startswith(("ssh-", "ecdsa-")):
        raise ConfigurationError("a client secret is a key for public-key signatures: use PrivateKeyJWT for it")
    if len(octets) < needed:
        raise ConfigurationError(
            f"a client secret of {len(octets)} octets is too short for {key.algorithm}, which needs {needed} "
            "(RFC 7518, section 3.2): have a longer one made, or use ClientSecretBasic"
        )
    return _Mac(key.algorithm, octets)


def _symmetric(text: str) -> bytes:
    """Return the octets of a symmetric JWK; of a text that is none, the text itself."""
    try:
        jwk = json.loads(text)
        if isinstance(jwk, dict) and jwk.get("kty") == "oct":
            return base64.b64decode(jwk["k"] + "=" * (-len(jwk["k"]) % 4), altchars=b"-_", validate=True)
    except (ValueError, LookupError, TypeError, binascii.Error):
        pass
    return text.encode("utf-8", "surrogatepass")


def _checked_signer(signer: Signer) -> Signer:
    if signer.algorithm not in PUBLIC_KEY_ALGORITHMS:
        known = ", ".join(sorted(PUBLIC_KEY_ALGORITHMS))
        raise ConfigurationError(
            f"a signer's algorithm is one of {known}: let {type(signer).__name__} say one of these"
        )
    try:
        hash(signer)
    except TypeError:
        pass
    else:
        return signer
    raise ConfigurationError(f"a signer is hashable, as part of a client: let {type(signer).__name__} be so")


def as_jwk_text(jwk: Mapping[str, Any]) -> str:
    """Return a JWK as text. Raises ConfigurationError, without showing it, for what has no form in JSON."""
    try:
        return json.dumps(dict(jwk), sort_keys=True)
    except (TypeError, ValueError):
        pass
    raise ConfigurationError("a JWK is a mapping that has a form in JSON: pass it as its server or tool made it")
