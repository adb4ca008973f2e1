"""The session's oidc-provider (tests/servers/server.mjs), its clients, and what a test may ask beside the protocol."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx
from attrs import field, frozen
from tests.kit.canary import MARK, canary
from tests.kit.credentials import SAN, Certificates, jwk_of, make_key, registered

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
WEB_CALLBACK = "https://app.test/callback"
NATIVE_CALLBACK = "http://127.0.0.1/callback"
IDP = "https://idp.test"
_HOPS = 12


@frozen(kw_only=True)
class Registered:
    """A client as it is registered: its secret, or its private key (PEM) and the algorithm that goes with it."""

    client_id: str
    secret: str | None = field(default=None, repr=False)
    key: str | None = field(default=None, repr=False)
    algorithm: str | None = None


@frozen(kw_only=True)
class Exchange:
    """What a client sent and got, from the server's journal. A dropped connection has no status and no body."""

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    form: Mapping[str, str] = field(repr=False)
    client: str | None
    certificate: str | None
    status: int | None
    body: str | None = field(default=None, repr=False)

    @property
    def answer(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.body or "{}")
        return answer


@frozen(kw_only=True)
class OidcProvider:
    """A running server. Whatever is in front of it is cleared before each test.

    `clients` by name: `basic`, `odd` (an id and a secret that have to be encoded), `post`, `secret-jwt`;
    `key-es`, `key-rsa` (any of RS256 and PS256) and `key-ed` with private_key_jwt; `tls` (by its subject), `tls-san`,
    `tls-bound` (its tokens are bound to the certificate) and `self-signed`: all with client credentials.
    `web` (confidential, one redirect URI), `web-key` (private_key_jwt) and `native` (public, PKCE is demanded) with
    authorization code and refresh. `bearer` and `bearer-public` with jwt-bearer, `exchange` with token exchange.

    A resource is `https://api.test/{jwt|opaque}[/ttl/SECONDS][/anything]`, its scopes are read, write and admin.
    Assertions are taken from `idp` (issuer `IDP`), and from `bearer` and `bearer-public` in their own names.
    """

    issuer: str
    mtls: str
    certificates: Certificates = field(repr=False)
    clients: Mapping[str, Registered] = field(repr=False)
    idp: str = field(repr=False)
    """The private key (PEM, ES256) of an identity provider whose assertions are taken."""
    keys: Mapping[str, Mapping[str, Any]] = field(repr=False)
    """The server's public keys by algorithm: ES256 for access tokens, RS256 for ID tokens."""

    @property
    def token_endpoint(self) -> str:
        return f"{self.issuer}/token"

    @property
    def mtls_token_endpoint(self) -> str:
        return f"{self.mtls}/token"

    @property
    def revocation_endpoint(self) -> str:
        return f"{self.issuer}/token/revocation"

    @property
    def introspection_endpoint(self) -> str:
        return f"{self.issuer}/token/introspection"

    @property
    def authorization_endpoint(self) -> str:
        return f"{self.issuer}/auth"

    @property
    def jwks_uri(self) -> str:
        return f"{self.issuer}/jwks"

    def journal(self, path: str = "/token") -> list[Exchange]:
        """Return what came to one path since the test began, in order."""
        return [Exchange(**entry) for entry in self._administer("GET", "journal") if entry["path"] == path]

    def fault(
        self,
        *,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
        body: str = "",
        delay: float = 0.0,
        drop: bool = False,
        when: Literal["before", "after"] = "before",
        times: int = 1,
        path: str = "/token",
        client: str | None = None,
    ) -> None:
        """Have the next requests to *path* (of one client_id) go wrong, before the server acts or after it acted.

        They wait *delay* seconds; then the connection is dropped, or answered with *status*, *headers* and *body*, or,
        with neither, answered as ever. Faults are used up in the order in which they were made.
        """
        told = {"status": status, "headers": dict(headers or {}), "body": body, "delay": delay, "drop": drop}
        told |= {"acted": when == "after", "times": times, "path": path}
        self._administer("POST", "faults", told if client is None else told | {"client": client})

    def faults_left(self) -> int:
        """Return how many requests would still go wrong."""
        return sum(fault["times"] for fault in self._administer("GET", "faults"))

    def mint(
        self,
        client: str = "web",
        *,
        subject: str = "alice",
        scope: str = "openid read write",
        resources: Sequence[str] = (),
    ) -> str:
        """Make a refresh token, for a client by its name, that nobody had to log in for."""
        told = {"client_id": self.clients[client].client_id, "sub": subject, "scope": scope}
        return str(self._administer("POST", "mint", told | {"resources": list(resources)})["refresh_token"])

    def authorize(self, url: str, *, login: str = "alice", consents: bool = True) -> str:
        """Do what a person does at an authorization URL, log in and consent or not; return the callback URL."""
        with httpx.Client(trust_env=False, verify=False, timeout=30) as browser:
            page = browser.get(url)
            for _ in range(_HOPS):
                if page.is_redirect:
                    there = str(page.url.join(page.headers["location"]))
                    if not there.startswith(f"{self.issuer}/"):
                        return there
                    page = browser.get(there)
                else:
                    page = _answered(browser, page, login=login, consents=consents)
        raise AssertionError(f"no callback after {_HOPS} steps")

    def clear(self) -> None:
        """Forget the journal and all faults."""
        self._administer("DELETE", "all")

    def _administer(self, method: str, what: str, told: Any = None) -> Any:
        place = urlsplit(self.issuer)
        assert place.hostname is not None
        connection = HTTPConnection(place.hostname, place.port, timeout=30)
        try:
            connection.request(method, f"/__admin/{what}", None if told is None else json.dumps(told))
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()


