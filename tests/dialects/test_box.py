from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import evolve
from tests.dialects import fixtures
from tests.dialects.fixtures import Answer, Request, refusal
from tests.kit.attempts import work

from tokenflight.dialects import box
from tokenflight.errors import ConfigurationError, InvalidClientError, InvalidGrantError, TokenEndpointError
from tokenflight.model.failure import Failure
from tokenflight.model.key import Audience, Subject, TokenKey
from tokenflight.model.secret import Secret, SecretSource
from tokenflight.protocol.client import Endpoints, OAuthClient
from tokenflight.protocol.client_authentication import Attempt, ClientSecretBasic, ClientSecretPost, PublicClient
from tokenflight.protocol.grants import ClientCredentials, check_key, token_fields
from tokenflight.protocol.jwt_bearer import JWTBearer
from tokenflight.protocol.wire import Issued, TokenAnswer, build, parse

pytestmark = pytest.mark.anyio

ENTERPRISE = TokenKey(client="files", subject=box.enterprise("1234567"))
USER = TokenKey(client="files", subject=box.user("987"))


class Elsewhere:
    """A signer that keeps its key to itself."""

    algorithm = "RS256"
    key_id = None

    async def sign(self, data: bytes) -> bytes:
        return b"signed"


def client(**fields: Any) -> OAuthClient:
    return box.client(client_id=fixtures.CLIENT_ID, **({"client_secret": fixtures.SECRET} | fields))


async def sent(key: TokenKey, of: OAuthClient) -> Request:
    async def read(source: SecretSource) -> Secret:
        assert isinstance(source, Secret)
        return source

    return Request.seen(await build(Attempt(key=key, client=of, wall=0.0, read=read, work=work)))


def understood(answer: Answer, key: TokenKey = ENTERPRISE) -> Issued | Failure:
    body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
    told = TokenAnswer(status=answer.status, headers=answer.headers, body=body)
    return parse(told, client=client(), key=key, wall=0.0, redact=[Secret(fixtures.SECRET)])


async def test_a_request_for_an_enterprise_is_as_documented_and_nothing_more() -> None:
    assert await sent(ENTERPRISE, client()) == fixtures.BOX_ENTERPRISE


async def test_a_request_for_a_user_is_as_documented_and_nothing_more() -> None:
    assert await sent(USER, client()) == fixtures.BOX_USER


@pytest.mark.parametrize(
    "answer", [fixtures.BOX_ANSWER, fixtures.BOX_ANSWER_AS_DOCUMENTED], ids=["usual", "documented"]
)
def test_both_answers_are_the_same_token_and_nothing_is_odd(answer: Answer) -> None:
    issued = understood(answer)

    assert isinstance(issued, Issued)
    assert issued.access_token == "DkXenterprise"
    assert issued.token_type == "Bearer"
    assert issued.expires_in == 4123.0
    assert issued.refresh_token is None
    assert issued.scope == frozenset()
    assert issued.extra == {
        name: value for name, value in answer.body.items() if name in ("restricted_to", "issued_token_type")
    }
    assert issued.oddities == ()


@pytest.mark.parametrize("lifetime", [3600, 4123, 4175, 4200])
def test_lifetimes_vary(lifetime: int) -> None:
    issued = understood(Answer(200, fixtures.BOX_ANSWER.body | {"expires_in": lifetime}, {}))

    assert isinstance(issued, Issued)
    assert issued.expires_in == lifetime


@pytest.mark.parametrize("key", [ENTERPRISE, USER])
def test_a_key_with_its_subject_passes(key: TokenKey) -> None:
    check_key(client(), key)


@pytest.mark.parametrize("key", [ENTERPRISE, USER])
@pytest.mark.parametrize("jwt", [False, True])
def test_a_scope_is_refused_because_box_gives_an_app_its_own(key: TokenKey, jwt: bool) -> None:
    grant = JWTBearer(Elsewhere(), inside={"subject_type": "box_sub_type"}) if jwt else ClientCredentials()
    with pytest.raises(ConfigurationError, match="leave scope out, and narrow the token"):
        check_key(client(scope="root_readonly", grant=grant), key)
    with pytest.raises(ConfigurationError, match="leave scope out, and narrow the token"):
        check_key(client(grant=grant), evolve(key, scope=frozenset({"root_readonly"})))
    check_key(client(grant=grant), key)


