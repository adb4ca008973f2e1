"""Authlib as an authorization server, for a second opinion: above all its reading of RFC 7523 is its own.

It tells basic from post, takes private_key_jwt and jwt-bearer assertions once, rotates refresh tokens without a grudge
(the session lives on when a spent one is shown again) and revokes. Settings: `clients` (RFC 7591 metadata).
"""

from __future__ import annotations

import os
import time
import uuid
from typing import Any

from standing import listening, settings, stand

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # it is on loopback

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import ClientMixin, TokenMixin, grants
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7523 import JWTBearerClientAssertion, JWTBearerGrant
from flask import Flask, jsonify, request
from joserfc.jwk import KeySet

METHODS = ["client_secret_basic", "client_secret_post", "private_key_jwt"]
LIFETIME = 600


class Client(ClientMixin):
    """A client as it is registered."""

    def __init__(self, metadata: dict[str, Any]) -> None:
        self.metadata = metadata

    def get_client_id(self) -> str:
        return str(self.metadata["client_id"])

    def get_allowed_scope(self, scope: str | None) -> str | None:
        allowed = self.metadata["scope"]
        return (scope or allowed) if set((scope or allowed).split()) <= set(allowed.split()) else None

    def check_client_secret(self, client_secret: str) -> bool:
        return bool(client_secret == self.metadata.get("client_secret"))

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return bool(method == self.metadata["token_endpoint_auth_method"])

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in self.metadata["grant_types"]

    @property
    def keys(self) -> KeySet:
        return KeySet.import_key_set(self.metadata["jwks"])


class Issued(TokenMixin):
    """An access token with its refresh token, if it has one."""

    def __init__(self, client_id: str, user: str | None, token: dict[str, Any]) -> None:
        self.client_id, self.user, self.token = client_id, user, token
        self.issued_at = time.time()
        self.revoked = False
        self.spent = False

    def check_client(self, client: Client) -> bool:
        return self.client_id == client.get_client_id()

    def get_scope(self) -> str:
        return str(self.token.get("scope", ""))

    def get_expires_in(self) -> int:
        return int(self.token["expires_in"])

    def is_expired(self) -> bool:
        return time.time() > self.issued_at + self.get_expires_in()

    def is_revoked(self) -> bool:
        return self.revoked


said = settings()
app = Flask("authlib_server")
app.config.update(
    OAUTH2_REFRESH_TOKEN_GENERATOR=True,
    OAUTH2_TOKEN_EXPIRES_IN=dict.fromkeys(["client_credentials", "refresh_token", JWTBearerGrant.GRANT_TYPE], LIFETIME),
)
listener, issuer = listening(app)
clients = {metadata["client_id"]: Client(metadata) for metadata in said["clients"]}
issued: list[Issued] = []
assertions: set[tuple[str, str]] = set()
oauth = AuthorizationServer(
    app,
    query_client=clients.get,
    save_token=lambda token, asked: issued.append(Issued(asked.client.get_client_id(), asked.user, token)),
)


def found(value: str, *kinds: str) -> Issued | None:
    """Return what was issued under a token of one of these kinds."""
    return next((each for each in issued if value in [each.token.get(kind) for kind in kinds]), None)


def used_once(issuer: str, jti: str) -> bool:
    """Tell whether an assertion comes for the first time, and remember it."""
    fresh = (issuer, jti) not in assertions
    assertions.add((issuer, jti))
    return fresh


class ClientAssertion(JWTBearerClientAssertion):
    CLIENT_AUTH_METHOD = "private_key_jwt"

    def get_audiences(self) -> list[str]:
        return [issuer, f"{issuer}/token"]

    def validate_jti(self, claims: dict[str, Any], jti: str) -> bool:
        return used_once(claims["iss"], jti)

    def resolve_client_public_key(self, client: Client) -> KeySet:
        return client.keys


class ClientCredentials(grants.ClientCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = METHODS


class Refresh(grants.RefreshTokenGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = METHODS
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token: str) -> Issued | None:
        token = found(refresh_token, "refresh_token")
        return None if token is None or token.spent or token.revoked else token

    def authenticate_user(self, refresh_token: Issued) -> str | None:
        return refresh_token.user

    def revoke_old_credential(self, refresh_token: Issued) -> None:
        refresh_token.spent = True


class Bearer(JWTBearerGrant):
    """An assertion stands for its client, which is its issuer."""

    def get_audiences(self) -> list[str]:
        return [issuer, f"{issuer}/token"]

    def verify_claims(self, claims: dict[str, Any]) -> None:
        super().verify_claims(claims)
        if not used_once(claims["iss"], claims.get("jti", "")):
            raise grants.base.InvalidRequestError(description="JWT ID is used before.")

    def resolve_issuer_client(self, issuer: str) -> Client | None:
        return clients.get(issuer)

    def resolve_client_public_key(self, client: Client) -> KeySet:
        return client.keys

    def authenticate_user(self, subject: str) -> str:
        return subject

    def has_granted_permission(self, client: Client, user: str) -> bool:
        return True


class Revocation(RevocationEndpoint):
    CLIENT_AUTH_METHODS = METHODS

    def query_token(self, token: str, token_type_hint: str | None) -> Issued | None:
        return found(token, "access_token", "refresh_token")

    def revoke_token(self, token: Issued, asked: Any) -> None:
        token.revoked = True


oauth.register_client_auth_method("private_key_jwt", ClientAssertion())
oauth.register_grant(ClientCredentials)
oauth.register_grant(Refresh)
oauth.register_grant(Bearer)
oauth.register_endpoint(Revocation)


@app.post("/token")
def token() -> Any:
    return oauth.create_token_response()


@app.post("/revoke")
def revoke() -> Any:
    return oauth.create_endpoint_response("revocation")


@app.post("/__admin/mint")
def mint() -> Any:
    """Begin a session without a browser; return its refresh token."""
    asked = request.get_json()
    refresh_token = uuid.uuid4().hex
    token = {"refresh_token": refresh_token, "scope": asked["scope"], "expires_in": LIFETIME}
    issued.append(Issued(asked["client_id"], asked["sub"], token))
    return jsonify(refresh_token=refresh_token)


stand(listener, issuer)
