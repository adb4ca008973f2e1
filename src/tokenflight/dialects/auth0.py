"""Auth0: client credentials for one API, which is demanded, and where wanted for one organization."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from tokenflight.dialects.advice import Advice, hints
from tokenflight.dialects.credentials import one_authentication
from tokenflight.errors import ConfigurationError
from tokenflight.model.key import Subject, TokenKey
from tokenflight.model.secret import SecretSource
from tokenflight.protocol.client import Dialect, Endpoints, OAuthClient
from tokenflight.protocol.client_authentication import ClientAuthentication
from tokenflight.protocol.grants import ClientCredentials

_ORGANIZATION: Final = "organization"
_DOMAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?")
_QUOTAS: Final = {
    "auth0_client_quota": "auth0-client-quota-limit",
    "auth0_organization_quota": "auth0-organization-quota-limit",
}
_QUOTA_NAMES: Final = {"q": "quota", "r": "remaining", "t": "resets_in"}
_NUMBER = re.compile(r"[0-9]{1,15}")
_MAX_QUOTA_HEADER: Final = 1_024
_APPLICATION: Final = "Auth0 Dashboard > Applications > Applications > your application"
_CREDENTIALS: Final = f"compare domain, client id, secret and authentication method with {_APPLICATION} > Credentials"
_APIS: Final = "Auth0 Dashboard > Applications > APIs"


def client(
    *,
    domain: str,
    client_id: str,
    client_secret: SecretSource | str | None = None,
    authentication: ClientAuthentication | SecretSource | str | None = None,
    **fields: Any,
) -> OAuthClient:
    """Return a client of an Auth0 tenant; *domain* is its bare host name, *fields* go to OAuthClient.

    The client's other endpoints are the tenant's, unless *fields* name another `token_endpoint`: credentials made for a
    stand-in stay there.
    """
    if not isinstance(domain, str) or not _DOMAIN.fullmatch(domain):
        raise ConfigurationError(
            "an Auth0 domain is a bare host name: write it like tenant.eu.auth0.com, without https:// and path"
        )
    tenant = f"https://{domain.lower()}"
    defaults: dict[str, Any] = {"issuer": f"{tenant}/", "dialect": DIALECT}
    if "token_endpoint" not in fields:
        defaults |= {"token_endpoint": f"{tenant}/oauth/token", "endpoints": _endpoints(tenant)}
    proof = one_authentication(client_secret, authentication)
    return OAuthClient(client_id=client_id, authentication=proof, **{**defaults, **fields})


def organization(id_or_name: str) -> Subject:
    """Return the subject for one organization: its id, or its name where the tenant allows names."""
    return Subject(id_or_name, _ORGANIZATION)


def _endpoints(tenant: str) -> Endpoints:
    return Endpoints(
        revocation=f"{tenant}/oauth/revoke",
        authorization=f"{tenant}/authorize",
        device=f"{tenant}/oauth/device/code",
        jwks=f"{tenant}/.well-known/jwks.json",
    )


def _form(key: TokenKey, fields: dict[str, str]) -> Mapping[str, str]:
    """Demand the audience and add the organization of client credentials; other grants go as the RFCs say."""
    if fields["grant_type"] != ClientCredentials.grant_type:
        return fields
    if "audience" not in fields and "resource" not in fields:
        raise ConfigurationError(
            "Auth0 gives a token that no API takes where the audience is missing: pass audience= with the identifier "
            f"of an API from {_APIS}"
        )
    if key.subject is None:
        return fields
    if not isinstance(key.subject, Subject) or key.subject.type != _ORGANIZATION:
        raise ConfigurationError(
            "Auth0 gives client credentials to an organization or to nobody: pass subject=auth0.organization(...), "
            "or leave it out"
        )
    return {**fields, "organization": key.subject.id}


def _parse(status: int, headers: Mapping[str, str], fields: dict[str, Any]) -> Mapping[str, Any]:
    """Read an error of the management API's shape as one of OAuth's; keep the quotas that come in headers."""
    if status >= 400 and isinstance(fields.get("errorCode"), str):
        text = fields.get("error_description") or fields.get("message")
        return {**fields, "error": fields["errorCode"], "error_description": text}
    quotas = {name: _quota(headers.get(header, "")) for name, header in _QUOTAS.items()}
    return {**fields, **{name: buckets for name, buckets in quotas.items() if buckets}}


def _quota(header: str) -> dict[str, dict[str, int]]:
    """Read `b=per_hour;q=10;r=7;t=3540,b=…` into `{"per_hour": {"quota": 10, "remaining": 7, "resets_in": 3540}}`.

    What cannot be read is left out: no token is worth less for it.
    """
    buckets: dict[str, dict[str, int]] = {}
    for part in header[:_MAX_QUOTA_HEADER].split(","):
        pairs = [pair.partition("=") for pair in part.split(";")]
        told = {name.strip(): value.strip() for name, _, value in pairs}
        numbers = {
            long: int(told[short]) for short, long in _QUOTA_NAMES.items() if _NUMBER.fullmatch(told.get(short, ""))
        }
        if told.get("b") and numbers:
            buckets[told["b"]] = numbers
    return buckets


def _classify(status: int, error: str | None, description: str | None) -> str | None:
    """Tell a wrong secret from missing access: Auth0 says `access_denied` to both.

    Only the former may hold back the whole client, so only its exact words count: 401 and "Unauthorized". What is
    missing is said with 403, and holds back the key that asked.
    """
    words = (description or "").strip().rstrip(".").lower()
    return "invalid_client" if (status, error, words) == (401, "access_denied", "unauthorized") else None


ADVICE: Final = (
    Advice(
        errors={"access_denied"},
        words="client-grant",
        text=f"authorize the application for this API: {_APPLICATION} > APIs",
    ),
    Advice(
        errors={"access_denied"},
        words="service not enabled",
        text=f"compare audience with the identifiers under {_APIS}; the Management API's is "
        "https://TENANT.auth0.com/api/v2/ also where a custom domain is used",
    ),
    Advice(
        words="organization",
        text="give the application access to the organization: Auth0 Dashboard > Organizations > the organization > "
        "Machine-to-Machine Access",
    ),
    Advice(errors={"access_denied"}, status=401, text=_CREDENTIALS),
    Advice(errors={"invalid_client"}, text=_CREDENTIALS),
    Advice(
        errors={"unauthorized_client", "unsupported_grant_type"},
        text=f"switch Client Credentials on: {_APPLICATION} > Settings > Advanced Settings > Grant Types",
    ),
    Advice(
        errors={"invalid_request"},
        words="missing required parameter",
        text=f"give the client what its request lacks: audience names an API from {_APIS}",
    ),
    Advice(
        errors={"invalid_scope", "invalid_request", "server_error"},
        text="where the words are your own, an Action denied it: Auth0 Dashboard > Actions > Triggers > "
        f"credentials-exchange; else check scope against {_APPLICATION} > APIs",
    ),
    Advice(
        errors={"too_many_requests"},
        words="quota",
        text="the application's or organization's token quota is used up: raise its token_quota in the Management API, "
        "or let all processes share their tokens",
    ),
    Advice(
        errors={"too_many_requests"},
        text="the tenant's rate limit is reached: Auth0 Dashboard > Monitoring > Logs names what uses it up",
    ),
    Advice(
        errors={"access_denied"},
        text=f"check what the application may ask for: {_APPLICATION} > APIs",
    ),
)
"""What to do about Auth0's refusals; the first row that fits counts."""

DIALECT: Final = Dialect(form=_form, parse=_parse, classify=_classify, hint=hints(ADVICE))
