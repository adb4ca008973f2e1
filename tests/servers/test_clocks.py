"""A clock that is wrong, at a server that does not say why it refuses."""

from __future__ import annotations

import pytest
from attrs import frozen
from tests.kit.harbour import AT_ONCE
from tests.kit.oidc import OidcProvider

from tokenflight import OAuthClient, PrivateKeyJWT, SystemClock, TokenProvider
from tokenflight.model.events import ClockSkewLearned, Event

pytestmark = pytest.mark.anyio


@frozen
class WrongClock(SystemClock):
    """This machine's clock, but for the time of day."""

    off: float

    def wall(self) -> float:  # type: ignore[override]
        return SystemClock.wall() + self.off


async def test_a_clock_that_is_nine_minutes_slow_costs_one_request_and_the_next_token_none(oidc: OidcProvider) -> None:
    known, events = oidc.clients["key-es"], list[Event]()
    client = OAuthClient(
        client_id=known.client_id,
        issuer=oidc.issuer,
        token_endpoint=oidc.token_endpoint,
        authentication=PrivateKeyJWT(known.key or ""),
    )
    async with TokenProvider(client, retry=AT_ONCE, clock=WrongClock(-540.0), hooks=[events.append]) as tokens:
        await tokens.token()
        await tokens.token(scope="read")

    assert [entry.status for entry in oidc.journal()] == [401, 200, 200]
    assert oidc.journal()[0].answer["error_description"] == "client authentication failed"
    [learned] = [event for event in events if isinstance(event, ClockSkewLearned)]
    assert learned.offset == pytest.approx(540.0, abs=2.0)
