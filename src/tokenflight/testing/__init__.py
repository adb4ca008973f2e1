"""Doubles for tests: time, token endpoint, protected API and token source, for users' suites and our own."""

from __future__ import annotations

from tokenflight.testing.clock import VirtualClock

__all__ = ["VirtualClock"]
