"""How Auth0 says no: each refusal as an act, so that it can be scripted too."""

from __future__ import annotations

from typing import Final

from tokenflight.testing import Answer


class RefusedError(Exception):
    """Auth0 says no: with `answer`."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.content)
        self.answer = answer


def refusal(status: int, error: str, description: str, **more: str) -> Answer:
    """Return a refusal in OAuth's shape."""
    return Answer(status, {"error": error, "error_description": description, **more})


WRONG_SECRET: Final = refusal(401, "access_denied", "Unauthorized")
WRONG_PROOF: Final = refusal(401, "invalid_client", "Client authentication failed")
UNKNOWN_GRANT: Final = refusal(400, "unsupported_grant_type", "Grant type not supported")
LOST_SESSION: Final = refusal(403, "invalid_grant", "Unknown or invalid refresh token.")
WRONG_CODE: Final = refusal(403, "invalid_grant", "Invalid authorization code")
WRONG_VERIFIER: Final = refusal(403, "invalid_grant", "Failed to verify code verifier")
NEEDS_A_PERSON: Final = refusal(401, "mfa_required", "Multifactor authentication required", mfa_token="Fe26.2*CNRY-mfa")
TOO_DEEP: Final = refusal(400, "invalid_request", "Delegation chain (`act` claim) depth exceeds the maximum allowed")
WRONG_SUBJECT_TOKEN: Final = refusal(400, "invalid_request", "Invalid subject_token")
ORGANIZATIONS_DENIED: Final = refusal(403, "access_denied", "Client is not allowed to use organizations for this API")


def malformed(what: str) -> Answer:
    """Return the refusal of a request that is wrong in itself."""
    return refusal(400, "invalid_request", what)


def missing(name: str) -> Answer:
    """Return the refusal of a request without one of its parameters."""
    return malformed(f"Missing required parameter: {name}")


def no_client_grant(audience: str) -> Answer:
    """Return the refusal of an API that the client has no grant for."""
    text = (
        f'Client is not authorized to access "{audience}". You need to create a "client-grant" associated to this API.'
    )
    return refusal(
        403, "access_denied", f"{text} See: https://auth0.com/docs/api/v2#!/Client_Grants/post_client_grants"
    )


def unknown_api(audience: str) -> Answer:
    """Return the refusal of an audience that is no API of the tenant."""
    return refusal(403, "access_denied", f"Service not enabled within domain: {audience}")


def grant_is_off(grant: str) -> Answer:
    """Return the refusal of a grant that the client may not use."""
    uri = "https://auth0.com/docs/clients/client-grant-types"
    return refusal(403, "unauthorized_client", f"Grant type '{grant}' not allowed for the client.", error_uri=uri)


def scopes_not_granted(scopes: list[str]) -> Answer:
    """Return the refusal of scopes beyond the client grant."""
    return refusal(403, "access_denied", f"Client has not been granted scopes: {', '.join(scopes)}")


def not_entitled(organization: str) -> Answer:
    """Return the refusal of an organization that the client does not serve."""
    return refusal(403, "access_denied", f"The client is not entitled to the organization {organization}")


def denied_by_action(code: str, text: str) -> Answer:
    """Return what `api.access.deny(code, text)` makes of a request."""
    return refusal(500 if code == "server_error" else 400, code, text)


def quota_exceeded(retry_after: int = 3540, *, reset: int = 1_750_003_540, quotas: str | None = None) -> Answer:
    """Return the 429 of a used-up token quota; *quotas* is the header's text."""
    told = "b=per_hour;q=10;r=0;t=3540,b=per_day;q=50;r=40;t=43200" if quotas is None else quotas
    headers = {
        "retry-after": str(retry_after),
        "x-ratelimit-remaining": "0",
        "x-ratelimit-reset": str(reset),
        "auth0-client-quota-limit": told,
    }
    fields = {"error": "too_many_requests", "error_description": "Client quota exceeded"}
    return Answer(429, fields, headers=headers)


def rate_limited(reset: int = 1_750_000_001) -> Answer:
    """Return the 429 of the tenant's rate limit, which tells when by the clock and not in how long."""
    headers = {"x-ratelimit-limit": "30", "x-ratelimit-remaining": "0", "x-ratelimit-reset": str(reset)}
    text = "Too many requests. Check the X-RateLimit-Limit, X-RateLimit-Remaining and X-RateLimit-Reset headers."
    return Answer(429, {"error": "too_many_requests", "error_description": text}, headers=headers)


def rate_limited_by_policy(retry_after: int = 1) -> Answer:
    """Return the 429 of a rate policy; the other headers speak of the tenant."""
    headers = {"auth0-ratelimit": "client;q=10;t=1;r=0", "retry-after": str(retry_after)}
    headers |= {"x-ratelimit-limit": "30", "x-ratelimit-remaining": "29", "x-ratelimit-reset": "1750000001"}
    fields = {"error": "too_many_requests", "error_description": "Rate limit exceeded."}
    return Answer(429, fields, headers=headers)


GLOBALLY_LIMITED: Final = Answer(
    429,
    {
        "statusCode": 429,
        "error": "Too Many Requests",
        "message": "Global limit has been reached",
        "errorCode": "too_many_requests",
    },
)
"""A 429 in the shape of the management API."""

LIMITED_IN_WORDS: Final = Answer(429, "Too Many Requests")
UNAVAILABLE: Final = Answer(503, b"<html><h1>503</h1></html>", headers={"content-type": "text/html"})

MALFORMED_QUOTAS: Final = (
    "b=per_hour;q=10;t=3540",
    " b=per_hour ; q = 10 ; r = 7 ; t = 3540 ",
    "b=per_fortnight;q=10;r=7;t=3540",
    "b=per_hour;q=ten;r=;t",
    ";;,=,",
)
"""Quota headers that no client may break of."""

TOKEN_REFUSED: Final = Answer(
    401, {"error": "invalid_token"}, headers={"www-authenticate": 'Bearer error="invalid_token"'}
)


def too_little(scope: str) -> Answer:
    """Return an API's 403 for a token without *scope*."""
    fields = {"statusCode": 403, "error": "Forbidden", "message": f"Insufficient scope, expected any of: {scope}"}
    challenge = f'Bearer error="insufficient_scope", scope="{scope}"'
    return Answer(403, {**fields, "errorCode": "insufficient_scope"}, headers={"www-authenticate": challenge})