def _answered(browser: httpx.Client, page: httpx.Response, *, login: str, consents: bool) -> httpx.Response:
    form = re.search(r'<form[^>]* action="([^"]+)"', page.text)
    prompt = re.search(r'name="prompt" value="(\w+)"', page.text)
    if page.status_code != 200 or form is None or prompt is None:
        raise AssertionError(f"{page.url.path} answered {page.status_code} and no form:\n{page.text[:2000]}")
    if prompt[1] == "consent" and not consents:
        return browser.get(f"{page.url}/abort")
    return browser.post(form[1], data={"prompt": prompt[1], "login": login, "password": "any"})


@frozen(kw_only=True)
class Registry:
    """What a server is started with, and what its clients know."""

    clients: Mapping[str, Registered]
    idp: str
    keys: Mapping[str, Mapping[str, Any]]
    settings: Mapping[str, Any]


def registry(certificates: Certificates) -> Registry:
    """Draw all secrets and keys, and write them as the server reads them."""
    clients = _clients()
    idp = make_key("ES256")
    server = {algorithm: make_key(algorithm) for algorithm in ("ES256", "RS256")}
    keys = {algorithm: jwk_of(key, algorithm, use="sig", alg=algorithm) for algorithm, key in server.items()}
    private = [jwk_of(key, algorithm, private=True, use="sig", alg=algorithm) for algorithm, key in server.items()]
    own = {clients[name].client_id: _jwks(clients[name]) for name in ("bearer", "bearer-public")}
    issuers = {IDP: {"keys": [jwk_of(idp, "ES256")]}, **own}
    settings = {
        "clients": _metadata(clients, certificates),
        "jwks": {"keys": private},
        "issuers": issuers,
        "own": {"keys": list(keys.values())},
        "claims": {"canary": f"{MARK}access"},
        "tls": {
            "key": certificates.server.key.read_text("ascii"),
            "cert": certificates.server.certificate.read_text("ascii"),
            "ca": certificates.ca.read_text("ascii"),
        },
    }
    return Registry(clients=clients, idp=idp, keys=keys, settings=settings)


