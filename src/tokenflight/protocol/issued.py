"""Issued: a good answer, field by field (RFC 6749, section 5.1)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from attrs import frozen

from tokenflight.model.key import as_scope
from tokenflight.model.token import is_access_token

_STANDARD: Final = frozenset({"access_token", "token_type", "expires_in", "refresh_token", "scope"})
_DECIMAL = re.compile(r"[0-9]{1,300}(?:\.[0-9]{1,300})?")
_SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
_MAX_SECONDS: Final = 1e308
_MIN_SECRET: Final = 8


@frozen(kw_only=True, repr=False)
class Issued:
    """A token as the endpoint told of it. `expires_in` and `refresh_in` are seconds from the request, finite and ≥ 0.

    `extra` holds the fields that have no place of their own; `oddities` says what was odd about those that have.
    The repr shows no token and of `extra` the names only.
    """

    access_token: str
    token_type: str
    expires_in: float | None
    refresh_in: float | None
    scope: frozenset[str]
    refresh_token: str | None
    extra: Mapping[str, Any]
    oddities: tuple[str, ...]

    def __repr__(self) -> str:
        return (
            f"Issued({self.token_type} ***, expires_in={self.expires_in}, scope={' '.join(sorted(self.scope))!r}, "
            f"extra={sorted(self.extra)}, oddities={list(self.oddities)})"
        )


@frozen
class Unusable:
    """Why no token can be made of an answer. `lasting` is true where only a person can change that."""

    why: str
    lasting: bool = False


def read_issued(
    fields: Mapping[str, Any],
    *,
    requested: frozenset[str],
    secrets: Iterable[str] = (),
    any_type: bool = False,
) -> Issued | Unusable:
    """Read a token out of an answer's fields; *requested* is the scope that was asked for.

    An access token that no header could carry, and a token type other than Bearer, make it unusable; with *any_type*
    no access token was asked for, and `N_A` is a type as well (RFC 8693, section 2.2.1). Whatever else is
    odd is passed over and named. Scopes and names of other fields are shown in logs: those that repeat the token or
    one of *secrets* are left out.
    """
    access_token = fields.get("access_token")
    if not isinstance(access_token, str) or not is_access_token(access_token):
        return Unusable("it has no usable access_token" if "access_token" in fields else "it has no access_token")
    oddities: list[str] = []
    token_type = _token_type(fields.get("token_type"), oddities, any_type=any_type)
    if isinstance(token_type, Unusable):
        return token_type
    refresh_token = _refresh_token(fields.get("refresh_token"), oddities)
    shown = _fit_to_show((access_token, refresh_token or "", *secrets))
    scope = _scope(fields.get("scope"), requested, oddities)
    extra = {name: value for name, value in fields.items() if name not in _STANDARD}
    if not all(map(shown, (*scope, *extra))):
        oddities.append("a scope or a field is named like a secret")
    return Issued(
        access_token=access_token,
        token_type=token_type,
        expires_in=_expires_in(fields, oddities),
        refresh_in=_refresh_in(fields, oddities),
        scope=frozenset(filter(shown, scope)),
        refresh_token=refresh_token,
        extra={name: value for name, value in extra.items() if shown(name)},
        oddities=tuple(oddities),
    )


def _fit_to_show(secrets: Iterable[str]) -> Callable[[str], bool]:
    """Return a test for names that hold none of *secrets*; very short ones may be part of any word."""
    hidden = [secret for secret in secrets if len(secret) >= _MIN_SECRET]
    return lambda name: not any(secret in name for secret in hidden)


def seconds(value: object) -> float | None:
    """Return a number of seconds, finite and ≥ 0, from an int, a float or a decimal string; None for anything else."""
    if isinstance(value, str):
        text = value.strip(" \t\r\n")
        value = float(text) if _DECIMAL.fullmatch(text) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MAX_SECONDS:
        return None
    return float(value)


def _token_type(value: object, oddities: list[str], *, any_type: bool) -> str | Unusable:
    """Return `Bearer`; a scheme that was not asked for, or is no scheme, would fail at every API (RFC 8693's `N_A`)."""
    if any_type and isinstance(value, str) and value.strip().upper() == "N_A":
        return "N_A"
    if value is None or value == "":
        oddities.append("token_type is missing")
        return "Bearer"
    if not isinstance(value, str):
        return Unusable("its token_type is no string")
    if value.strip().lower() != "bearer":
        return Unusable("its token_type is not the Bearer that was asked for", lasting=True)
    return "Bearer"


def _expires_in(fields: Mapping[str, Any], oddities: list[str]) -> float | None:
    if "expires_in" not in fields:
        oddities.append("expires_in is missing")
        return None
    value = fields["expires_in"]
    lifetime = seconds(value)
    if lifetime is None:
        oddities.append(f"expires_in is no number of seconds but {_kind(value)}")
        return None
    if isinstance(value, str):
        oddities.append("expires_in is a string")
    if lifetime < 1.0:
        oddities.append("expires_in is below one second")
    return lifetime


def _refresh_in(fields: Mapping[str, Any], oddities: list[str]) -> float | None:
    value = fields.get("refresh_in")
    wish = seconds(value)
    if wish is None and value is not None:
        oddities.append(f"refresh_in is no number of seconds but {_kind(value)}")
    return wish


def _scope(value: object, requested: frozenset[str], oddities: list[str]) -> frozenset[str]:
    """Return the granted scope; none told means as requested (RFC 6749, section 5.1)."""
    if value is None:
        return requested
    names = value.split() if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        oddities.append(f"scope is neither a string nor a list of strings but {_kind(value)}")
        return requested
    readable = [name for name in names if _SCOPE_TOKEN.fullmatch(name)]
    if len(readable) < len(names):
        oddities.append("scope has names that are none")
    granted = as_scope(readable) or frozenset()
    if requested - granted:
        oddities.append(f"scope lacks {' '.join(sorted(requested - granted))}")
    return granted


def _refresh_token(value: object, oddities: list[str]) -> str | None:
    if value is None:
        return None
    if isinstance(value, str) and is_access_token(value):
        return value
    oddities.append("refresh_token is unusable")
    return None


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case str():
            return "a string"
        case int() | float():
            return "a number out of range"
        case _:
            return "a list" if isinstance(value, list) else "an object"
