"""What a provider says of itself holds no subject; events are values."""

from __future__ import annotations

import attrs
import pytest

from tokenflight.model.events import EndpointDown, Event, KeyEvent, TokenForgotten
from tokenflight.model.key import Subject, TokenKey
from tokenflight.model.status import EndpointHealth, KeyStatus

KEY = TokenKey(client="c", subject=Subject("canary-subject"))


def test_a_status_shows_no_subject() -> None:
    status = KeyStatus(
        key=KEY,
        verdict="due",
        expires_at=None,
        due_in=-1.0,
        used_ago=0.5,
        in_flight=True,
        pinned=False,
        holding_back="backoff",
        not_before_in=2.0,
        failures=1,
        last_error="timeout",
    )

    assert "canary" not in repr(status)
    assert "verdict='due'" in repr(status)


def test_a_health_is_a_value() -> None:
    fields = dict.fromkeys(("last_error", "next_probe_in", "survives_for"))
    health = EndpointHealth(
        endpoint="https://a", state="up", since=1.0, keys=1, keys_without_token=0, issued=5, **fields
    )

    assert health == attrs.evolve(health)
    assert hash(health) == hash(attrs.evolve(health))


def test_events_are_values_and_a_keys_events_can_be_told_from_the_others() -> None:
    assert TokenForgotten(key=KEY) == TokenForgotten(key=KEY)
    assert isinstance(TokenForgotten(key=KEY), KeyEvent)
    assert not isinstance(EndpointDown(endpoint="e", reason="r"), KeyEvent)
    assert "canary" not in repr(TokenForgotten(key=KEY))
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        TokenForgotten(key=KEY).key = KEY  # type: ignore[misc]
    assert isinstance(Event(), Event)
