"""Which 401 is about our token, and which body can be sent twice."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tokenflight.provider.rejection import blames_token, is_acceptance, is_rejection, may_resend

HEADER = "Bearer t1"
URL = httpx.URL("https://api.example/orders")


def response(
    status: int = 401, *challenges: str, url: str = "https://api.example/orders", header: str | None = HEADER
) -> httpx.Response:
    carried = {} if header is None else {"Authorization": header}
    return httpx.Response(
        status,
        headers=[("WWW-Authenticate", challenge) for challenge in challenges],
        request=httpx.Request("GET", url, headers=carried),
    )


def rejected(answer: httpx.Response) -> bool:
    return is_rejection(answer, url=URL, header=HEADER)


@pytest.mark.parametrize(
    "challenges",
    [
        [],
        [""],
        ["Bearer"],
        ['Bearer realm="api"'],
        ['Bearer error="invalid_token"'],
        ['Bearer error="Invalid_Token "'],
        ['Bearer, error="invalid_token"'],
        ['DPoP algs="ES256", error="invalid_token"'],
        ['Basic realm="gateway"', "Bearer"],
        ['Basic realm="gateway", Bearer error="invalid_token"'],
        ['DPoP error="use_dpop_nonce", Bearer error="invalid_token"'],
        ["="],
    ],
)
def test_a_401_that_leaves_the_token_to_blame_is_a_rejection(challenges: list[str]) -> None:
    assert rejected(response(401, *challenges))
    assert blames_token(challenges)


@pytest.mark.parametrize(
    "challenges",
    [
        ["Negotiate"],
        ['Basic realm="gateway"'],
        ["NTLM", "Negotiate"],
        ['Basic realm="Bearer", charset="UTF-8"'],
        ['Bearer error="insufficient_scope", scope="a"'],
        ['Bearer error="insufficient_claims", claims="eyJ9"'],
        ['Bearer error="insufficient_user_authentication", acr_values="mfa"'],
        ['Bearer error="invalid_request"'],
        ['DPoP error="use_dpop_nonce"'],
        ['DPoP error="invalid_dpop_proof", Basic realm="x"'],
    ],
)
def test_a_401_that_another_token_would_meet_as_well_is_none(challenges: list[str]) -> None:
    assert not rejected(response(401, *challenges))
    assert not blames_token(challenges)


@pytest.mark.parametrize("status", [200, 400, 403, 404, 407, 500])
def test_another_status_is_no_rejection(status: int) -> None:
    assert not rejected(response(status, 'Bearer error="invalid_token"'))


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example/orders",
        "https://api.example:8443/orders",
        "https://evil.example/orders",
        "https://api.example./orders",
    ],
)
def test_a_401_of_another_origin_is_no_rejection(url: str) -> None:
    assert not rejected(response(401, url=url))


@pytest.mark.parametrize("url", ["https://API.example:443/other", "https://api.example/?q"])
def test_a_401_after_a_redirect_within_the_origin_is_one(url: str) -> None:
    assert rejected(response(401, url=url))


@pytest.mark.parametrize("header", [None, "Bearer t2", "bearer t1", "Bearer t1, Bearer t1"])
def test_a_401_to_another_header_is_no_rejection(header: str | None) -> None:
    assert not rejected(response(401, header=header))


def test_a_401_to_our_header_sent_twice_is_no_rejection() -> None:
    twice = httpx.Request("GET", URL, headers=[("Authorization", HEADER), ("Authorization", "Basic x")])
    assert not rejected(httpx.Response(401, request=twice))


@pytest.mark.parametrize(
    ("status", "taken"),
    [
        (200, True),
        (204, True),
        (302, True),
        (403, True),
        (404, True),
        (429, True),
        (401, False),
        (407, False),
        (503, False),
    ],
)
def test_an_answer_beyond_the_check_of_the_token_is_an_acceptance(status: int, taken: bool) -> None:
    assert is_acceptance(response(status), url=URL, header=HEADER) is taken


def test_an_answer_of_another_origin_is_no_acceptance() -> None:
    assert not is_acceptance(response(200, url="https://evil.example/"), url=URL, header=HEADER)
    assert not is_acceptance(response(200, header=None), url=URL, header=HEADER)


def parts() -> Iterator[bytes]:
    yield b"x"


async def aparts() -> AsyncIterator[bytes]:
    yield b"x"


class Repeatable:
    """An async iterable that could be passed over twice; nobody can know."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"x"


