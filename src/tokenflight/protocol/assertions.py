"""Assertions: JWTs that are made anew for each request (RFC 7523, section 3, RFC 7519)."""

from __future__ import annotations

import base64
import json
import math
import secrets
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from attrs import Attribute, field, frozen
from attrs.converters import optional

from tokenflight.errors import ConfigurationError
from tokenflight.model.failure import CredentialError, Failure
from tokenflight.model.policy import as_float
from tokenflight.model.secret import Secret, SecretSource, secret_source
from tokenflight.protocol.client_authentication import a_switch, has_surrogate
from tokenflight.protocol.private_keys import certificate_thumbprint
from tokenflight.protocol.signing import KeptKey, KeySource, SharedSecret, Signer, as_algorithm, as_key, signer_of

if TYPE_CHECKING:
    from tokenflight.protocol.client_authentication import Attempt, Source

MAX_LIFETIME: Final = 3600.0
MAX_BACKDATE: Final = 600.0
_JTI_OCTETS: Final = 16
_CLAIMS_SET_HERE: Final = frozenset({"iss", "sub", "aud", "exp", "iat", "nbf", "jti"})
_HEADERS_SET_HERE: Final = frozenset({"alg", "kid", "crit", "b64"})


class _TokenEndpoint(Enum):
    TOKEN_ENDPOINT = "TOKEN_ENDPOINT"

    def __repr__(self) -> str:
        return "TOKEN_ENDPOINT"


TOKEN_ENDPOINT: Final = _TokenEndpoint.TOKEN_ENDPOINT
"""As an audience: the URL of the client's token endpoint, for servers that want it instead of the issuer."""

AudienceClaim: TypeAlias = str | tuple[str, ...] | _TokenEndpoint
"""An `aud`: one string, several, or the client's token endpoint."""


