"""Users' code as type checkers see it: never run, checked by mypy and pyright in their strict modes."""

# pyright: strict

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, assert_type

import httpx

from tokenflight import (
    ANY,
    TOKEN_ENDPOINT,
    Assertion,
    Audience,
    BoundSource,
    ClientAssertion,
    ClientAuthentication,
    ClientSecretBasic,
    ClientSecretJWT,
    ClientSecretPost,
    Clock,
    Dialect,
    EndpointHealth,
    Fetch,
    Grant,
    JWTBearer,
    KeyStatus,
    MemoryStore,
    MutualTLS,
    OAuthClient,
    PrivateKeyJWT,
    PublicClient,
    RefreshPolicy,
    RetryPolicy,
    Secret,
    SessionLostError,
    Signer,
    Store,
    Subject,
    SystemClock,
    Token,
    TokenEndpointError,
    TokenFlightError,
    TokenKey,
    TokenProvider,
    TokenRequestError,
    TokenSource,
    WarmUpError,
)
from tokenflight.dialects import auth0, box, entra, github, google, keycloak, okta, salesforce
from tokenflight.ext.httpx import TokenAuth, TokenUnavailable
from tokenflight.model.policy import Verdict
from tokenflight.observe import Event, Hook, LoggingHook, TokenLanded, Trigger
from tokenflight.stores import Record, TokenRecord
from tokenflight.testing import FakeTokenEndpoint, ProtectedApp, StaticTokenSource, VirtualClock


async def secret_from_a_vault() -> str:
    return "s3cret"


class Kms:
    @property
    def algorithm(self) -> str:
        return "ES256"

    @property
    def key_id(self) -> str | None:
        return None

    async def sign(self, data: bytes) -> bytes:
        return data


signer: Signer = Kms()

clients: Mapping[str, OAuthClient] = {
    "basic": OAuthClient(client_id="a", token_endpoint="https://a.example/token", authentication="s3cret"),
    "file": OAuthClient(client_id="a", token_endpoint="https://a.example/token", authentication=Path("secret")),
    "vault": OAuthClient(client_id="a", token_endpoint="https://a.example/token", authentication=secret_from_a_vault),
    "post": OAuthClient(
        client_id="a",
        token_endpoint="https://a.example/token",
        authentication=ClientSecretPost(Secret("s3cret")),
        scope="read write",
        parameters={"tenant": "t"},
        origins=["https://api.example"],
        refresh=RefreshPolicy(early=0.5),
    ),
    "certificate": OAuthClient(
        client_id="a",
        token_endpoint="https://a.example/token",
        authentication=MutualTLS(Path("client.pem"), Path("client.key"), password=secret_from_a_vault),
    ),
    "key": OAuthClient(
        client_id="a",
        issuer="https://a.example",
        authentication=PrivateKeyJWT(
            Path("key.pem"), passphrase="s3cret", key_id="k", headers={"typ": "client-authentication+jwt"}
        ),
    ),
    "kms": OAuthClient(
        client_id="a",
        token_endpoint="https://a.example/token",
        authentication=PrivateKeyJWT(Kms(), audience=TOKEN_ENDPOINT, lifetime=30, backdate=None),
        grant=JWTBearer(Assertion(secret_from_a_vault, audience=["a", "b"])),
    ),
    "secret": OAuthClient(
        client_id="a", issuer="https://a.example", authentication=ClientSecretJWT("s3cret", algorithm="HS512")
    ),
    "workload": OAuthClient(
        client_id="a",
        issuer="https://a.example",
        authentication=ClientAssertion(Path("token"), send_client_id=False),
    ),
    "nobody": OAuthClient(
        client_id="a",
        token_endpoint="https://a.example/token",
        authentication=PublicClient(send_client_id=False),
        grant=JWTBearer(Assertion(Kms(), claims={"x": 1}), inside={"scope": "scope"}),
    ),
    "raw": OAuthClient(
        client_id="a",
        token_endpoint="https://a.example/token",
        authentication=ClientSecretBasic("s3cret", raw=True),
        origins=ANY,
    ),
    "auth0": auth0.client(domain="t.eu.auth0.com", client_id="a", client_secret="s3cret"),
    "box": box.client(client_id="a", client_secret=secret_from_a_vault),
    "entra": entra.client(tenant="t", client_id="a", authentication=entra.certificate(Path("k.pem"), Path("c.pem"))),
    "caller": entra.on_behalf_of(tenant="t", client_id="a", authentication=entra.federated_token("/run/token")),
    "github": github.installation(7, client_id="a", key=Path("app.pem")),
    "google": google.client(Path("account.json"), scope="s"),
    "google_id": google.id_token_client({"type": "service_account"}),
    "keycloak": keycloak.client(url="https://sso.example", realm="r", client_id="a", client_secret="s3cret"),
    "okta": okta.client(
        domain="a.okta.com", client_id="a", authentication=okta.private_key({"kty": "RSA"}, key_id="k")
    ),
    "salesforce": salesforce.jwt_client(domain="a.my.salesforce.com", client_id="a", key=secret_from_a_vault),
}


