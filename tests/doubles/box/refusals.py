"""How Box says no: each refusal as an act, so that it can be scripted too."""

from __future__ import annotations

import json
from typing import Any, Final, Literal

from tokenflight.testing import Answer, Chunked, Reply
from tokenflight.testing.acts import Act

_HELP: Final = "https://developer.box.com/guides/api-calls/permissions-and-errors/common-errors/"
_REQUEST_ID: Final = {"box-request-id": "0abcdef1234567890"}
_LIMITED: Final = "Request rate limit exceeded, please try again later"


def refusal(error: str, description: str, *, status: int = 400) -> Answer:
    """Return a refusal in OAuth's shape."""
    return Answer(status, {"error": error, "error_description": description}, headers=_REQUEST_ID)


def escaped(answer: Answer) -> Answer:
    """Return the same refusal with slashes escaped, as some JSON writers do: ``date\\/time``."""
    body = json.dumps(answer.content).replace("/", "\\/").encode()
    return Answer(answer.status, body, headers=(*answer.headers, ("content-type", "application/json")))


def malformed(what: str) -> Answer:
    """Return the refusal of a request that lacks something, or has too much."""
    return refusal("invalid_request", what)


def missing(name: str) -> Answer:
    """Return the refusal of a request without one of its fields."""
    return malformed(f'No "{name}" parameter found')


WRONG_CLIENT: Final = refusal("invalid_client", "The client credentials are invalid")
WRONG_CLIENT_OTHERWISE: Final = refusal("invalid_client", "The client credentials are not valid")
WRONG_GRANT: Final = refusal("invalid_grant", "Grant credentials are invalid")
NOT_AUTHORIZED: Final = refusal("unauthorized_client", "This app is not authorized by the enterprise admin")
WRONG_SUBJECT_TYPE: Final = refusal(
    "unauthorized_client", "The box_subject_type value is unauthorized for this client_id"
)
WRONG_KIND_OF_APP: Final = refusal("unauthorized_client", "The grant type is unauthorized for this client_id")
WRONG_KIND_OF_APP_OTHERWISE: Final = refusal("invalid_request", "The grant type is unauthorized for this client_id")
UNKNOWN_GRANT: Final = refusal("unsupported_grant_type", "Unsupported grant type")
EXPIRED_ASSERTION: Final = refusal(
    "invalid_grant", "Current date/time MUST be before the expiration date/time listed in the 'exp' claim"
)
BAD_EXPIRY: Final = refusal("invalid_grant", "Please check the 'exp' claim.")
EARLY_ASSERTION: Final = refusal(
    "invalid_grant",
    "Current date/time MUST be after or equal to the not-before date/time listed in the 'nbf' or 'iat' claim",
)
REPLAYED_ASSERTION: Final = refusal("invalid_grant", "Please check the 'jti' claim. A unique 'jti' value is required.")
WRONG_SUBJECT: Final = refusal("invalid_grant", "Please check the 'sub' claim. The 'sub' specified is invalid.")
WRONG_KEY: Final = refusal("invalid_grant", '"kid" invalid, unable to lookup correct key')
BAD_SIGNATURE: Final = refusal("invalid_grant", "The JWT could not be verified.")
SPENT_REFRESH_TOKEN: Final = refusal("invalid_grant", "Invalid refresh token")
EXPIRED_REFRESH_TOKEN: Final = refusal("invalid_grant", "Refresh token has expired")
EXPIRED_CODE: Final = refusal("invalid_grant", "The authorization code has expired")
UNKNOWN_CODE: Final = refusal("invalid_grant", "Auth code doesn't exist or is invalid for the client")
INVISIBLE_RESOURCE: Final = refusal("invalid_resource", "The target resource is invalid.")
WRONG_SUBJECT_TOKEN: Final = refusal("invalid_grant", "The subject_token provided is invalid")
WRONG_ACTOR_TOKEN: Final = refusal("invalid_grant", "The actor_token provided is invalid")


def claim(name: str) -> Answer:
    """Return the refusal of an assertion for one of its claims."""
    return refusal("invalid_grant", f"Please check the '{name}' claim.")


Shape = Literal["json", "empty", "header"]


def scope_not_held(shape: Shape = "json") -> Answer:
    """Return the 401 for a scope that the subject token lacks: as JSON, without anything, or told by a header alone."""
    challenge = {"www-authenticate": 'Bearer realm="Service", error="insufficient_scope"'}
    if shape == "empty":
        return Answer(401)
    if shape == "header":
        return Answer(401, headers=challenge)
    fields = {"error": "invalid_scope", "error_description": "The requested scope is not held by the subject_token"}
    return Answer(401, fields, headers=challenge)


def throttled(retry_after: str | None = "2") -> Answer:
    """Return a 429 in the shape of Box's API: *retry_after* is what the header says, None for no header."""
    headers = {} if retry_after is None else {"retry-after": retry_after}
    return Answer(429, _of_the_api(429, "rate_limit_exceeded", _LIMITED), headers=headers)


def broken() -> Answer:
    """Return a 500 that says so in JSON."""
    return Answer(500, _of_the_api(500, "internal_server_error", "Internal Server Error"))


def broken_silently() -> Answer:
    """Return a 500 without a body."""
    return Answer(500)


def bad_gateway() -> Answer:
    """Return the 502 of something in between, in HTML."""
    return Answer(502, b"<html><h1>502 Bad Gateway</h1></html>", headers={"content-type": "text/html"})


def unavailable(retry_after: str | None = "1") -> Answer:
    """Return a 503."""
    headers = {} if retry_after is None else {"retry-after": retry_after}
    return Answer(503, _of_the_api(503, "unavailable", "Service Unavailable"), headers=headers)


def _of_the_api(status: int, code: str, message: str) -> dict[str, Any]:
    fields = {"type": "error", "status": status, "code": code, "help_url": _HELP}
    return {**fields, "message": message, "request_id": "abcdef123456"}


_CHALLENGE: Final = (
    'Bearer realm="Service", error="invalid_token", error_description="The access token provided is invalid."'
)
TOKEN_REFUSED: Final[Act] = Chunked(Answer(401, headers={"www-authenticate": _CHALLENGE, **_REQUEST_ID}))
"""The API's 401: all is in the header, and the body is empty, in chunks."""

TOKEN_REFUSED_REPLY: Final = Reply(
    status=401, headers=(("www-authenticate", _CHALLENGE), *_REQUEST_ID.items()), chunked=True
)
"""The same, where no script asks for it."""

NO_TOKEN: Final = Answer(401, headers={"www-authenticate": 'Bearer realm="Service"', **_REQUEST_ID})
TOO_LITTLE: Final = Answer(
    403,
    headers={
        "www-authenticate": 'Bearer realm="Service", error="insufficient_scope", '
        'error_description="The request requires higher privileges than provided by the access token."',
        **_REQUEST_ID,
    },
)
"""The API's 403: the token is good, and another one of the same kind would not do either."""


def not_ready(retry_after: str = "1") -> Answer:
    """Return a 202: what is asked for is being made."""
    return Answer(202, headers={"retry-after": retry_after})
