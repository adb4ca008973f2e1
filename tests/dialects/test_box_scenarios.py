"""Box as a program meets it: its grants through a provider, and its API through an auth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import httpx
import pytest
from tests.doubles.box import TOKEN, BoxDouble, refusals
from tests.doubles.box.scene import APP_USER, ENTERPRISE, USER, town
from tests.doubles.tokens import key
from tests.kit.canary import sightings
from tests.kit.town import Town

from tokenflight import (
    Assertion,
    InvalidGrantError,
    JWTBearer,
    OAuthClient,
    TokenProvider,
    TokenRequestError,
)
from tokenflight.dialects import box
from tokenflight.testing import Delay, VirtualClock

pytestmark = pytest.mark.anyio

ME = "https://api.box.com/2.0/users/me"
AN_ENTERPRISE, A_USER = box.enterprise(ENTERPRISE), box.user(USER)


def place(**options: Any) -> tuple[BoxDouble, Town]:
    clock = VirtualClock()
    double = town(clock=clock, **options)
    return double, Town(clock=clock, endpoint=double)  # type: ignore[arg-type]


def client(double: BoxDouble, app: str = "the-ccg", **fields: Any) -> OAuthClient:
    return box.client(client_id=app, client_secret=double.house.apps[app].secret, **fields)


def signing(double: BoxDouble) -> OAuthClient:
    """Return a client that signs as Box wants it."""
    assertion = Assertion(
        key("box-key").as_dict(private=True), key_id="box-key", audience=box.TOKEN_ENDPOINT, backdate=None
    )
    return client(double, "the-jwt", grant=JWTBearer(assertion, inside={"subject_type": "box_sub_type"}))


async def refused(there: Town, call: Callable[[], Any]) -> TokenRequestError:
    with pytest.raises(TokenRequestError) as raised:
        await there.clock.run(call)
    return raised.value


def calling(double: BoxDouble, tokens: TokenProvider, **how: Any) -> httpx.AsyncClient:
    """Return a client of Box's API."""
    return httpx.AsyncClient(transport=double.transport(), auth=tokens.auth(subject=A_USER, **how))


@pytest.mark.proves("Box", "client credentials, 500 callers at once")
async def test_five_hundred_callers_share_one_request() -> None:
    double, there = place()
    double.always(Delay(1.0), at=TOKEN)
    async with there.provider(client(double)) as tokens:
        calls = await there.once(*(tokens.source(subject=AN_ENTERPRISE) for _ in range(500)))
    assert len({call.token for call in calls}) == 1
    assert len(double.token_requests) == 1


@pytest.mark.proves("Box", "client credentials, subjects that share nothing")
async def test_an_enterprise_and_a_user_never_share_a_token() -> None:
    double, there = place()
    who = {}
    async with there.provider(client(double)) as tokens:
        for subject in (AN_ENTERPRISE, A_USER, box.user(APP_USER)):
            token = await there.clock.run(lambda: tokens.token(subject=subject))  # noqa: B023
            async with httpx.AsyncClient(transport=double.transport(), headers={"authorization": token.header}) as http:
                who[subject.id] = (await http.get(ME)).json()["id"]
    assert who == {ENTERPRISE: f"service-{ENTERPRISE}", USER: USER, APP_USER: APP_USER}
    assert len(double.token_requests) == 3


@pytest.mark.proves("Box", "client credentials, renewed ahead")
async def test_a_token_is_renewed_ahead_and_nobody_waits_for_it() -> None:
    double, there = place()
    double.always(Delay(1.0), at=TOKEN)
    async with there.provider(client(double)) as tokens:
        source = tokens.source(subject=A_USER)
        await there.once(source)
        there.waits.clear()
        await there.traffic([source], rate=0.1, seconds=3 * 4200)
    assert not there.waits
    assert not there.failures
    assert not there.dead
    assert 3 <= len(double.token_requests) <= 7


@pytest.mark.proves("Box", "an API that refuses a token to many at once")
async def test_parallel_401s_are_one_renewal_and_one_replay_each() -> None:
    double, there = place()
    async with there.provider(client(double)) as tokens, calling(double, tokens) as http:
        assert (await there.clock.run(http.get, ME)).status_code == 200
        double.invalidate(await tokens.token(subject=A_USER))
        statuses = []

        async def one() -> None:
            statuses.append((await http.get(ME)).status_code)

        async def all_of_them() -> None:
            async with anyio.create_task_group() as tasks:
                for _ in range(20):
                    tasks.start_soon(one)

        await there.clock.run(all_of_them)
    assert statuses == [200] * 20
    assert len(double.token_requests) == 2
    assert len(double.visits("/2.0/users/me")) <= 1 + 2 * 20


@pytest.mark.proves("Box", "an API that refuses every token")
async def test_an_api_that_always_says_401_is_not_asked_forever() -> None:
    double, there = place()
    double.always(refusals.TOKEN_REFUSED, at="/2.0/users/me")
    async with there.provider(client(double)) as tokens, calling(double, tokens) as http:
        answers = [await there.clock.run(http.get, ME) for _ in range(10)]
    assert [answer.status_code for answer in answers] == [401] * 10
    assert len(double.token_requests) == 2
    assert len(double.visits("/2.0/users/me")) <= 20


@pytest.mark.proves("Box", "an API that wants more privileges")
async def test_a_403_asks_for_no_token() -> None:
    double, there = place()
    double.house.apps["the-ccg"].scopes = frozenset({"item_preview"})
    async with there.provider(client(double)) as tokens, calling(double, tokens) as http:
        answers = [await there.clock.run(http.get, ME) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [403] * 5
    assert len(double.token_requests) == 1
    assert len(double.visits("/2.0/users/me")) == 5


@pytest.mark.proves("Box", "client credentials, a refused subject")
async def test_a_refused_subject_costs_one_request_for_a_hundred_callers_and_waits() -> None:
    double, there = place()
    async with there.provider(client(double)) as tokens:
        sources = [tokens.source(subject=box.user("1"))] * 100
        calls = await there.once(*sources)
        again = await there.once(*sources)
        assert len(double.token_requests) == 1
        await there.clock.advance(31)
        await there.once(*sources)
        [fine] = await there.once(tokens.source(subject=A_USER))
    assert {type(call.error) for call in (*calls, *again)} == {InvalidGrantError}
    assert len(double.token_requests) == 3
    assert fine.error is None


async def test_secrets_and_tokens_show_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    double, there = place()
    double.house.apps["the-ccg"].secret = double.house.apps["the-jwt"].secret
    async with there.provider({"ccg": client(double), "jwt": signing(double)}) as tokens:
        for name in ("ccg", "jwt"):
            token = await there.clock.run(lambda: tokens.token(name, subject=A_USER))  # noqa: B023
            error = await refused(there, lambda: tokens.token(name, subject=box.user("1")))  # noqa: B023
            shown = [repr(token), str(token), repr(error), str(error), repr(tokens), repr(tokens.status())]
            assert sightings(" ".join(shown)) == []
        assert sightings(repr(there.events)) == []
    assert sightings(caplog.text) == []