@pytest.mark.parametrize("subject", [None, Subject("1234567"), Subject("org_1", "organization")])
def test_a_subject_is_demanded_with_its_kind(subject: Subject | None) -> None:
    with pytest.raises(ConfigurationError, match=r"box\.enterprise\(id\).*box\.user\(id\)") as caught:
        check_key(client(), TokenKey(client="files", subject=subject))

    assert "1234567" not in str(caught.value)


@pytest.mark.parametrize(
    "audience",
    [Audience("https://api.box.com"), box.file("7"), box.folder("7"), box.shared_link("https://app.box.com/s/x")],
)
def test_an_audience_is_refused_because_client_credentials_cannot_carry_it(audience: Audience) -> None:
    with pytest.raises(ConfigurationError, match=r"exchanged tokens.*leave the audience out$"):
        check_key(client(), TokenKey(client="files", subject=box.user("1"), audience=audience))


def test_subjects_and_audiences_say_what_they_are() -> None:
    assert box.enterprise("1") == Subject("1", "enterprise")
    assert box.user("1") == Subject("1", "user")
    assert box.enterprise("1") != box.user("1")
    assert box.file("12") == Audience("https://api.box.com/2.0/files/12", "resource")
    assert box.folder("0") == Audience("https://api.box.com/2.0/folders/0", "resource")
    assert box.shared_link("https://app.box.com/s/x") == Audience("https://app.box.com/s/x", "box_shared_link")
    assert box.file("1/../2?x").value == "https://api.box.com/2.0/files/1%2F..%2F2%3Fx"


@pytest.mark.parametrize("make", [box.enterprise, box.user, box.file, box.folder, box.shared_link])
@pytest.mark.parametrize("bad", [None, 7, "", b"1"])
def test_an_id_that_is_none_is_refused(make: Any, bad: Any) -> None:
    with pytest.raises(ConfigurationError):
        make(bad)


def test_a_grant_of_the_users_own_goes_as_it_says() -> None:
    class Own:
        grant_type = "urn:example:own"
        repeatable = True

        def fields(self, key: TokenKey, scope: frozenset[str]) -> dict[str, str]:
            return {"what": "t"}

    assert token_fields(client(grant=Own()), TokenKey(client="files")) == {"grant_type": Own.grant_type, "what": "t"}


def test_the_secret_goes_into_the_body() -> None:
    assert client().authentication == ClientSecretPost(fixtures.SECRET)
    own = ClientSecretPost("s")
    assert client(client_secret=None, authentication=own).authentication is own


@pytest.mark.parametrize("authentication", [None, ClientSecretBasic("s"), PublicClient(), "a bare secret"])
def test_any_other_authentication_is_refused(authentication: Any) -> None:
    with pytest.raises(ConfigurationError, match="give client_secret, or ClientSecretPost"):
        client(client_secret=None, authentication=authentication)


def test_a_secret_and_an_authentication_are_one_too_many() -> None:
    with pytest.raises(ConfigurationError, match="give one of them"):
        client(authentication=ClientSecretPost("s"))


def test_the_other_endpoints_are_boxs_unless_tokens_come_from_elsewhere() -> None:
    assert client().endpoints == box.ENDPOINTS
    assert client(token_endpoint="http://localhost:1/token").endpoints == Endpoints()


def test_the_other_fields_go_to_the_client() -> None:
    assert client(scope="a", default_lifetime=60.0).scope == {"a"}
    assert client(parameters={"box_device_id": "0"}).parameters == {"box_device_id": "0"}


def box_refusal(code: str, description: str) -> Answer:
    return refusal(400, code, description, fixtures.BOX_HEADERS | {"BOX-REQUEST-ID": "0f1"})


