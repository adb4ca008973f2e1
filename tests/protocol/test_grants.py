from __future__ import annotations

from typing import Any

import pytest
from attrs import frozen

from tokenflight.errors import ConfigurationError
from tokenflight.model.key import Audience, Subject, TokenKey, as_scope
from tokenflight.model.token import Token
from tokenflight.protocol.client import Dialect, OAuthClient
from tokenflight.protocol.grants import ClientCredentials, Fetch, Grant, check_key, effective_scope, token_fields


def client(**fields: Any) -> OAuthClient:
    plain = {"client_id": "me", "token_endpoint": "https://as.example/token", "authentication": "s3cret"}
    return OAuthClient(**(plain | fields))


def key(scope: str | None = None, **fields: Any) -> TokenKey:
    return TokenKey(client="main", scope=as_scope(scope), **fields)


async def fetch(asked: TokenKey) -> Token:
    return Token("t")


def place_subject(asked: TokenKey, fields: dict[str, str]) -> dict[str, str]:
    if asked.subject is None:
        raise ConfigurationError("name a subject")
    return {**fields, "account": asked.subject.id}


def test_a_bare_request_says_its_grant_type_alone() -> None:
    assert token_fields(client(), key()) == {"grant_type": "client_credentials"}


def test_scopes_are_sorted_and_joined_by_spaces() -> None:
    assert token_fields(client(scope="b a"), key())["scope"] == "a b"


@pytest.mark.parametrize(("asked", "sent"), [(None, "a"), ("b c", "b c"), ("", None)])
def test_a_calls_scope_replaces_the_clients(asked: str | None, sent: str | None) -> None:
    assert token_fields(client(scope="a"), key(asked)).get("scope") == sent
    assert effective_scope(client(scope="a"), key(asked)) == as_scope(sent or "")


@pytest.mark.parametrize(
    ("audience", "sent"),
    [
        (Audience("https://api"), {"audience": "https://api"}),
        (Audience("https://api", "resource"), {"resource": "https://api"}),
        (Audience("https://api", "shared_link"), {}),
    ],
)
def test_an_audience_travels_by_its_type(audience: Audience, sent: dict[str, str]) -> None:
    assert token_fields(client(), key(audience=audience)) == {"grant_type": "client_credentials", **sent}


def test_parameters_come_last_and_replace_nothing() -> None:
    assert token_fields(client(parameters={"tenant": "7"}), key()) == {
        "grant_type": "client_credentials",
        "tenant": "7",
    }
    dialect = Dialect(form=lambda asked, fields: {**fields, "tenant": "8"})
    with pytest.raises(ConfigurationError, match="'tenant' would replace"):
        token_fields(client(parameters={"tenant": "7"}, dialect=dialect), key())


def test_a_dialect_sees_the_effective_scope_and_has_the_last_word_on_the_form() -> None:
    def form(asked: TokenKey, fields: dict[str, str]) -> dict[str, str]:
        assert asked.scope == {"a", "b"}
        return {"grant_type": "account_credentials", "scopes": ",".join(sorted(asked.scope))}

    fields = token_fields(client(scope="a b", dialect=Dialect(form=form)), key())

    assert fields == {"grant_type": "account_credentials", "scopes": "a,b"}


def test_a_key_whose_every_part_is_sent_passes() -> None:
    dialect = Dialect(form=place_subject)

    check_key(client(dialect=dialect), key("a", subject=Subject("7"), audience=Audience("https://api")))


@pytest.mark.parametrize("asked", [None, "", "a", "b"])
def test_a_scope_passes_however_it_relates_to_the_clients(asked: str | None) -> None:
    check_key(client(scope="a"), key(asked))
    check_key(client(), key(asked))


@pytest.mark.parametrize(
    ("named", "dropped"),
    [
        ({"subject": Subject("7")}, "subject"),
        ({"audience": Audience("x", "shared_link")}, "audience"),
    ],
)
def test_what_would_be_dropped_is_refused_by_name(named: dict[str, Any], dropped: str) -> None:
    with pytest.raises(ConfigurationError, match=f"the {dropped} would be dropped.*leave it out") as caught:
        check_key(client(), key(**named))

    assert "7" not in str(caught.value)


@pytest.mark.parametrize(("of_client", "of_call"), [("a", None), ("", "a")])
def test_a_scope_that_a_grant_ignores_is_refused_wherever_it_was_said(of_client: str, of_call: str | None) -> None:
    dialect = Dialect(form=lambda asked, fields: {"grant_type": fields["grant_type"]})

    with pytest.raises(ConfigurationError, match="the scope would be dropped"):
        check_key(client(scope=of_client, dialect=dialect), key(of_call))


def test_what_is_demanded_counts_as_used_even_where_it_changes_no_field() -> None:
    def form(asked: TokenKey, fields: dict[str, str]) -> dict[str, str]:
        if asked.audience is None:
            raise ConfigurationError("name an audience")
        return {"grant_type": "x"}

    check_key(client(dialect=Dialect(form=form)), key(audience=Audience("api")))


def test_a_key_that_cannot_be_served_at_all_is_refused_by_who_refuses_it() -> None:
    with pytest.raises(ConfigurationError, match="name a subject"):
        check_key(client(dialect=Dialect(form=place_subject)), key())


def test_fetch_takes_any_key() -> None:
    label = OAuthClient(client_id="label", grant=Fetch(fetch), scope="a")

    check_key(label, key("b", subject=Subject("7"), audience=Audience("api")))
    assert label.grant.fields(key(), frozenset()) == {}


@pytest.mark.parametrize("bad", [None, "fetch", 7])
def test_fetch_of_what_is_no_function_is_refused(bad: Any) -> None:
    with pytest.raises(ConfigurationError, match="pass one"):
        Fetch(bad)


def test_grants_are_values_that_say_who_they_are() -> None:
    assert ClientCredentials() == ClientCredentials()
    assert hash(Fetch(fetch)) == hash(Fetch(fetch))
    assert (ClientCredentials().grant_type, ClientCredentials().repeatable) == ("client_credentials", True)
    assert (Fetch(fetch).grant_type, Fetch(fetch).repeatable) == ("fetch", True)
    assert isinstance(ClientCredentials(), Grant)
    assert isinstance(Fetch(fetch), Grant)


def test_a_grant_of_a_users_own_is_taken() -> None:
    @frozen
    class AccountCredentials:
        account: str
        grant_type = "account_credentials"
        repeatable = True

        def fields(self, key: TokenKey, scope: frozenset[str]) -> dict[str, str]:
            return {"account_id": self.account}

    fields = token_fields(client(grant=AccountCredentials("a1")), key())

    assert fields == {"grant_type": "account_credentials", "account_id": "a1"}
