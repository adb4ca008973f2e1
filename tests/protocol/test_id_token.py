"""An ID token is for one client, one login and one access token (OpenID Connect Core, section 3.1.3.7)."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest

from tokenflight.protocol.id_token import check_id_token
from tokenflight.protocol.verification import ALGORITHMS, Claims

WALL = 1_750_000_000.0
GOOD = {
    "iss": "https://as.test/",
    "sub": "user",
    "aud": "service",
    "exp": WALL + 300,
    "iat": WALL - 1,
    "nonce": "n-0S6",
}


def half(digest: Any) -> str:
    return base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()


def checked(claims: dict[str, Any], *, algorithm: str = "RS256", **asked: Any) -> str | None:
    """Return why claims are refused; a claim that is `...` is left out."""
    values = {name: value for name, value in (GOOD | claims).items() if value is not ...}
    asked = {"nonce": "n-0S6", "access_token": "opaque", "issuer": "https://as.test/", "client_id": "service"} | asked
    found = check_id_token(Claims(values=values, algorithm=algorithm, typ=None), wall=WALL, **asked)
    return None if found is None else found.reason


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"aud": ["service"]},
        {"aud": ["other", "service"], "azp": "service"},
        {"azp": "service"},
        {"exp": WALL - 29, "iat": WALL - 300},
        {"iat": WALL + 29, "nbf": WALL + 29},
        {"exp": int(WALL) + 1, "iat": int(WALL)},
        {"more": {"of": "it"}},
    ],
)
def test_a_good_one_is_believed(claims: dict[str, Any]) -> None:
    assert checked(claims) is None


WRONG: dict[str, list[Any]] = {
    "iss": ["https://as.test", "https://AS.test/", "https://evil.test/", "", None, ..., ["https://as.test/"]],
    "sub": ["", None, ..., 7, "x" * 256],
    "aud": ["other", "Service", "", None, ..., [], ["other"], [["service"]], ["service", 7], {"service": 1}],
    "exp": [WALL - 30, WALL - 300, 0, -1, None, ..., str(WALL + 300), True, [WALL], 10**400, float("inf")],
    "nbf": [WALL + 31, "soon", None, True, 10**400],
    "iat": [WALL + 31, WALL + 301, None, ..., "now", False, -(10**400)],
    "nonce": ["", "n-0S7", "n-0S", None, ..., 7, ["n-0S6"], "\ud800"],
    "azp": ["other", "", None, ["service"]],
    "at_hash": ["", None, 7, "x", half(hashlib.sha256(b"another").digest()), half(hashlib.sha512(b"opaque").digest())],
}
REASONS = {
    "iss": "issuer",
    "sub": "subject",
    "aud": "audience",
    "exp": "expired",
    "nbf": "not_yet_valid",
    "iat": "issued_at",
    "nonce": "nonce",
    "azp": "authorized_party",
    "at_hash": "at_hash",
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_each_claim_wrong_in_turn_is_refused(name: str, value: Any) -> None:
    assert checked({name: value}) == REASONS[name]


@pytest.mark.parametrize("azp", [..., "other", None])
def test_several_audiences_need_the_client_as_the_authorized_party(azp: Any) -> None:
    assert checked({"aud": ["service", "other"], "azp": azp}) == "authorized_party"


def test_one_that_was_issued_after_its_end_is_refused() -> None:
    assert checked({"exp": WALL - 20, "iat": WALL - 10}) == "issued_at"


def test_a_nonce_that_nobody_sent_belongs_to_another_login() -> None:
    assert checked({}, nonce=None) == "nonce"
    assert checked({"nonce": ...}, nonce=None) is None


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_at_hash_goes_by_the_algorithm_of_the_signature(algorithm: str) -> None:
    name = "sha512" if algorithm == "EdDSA" else f"sha{algorithm[2:]}"
    good = half(hashlib.new(name, b"opaque").digest())

    assert checked({"at_hash": good}, algorithm=algorithm) is None
    assert checked({"at_hash": good}, algorithm=algorithm, access_token="other") == "at_hash"
    assert checked({"at_hash": good[:-1]}, algorithm=algorithm) == "at_hash"


def test_without_an_access_token_there_is_nothing_to_hash() -> None:
    assert checked({"at_hash": "anything"}, access_token=None) is None


def test_the_leeway_is_the_callers() -> None:
    assert checked({"exp": WALL - 1, "iat": WALL - 9}, leeway=0.0) == "expired"
    assert checked({"exp": WALL - 59, "iat": WALL - 90}, leeway=60.0) is None
