"""What is held, here and in the store, and how it is let go."""

from __future__ import annotations

from typing import Any

import pytest
from tests.kit.bench import chosen_town
from tests.kit.town import client

from tokenflight import MemoryStore, RetryPolicy, TokenKey
from tokenflight.errors import ConfigurationError, InvalidClientError
from tokenflight.model.events import ClientChanged
from tokenflight.testing import Answer, Error

pytestmark = pytest.mark.anyio


async def test_a_forgotten_key_is_gone_here_and_in_the_store() -> None:
    place, store = chosen_town(), MemoryStore()
    async with place.provider(store=store) as tokens:
        await place.clock.run(tokens.token)
        assert await tokens.forget() is True
        assert (store._records, tokens.status()) == ({}, ())
        assert await tokens.forget() is False, "nothing was held"
        await place.clock.run(tokens.token)
        assert len(place.endpoint.ledger) == 2


async def test_what_only_the_store_holds_is_forgotten_too() -> None:
    place, store = chosen_town(), MemoryStore()
    async with place.provider(store=store) as tokens:
        await place.clock.run(tokens.token)
    async with place.provider(store=store) as tokens:
        assert await tokens.forget() is False
        assert store._records == {}


async def test_a_resolvers_client_that_was_never_asked_for_has_no_record_to_remove() -> None:
    place = chosen_town()
    async with place.provider(lambda name: client(), store=MemoryStore()) as tokens:
        assert await tokens.forget("tenant") is False


async def test_a_clients_keys_are_forgotten_all_or_those_of_one_subject() -> None:
    place, store = chosen_town(), MemoryStore()
    async with place.provider({"a": client("a"), "b": client("b")}, store=store) as tokens:
        for name in "ab":
            for subject in ("s", "t", "u"):
                await place.clock.run(lambda: tokens.token(name, subject=subject))  # noqa: B023
        assert await tokens.forget_client("a", subject="s") == 1
        assert await tokens.forget_client("a", subject="nobody") == 0
        assert len(tokens.status()) == len(store._records) == 5
        assert [health.keys for health in tokens.health()] == [5]
        assert await tokens.forget_client("a") == 2
        assert {status.key.client for status in tokens.status()} == {"b"}
        assert len(store._records) == 3
        with pytest.raises(ConfigurationError):
            await tokens.forget_client("c")


async def test_a_forgotten_client_is_asked_for_anew_and_its_brakes_are_gone() -> None:
    place = chosen_town()
    answers: list[Any] = [None, client()]
    async with place.provider(lambda name: answers.pop(0)) as tokens:
        with pytest.raises(ConfigurationError):
            await place.clock.run(tokens.token, "tenant")
        assert await tokens.forget_client("tenant") == 1
        await place.clock.run(tokens.token, "tenant")
        assert answers == []


async def test_a_subjects_end_leaves_the_clients_brakes_on_and_the_clients_lifts_them() -> None:
    place = chosen_town()
    place.endpoint.always(Error("invalid_client"))
    async with place.provider() as tokens:
        with pytest.raises(InvalidClientError):
            await place.clock.run(lambda: tokens.token(subject="s"))
        assert await tokens.forget_client("default", subject="other") == 0
        with pytest.raises(InvalidClientError):
            await place.clock.run(lambda: tokens.token(subject="t"))
        assert len(place.endpoint.ledger) == 1
        assert await tokens.forget_client("default") == 2
        assert tokens.health() == ()
        place.endpoint.always()
        await place.clock.run(lambda: tokens.token(subject="t"))


async def test_another_client_under_a_name_forgets_what_the_old_one_held() -> None:
    place, store, host = chosen_town(), MemoryStore(), ["one.test"]
    async with place.provider(lambda name: client(host=host[0]), store=store) as tokens:
        for subject in ("s", "t"):
            await place.clock.run(lambda: tokens.token("tenant", subject=subject))  # noqa: B023
        host[0] = "two.test"
        await place.clock.run(lambda: tokens.token("tenant", subject="new"))
        kept = {status.key.subject.id: status.verdict for status in tokens.status() if status.key.subject}
        assert kept == {"s": "none", "t": "none", "new": "fresh"}
        assert len(store._records) == 1
    assert place.told(ClientChanged) == [ClientChanged(client="tenant", forgotten=2)]


async def test_warming_is_asking_whose_failure_shows_in_the_status() -> None:
    place = chosen_town()
    place.endpoint.always(Answer(503))
    async with place.provider(retry=RetryPolicy(attempts=1)) as tokens:
        key = TokenKey(client="default")
        await place.clock.run(tokens._holdings.warm, key)
        status = tokens._holdings.status(key)
        assert (status.verdict, status.last_error) == ("none", "http_503")
