"""Token requests as a token endpoint reads them (RFC 6749, sections 2.3, 3.2 and 4.4.2)."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from typing import Final
from urllib.parse import parse_qsl, unquote_plus

from attrs import define, field

from tokenflight.testing.exchange import Request
from tokenflight.testing.ledger import Entry

FORM: Final = "application/x-www-form-urlencoded"
_CREDENTIALS: Final = frozenset({"client_id", "client_secret", "client_assertion", "client_assertion_type"})
_SECRETS: Final = frozenset({"assertion", "code", "password", "refresh_token", "subject_token", "actor_token"})


@define(eq=False, kw_only=True)
class TokenEntry(Entry):
    """One token request as it was read, and what became of it.

    Attributes:
        form: the fields, decoded; of a name that came twice, the last.
        repeated: names that came twice.
        client: the client_id; None where none was given.
        authentication: `client_secret_basic`, `client_secret_post`, `client_assertion`, several joined by a space;
            without any of them `tls_client_auth` where a certificate came, else `none`.
        secret: the client secret; None where none was given.
        key: what single flight goes by: where it went, the client, and all fields but the credentials.
        token: the access token that was issued; None where none was.
        error: the error code of the answer, where it held one.
        retry_after: the seconds that the answer told the client to wait.
    """

    form: dict[str, str] = field(repr=False)
    repeated: tuple[str, ...] = ()
    client: str | None = None
    authentication: str = "none"
    secret: str | None = field(default=None, repr=False)
    key: tuple[str, ...] = ()
    token: str | None = field(default=None, repr=False)
    error: str | None = None
    retry_after: float | None = None

    @property
    def audience(self) -> str | None:
        """Return what was asked for by `audience` or by `resource` (RFC 8707)."""
        return self.form.get("audience") or self.form.get("resource")

    @property
    def scope(self) -> str | None:
        """Return the scope that was asked for."""
        return self.form.get("scope")


def read(request: Request, *, number: int, now: float) -> TokenEntry:
    """Read a token request; what is wrong with it shows in the entry, and nothing raises."""
    items = parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True)
    names = Counter(name for name, _ in items)
    form = {name: value for name, value in items if value}
    basic = _basic(request.header("authorization"))
    methods = [
        method
        for method, used in (
            ("client_secret_basic", basic is not None),
            ("client_secret_post", "client_secret" in form),
            ("client_assertion", "client_assertion" in form),
        )
        if used
    ]
    unproven = "none" if request.client_certificate is None else "tls_client_auth"
    client, secret = basic or (form.get("client_id"), form.get("client_secret"))
    return TokenEntry(
        number=number,
        started=now,
        request=request,
        form=form,
        repeated=tuple(sorted(name for name, count in names.items() if count > 1)),
        client=client,
        authentication=" ".join(methods) or unproven,
        secret=secret,
        key=_key(request, client, form),
    )


def _basic(header: str | None) -> tuple[str, str] | None:
    scheme, _, value = (header or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        client, _, secret = base64.b64decode(value.strip(), validate=True).decode().partition(":")
    except ValueError:
        return None
    return unquote_plus(client), unquote_plus(secret)


def _key(request: Request, client: str | None, form: dict[str, str]) -> tuple[str, ...]:
    fields = sorted((name, value) for name, value in form.items() if name not in _CREDENTIALS)
    shown = (f"{name}={_digest(value) if name in _SECRETS else value}" for name, value in fields)
    return (request.origin + request.path, client or "", *shown)


def _digest(value: str) -> str:
    return "#" + hashlib.sha256(value.encode()).hexdigest()[:8]
