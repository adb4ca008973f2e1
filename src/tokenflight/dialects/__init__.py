"""Dialects: providers that deviate from the RFCs, as functions that return clients, subjects and audiences."""

from tokenflight.dialects import auth0, box, entra, github, google, keycloak, okta, salesforce

__all__ = ["auth0", "box", "entra", "github", "google", "keycloak", "okta", "salesforce"]
