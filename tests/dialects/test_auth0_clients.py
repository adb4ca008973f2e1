"""How clients prove to Auth0 who they are, and what its tenants' own code and quotas say to them."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import RSAKey
from tests.dialects.places import claims, header, provider, tenant, tenant_client
from tests.doubles.auth0 import DISCOVERY, TOKEN, refusals, scene
from tests.doubles.auth0.scene import API, OTHER
from tests.doubles.tokens import key, peeked, public
from tests.kit.pki import Pair, authority, public_authority

from tokenflight import (
    Audience,
    ClientSecretBasic,
    ClientSecretJWT,
    ConfigurationError,
    Endpoints,
    InvalidClientError,
    MutualTLS,
    PrivateKeyJWT,
    TokenEndpointError,
    TokenProvider,
    TokenRequestError,
)
from tokenflight.dialects import auth0

pytestmark = pytest.mark.anyio

PROOF = {"client_assertion", "client_assertion_type"}


def signing(*whose: str, **how: Any) -> PrivateKeyJWT:
    return PrivateKeyJWT(key(*(whose or ("client-key",))).as_dict(private=True), **how)


async def asked(double: Any, client: Any, **what: Any) -> Any:
    async with provider(double, client) as tokens:
        return await double.clock.run(partial(tokens.token, **{"audience": API, **what}))


@pytest.mark.proves("Auth0", "client_credentials, client_secret_post")
async def test_a_secret_is_posted_with_the_audience_and_nothing_more() -> None:
    double = tenant()
    token = await asked(double, tenant_client(double), scope="read:a")
    [seen] = double.token_requests
    assert set(seen.form) == {"grant_type", "client_id", "client_secret", "audience", "scope"}
    assert token.scope == {"read:a"}


@pytest.mark.proves("Auth0", "client_credentials, client_secret_basic")
async def test_a_secret_goes_into_a_header_where_the_application_is_set_to_that() -> None:
    double = tenant()
    proof = ClientSecretBasic(double.tenant.clients["the-basic"].secret)
    await asked(double, tenant_client(double, "the-basic", authentication=proof))
    [seen] = double.token_requests
    assert set(seen.form) == {"grant_type", "audience"}
    assert seen.basic is not None


@pytest.mark.proves("Auth0", "client_credentials, over a socket")
async def test_a_client_of_a_stand_in_asks_over_a_socket() -> None:
    double = scene.tenant()
    async with double.serve() as url:
        client = tenant_client(double, token_endpoint=f"{url}{TOKEN}", issuer=f"{url}/")
        async with TokenProvider(client) as tokens:
            token = await tokens.token(audience=API)
    assert double.is_live(token.access_token.reveal())


@pytest.mark.proves("Auth0", "client_credentials, an audience that travels as resource")
async def test_an_audience_goes_as_a_resource_where_the_tenant_wants_it_so() -> None:
    double = tenant()
    double.resource_parameter = True
    await asked(double, tenant_client(double), audience=Audience(API, "resource"))
    assert set(double.token_requests[0].form) == {"grant_type", "client_id", "client_secret", "resource"}


@pytest.mark.proves("Auth0", "client_credentials, private_key_jwt")
@pytest.mark.parametrize(
    ("kind", "algorithm"),
    [("RSA", "RS256"), ("RSA", "RS384"), ("RSA", "PS256"), ("RSA", "PS384"), ("P-256", "ES256"), ("P-384", "ES384")],
)
async def test_an_assertion_is_for_the_issuer_with_its_slash(kind: str, algorithm: str) -> None:
    double, kid = tenant(), f"client-{kind}"
    double.tenant.clients["the-key"].keys = [public(key(kid, kind))]
    client = tenant_client(double, "the-key", authentication=signing(kid, kind, algorithm=algorithm))
    await asked(double, client)
    [seen] = double.token_requests
    assert set(seen.form) == PROOF | {"grant_type", "client_id", "audience"}
    said = claims(seen, "client_assertion")
    assert said["iss"] == said["sub"] == "the-key"
    assert said["aud"] == "https://tenant.eu.auth0.com/"
    assert int(double.now()) < said["exp"] <= int(double.now()) + 300
    assert header(seen, "client_assertion") == {"alg": algorithm, "kid": kid, "typ": "JWT"}


async def test_an_assertion_by_a_key_of_4096_bits_is_short_enough_for_auth0() -> None:
    double = tenant()
    long = RSAKey.generate_key(4096, {"kid": "k" * 43}, private=True)
    double.client("c" * 64, method="private_key_jwt", keys=[public(long)])
    proof = PrivateKeyJWT(long.as_dict(private=True))
    await asked(double, tenant_client(double, "c" * 64, authentication=proof))
    assert len(double.token_requests[0].form["client_assertion"]) <= 2048


@pytest.mark.proves("Auth0", "client_credentials, private_key_jwt without a client_id in the form")
async def test_an_assertion_says_who_it_is_from_where_the_form_does_not() -> None:
    double = tenant()
    await asked(double, tenant_client(double, "the-key", authentication=signing(send_client_id=False)))
    assert set(double.token_requests[0].form) == PROOF | {"grant_type", "audience"}


@pytest.mark.proves("Auth0", "client_credentials, private_key_jwt with a key that rotates")
async def test_a_key_in_a_file_rotates_without_a_failure(tmp_path: Path) -> None:
    double, path = tenant(), tmp_path / "key.json"
    path.touch(0o600)
    async with provider(double, tenant_client(double, "the-key", authentication=PrivateKeyJWT(path))) as tokens:
        for kid in ("client-key", "next-key"):
            path.write_text(json.dumps(key(kid).as_dict(private=True)), "utf-8")
            double.tenant.clients["the-key"].keys = [public(key(kid))]
            audience = API if kid == "client-key" else OTHER
            await double.clock.run(partial(tokens.token, audience=audience))
    assert [header(seen, "client_assertion")["kid"] for seen in double.token_requests] == ["client-key", "next-key"]


def test_what_auth0_never_takes_is_refused_when_the_client_is_made() -> None:
    double = tenant()
    for proof, advice in [
        (ClientSecretJWT("s" * 64), "give client_secret, or PrivateKeyJWT"),
        (signing(algorithm="RS512"), "RS256, RS384, PS256, PS384, ES256, ES384: pass one of these"),
        (signing(lifetime=301.0), "no assertion of over 300 s"),
    ]:
        with pytest.raises(ConfigurationError, match=advice):
            tenant_client(double, "the-key", authentication=proof)


def test_a_client_with_a_certificate_leaves_it_to_the_tenant_where_to_go() -> None:
    client = auth0.client(domain="id.example.com", client_id="c", authentication=MutualTLS())
    assert (client.issuer, client.token_endpoint) == ("https://id.example.com/", None)
    assert client.endpoints == Endpoints()
    stays = auth0.client(
        domain="id.example.com", client_id="c", authentication=MutualTLS(), token_endpoint="https://m.example/token"
    )
    assert stays.token_endpoint == "https://m.example/token"


@pytest.mark.proves("Auth0", "client_credentials, tls_client_auth at the alias that discovery tells")
async def test_a_certificate_is_presented_at_the_alias_and_the_token_is_bound_to_it(tmp_path: Path) -> None:
    double, issued = scene.tenant(), authority().client()
    double.client("the-tls", method="tls", thumbprint=issued.thumbprint, secret="")
    pair = Pair.at(tmp_path, issued)
    with public_authority(tmp_path):
        plain, asking = authority().server(needed=False), authority().server()
        async with double.serve(ssl_context=plain) as url, double.serve(ssl_context=asking) as alias:
            double.mtls_origin = alias
            proof = MutualTLS(pair.certificate, pair.key)
            client = auth0.client(domain=url.removeprefix("https://"), client_id="the-tls", authentication=proof)
            async with TokenProvider(client) as tokens:
                token = await tokens.token(audience=API)
    assert double.visits(DISCOVERY)
    [seen] = double.token_requests
    assert seen.origin == alias
    assert seen.form == {"grant_type": "client_credentials", "client_id": "the-tls", "audience": API}
    told = peeked(token.access_token.reveal()) or {}
    assert told["cnf"] == {"x5t#S256": issued.thumbprint}


@pytest.mark.proves("Auth0", "client_credentials, organizations")
async def test_an_organization_is_named_and_one_that_is_not_entitled_fails_alone() -> None:
    double = tenant()
    for name in ("org_1", "org_2"):
        double.organization(name)
    double.allow(double.tenant.clients["the-post"], API, "require", ["org_1"])
    async with provider(double, tenant_client(double)) as tokens:
        ask = partial(tokens.token, audience=API)
        good = await double.clock.run(partial(ask, subject=auth0.organization("org_1")))
        with pytest.raises(TokenEndpointError, match="Machine-to-Machine Access"):
            await double.clock.run(partial(ask, subject=auth0.organization("org_2")))
        with pytest.raises(TokenEndpointError, match="Missing required parameter: organization"):
            await double.clock.run(ask)
        again = await double.clock.run(partial(ask, subject=auth0.organization("org_1")))
    assert good == again
    assert (peeked(good.access_token.reveal()) or {})["org_id"] == "org_1"
    assert set(double.token_requests[0].form) == {
        "grant_type",
        "client_id",
        "client_secret",
        "audience",
        "organization",
    }


DENIALS = [("invalid_scope", False), ("invalid_request", False), ("server_error", True)]


@pytest.mark.proves("Auth0", "client_credentials, what an Action denies")
@pytest.mark.parametrize(("code", "transient"), DENIALS)
async def test_an_action_that_denies_one_organization_stands_for_no_other(code: str, transient: bool) -> None:
    double = tenant()
    secret = double.tenant.clients["the-post"].secret
    for name in ("org_1", "org_2"):
        double.organization(name)
    double.allow(double.tenant.clients["the-post"], API, "require", ["org_1", "org_2"])
    denial = (code, f"Your trial is over, {secret}")
    double.action = lambda seen, client: denial if seen.form["organization"] == "org_1" else None
    async with provider(double, tenant_client(double)) as tokens:
        ask = partial(tokens.token, audience=API)
        for _ in range(3):
            with pytest.raises(TokenRequestError) as caught:
                await double.clock.run(partial(ask, subject=auth0.organization("org_1")))
        [health] = tokens.health()
        assert health.state == "up"
        good = await double.clock.run(partial(ask, subject=auth0.organization("org_2")))
    assert double.is_live(good.access_token.reveal())
    assert caught.value.transient is transient
    assert "Your trial is over, ***" in str(caught.value)
    assert secret not in str(caught.value)
    assert "Actions > Triggers" in str(caught.value)


@pytest.mark.proves("Auth0", "client_credentials, 429 in each of its shapes")
@pytest.mark.parametrize(
    "limit",
    [
        refusals.quota_exceeded(1),
        refusals.rate_limited(),
        refusals.rate_limited_by_policy(1),
        refusals.GLOBALLY_LIMITED,
        refusals.LIMITED_IN_WORDS,
    ],
    ids=["quota", "tenant", "policy", "global", "words"],
)
async def test_a_limit_of_a_second_is_waited_for(limit: Any) -> None:
    double = tenant()
    double.script(limit, at=TOKEN)
    token = await asked(double, tenant_client(double))
    assert double.is_live(token.access_token.reveal())
    assert [seen.status for seen in double.token_requests] == [429, 200]


@pytest.mark.proves("Auth0", "client_credentials, what only a person can mend")
@pytest.mark.parametrize(
    ("fault", "error", "step"),
    [
        ("secret", InvalidClientError, "> Credentials"),
        ("api", TokenEndpointError, "compare audience with the identifiers"),
        ("grant", TokenEndpointError, "authorize the application for this API"),
        ("grant type", TokenEndpointError, "Grant Types"),
    ],
)
async def test_what_only_a_person_can_mend_says_where(fault: str, error: type[Exception], step: str) -> None:
    double = tenant()
    client, known = tenant_client(double), double.tenant.clients["the-post"]
    if fault == "secret":
        known.secret = "another"
    elif fault == "api":
        del double.tenant.apis[API]
    elif fault == "grant":
        del known.grants[API]
    else:
        known.grant_types = frozenset()
    with pytest.raises(error) as caught:
        await asked(double, client)
    assert step in str(caught.value)
    assert len(double.token_requests) == 1
