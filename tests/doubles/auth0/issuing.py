"""Tokens as a tenant makes them: JWTs by its own key, and what others need to check them."""

from __future__ import annotations

import base64
import hashlib
from typing import Any, Final

from joserfc.jwk import Key
from tests.doubles.auth0.state import Api, Client, Issued, Organization, Person, Tenant
from tests.doubles.tokens import BadTokenError, NoSuchKeyError, Read, certified, key, public, signed, verified
from tests.kit.canary import canary

MARK: Final = "https://tenant.example/mark"
"""A claim of an Action's, by which a token is recognised wherever it comes out."""

_ID_TOKEN_LIVES: Final = 36_000


class Mint:
    """Makes and checks tokens.

    Attributes:
        keys: those that the tenant publishes; the last one signs.
        names: whether organizations are named in tokens, and may be named in requests.
        id_token_changes: claims of ID tokens to come, replaced; None leaves one out.
        id_token_signer: who signs ID tokens in the tenant's name, where it is not the tenant.
    """

    def __init__(self, tenant: Tenant) -> None:
        self.keys: list[Key] = [key("tenant-1")]
        self.names = False
        self.id_token_changes: dict[str, Any] = {}
        self.id_token_signer: Key | None = None
        self._tenant = tenant

    def rotate(self, *, drop: bool = False) -> None:
        """Sign with another key from now on; with *drop*, publish no older one."""
        new = key(f"tenant-{int(str(self.keys[-1].kid).rpartition('-')[2]) + 1}")
        self.keys = [new] if drop else [*self.keys, new]

    def jwks(self) -> dict[str, Any]:
        """Return the key set that the tenant publishes."""
        return {"keys": [certified(each) for each in self.keys]}

    def machine(self, origin: str, now: float, client: Client, api: Api, *, lifetime: int, **claims: Any) -> Issued:
        """Issue a token to a client that asks for itself."""
        own = {"sub": f"{client.id}@clients", "gty": "client-credentials"}
        return self._issue(origin, now, client, api, lifetime=lifetime, claims=own | claims)

    def personal(self, origin: str, now: float, person: Person, *, lifetime: int, **claims: Any) -> Issued:
        """Issue a token to a client that asks for a person; without an audience it is no JWT."""
        api = self._tenant.apis.get(person.audience or "")
        if api is None:
            return self.opaque(now, person.client, lifetime)
        own = {"sub": person.user, "scope": " ".join(person.scopes), **self.of(person.organization)}
        return self._issue(origin, now, person.client, api, lifetime=lifetime, claims=own | claims)

    def opaque(self, now: float, client: Client, lifetime: int) -> Issued:
        """Issue a token that no API takes."""
        return self._keep(
            Issued(value=f"gh{canary('access')}", client=client, audience=None, expires_at=now + lifetime)
        )

    def of(self, organization: Organization | None) -> dict[str, str]:
        """Return the claims that name an organization."""
        if organization is None:
            return {}
        return {"org_id": organization.id} | ({"org_name": organization.name.lower()} if self.names else {})

    def id_token(self, origin: str, now: float, person: Person, access_token: str) -> str:
        """Return an ID token (OpenID Connect Core, sections 2 and 3.1.3.6)."""
        half = hashlib.sha256(access_token.encode()).digest()[:16]
        claims = {
            "iss": f"{origin}/",
            "sub": person.user,
            "aud": person.client.id,
            "iat": int(now),
            "exp": int(now) + _ID_TOKEN_LIVES,
            "nonce": person.nonce,
            "at_hash": base64.urlsafe_b64encode(half).decode().rstrip("="),
            "sid": "the-session",
            MARK: canary("id"),
        }
        claims |= {**self.of(person.organization), **self.id_token_changes}
        told = {name: value for name, value in claims.items() if value is not None}
        return signed(told, self.id_token_signer or self.keys[-1], kid=self.keys[-1].kid)

    def checked(self, text: str, origin: str, now: float) -> Read | None:
        """Return an access token of this tenant's that is good now; None for any other."""
        try:
            read = verified(text, [public(each) for each in self.keys], ["RS256"], types=("JWT", "at+jwt"))
        except (BadTokenError, NoSuchKeyError):
            return None
        issued = self._tenant.tokens.get(text)
        live = issued is not None and not issued.revoked and now < read.claims["exp"]
        return read if live and read.claims["iss"] == f"{origin}/" else None

    def _issue(
        self, origin: str, now: float, client: Client, api: Api, *, lifetime: int, claims: dict[str, Any]
    ) -> Issued:
        common = {"iss": f"{origin}/", "aud": api.audience, "iat": int(now), "exp": int(now) + lifetime}
        common |= {**claims, MARK: canary("access")}
        if api.profile == "rfc9068_profile":
            common = {name: value for name, value in common.items() if name != "gty"}
            common |= {"client_id": client.id, "jti": canary("jti")}
        else:
            common["azp"] = client.id
        told = {name: value for name, value in common.items() if value not in ("", None)}
        text = signed(told, self.keys[-1], typ="at+jwt" if api.profile == "rfc9068_profile" else "JWT")
        return self._keep(Issued(value=text, client=client, audience=api.audience, expires_at=int(now) + lifetime))

    def _keep(self, issued: Issued) -> Issued:
        self._tenant.tokens[issued.value] = issued
        return issued
