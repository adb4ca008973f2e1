from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture
def hushed() -> Iterator[None]:
    """Keep httpcore and httpx from telling each step of thousands of requests; a few requests tell the same."""
    loggers = [logging.getLogger(name) for name in ("httpcore", "httpx")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
