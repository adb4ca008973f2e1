"""Skew: how far a server's clock is from this machine's, learned where that made it refuse what was signed.

Of all that is done here only assertions are dated by another clock than this machine's; when a token ends is told in
seconds from now, and no offset ever takes part in it.
"""

from __future__ import annotations

import logging
import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from attrs import define, evolve, field

from tokenflight.model.failure import Failure
from tokenflight.protocol.answers import http_date

logger = logging.getLogger(__name__)

MAX_OFFSET: Final = 900.0
"""Seconds up to which a server's clock is followed; beyond, somebody is wrong by more than a drift."""

WITH_WORDS: Final = 2.0
WITHOUT_WORDS: Final = 10.0
"""By how many seconds the clocks must differ to count as the reason, where the server speaks of time and where it says
nothing in particular. Its `Date` has whole seconds."""

MAX_ENDPOINTS: Final = 10_000
_CODES: Final = frozenset({"invalid_grant", "invalid_client", "invalid_request"})
_MUTE: Final = frozenset({400, 401, 403})
_OF_TIME: Final = re.compile(
    r"\b(?:exp|iat|nbf|date|time|times|timestamp|clock|skew|future|past|expir\w*|not[- ]?before|issued[- ]at"
    r"|too (?:early|late|old)|stale|lifetime)\b",
    re.IGNORECASE,
)
_OF_SOMETHING_ELSE: Final = re.compile(
    r"\b(?:jti|unique|replay\w*|kid|key|signature|sub|subject|user|aud|audience|iss|issuer|scope|secret|parameter)\b",
    re.IGNORECASE,
)


@define(eq=False)
class Skews:
    """The offsets of the servers that were found to be off, by token endpoint."""

    _offsets: OrderedDict[str, float] = field(factory=OrderedDict, repr=False)

    def offset(self, endpoint: str) -> float:
        """Return by how many seconds the server's clock is ahead of this machine's, as far as that was learned."""
        return self._offsets.get(endpoint, 0.0)

    def learn(self, endpoint: str, offset: float) -> None:
        """Remember an offset; beyond `MAX_ENDPOINTS` the one that was learned first is forgotten."""
        self._offsets[endpoint] = offset
        self._offsets.move_to_end(endpoint)
        if len(self._offsets) > MAX_ENDPOINTS:
            self._offsets.popitem(last=False)


def tolerance(failure: Failure, *, spends: bool) -> float | None:
    """Return by how many seconds the clocks must differ to be the reason of a refusal; None where they cannot be.

    *spends* tells that the request spends what it presents: its `invalid_grant` is about that and nothing else.
    """
    words = failure.description
    if failure.code is None:
        return WITHOUT_WORDS if words is None and failure.status in _MUTE else None
    if failure.code not in _CODES or (spends and failure.code == "invalid_grant"):
        return None
    if words is not None and _OF_TIME.search(words):
        return WITH_WORDS
    return None if words is not None and _OF_SOMETHING_ELSE.search(words) else WITHOUT_WORDS


def ahead(headers: Mapping[str, str], wall: float) -> float | None:
    """Return by how many seconds the `Date` of an answer is ahead of *wall*, this machine's time when it was sent."""
    date = http_date(headers.get("date", "").strip())
    return None if date is None else date + 0.5 - wall  # half of the second that it leaves out


def too_far(failure: Failure, offset: float) -> Failure:
    """Return a refusal with the advice to set this machine's clock."""
    minutes, where = abs(offset) / 60, "behind" if offset > 0 else "ahead of"
    return evolve(failure, hint=f"this machine's clock is {minutes:.0f} minutes {where} the server's: set it")


def report(endpoint: str, offset: float) -> None:
    """Log, once for each offset that is learned, that two clocks differ."""
    where = "behind" if offset > 0 else "ahead of"
    logger.warning(
        "this machine's clock is %.0f s %s that of %s: what is signed goes by that", abs(offset), where, endpoint
    )
