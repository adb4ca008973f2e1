from __future__ import annotations

import json
from typing import Any

import pytest
from tests.dialects import fixtures
from tests.dialects.fixtures import Answer, Request, refusal
from tests.kit.attempts import work

from tokenflight.dialects import auth0, box
from tokenflight.errors import ConfigurationError, InvalidClientError, TokenEndpointError
from tokenflight.model.failure import Failure
from tokenflight.model.key import Audience, Subject, TokenKey, as_scope
from tokenflight.model.secret import Secret, SecretSource
from tokenflight.protocol.client import Endpoints, OAuthClient
from tokenflight.protocol.client_authentication import Attempt, ClientSecretBasic, ClientSecretPost
from tokenflight.protocol.grants import check_key, token_fields
from tokenflight.protocol.wire import Issued, TokenAnswer, build, parse

pytestmark = pytest.mark.anyio

KEY = TokenKey(client="orders", audience=Audience(fixtures.API))


def client(**fields: Any) -> OAuthClient:
    plain = {"domain": fixtures.DOMAIN, "client_id": fixtures.CLIENT_ID, "client_secret": fixtures.SECRET}
    return auth0.client(**(plain | fields))


async def sent(key: TokenKey, of: OAuthClient) -> Request:
    async def read(source: SecretSource) -> Secret:
        assert isinstance(source, Secret)
        return source

    return Request.seen(await build(Attempt(key=key, client=of, wall=0.0, read=read, work=work)))


def understood(answer: Answer) -> Issued | Failure:
    body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
    told = TokenAnswer(status=answer.status, headers=answer.headers, body=body)
    return parse(told, client=client(scope="read:a"), key=KEY, wall=0.0, redact=[Secret(fixtures.SECRET)])


async def test_a_request_with_the_secret_in_the_body_is_as_documented_and_nothing_more() -> None:
    assert await sent(KEY, client()) == fixtures.AUTH0_POST


async def test_a_request_for_an_organization_is_as_documented_and_nothing_more() -> None:
    key = TokenKey(
        client="orders",
        subject=auth0.organization("org_42"),
        audience=Audience(fixtures.API),
        scope=as_scope("read:a"),
    )

    assert await sent(key, client()) == fixtures.AUTH0_ORGANIZATION


async def test_a_request_with_basic_authentication_is_as_documented_and_nothing_more() -> None:
    basic = client(client_secret=None, authentication=ClientSecretBasic(fixtures.SECRET))

    assert await sent(KEY, basic) == fixtures.AUTH0_BASIC


def test_an_answer_is_a_token() -> None:
    issued = understood(fixtures.AUTH0_ANSWER)

    assert isinstance(issued, Issued)
    assert issued.access_token == "e.y.J"
    assert issued.token_type == "Bearer"
    assert issued.expires_in == 86400.0
    assert issued.refresh_token is None
    assert issued.scope == {"read:a"}
    assert issued.extra == {}
    assert issued.oddities == ()


def test_an_answer_that_tells_its_scope_is_taken_at_its_word() -> None:
    issued = understood(Answer(200, fixtures.AUTH0_ANSWER.body | {"scope": "read:a read:b"}, {}))

    assert isinstance(issued, Issued)
    assert issued.scope == {"read:a", "read:b"}


@pytest.mark.parametrize(
    "key",
    [
        KEY,
        TokenKey(client="orders", audience=Audience(fixtures.API, "resource")),
        TokenKey(client="orders", audience=Audience(fixtures.API), subject=auth0.organization("acme")),
    ],
)
def test_a_key_with_an_audience_passes(key: TokenKey) -> None:
    check_key(client(scope="read:a"), key)


@pytest.mark.parametrize("audience", [None, box.shared_link("https://app.box.com/s/x")])
def test_an_audience_is_demanded(audience: Audience | None) -> None:
    with pytest.raises(ConfigurationError, match="pass audience= with the identifier of an API"):
        check_key(client(), TokenKey(client="orders", audience=audience))


