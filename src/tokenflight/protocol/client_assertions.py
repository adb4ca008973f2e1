"""Client assertions: a client proves who it is by a JWT instead of its secret (RFC 7523, section 2.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from attrs import Factory, field, frozen
from attrs.converters import optional

from tokenflight.errors import ConfigurationError
from tokenflight.model.secret import secret_source
from tokenflight.protocol.assertions import NO_MEMBERS, Assertion, AudienceClaim, Members, as_audience_claim, as_headers
from tokenflight.protocol.client_authentication import (
    Attempt,
    RequestParts,
    Source,
    a_switch,
    client_id_field,
    sendable,
)
from tokenflight.protocol.signing import SharedSecret, Signer, as_jwk_text, as_key, as_mac_algorithm

if TYPE_CHECKING:
    from tokenflight.protocol.client import OAuthClient

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def _shared(value: Any) -> Source:
    """Take a client secret; a JWK is kept as its text, and read as one when it signs."""
    kept = as_jwk_text(value) if isinstance(value, Mapping) else value
    return secret_source(kept)


def _of_private_key(its: PrivateKeyJWT) -> Assertion:
    return Assertion(
        its.key,
        passphrase=its.passphrase,
        algorithm=its.algorithm,
        key_id=its.key_id,
        certificate=its.certificate,
        audience=its.audience,
        lifetime=its.lifetime,
        backdate=its.backdate,
        headers=its.headers,
    )


def _of_client_secret(its: ClientSecretJWT) -> Assertion:
    return Assertion(
        SharedSecret(its.secret, its.algorithm),
        audience=its.audience,
        lifetime=its.lifetime,
        backdate=its.backdate,
        headers=its.headers,
    )


@frozen(repr=False)
class PrivateKeyJWT:
    """Sign a short-lived JWT with a private key, a new one for each request (RFC 7523, section 2.2).

    Its `iss` and `sub` are the client id. Its `aud` is the client's issuer and nothing else, so that no server can
    use it at another (RFC 7523bis, section 4).

    Args:
        key, passphrase, algorithm, key_id, certificate, lifetime, backdate, headers: see `Assertion`.
        audience: `TOKEN_ENDPOINT`, or whatever else the server wants in place of its issuer.
        send_client_id: whether the form says the client id too; `False` where a server refuses that.

    Raises ConfigurationError for what cannot work; a client with neither issuer nor audience is refused when it is
    made.
    """

    key: Source | Signer = field(converter=as_key)
    passphrase: Source | None = field(default=None, kw_only=True, converter=optional(secret_source))
    algorithm: str | None = field(default=None, kw_only=True)
    key_id: str | None = field(default=None, kw_only=True)
    certificate: Source | None = field(default=None, kw_only=True, converter=optional(secret_source))
    audience: AudienceClaim | None = field(default=None, kw_only=True, converter=optional(as_audience_claim))
    lifetime: float = field(default=60.0, kw_only=True)
    backdate: float | None = field(default=5.0, kw_only=True)
    headers: Members = field(default=NO_MEMBERS, kw_only=True, converter=as_headers)
    send_client_id: bool = field(default=True, kw_only=True, validator=a_switch)
    assertion: Assertion = field(init=False, eq=False, default=Factory(_of_private_key, takes_self=True))
    method = "private_key_jwt"

    def check_client(self, client: OAuthClient) -> None:
        """Raise ConfigurationError where neither issuer nor audience says who the JWT is for."""
        _check_audience(self.audience, client)

    async def authenticate(self, attempt: Attempt) -> RequestParts:
        """Return the signed assertion."""
        return await _signed(self.assertion, attempt, self.send_client_id)

    def __repr__(self) -> str:
        return f"PrivateKeyJWT(***{_shown(key_id=self.key_id, audience=self.audience)})"


@frozen(repr=False)
class ClientSecretJWT:
    """Sign a short-lived JWT with the client secret, which itself never travels (OpenID Connect Core, section 9).

    Args:
        secret: a str, Secret, Path or callable, or an `oct` JWK as a mapping; at least as long as the algorithm's hash.
        algorithm: HS256, HS384 or HS512.
        audience, lifetime, backdate, headers, send_client_id: see `PrivateKeyJWT`.
    """

    secret: Source = field(converter=_shared)
    algorithm: str = field(default="HS256", kw_only=True, converter=as_mac_algorithm)
    audience: AudienceClaim | None = field(default=None, kw_only=True, converter=optional(as_audience_claim))
    lifetime: float = field(default=60.0, kw_only=True)
    backdate: float | None = field(default=5.0, kw_only=True)
    headers: Members = field(default=NO_MEMBERS, kw_only=True, converter=as_headers)
    send_client_id: bool = field(default=True, kw_only=True, validator=a_switch)
    assertion: Assertion = field(init=False, eq=False, default=Factory(_of_client_secret, takes_self=True))
    method = "client_secret_jwt"

    def check_client(self, client: OAuthClient) -> None:
        """Raise ConfigurationError where neither issuer nor audience says who the JWT is for."""
        _check_audience(self.audience, client)

    async def authenticate(self, attempt: Attempt) -> RequestParts:
        """Return the signed assertion. Raises ConfigurationError for a secret that is too short or no secret."""
        return await _signed(self.assertion, attempt, self.send_client_id)

    def __repr__(self) -> str:
        return f"ClientSecretJWT(***, algorithm={self.algorithm!r}{_shown(audience=self.audience)})"


@frozen(repr=False)
class ClientAssertion:
    """Present a JWT that somebody else signed for this client: workload identity (RFC 7523, section 2.2).

    It is read on each attempt, so that a file or callable that gives a newer one is all it takes.

    Args:
        source: a Path or callable; a str or Secret works for as long as the JWT does.
        send_client_id: whether the form says the client id too.
    """

    source: Source = field(converter=secret_source)
    send_client_id: bool = field(default=True, kw_only=True, validator=a_switch)
    method = "private_key_jwt"

    async def authenticate(self, attempt: Attempt) -> RequestParts:
        """Return the assertion as it was read."""
        return _presented(sendable(await attempt.read(self.source)), attempt, self.send_client_id)

    def __repr__(self) -> str:
        return "ClientAssertion(***)"


async def _signed(assertion: Assertion, attempt: Attempt, send_client_id: bool) -> RequestParts:
    client = attempt.client
    jwt = await assertion.made(attempt, subject=client.client_id, audience=client.issuer)
    return _presented(jwt, attempt, send_client_id)


def _presented(jwt: str, attempt: Attempt, send_client_id: bool) -> RequestParts:
    fields = {"client_assertion_type": ASSERTION_TYPE, "client_assertion": jwt}
    return RequestParts(fields=client_id_field(attempt.client, send_client_id) | fields)


def _check_audience(audience: AudienceClaim | None, client: OAuthClient) -> None:
    if audience is None and client.issuer is None:
        raise ConfigurationError(
            "a signed client assertion names the server that it is for: give the client its issuer, or the "
            "authentication audience=TOKEN_ENDPOINT where the server wants that"
        )


def _shown(**said: object) -> str:
    return "".join(f", {name}={value!r}" for name, value in said.items() if value is not None)
