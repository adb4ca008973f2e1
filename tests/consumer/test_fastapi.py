"""As users write them: an app in FastAPI whose provider is a dependency, overridden in tests."""

from __future__ import annotations

from typing import Annotated

import pytest
from fastapi import Depends, FastAPI, HTTPException
from fastapi.testclient import TestClient

from tokenflight import TokenProvider, TokenRequestError
from tokenflight.testing import FakeProvider, Refuse, fake_provider


def get_tokens() -> TokenProvider:
    raise RuntimeError("the provider is made in the lifespan, which these tests do without")


app = FastAPI()


@app.get("/whoami/{user}")
async def whoami(user: str, tokens: Annotated[TokenProvider, Depends(get_tokens)]) -> dict[str, str]:
    try:
        token = await tokens.token("files", subject=user)
    except TokenRequestError as error:
        raise HTTPException(503, error.reason) from None
    return {"type": token.token_type}


@pytest.fixture
def tokens() -> FakeProvider:
    return fake_provider()


@pytest.fixture
def client(tokens: FakeProvider) -> TestClient:
    app.dependency_overrides[get_tokens] = tokens
    return TestClient(app)


def test_the_fake_provider_is_its_own_override(client: TestClient, tokens: FakeProvider) -> None:
    assert [client.get("/whoami/u1").json() for _ in range(3)] == [{"type": "Bearer"}] * 3
    assert [entry.form["subject"] for entry in tokens.ledger] == ["u1"]


def test_a_failure_becomes_what_the_app_makes_of_it(client: TestClient, tokens: FakeProvider) -> None:
    tokens.fail("invalid_client")
    assert client.get("/whoami/u1").json() == {"detail": "invalid_client"}
    tokens.recover()
    assert client.get("/whoami/u1").status_code == 200


def test_an_outage_is_met_when_the_held_token_is_past_its_end(client: TestClient, tokens: FakeProvider) -> None:
    client.get("/whoami/u1")
    tokens.fail(Refuse())
    assert client.get("/whoami/u1").status_code == 200
    tokens.expire()
    assert client.get("/whoami/u1").json() == {"detail": "connect"}


def test_no_parameter_of_the_override_shows_in_the_api(client: TestClient) -> None:
    (route,) = client.get("/openapi.json").json()["paths"].values()
    assert [parameter["name"] for parameter in route["get"]["parameters"]] == ["user"]
