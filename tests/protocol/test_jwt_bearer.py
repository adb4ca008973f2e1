from __future__ import annotations

from typing import Any

import pytest
from tests.kit.attempts import a_client, attempt, finished
from tests.kit.keys import peek, pem, read_jwt

from tokenflight.errors import ConfigurationError
from tokenflight.model.key import Audience, Subject, TokenKey, as_scope
from tokenflight.model.subject_token import SubjectToken
from tokenflight.protocol.assertions import Assertion
from tokenflight.protocol.client_authentication import PublicClient
from tokenflight.protocol.grants import Grant, Presenting, check_key, token_fields
from tokenflight.protocol.jwt_bearer import JWTBearer

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"
API = Audience("https://api")


def key(scope: str | None = None, **fields: Any) -> TokenKey:
    return TokenKey(client="main", scope=as_scope(scope), **fields)


def form(grant: JWTBearer, asked: TokenKey, **client: Any) -> dict[str, str]:
    made = a_client(grant=grant, **client)
    check_key(made, asked)
    parts = finished(grant.present(attempt(made, key=asked)))
    assert not parts.headers
    return token_fields(made, asked) | parts.fields


def claims(form: dict[str, str]) -> dict[str, Any]:
    return peek(form["assertion"])[1]


def test_an_assertion_is_signed_for_the_subject_that_is_asked_for() -> None:
    fields = form(JWTBearer(pem()), key("b a", subject=Subject("7"), audience=API))

    said = read_jwt(fields.pop("assertion"))[1]
    assert (said["iss"], said["sub"], said["aud"]) == ("me", "7", "https://as.example/")
    assert fields == {"grant_type": GRANT_TYPE, "scope": "a b", "audience": "https://api"}


def test_each_request_has_an_assertion_of_its_own() -> None:
    grant = JWTBearer(pem())

    assert len({claims(form(grant, key()))["jti"] for _ in range(3)}) == 3


def test_an_assertion_may_say_more_than_a_key() -> None:
    grant = JWTBearer(Assertion(pem(), issuer="i", audience="bare-host", subject="fixed", claims={"x": 1}))

    said = claims(form(grant, key()))

    assert (said["iss"], said["aud"], said["sub"], said["x"]) == ("i", "bare-host", "fixed", 1)


def test_googles_scope_travels_inside_and_nobody_else_authenticates() -> None:
    grant = JWTBearer(Assertion(pem(), issuer="sa@x"), inside={"scope": "scope"})

    fields = form(grant, key("b a"), authentication=PublicClient(send_client_id=False))

    assert claims(fields)["scope"] == "a b"
    assert "sub" not in claims(fields)
    assert fields.keys() == {"grant_type", "assertion"}


def test_a_clients_own_scope_travels_inside_too() -> None:
    fields = form(JWTBearer(pem(), inside={"scope": "scope"}), key(), scope="r")

    assert claims(fields)["scope"] == "r"


def test_googles_target_audience_travels_inside() -> None:
    fields = form(JWTBearer(pem(), inside={"audience": "target_audience", "scope": "scope"}), key(audience=API))

    assert claims(fields)["target_audience"] == "https://api"
    assert fields.keys() == {"grant_type", "assertion"}
    assert "scope" not in claims(fields)


def test_boxs_subject_type_travels_inside() -> None:
    grant = JWTBearer(pem(), inside={"subject_type": "box_sub_type"})

    said = claims(form(grant, key(subject=Subject("123", "enterprise"))))

    assert (said["sub"], said["box_sub_type"]) == ("123", "enterprise")
    assert "box_sub_type" not in claims(form(grant, key(subject=Subject("123"))))
    assert "box_sub_type" not in claims(form(grant, key()))


def test_without_a_key_the_subjects_own_token_is_presented() -> None:
    fields = form(JWTBearer(), key("a", subject=SubjectToken("CNRY-token")))

    assert fields == {"grant_type": GRANT_TYPE, "scope": "a", "assertion": "CNRY-token"}


def test_a_subject_known_by_an_assertion_has_a_new_one_each_time() -> None:
    subject = SubjectToken(Assertion(pem(), subject="7"))
    first, second = (claims(form(JWTBearer(), key(subject=subject))) for _ in range(2))

    assert first["sub"] == second["sub"] == "7"
    assert first["jti"] != second["jti"]


@pytest.mark.parametrize(
    ("grant", "subject", "why"),
    [
        (lambda: JWTBearer(), None, "pass subject=SubjectToken"),
        (lambda: JWTBearer(), Subject("CNRY"), "or give JWTBearer a key"),
        (lambda: JWTBearer(), SubjectToken("CNRY", actor=SubjectToken("CNRY")), "no place for an actor"),
        (lambda: JWTBearer(pem()), SubjectToken("CNRY"), "pass the id, or JWTBearer"),
        (lambda: JWTBearer(pem()), Subject("CNRY", "user"), "pass inside="),
        (lambda: JWTBearer(Assertion(pem(), subject="x")), Subject("CNRY"), "has a subject of its own"),
    ],
)
def test_a_subject_that_cannot_be_presented_is_refused(grant: Any, subject: Any, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why) as caught:
        form(grant(), key(subject=subject))
    assert "CNRY" not in str(caught.value)


@pytest.mark.parametrize(("asked", "dropped"), [({"audience": Audience("x", "shared_link")}, "audience")])
def test_what_goes_nowhere_is_refused(asked: Any, dropped: str) -> None:
    with pytest.raises(ConfigurationError, match=f"the {dropped} would be dropped"):
        form(JWTBearer(pem()), key(**asked))


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: JWTBearer(inside={"scope": "scope"}), "pass a key, or leave it out"),
        (lambda: JWTBearer(pem(), inside={"client": "c"}), "which claim each of subject_type, scope, audience"),
        (lambda: JWTBearer(pem(), inside={"scope": 7}), "which claim each of"),
        (lambda: JWTBearer(pem(), inside={"scope": "aud"}), "name another"),
        (lambda: JWTBearer(pem(), inside=["scope"]), "pass a dict"),
        (lambda: JWTBearer(Assertion(pem(), claims={"s": 1}), inside={"scope": "s"}), "leave one out"),
        (lambda: JWTBearer("CNRY"), "neither"),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_made(make: Any, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why) as caught:
        make()
    assert "CNRY" not in str(caught.value)


def test_it_is_a_value_that_shows_no_key() -> None:
    assert JWTBearer(pem()) == JWTBearer(Assertion(pem()))
    assert hash(JWTBearer(pem(), inside={"scope": "s"})) == hash(JWTBearer(pem(), inside={"scope": "s"}))
    assert repr(JWTBearer(pem())) == "JWTBearer(key=Assertion(***), inside=Members([]))"
    assert isinstance(JWTBearer(), Grant)
    assert isinstance(JWTBearer(), Presenting)
    assert (JWTBearer().grant_type, JWTBearer().repeatable) == (GRANT_TYPE, True)
