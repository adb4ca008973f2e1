"""The events that hooks are told of have one public door: `tokenflight.observe`."""

from __future__ import annotations

from tokenflight import observe
from tokenflight.engine.hooks import Hook
from tokenflight.model import events


def test_every_event_and_what_it_is_typed_with_comes_from_observe() -> None:
    kinds = {name for name, kind in vars(events).items() if isinstance(kind, type) and issubclass(kind, events.Event)}

    assert set(observe.__all__) == {*kinds, "Trigger", "Hook", "LoggingHook"}
    assert all(getattr(observe, name) is getattr(events, name) for name in kinds | {"Trigger"})
    assert observe.Hook is Hook


def test_the_names_are_sorted() -> None:
    assert observe.__all__ == sorted(observe.__all__)
