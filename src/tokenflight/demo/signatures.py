"""Signatures: key pairs made for one run, and what the authorization server checks of a JWT (RFC 7519)."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from typing import Any, Final

from attrs import field, frozen
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat, PublicFormat
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from tokenflight.demo.books import Books

ALGORITHM: Final = "RS256"
_BITS: Final = 2048


class Untrue(Exception):  # noqa: N818  # it is a finding, not a fault
    """A JWT that is not believed; the text says which part of it."""


@frozen(eq=False)
class KeyPair:
    """A key as an app has it, encrypted, and as the authorization server knows it."""

    id: str
    pem: str = field(repr=False)
    passphrase: str = field(repr=False)
    public: RSAKey = field(repr=False)

    @classmethod
    def made(cls) -> KeyPair:
        """Make one."""
        private, passphrase = rsa.generate_private_key(65537, _BITS), secrets.token_urlsafe(16)
        encryption = BestAvailableEncryption(passphrase.encode())
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption).decode()
        public = RSAKey.import_key(private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        return cls(secrets.token_hex(4), pem, passphrase, public)


class Verifier:
    """Believes what an app's key signed for one audience, once each."""

    def __init__(self, books: Books, keys: Mapping[str, KeyPair]) -> None:
        self._books = books
        self._keys = keys

    def knows(self, client: str) -> bool:
        """Tell whether a client has a key."""
        return client in self._keys

    def claims(self, text: str, *, client: str, audience: str, longest: float) -> Mapping[str, Any]:
        """Return the claims of a JWT that *client* signed; *longest* is how far ahead its end may lie, in seconds.

        Its `jti` counts from here on, whatever becomes of the request. Raises Untrue.
        """
        claims, now = self._signed(text, self._keys[client]), time.time()
        if claims.get("iss") != client or claims.get("aud") != audience:
            raise Untrue("Please check the 'iss' and 'aud' claims.")
        jti, known = claims.get("jti"), self._books.jtis.setdefault(client, [])
        if not isinstance(jti, str) or not 16 <= len(jti) <= 64 or jti in known:
            raise Untrue("Please check the 'jti' claim. A unique 'jti' value is required.")
        known.append(jti)
        if not isinstance(end := claims.get("exp"), int) or not now < end <= now + longest:
            raise Untrue("Please check the 'exp' claim.")
        if any(claims.get(name, now) > now for name in ("iat", "nbf")):
            raise Untrue("Please check the 'iat' and 'nbf' claims.")
        return claims

    def _signed(self, text: str, key: KeyPair) -> Mapping[str, Any]:
        try:
            read = jwt.decode(text, key.public, [ALGORITHM])
        except (JoseError, ValueError):
            raise Untrue("The JWT could not be verified.") from None
        if read.header.get("kid") != key.id:
            raise Untrue('"kid" invalid, unable to lookup correct key')
        return read.claims


def console_config(client_id: str, client_secret: str, key: KeyPair, *, enterprise: str) -> str:
    """Return the JSON that Box's developer console hands out for an app with a key."""
    authentication = {"publicKeyID": key.id, "privateKey": key.pem, "passphrase": key.passphrase}
    app = {"clientID": client_id, "clientSecret": client_secret, "appAuth": authentication}
    return json.dumps({"boxAppSettings": app, "enterpriseID": enterprise})
