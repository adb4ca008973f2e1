"""A double of the other providers."""

from tests.doubles.odd import entra, github, google, keycloak, okta, salesforce, shapes, zoom
from tests.doubles.odd.double import CLIENT, OddDouble

__all__ = [
    "CLIENT",
    "OddDouble",
    "entra",
    "github",
    "google",
    "keycloak",
    "okta",
    "salesforce",
    "shapes",
    "zoom",
]
