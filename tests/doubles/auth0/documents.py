"""What a tenant publishes about itself (OpenID Connect Discovery, RFC 8705)."""

from __future__ import annotations

from typing import Any


def discovery(origin: str, mtls_origin: str | None) -> dict[str, Any]:
    """Return the discovery document of the tenant at *origin*; its issuer ends in a slash."""
    methods = ["client_secret_basic", "client_secret_post", "private_key_jwt"]
    document: dict[str, Any] = {
        "issuer": f"{origin}/",
        "authorization_endpoint": f"{origin}/authorize",
        "token_endpoint": f"{origin}/oauth/token",
        "device_authorization_endpoint": f"{origin}/oauth/device/code",
        "userinfo_endpoint": f"{origin}/userinfo",
        "jwks_uri": f"{origin}/.well-known/jwks.json",
        "registration_endpoint": f"{origin}/oidc/register",
        "revocation_endpoint": f"{origin}/oauth/revoke",
        "scopes_supported": ["openid", "profile", "offline_access", "email"],
        "response_types_supported": ["code", "token", "id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["HS256", "RS256", "PS256"],
        "code_challenge_methods_supported": ["S256", "plain"],
        "token_endpoint_auth_methods_supported": methods,
        "token_endpoint_auth_signing_alg_values_supported": ["RS256", "RS384", "PS256", "PS384", "ES256", "ES384"],
    }
    if mtls_origin is None:
        return document
    document["token_endpoint_auth_methods_supported"] = [*methods, "tls_client_auth", "self_signed_tls_client_auth"]
    document["mtls_endpoint_aliases"] = {"token_endpoint": f"{mtls_origin}/oauth/token"}
    document["tls_client_certificate_bound_access_tokens"] = True
    return document
