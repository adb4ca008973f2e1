"""Credentials: the two ways in which a dialect's `client` function is told them."""

from __future__ import annotations

from tokenflight.errors import ConfigurationError
from tokenflight.model.secret import SecretSource
from tokenflight.protocol.client_authentication import ClientAuthentication, ClientSecretPost, as_authentication


def one_authentication(
    client_secret: SecretSource | str | None, authentication: ClientAuthentication | SecretSource | str | None
) -> ClientAuthentication:
    """Return how a client authenticates: `client_secret` means ClientSecretPost.

    Raises ConfigurationError where both are given.
    """
    if client_secret is None:
        return as_authentication(authentication)
    if authentication is not None:
        raise ConfigurationError("client_secret and authentication are two answers to one question: give one of them")
    return ClientSecretPost(client_secret)
