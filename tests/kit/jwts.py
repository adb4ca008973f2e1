"""JWTs as a test wants them: signed well by a server's keys, or put together in ways that no library would."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from attrs import define, field
from joserfc.jwk import generate_key
from joserfc.jws import JWSRegistry

KINDS: dict[str, tuple[str, Any]] = {
    **{f"{family}{size}": ("RSA", 2048) for family in ("RS", "PS") for size in (256, 384, 512)},
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
}


@cache
def key(kind: tuple[str, Any], which: int = 0) -> Any:
    """Return a private key, one for each *which*: making one takes long."""
    return generate_key(*kind)


def key_for(algorithm: str, which: int = 0) -> Any:
    return key(KINDS[algorithm], which)


def public(private: Any, **members: Any) -> dict[str, Any]:
    """Return a key as it is published."""
    return {**private.as_dict(private=False), **members}


def b64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode("ascii")


def packed(value: Any) -> str:
    """Return a part of a JWT: an object, or JSON as it stands."""
    return b64(value if isinstance(value, bytes) else json.dumps(value).encode())


def sign(algorithm: str, private: Any, header: Any, claims: Any) -> str:
    """Sign whatever *header* and *claims* are, with *algorithm*, whatever the header says; a shared secret is bytes."""
    text = f"{packed(header)}.{packed(claims)}"
    if algorithm.startswith("HS"):  # a library would refuse the secrets that a forger takes
        return f"{text}.{b64(hmac.digest(private, text.encode(), f'sha{algorithm[2:]}'))}"
    return f"{text}.{b64(JWSRegistry.algorithms[algorithm].sign(text.encode(), private))}"


@define(eq=False)
class Server:
    """A server's keys under their names: those it publishes, and how it signs."""

    keys: dict[str, tuple[str, Any]] = field(factory=dict)

    def add(self, kid: str, algorithm: str = "ES256", which: int = 0) -> None:
        self.keys[kid] = (algorithm, key_for(algorithm, which))

    def document(self) -> dict[str, Any]:
        return {
            "keys": [public(private, kid=kid, use="sig", alg=alg) for kid, (alg, private) in self.keys.items()],
        }

    def jwt(self, kid: str, claims: Mapping[str, Any], **header: Any) -> str:
        algorithm, private = self.keys[kid]
        return sign(algorithm, private, {"alg": algorithm, "kid": kid, "typ": "JWT", **header}, dict(claims))
