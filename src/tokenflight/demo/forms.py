"""Forms: how the authorization server reads a token request, to the letter, and how it says no."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request

_FORM: Final = "application/x-www-form-urlencoded"


class Refused(Exception):  # noqa: N818  # it is an answer, not a fault
    """A token request that is answered with an error (RFC 6749, section 5.2)."""

    def __init__(self, status: int, error: str, description: str) -> None:
        super().__init__(description)
        self.status = status
        self.body = {"error": error, "error_description": description}


async def read_form(request: Request) -> dict[str, str]:
    """Read a form to the letter: RFC 6749, section 3.2, and nothing that a token request has no use for."""
    headers = request.headers
    if headers.get("content-type") != _FORM:
        raise Refused(400, "invalid_request", f"A token request is {_FORM}")
    if request.url.query or "cookie" in headers or "authorization" in headers:
        raise Refused(
            400, "invalid_request", "All of a token request is in its body: no query, cookie or Authorization"
        )
    try:
        pairs = parse_qsl((await request.body()).decode("ascii"), strict_parsing=True, keep_blank_values=True)
    except ValueError:
        raise Refused(400, "invalid_request", "The body is no form") from None
    return _said_once(pairs)


def read_query(request: Request) -> dict[str, str]:
    """Read what a browser brings to the authorize page (RFC 6749, section 4.1.1)."""
    return _said_once(parse_qsl(request.url.query, keep_blank_values=True))


def just(form: Mapping[str, str], names: Collection[str], *, optional: Collection[str] = (), missing: str) -> None:
    """Refuse a form that lacks one of *names*, or brings what is neither of them nor *optional*."""
    if lacking := sorted(set(names) - form.keys()):
        raise Refused(400, "invalid_request", missing + lacking[0])
    if unknown := sorted(form.keys() - set(names) - set(optional)):
        raise Refused(400, "invalid_request", f"Unknown parameter: {unknown[0]}")


def _said_once(pairs: list[tuple[str, str]]) -> dict[str, str]:
    form = dict(pairs)
    if len(form) < len(pairs) or not all(form.values()):
        raise Refused(400, "invalid_request", "A parameter came twice, or empty")
    return form
