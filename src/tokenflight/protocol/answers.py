"""Answers: reading what a token endpoint sent, whatever it sent (RFC 6749, section 5.1)."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import parse_qsl

from attrs import field, frozen

FORM: Final = "application/x-www-form-urlencoded"
_DECISIVE: Final = frozenset(
    {"error", "access_token", "token_type", "expires_in", "refresh_token", "scope", "id_token", "issued_token_type"}
)
_MAX_DIGITS: Final = 400
_MAX_FORM_FIELDS: Final = 1_000
_DELAY = re.compile(r"[0-9]{1,300}(?:\.[0-9]{1,9})?")
_MAX_DATE_LENGTH: Final = 64


def lower_names(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Return the headers, immutable, under lower-case names."""
    return MappingProxyType({name.lower(): value for name, value in headers.items()})


@frozen(kw_only=True, repr=False)
class TokenAnswer:
    """What came back. Header names are lower-case; the repr shows neither body nor header values."""

    status: int
    headers: Mapping[str, str] = field(converter=lower_names)
    body: bytes

    @property
    def succeeded(self) -> bool:
        """Tell whether the status is 2xx; the body may still say no."""
        return 200 <= self.status < 300

    @property
    def media_type(self) -> str:
        """Return the content type without its parameters, lower-case; empty where there is none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def __repr__(self) -> str:
        return f"TokenAnswer({self.status}, {len(self.body)} bytes, headers={sorted(self.headers)})"


@frozen
class Unreadable:
    """Why a body gives no fields: a phrase of ours, nothing of the body."""

    why: str


def read_fields(answer: TokenAnswer) -> dict[str, Any] | Unreadable:
    """Read a body: a JSON object in UTF-8, or a form where the content type says so, or says only that it is text.

    Numbers that no float can hold are read as null. A name that decides something and comes twice makes the answer
    unreadable, since who reads the first and who reads the last would believe different things. The body of a refusal
    is decoded forgivingly: its error code is worth more than its spelling.
    """
    try:
        text = answer.body.decode("utf-8-sig", "strict" if answer.succeeded else "replace")
        return _READERS.get(answer.media_type, _read_json)(text)
    except UnicodeDecodeError:
        return Unreadable("the body is not UTF-8")
    except (ValueError, RecursionError):
        return Unreadable("the body cannot be read")


def read_document(body: bytes, *, once: frozenset[str]) -> dict[str, Any] | Unreadable:
    """Read a public document: a JSON object in UTF-8, in which no name of *once* comes twice; see `read_fields`."""
    try:
        return _read_json(body.decode("utf-8-sig"), once)
    except UnicodeDecodeError:
        return Unreadable("the body is not UTF-8")
    except (ValueError, RecursionError):
        return Unreadable("the body cannot be read")


def _read_form(text: str) -> dict[str, Any] | Unreadable:
    pairs = parse_qsl(text.strip(), keep_blank_values=True, errors="replace", max_num_fields=_MAX_FORM_FIELDS)
    return _told_twice(pairs, _DECISIVE) or dict(pairs)


def _read_json(text: str, once: frozenset[str] = _DECISIVE) -> dict[str, Any] | Unreadable:
    outermost: list[tuple[str, Any]] = []

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal outermost
        outermost = pairs  # objects are closed from the inside out: the last one to come here holds all others
        return dict(pairs)

    read = json.loads(
        text, object_pairs_hook=collect, parse_int=_integer, parse_float=_finite, parse_constant=lambda _: None
    )
    if not isinstance(read, dict):
        return Unreadable("the body is JSON but no object")
    return _told_twice(outermost, once) or read


def _read_text(text: str) -> dict[str, Any] | Unreadable:
    """Read what is called plain text: JSON, or else a form that says something of a token; some servers call it so."""
    try:
        return _read_json(text)
    except ValueError:
        read = _read_form(text)
        if isinstance(read, Unreadable) or read.keys() & _DECISIVE:
            return read
        raise


_READERS: Final = {FORM: _read_form, "text/plain": _read_text}


def _told_twice(pairs: Iterable[tuple[str, Any]], once: frozenset[str]) -> Unreadable | None:
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen and name in once:
            return Unreadable(f"the body says {name} twice")
        seen.add(name)
    return None


def _integer(digits: str) -> int | None:
    return int(digits) if len(digits) <= _MAX_DIGITS else None


def _finite(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None


def retry_after(headers: Mapping[str, str], wall: float) -> float | None:
    """Return the server's Retry-After in seconds from now, never below 0; None for none, or for what is neither form.

    A date counts from the answer's own Date where it has one, so that no clock but the server's matters; else from
    *wall* (RFC 9110, section 10.2.3).
    """
    value = headers.get("retry-after", "").strip()
    if _DELAY.fullmatch(value):
        return float(value)
    until = http_date(value)
    if until is None:
        return None
    sent = http_date(headers.get("date", "").strip())
    return max(0.0, until - (wall if sent is None else sent))


def http_date(value: str) -> float | None:
    """Return an HTTP date as Unix time; None for what is none (RFC 9110, section 5.6.7)."""
    if not value or len(value) > _MAX_DATE_LENGTH:
        return None
    try:
        moment = parsedate_to_datetime(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
