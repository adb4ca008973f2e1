"""The clients: what the demo's program knows of itself at either provider. A name begins with the client_id."""

from __future__ import annotations

from typing import Final

from attrs import frozen

from tokenflight import (
    Assertion,
    AuthorizationCode,
    Endpoints,
    JWTBearer,
    OAuthClient,
    PrivateKeyJWT,
    TokenExchange,
)
from tokenflight.demo.authority import AUTH0, DOMAIN
from tokenflight.demo.books import Books
from tokenflight.demo.box_desk import AUTHORIZE, BOX
from tokenflight.demo.logins import GRACE
from tokenflight.demo.signatures import KeyPair
from tokenflight.dialects import auth0, box

TENANTS: Final = tuple(f"tenant-{number:03}" for number in range(300))
SECRETIVE: Final = ("orders", "files", "backup", "desk", *TENANTS)
"""Who has a client secret."""
SIGNING: Final = ("backup", "billing")
"""Who has a key. Box wants both of an app."""
LIFETIMES: Final = {"backup": 600, "desk": 2}
"""A token that others are bought with outlives the act; a person's are over soon, so that there are many."""
ENTERPRISE: Final = "1234567"
DESKS: Final = ("desk", "desk by night")
"""One app under two names: each keeps tokens of its own, and both live on a person's one refresh token."""


@frozen
class Clients:
    """Makes the clients that the authorization server at *url* knows."""

    books: Books
    keys: dict[str, KeyPair]
    url: str

    def all(self) -> dict[str, OAuthClient]:
        """Return those that are known by name from the start."""
        desk = self._desk()
        return {
            "orders": self.orders("orders"),
            "files": box.client(client_id="files", client_secret=self.books.secrets["files"], **self._box),
            "backup": self._backup(),
            "backup by file": self._narrowing(),
            **dict.fromkeys(DESKS, desk),
            "billing": self._billing(),
        }

    def orders(self, name: str) -> OAuthClient:
        """Return a client of Auth0 with a secret."""
        secret = self.books.secrets[name]
        return auth0.client(domain=DOMAIN, client_id=name, client_secret=secret, token_endpoint=f"{self.url}{AUTH0}")

    def _billing(self) -> OAuthClient:
        """Return a client of Auth0 with a key in place of a secret."""
        key = self.keys["billing"]
        proof = PrivateKeyJWT(key.pem, passphrase=key.passphrase, key_id=key.id)
        return auth0.client(
            domain=DOMAIN, client_id="billing", authentication=proof, token_endpoint=f"{self.url}{AUTH0}"
        )

    def _backup(self) -> OAuthClient:
        """Return an app of Box that signs for whom it acts for, from the developer console's config."""
        key = self.keys["backup"]
        signed = Assertion(
            key.pem,
            passphrase=key.passphrase,
            key_id=key.id,
            audience=box.TOKEN_ENDPOINT,
            lifetime=30.0,
            backdate=None,
        )
        grant = JWTBearer(signed, inside={"subject_type": "box_sub_type"})
        return box.client(client_id="backup", client_secret=self.books.secrets["backup"], grant=grant, **self._box)

    def _narrowing(self) -> OAuthClient:
        """Return the same app where it narrows tokens to files."""
        secret = self.books.secrets["backup"]
        return box.client(client_id="backup", client_secret=secret, grant=TokenExchange(), **self._box)

    def _desk(self) -> OAuthClient:
        """Return an app of Box that people log in to."""
        return box.client(
            client_id="desk",
            client_secret=self.books.secrets["desk"],
            grant=AuthorizationCode(pkce=False, grace=GRACE),
            endpoints=Endpoints(authorization=f"{self.url}{AUTHORIZE}"),
            **self._box,
        )

    @property
    def _box(self) -> dict[str, str]:
        return {"token_endpoint": f"{self.url}{BOX}"}