def _json(items: Mapping[str, Any]) -> str:
    try:
        return json.dumps(items, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        pass
    raise ConfigurationError("claims and headers have a form in JSON: pass text, numbers, lists and dicts")


class Members(Mapping[str, Any]):
    """What a JWT says, as JSON says it: immutable and hashable; the repr shows names only."""

    __slots__ = ("_items", "_text")

    def __init__(self, items: Mapping[str, Any], reserved: frozenset[str]) -> None:
        if not isinstance(items, Mapping) or not all(isinstance(name, str) and name for name in items):
            raise ConfigurationError("claims and headers are mappings with str names: pass a dict")
        taken = sorted(reserved & items.keys())
        if taken:
            raise ConfigurationError(f"{taken[0]!r} is set by the library: say it by an argument, or leave it out")
        self._text = _json(dict(items))
        self._items: dict[str, Any] = json.loads(self._text)

    def __getitem__(self, name: str) -> Any:
        return self._items[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Members) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return f"Members({sorted(self._items)})"

    @property
    def text(self) -> str:
        """Return all of it as JSON, with names in order."""
        return self._text


NO_MEMBERS: Final = Members({}, frozenset())


def as_claims(items: Mapping[str, Any]) -> Members:
    """Take claims. Raises ConfigurationError for those that are set here, and for what has no form in JSON."""
    return Members(items, _CLAIMS_SET_HERE)


def as_headers(items: Mapping[str, Any]) -> Members:
    """Take header parameters, as `as_claims` does claims."""
    return Members(items, _HEADERS_SET_HERE)


def as_audience_claim(value: str | Iterable[str] | _TokenEndpoint) -> AudienceClaim:
    """Take an `aud`: TOKEN_ENDPOINT, a str, or several."""
    if isinstance(value, _TokenEndpoint) or (isinstance(value, str) and value):
        return value
    several = tuple(value) if isinstance(value, Iterable) else ()
    if not several or not all(isinstance(each, str) and each for each in several):
        raise ConfigurationError("an assertion's audience is a str, several, or TOKEN_ENDPOINT: pass one of these")
    return several


def _key(value: KeySource | SharedSecret) -> KeptKey:
    return value if isinstance(value, SharedSecret) else as_key(value)


def a_text(instance: object, attribute: Attribute[Any], value: object) -> None:
    """Check, as a validator of attrs, that a value is text, or None."""
    if value is not None and (not isinstance(value, str) or not value or has_surrogate(value)):
        raise ConfigurationError(f"an assertion's {attribute.name} is text: pass a non-empty str, or leave it out")


def seconds_to(limit: float, *, least: float, none: bool) -> Any:
    """Return a validator of attrs for seconds from *least* to *limit*."""

    def check(instance: object, attribute: Attribute[Any], value: Any) -> None:
        number = as_float(value)
        within = number is not None and least <= number <= limit
        if not within and not (value is None and none):
            choice = ", or to None" if none else ""
            raise ConfigurationError(
                f"an assertion's {attribute.name} is in seconds: set it from {least:g} to {limit:g}{choice}"
            )

    return check


@frozen(repr=False)
class Assertion:
    """A JWT that is made, signed and dated anew for each request that presents it: a value, and not yet a JWT.

    Each one has a `jti` of 128 random bits and ends `lifetime` seconds after it was made; its time is that of the
    server, as far as that is known. A subject that is known by it is `SubjectToken(Assertion(...))`.

    Args:
        key: the private key: a PEM or JWK as text, a JWK as a mapping, a Path or callable that gives such a text, read
            on each attempt, or a `Signer`.
        passphrase: of an encrypted PEM; a str, Secret, Path or callable.
        algorithm: one that goes with the key; None takes what its JWK says, else RS256, ES256, ES384, ES512 or EdDSA.
        key_id: the `kid`; None takes that of a JWK or Signer.
        certificate: a PEM whose hash goes along as `x5t#S256`; a str, Secret, Path or callable.
        issuer: the `iss`; None takes the client id.
        subject: the `sub`; None takes that of the request, or none.
        audience: the `aud`; None takes the client's issuer, else its token endpoint.
        lifetime: seconds until it ends, at most 3600.
        backdate: by how many seconds `iat` lies in the past, at most 600, for servers whose clock is behind; None
            leaves `iat` out.
        claims, headers: what it says beside. `typ` is `JWT` unless *headers* say otherwise.
        unsigned: with no key, a JWT that proves nothing (`alg` is `none`): where a server asks for that.

    Raises ConfigurationError for what cannot work, and where the extra `jwt` is missing that keys need.
    """

    key: KeptKey | None = field(default=None, converter=optional(_key))
    passphrase: Source | None = field(default=None, kw_only=True, converter=optional(secret_source))
    algorithm: str | None = field(default=None, kw_only=True, converter=as_algorithm)
    key_id: str | None = field(default=None, kw_only=True, validator=a_text)
    certificate: Source | None = field(default=None, kw_only=True, converter=optional(secret_source))
    issuer: str | None = field(default=None, kw_only=True, validator=a_text)
    subject: str | None = field(default=None, kw_only=True, validator=a_text)
    audience: AudienceClaim | None = field(default=None, kw_only=True, converter=optional(as_audience_claim))
    lifetime: float = field(default=60.0, kw_only=True, validator=seconds_to(MAX_LIFETIME, least=1.0, none=False))
    backdate: float | None = field(default=5.0, kw_only=True, validator=seconds_to(MAX_BACKDATE, least=0.0, none=True))
    claims: Members = field(default=NO_MEMBERS, kw_only=True, converter=as_claims)
    headers: Members = field(default=NO_MEMBERS, kw_only=True, converter=as_headers)
    unsigned: bool = field(default=False, kw_only=True, validator=a_switch)

    def __attrs_post_init__(self) -> None:
        """Check what no field can see alone."""
        if self.unsigned == (self.key is not None):
            raise ConfigurationError("an assertion is signed with a key: pass one, or unsigned=True instead")
        text_is_here = self.key is not None and not isinstance(self.key, Signer)
        if not text_is_here and (self.passphrase is not None or self.algorithm is not None):
            raise ConfigurationError("passphrase and algorithm go with a key that is read here: leave them out")
        if self.certificate is not None and "x5t#S256" in self.headers:
            raise ConfigurationError("the certificate and headers both say x5t#S256: leave one out")

    def __repr__(self) -> str:
        said = {name: getattr(self, name) for name in ("key_id", "issuer", "audience")}
        shown = "".join(f", {name}={value!r}" for name, value in said.items() if value is not None)
        return f"Assertion({'unsigned=True' if self.unsigned else '***'}{shown})"

    @property
    def named_by(self) -> tuple[object, ...]:
        """Return what it says of whom: what tells tokens apart that are bought with it, its key left out."""
        return self.issuer, self.subject, repr(self.audience), self.claims.text, self.unsigned

    async def made(
        self,
        attempt: Attempt,
        *,
        subject: str | None = None,
        audience: AudienceClaim | None = None,
        claims: Mapping[str, Any] | None = None,
    ) -> str:
        """Return a JWT for one attempt, with *claims* beside its own; *subject* and *audience* where it says none.

        Raises ConfigurationError for a key that will never do, CredentialError for one that may change.
        """
        header: dict[str, Any] = {"typ": "JWT", **self.headers}
        if self.certificate is not None:
            header["x5t#S256"] = await self._thumbprint(attempt)
        said = {**self._said(attempt, subject, audience), **self.claims, **(claims or {})}
        if self.key is None:
            return f"{_segment(header | {'alg': 'none'})}.{_segment(said)}."
        signer = await signer_of(self.key, attempt, passphrase=self.passphrase, algorithm=self.algorithm)
        header["alg"], key_id = signer.algorithm, self.key_id or signer.key_id
        if key_id is not None:
            header["kid"] = key_id
        return await signed(signer, header, said)

    def _said(self, attempt: Attempt, subject: str | None, audience: AudienceClaim | None) -> dict[str, Any]:
        attempt.dated.append(attempt.wall)
        sub, client = self.subject or subject, attempt.client
        aud = self.audience or audience or client.issuer or TOKEN_ENDPOINT
        return {
            "iss": self.issuer or client.client_id,
            **({} if sub is None else {"sub": sub}),
            "aud": client.token_endpoint if aud is TOKEN_ENDPOINT else aud,
            "jti": secrets.token_hex(_JTI_OCTETS),
            "exp": math.floor(attempt.wall + self.lifetime),
            **({} if self.backdate is None else {"iat": math.floor(attempt.wall - self.backdate)}),
        }

    async def _thumbprint(self, attempt: Attempt) -> str:
        source: SecretSource = self.certificate  # type: ignore[assignment]  # asked for where there is one
        text = await attempt.read(source)
        try:
            return certificate_thumbprint(text.reveal())
        except ConfigurationError as problem:
            if isinstance(source, Secret):
                raise
            why = str(problem)
        raise CredentialError(Failure(reason="credential", detail=why))


async def signed(signer: Signer, header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
    """Return a JWT in its compact form that says just this (RFC 7515, section 3.1); *header* names the algorithm."""
    said = f"{_segment(header)}.{_segment(claims)}"
    return f"{said}.{_base64(await signer.sign(said.encode('ascii')))}"


def _segment(items: Mapping[str, Any]) -> str:
    return _base64(json.dumps(items, separators=(",", ":")).encode())


def _base64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).decode("ascii").rstrip("=")
