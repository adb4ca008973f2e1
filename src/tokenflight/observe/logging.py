"""LoggingHook: each event as one structured log line."""

from __future__ import annotations

import logging
import re
from typing import Final

from attrs import asdict

from tokenflight.model.events import Event
from tokenflight.model.key import TokenKey

_WORD: Final = re.compile(r"[A-Z][a-z0-9]*")


class LoggingHook:
    """Write each event at DEBUG: its dotted name, then its fields.

    `TokenLanded` is `tokenflight.token.landed`. The record's `extra` holds the same for structured logging:
    `tokenflight.event` is the name, `tokenflight.<field>` each field. A key shows its subject as a short hash; events
    hold no secret. Endpoints that go down or come back are logged by the engine itself, at WARNING and INFO, with or
    without this hook.
    """

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._logger = logging.getLogger("tokenflight.events") if logger is None else logger

    def __call__(self, event: Event) -> None:
        """Write *event* where its logger wants DEBUG."""
        if not self._logger.isEnabledFor(logging.DEBUG):
            return
        name = event_name(type(event))
        fields = asdict(event, recurse=False)
        line = " ".join([name, *(f"{field}={value!r}" for field, value in fields.items())])
        plain = {field: repr(value) if isinstance(value, TokenKey) else value for field, value in fields.items()}
        extra = {f"tokenflight.{field}": value for field, value in plain.items()}
        self._logger.debug("%s", line, extra={"tokenflight.event": name, **extra})

    def __repr__(self) -> str:
        return f"LoggingHook({self._logger.name!r})"


def event_name(kind: type[Event]) -> str:
    """Return an event's dotted name: the first word of its class, then the others."""
    first, *rest = _WORD.findall(kind.__name__)
    return ".".join(["tokenflight", first.lower(), *(["_".join(rest).lower()] if rest else [])])