def _clients() -> dict[str, Registered]:
    with_secret = {name: canary("secret") for name in ("basic", "post", "secret-jwt", "web", "bearer", "exchange")}
    with_key = {"key-es": "ES256", "key-rsa": "RS256", "key-ed": "EdDSA", "web-key": "ES256", "bearer-public": "ES256"}
    alone = ("tls", "tls-san", "tls-bound", "self-signed", "native")
    clients = {name: Registered(client_id=name, secret=secret) for name, secret in with_secret.items()}
    clients |= {name: Registered(client_id=name, key=make_key(alg), algorithm=alg) for name, alg in with_key.items()}
    clients |= {name: Registered(client_id=name) for name in alone}
    clients["odd"] = Registered(client_id="we:ird id+%/", secret=f"{canary('secret')} :+%/&=")
    clients["bearer"] = Registered(
        client_id="bearer", secret=with_secret["bearer"], key=make_key("ES256"), algorithm="ES256"
    )
    return clients


def _metadata(clients: Mapping[str, Registered], certificates: Certificates) -> list[dict[str, Any]]:
    """Return the clients as RFC 7591 and RFC 8705 write them."""
    machine = {"grant_types": ["client_credentials"], "redirect_uris": [], "response_types": []}
    person = {
        "grant_types": ["authorization_code", "refresh_token"],
        "redirect_uris": [WEB_CALLBACK],
        "response_types": ["code"],
    }
    native = {"redirect_uris": [NATIVE_CALLBACK], "application_type": "native"}
    self_signed = [certificates.self_signed, certificates.self_signed_next]
    subject = {"tls_client_auth_subject_dn": certificates.client.subject}
    by_key = {"token_endpoint_auth_method": "private_key_jwt"}
    methods: dict[str, dict[str, Any]] = {
        "basic": machine | _by("client_secret_basic"),
        "odd": machine | _by("client_secret_basic"),
        "post": machine | _by("client_secret_post"),
        "secret-jwt": machine | _by("client_secret_jwt"),
        **{name: machine | by_key | {"jwks": _jwks(clients[name])} for name in ("key-es", "key-rsa", "key-ed")},
        "tls": machine | _by("tls_client_auth") | subject,
        "tls-san": machine | _by("tls_client_auth") | {"tls_client_auth_san_dns": SAN},
        "tls-bound": machine | _by("tls_client_auth") | subject | {"tls_client_certificate_bound_access_tokens": True},
        "self-signed": machine
        | _by("self_signed_tls_client_auth")
        | {"jwks": {"keys": [registered(each) for each in self_signed]}},
        "web": person | _by("client_secret_basic"),
        "web-key": person | by_key | {"jwks": _jwks(clients["web-key"])},
        "native": person | _by("none") | native,
        "bearer": machine | _by("client_secret_basic") | {"grant_types": [JWT_BEARER]},
        "bearer-public": machine | _by("none") | {"grant_types": [JWT_BEARER]},
        "exchange": machine | _by("client_secret_basic") | {"grant_types": [TOKEN_EXCHANGE]},
    }
    return [_registration(clients[name], fields) for name, fields in methods.items()]


def _by(method: str) -> dict[str, Any]:
    return {"token_endpoint_auth_method": method}


def _jwks(client: Registered) -> dict[str, Any]:
    assert client.key is not None
    assert client.algorithm is not None
    return {"keys": [jwk_of(client.key, client.algorithm)]}


def _registration(client: Registered, fields: Mapping[str, Any]) -> dict[str, Any]:
    secret = {} if client.secret is None else {"client_secret": client.secret}
    return {"client_id": client.client_id, **secret, **fields}


def served(told: Mapping[str, Any], registry: Registry, certificates: Certificates) -> OidcProvider:
    """Return the server that said where it listens."""
    return OidcProvider(
        issuer=told["issuer"],
        mtls=told["mtls"],
        certificates=certificates,
        clients=registry.clients,
        idp=registry.idp,
        keys=registry.keys,
    )
