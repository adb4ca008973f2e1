"""Request bodies of every kind, and whether each can be sent a second time byte for byte."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest


async def parts() -> AsyncIterator[bytes]:
    yield b"one"
    yield b"two"


def pieces() -> Iterator[bytes]:
    yield b"x"


class Unseekable(io.BytesIO):
    """A body that comes once, such as a download that is passed on."""

    def seekable(self) -> bool:
        return False

    def seek(self, offset: int, whence: int = 0) -> int:
        raise io.UnsupportedOperation


def once() -> Any:
    return Unseekable(b"passed on")


def on_disk() -> Any:
    return Path(__file__).open("rb")  # closed by `close`


BODIES = [
    pytest.param(dict, True, id="none"),
    pytest.param(lambda: {"content": b"bytes"}, True, id="bytes"),
    pytest.param(lambda: {"content": "text"}, True, id="text"),
    pytest.param(lambda: {"data": {"a": "1", "b": ["2", "3"]}}, True, id="form"),
    pytest.param(lambda: {"json": {"a": [1, None]}}, True, id="json"),
    pytest.param(lambda: {"content": parts()}, False, id="agen"),
    pytest.param(lambda: {"files": {"f": on_disk()}}, True, id="file"),
    pytest.param(lambda: {"files": {"f": io.BytesIO(b"x" * 300_000)}, "data": {"a": "1"}}, True, id="multipart"),
    pytest.param(lambda: {"files": {"f": ("n", b"bytes", "text/plain")}}, True, id="named"),
    pytest.param(lambda: {"files": {"f": once()}}, False, id="once"),
    pytest.param(lambda: {"files": [("f", on_disk()), ("g", once())]}, False, id="mixed"),
]
"""What makes the arguments of a request, and whether they may be sent twice."""

REFUSED = [pytest.param(pieces, id="generator"), pytest.param(lambda: io.BytesIO(b"x"), id="file as content")]
"""What an asynchronous client of httpx refuses to send at all."""


def close(made: dict[str, Any]) -> None:
    """Close the files among the arguments of a request."""
    files = made.get("files", {})
    for file in [file for _, file in (files.items() if isinstance(files, dict) else files)]:
        if hasattr(file, "close"):
            file.close()
