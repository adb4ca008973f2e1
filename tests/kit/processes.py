"""Servers in processes of their own, which a test session starts and stops.

Such a server reads its settings as one JSON line from stdin, tells in one JSON line on stdout that it is ready, and
ends when its stdin closes: whatever happens to the tests, none is left behind.
"""

from __future__ import annotations

import json
import selectors
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

_READY_WITHIN = 60.0
_GONE_WITHIN = 10.0


class MissingError(Exception):
    """A part that a server needs is not there: what, and how it gets there."""


@contextmanager
def running(command: Sequence[str | Path], settings: Mapping[str, Any], *, log: Path) -> Iterator[dict[str, Any]]:
    """Run a server while the block runs; yield what it told. A server that does not get ready is a RuntimeError."""
    with log.open("wb") as errors:
        server = subprocess.Popen(
            [str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
        )
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            server.stdin.write(json.dumps(settings).encode() + b"\n")
            server.stdin.flush()
            yield _told(server.stdout, log)
        finally:
            _stop(server)


def _told(stdout: IO[bytes], log: Path) -> dict[str, Any]:
    with selectors.DefaultSelector() as selector:
        selector.register(stdout, selectors.EVENT_READ)
        line = stdout.readline() if selector.select(_READY_WITHIN) else b""
    if not line:
        raise RuntimeError(f"the server did not get ready; it said:\n{log.read_text('utf-8', 'replace')[-2000:]}")
    told: dict[str, Any] = json.loads(line)
    return told


def _stop(server: subprocess.Popen[bytes]) -> None:
    for stream in (server.stdin, server.stdout):
        assert stream is not None
        try:
            stream.close()
        except BrokenPipeError:  # it ended before it read its settings
            continue
    try:
        server.wait(_GONE_WITHIN)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
