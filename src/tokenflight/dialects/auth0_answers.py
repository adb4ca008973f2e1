"""What Auth0's answers mean: quotas in headers, two shapes of refusals, and where in its dashboard each is mended."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from tokenflight.dialects.advice import Advice

APIS: Final = "Auth0 Dashboard > Applications > APIs"
_APPLICATION: Final = "Auth0 Dashboard > Applications > Applications > your application"
_CREDENTIALS: Final = f"compare domain, client id, secret and authentication method with {_APPLICATION} > Credentials"
_QUOTAS: Final = {
    "auth0_client_quota": "auth0-client-quota-limit",
    "auth0_organization_quota": "auth0-organization-quota-limit",
}
_QUOTA_NAMES: Final = {"q": "quota", "r": "remaining", "t": "resets_in"}
_NUMBER = re.compile(r"[0-9]{1,15}")
_MAX_QUOTA_HEADER: Final = 1_024


def parse(status: int, headers: Mapping[str, str], fields: dict[str, Any]) -> Mapping[str, Any]:
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


def classify(status: int, error: str | None, description: str | None) -> str | None:
    """Tell a wrong secret from missing access, for which Auth0 says `access_denied` too, and an Action from an outage.

    Only a wrong secret may hold back the whole client, so only its exact words count: 401 and "Unauthorized". What is
    missing is said with 403, and holds back the key that asked.

    A `server_error` with words may be a tenant's own code that denies this one request. It passes as it came, and says
    nothing against the endpoint: one organization that an Action turns away must not stand for all of them.
    """
    words = (description or "").strip().rstrip(".").lower()
    if (status, error, words) == (401, "access_denied", "unauthorized"):
        return "invalid_client"
    return "slow_down" if error == "server_error" and words else None


ADVICE: Final = (
    Advice(
        errors={"access_denied"},
        words="client-grant",
        text=f"authorize the application for this API: {_APPLICATION} > APIs",
    ),
    Advice(
        errors={"access_denied"},
        words="service not enabled",
        text=f"compare audience with the identifiers under {APIS}; the Management API's is "
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
        errors={"invalid_grant"},
        words="refresh token",
        text="let the person log in again: the refresh token is over, or was used twice",
    ),
    Advice(
        errors={"invalid_request"},
        words="delegation chain",
        text="exchange a token with fewer actors in it: each exchange on behalf of somebody adds one",
    ),
    Advice(
        words="subject_token_type",
        text="give the subject token the type of one of the tenant's custom token exchange profiles: a URI of your own",
    ),
    Advice(
        errors={"mfa_required"},
        text="let the person log in again, by sessions.begin: the tenant asks for another factor",
    ),
    Advice(
        errors={"unauthorized_client", "unsupported_grant_type"},
        text="switch the client's grant on, such as Client Credentials: "
        f"{_APPLICATION} > Settings > Advanced Settings > Grant Types",
    ),
    Advice(
        errors={"invalid_request"},
        words="missing required parameter",
        text=f"give the client what its request lacks: audience names an API from {APIS}",
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
