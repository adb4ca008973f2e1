"""From what was typed to the key that is meant, and back to the entry at once when it is typed again."""

from __future__ import annotations

from collections.abc import Awaitable

import pytest
from tests.kit.bench import ChosenClock
from tests.kit.town import client

from tokenflight import Audience, Subject, TokenKey
from tokenflight.engine.entries import Entry
from tokenflight.errors import ConfigurationError
from tokenflight.protocol.client import OAuthClient
from tokenflight.provider.clients import Clients, ClientsArgument
from tokenflight.provider.keys import ALIASES, Keys


async def nothing(name: str, was: OAuthClient) -> None:
    """Change nothing."""


def keys(clients: ClientsArgument) -> Keys:
    return Keys(Clients(clients, clock=ChosenClock(), timeout=1.0, changed=nothing))


def resolver(name: str) -> OAuthClient | Awaitable[OAuthClient | None] | None:
    raise AssertionError("a resolver is asked in flights and nowhere else")


def test_a_plain_str_is_the_first_field_of_subject_and_audience() -> None:
    meant = TokenKey(client="default", subject=Subject("s"), audience=Audience("a"), scope=frozenset({"x", "y"}))
    assert keys(client()).key((None, "s", "a", "y x")) == meant
    assert keys(client()).key(("default", Subject("s"), Audience("a"), ["x", "y"])) == meant


def test_a_scope_that_is_the_clients_own_is_no_scope_of_the_calls() -> None:
    made = keys(client(scope="x y"))
    assert made.key((None, None, None, ["y", "x"])) == made.key((None, None, None, None)) == TokenKey(client="default")
    assert made.key((None, None, None, "x")).scope == frozenset({"x"})
    assert made.key((None, None, None, ())).scope == frozenset()


def test_what_the_client_cannot_carry_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(ConfigurationError, match="the subject would be dropped"):
        keys(client(dialect=OAuthClient(client_id="x", token_endpoint="https://x", authentication="y").dialect)).key(
            (None, "somebody", None, None)
        )


def test_what_a_resolvers_client_can_carry_is_left_to_the_flight() -> None:
    assert keys(resolver).key(("any", "somebody", None, "x")) == TokenKey(
        client="any", subject=Subject("somebody"), scope=frozenset({"x"})
    )


@pytest.mark.parametrize("scope", [None, "x", ("x",), frozenset({"x"})])
def test_the_same_words_lead_to_the_same_entry(scope) -> None:
    made, entry = keys(client()), Entry(TokenKey(client="default"))
    made.remember((None, "s", None, scope), entry)
    assert made.aliases[None, "s", None, scope] is entry
    assert (None, "other", None, scope) not in made.aliases


def test_words_that_cannot_be_remembered_are_not() -> None:
    made = keys(client())
    made.remember((None, None, None, ["x"]), Entry(TokenKey(client="default")))
    assert made.aliases == {}


def test_there_is_an_end_to_what_is_remembered() -> None:
    made, entry = keys(client()), Entry(TokenKey(client="default"))
    for number in range(ALIASES):
        made.remember((None, str(number), None, None), entry)
    assert len(made.aliases) == ALIASES
    made.remember((None, "one more", None, None), entry)
    assert list(made.aliases) == [(None, "one more", None, None)]
