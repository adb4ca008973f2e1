"""What Box's refusals mean, and where in its consoles each is mended."""

from __future__ import annotations

import re
from typing import Final

from tokenflight.dialects.advice import Advice

CONFIGURATION: Final = "Box Developer Console > your app > Configuration"
_APPROVAL: Final = "Box Admin Console > Platform Apps Manager > Server Authentication Apps"
_LOGIN: Final = "let the person log in again"
_SCOPES: Final = (
    "ask for scopes that the subject token has: its app's are ticked under "
    f"{CONFIGURATION} > Application Scopes, and a narrowed token has those that it was narrowed to"
)
_REPLAYED: Final = re.compile(r"\bjti\b", re.IGNORECASE)


def classify(status: int, error: str | None, description: str | None) -> str | None:
    """Tell an assertion that Box has seen before from one that it will never take: the next one has another `jti`.

    Whatever delivered a request twice may have: Box remembers an assertion even where its answer was 429 or 503. All
    else is left to the RFCs: `invalid_client` speaks for the whole app, and every other code for one key.
    """
    replayed = error == "invalid_grant" and _REPLAYED.search(description or "")
    return "temporarily_unavailable" if replayed else None


ADVICE: Final = (
    Advice(
        errors={"invalid_client"},
        text=f"compare client id and secret with {CONFIGURATION} > OAuth 2.0 Credentials, and leave them in the body",
    ),
    Advice(
        errors={"invalid_request", "unauthorized_client"},
        words="grant type is unauthorized",
        text="the app is of another kind, which cannot be changed: create one in the Box Developer Console > "
        "Create Platform App > Server Authentication (with Client Credentials Grant), Server Authentication (with JWT) "
        "or User Authentication (OAuth 2.0), as the client's grant wants it",
    ),
    Advice(
        errors={"unauthorized_client"},
        words="box_subject_type",
        text=f"allow this kind of subject under {CONFIGURATION}: for users App + Enterprise Access and Generate user "
        f"access tokens; then have an admin reauthorize the app in the {_APPROVAL}",
    ),
    Advice(
        errors={"unauthorized_client"},
        text=f"have an admin of this enterprise authorize the app by its client id in the {_APPROVAL}",
    ),
    Advice(errors={"invalid_grant"}, words="refresh token", text=_LOGIN),
    Advice(
        errors={"invalid_grant"},
        words="code",
        text=f"{_LOGIN}: a code lives 30 s and is redeemed once",
    ),
    Advice(
        errors={"invalid_grant"},
        words="subject_token",
        text="present a subject token that is not past its end and not revoked, of this very app",
    ),
    Advice(
        errors={"invalid_grant"},
        words="actor_token",
        text="sign it with the app's key, by box.annotator(...), or leave out unsigned=True",
    ),
    Advice(
        errors={"invalid_grant"},
        words="kid",
        text=f"compare publicKeyID with {CONFIGURATION} > Add and Manage Public Keys",
    ),
    Advice(
        errors={"invalid_grant"},
        words="'sub'",
        text="check that the id of box.enterprise(...) or box.user(...) is of an enterprise that authorized the app: "
        f"{_APPROVAL}",
    ),
    Advice(
        errors={"invalid_grant"},
        words="claim",
        text="set this machine's clock, and check that id and key are those of one app",
    ),
    Advice(
        errors={"invalid_grant"},
        text="check that the id of box.enterprise(...) or box.user(...) is of an enterprise that authorized the app: "
        f"{_APPROVAL}; for users also {CONFIGURATION} > Generate user access tokens; and that client id and secret "
        "belong together",
    ),
    Advice(
        errors={"invalid_resource"},
        text="check that the file, folder or shared link is there and that the subject may see it; a link with a "
        "password, or to a bookmark, narrows nothing",
    ),
    Advice(errors={"invalid_scope", "insufficient_scope"}, text=_SCOPES),
    Advice(status=401, text=_SCOPES),
    Advice(
        errors={"rate_limit_exceeded"},
        text="Box limits how often tokens are asked for: let all processes that use this app share their tokens",
    ),
)
"""What to do about Box's refusals; the first row that fits counts."""