@pytest.mark.parametrize("subject", [Subject("org_42"), box.user("org_42")])
def test_a_subject_is_an_organization_or_none(subject: Subject) -> None:
    with pytest.raises(ConfigurationError, match=r"pass subject=auth0\.organization") as caught:
        check_key(client(), TokenKey(client="orders", subject=subject, audience=Audience(fixtures.API)))

    assert "org_42" not in str(caught.value)


def test_an_organization_may_be_a_parameter_and_not_both() -> None:
    fixed = client(parameters={"organization": "org_1"})

    assert token_fields(fixed, KEY)["organization"] == "org_1"
    with pytest.raises(ConfigurationError, match="'organization' would replace"):
        check_key(fixed, TokenKey(client="orders", subject=auth0.organization("org_2"), audience=Audience("a")))


def test_other_grants_go_as_the_rfcs_say() -> None:
    class Other:
        grant_type = "other"
        repeatable = True

        def fields(self, key: TokenKey, scope: frozenset[str]) -> dict[str, str]:
            return {}

    assert token_fields(client(grant=Other()), TokenKey(client="orders")) == {"grant_type": "other"}


def test_a_client_knows_its_tenants_endpoints() -> None:
    made = client(domain="Tenant.EU.auth0.com")

    assert made.issuer == "https://tenant.eu.auth0.com/"
    assert made.token_endpoint == fixtures.AUTH0_URL
    assert made.endpoints == Endpoints(
        revocation="https://tenant.eu.auth0.com/oauth/revoke",
        authorization="https://tenant.eu.auth0.com/authorize",
        device="https://tenant.eu.auth0.com/oauth/device/code",
        jwks="https://tenant.eu.auth0.com/.well-known/jwks.json",
    )
    assert made.authentication == ClientSecretPost(fixtures.SECRET)


def test_the_other_endpoints_are_left_out_where_tokens_come_from_elsewhere() -> None:
    made = client(token_endpoint="http://localhost:1/oauth/token")

    assert (made.token_endpoint, made.endpoints) == ("http://localhost:1/oauth/token", Endpoints())


@pytest.mark.parametrize(
    "domain",
    [
        "",
        "https://tenant.auth0.com",
        "tenant.auth0.com/",
        "tenant.auth0.com/x",
        "me@tenant",
        "a b",
        "-a",
        "a.",
        "ä.de",
        7,
    ],
)
def test_a_domain_is_a_bare_host_name(domain: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"write it like tenant\.eu\.auth0\.com"):
        client(domain=domain)


def test_a_secret_and_an_authentication_are_one_too_many_and_none_too_few() -> None:
    with pytest.raises(ConfigurationError, match="give one of them"):
        client(authentication=ClientSecretBasic("s"))
    with pytest.raises(ConfigurationError, match="give authentication"):
        client(client_secret=None)


def auth0_refusal(status: int, code: str, description: str, **more: Any) -> Answer:
    return refusal(status, code, description, fixtures.AUTH0_HEADERS, **more)


