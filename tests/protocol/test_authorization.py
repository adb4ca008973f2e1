"""Sending a person to log in: the URL, what is kept of it, and the request for their code."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from tests.kit.attempts import work
from tests.kit.canary import canary, exposed, sightings

from tokenflight import (
    Audience,
    AuthorizationCode,
    AuthorizationRequest,
    ClientCredentials,
    Endpoints,
    OAuthClient,
    Secret,
    Subject,
    TokenKey,
)
from tokenflight.errors import ConfigurationError
from tokenflight.model.secret import SecretSource
from tokenflight.protocol.authorization import CodeExchange, begin
from tokenflight.protocol.client_authentication import Attempt

pytestmark = pytest.mark.anyio

BACK = "https://app.test/callback"
KEY = TokenKey(client="name")


def client(**fields: Any) -> OAuthClient:
    fields = {
        "grant": AuthorizationCode(),
        "endpoints": Endpoints(authorization="https://auth.test/authorize"),
    } | fields
    return OAuthClient(client_id="c 1", token_endpoint="https://auth.test/token", authentication="s", **fields)


def begun(of: OAuthClient | None = None, key: TokenKey = KEY, **how: Any) -> AuthorizationRequest:
    return begin(of or client(), key, **{"redirect_uri": BACK, "parameters": {}, "until": 1000.0} | how)


def query(request: AuthorizationRequest) -> dict[str, str]:
    pairs = parse_qsl(urlsplit(request.url).query, strict_parsing=True)
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def attempt(key: TokenKey = KEY, refresh_token: Secret | None = None) -> Attempt:
    async def read(source: SecretSource) -> Secret:
        assert isinstance(source, Secret)
        return source

    return Attempt(key=key, client=client(), wall=0.0, read=read, work=work, refresh_token=refresh_token)


def test_the_url_says_what_an_authorization_request_has_to() -> None:
    request = begun()
    said = query(request)
    assert request.url.startswith("https://auth.test/authorize?response_type=code&")
    assert said.keys() == {
        *("response_type", "client_id", "redirect_uri", "state", "code_challenge", "code_challenge_method")
    }
    assert (said["client_id"], said["redirect_uri"]) == ("c 1", BACK)
    assert said["state"] == request.state
    assert (request.client, request.issuer, request.expires_at.timestamp()) == ("name", None, 1000.0)


def test_each_login_has_a_state_and_a_verifier_of_its_own_with_256_bits() -> None:
    requests = [begun() for _ in range(100)]
    assert len({request.state for request in requests}) == 100
    assert len({request.verifier.reveal() for request in requests if request.verifier}) == 100
    assert all(len(request.state) == 43 for request in requests)


def test_the_challenge_is_that_of_rfc_7636_appendix_b(monkeypatch: pytest.MonkeyPatch) -> None:
    octets = bytes(
        [
            *(116, 24, 223, 180, 151, 153, 224, 37, 79, 250, 96, 125, 216, 173),
            *(187, 186, 22, 212, 37, 77, 105, 214, 191, 240, 91, 88, 5, 88, 83),
            *(132, 141, 121),
        ]
    )
    monkeypatch.setattr(secrets, "token_bytes", lambda count: octets[:count])
    request = begun()
    assert request.verifier is not None
    assert request.verifier.reveal() == "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    assert query(request)["code_challenge"] == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    assert query(request)["code_challenge_method"] == "S256"


def test_the_url_shows_the_hash_of_the_verifier_and_never_itself() -> None:
    request = begun()
    assert request.verifier is not None
    digest = hashlib.sha256(request.verifier.reveal().encode()).digest()
    assert query(request)["code_challenge"] == base64.urlsafe_b64encode(digest).decode().rstrip("=")
    assert request.verifier.reveal() not in request.url


def test_without_pkce_there_is_neither() -> None:
    request = begun(client(grant=AuthorizationCode(pkce=False)))
    assert request.verifier is None
    assert not query(request).keys() & {"code_challenge", "code_challenge_method"}


@pytest.mark.parametrize(
    ("of", "key", "nonce"),
    [
        ({}, KEY, False),
        ({"scope": "openid email"}, KEY, True),
        ({"scope": "openid"}, evolve(KEY, scope=frozenset({"read"})), False),
        ({}, evolve(KEY, scope=frozenset({"openid"})), True),
    ],
)
def test_a_nonce_goes_along_where_openid_is_asked_for(of: dict[str, Any], key: TokenKey, nonce: bool) -> None:
    request = begun(client(issuer="https://auth.test", **of), key)
    assert (request.nonce is not None) is nonce
    assert query(request).get("nonce") == request.nonce
    assert request.nonce != request.state


def test_a_calls_scope_replaces_the_clients() -> None:
    assert query(begun(client(scope="b a")))["scope"] == "a b"
    assert query(begun(client(scope="b a"), evolve(KEY, scope=frozenset({"x"}))))["scope"] == "x"


def test_an_audience_a_resource_and_further_parameters_travel() -> None:
    audience = begun(key=evolve(KEY, audience=Audience("https://api.test")), parameters={"prompt": "login é&="})
    assert query(audience)["audience"] == "https://api.test"
    assert query(audience)["prompt"] == "login é&="
    resource = begun(key=evolve(KEY, audience=Audience("https://api.test", "resource")))
    assert query(resource)["resource"] == "https://api.test"


def test_a_redirect_uri_travels_only_where_it_is_given() -> None:
    request = begun(redirect_uri=None)
    assert request.redirect_uri is None
    assert "redirect_uri" not in query(request)


def test_an_endpoint_with_a_query_keeps_it() -> None:
    of = client(endpoints=Endpoints(authorization="https://auth.test/authorize?tenant=7"))
    assert begun(of).url.startswith("https://auth.test/authorize?tenant=7&response_type=code&")


BAD = [
    ({}, {"redirect_uri": "/callback"}, "pass the one that is registered"),
    ({}, {"redirect_uri": "https://app.test/#top"}, "pass the one that is registered"),
    ({}, {"redirect_uri": ""}, "pass the one that is registered"),
    ({}, {"redirect_uri": "://["}, "pass the one that is registered"),
    ({}, {"redirect_uri": 7}, "pass the one that is registered"),
    ({}, {"redirect_uri": "https://app.test/\udc80"}, "check what sets it"),
    ({}, {"parameters": {"prompt": "\udc80"}}, "check what sets it"),
    ({}, {"parameters": {"state": "mine"}}, "say it by an argument of begin()"),
    ({}, {"parameters": {"scope": "mine"}}, "say it by an argument of begin()"),
    ({}, {"parameters": {"nonce": "mine"}}, "say it by an argument of begin()"),
    ({}, {"parameters": {"code_challenge": "mine"}}, "say it by an argument of begin()"),
    ({}, {"parameters": {"prompt": 1}}, "pass a dict of str to str"),
    ({"grant": ClientCredentials()}, {}, "give the client grant=AuthorizationCode()"),
    ({"endpoints": Endpoints()}, {}, "or issuer= alone"),
    ({"scope": "openid"}, {}, "or leave openid out of the scope"),
]


@pytest.mark.parametrize(("of", "how", "advice"), BAD)
def test_what_cannot_work_is_refused_with_what_to_do(of: dict[str, Any], how: dict[str, Any], advice: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        begun(client(**of), **how)
    assert str(caught.value).endswith(advice)


def test_what_a_key_brings_is_no_further_parameter() -> None:
    with pytest.raises(ConfigurationError, match="the parameter 'audience' is set by the library"):
        begun(key=evolve(KEY, audience=Audience("x")), parameters={"audience": "y"})


@pytest.mark.parametrize("uri", ["com.example.app:/oauth", "http://127.0.0.1:5000/cb", "https://[::1]/", "urn:x:y"])
def test_any_absolute_redirect_uri_is_taken(uri: str) -> None:
    assert query(begun(redirect_uri=uri))["redirect_uri"] == uri


def test_neither_repr_nor_str_shows_anything_of_a_login() -> None:
    request = begun(client(scope="openid", issuer="https://auth.test"))
    shown = f"{request!r} {request} {CodeExchange(code=Secret('the code'), request=request)!r}"
    assert repr(request) == "AuthorizationRequest('name', expires_at=1970-01-01T00:16:40+00:00)"
    assert request.verifier is not None
    assert not [text for text in (request.state, request.nonce, request.verifier.reveal(), "the code") if text in shown]


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
REQUESTS = st.builds(
    AuthorizationRequest,
    url=TEXTS,
    state=TEXTS,
    expires_at=st.datetimes(
        min_value=begun().expires_at.replace(tzinfo=None), timezones=st.just(begun().expires_at.tzinfo)
    ),
    client=TEXTS,
    issuer=st.none() | TEXTS,
    scope=st.none() | st.frozensets(TEXTS),
    audience=st.none() | st.builds(Audience, TEXTS, st.none() | TEXTS),
    redirect_uri=st.none() | TEXTS,
    verifier=st.none() | st.builds(Secret, TEXTS),
    nonce=st.none() | TEXTS,
)


@given(REQUESTS)
def test_what_is_dumped_is_loaded_as_it_was(request: AuthorizationRequest) -> None:
    loaded = AuthorizationRequest.load(request.dump())
    assert abs((loaded.expires_at - request.expires_at).total_seconds()) < 0.001
    assert evolve(loaded, expires_at=request.expires_at) == request
    assert AuthorizationRequest.load(request.dump().reveal()) == loaded


def _without(name: str) -> str:
    kept = json.loads(begun().dump().reveal())
    del kept[name]
    return json.dumps(kept)


def _with(**fields: Any) -> str:
    return json.dumps(json.loads(begun().dump().reveal()) | fields)


GARBAGE = [
    *("{}", "[]", "null", "7", '"text"', "not json", "\x00", "[" * 100_000, "NaN", "\ud800"),
    *[_without(name) for name in json.loads(begun().dump().reveal())],
    *[
        _with(**{name: 7})
        for name in ("url", "state", "client", "issuer", "redirect_uri", "nonce", "scope", "audience")
    ],
    *[_with(**{name: None}) for name in ("url", "state", "client", "expires_at")],
    *[_with(expires_at=moment) for moment in (1e300, -1e300, float("nan"), float("inf"), "soon", [], 1e17)],
    *(_with(verifier=7), _with(verifier=""), _with(scope=[7]), _with(audience=["a", "b", "c"]), _with(audience=[7])),
    begun().dump().reveal()[:-1],
]


@pytest.mark.parametrize("text", GARBAGE, ids=range(len(GARBAGE)))
def test_other_text_is_no_dumped_request(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"load what dump\(\) gave, unchanged$") as caught:
        AuthorizationRequest.load(text)
    assert caught.value.__context__ is None


def test_what_cannot_be_loaded_shows_nothing_of_itself() -> None:
    dumped = evolve(begun(), verifier=Secret(canary("verifier"))).dump().reveal()
    with pytest.raises(ConfigurationError) as caught:
        AuthorizationRequest.load(dumped[:-1])
    assert sightings(exposed(caught.value)) == []


def test_a_session_of_a_login_is_refreshed() -> None:
    grant = AuthorizationCode(grace=30)
    key = TokenKey(client="name", subject=Subject("ann"), scope=frozenset({"read"}))
    assert grant.fields(key, frozenset()) == {"grant_type": "refresh_token", "scope": "read"}
    assert (grant.grant_type, grant.repeatable, grant.grace) == ("authorization_code", True, 30.0)
    with pytest.raises(ConfigurationError, match="a session belongs to a subject"):
        grant.fields(KEY, frozenset())


async def test_what_it_presents_then_is_its_refresh_token() -> None:
    parts = await AuthorizationCode().present(attempt(refresh_token=Secret("r1")))
    assert dict(parts.fields) == {"refresh_token": "r1"}


async def test_the_request_for_a_code_carries_what_it_has_to_and_no_more() -> None:
    request = begun(client(scope="openid", issuer="https://auth.test"))
    exchange = CodeExchange(code=Secret("abc"), request=request)
    assert exchange.fields(KEY, frozenset({"openid"})) == {"redirect_uri": BACK}
    assert (exchange.grant_type, exchange.repeatable) == ("authorization_code", False)
    parts = await exchange.present(attempt())
    assert request.verifier is not None
    assert dict(parts.fields) == {"code": "abc", "code_verifier": request.verifier.reveal()}


async def test_without_redirect_uri_and_pkce_it_is_the_code_alone() -> None:
    request = begun(client(grant=AuthorizationCode(pkce=False)), redirect_uri=None)
    exchange = CodeExchange(code=Secret("abc"), request=request)
    assert exchange.fields(evolve(KEY, audience=Audience("x")), frozenset()) == {}
    assert exchange.fields(evolve(KEY, audience=Audience("x", "resource")), frozenset()) == {"resource": "x"}
    assert dict((await exchange.present(attempt())).fields) == {"code": "abc"}


def test_a_browser_reads_the_url_as_it_was_meant() -> None:
    asked = parse_qs(urlsplit(begun(parameters={"ui locales": "de fr"}).url).query)
    assert asked["ui locales"] == ["de fr"]
