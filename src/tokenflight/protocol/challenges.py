"""WWW-Authenticate: what a server asks for (RFC 9110, section 11.6.1).

Read leniently, since servers leave out commas, quotes and spaces; and in one pass, since the text is a stranger's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from attrs import define, field, frozen

MAX_LENGTH: Final = 8 * 1024
"""How many characters are read, over all values; what follows is left out."""

# Each pattern is possessive or one character class: none gives back what it took, so that a pass stays linear.
_TOKEN: Final = re.compile(r"[^\s,;=\"]++")
_EQUALS: Final = re.compile(r"\s*+=\s*+")
_GAP: Final = re.compile(r"[\s;]++")
_TOKEN68: Final = re.compile(r"[A-Za-z0-9._~+/-]++=*+(?=\s*+(?:,|\Z))")
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*+)(?:"|\\?\Z)', re.DOTALL)
_BARE: Final = re.compile(r"[^\s,;]*+")
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)


def _fixed(parameters: Mapping[str, str]) -> Mapping[str, str]:
    return MappingProxyType(dict(parameters))


@frozen(kw_only=True)
class Challenge:
    """One scheme with its parameters: both names in lower case, values unquoted, the first of a name kept."""

    scheme: str
    parameters: Mapping[str, str] = field(converter=_fixed)


def challenges(values: Iterable[str]) -> tuple[Challenge, ...]:
    """Return the challenges of all WWW-Authenticate header values, in order. Never raises, whatever the text.

    A word opens a challenge where a list item starts, unless an `=` makes it a parameter of the challenge before. What
    fits nowhere is passed over; a quote that is never closed runs to the end.
    """
    reader, room = _Reader(), MAX_LENGTH
    for value in values:
        reader.read(value[:room])
        room -= len(value)
        if room <= 0:
            break
    return tuple(Challenge(scheme=scheme, parameters=found) for scheme, found in reader.found)


@define(eq=False)
class _Reader:
    """Where a pass stands: what was found, and whether a challenge may open here."""

    found: list[tuple[str, dict[str, str]]] = field(factory=list)

    def read(self, text: str) -> None:
        """Read one value; a parameter may belong to a challenge of the value before it."""
        at, opening = 0, True
        while at < len(text):
            if gap := _GAP.match(text, at):
                at = gap.end()
            elif text[at] == ",":
                at, opening = at + 1, True
            elif word := _TOKEN.match(text, at):
                at, opening = self._word(text, word, opening), False
            elif text[at] == '"':
                at = _end(_QUOTED, text, at)
            else:
                at += 1

    def _word(self, text: str, word: re.Match[str], opening: bool) -> int:
        """Take a parameter with its value, or the name of a scheme with its token68; return where that ends."""
        if equals := _EQUALS.match(text, word.end()):
            value, at = _value(text, equals.end())
            if self.found:
                self.found[-1][1].setdefault(word[0].lower(), value)
            return at
        if not opening:
            return word.end()
        self.found.append((word[0].lower(), {}))
        gap = _GAP.match(text, word.end())
        return word.end() if gap is None else _end(_TOKEN68, text, gap.end())


def _value(text: str, at: int) -> tuple[str, int]:
    """Return a parameter's value, quoted or bare, and where it ends."""
    if quoted := _QUOTED.match(text, at):
        return _ESCAPED.sub(r"\1", quoted[1]), quoted.end()
    end = _end(_BARE, text, at)
    return text[at:end], end


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    """Return where *pattern* ends, or *at* where it does not match."""
    match = pattern.match(text, at)
    return at if match is None else match.end()
