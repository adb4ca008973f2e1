from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from attrs.exceptions import FrozenInstanceError

from tokenflight.errors import ConfigurationError
from tokenflight.model.key import TokenKey
from tokenflight.model.origin import ANY
from tokenflight.model.policy import RefreshPolicy
from tokenflight.model.secret import Secret
from tokenflight.model.token import Token
from tokenflight.protocol.client import RESERVED, Dialect, Endpoints, OAuthClient, Parameters
from tokenflight.protocol.client_authentication import ClientSecretBasic, ClientSecretPost, PublicClient
from tokenflight.protocol.grants import ClientCredentials, Fetch

SECRET = "CNRY-secret-5d0f"


def client(**fields: Any) -> OAuthClient:
    plain: dict[str, Any] = {
        "client_id": "me",
        "token_endpoint": "https://as.example/token",
        "authentication": ClientSecretPost(SECRET),
    }
    return OAuthClient(**(plain | fields))


async def fetch(key: TokenKey) -> Token:
    return Token("t")


def test_a_client_needs_no_more_than_an_id_an_endpoint_and_a_secret() -> None:
    plain = OAuthClient(client_id="me", token_endpoint="https://as.example/token", authentication=SECRET)

    assert plain.authentication == ClientSecretBasic(SECRET)
    assert plain.grant == ClientCredentials()
    assert plain.scope == frozenset()
    assert dict(plain.parameters) == {}
    assert plain.origins == frozenset()
    assert plain.endpoints == Endpoints()
    assert plain.dialect == Dialect()
    assert plain.refresh is None
    assert plain.default_lifetime == 300.0


@pytest.mark.parametrize("source", [SECRET, Secret(SECRET), Path("/run/secret"), lambda: SECRET])
def test_a_bare_secret_means_basic_authentication(source: Any) -> None:
    authentication = client(authentication=source).authentication

    assert isinstance(authentication, ClientSecretBasic)
    assert authentication.secret == (Secret(SECRET) if isinstance(source, str) else source)


def test_equal_clients_are_equal_and_hash_alike() -> None:
    one, two = (client(parameters={"a": "1"}, scope="b a", origins="https://api.example/x") for _ in range(2))

    assert one == two
    assert hash(one) == hash(two)
    assert one != client(parameters={"a": "2"}, scope="b a", origins="https://api.example/x")


def test_a_client_is_immutable_and_evolves_through_its_checks() -> None:
    plain = client(scope="a", parameters={"tenant": "1"})

    with pytest.raises(FrozenInstanceError):
        plain.client_id = "you"  # type: ignore[misc]
    assert evolve(plain, client_id="you") == client(client_id="you", scope="a", parameters={"tenant": "1"})
    with pytest.raises(ConfigurationError):
        evolve(plain, token_endpoint=None)


def test_the_repr_shows_neither_secret_nor_path_nor_parameters() -> None:
    shown = repr(client(token_endpoint=f"https://as.example/{SECRET}?key={SECRET}", parameters={"key": SECRET}))

    assert shown == (
        "OAuthClient('me', endpoint='https://as.example', authentication=client_secret_post, grant=client_credentials)"
    )
    assert repr(Parameters({"key": SECRET})) == "Parameters(['key'])"


def test_the_identity_is_issuer_endpoint_and_client_id() -> None:
    plain = client(issuer="https://as.example/")

    assert plain.identity == ("https://as.example/", "https://as.example/token", "me")
    assert plain.endpoint_label == "https://as.example"


def test_scope_and_origins_are_normalised() -> None:
    plain = client(scope="b a b", origins=["https://API.example:443/x", "http://localhost:8000"])

    assert plain.scope == {"a", "b"}
    assert plain.origins == {"https://api.example", "http://localhost:8000"}
    assert client(origins=ANY).origins is ANY
    assert client(scope=None).scope == frozenset()


@pytest.mark.parametrize(
    "url",
    [
        "https://as.example/token",
        "https://as.example:8443/token?tenant=a",
        "http://localhost:8000/token",
        "http://127.0.0.1/token",
        "http://[::1]:8000/token",
        "http://as.localhost/token",
    ],
)
def test_these_token_endpoints_are_taken_as_they_are(url: str) -> None:
    assert client(token_endpoint=url).token_endpoint == url


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("http://as.example/token", "write it with https"),
        ("http://10.0.0.1/token", "write it with https"),
        ("http://localhost.evil.example/token", "write it with https"),
        ("ftp://as.example/token", "write it as https://"),
        ("as.example/token", "write it as https://"),
        ("https:///token", "write it as https://"),
        ("https://as.example:99999/token", "write it as https://"),
        ("https://me:pw@as.example/token", "take it out"),
        ("https://as.example/token#x", "take out what follows the #"),
        ("https://as.example/token#", "take out what follows the #"),
        ("https://as.exämple/token", "percent-encoded"),
        ("https://as.example/to ken", "percent-encoded"),
        ("https://as.example/token\r\nx: y", "percent-encoded"),
        ("", "write it as https://"),
        (b"https://as.example", "percent-encoded"),
    ],
)
@pytest.mark.parametrize("name", ["token_endpoint", "issuer"])
def test_a_url_that_cannot_be_right_is_refused_by_name(name: str, url: Any, advice: str) -> None:
    with pytest.raises(ConfigurationError, match=advice) as caught:
        client(**{name: url})

    assert str(caught.value).startswith(name)


