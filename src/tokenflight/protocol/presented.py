"""Presented: the text of a subject token for one request, wherever it is from; when it ends, and if it is to blame."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Final

from tokenflight.errors import ConfigurationError
from tokenflight.model.failure import Failure
from tokenflight.model.subject_token import AssertionSource, SubjectToken
from tokenflight.model.token import MAX_TOKEN_LENGTH
from tokenflight.protocol.client_authentication import has_surrogate
from tokenflight.protocol.issued import seconds

if TYPE_CHECKING:
    from tokenflight.protocol.client_authentication import Attempt

_JWT = re.compile(r"[\w-]+\.([\w-]+)\.[\w-]*", re.ASCII)
_BLAMES: Final = frozenset({"invalid_grant", "invalid_token"})
_OF_A_TOKEN = re.compile(r"token(?![_ ]?type)", re.IGNORECASE)
_OF_AN_ACTOR = re.compile(r"actor", re.IGNORECASE)


async def presented_token(attempt: Attempt, subject: SubjectToken) -> str:
    """Return what *subject* presents in one attempt, read or made anew unless it was given by value.

    Whatever its source raises comes out. Raises ConfigurationError for a text that cannot be sent.
    """
    source = subject.value
    if isinstance(source, AssertionSource):
        return await source.made(attempt)
    text = (await attempt.read(source)).reveal()
    if has_surrogate(text):
        raise ConfigurationError("a subject token holds a lone surrogate, which has no UTF-8 form: check its source")
    return text


def unverified_end(text: str) -> float | None:
    """Return the `exp` of a text that is shaped like a JWT, in Unix time; None where there is none to be read.

    Nothing is verified: it may shorten the use of what the token buys, and decides nothing else (RFC 7519, 4.1.4).
    """
    shaped = _JWT.fullmatch(text) if len(text) <= MAX_TOKEN_LENGTH else None
    if shaped is None:
        return None
    payload = shaped[1]
    try:
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, RecursionError):
        return None
    end = claims.get("exp") if isinstance(claims, dict) else None
    return None if isinstance(end, str) else seconds(end)


def blames_subject_token(failure: Failure) -> bool:
    """Tell whether a refusal may be due to what was presented: another subject token may do better.

    `invalid_request` is what RFC 8693, section 2.2.2, has for it, and for much else: where it says more than its code,
    that is about a token.
    """
    if failure.transient or failure.status not in (400, 401):
        return False
    if failure.code == "invalid_request":
        return failure.description is None or _OF_A_TOKEN.search(failure.description) is not None
    return failure.code in _BLAMES


def blames_actor(failure: Failure) -> bool:
    """Tell whether such a refusal speaks of the actor's token."""
    return failure.description is not None and _OF_AN_ACTOR.search(failure.description) is not None
