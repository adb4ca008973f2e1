"""Discovery at real authorization servers: read once, read again where it failed, and nothing believed of another."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from attrs import evolve
from tests.kit.harbour import at_once
from tests.kit.oidc import OidcProvider
from tests.servers.using import AS_ITSELF, JWT, OPAQUE, found, provider

from tokenflight import AccessTokenValidation, ConfigurationError, TokenRequestError

pytestmark = pytest.mark.anyio

ALIAS, OPENID = "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"


@pytest.mark.proves("oidc-provider", "discovery (RFC 8414)")
async def test_an_issuer_is_asked_once_for_everybody(oidc: OidcProvider) -> None:
    clients = {name: found(oidc, AS_ITSELF, name) for name in ("basic", "odd")}
    async with provider(clients) as tokens:
        calls = [partial(tokens.token, name, audience=audience) for name in clients for audience in (JWT, OPAQUE)]
        await at_once(*calls * 5)

    assert (len(oidc.journal(ALIAS)), len(oidc.journal(OPENID)), len(oidc.journal())) == (1, 0, 4)


@pytest.mark.proves("oidc-provider", "discovery (OpenID Connect)")
async def test_where_rfc_8414_s_place_is_empty_openid_s_is_looked_at(oidc: OidcProvider) -> None:
    oidc.fault(status=404, path=ALIAS)
    async with provider(found(oidc, AS_ITSELF, "basic")) as tokens:
        await tokens.token()

    assert (len(oidc.journal(ALIAS)), len(oidc.journal(OPENID)), len(oidc.journal())) == (1, 1, 1)


FAULTS: list[dict[str, Any]] = [{"status": 503}, {"drop": True}, {"status": 200, "body": "<html>"}]


@pytest.mark.proves("oidc-provider", "discovery (faults of the wire)")
@pytest.mark.parametrize("fault", FAULTS, ids=["503", "dropped", "a page"])
async def test_a_fault_of_the_metadata_that_passes_is_not_noticed(oidc: OidcProvider, fault: dict[str, Any]) -> None:
    for path in (ALIAS, OPENID):
        oidc.fault(**fault, path=path)
    async with provider(found(oidc, AS_ITSELF, "basic")) as tokens:
        await tokens.token()

    assert len(oidc.journal()) == 1


@pytest.mark.proves("oidc-provider", "discovery (another issuer is refused)")
@pytest.mark.parametrize("kind", ["slash", "mtls"])
async def test_an_issuer_that_calls_itself_otherwise_gets_nothing(oidc: OidcProvider, kind: str) -> None:
    other = evolve(found(oidc, AS_ITSELF, "basic"), issuer=f"{oidc.issuer}/" if kind == "slash" else oidc.issuer)
    if kind == "mtls":
        other = evolve(other, issuer=oidc.issuer.replace("127.0.0.1", "localhost"))
    async with provider(other) as tokens:
        with pytest.raises(ConfigurationError, match="names another issuer"):
            await tokens.token()

    assert oidc.journal() == []


@pytest.mark.proves("oidc-provider", "access-token validation (faults of the key set)")
@pytest.mark.parametrize("fault", FAULTS, ids=["503", "dropped", "a page"])
async def test_keys_that_cannot_be_had_for_a_moment_are_asked_for_again(
    oidc: OidcProvider, fault: dict[str, Any]
) -> None:
    oidc.fault(**fault, path="/jwks")
    client = found(oidc, AS_ITSELF, "basic", validation=AccessTokenValidation())
    async with provider(client) as tokens:
        await tokens.token(audience=JWT)

    assert len(oidc.journal()) == 1


@pytest.mark.proves("oidc-provider", "access-token validation (faults of the key set)")
async def test_without_keys_no_token_is_asked_for(oidc: OidcProvider) -> None:
    oidc.fault(status=503, path="/jwks", times=20)
    client = found(oidc, AS_ITSELF, "basic", validation=AccessTokenValidation())
    async with provider(client) as tokens:
        with pytest.raises(TokenRequestError) as caught:
            await tokens.token(audience=JWT)

    assert (caught.value.transient, oidc.journal()) == (True, [])
