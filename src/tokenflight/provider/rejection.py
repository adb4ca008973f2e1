"""Rejection: is this 401 about our token, and may its request be sent again. Pure: no body is read, nothing is sent.

Requests, responses, URLs and streams are those of httpx or of its successor, and known by their shape: this module
imports neither.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from tokenflight.protocol.challenges import challenges

_UNAUTHORIZED: Final = 401
_PROXY_UNAUTHORIZED: Final = 407
_SERVER_ERRORS: Final = 500
_SCHEMES: Final = frozenset({"bearer", "dpop"})
_LIBRARIES: Final = frozenset({"httpx", "httpx2"})


def is_rejection(response: Any, *, url: Any, header: str) -> bool:
    """Tell whether *response* refuses the token of *header*, an Authorization value that was sent to *url*.

    It does where it is a 401 whose own request, the last of any redirects, went to that origin with exactly that
    header, and where its challenges leave the token to blame (RFC 6750, section 3; RFC 9449, section 7.1).
    """
    return (
        response.status_code == _UNAUTHORIZED
        and _carried(response.request, url, header)
        and blames_token(response.headers.get_list("www-authenticate"))
    )


def is_acceptance(response: Any, *, url: Any, header: str) -> bool:
    """Tell whether *response* shows that the origin of *url* took the token, whatever it answered beyond that."""
    status = response.status_code
    return (
        status < _SERVER_ERRORS
        and status not in {_UNAUTHORIZED, _PROXY_UNAUTHORIZED}
        and _carried(response.request, url, header)
    )


def blames_token(values: Iterable[str]) -> bool:
    """Tell whether the WWW-Authenticate *values* of a 401 leave it to the token.

    Yes: a Bearer or DPoP challenge with `invalid_token` or without `error`, or no challenge at all. No: another error,
    which another token would meet as well, or schemes that are not ours.
    """
    found = challenges(values)
    errors = [each.parameters.get("error", "") for each in found if each.scheme in _SCHEMES]
    return not found or any(error.strip().lower() in {"", "invalid_token"} for error in errors)


def may_resend(request: Any) -> bool:
    """Tell whether *request* can be sent again byte for byte.

    Yes: a body in memory (bytes, text, form, JSON, none), and multipart whose files, if any, rewind and kept their
    length. No: anything else, since nobody can know what a second pass over it would give. httpx itself sends a
    multipart file that does not rewind as an empty one, and a file passed as content from wherever it stands.
    """
    stream = request.stream
    kind = type(stream)
    if kind.__module__.partition(".")[0] not in _LIBRARIES:
        return False
    if kind.__name__ == "ByteStream":
        return True
    return kind.__name__ == "MultipartStream" and _repeats(request)


def _carried(request: Any, url: Any, header: str) -> bool:
    """Tell whether *request* went to the origin of *url* with exactly *header*."""
    there = request.url
    same_origin = (there.scheme, there.raw_host, there.port) == (url.scheme, url.raw_host, url.port)
    return same_origin and request.headers.get("authorization") == header


def _repeats(request: Any) -> bool:
    """Tell whether every file of a multipart body can be read again from its start, with the length announced."""
    stream = request.stream
    if not all(_rewinds(field.file) for field in stream.fields if hasattr(field, "file")):
        return False
    return bool(request.headers.get("content-length") == str(stream.get_content_length()))


def _rewinds(file: Any) -> bool:
    """Tell whether *file* goes back to its start, by trying; it is left where it stood."""
    if isinstance(file, bytes | str):
        return True
    try:
        if not file.seekable():
            return False
        before = file.tell()
        file.seek(0)
        rewound = file.tell() == 0
        file.seek(before)
    except Exception:  # a closed file, or one that only looks like a file: any failure is a no
        return False
    return bool(rewound)
