from __future__ import annotations

from typing import Any

import httpx
import pytest
from tests.dialects.asking import lifetime, provider, refusal, token
from tests.doubles.odd import OddDouble
from tests.doubles.odd.github import APP, INSTALLATIONS, PATH
from tests.doubles.odd.github import refusal as recorded
from tests.doubles.tokens import key, peeked

from tokenflight import (
    ClientAuthentication,
    ConfigurationError,
    InvalidClientError,
    OAuthClient,
    TokenEndpointError,
    TokenKey,
)
from tokenflight.dialects import github
from tokenflight.protocol.grants import check_key
from tokenflight.testing import Answer, VirtualClock

pytestmark = pytest.mark.anyio
SEVEN, EIGHT = INSTALLATIONS


@pytest.fixture
def double() -> OddDouble:
    return OddDouble()


def pem(name: str = "odd-key") -> str:
    return str(key(name).as_pem(private=True).decode())  # type: ignore[attr-defined]


def client(id: int | str = SEVEN, **fields: Any) -> OAuthClient:
    return github.installation(id, **({"client_id": APP, "key": pem()} | fields))


@pytest.mark.proves("GitHub App", "installation token, JWT in a header")
async def test_an_installation_gets_a_token_for_an_empty_form(double: OddDouble) -> None:
    got = await token(client(), double)

    [seen] = double.ledger
    assert (seen.method, seen.path, seen.raw) == ("POST", PATH, b"")
    claims = peeked(seen.bearer) or {}
    assert set(claims) == {"iss", "iat", "exp"}
    assert (claims["iss"], claims["exp"] - claims["iat"]) == (APP, 600)
    assert (got.access_token.reveal(), got.token_type) == (list(double.tokens)[-1], "Bearer")
    assert lifetime(got) in (3599, 3600)
    assert got.extra["permissions"] == {"contents": "read"}


@pytest.mark.proves("GitHub App", "a client for each installation, by a resolver")
async def test_a_resolver_knows_every_installation(double: OddDouble) -> None:
    shared = github.AppJWT(pem())

    def client_of(installation: str) -> OAuthClient | None:
        return client(installation, key=shared) if installation.isdigit() else None

    async with provider(client_of, double) as tokens:
        seven, eight = await tokens.token(SEVEN), await tokens.token(EIGHT)
        assert await tokens.token(SEVEN) is seven
        with pytest.raises(ConfigurationError):
            await tokens.token("nobody")

    assert seven != eight
    assert [seen.path.split("/")[3] for seen in double.ledger] == [SEVEN, EIGHT]


async def test_a_token_lives_by_the_servers_clock_and_is_renewed_before_its_end() -> None:
    clock = VirtualClock()
    double = OddDouble(clock=clock, now_offset=-30)
    async with provider(client(), double, clock=clock) as tokens:
        source = tokens.source(keep_warm=True)
        got = await clock.run(source.token)
        assert lifetime(got) == 3600
        await clock.advance(3500)

    assert [seen.status for seen in double.ledger] == [201, 201]


async def test_a_clock_that_is_off_heals_by_the_answers_date() -> None:
    clock = VirtualClock()
    double = OddDouble(clock=clock, now_offset=-540)
    async with provider(client(), double, clock=clock) as tokens:
        await clock.run(tokens.token)

    assert [seen.status for seen in double.ledger] == [401, 201]


async def test_a_key_that_is_not_the_apps_is_the_apps_fault(double: OddDouble) -> None:
    error = await refusal(client(key=pem("another")), double)

    assert isinstance(error, InvalidClientError)
    assert (error.error_description, error.transient) == ("A JSON web token could not be decoded", False)
    assert error.error_uri == "https://docs.github.com/rest"
    assert "Private keys" in (error.hint or "")


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        (recorded(404, "Not Found"), 404, "check the installation's id"),
        (recorded(403, "This installation has been suspended"), 403, "unsuspend"),
        (recorded(422, "The permissions requested are not granted"), 422, "Permissions & events"),
    ],
)
async def test_an_installation_that_is_gone_or_suspended_concerns_itself_alone(
    double: OddDouble, answer: Answer, status: int, words: str
) -> None:
    double.always(answer)

    error = await refusal(client(), double)

    assert type(error) is TokenEndpointError
    assert (error.status, error.transient) == (status, False)
    assert words in (error.hint or "")


async def test_a_rate_limit_that_comes_as_403_is_transient(double: OddDouble) -> None:
    double.script(recorded(403, "You have exceeded a secondary rate limit."))

    await token(client(), double)

    assert [seen.status for seen in double.ledger] == [403, 201]


@pytest.mark.parametrize("end", [None, 5, "soon", "2026-11-22T10:00:00"])
def test_an_end_that_cannot_be_read_is_unknown(end: Any) -> None:
    date = {"date": "Sun, 22 Nov 2026 09:00:00 GMT"}

    assert "expires_in" not in github.DIALECT.read(201, date, {"token": "t", "expires_at": end})
    assert github.DIALECT.read(201, date, {"token": "t", "expires_at": "2026-11-22T10:00:00Z"})["expires_in"] == 3600
    assert "expires_in" not in github.DIALECT.read(201, {}, {"token": "t", "expires_at": "2026-11-22T10:00:00Z"})


def test_a_scope_is_refused_since_a_token_may_what_the_installation_may() -> None:
    with pytest.raises(ConfigurationError, match="the scope would be dropped"):
        check_key(client(), TokenKey(client="c", scope=frozenset({"contents:read"})))


@pytest.mark.parametrize("id", ["", "7/../8", "²", -1, "x"])
def test_what_is_no_installation_id_is_refused(id: Any) -> None:
    with pytest.raises(ConfigurationError, match="a GitHub installation id is a number"):
        client(id)


def test_a_server_of_ones_own_has_its_own_api() -> None:
    assert client(7, api="https://github.acme.example/api/v3/").token_endpoint == (
        "https://github.acme.example/api/v3/app/installations/7/access_tokens"
    )


def test_the_authentication_is_a_value_that_shows_no_key() -> None:
    proof = github.AppJWT(pem())

    assert isinstance(proof, ClientAuthentication)
    assert (repr(proof), proof == github.AppJWT(pem()), hash(proof)) == (
        "AppJWT(***)",
        True,
        hash(github.AppJWT(pem())),
    )


async def test_the_token_reads_a_repository_and_the_jwt_does_not_leave_the_token_endpoint(double: OddDouble) -> None:
    shown: list[str] = []

    def api(request: httpx.Request) -> httpx.Response:
        shown.append(request.headers["authorization"])
        return httpx.Response(200, json={})

    async with provider(client(), double) as tokens:
        auth = tokens.auth(origins="https://api.github.com")
        async with httpx.AsyncClient(transport=httpx.MockTransport(api), auth=auth) as http:
            await http.get("https://api.github.com/repos/acme/orders")

    assert shown == [f"Bearer {list(double.tokens)[-1]}"]
