"""Compact: a JWT's text, taken apart and not believed yet (RFC 7515, section 7.1; RFC 7519, section 7.2)."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import Any, Final, NoReturn

from attrs import frozen

from tokenflight.model.token import MAX_TOKEN_LENGTH

_BASE64URL = re.compile(r"[A-Za-z0-9_-]*")
_MAX_DIGITS: Final = 400


@frozen(kw_only=True)
class Invalid:
    """Why a JWT, or a document of keys, is not believed: a short stable code, and a phrase that holds nothing of it.

    `outdated` is true where other keys than the ones at hand may make it valid.
    """

    reason: str
    detail: str
    outdated: bool = False


@frozen(kw_only=True, repr=False)
class Compact:
    """The parts of a JWT. Nobody has signed for them until the signature was checked; the repr shows none."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    signing_input: bytes
    signature: bytes

    def __repr__(self) -> str:
        return "Compact(***)"


def read_compact(text: str) -> Compact | Invalid:
    """Take a JWT apart: three parts in base64url, of which two are JSON objects, 64 KiB at most.

    What two readers could read in two ways is refused: a name that comes twice, padding, stray bits, `NaN`. So is a
    header with `crit`, for none of what it could demand is understood here (RFC 7515, section 4.1.11).
    """
    if not isinstance(text, str) or len(text) > MAX_TOKEN_LENGTH:
        return _no_jwt("it is longer than any token that is accepted, or no text")
    parts = text.split(".")
    if len(parts) != 3:
        return _no_jwt("it is encrypted" if len(parts) == 5 else "it does not have three parts")
    try:
        head, body, signature = map(_decoded, parts)
        header, claims = read_json(head), read_json(body)
    except (ValueError, RecursionError):
        return _no_jwt("its parts are no JSON objects in base64url, each with every name once")
    if not isinstance(header, dict) or not isinstance(claims, dict):
        return _no_jwt("its header or its content is no JSON object")
    if "crit" in header:
        return Invalid(reason="critical", detail="its header demands an extension that is not understood (crit)")
    if not isinstance(header.get("kid", ""), str):
        return _no_jwt("the kid in its header is no string")
    return Compact(
        header=header, claims=claims, signing_input=f"{parts[0]}.{parts[1]}".encode("ascii"), signature=signature
    )


def read_json(content: bytes) -> Any:
    """Read JSON in UTF-8. Raises ValueError, also for a name that comes twice in one object, `NaN` and `Infinity`."""
    return json.loads(
        content.decode("utf-8"), object_pairs_hook=_each_once, parse_constant=_refused, parse_int=_integer
    )


def _decoded(part: str) -> bytes:
    """Decode base64url as it must be written: no padding, no other letter, no bit that means nothing."""
    if not _BASE64URL.fullmatch(part):
        raise ValueError("no base64url")
    try:
        content = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except binascii.Error:
        raise ValueError("no base64url") from None
    if base64.urlsafe_b64encode(content).rstrip(b"=") != part.encode("ascii"):
        raise ValueError("stray bits")
    return content


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) < len(pairs):
        raise ValueError("a name comes twice")
    return read


def _refused(constant: str) -> NoReturn:
    raise ValueError("no JSON number")


def _integer(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise ValueError("no number that anything counts to")
    return int(digits)


def _no_jwt(detail: str) -> Invalid:
    return Invalid(reason="not_a_jwt", detail=detail)
