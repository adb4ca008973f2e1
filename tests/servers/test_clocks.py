"""A clock that is wrong, at a server that does not say why it refuses."""

from __future__ import annotations

import pytest
from attrs import frozen
from tests.kit.harbour import AT_ONCE
from tests.kit.oidc import OidcProvider

from tokenflight import InvalidClientError, OAuthClient, PrivateKeyJWT, SystemClock, TokenProvider
from tokenflight.model.events import ClockSkewLearned, Event

pytestmark = pytest.mark.anyio


@frozen
class WrongClock(SystemClock):
    """This machine's clock, but for the time of day."""

    off: float

    def wall(self) -> float:  # type: ignore[override]
        return SystemClock.wall() + self.off


def signing(oidc: OidcProvider) -> OAuthClient:
    known = oidc.clients["key-es"]
    return OAuthClient(
        client_id=known.client_id,
        issuer=oidc.issuer,
        token_endpoint=oidc.token_endpoint,
        authentication=PrivateKeyJWT(known.key or ""),
    )


@pytest.mark.proves("oidc-provider", "client_credentials + private_key_jwt (this machine's clock is wrong)")
async def test_a_clock_that_is_nine_minutes_slow_costs_one_request_and_the_next_token_none(oidc: OidcProvider) -> None:
    events = list[Event]()
    async with TokenProvider(signing(oidc), retry=AT_ONCE, clock=WrongClock(-540.0), hooks=[events.append]) as tokens:
        await tokens.token()
        await tokens.token(scope="read")

    assert [entry.status for entry in oidc.journal()] == [401, 200, 200]
    assert oidc.journal()[0].answer["error_description"] == "client authentication failed"
    [learned] = [event for event in events if isinstance(event, ClockSkewLearned)]
    assert learned.offset == pytest.approx(540.0, abs=2.0)


@pytest.mark.proves("oidc-provider", "client_credentials + private_key_jwt (this machine's clock is wrong)")
async def test_a_clock_that_is_fast_is_no_matter_here(oidc: OidcProvider) -> None:
    async with TokenProvider(signing(oidc), retry=AT_ONCE, clock=WrongClock(540.0)) as tokens:
        await tokens.token()

    assert [entry.status for entry in oidc.journal()] == [200]


@pytest.mark.proves("oidc-provider", "client_credentials + private_key_jwt (this machine's clock is wrong)")
async def test_a_clock_that_is_far_too_slow_is_told_of(oidc: OidcProvider) -> None:
    async with TokenProvider(signing(oidc), retry=AT_ONCE, clock=WrongClock(-1200.0)) as tokens:
        with pytest.raises(InvalidClientError) as caught:
            await tokens.token()

    assert caught.value.hint == "this machine's clock is 20 minutes behind the server's: set it"
    assert [entry.status for entry in oidc.journal()] == [401]
