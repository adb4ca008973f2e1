"""The clients: what the demo's program knows of itself at either provider. A name begins with the client_id."""

from __future__ import annotations

from typing import Final

from attrs import frozen

from tokenflight import (
    AuthorizationCode,
    ClientAuthentication,
    ClientSecretPost,
    Endpoints,
    OAuthClient,
    PrivateKeyJWT,
    TokenExchange,
)
from tokenflight.demo.authority import AUTH0, DOMAIN
from tokenflight.demo.books import Books
from tokenflight.demo.box_desk import AUTHORIZE, BOX
from tokenflight.demo.logins import GRACE
from tokenflight.demo.signatures import KeyPair, console_config
from tokenflight.dialects import auth0, box

TENANTS: Final = tuple(f"tenant-{number:03}" for number in range(300))
SECRETIVE: Final = ("orders", "files", "backup", "desk", *TENANTS)
"""Who has a client secret."""
SIGNING: Final = ("backup", "billing")
"""Who has a key; an app of Box has both."""
LIFETIMES: Final = {"backup": 600, "desk": 2}
"""By client, in seconds: a token that others are bought with outlives its act; a person's are many, and soon over."""
ENTERPRISE: Final = "1234567"
DESKS: Final = ("desk", "desk by night")
"""One app under two names: two keys for each person, who live on that person's one refresh token."""


@frozen
class Clients:
    """Makes the clients that the authorization server at *url* knows."""

    books: Books
    keys: dict[str, KeyPair]
    url: str

    def all(self) -> dict[str, OAuthClient]:
        """Return those that are known by name from the start."""
        secrets, key = self.books.secrets, self.keys["backup"]
        config = console_config("backup", secrets["backup"], key, enterprise=ENTERPRISE)
        box_is_here = {"token_endpoint": f"{self.url}{BOX}"}
        desk = box.client(
            client_id="desk",
            client_secret=secrets["desk"],
            grant=AuthorizationCode(grace=GRACE),
            endpoints=Endpoints(authorization=f"{self.url}{AUTHORIZE}"),
            **box_is_here,
        )
        return {
            "orders": self.orders("orders"),
            "files": box.client(client_id="files", client_secret=secrets["files"], **box_is_here),
            "backup": box.jwt_client(config, **box_is_here),
            "backup by file": box.jwt_client(config, grant=TokenExchange(), **box_is_here),
            **dict.fromkeys(DESKS, desk),
            "billing": self._billing(),
        }

    def orders(self, name: str) -> OAuthClient:
        """Return a client of Auth0 with a secret."""
        return self._of_auth0(name, ClientSecretPost(self.books.secrets[name]))

    def _billing(self) -> OAuthClient:
        key = self.keys["billing"]
        return self._of_auth0("billing", PrivateKeyJWT(key.pem, passphrase=key.passphrase, key_id=key.id))

    def _of_auth0(self, name: str, proof: ClientAuthentication) -> OAuthClient:
        endpoint = f"{self.url}{AUTH0}"
        return auth0.client(domain=DOMAIN, client_id=name, authentication=proof, token_endpoint=endpoint)
