"""Whatever comes back, the parser gives a token or a failure, and a failure holds nothing that it must not.

Two generators look for the contrary: hypothesis in the ordinary run, and a seeded one for sessions of their own:

    TOKENFLIGHT_FUZZ=1000000 TOKENFLIGHT_FUZZ_SEED=7 python -m pytest -m long tests/protocol/test_any_answer.py
"""

from __future__ import annotations

import base64
import json
import math
import os
import random
from collections.abc import Callable
from typing import Any
from urllib.parse import quote_plus, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenflight.dialects import auth0, box
from tokenflight.errors import MalformedResponseError, TokenEndpointError
from tokenflight.model.failure import Failure
from tokenflight.model.key import TokenKey
from tokenflight.model.secret import Secret
from tokenflight.model.token import Token
from tokenflight.protocol.answers import FORM
from tokenflight.protocol.client import OAuthClient
from tokenflight.protocol.refusals import HINTS
from tokenflight.protocol.wire import Issued, TokenAnswer, parse

SECRET = "CNRY-secret-6b2f-ÄÖ&+%"
TOKEN = "CNRY-token-94d1c07e"
KEY = TokenKey(client="main")
CLIENTS = (
    OAuthClient(client_id="me", token_endpoint="https://as.example/token", authentication=SECRET, scope="a b"),
    box.client(client_id="me", client_secret=SECRET),
    auth0.client(domain="tenant.example", client_id="me", client_secret=SECRET),
)
TRACES = (
    *(SECRET[:12], TOKEN[:12]),
    *(base64.b64encode(SECRET.encode()).decode()[:16], SECRET.encode().hex()[:24]),
)
"""What must not be seen: less than twelve characters of a secret are no more than any other word."""
ECHOES = (
    SECRET,
    quote_plus(SECRET),
    base64.b64encode(f"me:{SECRET}".encode()).decode(),
    SECRET.encode().hex(),
    f"\x1b[31m{SECRET}\r\n",
)
NAMES = (
    *("access_token", "token_type", "expires_in", "refresh_in", "refresh_token", "scope", "id_token", "extra"),
    *("error", "error_description", "error_uri", "errorCode", "message", "type", "code", "request_id"),
)
GOOD_NAMES = NAMES[:8]
STATUSES = (200, 201, 204, 206, 301, 307, 400, 401, 403, 404, 408, 425, 429, 500, 502, 503, 0, 99, 999)
LABELS = ("application/json", f"{FORM}; charset=utf-8", "text/html", "", f"text/{SECRET}", "\x00;;", "a" * 5_000)
MEMBERS: tuple[bytes, ...] = (
    *(b"NaN", b"-Infinity", b"1e400", b"-0.0", b"9" * 5_000, b'"' + b"9" * 5_000 + b'"', b'"\\ud800"', b"[" * 2_000),
    *(b"true", b"null", b"0", b'"3600"', b'" 3600 "', b'"N_A"', b'"DPoP"', b"[1]", b'["a", "b"]', b'{"error": "x"}'),
)


def judge(outcome: object) -> None:
    """Fail where an outcome breaks the parser's word."""
    if isinstance(outcome, Issued):
        assert outcome.token_type == "Bearer"
        assert all(s is None or (math.isfinite(s) and s >= 0) for s in (outcome.expires_in, outcome.refresh_in))
        token = Token(
            outcome.access_token,
            expires_in=outcome.expires_in,
            scope=outcome.scope,
            refresh_token=outcome.refresh_token,
            extra=outcome.extra,
        )
        assert TOKEN not in repr(outcome) + repr(token)
        assert not any(trace in oddity for oddity in outcome.oddities for trace in TRACES)
        return
    assert isinstance(outcome, Failure)
    assert outcome.error in (MalformedResponseError, *TokenEndpointError.__subclasses__(), TokenEndpointError)
    assert outcome.retry_after is None or (math.isfinite(outcome.retry_after) and outcome.retry_after >= 0)
    error = outcome.exception(KEY)
    shown = f"{outcome!r} {error} {vars(error)!r}"
    assert not any(trace in shown for trace in TRACES)
    assert str(error).isprintable()
    assert len(str(error)) < 3_000


def outcome_of(client: OAuthClient, status: int, headers: dict[str, str], body: bytes) -> object:
    answer = TokenAnswer(status=status, headers=headers, body=body)
    return parse(answer, client=client, key=KEY, wall=1.75e9, redact=[Secret(SECRET), Secret(TOKEN)])


def spoil(body: bytes, chance: random.Random) -> bytes:
    """Damage a body as wires, proxies and servers do."""
    at, to = sorted(chance.choices(range(len(body) + 1), k=2))
    damages: tuple[Callable[[], bytes], ...] = (
        lambda: body,
        lambda: body,
        lambda: body[:at],
        lambda: body[:at] + chance.randbytes(to - at) + body[to:],
        lambda: body[:at] + body[to:],
        lambda: body[:to] + body[at:],
        lambda: b"\xef\xbb\xbf" + body,
        lambda: body.decode("utf-8", "replace").encode("utf-16"),
        lambda: b"[" + body + b"]",
        lambda: body[:-1] + b', "error": "invalid_grant", "scope": ""}',
        lambda: b'{"extra": ' + body + b"}",
    )
    return chance.choice(damages)()


