"""Visits: requests as the doubles read them, strictly: a form that is none is malformed, not empty."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterator
from typing import Final
from urllib.parse import parse_qsl, unquote_plus, urlsplit

from attrs import define, field
from tests.doubles.tokens import peeked

from tokenflight.testing.acts import Issue
from tokenflight.testing.exchange import Pairs, Request
from tokenflight.testing.ledger import Entry

FORM: Final = "application/x-www-form-urlencoded"
JSON: Final = "application/json"
_PROOFS: Final = frozenset({"client_id", "client_secret", "client_assertion", "client_assertion_type"})
_ASSERTIONS: Final = ("assertion", "client_assertion", "subject_token", "actor_token")
_OF_ONE_ATTEMPT: Final = frozenset({"jti", "exp", "iat", "nbf"})


@define(eq=False, kw_only=True)
class Visit(Entry):
    """One request as it was read, and what became of it.

    Attributes:
        fields: what the body says, decoded, in order.
        form: the same by name; of a name that came twice, the last.
        repeated: names that came twice.
        readable: whether the body is what its Content-Type says.
        query: the URL's query by name.
        basic: id and secret of HTTP Basic.
        bearer: the token of an Authorization header of that scheme.
        jtis: issuer and `jti` of each JWT that came along, unverified, by the field that held it.
        replayed: the fields whose JWT had a `jti` that had come before.
        how: what a scripted Issue() wants to be different.
        token: the access token that was issued; None where none was.
        error: the error code of the answer, where it held one.
    """

    fields: Pairs = field(default=(), repr=False)
    form: dict[str, str] = field(factory=dict, repr=False)
    repeated: tuple[str, ...] = ()
    readable: bool = True
    query: dict[str, str] = field(factory=dict, repr=False)
    basic: tuple[str, str] | None = field(default=None, repr=False)
    bearer: str | None = field(default=None, repr=False)
    jtis: dict[str, tuple[str, str]] = field(factory=dict)
    replayed: frozenset[str] = frozenset()
    how: Issue = field(factory=Issue, repr=False)
    token: str | None = field(default=None, repr=False)
    error: str | None = None

    @property
    def raw(self) -> bytes:
        """Return the body's bytes."""
        return self.request.body

    @property
    def content_type(self) -> str:
        """Return the media type of the body, without parameters."""
        return (self.request.header("content-type") or "").partition(";")[0].strip().lower()

    @property
    def origin(self) -> str:
        """Return scheme, host and port that were asked."""
        return self.request.origin

    @property
    def client(self) -> str | None:
        """Return the client_id that was claimed."""
        return self.basic[0] if self.basic else self.form.get("client_id")

    @property
    def flight(self) -> object:
        """Return what single flight goes by; a request without a grant is alone with itself."""
        if "grant_type" not in self.form:
            return self.number
        fields = sorted((name, _lasting(value)) for name, value in self.fields if name not in _PROOFS)
        return (self.origin + self.path, self.client or self.bearer, *fields)


def visit(request: Request, *, number: int, now: float) -> Visit:
    """Read a request; what is wrong with it shows in the visit, and nothing raises."""
    seen = Visit(number=number, started=now, request=request)
    seen.fields, seen.readable = _body(seen)
    seen.form = dict(seen.fields)
    seen.repeated = tuple(sorted(name for name, count in Counter(n for n, _ in seen.fields).items() if count > 1))
    seen.query = dict(parse_qsl(urlsplit(request.url).query, keep_blank_values=True))
    scheme, _, value = (request.header("authorization") or "").partition(" ")
    if scheme.lower() == "basic":
        seen.basic = _basic(value)
    elif scheme.lower() == "bearer":
        seen.bearer = value.strip() or None
    seen.jtis = dict(_jtis(seen))
    return seen


def _body(seen: Visit) -> tuple[Pairs, bool]:
    if not seen.raw:
        return (), True
    try:
        text = seen.raw.decode("utf-8")
        if seen.content_type == FORM:
            return tuple(parse_qsl(text, keep_blank_values=True, strict_parsing=True, errors="strict")), True
        if seen.content_type == JSON:
            return tuple(_object(text).items()), True
    except ValueError:
        return (), False
    return (), True


def _object(text: str) -> dict[str, str]:
    read = json.loads(text)
    if not isinstance(read, dict) or not all(isinstance(value, str) for value in read.values()):
        raise ValueError("an object of strings is wanted")
    return read


def _basic(value: str) -> tuple[str, str] | None:
    try:
        client, colon, secret = base64.b64decode(value.strip(), validate=True).decode().partition(":")
    except ValueError:
        return None
    return (unquote_plus(client), unquote_plus(secret)) if colon else None


def _jtis(seen: Visit) -> Iterator[tuple[str, tuple[str, str]]]:
    for name in _ASSERTIONS:
        claims = peeked(seen.form.get(name)) or {}
        if isinstance(claims.get("jti"), str) and isinstance(claims.get("iss"), str):
            yield name, (claims["iss"], claims["jti"])


def _lasting(value: str) -> str:
    """Return what stays of a value when it is made anew for each attempt, as an assertion is."""
    claims = peeked(value)
    if claims is None:
        return value
    return json.dumps({name: claim for name, claim in claims.items() if name not in _OF_ONE_ATTEMPT}, sort_keys=True)
