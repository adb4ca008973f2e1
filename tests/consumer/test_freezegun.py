"""As users write them: tests in which time is frozen, or jumps."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from freezegun import freeze_time

from tokenflight import Token, TokenProvider
from tokenflight.testing import FakeProvider, FakeTokenEndpoint, fake_provider


@pytest.fixture
def tokens() -> FakeProvider:
    return fake_provider()


def test_a_token_is_had_while_time_stands_still(tokens: FakeProvider) -> None:
    async def main() -> tuple[Token, Token]:
        async with tokens:
            return await tokens.token(), await tokens.token()

    with freeze_time("2020-02-29 12:00:00"):
        first, second = asyncio.run(main())
    assert first is second
    assert first.expires_at is not None
    assert first.expires_at - first.issued_at == timedelta(hours=1)


@pytest.mark.parametrize("jump", [timedelta(days=-3650), timedelta(hours=2), timedelta(days=3650)])
def test_a_jump_of_the_calendar_neither_ends_a_token_nor_breaks_a_call(tokens: FakeProvider, jump: timedelta) -> None:
    async def main(provider: TokenProvider) -> int:
        with freeze_time("2024-06-01", real_asyncio=True) as frozen:
            async with provider:
                held = await provider.token()
                frozen.tick(jump)
                assert await provider.token() is held
                assert (await provider.renew()).header != held.header
                await provider.token("another")
            return len(tokens.ledger)

    assert asyncio.run(main(tokens)) == 3


def test_a_failure_under_frozen_time_ends(tokens: FakeProvider) -> None:
    async def main() -> str:
        tokens.fail("invalid_client")
        try:
            await tokens.token()
        except Exception as error:
            return type(error).__name__
        return "none"

    with freeze_time("2020-01-01"):
        assert asyncio.run(main()) == "InvalidClientError"


def test_a_token_that_was_had_in_frozen_time_serves_afterwards() -> None:
    with freeze_time("2000-01-01"):
        tokens = fake_provider(FakeTokenEndpoint(expires_in=60))
        held = asyncio.run(tokens.token())
    assert asyncio.run(tokens.token()) is held
    assert asyncio.run(tokens.renew(rejected=held)).header != held.header
