from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

import httpx
import pytest

from tokenflight.testing import (
    Delay,
    FakeTokenEndpoint,
    Forbidden,
    ProtectedApp,
    Redirect,
    Straggle,
    Unauthorized,
    VirtualClock,
)

pytestmark = pytest.mark.anyio

FORM = {"grant_type": "client_credentials", "client_id": "service", "client_secret": "hush"}


async def token_of(endpoint: FakeTokenEndpoint, **fields: str) -> str:
    async with httpx.AsyncClient(transport=endpoint.transport()) as http:
        token = (await http.post(endpoint.url, data=FORM | fields)).json()["access_token"]
    return str(token)


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def test_a_live_token_is_served_and_no_other(endpoint: FakeTokenEndpoint) -> None:
    app = ProtectedApp(endpoint, content={"orders": []})
    token = await token_of(endpoint)
    async with httpx.AsyncClient(transport=app.transport(), base_url=app.url) as api:
        good = await api.get("/orders", headers=bearer(token))
        other_scheme = await api.get("/orders", headers={"authorization": f"Basic {token}"})
        unknown = await api.get("/orders", headers=bearer("made-up"))
        bare = await api.get("/orders")
        endpoint.revoke(token)
        revoked = await api.get("/orders", headers=bearer(token))
    assert (good.status_code, good.json()) == (200, {"orders": []})
    assert [response.status_code for response in (other_scheme, unknown, bare, revoked)] == [401] * 4
    assert bare.headers["www-authenticate"] == 'Bearer realm="api"'
    assert all('error="invalid_token"' in response.headers["www-authenticate"] for response in (unknown, revoked))
    assert [entry.token for entry in app.ledger] == [token, token, "made-up", None, token]


async def test_it_is_reached_over_a_socket_and_as_an_asgi_app(endpoint: FakeTokenEndpoint) -> None:
    app = ProtectedApp(endpoint)
    headers = bearer(await token_of(endpoint))
    async with app.serve() as url, httpx.AsyncClient(headers=headers) as api:
        assert (await api.get(url)).status_code == 200
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app.asgi), headers=headers) as api:
        assert (await api.get("http://api.test/")).status_code == 200


async def test_bodies_are_recorded_byte_for_byte(endpoint: FakeTokenEndpoint) -> None:
    app = ProtectedApp(endpoint)

    async def body() -> AsyncIterator[bytes]:
        yield b"one "
        yield b"two"

    async with app.serve() as url, httpx.AsyncClient() as api:
        await api.put(url, content=body())
    async with httpx.AsyncClient(transport=app.transport()) as api:
        await api.put(app.url, content=body())
    assert [entry.body for entry in app.ledger] == [b"one two"] * 2
    assert app.ledger[0].sha256 == hashlib.sha256(b"one two").hexdigest()


async def test_a_token_for_another_audience_breaks_a_rule(endpoint: FakeTokenEndpoint) -> None:
    app = ProtectedApp(endpoint, audience="https://api.test")
    right = await token_of(endpoint, audience="https://api.test")
    wrong = await token_of(endpoint, audience="https://other.test")
    async with httpx.AsyncClient(transport=app.transport()) as api:
        assert (await api.get(app.url, headers=bearer(right))).status_code == 200
        app.ledger.check()
        assert (await api.get(app.url, headers=bearer(wrong))).status_code == 401
    with pytest.raises(AssertionError, match=r"audience: request 2 to https://api.test .* for https://other.test"):
        app.ledger.check()
    app.ledger.waive("audience", because="it was the point")


async def test_a_scope_may_be_asked_for(endpoint: FakeTokenEndpoint) -> None:
    app = ProtectedApp(endpoint, scope="write")
    tokens = [await token_of(endpoint, scope=scope) for scope in ("read", "read write")]
    async with httpx.AsyncClient(transport=app.transport()) as api:
        statuses = [(await api.get(app.url, headers=bearer(token))).status_code for token in tokens]
    assert statuses == [403, 200]


async def test_it_can_be_told_to_refuse(endpoint: FakeTokenEndpoint) -> None:
    app = ProtectedApp(endpoint)
    headers = bearer(await token_of(endpoint))
    app.script(Unauthorized(), Unauthorized('Basic realm="a, b"'), Forbidden(), Redirect("https://evil.test/"))
    async with httpx.AsyncClient(transport=app.transport(), headers=headers) as api:
        responses = [await api.get(app.url) for _ in range(5)]
    assert [response.status_code for response in responses] == [401, 401, 403, 307, 200]
    assert "www-authenticate" not in responses[0].headers


async def test_a_delay_judges_late_and_a_straggler_early() -> None:
    clock = VirtualClock()
    endpoint = FakeTokenEndpoint(clock=clock, expires_in=1)
    app = ProtectedApp(endpoint)
    app.script(Delay(2), Straggle(2))
    async with httpx.AsyncClient(transport=app.transport(), timeout=None) as api:
        late = await clock.run(_get, api, app.url, bearer(await token_of(endpoint)))
        early = await clock.run(_get, api, app.url, bearer(await token_of(endpoint)))
    assert (late, early) == (401, 200)


async def _get(api: httpx.AsyncClient, url: str, headers: dict[str, str]) -> int:
    return (await api.get(url, headers=headers)).status_code