def test_an_issuer_has_no_query() -> None:
    with pytest.raises(ConfigurationError, match="take out what follows the"):
        client(issuer="https://as.example/?a=b")


@pytest.mark.parametrize("name", ["revocation", "authorization", "device", "introspection", "jwks"])
def test_the_other_endpoints_are_checked_likewise(name: str) -> None:
    assert getattr(client(endpoints=Endpoints(**{name: "https://as.example/x"})).endpoints, name)
    with pytest.raises(ConfigurationError, match=f"^endpoints.{name} is plain http"):
        client(endpoints=Endpoints(**{name: "http://as.example/x"}))


def test_plain_http_is_allowed_on_request_and_says_so_loudly(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), pytest.warns(UserWarning, match="can be read on the way") as warned:
        plain = client(token_endpoint="http://as.example/token?key=k", allow_insecure=True)

    assert plain.token_endpoint == "http://as.example/token?key=k"
    assert warned[0].filename == str(Path(__file__))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "http://as.example" in caplog.text
    assert "key=k" not in caplog.text


@pytest.mark.filterwarnings("error")
def test_allowing_insecure_is_silent_where_nothing_is_insecure() -> None:
    assert client(allow_insecure=True).allow_insecure


def test_an_issuer_alone_is_enough_and_labels_the_client() -> None:
    found = client(token_endpoint=None, issuer="https://AS.example:443/tenant")

    assert found.endpoint_label == "https://as.example"
    assert found.identity == ("https://AS.example:443/tenant", None, found.client_id)


def test_a_client_without_endpoint_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="give token_endpoint, or the issuer whose metadata tell it"):
        client(token_endpoint=None)


def test_client_credentials_without_authentication_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="give authentication"):
        client(authentication=None)
    with pytest.raises(ConfigurationError, match="give authentication"):
        client(authentication=PublicClient())


def test_fetch_needs_a_label_alone() -> None:
    plain = OAuthClient(client_id="label", grant=Fetch(fetch))

    assert plain.endpoint_label == "label"
    assert plain.identity == (None, None, "label")
    assert repr(plain) == "OAuthClient('label', endpoint='label', authentication=none, grant=fetch)"


@pytest.mark.parametrize(
    "beside",
    [
        {"token_endpoint": "https://as.example/token"},
        {"issuer": "https://as.example"},
        {"authentication": "secret"},
        {"parameters": {"a": "b"}},
        {"endpoints": Endpoints(jwks="https://as.example/jwks")},
        {"dialect": Dialect(hint=lambda status, error, description: None)},
    ],
    ids=lambda beside: next(iter(beside)),
)
def test_what_fetch_cannot_use_is_refused(beside: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=f"cannot use {next(iter(beside))}: leave it out"):
        OAuthClient(client_id="label", grant=Fetch(fetch), **beside)


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_a_parameter_that_the_library_sets_itself_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"'{name}' is set by the library"):
        client(parameters={name: "x"})


@pytest.mark.parametrize("parameters", [{"a": 1}, {1: "a"}, {"": "a"}, [("a", "b")], None, {"a": "\ud800"}])
def test_parameters_that_are_no_text_are_refused(parameters: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"pass a dict|decode its source"):
        client(parameters=parameters)


def test_parameters_are_a_copy_and_cannot_change() -> None:
    mine = {"tenant": "1"}
    kept = client(parameters=mine).parameters
    mine["tenant"] = "2"

    assert dict(kept) == {"tenant": "1"}
    assert len(kept) == 1
    assert not hasattr(kept, "__setitem__")
    assert kept == Parameters({"tenant": "1"})


@pytest.mark.parametrize(
    "bad",
    [
        {"client_id": ""},
        {"client_id": 7},
        {"client_id": "a\nb"},
        {"client_id": "\ud800"},
        {"grant": "client_credentials"},
        {"grant": ClientCredentials},
        {"grant": None},
        {"endpoints": None},
        {"endpoints": {"jwks": "https://as.example"}},
        {"dialect": None},
        {"refresh": 0.5},
        {"default_lifetime": 0},
        {"default_lifetime": -1.0},
        {"default_lifetime": True},
        {"default_lifetime": float("nan")},
        {"default_lifetime": float("inf")},
        {"default_lifetime": "300"},
        {"allow_insecure": "yes"},
        {"scope": 7},
        {"scope": "sch\u00f6n"},
        {"origins": 7},
        {"authentication": 7},
        {"authentication": b"secret"},
        {"authentication": ClientSecretPost},
        {"authentication": ""},
    ],
    ids=str,
)
def test_a_field_of_the_wrong_kind_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"[:,;] "):
        client(**bad)


def test_a_refresh_policy_of_its_own_is_kept() -> None:
    policy = RefreshPolicy(proactive=False)

    assert client(refresh=policy).refresh is policy