REFUSALS: dict[str, tuple[Answer, type[TokenEndpointError], str, str]] = {
    "wrong secret": (
        auth0_refusal(401, "access_denied", "Unauthorized"),
        InvalidClientError,
        "invalid_client",
        "your application > Credentials",
    ),
    "wrong assertion": (
        auth0_refusal(401, "invalid_client", "Client authentication failed"),
        InvalidClientError,
        "invalid_client",
        "your application > Credentials",
    ),
    "no client grant": (
        auth0_refusal(
            403,
            "access_denied",
            f'Client is not authorized to access "{fixtures.API}". You need to create a "client-grant" associated to '
            "this API. See: https://auth0.com/docs/api/v2#!/Client_Grants/post_client_grants",
        ),
        TokenEndpointError,
        "access_denied",
        "your application > APIs",
    ),
    "unknown audience": (
        auth0_refusal(403, "access_denied", f"Service not enabled within domain: {fixtures.API}"),
        TokenEndpointError,
        "access_denied",
        "Auth0 Dashboard > Applications > APIs",
    ),
    "grant switched off": (
        auth0_refusal(
            403,
            "unauthorized_client",
            "Grant type 'client_credentials' not allowed for the client.",
            error_uri="https://auth0.com/docs/clients/client-grant-types",
        ),
        TokenEndpointError,
        "unauthorized_client",
        "Settings > Advanced Settings > Grant Types",
    ),
    "grant not supported": (
        auth0_refusal(400, "unsupported_grant_type", "Grant type not supported"),
        TokenEndpointError,
        "unsupported_grant_type",
        "Settings > Advanced Settings > Grant Types",
    ),
    "parameter missing": (
        auth0_refusal(400, "invalid_request", "Missing required parameter: audience"),
        TokenEndpointError,
        "invalid_request",
        "audience names an API from Auth0 Dashboard > Applications > APIs",
    ),
    "denied by an Action": (
        auth0_refusal(400, "invalid_scope", "Not on Sundays"),
        TokenEndpointError,
        "invalid_scope",
        "Actions > Triggers > credentials-exchange",
    ),
    "denied by an Action as a bad request": (
        auth0_refusal(400, "invalid_request", "Not on Sundays"),
        TokenEndpointError,
        "invalid_request",
        "Actions > Triggers > credentials-exchange",
    ),
    "organization without access": (
        auth0_refusal(403, "access_denied", "The client is not entitled to the organization org_42"),
        TokenEndpointError,
        "access_denied",
        "Machine-to-Machine Access",
    ),
    "denied for another reason": (
        auth0_refusal(403, "access_denied", "Unauthorized"),
        TokenEndpointError,
        "access_denied",
        "your application > APIs",
    ),
}


@pytest.mark.parametrize(("answer", "error", "code", "step"), REFUSALS.values(), ids=REFUSALS.keys())
def test_each_refusal_has_its_class_and_names_the_console_step(
    answer: Answer, error: type[TokenEndpointError], code: str, step: str
) -> None:
    failure = understood(answer)

    assert isinstance(failure, Failure)
    assert failure.error is error
    assert (failure.code, failure.reason) == (code, code)
    assert not failure.transient
    assert not failure.counts
    assert step in (failure.hint or "")
    assert failure.description == answer.body["error_description"]


def test_only_wrong_credentials_speak_for_the_whole_client() -> None:
    widening = {name for name, (_, error, _, _) in REFUSALS.items() if error is InvalidClientError}

    assert widening == {"wrong secret", "wrong assertion"}


@pytest.mark.parametrize(
    ("status", "description"),
    [(401, None), (401, "Unauthorized for this audience"), (403, "Unauthorized"), (400, "Unauthorized")],
)
def test_access_denied_in_other_words_is_not_taken_for_a_wrong_secret(status: int, description: str | None) -> None:
    failure = understood(Answer(status, {"error": "access_denied", "error_description": description}, {}))

    assert isinstance(failure, Failure)
    assert failure.code == "access_denied"


def test_a_wrong_secret_is_told_with_the_servers_own_word() -> None:
    failure = understood(REFUSALS["wrong secret"][0])

    assert isinstance(failure, Failure)
    assert (
        failure.detail
        == f"https://{fixtures.DOMAIN} answered 401: invalid_client, told as access_denied (Unauthorized)"
    )


@pytest.mark.parametrize("status", [400, 500])
def test_a_denial_with_a_server_error_is_transient_speaks_for_one_key_and_names_the_action(status: int) -> None:
    failure = understood(auth0_refusal(status, "server_error", "Not on Sundays"))

    assert isinstance(failure, Failure)
    assert (failure.transient, failure.counts) == (True, False)
    assert failure.description == "Not on Sundays"
    assert "told as server_error (Not on Sundays)" in failure.detail
    assert "Actions > Triggers" in (failure.hint or "")


def test_a_server_error_without_words_is_the_endpoints() -> None:
    failure = understood(Answer(500, {"error": "server_error"}, fixtures.AUTH0_HEADERS))

    assert isinstance(failure, Failure)
    assert (failure.transient, failure.counts) == (True, True)