def member(name: str, chance: random.Random) -> bytes:
    """Write the value of a field: a likely one, or an odd one."""
    if chance.random() < 0.2:
        return chance.choice(MEMBERS)
    likely: dict[str, Any] = {
        "access_token": TOKEN,
        "refresh_token": TOKEN,
        "id_token": TOKEN,
        "token_type": chance.choice(("bearer", "Bearer", "", "mac")),
        "expires_in": chance.choice((3600, 0, -1, 0.5, 10**40)),
        "scope": chance.choice(("a b", "a", "", ["a"], 'a "b"')),
        "error": chance.choice((*HINTS, "odd", "", None)),
        "type": "error",
    }
    return json.dumps(likely.get(name, f"words {chance.choice(ECHOES)} and words"), ensure_ascii=False).encode()


def hostile(chance: random.Random) -> tuple[OAuthClient, int, dict[str, str], bytes]:
    """Draw an answer and whom it is for."""
    good = chance.random() < 0.4
    names = GOOD_NAMES if good else chance.sample(NAMES, chance.randrange(len(NAMES)))
    pairs = [(name, member(name, chance)) for name in names]
    label = chance.choice(LABELS)
    if label.startswith(FORM):
        body = urlencode([(name, value.strip(b'"')) for name, value in pairs]).encode()
    else:
        body = b"{" + b", ".join(b'"%b": %b' % (name.encode(), value) for name, value in pairs) + b"}"
    headers = {
        "Content-Type": label,
        "Retry-After": chance.choice(("", "7", "x" * 99, SECRET, "Wed, 21 Oct 2026 07:28:00 GMT", "9" * 99)),
        "Date": chance.choice(("", "Wed, 21 Oct 2026 07:27:00 GMT", "Wed, 99 Oct 99999 99:99:99 GMT")),
        "X-Request-Id": chance.choice(("", "r", SECRET, "\x1b" * 999)),
        "Auth0-Client-Quota-Limit": chance.choice(
            ("", "b=per_hour;q=10;r=7;t=3540", ";;=,b;q=x,=", "b=" + "9" * 5_000)
        ),
    }
    return chance.choice(CLIENTS), 200 if good else chance.choice(STATUSES), headers, spoil(body, chance)


def fuzz(count: int, seed: int) -> tuple[int, int]:
    """Parse *count* hostile answers; return how many brought a token and how many did not."""
    issued = 0
    for number in range(count):
        drawn = hostile(random.Random(f"{seed}/{number}"))
        try:
            outcome = outcome_of(*drawn)
            judge(outcome)
        except BaseException as error:
            error.add_note(f"number {number} of seed {seed}: {drawn[1:]!r:.2000}")
            raise
        issued += isinstance(outcome, Issued)
    return issued, count - issued


TEXT = st.text() | st.sampled_from(ECHOES)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.just(10**4_000),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.dictionaries(st.sampled_from(NAMES) | st.text(), VALUES, max_size=8)
GOOD = FIELDS.map(lambda fields: fields | {"access_token": TOKEN, "error": None, "token_type": "bearer"})
BODIES = (
    st.binary()
    | VALUES.map(lambda value: json.dumps(value).encode())
    | FIELDS.map(lambda fields: json.dumps(fields, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    | GOOD.map(lambda fields: json.dumps(fields).encode())
    | st.dictionaries(st.sampled_from(NAMES), st.text(st.characters(exclude_categories=["Cs"]))).map(
        lambda fields: urlencode(fields).encode()
    )
)
HEADERS = st.dictionaries(
    st.sampled_from(
        ["Retry-After", "Date", "Content-Type", "X-Request-Id", "Box-Request-Id", "Auth0-Client-Quota-Limit"]
    ),
    TEXT | st.sampled_from(LABELS),
)


@settings(max_examples=1_000, deadline=None)
@given(
    client=st.sampled_from(CLIENTS),
    status=st.sampled_from(STATUSES) | st.integers(),
    headers=HEADERS,
    body=BODIES,
)
def test_any_answer_is_a_token_or_a_failure(
    client: OAuthClient, status: int, headers: dict[str, str], body: bytes
) -> None:
    judge(outcome_of(client, status, headers, body))


def test_likely_answers_gone_wrong_are_tokens_or_failures() -> None:
    issued, failed = fuzz(3_000, seed=1)

    assert issued > 100
    assert failed > 1_000


@pytest.mark.long
def test_as_many_answers_as_are_asked_for_are_tokens_or_failures() -> None:
    count = int(os.environ.get("TOKENFLIGHT_FUZZ", "1000000"))
    issued, failed = fuzz(count, seed=int(os.environ.get("TOKENFLIGHT_FUZZ_SEED", "0")))

    assert issued + failed == count
