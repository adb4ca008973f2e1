"""WWW-Authenticate, as servers write it."""

from __future__ import annotations

import random
import string
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tokenflight.protocol.challenges import MAX_LENGTH, Challenge, challenges


def read(*values: str) -> list[tuple[str, dict[str, str]]]:
    return [(found.scheme, dict(found.parameters)) for found in challenges(values)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Bearer", [("bearer", {})]),
        ("Bearer ", [("bearer", {})]),
        ('Bearer realm="a"', [("bearer", {"realm": "a"})]),
        ('bearer REALM="A", Error=invalid_token', [("bearer", {"realm": "A", "error": "invalid_token"})]),
        ('Bearer realm="a, Basic b", error="x"', [("bearer", {"realm": "a, Basic b", "error": "x"})]),
        (r'Bearer realm="a \"b\" \\", error="x"', [("bearer", {"realm": 'a "b" \\', "error": "x"})]),
        ('Bearer, error="invalid_token"', [("bearer", {"error": "invalid_token"})]),
        ("Bearer error = invalid_token", [("bearer", {"error": "invalid_token"})]),
        ('Bearer error="a" error_description="b"', [("bearer", {"error": "a", "error_description": "b"})]),
        ('Bearer error="a"; realm="b"', [("bearer", {"error": "a", "realm": "b"})]),
        ('Bearer error="invalid_token', [("bearer", {"error": "invalid_token"})]),
        ('Bearer error="invalid_token\\', [("bearer", {"error": "invalid_token"})]),
        ("Bearer realm=, error=x", [("bearer", {"error": "x"})]),  # `realm=` may be a token68
        ("Bearer a=b, realm=, error=x", [("bearer", {"a": "b", "realm": "", "error": "x"})]),
        ("Bearer realm=https://a/b?c=d, error=x", [("bearer", {"realm": "https://a/b?c=d", "error": "x"})]),
        ('Bearer error="a", error="b"', [("bearer", {"error": "a"})]),
        ("Negotiate", [("negotiate", {})]),
        ("Negotiate YII=, Bearer error=x", [("negotiate", {}), ("bearer", {"error": "x"})]),
        ("NTLM TlRMTVNTUA==", [("ntlm", {})]),
        ("Basic abc, Bearer", [("basic", {}), ("bearer", {})]),
        ('Basic realm="a", Bearer error="x"', [("basic", {"realm": "a"}), ("bearer", {"error": "x"})]),
        ('DPoP algs="ES256 RS256", Bearer', [("dpop", {"algs": "ES256 RS256"}), ("bearer", {})]),
        (
            'Bearer error_description=The token died, error="x"',
            [("bearer", {"error_description": "The", "error": "x"})],
        ),
        ('Bearer "stray" error=x', [("bearer", {"error": "x"})]),
        ("Bearer = error=x", []),
        (", ,Bearer,,", [("bearer", {})]),
        ('realm="of nobody"', []),
        ("=", []),
        ('"', []),
        ("", []),
        ("   ", []),
    ],
)
def test_a_value_is_read_as_its_server_meant_it(value: str, expected: list[tuple[str, dict[str, str]]]) -> None:
    assert read(value) == expected


def test_values_of_several_lines_are_read_in_order() -> None:
    assert read('Basic realm="a"', 'Bearer error="x"') == [("basic", {"realm": "a"}), ("bearer", {"error": "x"})]


def test_a_parameter_on_a_line_of_its_own_belongs_to_the_challenge_before() -> None:
    assert read("Bearer", 'error="x"') == [("bearer", {"error": "x"})]


def test_no_value_is_no_challenge() -> None:
    assert challenges([]) == ()


def test_what_lies_beyond_the_limit_is_left_out() -> None:
    filler = "x" * (MAX_LENGTH - len("Bearer realm="))
    assert read(f"Bearer realm={filler}, error=x", "Basic") == [("bearer", {"realm": filler})]
    assert read("Bearer", "x" * MAX_LENGTH, "Basic")[0] == ("bearer", {})
    assert len(read("Bearer", "x" * MAX_LENGTH, "Basic")) == 2


def test_a_challenge_is_a_value_that_cannot_be_changed() -> None:
    (challenge,) = challenges(["Bearer a=b"])
    assert challenge == Challenge(scheme="bearer", parameters={"a": "b"})
    with pytest.raises(TypeError):
        challenge.parameters["a"] = "c"  # type: ignore[index]  # that is the point


TOKENS = st.text(string.ascii_letters + string.digits + "-_.", min_size=1, max_size=12)
WRITTEN = st.lists(
    st.tuples(
        TOKENS, st.dictionaries(TOKENS.map(str.lower), st.text(st.characters(exclude_categories=["Cs"])), max_size=4)
    ),
    max_size=4,
)


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@settings(max_examples=1_000, deadline=None)
@given(WRITTEN)
def test_what_is_written_by_the_book_reads_the_same(written: list[tuple[str, dict[str, str]]]) -> None:
    text = ", ".join(
        scheme + (" " + ", ".join(f"{name}={quoted(value)}" for name, value in found.items()) if found else "")
        for scheme, found in written
    )
    if len(text) <= MAX_LENGTH:
        assert read(text) == [(scheme.lower(), found) for scheme, found in written]


@settings(max_examples=1_000, deadline=None)
@given(st.lists(st.text(st.sampled_from('Bearer ,;="\\\t\r\n\0éß\ud800err') | st.characters()), max_size=5))
@example(['"\\'])
def test_no_text_raises(values: list[str]) -> None:
    for challenge in challenges(values):
        assert challenge.scheme
        assert all(isinstance(value, str) for value in challenge.parameters.values())


@pytest.mark.long
def test_no_text_of_a_million_raises() -> None:
    draw = random.Random(20)  # seeded: the same million each time
    pieces = ["Bearer", "DPoP", "error", "realm", "=", '"', "\\", ",", ";", " ", "\t", "abc==", "\0", "é", "\ud800"]
    for _ in range(1_000_000):
        challenges(["".join(draw.choices(pieces, k=draw.randrange(24)))])


@pytest.mark.parametrize(
    "unit", ['"', "\\", '"\\', "a=", "a b ", "a, ", " ", '="', 'a="b\\"', "A ", "=", ";", "-=", "a \t"]
)
def test_twice_the_text_takes_about_twice_the_work(unit: str) -> None:
    whole, half = ("Bearer " + (unit * MAX_LENGTH)[:length] for length in (MAX_LENGTH - 8, MAX_LENGTH // 2))
    assert min(_timed(whole) for _ in range(9)) < 3.5 * min(_timed(half) for _ in range(9)), "quadratic work is 4 times"


def _timed(text: str) -> float:
    begun = time.thread_time()
    for _ in range(3):
        challenges([text])
    return time.thread_time() - begun
