"""The programme: which acts are played, in which order, and how each is judged."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from attrs import frozen

from tokenflight.demo import acts, grant_acts, grant_promises, promises
from tokenflight.demo.promises import Promise
from tokenflight.demo.stage import Stage

F = TypeVar("F")


@frozen
class Act(Generic[F]):
    """An act, and how what it counted is judged."""

    title: str
    play: Callable[[Stage], Awaitable[F]]
    judge: Callable[[F], tuple[Promise, ...]]

    async def outcome(self, stage: Stage) -> tuple[Promise, ...]:
        """Play it and judge it."""
        return self.judge(await self.play(stage))


PROGRAMME: Final = (
    Act("A thousand callers, one cold key", acts.cold_callers, promises.cold_callers),
    Act("200 requests a second, token after token", acts.steady, promises.steady),
    Act("The token endpoint goes down", acts.outage, promises.outage),
    Act("Every token is revoked in mid-flight", acts.revoked, promises.revoked),
    Act("The first caller is cancelled", acts.first_cancelled, promises.first_cancelled),
    Act("Three hundred tenants from a resolver", acts.tenants, promises.tenants),
    Act("Box: signed for, with a busy server", grant_acts.signed_for, grant_promises.signed_for),
    Act("Box: a hundred files, a token for each", grant_acts.narrowed, grant_promises.narrowed),
    Act("Box: people log in, and stay", grant_acts.logged_in, grant_promises.logged_in),
    Act("Auth0: a key in place of a secret", grant_acts.organizations, grant_promises.organizations),
    Act("The servers' books", acts.forms, promises.forms),
)
