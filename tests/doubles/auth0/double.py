"""Auth0Double: a tenant's token endpoint, authorize page, public documents and an API that takes its tokens."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final

from attrs import evolve
from tests.doubles.auth0 import refusals
from tests.doubles.auth0.authentication import authenticated
from tests.doubles.auth0.documents import discovery
from tests.doubles.auth0.grants import CREDENTIALS, Grants, Told
from tests.doubles.auth0.issuing import Mint
from tests.doubles.auth0.limits import Quotas, Rate
from tests.doubles.auth0.refusals import RefusedError
from tests.doubles.auth0.sessions import Sessions
from tests.doubles.auth0.state import Api, Client, ClientGrant, Organization, Quota, Tenant
from tests.doubles.server import Route, ServerDouble
from tests.doubles.tokens import AnyToken, text_of
from tests.doubles.visits import FORM, JSON, Visit
from tests.kit.canary import canary

from tokenflight.testing import Answer, Reply

TOKEN: Final = "/oauth/token"  # a path
REVOKE: Final = "/oauth/revoke"
AUTHORIZE: Final = "/authorize"
DISCOVERY: Final = "/.well-known/openid-configuration"
JWKS: Final = "/.well-known/jwks.json"
_EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
_NO_STORE: Final = (("content-type", "application/json"), ("cache-control", "no-store"))


class Auth0Double(ServerDouble):
    """A tenant as Auth0's documentation and its users describe it, strict where it is vague.

    Attributes:
        tenant: clients, APIs, organizations and what is out.
        mint: makes tokens, and knows the keys.
        sessions: what a person does, and how refresh tokens rotate.
        rate: how many requests are answered in a second.
        billed: how many tokens of client credentials Auth0 would put on the bill.
        action: what the tenant's code denies: code and text, or None.
        opaque_without_audience: give a useless token where no audience is named, as some tenants do.
        resource_parameter: take `resource` in place of `audience`.
        mtls_origin: where clients with certificates go, as far as the discovery document tells.
        api_scope: what `GET /api` wants of a token.
    """

    url_in_memory: ClassVar[str] = "https://tenant.eu.auth0.com"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.tenant = Tenant()
        self.mint = Mint(self.tenant)
        self.sessions = Sessions(self)
        self.quotas = Quotas()
        self.rate = Rate()
        self.billed = 0
        self.action: Callable[[Visit, Client], tuple[str, str] | None] = lambda seen, client: None
        self.opaque_without_audience = False
        self.resource_parameter = False
        self.mtls_origin: str | None = None
        self.api_scope: str | None = None
        self._grants = Grants(self)

    @property
    def token_requests(self) -> list[Visit]:
        """Return the requests that came to the token endpoint."""
        return self.visits(TOKEN)

    def api(self, audience: str, **fields: Any) -> Api:
        """Make an API."""
        api = self.tenant.apis[audience] = Api(audience=audience, **fields)
        return api

    def client(self, id: str = "the-client", **fields: Any) -> Client:
        """Make a client with a secret of its own; it may have all APIs so far, unless *fields* say otherwise."""
        grants = {audience: ClientGrant(scopes=api.scopes) for audience, api in self.tenant.apis.items()}
        client = Client(id=id, **{"secret": canary("secret"), "grants": grants, **fields})
        self.tenant.clients[id] = client
        return client

    def organization(self, id: str, name: str = "", *, quota: Quota | None = None) -> Organization:
        """Make an organization."""
        organization = self.tenant.organizations[id] = Organization(id=id, name=name or id, quota=quota)
        return organization

    def allow(self, client: Client, audience: str, usage: Any, organizations: Sequence[str] = ()) -> None:
        """Let a client have an API for organizations."""
        scopes = self.tenant.apis[audience].scopes
        client.grants[audience] = ClientGrant(
            scopes=scopes, organization_usage=usage, organizations=frozenset(organizations)
        )

    def is_live(self, token: AnyToken) -> bool:
        """Tell whether an access token was issued here, is not past its end and was not invalidated."""
        issued = self.tenant.tokens.get(text_of(token))
        return issued is not None and not issued.revoked and self.now() < issued.expires_at

    def invalidate(self, token: AnyToken) -> None:
        """Let the API refuse a token from now on; Auth0 itself cannot."""
        self.tenant.tokens[text_of(token)].revoked = True

    def lifetime(self, seen: Visit, usual: float) -> Any:
        """Return the lifetime of the next token; a JWT has one, told or not."""
        lifetime = self._lifetime(seen, usual)
        assert lifetime is not None, "a token of a tenant ends: script Issue(without=['expires_in']) not to tell when"
        return lifetime

    def _routes(self) -> tuple[Route, ...]:
        return (
            ("POST", TOKEN, self._token),
            ("POST", REVOKE, self._revoke),
            ("GET", AUTHORIZE, self.sessions.authorize),
            ("GET", DISCOVERY, lambda seen: Answer(200, discovery(seen.origin, self.mtls_origin)).reply()),
            ("GET", JWKS, lambda seen: Answer(200, self.mint.jwks()).reply()),
            ("GET", "/api", self._api),
        )

    def _usual(self, entry: Visit) -> Reply:
        refused = self.rate.admit(self.now())
        if refused is not None:
            return refused.reply()
        reply = super()._usual(entry)
        told = {name for name, _ in reply.headers}
        extra = tuple(pair for pair in self.rate.headers(self.now()) if pair[0] not in told)
        return evolve(reply, headers=(*reply.headers, *extra))

    def _token(self, seen: Visit) -> Reply:
        try:
            fields, headers = self._granted(seen)
        except RefusedError as refused:
            reply = refused.answer.reply()
            return evolve(reply, headers=(*reply.headers, _NO_STORE[1]))
        return Reply(headers=(*_NO_STORE, *headers), body=json.dumps(fields).encode())

    def _granted(self, seen: Visit) -> Told:
        _check_body(seen)
        grant = seen.form.get("grant_type")
        if not grant:
            raise RefusedError(refusals.missing("grant_type"))
        table = self._table()
        if grant not in table:
            raise RefusedError(refusals.UNKNOWN_GRANT)
        client = authenticated(self.tenant, seen, self.now())
        if grant not in client.grant_types:
            raise RefusedError(refusals.grant_is_off(grant))
        if grant == "client_credentials" and client.method == "none":
            raise RefusedError(refusals.grant_is_off(grant))
        return table[grant](seen, client)

    def _table(self) -> dict[str, Callable[[Visit, Client], Told]]:
        return {
            "client_credentials": self._grants.client_credentials,
            "authorization_code": self.sessions.authorization_code,
            "refresh_token": self.sessions.refresh_token,
            _EXCHANGE: self._grants.token_exchange,
        }

    def _revoke(self, seen: Visit) -> Reply:
        """End the family of a refresh token; access tokens cannot be revoked."""
        try:
            _check_body(seen)
            client = authenticated(self.tenant, seen, self.now())
            if not seen.form.get("token"):
                raise RefusedError(refusals.missing("token"))
            if set(seen.form) - CREDENTIALS - {"token", "token_type_hint"}:
                raise RefusedError(refusals.malformed("there are more parameters than a revocation has"))
            if seen.form["token"] in self.tenant.tokens:
                raise RefusedError(refusals.refusal(400, "unsupported_token_type", "only refresh tokens are revoked"))
        except RefusedError as refused:
            return refused.answer.reply()
        token = self.tenant.refreshing.get(seen.form["token"])
        if token is not None and token.family.person.client is client:
            token.family.revoked = True
        return Reply()

    def _api(self, seen: Visit) -> Reply:
        read = None if seen.bearer is None else self.mint.checked(seen.bearer, seen.origin, self.now())
        if read is None or read.claims["aud"] != next(iter(self.tenant.apis)):
            return refusals.TOKEN_REFUSED.reply()
        bound = read.claims.get("cnf", {}).get("x5t#S256")
        if bound is not None and bound != seen.request.thumbprint:
            return refusals.TOKEN_REFUSED.reply()
        if self.api_scope is not None and self.api_scope not in read.claims.get("scope", "").split():
            return refusals.too_little(self.api_scope).reply()
        return Answer(200, {"served": read.claims["sub"], "organization": read.claims.get("org_id")}).reply()


def _check_body(seen: Visit) -> None:
    if seen.content_type not in (FORM, JSON) or not seen.readable:
        raise RefusedError(refusals.malformed(f"the body must be {FORM} or {JSON}"))
    if seen.repeated or seen.query:
        raise RefusedError(refusals.malformed("each parameter belongs into the body, once"))
