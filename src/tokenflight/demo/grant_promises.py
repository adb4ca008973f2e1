"""Promises about what Box and Auth0 offer beside a client secret: what each act counted, and the judgement. Pure."""

from __future__ import annotations

from typing import Final

from attrs import frozen

from tokenflight.demo.promises import Promise, requests

PLANNED: Final = (429, 503)
"""How the authorization server answers the first two assertions of Box."""
LIVES: Final = 4
"""How many tokens each key of a session gets at least."""


@frozen(kw_only=True)
class SignedFor:
    """Subjects for whom a key signed. `answers`: to each request, as they came; `jtis`: what was in the signed."""

    subjects: int
    served: int
    answers: tuple[int, ...]
    jtis: tuple[str, ...]


@frozen(kw_only=True)
class Narrowed:
    """Tokens narrowed to a file each. `exchanges` counts by file, without renewals ahead; `parents` were exchanged.

    `opened`: files that were opened with their own token; `kept_out`: tokens that did not open another's.
    """

    opened: int
    kept_out: int
    exchanges: tuple[int, ...]
    parents: int


@frozen(kw_only=True)
class LoggedIn:
    """Sessions that refresh tokens kept alive, while calls went on.

    `tokens` counts by key; `spent` how often each refresh token was; `replies_lost` the requests that nothing came
    back from.
    """

    calls: int
    served: int
    tokens: tuple[int, ...]
    spent: tuple[int, ...]
    replies_lost: int
    sessions: int
    sessions_lost: int


@frozen(kw_only=True)
class Organizations:
    """Callers of several organizations at once. `own`: calls that showed the token of the caller's organization.

    `requests` counts by organization, without renewals ahead; `answers` and `jtis` as in SignedFor.
    """

    calls: int
    served: int
    own: int
    requests: tuple[int, ...]
    answers: tuple[int, ...]
    jtis: tuple[str, ...]


def signed_for(counted: SignedFor) -> tuple[Promise, ...]:
    """A request that is sent again is signed again: Box takes each `jti` once, also where it gave no token for it."""
    tried = counted.answers[: len(PLANNED) + 1] == (*PLANNED, 200)
    return (
        Promise(
            "429, 503, 200: each request has a signature and jti of its own",
            f"{_answered(counted.answers)}; {_jtis(counted.jtis)}; {counted.served} of {counted.subjects} served",
            counted.served == counted.subjects > 0 and tried and _once_each(counted.answers, counted.jtis),
        ),
    )


def narrowed(counted: Narrowed) -> tuple[Promise, ...]:
    """A file costs one exchange, and its token is good for nothing else."""
    files, exchanged = len(counted.exchanges), sum(counted.exchanges)
    return (
        Promise(
            f"{files:,} files, one client and one parent token: one exchange each",
            f"{exchanged:,} exchanges of {counted.parents} {'token' if counted.parents == 1 else 'tokens'}",
            files > 0 and counted.parents == 1 and all(count == 1 for count in counted.exchanges),
        ),
        Promise(
            "each narrowed token opens its own file and no other",
            f"{counted.opened:,} opened, {counted.kept_out:,} kept out of the next one's",
            files > 0 and counted.opened == counted.kept_out == files,
        ),
    )


def logged_in(counted: LoggedIn) -> tuple[Promise, ...]:
    """Keys of one session spend its refresh token in turn, and a lost reply costs no session."""
    again = sum(counted.spent) - len(counted.spent)
    taken_once = 0 < again <= counted.replies_lost and len(counted.spent) > counted.sessions
    return (
        Promise(
            "each refresh token is spent once, or again for a lost reply",
            f"{len(counted.spent)} spent, {again} again; {counted.replies_lost} {_replies(counted.replies_lost)} lost",
            taken_once and max(counted.spent) <= 1 + counted.replies_lost,
        ),
        Promise(
            "two keys a session, several lifetimes: no session is lost",
            f"{counted.sessions_lost} of {counted.sessions} lost, {counted.calls:,} calls, "
            f"{counted.calls - counted.served:,} failed, {sum(counted.tokens)} tokens",
            counted.served == counted.calls > 0
            and counted.sessions > 0 == counted.sessions_lost
            and len(counted.tokens) == 2 * counted.sessions
            and min(counted.tokens) >= LIVES,
        ),
    )


def organizations(counted: Organizations) -> tuple[Promise, ...]:
    """A key proves who asks, each time anew; organizations are kept apart as keys are."""
    number = len(counted.requests)
    return (
        Promise(
            "private_key_jwt: Auth0 sees each jti once, signed for it alone",
            f"{_answered(counted.answers)}; {_jtis(counted.jtis)}",
            {*counted.answers} == {200} and _once_each(counted.answers, counted.jtis),
        ),
        Promise(
            f"{number} organizations never share a token: one request each",
            f"{counted.own:,} of {counted.calls:,} calls with their own, {requests(sum(counted.requests))}",
            counted.served == counted.own == counted.calls > 0
            and number > 1
            and all(count == 1 for count in counted.requests),
        ),
    )


def _once_each(answers: tuple[int, ...], jtis: tuple[str, ...]) -> bool:
    return len(answers) == len(jtis) == len(set(jtis)) > 0


def _answered(answers: tuple[int, ...]) -> str:
    return f"answered {', '.join(map(str, answers)) or 'nothing'}"


def _jtis(jtis: tuple[str, ...]) -> str:
    return f"{len(jtis)} signed, {len(set(jtis))} jti"


def _replies(count: int) -> str:
    return "reply" if count == 1 else "replies"