def form(key: TokenKey, fields: dict[str, str]) -> Mapping[str, str]:
    return {**fields, "acct": key.subject.id} if isinstance(key.subject, Subject) else fields


def parse(status: int, headers: Mapping[str, str], fields: dict[str, Any]) -> Mapping[str, Any]:
    return fields


dialect = Dialect(form=form, parse=parse, classify=lambda status, error, description: None, hint=None)


async def fetch(key: TokenKey) -> Token:
    return Token("t", expires_in=60, scope=key.scope or ())


async def resolve(name: str) -> OAuthClient | None:
    return clients.get(name)


def resolve_at_once(name: str) -> OAuthClient | None:
    return clients.get(name)


def hook(event: Event) -> None:
    if isinstance(event, TokenLanded):
        assert_type(event.took, float)
        assert_type(event.trigger, Trigger)


async def slow_hook(event: Event) -> None: ...


hooks: list[Hook] = [hook, slow_hook, LoggingHook(), lambda event: None]


async def main() -> None:
    TokenProvider(resolve)
    TokenProvider(resolve_at_once)
    TokenProvider(OAuthClient(client_id="label", grant=Fetch(fetch)))
    provider = TokenProvider(
        clients,
        http=httpx.AsyncClient(),
        store=MemoryStore(max_records=10),
        refresh=RefreshPolicy(),
        retry=RetryPolicy(attempts=1),
        hooks=hooks,
        max_keys=10,
        max_flights=2,
        shutdown_grace=1,
        clock=SystemClock(),
    )
    async with provider as tokens:
        assert_type(tokens, TokenProvider)
        token = await tokens.token("basic", subject=Subject("s"), audience=Audience("a"), scope=["x"], min_ttl=30)
        assert_type(token, Token)
        assert_type(token.header, str)
        assert_type(token.access_token, Secret)
        assert_type(token.expires_at, datetime | None)
        assert_type(token.issued_at, datetime)
        assert_type(token.scope, frozenset[str])
        assert_type(token.refresh_token, Secret | None)
        assert_type(token.extra, Mapping[str, Any])

        source = tokens.source("box", subject=box.user("1"), keep_warm=True)
        assert_type(source, BoundSource)
        assert_type(source.key, TokenKey)
        assert_type(await source.renew(token, origin="https://api.example"), Token)
        as_protocol: TokenSource = source
        assert_type(await as_protocol.token(), Token)

        auth = tokens.auth("auth0", audience="https://api.example", origins=["https://api.example"])
        assert_type(auth, TokenAuth)
        async with httpx.AsyncClient(auth=auth) as api:
            try:
                await api.get("https://api.example")
            except TokenUnavailable as error:
                assert_type(error.transient, bool)
                assert_type(error.retry_after, float | None)

        assert_type(await tokens.renew("basic", rejected=token, origin=None), Token)
        assert_type(await tokens.forget("basic"), bool)
        assert_type(await tokens.forget_client("basic", subject="s"), int)
        assert_type(await tokens.warm_up(source, timeout=1.0, strict=False), tuple[KeyStatus, ...])
        assert_type(tokens.status("basic", limit=5), tuple[KeyStatus, ...])
        assert_type(tokens.health(), tuple[EndpointHealth, ...])
        try:
            await tokens.token("basic")
        except TokenRequestError as error:
            assert_type(error.key, TokenKey | None)
            assert_type(error.hint, str | None)


