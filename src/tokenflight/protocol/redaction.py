"""Redaction: a server's words made fit for a log line, whatever they hold."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable
from functools import cached_property
from typing import Final
from urllib.parse import quote, quote_plus, unquote, unquote_plus

from tokenflight.model.secret import Secret

MAX_TEXT: Final = 512
_WINDOW: Final = 16 * 1024
_MIN_DERIVED: Final = 8
_PREFIX: Final = 12
_MASK: Final = "***"
_RUN = re.compile(r"[A-Za-z0-9_.-]{20,}")


class Redaction:
    """Known secrets in every form in which a server may send them back, made when the first text needs cleaning.

    Masked are the plain text, its beginning, its percent-encoded, JSON, HTML, hex and base64 forms (the last wherever
    in a longer text they stand, such as Basic credentials), and whatever looks like a JWT. A text in which a secret
    still shows after decoding is dropped whole.
    """

    def __init__(self, secrets: Iterable[Secret]) -> None:
        self._secrets = tuple(secrets)

    @cached_property
    def _plain(self) -> set[str]:
        return {secret.reveal() for secret in self._secrets}

    @cached_property
    def _forms(self) -> list[str]:
        forms = {form for plain in self._plain for form in (plain, *_derived(plain))}
        return sorted(forms, key=len, reverse=True)

    def clean(self, text: object, limit: int = MAX_TEXT) -> str | None:
        """Return *text* as at most *limit* printable characters without secrets; None for what is no text or empty."""
        if not isinstance(text, str) or not text:
            return None
        seen = self._masked(text[:_WINDOW])
        if len(text) > _WINDOW and self._forms:
            seen = seen[: -len(self._forms[0])]  # a secret cut in two at the window's end has a beginning there
        if any(plain in decoded for decoded in _decodings(seen) for plain in self._plain):
            return _MASK
        seen = _RUN.sub(lambda run: _MASK if "eyJ" in run[0] else run[0], seen)
        seen = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in seen)
        return seen if len(seen) <= limit else f"{seen[: limit - 1]}…"

    def __repr__(self) -> str:
        return f"Redaction({len(self._secrets)} secrets)"

    def _masked(self, text: str) -> str:
        for form in self._forms:
            text = text.replace(form, _MASK)
        return text


def _decodings(text: str) -> set[str]:
    """Return what *text* says once decoded, the ways that change nothing left out."""
    return {unquote(text), unquote_plus(text), html.unescape(text)} - {text}


def _derived(plain: str) -> set[str]:
    """Return the other forms of a secret; those of a very short one would mask half the alphabet and are left out."""
    octets = plain.encode("utf-8", "surrogatepass")
    quoted = {quote(octets, safe=""), quote_plus(octets, safe=""), quote(octets)}
    forms = {
        plain.lower(),
        plain.upper(),
        json.dumps(plain)[1:-1],
        octets.hex(),
        octets.hex().upper(),
        html.escape(plain),
    }
    forms |= quoted | {form.lower() for form in quoted}
    for form in (octets, quote_plus(octets, safe="").encode("ascii")):
        forms |= {fragment for shift in range(3) for fragment in _base64_fragments(form, shift)}
    if len(plain) > _PREFIX:
        forms.add(plain[:_PREFIX])
    return {form for form in forms if len(form) >= _MIN_DERIVED}


def _base64_fragments(octets: bytes, shift: int) -> tuple[str, str]:
    """Return the characters that *octets* alone decide in a base64 text, where *shift* modulo 3 octets stand before."""
    padded = bytes(shift) + octets
    own = slice((0, 2, 3)[shift], len(padded) * 8 // 6)
    return base64.b64encode(padded).decode("ascii")[own], base64.urlsafe_b64encode(padded).decode("ascii")[own]
