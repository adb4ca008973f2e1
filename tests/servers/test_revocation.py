"""Discovery and revocation at real authorization servers: an issuer is enough, and what is revoked counts no more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from tests.kit.oidc import OidcProvider
from tests.kit.opinions import Opinion
from tests.kit.pki import publicly_trusted
from tests.servers.asking import post
from tests.servers.using import AS_ITSELF, METHODS, OPAQUE, client_of, found, provider

from tokenflight import TOKEN_ENDPOINT, ClientSecretBasic, Endpoints, MutualTLS, PrivateKeyJWT

pytestmark = pytest.mark.anyio

PLACES = ("/token", "/token/revocation")


def active(oidc: OidcProvider, token: str) -> bool:
    answer = post(oidc.introspection_endpoint, {"token": token}, client=oidc.clients["basic"])
    return bool(answer.json()["active"])


@pytest.mark.proves("oidc-provider", "discovery (RFC 8414)")
@pytest.mark.proves("oidc-provider", "revocation")
@pytest.mark.parametrize("name", ["basic", "post"])
async def test_an_issuer_alone_is_enough_to_get_a_token_and_to_revoke_it(oidc: OidcProvider, name: str) -> None:
    known = evolve(client_of(oidc, name), token_endpoint=None, issuer=oidc.issuer)
    async with provider(known) as tokens:
        token = (await tokens.token()).access_token.reveal()
        assert active(oidc, token)
        assert await tokens.revoke() is True
        assert not active(oidc, token)
        assert (await tokens.token()).access_token.reveal() != token


@pytest.mark.proves("oidc-provider", "revocation + private_key_jwt")
@pytest.mark.parametrize("audience", [None, TOKEN_ENDPOINT], ids=["issuer", "token endpoint"])
async def test_an_assertion_is_signed_anew_for_the_revocation(oidc: OidcProvider, audience: Any) -> None:
    method = PrivateKeyJWT(oidc.clients["key-es"].key or "", audience=audience)
    async with provider(found(oidc, AS_ITSELF, "key-es", authentication=method)) as tokens:
        await tokens.token(audience=OPAQUE)
        assert await tokens.revoke(audience=OPAQUE) is True

    sent = [entry.form["client_assertion"] for path in PLACES for entry in oidc.journal(path)]
    assert len(set(sent)) == len(sent) == 2


@pytest.mark.proves("oidc-provider", "revocation + tls_client_auth (endpoint alias by discovery)")
async def test_a_certificate_is_presented_at_the_revocation_s_alias_too(oidc: OidcProvider, tmp_path: Path) -> None:
    certificate = oidc.certificates.client
    method = MutualTLS(certificate.certificate, certificate.key)
    with publicly_trusted(oidc.certificates.ca.read_bytes(), tmp_path):
        async with provider(found(oidc, AS_ITSELF, "tls", authentication=method)) as tokens:
            await tokens.token(audience=OPAQUE)
            assert await tokens.revoke(audience=OPAQUE) is True

    assert [entry.certificate for path in PLACES for entry in oidc.journal(path)] == [certificate.fingerprint] * 2


@pytest.mark.proves("oidc-provider", "revocation (faults of the wire)")
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("fault", [{"drop": True}, {"status": 503}], ids=["dropped", "503"])
async def test_a_revocation_whose_reply_was_lost_is_sent_again(
    oidc: OidcProvider, fault: dict[str, Any], when: Any
) -> None:
    oidc.fault(**fault, when=when, path=PLACES[1])
    async with provider(found(oidc, AS_ITSELF, "basic")) as tokens:
        token = (await tokens.token()).access_token.reveal()
        assert await tokens.revoke() is True

    assert not active(oidc, token)
    assert len(oidc.journal(PLACES[1])) == 2


@pytest.mark.proves("Authlib", "revocation")
@pytest.mark.proves("django-oauth-toolkit", "revocation")
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
