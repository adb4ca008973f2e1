"""A double of Auth0."""

from tests.doubles.auth0 import refusals
from tests.doubles.auth0.double import AUTHORIZE, DISCOVERY, JWKS, REVOKE, TOKEN, Auth0Double
from tests.doubles.auth0.state import Api, Client, ClientGrant, Organization, Quota

__all__ = [
    "AUTHORIZE",
    "DISCOVERY",
    "JWKS",
    "REVOKE",
    "TOKEN",
    "Api",
    "Auth0Double",
    "Client",
    "ClientGrant",
    "Organization",
    "Quota",
    "refusals",
]
