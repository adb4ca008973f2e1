"""Exchanges as Box and Auth0 document them: the request field by field, and what may come back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from attrs import frozen

from tokenflight.protocol.wire import TokenRequest

CLIENT_ID = "the-client"
SECRET = "CNRY-secret-2d90+/&= ü"
API = "https://api.example/"
DOMAIN = "tenant.eu.auth0.com"
BOX_HEADERS = {
    "content-type": "application/json",
    "cache-control": "no-store",
    "strict-transport-security": "max-age=31536000",
    "set-cookie": "box_visitor_id=1; path=/",
}
AUTH0_HEADERS = {
    "content-type": "application/json",
    "cache-control": "no-store",
    "x-ratelimit-limit": "30",
    "x-ratelimit-remaining": "29",
    "x-ratelimit-reset": "1750000001",
}


@frozen
class Request:
    """A request as a server sees it; headers that say nothing of OAuth are left out."""

    method: str
    url: str
    content_type: str
    fields: tuple[tuple[str, str], ...]
    authorization: str | None = None

    @classmethod
    def seen(cls, request: TokenRequest) -> Request:
        """Read a request back, with a form parser that lets nothing pass."""
        fields = parse_qsl(request.body.decode("ascii"), keep_blank_values=True, strict_parsing=True)
        headers = request.headers
        return cls(
            request.method, request.url, headers["content-type"], tuple(sorted(fields)), headers.get("authorization")
        )


@frozen
class Answer:
    """What came back, and what is to be made of it."""

    status: int
    body: Any
    headers: Mapping[str, str]


def form(url: str, authorization: str | None = None, **fields: str) -> Request:
    return Request("POST", url, "application/x-www-form-urlencoded", tuple(sorted(fields.items())), authorization)


BOX_URL = "https://api.box.com/oauth2/token"
BOX_COMMON = {"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": SECRET}
BOX_ENTERPRISE = form(BOX_URL, **BOX_COMMON, box_subject_type="enterprise", box_subject_id="1234567")
BOX_USER = form(BOX_URL, **BOX_COMMON, box_subject_type="user", box_subject_id="987")
BOX_ANSWER = Answer(
    200,
    {"access_token": "DkXenterprise", "expires_in": 4123, "restricted_to": [], "token_type": "bearer"},
    BOX_HEADERS,
)
BOX_ANSWER_AS_DOCUMENTED = Answer(
    200,
    {"access_token": "DkXenterprise", "expires_in": 4123, "restricted_to": [], "issued_token_type": "bearer"},
    BOX_HEADERS,
)
"""Box's reference shows an answer without `token_type`, and an `issued_token_type` that is no URN."""

AUTH0_URL = f"https://{DOMAIN}/oauth/token"
AUTH0_COMMON = {"grant_type": "client_credentials", "audience": API}
AUTH0_POST = form(AUTH0_URL, **AUTH0_COMMON, client_id=CLIENT_ID, client_secret=SECRET)
AUTH0_ORGANIZATION = form(
    AUTH0_URL,
    **AUTH0_COMMON,
    client_id=CLIENT_ID,
    client_secret=SECRET,
    organization="org_42",
    scope="read:a",
)
AUTH0_BASIC = form(AUTH0_URL, "Basic dGhlLWNsaWVudDpDTlJZLXNlY3JldC0yZDkwJTJCJTJGJTI2JTNEJTIwJUMzJUJD", **AUTH0_COMMON)
"""`the-client:CNRY-secret-2d90%2B%2F%26%3D%20%C3%BC`: both halves are percent-encoded before base64."""

AUTH0_ANSWER = Answer(200, {"access_token": "e.y.J", "token_type": "Bearer", "expires_in": 86400}, AUTH0_HEADERS)


def refusal(status: int, code: str, description: str, headers: Mapping[str, str], **more: Any) -> Answer:
    return Answer(status, {"error": code, "error_description": description, **more}, headers)


BOX_LIMITED = {
    "type": "error",
    "status": 429,
    "code": "rate_limit_exceeded",
    "help_url": "https://developer.box.com/guides/",
    "message": "Request rate limit exceeded, please try again later",
    "request_id": "abcdef123456",
}
"""Box's API speaks of its limits in a shape that is not OAuth's; so may its token endpoint."""

QUOTA_HEADERS = AUTH0_HEADERS | {
    "auth0-client-quota-limit": "b=per_hour;q=10;r=0;t=3540,b=per_day;q=50;r=40;t=43200",
    "retry-after": "3540",
}
