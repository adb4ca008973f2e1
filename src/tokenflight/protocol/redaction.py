"""Redaction: a server's words made fit for a log line, whatever they hold."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Final
from urllib.parse import unquote, unquote_plus, unquote_to_bytes

from tokenflight.model.secret import Secret

MAX_TEXT: Final = 512
_WINDOW: Final = 4 * 1024
_CUT: Final = 256
_MARK_LENGTHS: Final = 8, 12
_MASK: Final = "***"
_RUN = re.compile(r"[A-Za-z0-9+/=_%.~-]{10,}")
_JWT_START: Final = "eyJ"
_MIN_JWT: Final = 20
_URLSAFE: Final = str.maketrans("-_", "+/")
_HEX = re.compile(r"[0-9A-Fa-f]{16,}")
_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/]")


class Redaction:
    """Known secrets in whatever form a server may send them back, prepared when the first text needs cleaning.

    Masked are the plain text in any case, its beginning, its JSON form, every run of characters that holds it once
    percent-decoded, decoded from hex or base64 (Basic credentials), or both, and whatever looks like a JWT. A text that
    shows a secret only after decoding as a whole is dropped as a whole. Of secrets shorter than 8 characters the plain
    text alone is masked: encoded, they may be found in anything.
    """

    def __init__(self, secrets: Iterable[Secret]) -> None:
        self._secrets = tuple(secrets)

    @cached_property
    def _plain(self) -> set[str]:
        return {secret.reveal() for secret in self._secrets}

    @cached_property
    def _marks(self) -> set[str]:
        """The beginnings by which secrets are known: who finds a secret finds its beginning."""
        shortest, longest = _MARK_LENGTHS
        return {plain[:longest] for plain in self._plain if len(plain) >= shortest}

    @cached_property
    def _forms(self) -> list[str]:
        forms = set(self._plain)
        for plain in self._plain:
            if len(plain) >= _MARK_LENGTHS[0]:
                forms |= {plain.lower(), plain.upper(), json.dumps(plain)[1:-1]}
        return sorted(forms, key=len, reverse=True)

    def clean(self, text: object, limit: int = MAX_TEXT) -> str | None:
        """Return *text* as at most *limit* printable characters without secrets; None for what is no text or empty."""
        if not isinstance(text, str) or not text:
            return None
        seen = self._masked(text[:_WINDOW])
        if len(text) > _WINDOW:
            seen = seen[
                : -max([_CUT, *map(len, self._forms)])
            ]  # a secret that the window's end cut in two begins there
        if any(mark in decoded for decoded in _whole(seen) for mark in self._marks):
            return _MASK
        seen = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in seen)
        return seen if len(seen) <= limit else f"{seen[: limit - 1]}…"

    def __repr__(self) -> str:
        return f"Redaction({len(self._secrets)} secrets)"

    def _masked(self, text: str) -> str:
        for form in self._forms:
            text = text.replace(form, _MASK)
        text = _RUN.sub(lambda run: _MASK if self._betrayed_by(run[0]) else run[0], text)
        for mark in self._marks:
            text = text.replace(mark, _MASK)
        return text

    def _betrayed_by(self, run: str) -> bool:
        if _JWT_START in run and len(run) >= _MIN_JWT:
            return True
        marks = [mark.encode("utf-8", "surrogatepass") for mark in self._marks]
        return any(mark in octets for octets in _decoded(run) for mark in marks) if marks else False


def _whole(text: str) -> set[str]:
    """Return what *text* says once decoded, the ways that change nothing left out."""
    return {unquote(text), unquote_plus(text), html.unescape(text)} - {text}


def _decoded(run: str) -> Iterator[bytes]:
    """Yield what a run of ASCII characters may stand for."""
    for text in {run, unquote(run, "latin-1")}:
        for octets in (text.encode("latin-1"), *_hex(text), *_base64(text)):
            yield octets
            yield unquote_to_bytes(octets)
            yield unquote_to_bytes(octets.replace(b"+", b" "))


def _hex(text: str) -> Iterator[bytes]:
    """Yield what stands in hex in *text*, begun at either of the two digits that an octet may start at."""
    for digits in _HEX.findall(text):
        for start in range(2):
            part = digits[start:]
            yield bytes.fromhex(part[: len(part) // 2 * 2])


def _base64(text: str) -> Iterator[bytes]:
    """Yield *text* decoded from base64, begun at each of the four characters that a group may start at."""
    letters = _NOT_BASE64.sub("", text.translate(_URLSAFE))
    for start in range(4):
        part = letters[start:]
        part = part[:-1] if len(part) % 4 == 1 else part
        yield base64.b64decode(part + "=" * (-len(part) % 4))
