"""Fresh OAuth 2 access tokens for async programs: one flight per key, renewed before expiry, carried by httpx."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenflight.errors import (
    AuthorizationResponseError,
    ConfigurationError,
    EndpointUnreachableError,
    InvalidClientError,
    InvalidGrantError,
    MalformedResponseError,
    ProviderClosedError,
    SessionLostError,
    StoreError,
    SubjectTokenExpiredError,
    TokenEndpointError,
    TokenFlightError,
    TokenRequestError,
    TokenValidationError,
    WarmUpError,
)
from tokenflight.model.clock import Clock
from tokenflight.model.key import Audience, Subject, TokenKey
from tokenflight.model.origin import ANY
from tokenflight.model.policy import RefreshPolicy, RetryPolicy
from tokenflight.model.secret import Secret
from tokenflight.model.status import EndpointHealth, KeyStatus
from tokenflight.model.subject_token import ACCESS_TOKEN, SubjectToken, TokenSource
from tokenflight.model.token import Token
from tokenflight.protocol.access_token import AccessTokenValidation
from tokenflight.protocol.assertions import TOKEN_ENDPOINT, Assertion
from tokenflight.protocol.authorization import AuthorizationCode, AuthorizationRequest
from tokenflight.protocol.client import Dialect, Endpoints, OAuthClient
from tokenflight.protocol.client_assertions import ClientAssertion, ClientSecretJWT, PrivateKeyJWT
from tokenflight.protocol.client_authentication import (
    ClientAuthentication,
    ClientSecretBasic,
    ClientSecretPost,
    PublicClient,
)
from tokenflight.protocol.client_certificates import MutualTLS
from tokenflight.protocol.grants import ClientCredentials, Fetch, Grant
from tokenflight.protocol.jwt_bearer import JWTBearer
from tokenflight.protocol.refreshing import RefreshToken
from tokenflight.protocol.signing import Signer
from tokenflight.protocol.token_exchange import TokenExchange
from tokenflight.provider.clients import ClientResolver
from tokenflight.provider.provider import TokenProvider
from tokenflight.provider.source import BoundSource
from tokenflight.stores.contract import Store
from tokenflight.stores.memory import MemoryStore
from tokenflight.transport.clock import SystemClock

if TYPE_CHECKING:
    from tokenflight.ext.httpx import TokenAuth

__all__ = [
    "ACCESS_TOKEN",
    "ANY",
    "TOKEN_ENDPOINT",
    "AccessTokenValidation",
    "Assertion",
    "Audience",
    "AuthorizationCode",
    "AuthorizationRequest",
    "AuthorizationResponseError",
    "BoundSource",
    "ClientAssertion",
    "ClientAuthentication",
    "ClientCredentials",
    "ClientResolver",
    "ClientSecretBasic",
    "ClientSecretJWT",
    "ClientSecretPost",
    "Clock",
    "ConfigurationError",
    "Dialect",
    "EndpointHealth",
    "EndpointUnreachableError",
    "Endpoints",
    "Fetch",
    "Grant",
    "InvalidClientError",
    "InvalidGrantError",
    "JWTBearer",
    "KeyStatus",
    "MalformedResponseError",
    "MemoryStore",
    "MutualTLS",
    "OAuthClient",
    "PrivateKeyJWT",
    "ProviderClosedError",
    "PublicClient",
    "RefreshPolicy",
    "RefreshToken",
    "RetryPolicy",
    "Secret",
    "SessionLostError",
    "Signer",
    "Store",
    "StoreError",
    "Subject",
    "SubjectToken",
    "SubjectTokenExpiredError",
    "SystemClock",
    "Token",
    "TokenAuth",
    "TokenEndpointError",
    "TokenExchange",
    "TokenFlightError",
    "TokenKey",
    "TokenProvider",
    "TokenRequestError",
    "TokenSource",
    "TokenValidationError",
    "WarmUpError",
]


def __getattr__(name: str) -> object:
    if name == "TokenAuth":
        from tokenflight.ext.httpx import TokenAuth

        return TokenAuth
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
