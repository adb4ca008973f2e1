"""Client credentials at real authorization servers: what each takes and refuses, and what the wire may do between."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from tests.kit.credentials import claims_of
from tests.kit.harbour import at_once
from tests.kit.oidc import OidcProvider, Registered
from tests.kit.opinions import Opinion
from tests.servers.using import JWT, METHODS, OPAQUE, client_of, lifetime, provider, refusal

from tokenflight import (
    Audience,
    ClientAuthentication,
    ClientSecretBasic,
    ClientSecretPost,
    EndpointUnreachableError,
    InvalidClientError,
    TokenEndpointError,
    TokenRequestError,
)

pytestmark = pytest.mark.anyio


@pytest.mark.proves("oidc-provider", "client_credentials + client_secret_basic")
@pytest.mark.proves("oidc-provider", "client_credentials + client_secret_post")
@pytest.mark.parametrize("name", ["basic", "odd", "post"])
async def test_a_secret_gets_a_token(oidc: OidcProvider, name: str) -> None:
    async with provider(client_of(oidc, name)) as tokens:
        token = await tokens.token()

    (entry,) = oidc.journal()
    assert (entry.client, entry.form["grant_type"]) == (oidc.clients[name].client_id, "client_credentials")
    assert token.access_token.reveal() == entry.answer["access_token"]
    assert lifetime(token) == 600


@pytest.mark.proves("oidc-provider", "client_credentials with resource indicators")
@pytest.mark.parametrize("audience", [JWT, OPAQUE], ids=["jwt", "opaque"])
async def test_a_resource_is_named_as_rfc_8707_does(oidc: OidcProvider, audience: Audience) -> None:
    async with provider(client_of(oidc, scope="read")) as tokens:
        token = await tokens.token(audience=audience)

    (entry,) = oidc.journal()
    assert (entry.form["resource"], entry.form["scope"]) == (audience.value, "read")
    assert (lifetime(token), token.scope) == (30, {"read"})
    if audience is JWT:
        assert claims_of(token.access_token.reveal(), oidc.keys["ES256"])["aud"] == JWT.value


@pytest.mark.proves("oidc-provider", "client_credentials with resource indicators")
async def test_resources_have_tokens_of_their_own_and_callers_share_them(oidc: OidcProvider) -> None:
    async with provider(client_of(oidc)) as tokens:
        jwts = await at_once(*[lambda: tokens.token(audience=JWT)] * 10)
        opaques = await at_once(*[lambda: tokens.token(audience=OPAQUE)] * 10)

    assert [len({id(token) for token in each}) for each in (jwts, opaques)] == [1, 1]
    assert [entry.form["resource"] for entry in oidc.journal()] == [JWT.value, OPAQUE.value]


@pytest.mark.proves("oidc-provider", "client_credentials + client_secret_basic (another secret is refused)")
async def test_a_wrong_secret_is_the_client_s_fault(oidc: OidcProvider) -> None:
    error = await refusal(client_of(oidc, authentication=ClientSecretBasic("other")))

    assert isinstance(error, InvalidClientError)
    assert (error.reason, error.status, error.transient, error.attempts) == ("invalid_client", 401, False, 1)
    assert error.error_description == "client authentication failed"
    assert len(oidc.journal()) == 1


@pytest.mark.proves("oidc-provider", "client_credentials + client_secret_basic (another method is refused)")
@pytest.mark.proves("oidc-provider", "client_credentials + client_secret_post (another method is refused)")
@pytest.mark.parametrize(("name", "method"), [("basic", ClientSecretPost), ("post", ClientSecretBasic)])
async def test_the_other_method_is_the_client_s_fault(oidc: OidcProvider, name: str, method: Any) -> None:
    error = await refusal(client_of(oidc, name, authentication=method(oidc.clients[name].secret)))

    assert isinstance(error, InvalidClientError)
    assert (error.reason, error.status, error.transient) == ("invalid_client", 401, False)
    assert "authentication" in (error.hint or "")


@pytest.mark.proves("oidc-provider", "client_credentials with resource indicators (an unknown one is refused)")
async def test_an_unknown_resource_is_permanent_and_its_own_fault(oidc: OidcProvider) -> None:
    async with provider(client_of(oidc)) as tokens:
        with pytest.raises(TokenEndpointError) as caught:
            await tokens.token(audience=Audience("https://other.test/", "resource"))
        await tokens.token(audience=JWT)

    error = caught.value
    assert not isinstance(error, InvalidClientError)
    assert (error.error, error.reason, error.status, error.transient) == (
        "invalid_target",
        "invalid_target",
        400,
        False,
    )
    assert "audience" in (error.hint or "")


async def test_a_client_that_may_not_use_the_grant_is_refused_for_good(oidc: OidcProvider) -> None:
    error = await refusal(client_of(oidc, "web"))

    assert isinstance(error, TokenEndpointError)
    assert (error.error, error.status, error.transient, error.attempts) == ("invalid_request", 400, False, 1)


HTML = {"status": 503, "headers": {"Content-Type": "text/html"}, "body": "<html><h1>Back soon</h1></html>"}
FAULTS = [
    pytest.param(HTML, TokenEndpointError, "http_503", id="503 in HTML"),
    pytest.param({"status": 500}, TokenEndpointError, "http_500", id="500 without a body"),
    pytest.param({"drop": True}, EndpointUnreachableError, "reset", id="dropped before"),
    pytest.param({"drop": True, "when": "after"}, EndpointUnreachableError, "reset", id="dropped after"),
    pytest.param({"delay": 30.0}, EndpointUnreachableError, "timeout", id="silent before"),
    pytest.param({"delay": 30.0, "when": "after"}, EndpointUnreachableError, "timeout", id="silent after"),
]


@pytest.mark.proves("oidc-provider", "client_credentials (faults of the wire)")
@pytest.mark.parametrize(("fault", "kind", "reason"), FAULTS)
async def test_a_fault_is_tried_again_and_then_a_typed_error(
    oidc: OidcProvider, fault: dict[str, Any], kind: type[TokenRequestError], reason: str
) -> None:
    oidc.fault(**fault, times=3)
    async with provider(client_of(oidc), attempt_timeout=0.3) as tokens:
        with pytest.raises(TokenRequestError) as caught:
            await tokens.token()

    assert type(caught.value) is kind
    assert (caught.value.reason, caught.value.transient, caught.value.attempts) == (reason, True, 3)
    assert len(oidc.journal()) == 3
    assert oidc.faults_left() == 0


@pytest.mark.proves("oidc-provider", "client_credentials (faults of the wire)")
@pytest.mark.parametrize("fault", [fault.values[0] for fault in FAULTS], ids=[fault.id for fault in FAULTS])
async def test_a_fault_that_passes_is_not_noticed(oidc: OidcProvider, fault: dict[str, Any]) -> None:
    oidc.fault(**fault)
    async with provider(client_of(oidc), attempt_timeout=0.3) as tokens:
        token = await tokens.token()

    *_, last = oidc.journal()
    assert token.access_token.reveal() == last.answer["access_token"]
    assert len(oidc.journal()) == 2


async def test_too_many_requests_are_waited_out(oidc: OidcProvider) -> None:
    oidc.fault(status=429, headers={"Retry-After": "1"}, times=2)
    async with provider(client_of(oidc)) as tokens:
        await tokens.token()

    assert [entry.status for entry in oidc.journal()] == [429, 429, 200]


async def test_a_long_retry_after_is_told_at_once_and_obeyed(oidc: OidcProvider) -> None:
    oidc.fault(status=429, headers={"Retry-After": "120"})
    async with provider(client_of(oidc)) as tokens:
        with pytest.raises(TokenEndpointError) as caught:
            await tokens.token()
        with pytest.raises(TokenRequestError) as again:
            await tokens.token(audience=JWT)

    assert (caught.value.reason, caught.value.status, caught.value.transient) == ("http_429", 429, True)
    assert 100 < (caught.value.retry_after or 0) <= 120
    assert (again.value.attempts, len(oidc.journal())) == (0, 1)


@pytest.mark.proves("Authlib", "client_credentials + client_secret_basic")
@pytest.mark.proves("Authlib", "client_credentials + client_secret_post")
async def test_authlib_gives_tokens_for_the_registered_method_alone(authlib: Opinion) -> None:
    for name in ("basic", "odd", "post"):
        async with provider(client_of(authlib, name, scope="read")) as tokens:
            token = await tokens.token()
        assert (lifetime(token), token.scope) == (600, {"read"})

    swapped: dict[str, ClientAuthentication] = {
        "basic": ClientSecretPost(authlib.clients["basic"].secret or ""),
        "post": ClientSecretBasic(authlib.clients["post"].secret or ""),
    }
    for name, authentication in swapped.items():
        error = await refusal(client_of(authlib, name, authentication=authentication))
        assert isinstance(error, InvalidClientError)
        assert (error.reason, error.status, error.transient) == ("invalid_client", 401, False)


@pytest.mark.parametrize("scope", ["admin", "read admin"])
async def test_authlib_refuses_a_scope_that_is_not_the_client_s(authlib: Opinion, scope: str) -> None:
    error = await refusal(client_of(authlib, scope=scope))

    assert isinstance(error, TokenEndpointError)
    assert (error.error, error.status, error.transient) == ("invalid_scope", 400, False)


async def test_authlib_refuses_a_client_without_the_grant(authlib: Opinion) -> None:
    error = await refusal(client_of(authlib, "web"))

    assert isinstance(error, TokenEndpointError)
    assert (error.error, error.status, error.transient) == ("unauthorized_client", 400, False)


@pytest.mark.proves("django-oauth-toolkit", "client_credentials + client_secret_basic")
@pytest.mark.proves("django-oauth-toolkit", "client_credentials + client_secret_post")
async def test_django_gives_tokens_for_both_methods(django: Opinion) -> None:
    for name in ("basic", "odd", "post"):
        async with provider(client_of(django, name, scope="read")) as tokens:
            token = await tokens.token()
        assert (lifetime(token), token.scope) == (600, {"read"})


@pytest.mark.proves("django-oauth-toolkit", "client_credentials + client_secret_basic (another secret is refused)")
@pytest.mark.proves("django-oauth-toolkit", "client_credentials + client_secret_post (another secret is refused)")
@pytest.mark.parametrize("name", ["basic", "post"])
async def test_django_refuses_a_wrong_secret_without_a_word_and_with_a_bearer_challenge(
    django: Opinion, name: str
) -> None:
    other = METHODS.get(name, ClientSecretBasic)("other")
    error = await refusal(client_of(django, name, authentication=other))

    assert isinstance(error, InvalidClientError)
    assert (error.reason, error.status, error.transient, error.error_description) == (
        "invalid_client",
        401,
        False,
        None,
    )


async def test_django_refuses_a_client_that_nobody_knows(django: Opinion) -> None:
    unknown = Registered(client_id="nobody", secret="other")
    error = await refusal(client_of(evolve(django, clients={"basic": unknown})))

    assert isinstance(error, InvalidClientError)
    assert error.status == 401
