"""The servers of tests/servers that give a second and a third opinion: Authlib's, and django-oauth-toolkit's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from attrs import field, frozen
from tests.kit.canary import canary
from tests.kit.credentials import jwk_of, make_key
from tests.kit.oidc import JWT_BEARER, Registered

SCOPE = "read write"


@frozen(kw_only=True)
class Opinion:
    """A running server and its clients by name: `basic`, `odd`, `post` and `web` (which has a refresh token).

    Authlib's has `key` (private_key_jwt, RS256) and `bearer` (jwt-bearer in its own name, ES256) as well.
    """

    issuer: str
    token_endpoint: str
    revocation_endpoint: str
    clients: Mapping[str, Registered] = field(repr=False)

    def mint(self, client: str = "web", *, subject: str = "alice", scope: str = SCOPE) -> str:
        """Make a refresh token, for a client by its name, that nobody had to log in for."""
        told = {"client_id": self.clients[client].client_id, "sub": subject, "scope": scope}
        place = urlsplit(self.issuer)
        assert place.hostname is not None
        connection = HTTPConnection(place.hostname, place.port, timeout=30)
        try:
            connection.request("POST", "/__admin/mint", json.dumps(told), {"content-type": "application/json"})
            return str(json.loads(connection.getresponse().read())["refresh_token"])
        finally:
            connection.close()


def clients(*, all_methods: bool) -> dict[str, Registered]:
    """Draw the clients' secrets and keys; the ones with keys are for a server of *all_methods*."""
    drawn = {name: Registered(client_id=name, secret=canary("secret")) for name in ("basic", "post", "web")}
    drawn["odd"] = Registered(client_id="we:ird id+%/", secret=f"{canary('secret')} :+%/&=")
    if all_methods:
        drawn["key"] = Registered(client_id="key", key=make_key("RS256"), algorithm="RS256")
        drawn["bearer"] = Registered(client_id="bearer", key=make_key("ES256"), algorithm="ES256")
    return drawn


def metadata(clients: Mapping[str, Registered]) -> list[dict[str, Any]]:
    """Return the clients as RFC 7591 writes them."""
    methods = {"post": "client_secret_post", "key": "private_key_jwt", "bearer": "none"}
    grants = {"web": ["refresh_token"], "bearer": [JWT_BEARER]}
    return [
        {
            "client_id": client.client_id,
            "token_endpoint_auth_method": methods.get(name, "client_secret_basic"),
            "grant_types": grants.get(name, ["client_credentials"]),
            "scope": SCOPE,
            **({} if client.secret is None else {"client_secret": client.secret}),
            **_keys(client),
        }
        for name, client in clients.items()
    ]


def _keys(client: Registered) -> dict[str, Any]:
    if client.key is None or client.algorithm is None:
        return {}
    return {"jwks": {"keys": [jwk_of(client.key, client.algorithm)]}}
