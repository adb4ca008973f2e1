"""What a client asks of an access token before it keeps one, and how it says so."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from tokenflight import (
    AccessTokenValidation,
    ClientSecretPost,
    ConfigurationError,
    Endpoints,
    Fetch,
    OAuthClient,
    Token,
    TokenKey,
)
from tokenflight.model.key import Audience
from tokenflight.protocol.grants import check_key
from tokenflight.protocol.verification import ALGORITHMS, Claims

WALL = 1_750_000_000.0
ISSUER, API = "https://as.test/", "https://api.test"
KEY = TokenKey(client="c", audience=Audience(API))
GOOD = {"iss": ISSUER, "aud": API, "exp": WALL + 300}


def checked(claims: dict[str, Any], *, key: TokenKey = KEY, **validation: Any) -> str | None:
    """Return why claims are refused; a claim that is `...` is left out."""
    values = {name: value for name, value in (GOOD | claims).items() if value is not ...}
    found = AccessTokenValidation(**validation).check(
        Claims(values=values, algorithm="RS256", typ=None), issuer=ISSUER, key=key, wall=WALL
    )
    return None if found is None else found.reason


@pytest.mark.parametrize(
    "claims", [{}, {"aud": [API]}, {"aud": ["other", API]}, {"nbf": WALL + 30}, {"exp": WALL - 29.9}, {"sub": 7}]
)
def test_a_good_one_is_taken(claims: dict[str, Any]) -> None:
    assert checked(claims) is None


WRONG: dict[str, list[Any]] = {
    "issuer": [{"iss": value} for value in ("https://as.test", "https://evil.test/", "", None, ..., [ISSUER])],
    "audience": [{"aud": value} for value in ("https://api.test/", "", None, ..., [], ["other"], [API, 7], {API: 1})],
    "expired": [{"exp": value} for value in (WALL - 30, 0, None, ..., "later", True, 10**400)],
    "not_yet_valid": [{"nbf": value} for value in (WALL + 30.1, "now", None)],
}


@pytest.mark.parametrize(("reason", "claims"), [(name, claims) for name, all_ in WRONG.items() for claims in all_])
def test_each_claim_wrong_in_turn_is_refused(reason: str, claims: dict[str, Any]) -> None:
    assert checked(claims) == reason


def test_its_own_issuer_and_audience_go_before_the_clients_and_the_keys() -> None:
    own = {"issuer": "https://other.test", "audience": "other"}
    assert checked({}, **own) == "issuer"
    assert checked({"iss": "https://other.test"}, **own) == "audience"
    assert checked({"iss": "https://other.test", "aud": "other"}, key=TokenKey(client="c"), **own) is None


def test_an_audience_that_nobody_named_is_none() -> None:
    for aud in (..., None, "", [""]):
        assert checked({"aud": aud}, key=TokenKey(client="c")) == "audience"


@pytest.mark.parametrize(
    ("wanted", "has", "reason"),
    [
        ("at+jwt", "at+jwt", None),
        ("at+jwt", "application/AT+jwt", None),
        ("application/at+jwt", "at+jwt", None),
        ("at+jwt", "JWT", "type"),
        ("at+jwt", None, "type"),
        (None, "anything", None),
    ],
)
def test_a_typ_that_is_demanded_is_compared_as_a_media_type(wanted: str | None, has: str | None, reason: Any) -> None:
    claims = Claims(values=GOOD, algorithm="RS256", typ=has)
    found = AccessTokenValidation(typ=wanted).check(claims, issuer=ISSUER, key=KEY, wall=WALL)
    assert (found and found.reason) == reason


@pytest.mark.parametrize(
    "fields",
    [
        {"algorithms": ()},
        {"algorithms": "RS256"},
        {"algorithms": 7},
        {"algorithms": ["RS256", "HS256"]},
        {"algorithms": ["none"]},
        {"algorithms": [["RS256"]]},
        {"issuer": ""},
        {"issuer": 7},
        {"audience": ["a"]},
        {"typ": ""},
        {"leeway": -1},
        {"leeway": 301},
        {"leeway": True},
        {"leeway": "30"},
        {"leeway": float("nan")},
    ],
)
def test_what_cannot_work_is_refused_at_once(fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r": (name some|write it|set it)"):
        AccessTokenValidation(**fields)


def test_all_that_can_be_verified_is_accepted_unless_less_is_named() -> None:
    assert AccessTokenValidation().algorithms == tuple(ALGORITHMS)
    assert AccessTokenValidation(algorithms=["ES256"]).algorithms == ("ES256",)
    assert len({AccessTokenValidation(), AccessTokenValidation(leeway=30)}) == 1


def test_without_joserfc_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "joserfc", None)
    with pytest.raises(ConfigurationError, match="pip install"):
        AccessTokenValidation()


def client(**fields: Any) -> OAuthClient:
    fields = {"token_endpoint": "https://as.test/token", "validation": AccessTokenValidation()} | fields
    return OAuthClient(client_id="c", authentication=ClientSecretPost("hush"), **fields)


def test_a_client_says_who_issues_and_where_the_keys_are() -> None:
    jwks = Endpoints(jwks="https://as.test/jwks")
    assert client(issuer=ISSUER).validation is not None
    assert client(validation=AccessTokenValidation(issuer=ISSUER), endpoints=jwks).issuer is None
    with pytest.raises(ConfigurationError, match=r"give issuer, or AccessTokenValidation\(issuer"):
        client(endpoints=jwks)
    with pytest.raises(ConfigurationError, match=r"give endpoints=Endpoints\(jwks=\.\.\.\), or issuer"):
        client(validation=AccessTokenValidation(issuer=ISSUER))
    with pytest.raises(ConfigurationError, match="validation is a AccessTokenValidation, not bool"):
        client(validation=True)


def test_what_fetch_brings_is_not_validated() -> None:
    async def fetch(key: TokenKey) -> Token:
        return Token("t")

    with pytest.raises(ConfigurationError, match="cannot use validation: leave it out"):
        OAuthClient(client_id="c", grant=Fetch(fetch), validation=AccessTokenValidation())


def test_a_key_without_audience_is_refused_unless_the_validation_names_one() -> None:
    check_key(client(issuer=ISSUER), KEY)
    check_key(client(issuer=ISSUER, validation=AccessTokenValidation(audience="a")), TokenKey(client="c"))
    with pytest.raises(ConfigurationError, match=r"pass audience=\.\.\. in the call, or give"):
        check_key(client(issuer=ISSUER), TokenKey(client="c"))