class OwnGrant:
    @property
    def grant_type(self) -> str:
        return "urn:example:own"

    @property
    def repeatable(self) -> bool:
        return True

    def fields(self, key: TokenKey, scope: frozenset[str]) -> dict[str, str]:
        return {"for": key.client}


class OwnSource:
    async def token(self) -> Token:
        return Token("t")

    async def renew(self, rejected: Token | None = None, *, origin: str | None = None) -> Token:
        return Token("t")


class OwnStore:
    async def load(self, name: str) -> Record | None:
        return None

    async def save(self, name: str, record: Record, *, expected: int | None) -> bool:
        if isinstance(record, TokenRecord):
            assert_type(record.expires_at, float | None)
        return True

    async def discard(self, name: str) -> None: ...


async def own_parts() -> None:
    grant: Grant = OwnGrant()
    client = OAuthClient(client_id="a", token_endpoint="https://a.example/token", authentication="s", grant=grant)
    assert_type(client.authentication, ClientAuthentication)
    assert_type(client.scope, frozenset[str])
    async with TokenProvider(client, store=OwnStore()) as tokens:
        updates = tokens.source().updates()
        async for token in updates:
            assert_type(token, Token)
        assert_type(await updates.aclose(), None)
        assert_type(tokens.status()[0].verdict, Verdict)
    TokenAuth(OwnSource(), origins=ANY)


def errors(error: TokenFlightError) -> float | None:
    if isinstance(error, WarmUpError):
        assert_type(error.failed, tuple[KeyStatus, ...])
    if isinstance(error, TokenEndpointError):
        assert_type(error.error, str | None)
        assert_type(error.status, int)
    if isinstance(error, SessionLostError):
        assert_type(error.ambiguous, bool)
    return error.retry_after if isinstance(error, TokenRequestError) else None


async def doubles() -> None:
    clock = VirtualClock(seed=1)
    endpoint = FakeTokenEndpoint(expires_in=60, clock=clock)
    api = ProtectedApp(endpoint)
    source = StaticTokenSource("t")
    as_clock: Clock = clock
    as_store: Store = MemoryStore()
    TokenProvider(clients, http=httpx.AsyncClient(transport=endpoint.transport()), clock=as_clock, store=as_store)
    TokenAuth(source, origins=api.url, retry_unauthorized=False)
    async with endpoint.serve() as url:
        assert_type(url, str)


TokenProvider("basic")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
OAuthClient("a")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
OAuthClient(client_id="a", authentication=PublicClient, grant="client_credentials")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Token("t", 60)  # type: ignore[call-arg, arg-type]  # pyright: ignore[reportCallIssue]
RefreshPolicy(0.5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
OAuthClient(client_id="a", authentication=7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
OAuthClient(client_id="a", scope=7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
OAuthClient(client_id="a", origins=7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
RefreshPolicy(early="soon")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
MutualTLS("client.pem")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
ClientSecretPost(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Fetch(resolve_at_once)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
TokenAuth("t")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
TokenAuth(OwnSource(), origins=7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
TokenProvider(clients, http=httpx.Client())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
TokenProvider(clients, store=OwnSource())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def wrong(tokens: TokenProvider, token: Token) -> None:
    await tokens.token(subject=7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await tokens.token("a", "s")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    tokens.revoke("a")  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    token.header = "x"