class Own(httpx.AsyncByteStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"x"


class ByteStream(Own):
    """Named like httpx's, and not it."""


def request(**body: Any) -> httpx.Request:
    return httpx.Request("POST", URL, **body)


@pytest.mark.parametrize(
    "make",
    [
        lambda: request(),
        lambda: request(content=b"x"),
        lambda: request(content="text"),
        lambda: request(data={"a": ["b", "c"]}),
        lambda: request(json={"a": 1}),
        lambda: request(stream=httpx.ByteStream(b"x")),
        lambda: request(files={"f": b"x"}),
        lambda: request(files={"f": ("name", "text")}, data={"a": "b"}),
        lambda: request(files={"f": io.BytesIO(b"x")}),
        lambda: request(files=[("f", io.BytesIO(b"x")), ("g", ("n", b"y", "text/plain"))]),
    ],
)
def test_a_body_in_memory_may_be_sent_again(make: Callable[[], httpx.Request]) -> None:
    assert may_resend(make())


@pytest.mark.parametrize(
    "make",
    [
        lambda: request(content=parts()),
        lambda: request(content=aparts()),
        lambda: request(content=[b"x"]),
        lambda: request(content=Repeatable()),
        lambda: request(content=io.BytesIO(b"x")),
        lambda: request(stream=Own()),
        lambda: request(stream=ByteStream()),
    ],
)
def test_a_body_that_is_passed_over_once_may_not(make: Callable[[], httpx.Request]) -> None:
    assert not may_resend(make())


def test_a_body_that_was_read_into_memory_may() -> None:
    streamed = request(content=parts())
    streamed.read()
    assert may_resend(streamed)


def test_a_file_on_disk_may_and_stays_where_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"0123456789")
    with path.open("rb") as file:
        made = request(files={"f": file})
        file.read()
        assert may_resend(made)
        assert file.tell() == 10


def test_a_spooled_file_may() -> None:
    with tempfile.SpooledTemporaryFile() as file:
        file.write(b"x")
        assert may_resend(request(files={"f": file}))


def test_a_file_that_was_closed_may_not(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x")
    with path.open("rb") as file:
        made = request(files={"f": file})
    assert not may_resend(made)


def test_a_pipe_may_not() -> None:
    reader, writer = os.pipe()
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        assert not may_resend(request(files={"f": pipe, "g": b"x"}))


def test_a_file_that_grew_or_shrank_may_not() -> None:
    file = io.BytesIO(b"0123456789")
    made = request(files={"f": file})
    assert may_resend(made)
    file.write(b"0123456789ab")
    assert not may_resend(made)
    file.truncate(3)
    assert not may_resend(made)


class Liar(io.BytesIO):
    """Says that it seeks, and does not."""

    def seek(self, offset: int, whence: int = 0) -> int:
        return super().tell()


class OnlyReads:
    """Has what httpx asks of a file, and no more."""

    def __init__(self) -> None:
        self._left = b"x"

    def read(self, size: int = -1) -> bytes:
        left, self._left = self._left, b""
        return left


def test_a_file_that_only_says_that_it_seeks_may_not() -> None:
    liar = Liar(b"x")
    liar.read()
    assert not may_resend(request(files={"f": liar}))


def test_what_only_reads_may_not() -> None:
    assert not may_resend(request(files={"f": OnlyReads()}))


def test_a_multipart_body_whose_length_was_not_announced_may_not() -> None:
    made = request(files={"f": io.BytesIO(b"x")}, headers={"Content-Length": "7"})
    assert not may_resend(made)
