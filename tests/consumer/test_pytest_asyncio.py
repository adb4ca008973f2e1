"""As users write them: a program's tests with pytest-asyncio, in both of its modes."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

import tokenflight
from tokenflight import ClientSecretPost, OAuthClient, TokenProvider
from tokenflight.ext.httpx import TokenAuth
from tokenflight.testing import Delay, FakeTokenEndpoint, ProtectedApp, StaticTokenSource, fake_provider

ENDPOINT = FakeTokenEndpoint()
CLIENT = OAuthClient(client_id="app", token_endpoint=ENDPOINT.url, authentication=ClientSecretPost("s3cret"))


@pytest_asyncio.fixture
async def tokens() -> AsyncIterator[TokenProvider]:
    async with httpx.AsyncClient(transport=ENDPOINT.transport()) as http, TokenProvider(CLIENT, http=http) as tokens:
        yield tokens


@pytest.mark.asyncio
async def test_a_provider_may_live_in_a_fixture(tokens: TokenProvider) -> None:
    assert await tokens.token() is await tokens.token()


@pytest.mark.asyncio
async def test_gathered_calls_share_a_request(tokens: TokenProvider) -> None:
    before = len(ENDPOINT.ledger)
    got = await asyncio.gather(*(tokens.token() for _ in range(50)))
    assert len({token.header for token in got}) == 1
    assert len(ENDPOINT.ledger) == before + 1


@pytest.mark.asyncio
async def test_who_has_no_patience_leaves_and_the_next_finds_the_token(tokens: TokenProvider) -> None:
    ENDPOINT.script(Delay(0.05))
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(tokens.token(audience="slow"), 0.01)
    assert (await asyncio.wait_for(tokens.token(audience="slow"), 5)).header


@pytest.mark.asyncio
async def test_code_that_takes_a_source_gets_a_static_one() -> None:
    source = StaticTokenSource("t0ken")
    api = httpx.MockTransport(lambda request: httpx.Response(200, text=request.headers["authorization"]))
    async with httpx.AsyncClient(transport=api, auth=TokenAuth(source)) as http:
        assert (await http.get("https://api.example.com")).text == "Bearer t0ken"
    assert source.token_calls == 1


@pytest.mark.asyncio
async def test_code_that_takes_a_provider_gets_a_fake_one() -> None:
    tokens = fake_provider()
    api = ProtectedApp(tokens.endpoint)
    async with httpx.AsyncClient(transport=api.transport(), auth=tokens.auth("orders")) as http:
        assert (await http.get(api.url)).json() == {"served": True}


AUTO = """
import pytest
from tokenflight.testing import fake_provider


@pytest.fixture(scope="session")
def tokens():
    return fake_provider()


@pytest.fixture
async def entered():
    async with fake_provider() as tokens:
        yield tokens


async def test_one(tokens):
    assert (await tokens.token()).header


async def test_two_in_another_loop(tokens):
    await tokens.token()
    assert len(tokens.ledger) == 1


async def test_three(entered):
    assert (await entered.token("orders", subject="u1")).header
"""


INI = """[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
filterwarnings = error
"""


def test_a_project_of_its_own_runs_in_auto_mode_with_warnings_as_errors(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(AUTO)
    (tmp_path / "pytest.ini").write_text(INI)
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:cov", "-p", "no:hypothesispytest"]
    surroundings = os.environ | {"PYTHONPATH": str(Path(tokenflight.__file__).parents[1])}
    command = [sys.executable, "-m", "pytest", *options, str(tmp_path)]
    run = subprocess.run(command, check=False, cwd=tmp_path, env=surroundings, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "3 passed" in run.stdout
