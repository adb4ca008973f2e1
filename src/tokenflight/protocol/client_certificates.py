"""Mutual TLS: a client proves who it is by the certificate of its connection (RFC 8705, section 2)."""

from __future__ import annotations

from pathlib import Path

from attrs import Attribute, field, frozen

from tokenflight.errors import ConfigurationError
from tokenflight.model.secret import SecretSource, secret_source
from tokenflight.protocol.client_authentication import Attempt, RequestParts, Source


def _path(instance: object, attribute: Attribute[Path | None], value: object) -> None:
    if value is not None and not isinstance(value, Path):
        raise ConfigurationError(
            f"{attribute.name} is the Path of a file in PEM, not {type(value).__name__}: pass Path(...)"
        )


def _password(value: SecretSource | None) -> Source | None:
    return None if value is None else secret_source(value)


def _switch(instance: object, attribute: Attribute[bool], value: object) -> None:
    if not isinstance(value, bool):
        raise ConfigurationError(f"{attribute.name} is a bool, not {type(value).__name__}: pass True or False")


@frozen(repr=False)
class MutualTLS:
    """Authenticate by the certificate that the connection presents; the form says the client id alone.

    Args:
        certificate: the file with the certificate and its chain, in PEM. Without one, the provider's own `http` client
            is who presents a certificate.
        key: the file with the private key, in PEM; leave it out where the certificate's file holds it too.
        password: what an encrypted key is decrypted with: a secret, or where to read it.
        self_signed: the server knows the certificate itself (`self_signed_tls_client_auth`, RFC 8705, section 2.2) and
            not a subject of an authority's (`tls_client_auth`, section 2.1). What is sent is the same.

    Files and password are read on each attempt: new ones are presented by the next. Raises ConfigurationError for what
    is no Path, and for a key or password without a certificate.
    """

    certificate: Path | None = field(default=None, validator=_path)
    key: Path | None = field(default=None, validator=_path)
    password: Source | None = field(default=None, converter=_password, kw_only=True)
    self_signed: bool = field(default=False, validator=_switch, kw_only=True)

    def __attrs_post_init__(self) -> None:
        """Check what no field can see alone."""
        if self.certificate is None and (self.key is not None or self.password is not None):
            raise ConfigurationError("MutualTLS has a key or a password and nothing to present: give certificate too")

    @property
    def method(self) -> str:
        """Return the registered name (RFC 8705, section 2)."""
        return "self_signed_tls_client_auth" if self.self_signed else "tls_client_auth"

    async def authenticate(self, attempt: Attempt) -> RequestParts:
        """Return the client id, by which the server finds whose certificate it is to be."""
        return RequestParts(fields={"client_id": attempt.client.client_id})

    def __repr__(self) -> str:
        files = [repr(path.name) for path in (self.certificate, self.key) if path is not None]
        secret = [] if self.password is None else ["password=***"]
        kind = ["self_signed=True"] if self.self_signed else []
        return f"MutualTLS({', '.join([*files, *secret, *kind])})"
