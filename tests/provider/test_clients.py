"""From a name to a client: fixed, or resolved once for all flights that ask at the same time."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from tests.kit.bench import ChosenClock
from tests.kit.town import client

from tokenflight.errors import ConfigurationError
from tokenflight.model.failure import Failure
from tokenflight.protocol.client import OAuthClient
from tokenflight.provider.clients import ABSENT_FOR, ABSENTEES, Clients

pytestmark = pytest.mark.anyio


class Registry:
    """A resolver that counts, and the clients that ask it."""

    def __init__(self, *answers: Any, latency: float = 0.0) -> None:
        self.clock = ChosenClock()
        self.latency = latency
        self.answers: list[Any] = list(answers)
        self.asked: list[str] = []
        self.changes: list[tuple[str, OAuthClient]] = []
        self.clients = Clients(self.resolve, clock=self.clock, timeout=30.0, changed=self.changed)

    async def resolve(self, name: str) -> Any:
        self.asked.append(name)
        await self.clock.sleep_until(self.clock.now() + self.latency)
        answer = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def changed(self, name: str, was: OAuthClient) -> None:
        self.changes.append((name, was))

    async def find(self, name: str = "c") -> OAuthClient | Failure:
        return await self.clock.run(self.clients.find, name)


async def no_change(name: str, was: OAuthClient) -> None:
    raise AssertionError("nothing changed")


def fixed(clients: Any) -> Clients:
    return Clients(clients, clock=ChosenClock(), timeout=1.0, changed=no_change)


def test_a_single_client_is_named_default() -> None:
    one = client()
    clients = fixed(one)
    assert (clients.name(None), clients.name("default"), clients.fixed("default")) == ("default", "default", one)
    assert (clients.resolving, repr(clients)) == (False, "Clients(default)")


def test_a_mapping_of_one_may_leave_its_name_out() -> None:
    assert fixed({"orders": client()}).name(None) == "orders"


def test_with_several_or_a_resolver_leaving_it_out_is_an_error_that_says_which_there_are() -> None:
    with pytest.raises(ConfigurationError, match=r"name it, one of files, orders$"):
        fixed({"orders": client(), "files": client()}).name(None)
    with pytest.raises(ConfigurationError, match=r"name it, the name your resolver knows$"):
        Registry(None).clients.name(None)


def test_an_unknown_name_is_an_error_that_says_which_there_are() -> None:
    with pytest.raises(ConfigurationError, match=r"there is no client 'file': name one of files, orders$"):
        fixed({"orders": client(), "files": client()}).name("file")


@pytest.mark.parametrize("name", ["", 7, client()])
def test_a_name_is_a_non_empty_str(name) -> None:
    with pytest.raises(ConfigurationError, match=rf"not {type(name).__name__}: pass its name$"):
        Registry(None).clients.name(name)


def test_any_name_may_be_one_that_a_resolver_knows() -> None:
    registry = Registry(None)
    assert registry.clients.name("tenant-7") == "tenant-7"
    assert registry.clients.fixed("tenant-7") is None
    assert (registry.clients.resolving, repr(registry.clients)) == (True, "Clients(a resolver)")
    assert registry.asked == []


@pytest.mark.parametrize(
    ("clients", "told"),
    [
        ({}, "give at least one OAuthClient$"),
        ({"a": "client"}, "check the mapping's items$"),
        ({"": client()}, "check the mapping's items$"),
        ({7: client()}, "check the mapping's items$"),
        ("client", "not str: pass one$"),
        (None, "not NoneType: pass one$"),
        ([client()], "not list: pass one$"),
    ],
)
def test_what_is_no_client_no_mapping_and_no_resolver_is_refused(clients, told) -> None:
    with pytest.raises(ConfigurationError, match=told):
        fixed(clients)


def test_a_mapping_is_copied() -> None:
    mapping = {"a": client()}
    clients = fixed(mapping)
    mapping["b"] = client()
    with pytest.raises(ConfigurationError):
        clients.name("b")


async def test_a_fixed_client_is_found_at_once() -> None:
    one = client()
    assert await fixed(one).find("default") is one
    assert fixed(one).known("default") is one


async def test_a_resolver_is_asked_in_every_flight_and_its_answer_serves_that_flight() -> None:
    one, other = client(secret="1"), client(secret="2")
    registry = Registry(one, other)
    assert await registry.find() is one
    assert registry.clients.known("c") is one
    assert await registry.find() is other
    assert registry.asked == ["c", "c"]
    assert registry.changes == [], "a new secret makes no other client of it"


def test_a_resolver_may_be_synchronous() -> None:
    one = client()
    clients = Clients(lambda name: one, clock=ChosenClock(), timeout=1.0, changed=no_change)
    assert anyio.run(clients.find, "any") is one


async def test_it_is_never_asked_twice_at_once_for_a_name() -> None:
    one = client()
    registry, found = Registry(one, latency=1.0), []

    async def find(name: str) -> None:
        found.append((name, await registry.clients.find(name)))

    async with anyio.create_task_group() as tasks:
        for name in "aabab":
            tasks.start_soon(find, name)
        await registry.clock.advance(1.0)
    assert sorted(registry.asked) == ["a", "b"]
    assert [client for _, client in found] == [one] * 5
    await registry.find("a")
    assert len(registry.asked) == 3, "who comes later asks anew"


@pytest.mark.parametrize("changed", [{"host": "other.test"}, {"client_id": "other"}, {"issuer": "https://other.test"}])
async def test_another_identity_changes_what_the_name_stands_for_before_it_is_used(changed) -> None:
    one, other = client(), client(**changed)
    registry = Registry(one, other)
    await registry.find()
    assert await registry.find() is other
    assert registry.changes == [("c", one)]


async def test_where_the_resolver_knows_no_client_that_is_kept_for_five_seconds() -> None:
    one = client()
    registry = Registry(one, None, one)
    await registry.find()
    for _ in range(3):
        failure = await registry.find()
        assert isinstance(failure, Failure)
        assert (failure.error, failure.transient) == (ConfigurationError, False)
        assert failure.detail == "the resolver knows no client 'c': check the name, or add the client"
    assert registry.asked == ["c", "c"]
    assert registry.changes == [("c", one)]
    assert registry.clients.known("c") is None
    await registry.clock.advance(ABSENT_FOR - 0.1)
    assert isinstance(await registry.find(), Failure)
    await registry.clock.advance(0.1)
    assert await registry.find() is one
    assert registry.changes == [("c", one)], "it was forgotten already"


async def test_of_names_that_stand_for_nobody_no_more_than_so_many_are_remembered() -> None:
    clients = Clients(lambda name: None, clock=ChosenClock(), timeout=1.0, changed=no_change)
    for number in range(ABSENTEES + 5):
        assert isinstance(await clients.find(f"made up {number}"), Failure)
    assert len(clients._absent) == 5


async def test_what_was_said_of_a_name_can_be_dropped() -> None:
    one = client()
    registry = Registry(None, one)
    await registry.find()
    registry.clients.drop("c")
    assert await registry.find() is one
    registry.clients.drop("c")
    assert registry.clients.known("c") is None
    registry.clients.drop("never heard of")


async def test_a_client_that_was_found_after_all_is_not_absent() -> None:
    registry = Registry(None, client(), client())
    await registry.find()
    await registry.clock.advance(5.0)
    await registry.find()
    assert isinstance(await registry.find(), OAuthClient)
    assert len(registry.asked) == 3


async def test_a_resolver_that_raises_is_a_transient_failure_that_says_nothing_but_the_type() -> None:
    one = client()
    registry = Registry(one, LookupError("CNRY-row"), one)
    await registry.find()
    failure = await registry.find()
    assert isinstance(failure, Failure)
    assert (failure.reason, failure.transient, failure.counts) == ("resolver", True, False)
    assert failure.detail == "the resolver of client 'c' raised LookupError"
    assert registry.clients.known("c") is one, "what was known lives on"
    assert await registry.find() is one


async def test_a_resolver_that_takes_too_long_is_a_transient_failure() -> None:
    registry = Registry(client(), latency=31.0)
    failure = await registry.find()
    assert isinstance(failure, Failure)
    assert registry.clock.now() == 30.0
    assert (failure.reason, failure.transient) == ("resolver", True)
    assert failure.detail == "the resolver of client 'c' took over 30 s"


async def test_a_resolver_that_gives_something_else_is_told_to_give_a_client() -> None:
    registry = Registry({"client_secret": "CNRY-secret"})
    failure = await registry.find()
    assert isinstance(failure, Failure)
    assert (failure.error, failure.transient) == (ConfigurationError, False)
    assert failure.detail.endswith("gave a dict: let it return an OAuthClient or None")


async def test_who_waits_for_a_cancelled_asker_is_told_that_it_was_broken_off_and_the_next_asks_anew() -> None:
    registry, got, scope = Registry(client(), latency=1.0), [], anyio.CancelScope()

    async def ask() -> None:
        with scope:
            await registry.clients.find("c")

    async def wait() -> None:
        got.append(await registry.clients.find("c"))

    async with anyio.create_task_group() as tasks:
        for task in (ask, wait):
            tasks.start_soon(task)
            await registry.clock.settle()
        scope.cancel()
    [failure] = got
    assert isinstance(failure, Failure)
    assert (failure.reason, failure.transient) == ("resolver", True)
    assert failure.detail == "the resolver of client 'c' was broken off"
    assert isinstance(await registry.find(), OAuthClient)


async def test_in_a_new_loop_nobody_waits_for_who_asked_in_the_old_one() -> None:
    registry, found = Registry(client(), latency=1.0), []

    async def find() -> None:
        found.append(await registry.clients.find("c"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(find)
        await registry.clock.settle()
        registry.clients.reset()
        tasks.start_soon(find)
        await registry.clock.settle()
        assert registry.asked == ["c", "c"]
        await registry.clock.advance(1.0)
    assert len(found) == 2
    assert repr(registry.clients._asking) == "Errands(0 under way)"
