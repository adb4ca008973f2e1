"""LoggingHook: one line for each event, and no secret in it."""

from __future__ import annotations

import logging
from typing import Any, get_type_hints

import attrs
import pytest

from tokenflight.model import events
from tokenflight.model.events import Event
from tokenflight.model.key import Audience, Subject, TokenKey
from tokenflight.observe import LoggingHook
from tokenflight.observe.logging import event_name

KEY = TokenKey(client="orders", subject=Subject("canary-subject"), audience=Audience("https://api.example.com"))
KINDS = [
    kind
    for kind in vars(events).values()
    if isinstance(kind, type) and issubclass(kind, Event) and kind not in (Event, events.KeyEvent)
]


def sample(kind: type[Event]) -> Event:
    values: dict[str, Any] = {"key": KEY, "live": True, "transient": True, "attempts": 2, "reason": "a\nb", "left": 0.5}
    return kind(**{field.name: values.get(field.name, 1) for field in attrs.fields(kind)})


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, "tokenflight.events")
    return caplog


@pytest.mark.parametrize("kind", KINDS)
def test_every_event_is_one_line_with_all_its_fields(kind: type[Event], lines: pytest.LogCaptureFixture) -> None:
    LoggingHook()(sample(kind))

    [record] = lines.records
    assert record.levelno == logging.DEBUG
    assert record.name == "tokenflight.events"
    assert record.getMessage().startswith(f"{event_name(kind)} ")
    assert "\n" not in record.getMessage()
    for field in attrs.fields(kind):
        assert f" {field.name}=" in record.getMessage()
        assert f"tokenflight.{field.name}" in vars(record)


@pytest.mark.parametrize("kind", KINDS)
def test_no_subject_shows(kind: type[Event], lines: pytest.LogCaptureFixture) -> None:
    LoggingHook()(sample(kind))

    assert "canary" not in repr(vars(lines.records[0]))


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (events.TokenLanded, "tokenflight.token.landed"),
        (events.ClientHeldBack, "tokenflight.client.held_back"),
        (events.EndpointDown, "tokenflight.endpoint.down"),
        (Event, "tokenflight.event"),
    ],
)
def test_a_name_is_the_class_in_dots(kind: type[Event], name: str) -> None:
    assert event_name(kind) == name


def test_names_are_distinct() -> None:
    assert len({event_name(kind) for kind in KINDS}) == len(KINDS)


def test_the_extra_holds_values_that_can_be_filtered_by(lines: pytest.LogCaptureFixture) -> None:
    LoggingHook()(events.TokenUrgent(key=KEY, left=0.25))

    record = vars(lines.records[0])
    assert record["tokenflight.event"] == "tokenflight.token.urgent"
    assert record["tokenflight.left"] == 0.25
    assert record["tokenflight.key"] == repr(KEY)


def test_a_line_reads_well(lines: pytest.LogCaptureFixture) -> None:
    LoggingHook()(events.EndpointDown(endpoint="https://login.example.com", reason="timeout"))

    assert lines.messages == ["tokenflight.endpoint.down endpoint='https://login.example.com' reason='timeout'"]


def test_nothing_is_made_where_nobody_listens(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tokenflight.events")

    LoggingHook()(object())  # type: ignore[arg-type]  # it is not looked at

    assert caplog.records == []


def test_a_logger_of_ones_own_is_used(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "mine")
    hook = LoggingHook(logging.getLogger("mine"))

    hook(events.ClientChanged(client="c", forgotten=2))

    assert caplog.records[0].name == "mine"
    assert repr(hook) == "LoggingHook('mine')"


def test_events_hold_plain_values_only() -> None:
    plain = {"TokenKey", "str", "float", "int", "bool", "None", "Literal", "Trigger"}
    for kind in KINDS:
        for name, hint in attrs.fields_dict(kind).items():
            words = str(hint.type).replace("|", " ").split("[")[0].split()
            assert set(words) <= plain, f"{kind.__name__}.{name}"
        assert get_type_hints(kind)
