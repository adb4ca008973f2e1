"""Rows: what a look at the provider shows, key by key."""

from __future__ import annotations

from datetime import UTC, datetime

from attrs import frozen

from tokenflight import KeyStatus, TokenKey
from tokenflight.demo.books import asked_for
from tokenflight.demo.stage import Stage


@frozen(kw_only=True)
class Row:
    """One key. `left` and `due_in` are seconds, None where there is no token or no renewal planned."""

    label: str
    verdict: str
    left: float | None
    due_in: float | None
    requests: int
    waits: int

    @property
    def lives(self) -> bool:
        """Tell whether there is a token that still lives."""
        return bool(self.left)


def rows(stage: Stage) -> list[Row]:
    """Return a row for each key: those with a living token first, those that lapsed last."""
    found = [_row(stage, status) for status in stage.showing.status()]
    return sorted(found, key=lambda row: (not row.lives, row.left is not None, row.label))


def label(key: TokenKey) -> str:
    """Return a key in words: in this demo its subject is nobody's secret."""
    client, subject, audience = asked_for(key)
    kind = f"{key.subject.type} {subject}" if key.subject is not None else ""
    host = (audience or "").removeprefix("https://").rstrip("/")
    return " · ".join(part for part in (client, kind, host) if part)


def _row(stage: Stage, status: KeyStatus) -> Row:
    left = None
    if status.expires_at is not None:
        left = max(0.0, (status.expires_at - datetime.now(UTC)).total_seconds())
    return Row(
        label=label(status.key),
        verdict=status.verdict,
        left=left,
        due_in=status.due_in,
        requests=stage.books.requests[asked_for(status.key)],
        waits=stage.tally.waits[status.key],
    )
