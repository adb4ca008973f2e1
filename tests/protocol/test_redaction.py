from __future__ import annotations

import base64
import html
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenflight.model.secret import Secret
from tokenflight.protocol.redaction import MAX_TEXT, Redaction

SECRET = 'CNRY-s3cret "<ü>+/&%4 x'


def clean(text: object, *secrets: str, limit: int = MAX_TEXT) -> str | None:
    return Redaction(Secret(secret) for secret in secrets or (SECRET,)).clean(text, limit)


@pytest.mark.parametrize("text", [None, "", 7, True, b"text", ["text"], {"text": "text"}])
def test_what_is_no_text_or_empty_is_none(text: object) -> None:
    assert clean(text) is None


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, “quoted” ü", "plain text, “quoted” ü"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("one\r\ntwo\tthree\x00", "one\\r\\ntwo\\tthree\\x00"),
        ("right\u202eto left", "right\\u202eto left"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("lone \ud800", "lone \\ud800"),
        ("\U000e0041", "\\U000e0041"),
        ("\x7f\x85\u2028", "\\x7f\\x85\\u2028"),
    ],
)
def test_what_does_not_print_is_escaped(text: str, shown: str) -> None:
    assert clean(text) == shown


@given(st.text())
def test_what_comes_out_prints_and_is_short(text: str) -> None:
    shown = clean(text) or ""

    assert shown.isprintable()
    assert len(shown) <= MAX_TEXT


@pytest.mark.parametrize("limit", [8, 128, 512])
def test_what_is_too_long_is_cut_visibly(limit: int) -> None:
    assert clean("x" * limit, limit=limit) == "x" * limit
    assert clean("x" * (limit + 1), limit=limit) == "x" * (limit - 1) + "…"


@pytest.mark.parametrize("text", ["a b " * 2_500_000, "\x1b" * 10_000_000, "%41" * 3_000_000, "eyJ." * 2_500_000])
def test_ten_megabytes_are_cut_like_any_text(text: str) -> None:
    shown = clean(text)

    assert shown is not None
    assert len(shown) <= MAX_TEXT


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


FORMS = {
    "plain": SECRET,
    "upper case": SECRET.upper(),
    "lower case": SECRET.lower(),
    "quoted": quote(SECRET),
    "wholly quoted": quote(SECRET, safe=""),
    "form-encoded": quote_plus(SECRET),
    "form-encoded in lower case": quote_plus(SECRET).replace("%C3%BC", "%c3%bc"),
    "every character quoted": "".join(f"%{octet:02X}" for octet in SECRET.encode()),
    "hex": SECRET.encode().hex(),
    "hex in upper case": SECRET.encode().hex().upper(),
    "JSON": json.dumps(SECRET)[1:-1],
    "base64": b64(SECRET),
    "base64 without padding": b64(SECRET).rstrip("="),
    "base64 for URLs": base64.urlsafe_b64encode(SECRET.encode()).decode(),
    "Basic credentials": b64(f"{quote_plus('my id')}:{quote_plus(SECRET)}"),
    "raw Basic credentials": b64(f"my id:{SECRET}"),
    "quoted base64": quote(b64(f"i:{SECRET}"), safe=""),
    "its beginning": SECRET[:12],
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
@pytest.mark.parametrize("around", ["{}", "you sent {}!", "secret={}", "a\x00{}\x1b", "Basic {} was refused", "‹{}›"])
def test_a_secret_is_masked_in_every_form(form: str, around: str) -> None:
    shown = clean(around.format(form))

    assert shown is not None
    assert "***" in shown
    assert form not in shown
    assert form[:12] not in shown


def test_the_words_around_a_secret_stay() -> None:
    assert clean(f"the client {SECRET} is unknown; {b64(SECRET)} too") == "the client *** is unknown; *** too"


def test_html_that_decodes_to_a_secret_drops_the_text() -> None:
    assert clean(f"see {html.escape(SECRET)}", SECRET[11:] + "<>") is not None
    assert clean("see " + "".join(f"&#{ord(c)};" for c in SECRET)) == "***"


@given(st.text(min_size=8), st.text(), st.text(), st.integers(0, 2))
def test_a_secret_never_shows_and_neither_does_its_base64(secret: str, before: str, after: str, shift: int) -> None:
    octets = secret.encode("utf-8", "surrogatepass")
    encoded = base64.b64encode(b"\0" * shift + octets).decode()

    assert secret not in (clean(before + secret + after, secret, limit=100_000) or "").replace("***", "")
    assert encoded not in (clean(f"{before} {encoded} {after}", secret, limit=100_000) or "")


def test_a_secret_shorter_than_eight_characters_is_masked_in_plain_alone() -> None:
    assert clean(f"pass pass! {b64('pass')} {'pass'.upper()}", "pass") == f"*** ***! {b64('pass')} PASS"


def test_a_secret_cut_in_two_by_the_window_does_not_show() -> None:
    long = "CNRY-" + "0123456789abcdef" * 1_000
    masked = "CNRY-0123456789abcdef"
    text = masked * 700 + " " + long

    shown = clean(text, masked, long, limit=100_000)

    assert shown is not None
    assert "0123456789abcdef" not in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("token eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.c2ln expired", "token *** expired"),
        ("token_eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.", "***"),
        ("eyJ is how they begin", "eyJ is how they begin"),
        ("https://tenant.eu.auth0.com/api/v2/", "https://tenant.eu.auth0.com/api/v2/"),
        ("https://auth0.com/docs/clients/client-grant-types", "https://auth0.com/docs/clients/client-grant-types"),
    ],
)
def test_what_looks_like_a_jwt_is_masked_and_a_url_is_not(text: str, shown: str) -> None:
    assert clean(text) == shown
    assert Redaction(()).clean(text) == shown


def test_a_redaction_shows_how_many_secrets_it_knows() -> None:
    assert repr(Redaction([Secret(SECRET)])) == "Redaction(1 secrets)"
