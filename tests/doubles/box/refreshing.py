"""Refresh tokens: used once, with three kinds of mercy for an answer that was lost."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

from attrs import define
from tests.doubles.box import refusals
from tests.doubles.box.assertions import RefusedError
from tests.doubles.box.state import App, Family, House, Issued, Refresh
from tests.kit.canary import canary

Grace: TypeAlias = Literal["none", "previous_one", "max_two"]
_SIXTY_DAYS = 60 * 86_400.0


@define(eq=False, kw_only=True)
class Rotation:
    """How refresh tokens are replaced.

    Attributes:
        grace: what happens to a token that was used. `none`: it is dead. `previous_one`: it may be used again until
            one of its successors is used. `max_two`: the two that were issued last are good, used or not.
        grace_seconds: how long after its first use a used token may be good at all.
        kill_old_access: whether a refresh ends the access tokens of its family that were issued before.
    """

    grace: Grace = "none"
    grace_seconds: float = math.inf
    kill_old_access: bool = False

    def new(self, house: House, family: Family, now: float) -> Refresh:
        """Issue a refresh token, and an unused one at that."""
        token = Refresh(value=canary("refresh"), family=family, expires_at=now + _SIXTY_DAYS)
        house.refreshing[token.value] = token
        family.latest = [*family.latest[-1:], token]
        return token

    def used(self, house: House, value: str, app: App, now: float) -> Refresh:
        """Use a refresh token and return its successor; raises RefusedError where it is not good."""
        token = house.refreshing.get(value)
        if token is None or token.family.app is not app or token.family.revoked:
            raise RefusedError(refusals.SPENT_REFRESH_TOKEN)
        if now >= token.expires_at:
            raise RefusedError(refusals.EXPIRED_REFRESH_TOKEN)
        if not self._good(token, now):
            raise RefusedError(refusals.SPENT_REFRESH_TOKEN)
        token.used_at = now if token.used_at is None else token.used_at
        token.uses += 1
        token.successors.append(self.new(house, token.family, now))
        if self.kill_old_access:
            for access in token.family.access:
                access.revoked = True
        return token.successors[-1]

    def _good(self, token: Refresh, now: float) -> bool:
        if self.grace == "max_two" and token not in token.family.latest:
            return False
        if token.used_at is None:
            return True
        if self.grace == "none" or now >= token.used_at + self.grace_seconds:
            return False
        return self.grace == "max_two" or all(successor.uses == 0 for successor in token.successors)


def revoke(family: Family) -> None:
    """End all that came of one code."""
    family.revoked = True
    for access in family.access:
        access.revoked = True


def keep(family: Family, access: Issued, now: float) -> None:
    """Note an access token of a family; the dead ones are forgotten."""
    family.access = [known for known in family.access if not known.revoked and now < known.expires_at]
    family.access.append(access)
