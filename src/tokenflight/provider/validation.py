"""Validation: whether a token that came is what was asked for, by the keys that its server publishes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from attrs import evolve

from tokenflight.engine.state import State
from tokenflight.errors import ConfigurationError, TokenValidationError
from tokenflight.model.failure import Failure
from tokenflight.model.key import TokenKey
from tokenflight.protocol.client import OAuthClient
from tokenflight.protocol.compact import Invalid
from tokenflight.protocol.id_token import check_id_token
from tokenflight.protocol.verification import ALGORITHMS, Claims, KeySet, verify
from tokenflight.provider.discovery import Discovery
from tokenflight.provider.keysets import KeySets

Check = Callable[[Claims], Invalid | None]

_HINTS: Final = {
    "algorithm": "check which algorithm the server signs with; one with a shared secret is never accepted",
    "issuer": "check issuer: it is compared to the letter, and a slash at the end counts",
    "expired": "check this machine's clock",
    "not_yet_valid": "check this machine's clock",
    "issued_at": "check this machine's clock",
}
_HINTS_OF_ACCESS_TOKENS: Final = _HINTS | {
    "not_a_jwt": "where this server's access tokens are opaque, leave validation out",
    "audience": "check the audience that is asked for, and AccessTokenValidation(audience=...)",
    "type": "check AccessTokenValidation(typ=...)",
}


class Validation:
    """Validates the access tokens and ID tokens of one provider; both share the key sets."""

    def __init__(self, *, state: State, discovery: Discovery, key_sets: KeySets) -> None:
        self._state = state
        self._discovery = discovery
        self._key_sets = key_sets

    def __repr__(self) -> str:
        return f"Validation({self._key_sets!r})"

    async def ready(self, client: OAuthClient, *, deadline: float) -> Failure | None:
        """Have at hand what an access token of *client* will be validated with; None where it is, or none will be.

        Asked before a token is: what would be spent for it is kept where it could not be validated afterwards.
        """
        if client.validation is None:
            return None
        found = await self._keys(client, deadline)
        return found if isinstance(found, Failure) else None

    async def ready_for_id_token(self, client: OAuthClient, *, deadline: float) -> Failure | None:
        """Have at hand what the ID token of a login will be validated with; None where it is.

        Asked before the code is spent, by *deadline* on the age clock.
        """
        found = await self._keys(client, deadline)
        return found if isinstance(found, Failure) else None

    async def access_token(self, client: OAuthClient, key: TokenKey, text: str, *, deadline: float) -> Failure | None:
        """Say why an access token must not be used, by *deadline* on the age clock; None where it may."""
        validation = client.validation
        if validation is None:
            return None

        def check(claims: Claims) -> Invalid | None:
            return validation.check(claims, issuer=client.issuer, key=key, wall=self._state.clock.wall())

        claims = await self._verified(client, text, check, deadline, algorithms=validation.algorithms)
        if isinstance(claims, Invalid):
            return _refused("the access token", claims, _HINTS_OF_ACCESS_TOKENS)
        return claims if isinstance(claims, Failure) else None

    async def id_token(
        self, client: OAuthClient, text: str, *, nonce: str | None, access_token: str | None, deadline: float
    ) -> Mapping[str, Any] | Failure:
        """Return the claims of an ID token that came for a login of *client*, or why it must not be believed.

        *nonce* is what the login sent, None where it sent none; *access_token* the one that came along. *deadline* is
        on the age clock (OpenID Connect Core, section 3.1.3.7).
        """
        issuer = client.issuer
        if issuer is None:
            return _NO_ISSUER

        def check(claims: Claims) -> Invalid | None:
            return check_id_token(
                claims,
                issuer=issuer,
                client_id=client.client_id,
                nonce=nonce,
                access_token=access_token,
                wall=self._state.clock.wall(),
            )

        claims = await self._verified(client, text, check, deadline, algorithms=ALGORITHMS)
        if isinstance(claims, Invalid):
            return _refused("the ID token", claims, _HINTS)
        return claims if isinstance(claims, Failure) else claims.values

    async def _verified(
        self, client: OAuthClient, text: str, check: Check, deadline: float, *, algorithms: Collection[str]
    ) -> Claims | Invalid | Failure:
        found = await self._keys(client, deadline)
        if isinstance(found, Failure):
            return found
        url, keys = found
        claims = verify(text, keys, algorithms=algorithms)
        if isinstance(claims, Invalid) and claims.outdated:
            newer = await self._key_sets.newer(url, keys, deadline=deadline)
            if isinstance(newer, Failure):
                return newer
            claims = verify(text, newer, algorithms=algorithms)
        return claims if isinstance(claims, Invalid) else check(claims) or claims

    async def _keys(self, client: OAuthClient, deadline: float) -> tuple[str, KeySet] | Failure:
        """Return where the client's server publishes its keys, and those."""
        with self._state.clock.timeout_at(deadline):
            whole = await self._discovery.complete(client, "jwks")
            if isinstance(whole, Failure):
                return evolve(whole, counts=False, status=None, retry_after=None)
            url = whole.endpoints.jwks
            if url is None:
                return _misconfigured(
                    "tokens are validated, and where the server publishes its keys is open: "
                    "give endpoints=Endpoints(jwks=...), or an issuer whose metadata tell it"
                )
            keys = await self._key_sets.get(url, deadline=deadline)
            return keys if isinstance(keys, Failure) else (url, keys)
        return Failure(reason="key_set", detail="the server's keys could not be had: asking took too long")


def _refused(what: str, invalid: Invalid, hints: Mapping[str, str]) -> Failure:
    return Failure(
        error=TokenValidationError,
        reason=invalid.reason,
        detail=f"{what} that came failed validation: {invalid.detail}",
        transient=False,
        hint=hints.get(invalid.reason),
    )


def _misconfigured(detail: str) -> Failure:
    return Failure(error=ConfigurationError, reason="configuration", detail=detail, transient=False)


_NO_ISSUER: Final = _misconfigured("an ID token is validated, and its issuer is open: give the client its issuer")
