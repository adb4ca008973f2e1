"""Canaries: secrets that can be recognised wherever they come out, and in whatever form."""

from __future__ import annotations

import base64
import re
import traceback
import uuid
from collections.abc import Iterator
from pathlib import Path

import tokenflight

MARK = "CNRY-"
_TESTS = str(Path(__file__).parents[1])
_DOORS = tuple(str(Path(tokenflight.__file__).parent / room) for room in ("provider", "ext"))


def canary(kind: str) -> str:
    """Return a secret for a test; *kind* tells in a finding which one it was."""
    return f"{MARK}{kind}-{uuid.uuid4().hex}"


def sightings(text: str) -> list[str]:
    """Return the places in *text* where a canary shows: as it is, percent-encoded, in hex, in base64, or begun."""
    return [text[max(0, found.start() - 60) : found.end() + 20] for found in _ANY_FORM.finditer(text)]


def exposed(error: BaseException, *, frames: bool = True) -> str:
    """Return all that an exception shows to who looks closely: text, attributes, notes, and the locals of its frames.

    Causes, contexts and members of groups count, suppressed or not. Frames of tests are left out: they know the secret.
    """
    return "\n".join(line for each in _family(error, set()) for line in _shown(each, frames=frames))


def came_through_a_door(error: BaseException) -> bool:
    """Tell whether an exception left the library as users see it; within, pure functions may hold what they work on."""
    return any(frame.f_code.co_filename.startswith(_DOORS) for frame, _ in traceback.walk_tb(error.__traceback__))


def _family(error: BaseException, seen: set[int]) -> Iterator[BaseException]:
    if id(error) in seen:
        return
    seen.add(id(error))
    yield error
    members = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    for relative in (error.__cause__, error.__context__, *members):
        if relative is not None:
            yield from _family(relative, seen)


def _shown(error: BaseException, *, frames: bool) -> Iterator[str]:
    yield "".join(traceback.format_exception_only(error))
    yield repr(error)
    yield repr(error.args)
    yield repr(vars(error))
    for frame, line in traceback.walk_tb(error.__traceback__ if frames else None):
        if frame.f_code.co_filename.startswith(_TESTS):
            continue
        yield f"{frame.f_code.co_filename}:{line} {frame.f_code.co_name}"
        for name, value in frame.f_locals.items():
            yield f"    {name} = {_represented(value)}"


def _represented(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:
        return f"<no repr: {type(error).__name__}>"


def _in_base64() -> Iterator[str]:
    """Yield what base64 makes of the mark behind 0, 1 and 2 other bytes: the digits that depend on the mark alone."""
    for before in range(3):
        digits = base64.b64encode(b"\0" * before + MARK.encode() + b"\0" * 3).decode()
        yield digits[-(-8 * before // 6) : 8 * (before + len(MARK)) // 6]


_ANY_FORM = re.compile(
    "|".join(
        [
            re.escape(MARK),
            f"(?i:{''.join(f'%{ord(letter):02x}' for letter in MARK)})",
            f"(?i:{MARK.encode().hex()})",
            *map(re.escape, _in_base64()),
        ]
    )
)
