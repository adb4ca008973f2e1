"""Discovery and revocation at real authorization servers: an issuer is enough, and what is revoked counts no more."""

from __future__ import annotations

import pytest
from attrs import evolve
from tests.kit.oidc import OidcProvider
from tests.kit.opinions import Opinion
from tests.servers.asking import post
from tests.servers.test_client_credentials import METHODS, client_of, provider

from tokenflight import ClientSecretBasic, Endpoints

pytestmark = pytest.mark.anyio


def active(oidc: OidcProvider, token: str) -> bool:
    answer = post(oidc.introspection_endpoint, {"token": token}, client=oidc.clients["basic"])
    return bool(answer.json()["active"])


@pytest.mark.parametrize("name", ["basic", "post"])
async def test_an_issuer_alone_is_enough_to_get_a_token_and_to_revoke_it(oidc: OidcProvider, name: str) -> None:
    known = evolve(client_of(oidc, name), token_endpoint=None, issuer=oidc.issuer)
    async with provider(known) as tokens:
        token = (await tokens.token()).access_token.reveal()
        assert active(oidc, token)
        assert await tokens.revoke() is True
        assert not active(oidc, token)
        assert (await tokens.token()).access_token.reveal() != token


@pytest.mark.parametrize("name", ["basic", "post"])
async def test_other_servers_revoke_too_and_refuse_another_secret(authlib: Opinion, django: Opinion, name: str) -> None:
    for at in (authlib, django):
        known = client_of(at, name, endpoints=Endpoints(revocation=at.revocation_endpoint))
        async with provider(known) as tokens:
            await tokens.token()
            assert await tokens.revoke() is True

        secrets = ["wrong", at.clients[name].secret]
        async with provider(evolve(known, authentication=METHODS.get(name, ClientSecretBasic)(secrets.pop))) as tokens:
            await tokens.token()
            assert await tokens.revoke() is False
            assert tokens.status() == ()
