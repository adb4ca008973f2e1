"""Doubles for tests: time, token endpoint, protected API, token source and provider, for users' suites and our own."""

from __future__ import annotations

from tokenflight.testing.acts import (
    Act,
    Answer,
    AsUsual,
    Cut,
    Delay,
    Drip,
    Error,
    Forbidden,
    Gzip,
    Hang,
    Issue,
    LoseReply,
    Raw,
    Redirect,
    Refuse,
    Reset,
    Straggle,
    Throttle,
    Unauthorized,
)
from tokenflight.testing.altering import Amend, Chunked
from tokenflight.testing.clock import VirtualClock
from tokenflight.testing.endpoint import FakeTokenEndpoint, IssuedToken
from tokenflight.testing.exchange import Handler, Reply, Request
from tokenflight.testing.forms import TokenEntry
from tokenflight.testing.ledger import Entry, Ledger
from tokenflight.testing.protected import ApiEntry, ProtectedApp
from tokenflight.testing.provider import FakeProvider, fake_provider
from tokenflight.testing.server import LoopbackServer
from tokenflight.testing.source import StaticTokenSource

__all__ = [
    "Act",
    "Amend",
    "Answer",
    "ApiEntry",
    "AsUsual",
    "Chunked",
    "Cut",
    "Delay",
    "Drip",
    "Entry",
    "Error",
    "FakeProvider",
    "FakeTokenEndpoint",
    "Forbidden",
    "Gzip",
    "Handler",
    "Hang",
    "Issue",
    "IssuedToken",
    "Ledger",
    "LoopbackServer",
    "LoseReply",
    "ProtectedApp",
    "Raw",
    "Redirect",
    "Refuse",
    "Reply",
    "Request",
    "Reset",
    "StaticTokenSource",
    "Straggle",
    "Throttle",
    "TokenEntry",
    "Unauthorized",
    "VirtualClock",
    "fake_provider",
]
