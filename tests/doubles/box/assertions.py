"""What Box checks of a JWT, in its order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tests.doubles.box import refusals
from tests.doubles.box.state import App, House, Subject
from tests.doubles.tokens import BadTokenError, NoSuchKeyError, Read, header_of, opened, verified

from tokenflight.testing import Answer

_ALGORITHMS: Final = ("RS256", "RS384", "RS512")
_LONGEST: Final = 60.0


class RefusedError(Exception):
    """Box says no: with `answer`."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.content)
        self.answer = answer


def subject_of(house: House, app: App, kind: str | None, id: Any) -> Subject:
    """Return whom an app may act for; raises RefusedError where it may not."""
    if kind == "enterprise" and id in house.enterprises and id in app.enterprises:
        return kind, id
    if kind != "user" or (user := house.users.get(id)) is None:
        raise RefusedError(refusals.WRONG_GRANT)
    if not app.user_tokens or not (user.app_user or app.enterprise_access):
        raise RefusedError(refusals.WRONG_SUBJECT_TYPE)
    if user.enterprise not in app.enterprises:
        raise RefusedError(refusals.WRONG_GRANT)
    return kind, id


class Desk:
    """Where assertions are checked: by the server's clock, for one audience, each `jti` once."""

    def __init__(self, house: House, audience: str) -> None:
        self.house = house
        self.audience = audience

    def subject(self, text: str, app: App, *, now: float, replayed: bool) -> Subject:
        """Return whom an assertion speaks for; raises RefusedError."""
        claims = _verified(text, app).claims
        self._addressed(claims, app)
        if not isinstance(claims.get("sub"), str):
            raise RefusedError(refusals.WRONG_SUBJECT)
        if claims.get("box_sub_type") not in ("enterprise", "user"):
            raise RefusedError(refusals.claim("box_sub_type"))
        try:
            subject = subject_of(self.house, app, claims["box_sub_type"], claims["sub"])
        except RefusedError as refused:
            raise (
                refused if refused.answer is refusals.WRONG_SUBJECT_TYPE else RefusedError(refusals.WRONG_SUBJECT)
            ) from None
        _once(claims, replayed=replayed)
        _in_time(claims, now)
        return subject

    def actor(self, text: str, app: App, *, now: float, replayed: bool) -> Subject:
        """Return who an actor token speaks for: somebody outside of Box; raises RefusedError."""
        try:
            read = (
                opened(text) if app.unsigned_actors and header_of(text).get("alg") == "none" else _verified(text, app)
            )
        except BadTokenError:
            raise RefusedError(refusals.WRONG_ACTOR_TOKEN) from None
        claims = read.claims
        self._addressed(claims, app)
        if claims.get("box_sub_type") != "external":
            raise RefusedError(refusals.claim("box_sub_type"))
        for name in ("sub", "name"):
            if not isinstance(claims.get(name), str) or not claims[name]:
                raise RefusedError(refusals.claim(name))
        _once(claims, replayed=replayed)
        _in_time(claims, now)
        return "external", claims["sub"]

    def _addressed(self, claims: Mapping[str, Any], app: App) -> None:
        if claims.get("iss") != app.id:
            raise RefusedError(refusals.claim("iss"))
        if claims.get("aud") != self.audience:
            raise RefusedError(refusals.claim("aud"))


def _verified(text: str, app: App) -> Read:
    try:
        return verified(text, app.keys, _ALGORITHMS)
    except NoSuchKeyError:
        raise RefusedError(refusals.WRONG_KEY) from None
    except BadTokenError:
        raise RefusedError(refusals.BAD_SIGNATURE) from None


def _once(claims: Mapping[str, Any], *, replayed: bool) -> None:
    jti = claims.get("jti")
    if replayed or not isinstance(jti, str) or not 16 <= len(jti) <= 128:
        raise RefusedError(refusals.REPLAYED_ASSERTION)


def _in_time(claims: Mapping[str, Any], now: float) -> None:
    """Check the moments exactly: Box grants no second to a clock that is ahead."""
    until = claims.get("exp")
    if not isinstance(until, int | float) or isinstance(until, bool) or until > now + _LONGEST:
        raise RefusedError(refusals.BAD_EXPIRY)
    if until <= now:
        raise RefusedError(refusals.EXPIRED_ASSERTION)
    for name in ("iat", "nbf"):
        if name in claims and not (isinstance(claims[name], int | float) and claims[name] <= now):
            raise RefusedError(refusals.EARLY_ASSERTION)
