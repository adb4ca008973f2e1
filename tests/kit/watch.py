"""The watch that every test stands under: what it finds fails the test.

- `secrets`: a canary in a log record (root at DEBUG, tracebacks rendered), a warning, captured output, or in what an
  error of the library shows when `pytest.raises` catches it: its text and attributes, and, where it came out of a
  provider or a door, the locals of its frames;
- `tasks`: a task that outlives its loop's last fixture; `descriptors`: an open socket, pipe or file;
- `loop`: what an event loop complains of, such as an exception that nobody retrieved;
- `ledger`: a broken rule in the ledger of a double that the test made.
"""

from __future__ import annotations

import gc
import logging
import traceback
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, TypeAlias

from tests.kit.canary import sightings

from tokenflight.testing.double import ScriptedDouble

Kind: TypeAlias = Literal["secrets", "tasks", "descriptors", "loop", "ledger"]

_OPEN = Path("/proc/self/fd")
_MANY_RECORDS = 20_000
_CHATTY = ("httpcore", "httpx", "hpack")
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
_current: list[Watch] = []
_alive: weakref.WeakSet[ScriptedDouble[Any]] = weakref.WeakSet()


class Watch:
    """What was found during one test, and what the test said may be found."""

    def __init__(self) -> None:
        self.born: list[ScriptedDouble[Any]] = []
        self._findings: list[tuple[Kind, str]] = []
        self._waived: dict[Kind, str] = {}

    def found(self, kind: Kind, text: str) -> None:
        self._findings.append((kind, text))

    def waive(self, kind: Kind, because: str) -> None:
        """Let this test do what a kind of finding would fail it for; *because* is for the reader."""
        assert because, "a kind of finding is waived for a reason: write it down"
        self._waived[kind] = because

    def scan(self, where: str, text: str) -> None:
        for sight in sightings(text):
            self.found("secrets", f"a secret shows in {where}: …{sight}…")

    @property
    def findings(self) -> list[str]:
        return [f"{kind}: {text}" for kind, text in self._findings if kind not in self._waived]


@contextmanager
def watching() -> Iterator[Watch]:
    """Watch what the block does; the innermost watch gets the findings."""
    watch, before = Watch(), _descriptors()
    handler = _Scanner(watch)
    level = logging.root.level
    logging.root.setLevel(logging.DEBUG)
    logging.root.addHandler(handler)
    _current.append(watch)
    try:
        yield watch
        _look_back(watch, before)
    finally:
        _current.remove(watch)
        logging.root.removeHandler(handler)
        logging.root.setLevel(level)
        if handler.count >= _MANY_RECORDS:
            handler.hush(logging.NOTSET)


def _look_back(watch: Watch, before: dict[str, str]) -> None:
    gc.collect(1)
    if _descriptors().items() - before.items():
        gc.collect()
        for number, target in sorted(_descriptors().items() - before.items()):
            watch.found("descriptors", f"{number} is still open: {target}")
    for double in {*_alive, *watch.born}:
        try:
            double.ledger.check()
        except AssertionError as error:
            watch.found("ledger", str(error))


def found(kind: Kind, text: str) -> None:
    """Report a finding to whoever watches."""
    if _current:
        _current[-1].found(kind, text)


def scan(where: str, text: str) -> None:
    """Report the secrets that show in *text*."""
    if _current:
        _current[-1].scan(where, text)


def born(double: ScriptedDouble[Any]) -> None:
    """Keep a new double until its test is over, and as long as it lives by itself."""
    _alive.add(double)
    if _current:
        _current[-1].born.append(double)


class _Scanner(logging.Handler):
    """Read every record as a handler that writes it would, and what rides along with it."""

    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self.count = 0
        self._watch = watch

    def emit(self, record: logging.LogRecord) -> None:
        if self._watch is not _current[-1]:
            return
        self.count += 1
        if self.count == _MANY_RECORDS:
            self.hush(logging.INFO)
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text += "".join(traceback.format_exception(record.exc_info[1]))
        if len(extra := vars(record).keys() - _STANDARD):
            text += repr({name: getattr(record, name) for name in extra})
        scan(f"a log record of {record.name}", text)
        if record.name == "asyncio" and record.levelno >= logging.ERROR:
            found("loop", text)

    def hush(self, level: int) -> None:
        for name in _CHATTY:
            logging.getLogger(name).setLevel(level)


def _descriptors() -> dict[str, str]:
    """Return what is open, by number; empty where the system does not tell."""
    if not _OPEN.exists():
        return {}
    opened = {}
    for path in _OPEN.iterdir():
        with suppress(OSError):  # the descriptor of this very listing
            target = str(path.readlink())
            if not target.startswith("/dev/"):
                opened[path.name] = target
    return opened
