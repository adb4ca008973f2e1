"""A secret that changes while the program runs: no restart, no failed call while a token is held."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from attrs import define
from tests.kit.town import client, town

from tokenflight import InvalidClientError, OAuthClient

pytestmark = pytest.mark.anyio

LIFE = 60.0


@define
class Vault:
    """Where the secret lies, and what a provider is made of to find it there."""

    clients: object
    change: Callable[[str], object]


def _file(path: Path) -> Vault:
    secret = path / "secret"
    secret.write_text("old\n", encoding="utf-8")
    return Vault(client(secret=secret), lambda value: secret.write_text(value, encoding="utf-8"))


def _callable(path: Path) -> Vault:
    now = ["old"]

    async def read() -> str:
        return now[0]

    return Vault(client(secret=read), lambda value: now.__setitem__(0, value))


def _resolver(path: Path) -> Vault:
    now = ["old"]

    def resolve(name: str) -> OAuthClient:
        return client(secret=now[0])

    return Vault(resolve, lambda value: now.__setitem__(0, value))


SOURCES = pytest.mark.parametrize("vault", [_file, _callable, _resolver], ids=["file", "callable", "resolver"])


@SOURCES
async def test_a_secret_rotated_with_overlap_costs_nobody_anything(vault, tmp_path):
    place, kept = town(expires_in=LIFE), vault(tmp_path)
    place.endpoint.register("service", "old")
    async with place.provider(kept.clients) as tokens:
        source = tokens.source("default")
        await place.once(source)
        await place.traffic([source], rate=5, seconds=20)
        place.endpoint.register("service", ["old", "new"])
        await place.traffic([source], rate=5, seconds=20)
        kept.change("new")
        await place.traffic([source], rate=5, seconds=60)
        place.endpoint.register("service", "new")
        await place.traffic([source], rate=5, seconds=120)
        [cold] = await place.once(tokens.source("default", subject="cold"))
    assert not place.failures
    assert not place.dead
    assert cold.error is None
    assert {entry.status for entry in place.requests()} == {200}


@SOURCES
async def test_a_secret_rotated_without_overlap_fails_no_call_while_a_token_is_held(vault, tmp_path):
    place, kept = town(expires_in=LIFE), vault(tmp_path)
    place.endpoint.register("service", "old")
    async with place.provider(kept.clients) as tokens:
        source = tokens.source("default")
        await place.once(source)
        await place.traffic([source], rate=5, seconds=5)
        place.endpoint.register("service", "new")
        await place.traffic([source], rate=5, seconds=45)  # a renewal ahead was refused meanwhile
        assert [entry.status for entry in place.requests()] == [200, 401]
        kept.change("new")
        await place.traffic([source], rate=5, seconds=200)
    assert not place.failures
    assert not place.dead


@SOURCES
async def test_the_first_cold_call_after_a_changed_secret_is_good_within_two_seconds(vault, tmp_path):
    place, kept = town(expires_in=LIFE), vault(tmp_path)
    place.endpoint.register("service", "new")
    async with place.provider(kept.clients) as tokens:
        source = tokens.source("default")
        await place.traffic([source], rate=5, seconds=60)
        assert all(isinstance(call.error, InvalidClientError) for call in place.failures)
        refused = len(place.requests())
        assert refused <= 3
        kept.change("new")
        changed_at, failed = place.clock.now(), len(place.failures)
        await place.traffic([source], rate=5, seconds=5)
    late = place.failures[failed:]
    assert all(call.at < changed_at + 2.0 for call in late)
    assert len(place.requests()) == refused + 1


async def test_a_source_that_still_says_the_same_is_asked_every_two_seconds_at_most_and_nothing_is_sent():
    place, asked = town(), []

    def read() -> str:
        asked.append(place.clock.now())
        return "old"

    place.endpoint.register("service", "new")
    async with place.provider(client(secret=read)) as tokens:
        await place.traffic([tokens.source()], rate=20, seconds=20)
    assert len(place.requests()) == 1
    assert 8 <= len(asked) <= 12
    assert min(after - before for before, after in pairwise(asked[1:])) >= 2.0 - 1e-9


async def test_a_source_of_a_secret_that_fails_is_transient_and_held_tokens_live_on():
    place, broken = town(expires_in=10), []

    def read() -> str:
        if broken:
            raise OSError("vault sealed")
        return "hush"

    async with place.provider(client(secret=read)) as tokens:
        source = tokens.source()
        await place.once(source)
        broken.append(True)
        await place.traffic([source], rate=10, seconds=9.9)
        assert not place.failures
        [health] = tokens.health()
        assert health.state == "up"
        [cold] = await place.once(tokens.source(subject="cold"))
        assert cold.error.transient
        assert cold.error.reason == "credential"
        broken.clear()
        await place.clock.advance(5)
        [healed] = await place.once(source)
    assert healed.error is None