LIMITS: dict[str, tuple[Answer, str, float | None]] = {
    "quota": (
        Answer(
            429, {"error": "too_many_requests", "error_description": "Client quota exceeded"}, fixtures.QUOTA_HEADERS
        ),
        "token_quota",
        3540.0,
    ),
    "rate policy": (
        Answer(
            429,
            {"error": "too_many_requests", "error_description": "Rate limit exceeded."},
            fixtures.AUTH0_HEADERS | {"retry-after": "1", "auth0-ratelimit": "client;q=10;t=1;r=9"},
        ),
        "rate limit",
        1.0,
    ),
    "management": (
        Answer(
            429,
            {
                "statusCode": 429,
                "error": "Too Many Requests",
                "message": "Global limit has been reached",
                "errorCode": "too_many_requests",
            },
            fixtures.AUTH0_HEADERS,
        ),
        "rate limit",
        None,
    ),
}


@pytest.mark.parametrize(("answer", "step", "retry_after"), LIMITS.values(), ids=LIMITS.keys())
def test_each_shape_of_a_limit_is_transient_and_does_not_count(
    answer: Answer, step: str, retry_after: float | None
) -> None:
    failure = understood(answer)

    assert isinstance(failure, Failure)
    assert failure.error is TokenEndpointError
    assert (failure.transient, failure.counts, failure.throttled) == (True, False, True)
    assert failure.code == "too_many_requests"
    assert failure.retry_after == retry_after
    assert failure.description == answer.body.get("error_description", answer.body.get("message"))
    assert step in (failure.hint or "")


@pytest.mark.parametrize("body", [b"Too Many Requests", b""])
def test_a_limit_without_a_readable_body_is_a_limit(body: bytes) -> None:
    failure = understood(Answer(429, body, {"content-type": "text/plain", "retry-after": "60"}))

    assert isinstance(failure, Failure)
    assert (failure.transient, failure.throttled, failure.retry_after, failure.code) == (True, True, 60.0, None)


HOUR, DAY = {"quota": 10, "remaining": 7, "resets_in": 3540}, {"quota": 50, "remaining": 47, "resets_in": 43200}


def extra(**headers: str) -> dict[str, Any]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    issued = understood(Answer(200, fixtures.AUTH0_ANSWER.body, fixtures.AUTH0_HEADERS | named))
    assert isinstance(issued, Issued)
    return dict(issued.extra)


def test_quotas_are_kept_with_the_token() -> None:
    both = "b=per_hour;q=10;r=7;t=3540,b=per_day;q=50;r=47;t=43200"

    assert extra(Auth0_Client_Quota_Limit=both, Auth0_Organization_Quota_Limit="b=per_day;q=50;r=47;t=43200") == {
        "auth0_client_quota": {"per_hour": HOUR, "per_day": DAY},
        "auth0_organization_quota": {"per_day": DAY},
    }


@pytest.mark.parametrize(
    ("header", "kept"),
    [
        (" b = per_hour ; q= 10;r =7;t=3540 ", {"per_hour": HOUR}),
        ("b=per_hour;q=10;t=3540", {"per_hour": {"quota": 10, "resets_in": 3540}}),
        ("b=per_week;q=10;r=7;t=3540", {"per_week": HOUR}),
        ("b=per_hour;q=ten;r=7;t=3540", {"per_hour": {"remaining": 7, "resets_in": 3540}}),
        ("b=per_hour;q=10;r=7;t=3540;x=1;;=", {"per_hour": HOUR}),
        ("garbage,b=per_hour;q=10;r=7;t=3540", {"per_hour": HOUR}),
        ("b=per_hour", None),
        ("q=10;r=7;t=3540", None),
        ("b=;q=10", None),
        ("b=per_hour;q=-10", None),
        ("", None),
        (",;=,;=", None),
        ("b=per_hour;q=" + "9" * 5_000, None),
        ("٣=٣", None),
    ],
)
def test_a_quota_is_read_as_far_as_it_can_be_and_never_costs_the_token(header: str, kept: Any) -> None:
    assert extra(Auth0_Client_Quota_Limit=header).get("auth0_client_quota") == kept


def test_an_error_code_beside_a_token_means_nothing() -> None:
    issued = understood(Answer(200, fixtures.AUTH0_ANSWER.body | {"errorCode": "x"}, {}))

    assert isinstance(issued, Issued)
