"""The acts for what Box and Auth0 offer beside a client secret: signatures, narrowed tokens, people who log in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import anyio

from tokenflight.demo import grant_promises
from tokenflight.demo.acts import all_at_once
from tokenflight.demo.clients import DESKS, ENTERPRISE
from tokenflight.demo.patience import until
from tokenflight.demo.stage import Caller, Stage
from tokenflight.demo.stream import Stream
from tokenflight.dialects import box

FILES: Final = 100
PEOPLE: Final = ("ann", "ben")
ORGANIZATIONS: Final = ("org_north", "org_south")


async def signed_for(stage: Stage) -> grant_promises.SignedFor:
    """Let a busy server answer the first of an app's assertions, and buy tokens for an enterprise and a user."""
    stage.showing = stage.tokens
    stage.faults.answers.extend(grant_promises.PLANNED)
    callers = [stage.backup(box.enterprise(ENTERPRISE)), stage.backup(box.user("987"))]
    served = [await stage.call(caller) for caller in callers]
    return grant_promises.SignedFor(
        subjects=len(callers),
        served=sum(served),
        answers=tuple(stage.books.answers.get("backup", ())),
        jtis=tuple(stage.books.jtis.get("backup", ())),
    )


async def narrowed(stage: Stage) -> grant_promises.Narrowed:
    """Open a hundred files at once, each with a token of its own, and then try each token at the next file."""
    callers = [stage.file(str(1000 + number)) for number in range(FILES)]
    opened = await all_at_once(stage, callers)
    kept_out = 0
    for caller, other in zip(callers, [*callers[1:], callers[0]], strict=True):
        kept_out += await stage.kept_out(caller, other)
    await stage.told(callers)
    return grant_promises.Narrowed(
        opened=opened,
        kept_out=kept_out,
        exchanges=_asked_for_by_callers(stage, callers),
        parents=len(stage.books.parents),
    )


async def logged_in(stage: Stage) -> grant_promises.LoggedIn:
    """Let two people log in and call in their names, by two keys each, until every key has lived several times."""
    for person in PEOPLE:
        await stage.log_in(DESKS[0], person)
    callers = [stage.desk(name, person) for name in DESKS for person in PEOPLE]
    keys = [caller.source.key for caller in callers]
    stage.faults.lost_replies = 1
    stream = Stream(stage, callers)
    async with stream.running():
        await until(lambda: all(stage.tally.landed[key] >= grant_promises.LIVES for key in keys))
    return grant_promises.LoggedIn(
        calls=stream.calls,
        served=stream.served,
        tokens=tuple(stage.tally.landed[key] for key in keys),
        spent=tuple(stage.books.spent.values()),
        replies_lost=sum(stage.tally.unanswered[key] for key in keys),
        sessions=len(stage.books.logins),
        sessions_lost=len(stage.books.lost),
    )


async def organizations(stage: Stage) -> grant_promises.Organizations:
    """Let fifty callers of each of two organizations call at once, by a client that proves itself with a key."""
    callers = [stage.invoices(organization) for organization in ORGANIZATIONS]
    numbers = {stage.number(): caller for caller in callers * 50}
    served: list[bool] = []

    async def call(caller: Caller, number: int) -> None:
        served.append(await stage.numbered_call(caller, number))

    async with anyio.create_task_group() as tasks:
        for number, caller in numbers.items():
            tasks.start_soon(call, caller, number)
    await stage.told(callers)
    return grant_promises.Organizations(
        calls=len(numbers),
        served=sum(served),
        own=sum(stage.books.admitted.get(str(number)) == caller.asked for number, caller in numbers.items()),
        requests=_asked_for_by_callers(stage, callers),
        answers=tuple(stage.books.answers.get("billing", ())),
        jtis=tuple(stage.books.jtis.get("billing", ())),
    )


def _asked_for_by_callers(stage: Stage, callers: Iterable[Caller]) -> tuple[int, ...]:
    """Return how many tokens were asked for by each key, without renewals ahead."""
    return tuple(stage.books.requests[caller.asked] - stage.tally.ahead(caller.source.key) for caller in callers)
