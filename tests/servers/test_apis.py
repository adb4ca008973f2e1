"""An API of a real server, UserInfo: what its 401 sets going, and what it does not."""

from __future__ import annotations

import httpx
import pytest
from tests.kit.oidc import OidcProvider
from tests.servers.asking import post
from tests.servers.using import adopting, found

from tokenflight import RefreshToken

pytestmark = pytest.mark.anyio

CHALLENGE = {"WWW-Authenticate": 'Bearer realm="api", error="invalid_token"'}


@pytest.mark.proves("oidc-provider", "Bearer tokens at UserInfo (a 401 is healed once)")
async def test_a_token_is_taken_and_a_401_is_healed_once(oidc: OidcProvider) -> None:
    url = f"{oidc.issuer}/me"
    async with (
        adopting(found(oidc, RefreshToken()), oidc.mint(scope="openid read")) as tokens,
        httpx.AsyncClient(auth=tokens.auth(subject="alice"), trust_env=False) as api,
    ):
        assert (await api.get(url)).json() == {"sub": "alice"}
        oidc.fault(status=401, headers=CHALLENGE, path="/me")
        assert (await api.get(url)).json() == {"sub": "alice"}

    _, refused, healed = (entry.headers["authorization"] for entry in oidc.journal("/me"))
    assert refused != healed
    assert [entry.status for entry in oidc.journal()] == [200, 200]


@pytest.mark.proves("oidc-provider", "Bearer tokens at UserInfo (revoked elsewhere, and the session with it)")
async def test_where_nothing_better_can_be_had_the_401_goes_back_and_the_server_is_left_alone(
    oidc: OidcProvider,
) -> None:
    url = f"{oidc.issuer}/me"
    async with (
        adopting(found(oidc, RefreshToken()), oidc.mint(scope="openid read")) as tokens,
        httpx.AsyncClient(auth=tokens.auth(subject="alice"), trust_env=False) as api,
    ):
        token = (await tokens.token(subject="alice")).access_token.reveal()
        assert post(oidc.revocation_endpoint, {"token": token}, client=oidc.clients["web"]).status_code == 200
        answers = [await api.get(url) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [401] * 3
    assert 'error="invalid_token"' in answers[0].headers["www-authenticate"]
    assert [entry.status for entry in oidc.journal()] == [200, 400]
    assert len(oidc.journal("/me")) == 3
