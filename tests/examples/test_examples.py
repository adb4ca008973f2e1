"""The examples run by themselves, offline, and print what their readers are promised."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import httpx
import pytest

from tokenflight import OAuthClient, ProviderClosedError
from tokenflight.testing import FakeTokenEndpoint

EXAMPLES = Path(__file__).parents[2] / "examples"


def printed(name: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Run an example as `python examples/name` does, and return the lines that it prints."""
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    return capsys.readouterr().out.splitlines()


def parts(name: str) -> dict[str, Any]:
    """Return what an example defines."""
    return runpy.run_path(str(EXAMPLES / name))


def test_the_quickstart_calls_an_api_three_times_with_one_token(capsys: pytest.CaptureFixture[str]) -> None:
    *served, token, requests = printed("quickstart.py", capsys)

    assert served == ["200 {'served': True}"] * 3
    assert token.startswith("Token(Bearer ***, expires_at=")
    assert requests == "token requests: 1"


def test_the_fastapi_app_serves_while_its_token_lives_then_says_when_to_come_back(
    capsys: pytest.CaptureFixture[str],
) -> None:
    *answers, health = printed("fastapi_app.py", capsys)

    refusal = "503 {'error': 'no token', 'reason': 'http_429'} Retry-After: 60"
    assert answers == [
        "/orders 200 {'served': True}",
        "/orders 200 {'served': True}",
        f"/orders {refusal}",
        f"/whoami {refusal}",
    ]
    assert health.startswith("/health 200 [{'endpoint': 'http://127.0.0.1:")
    assert health.endswith("'state': 'up', 'keys_without_token': 1}]")


@pytest.mark.anyio
async def test_the_fastapi_apps_provider_lives_as_long_as_the_app() -> None:
    endpoint = FakeTokenEndpoint()
    async with endpoint.serve() as token_endpoint:
        app = parts("fastapi_app.py")["create_app"](token_endpoint, "https://api.example.com/")
        visitors = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop")
        async with app.router.lifespan_context(app), visitors as visitor:
            before, whoami, after = [(await visitor.get(path)).json() for path in ("/health", "/whoami", "/health")]
        with pytest.raises(ProviderClosedError):
            await app.state.tokens.renew()

    assert before == []
    assert whoami["scope"] == []
    assert [(each["state"], each["keys_without_token"]) for each in after] == [("up", 0)]


def test_the_tenants_have_a_token_each_and_a_removed_one_has_none(capsys: pytest.CaptureFixture[str]) -> None:
    served, *statuses, forgotten, refused, other, requests = printed("many_tenants.py", capsys)

    assert served == "served: [200, 200, 200, 200, 200, 200]"
    assert sorted(statuses) == ["acme fresh", "globex fresh"]
    assert forgotten == "keys of acme forgotten: 1"
    assert refused == "refused: the resolver knows no client 'acme': check the name, or add the client"
    assert other == "globex: 200"
    assert sorted(requests.partition(": ")[2].strip("[]").split(", ")) == ["'acme-client'", "'globex-client'"]


@pytest.mark.anyio
async def test_a_tenants_token_goes_to_its_api_alone() -> None:
    tenants = parts("many_tenants.py")["Tenants"]("https://auth.test/token", "https://api.example.com")

    client = await tenants.client_of("acme")

    assert isinstance(client, OAuthClient)
    assert client.origins == {"https://api.example.com"}
    assert await tenants.client_of("initech") is None


def test_the_worker_starts_warm_and_does_all_its_jobs_with_one_token(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "tokenflight.events")

    *jobs, counts = printed("worker.py", capsys)

    assert sorted(jobs) == [f"report {number} 200" for number in range(6)]
    assert counts == "tokens: 1 outages: 0"
    told = [record.getMessage().partition(" ")[0] for record in caplog.records if record.name == "tokenflight.events"]
    assert told == ["tokenflight.flight.launched", "tokenflight.token.landed"]


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_worker_that_gets_no_token_stops_before_it_takes_a_job() -> None:
    endpoint = FakeTokenEndpoint()
    endpoint.register("report-worker", "another secret")
    worker = parts("worker.py")
    jobs = worker["asyncio"].Queue()
    jobs.put_nowait("report 0")

    async with endpoint.serve() as token_endpoint:
        with pytest.raises(SystemExit, match="invalid_client"):
            await worker["main"](token_endpoint, "https://reports.example.com", jobs)

    assert jobs.qsize() == 1


def test_on_trio_one_that_gives_up_leaves_the_request_to_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    gossip, *feeds, requests = printed("trio_app.py", capsys)

    assert gossip == "gossip: gave up"
    assert sorted(feeds) == ["news 200", "sports 200", "traffic 200", "weather 200"]
    assert requests == "token requests: 1"


def test_every_example_is_here_and_says_what_it_shows_and_how_to_run_it() -> None:
    here = Path(__file__).read_text("utf-8")
    for example in sorted(EXAMPLES.glob("*.py")):
        text = example.read_text("utf-8")
        assert text.startswith('"""Shows '), example.name
        assert f"To run it, offline: python examples/{example.name}\n" in text
        assert "# -- Prerequisites: what you have already, " in text
        assert f'printed("{example.name}", capsys)' in here
