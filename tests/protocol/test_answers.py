from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest

from tokenflight.protocol.answers import TokenAnswer, Unreadable, read_fields, retry_after

WALL = 1_750_000_000.0


def answer(body: bytes, status: int = 200, content_type: str = "application/json") -> TokenAnswer:
    return TokenAnswer(status=status, headers={"Content-Type": content_type}, body=body)


def date(epoch: float) -> str:
    return format_datetime(datetime.fromtimestamp(epoch, UTC), usegmt=True)


@pytest.mark.parametrize(
    ("number", "read"),
    [
        (b"3600", 3600),
        (b"3600.5", 3600.5),
        (b"-1", -1),
        (b"NaN", None),
        (b"Infinity", None),
        (b"-Infinity", None),
        (b"1e400", None),
        (b"-1e400", None),
        pytest.param(b"9" * 400, int("9" * 400), id="400 digits"),
        pytest.param(b"9" * 401, None, id="401 digits"),
        pytest.param(b"9" * 5000, None, id="5000 digits"),
        pytest.param(b"1." + b"1" * 5000, 1.1111111111111112, id="5000 decimals"),
    ],
)
def test_a_number_that_no_float_can_hold_is_read_as_null(number: bytes, read: float | None) -> None:
    assert read_fields(answer(b'{"x": ' + number + b"}")) == {"x": read}


@pytest.mark.parametrize("name", ["error", "access_token", "token_type", "expires_in", "refresh_token", "scope"])
def test_a_name_that_decides_something_must_not_come_twice(name: str) -> None:
    body = f'{{"{name}": 1, "x": 1, "{name}": 1}}'.encode()

    assert read_fields(answer(body)) == Unreadable(f"the body says {name} twice")


def test_an_escaped_name_is_the_same_name() -> None:
    assert read_fields(answer(b'{"error": "a", "\\u0065rror": ""}')) == Unreadable("the body says error twice")


def test_only_the_outermost_object_decides() -> None:
    assert read_fields(answer(b'{"a": {"error": 1, "error": 2}, "b": [{"scope": 1, "scope": 2}]}')) == {
        "a": {"error": 2},
        "b": [{"scope": 2}],
    }


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"\xff\xfe{", "the body is not UTF-8"),
        (b"", "the body cannot be read"),
        pytest.param(b"[" * 100_000, "the body cannot be read", id="nested"),
        (b"[]", "the body is JSON but no object"),
        (b"null", "the body is JSON but no object"),
        (b'[{"error": 1, "error": 2}]', "the body is JSON but no object"),
    ],
)
def test_why_a_body_cannot_be_read_is_said_without_it(body: bytes, why: str) -> None:
    assert read_fields(answer(body)) == Unreadable(why)


def test_the_body_of_a_refusal_is_decoded_forgivingly() -> None:
    body = '{"error": "invalid_client", "error_description": "gesperrt für dich"}'.encode("latin-1")

    assert read_fields(answer(body, 401)) == {
        "error": "invalid_client",
        "error_description": "gesperrt f\ufffdr dich",
    }


def test_a_form_keeps_blank_values_and_decodes_forgivingly() -> None:
    fields = read_fields(answer(b" a=&b=%FF&c\n", content_type="APPLICATION/X-WWW-Form-Urlencoded ; x=y"))

    assert fields == {"a": "", "b": "\ufffd", "c": ""}


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 120 ", 120.0),
        ("1.5", 1.5),
        ("999999999", 999999999.0),
        ("9999999999", 9999999999.0),
        pytest.param("9" * 5000, None, id="5000 digits"),
        ("-5", None),
        ("1e3", None),
        ("1.", None),
        ("٣", None),
        ("soon", None),
        ("", None),
        ("inf", None),
        ("NaN", None),
        ("120, 120", None),
        (date(WALL + 90), 90.0),
        (date(WALL - 90), 0.0),
        ("Fri, 31 Dec 9999 23:59:59 -2359", pytest.approx(251_652_389_939, rel=1e-2)),
        ("Mon, 32 Jan 2025 00:00:00 GMT", None),
        ("Mon, 1 Jan 99999999999999 00:00:00 GMT", None),
        ("Mon, 1 Jan 2025 00:00:00 +9999999999999", None),
        pytest.param("x" * 100_000, None, id="too long"),
    ],
)
def test_retry_after_is_read_in_both_forms_and_garbage_is_none(value: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": value}, WALL) == seconds


def test_a_date_counts_from_the_servers_own_clock_where_it_tells_it() -> None:
    headers = {"retry-after": date(WALL + 1_000), "date": date(WALL + 970)}

    assert retry_after(headers, WALL) == 30.0
    assert retry_after(headers | {"date": "garbage"}, WALL) == 1_000.0


def test_a_date_without_zone_is_utc() -> None:
    assert retry_after({"retry-after": date(WALL + 60).replace("GMT", "-0000")}, WALL) == 60.0


def test_no_retry_after_is_none() -> None:
    assert retry_after({}, WALL) is None


@pytest.mark.parametrize(("status", "succeeded"), [(199, False), (200, True), (299, True), (300, False)])
def test_success_is_2xx(status: int, succeeded: bool) -> None:
    assert answer(b"", status).succeeded is succeeded


def test_an_answers_headers_are_lower_case_and_immutable() -> None:
    told = TokenAnswer(status=200, headers={"X-Thing": "Value"}, body=b"")

    assert told.headers == {"x-thing": "Value"}
    assert not hasattr(told.headers, "__setitem__")
    assert told.media_type == ""
