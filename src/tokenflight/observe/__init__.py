"""Hooks ready made: what tells the outside world of events."""

from tokenflight.observe.logging import LoggingHook

__all__ = ["LoggingHook"]