REFUSALS: dict[str, tuple[Answer, type[TokenEndpointError], str]] = {
    "wrong secret": (
        box_refusal("invalid_client", "The client credentials are invalid"),
        InvalidClientError,
        "Box Developer Console > your app > Configuration > OAuth 2.0 Credentials",
    ),
    "wrong grant": (
        box_refusal("invalid_grant", "Grant credentials are invalid"),
        InvalidGrantError,
        "Box Admin Console > Platform Apps Manager",
    ),
    "not authorized": (
        box_refusal("unauthorized_client", "This app is not authorized by the enterprise admin"),
        TokenEndpointError,
        "authorize the app by its client id in the Box Admin Console > Platform Apps Manager",
    ),
    "wrong subject type": (
        box_refusal("unauthorized_client", "The box_subject_type value is unauthorized for this client_id"),
        TokenEndpointError,
        "App + Enterprise Access",
    ),
    "wrong kind of app": (
        box_refusal("unauthorized_client", "The grant type is unauthorized for this client_id"),
        TokenEndpointError,
        "Server Authentication (with Client Credentials Grant)",
    ),
    "spent refresh token": (
        box_refusal("invalid_grant", "Invalid refresh token"),
        InvalidGrantError,
        "let the person log in again",
    ),
    "late code": (
        box_refusal("invalid_grant", "The authorization code has expired"),
        InvalidGrantError,
        "a code lives 30 s",
    ),
    "dead subject token": (
        box_refusal("invalid_grant", "The subject_token provided is invalid"),
        InvalidGrantError,
        "present a subject token that is not past its end",
    ),
    "wrong actor token": (
        box_refusal("invalid_grant", "The actor_token provided is invalid"),
        InvalidGrantError,
        "by box.annotator(...)",
    ),
    "wrong key": (
        box_refusal("invalid_grant", '"kid" invalid, unable to lookup correct key'),
        InvalidGrantError,
        "Add and Manage Public Keys",
    ),
    "wrong sub": (
        box_refusal("invalid_grant", "Please check the 'sub' claim. The 'sub' specified is invalid."),
        InvalidGrantError,
        "check that the id of box.enterprise(...)",
    ),
    "wrong claim": (
        box_refusal("invalid_grant", "Please check the 'aud' claim."),
        InvalidGrantError,
        "set this machine's clock",
    ),
    "what nobody sees": (
        box_refusal("invalid_resource", "The target resource is invalid."),
        TokenEndpointError,
        "that the subject may see it",
    ),
    "wrong scope": (
        refusal(401, "invalid_scope", "not held", {"BOX-REQUEST-ID": "0f1"}),
        TokenEndpointError,
        "Application Scopes",
    ),
    "wrong kind of app, told otherwise": (
        box_refusal("invalid_request", "The grant type is unauthorized for this client_id."),
        TokenEndpointError,
        "Server Authentication (with Client Credentials Grant)",
    ),
}


@pytest.mark.parametrize(("answer", "error", "step"), REFUSALS.values(), ids=REFUSALS.keys())
def test_each_refusal_has_its_class_and_names_the_console_step(
    answer: Answer, error: type[TokenEndpointError], step: str
) -> None:
    failure = understood(answer)

    assert isinstance(failure, Failure)
    assert failure.error is error
    assert not failure.transient
    assert not failure.counts
    assert failure.code == answer.body["error"]
    assert failure.request_id == "0f1"
    assert step in (failure.hint or "")
    assert str(failure.exception(ENTERPRISE)).endswith(failure.hint or "?")


def test_a_401_that_says_nothing_is_about_scopes() -> None:
    failure = understood(Answer(401, b"", {}))

    assert isinstance(failure, Failure)
    assert (failure.transient, failure.counts, failure.code) == (False, False, None)
    assert "ask for scopes that the subject token has" in (failure.hint or "")


def test_an_assertion_that_was_seen_before_is_trouble_that_passes() -> None:
    failure = understood(
        box_refusal("invalid_grant", "Please check the 'jti' claim. A unique 'jti' value is required.")
    )

    assert isinstance(failure, Failure)
    assert (failure.transient, failure.code) == (True, "temporarily_unavailable")


def test_only_wrong_credentials_speak_for_the_whole_client() -> None:
    widening = {name for name, (answer, error, step) in REFUSALS.items() if understood(answer).code == "invalid_client"}  # type: ignore[union-attr]

    assert widening == {"wrong secret"}


def test_a_limit_told_in_the_apis_shape_is_transient_and_says_when() -> None:
    failure = understood(Answer(429, fixtures.BOX_LIMITED, {"retry-after": "2"}))

    assert isinstance(failure, Failure)
    assert (failure.transient, failure.counts, failure.throttled) == (True, False, True)
    assert failure.code == "rate_limit_exceeded"
    assert failure.description == "Request rate limit exceeded, please try again later"
    assert failure.retry_after == 2.0
    assert failure.request_id == "abcdef123456"
    assert "share their tokens" in (failure.hint or "")


@pytest.mark.parametrize(
    ("status", "body"), [(500, {"type": "error", "code": "internal_server_error"}), (502, b"<html>")]
)
def test_trouble_at_box_is_transient_and_counts(status: int, body: Any) -> None:
    failure = understood(Answer(status, body, {}))

    assert isinstance(failure, Failure)
    assert (failure.transient, failure.counts, failure.hint) == (True, True, None)
