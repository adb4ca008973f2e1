"""What a tenant's token endpoint does for each grant, once it knows the client."""

from __future__ import annotations

from typing import Any, Final

from tests.doubles.auth0 import refusals
from tests.doubles.auth0.refusals import RefusedError
from tests.doubles.auth0.state import Api, Client, ClientGrant, Issued, Organization, Person
from tests.doubles.visits import Visit

from tokenflight.testing.exchange import Pairs

ACCESS: Final = "urn:ietf:params:oauth:token-type:access_token"
CREDENTIALS: Final = frozenset(
    {"grant_type", "client_id", "client_secret", "client_assertion", "client_assertion_type"}
)
_RESERVED: Final = (
    "urn:ietf",
    "urn:auth0",
    "urn:okta",
    "http://auth0.com",
    "https://auth0.com",
    "http://okta.com",
    "https://okta.com",
)
_DEEPEST: Final = 4

Told = tuple[dict[str, Any], Pairs]


def demand(seen: Visit, *names: str) -> list[str]:
    """Return the values of the fields *names*; raises RefusedError where one is missing or empty."""
    for name in names:
        if not seen.form.get(name):
            raise RefusedError(refusals.missing(name))
    return [seen.form[name] for name in names]


def allow(seen: Visit, *names: str) -> None:
    """Raise RefusedError where the form has a field beyond the credentials and *names*."""
    extra = sorted(set(seen.form) - CREDENTIALS - set(names))
    if extra:
        raise RefusedError(refusals.malformed(f"not a parameter of this grant: {' '.join(extra)}"))


class Grants:
    """The grants of an Auth0Double that need nobody's consent."""

    def __init__(self, double: Any) -> None:
        self.double = double

    def client_credentials(self, seen: Visit, client: Client) -> Told:
        """Give a client a token of its own."""
        allow(seen, "audience", "organization", "scope", *(["resource"] if self.double.resource_parameter else []))
        audience = seen.form.get("audience") or seen.form.get("resource")
        if not audience:
            return self._without_audience(seen, client)
        api, grant = self._api(audience, client)
        scopes = _granted(seen.form.get("scope"), grant)
        organization = self.organization(seen, grant)
        self._act(seen, client)
        headers = self.double.quotas.take(client, organization, self.double.now())
        claims = {"scope": " ".join(scopes), **self.double.mint.of(organization), **self.bound(seen, client)}
        lifetime = self.double.lifetime(seen, api.lifetime)
        issued = self.double.mint.machine(seen.origin, self.double.now(), client, api, lifetime=lifetime, **claims)
        self.double.billed += api.billed
        return told(seen, issued, lifetime, scopes), headers

    def token_exchange(self, seen: Visit, client: Client) -> Told:
        """Give a token for somebody whom a token of another kind, or of this tenant's, speaks for."""
        optional = ("scope", "organization", "actor_token", "actor_token_type", "requested_token_type")
        allow(seen, "subject_token", "subject_token_type", "audience", *optional)
        text, kind, audience = demand(seen, "subject_token", "subject_token_type", "audience")
        if seen.form.get("requested_token_type", ACCESS) != ACCESS:
            raise RefusedError(refusals.malformed("requested_token_type is not supported"))
        if ("actor_token" in seen.form) != ("actor_token_type" in seen.form):
            raise RefusedError(refusals.malformed("actor_token and actor_token_type go together"))
        api, grant = self._api(audience, client)
        user, claims = self._on_behalf(seen, text, client) if kind == ACCESS else (self._custom(text, kind), {})
        scopes = _granted(seen.form.get("scope"), grant)
        self._act(seen, client)
        organization = self.organization(seen, grant)
        person = Person(
            client=client, user=user, audience=api.audience, scopes=tuple(scopes), organization=organization
        )
        lifetime = self.double.lifetime(seen, api.lifetime)
        claims |= self.bound(seen, client)
        issued = self.double.mint.personal(seen.origin, self.double.now(), person, lifetime=lifetime, **claims)
        fields = told(seen, issued, lifetime, scopes) | {"issued_token_type": ACCESS}
        return fields, ()

    def organization(self, seen: Visit, grant: ClientGrant) -> Organization | None:
        """Return the organization that is asked for; raises RefusedError where it may not be, or is not."""
        wanted = seen.form.get("organization")
        if not wanted:
            if grant.organization_usage == "require":
                raise RefusedError(refusals.missing("organization"))
            return None
        if grant.organization_usage == "deny":
            raise RefusedError(refusals.ORGANIZATIONS_DENIED)
        known = self.double.tenant.organizations
        named = [each for each in known.values() if self.double.mint.names and each.name == wanted]
        found: Organization | None = known.get(wanted) or (named[0] if named else None)
        if found is None or found.id not in grant.organizations:
            raise RefusedError(refusals.not_entitled(wanted))
        return found

    def bound(self, seen: Visit, client: Client) -> dict[str, Any]:
        """Return the claim that binds a token to the certificate that it was asked for with (RFC 8705, section 3)."""
        thumbprint = seen.request.thumbprint
        return {"cnf": {"x5t#S256": thumbprint}} if client.method == "tls" and thumbprint else {}

    def _without_audience(self, seen: Visit, client: Client) -> Told:
        if not self.double.opaque_without_audience:
            raise RefusedError(refusals.missing("audience"))
        lifetime = self.double.lifetime(seen, 86_400)
        return told(seen, self.double.mint.opaque(self.double.now(), client, lifetime), lifetime, []), ()

    def _api(self, audience: str, client: Client) -> tuple[Api, ClientGrant]:
        api = self.double.tenant.apis.get(audience)
        if api is None:
            raise RefusedError(refusals.unknown_api(audience))
        if audience not in client.grants:
            raise RefusedError(refusals.no_client_grant(audience))
        return api, client.grants[audience]

    def _act(self, seen: Visit, client: Client) -> None:
        """Let the tenant's Action deny the request."""
        denied = self.double.action(seen, client)
        if denied is not None:
            raise RefusedError(refusals.denied_by_action(*denied))

    def _custom(self, text: str, kind: str) -> str:
        """Return whom a subject token of the tenant's own type speaks for."""
        if kind.startswith(_RESERVED) or ":" not in kind:
            raise RefusedError(refusals.malformed("subject_token_type is reserved, or no URI"))
        types = {known for known, _ in self.double.tenant.subject_tokens}
        if kind not in types:
            raise RefusedError(refusals.malformed("there is no token exchange profile for this subject_token_type"))
        if (kind, text) not in self.double.tenant.subject_tokens:
            raise RefusedError(refusals.WRONG_SUBJECT_TOKEN)
        return str(self.double.tenant.subject_tokens[kind, text])

    def _on_behalf(self, seen: Visit, text: str, client: Client) -> tuple[str, dict[str, Any]]:
        """Return whom a token of this tenant's speaks for, and the chain of those who act for them."""
        read = self.double.mint.checked(text, seen.origin, self.double.now())
        if client.resource_server is None or read is None or read.claims["aud"] != client.resource_server:
            raise RefusedError(refusals.WRONG_SUBJECT_TOKEN)
        demand(seen, "requested_token_type")
        before = read.claims.get("act")
        acting = {"sub": client.id} | ({"act": before} if before else {})
        if _depth(acting) > _DEEPEST:
            raise RefusedError(refusals.TOO_DEEP)
        return read.claims["sub"], {"act": acting}


def told(seen: Visit, issued: Issued, lifetime: float, scopes: list[str]) -> dict[str, Any]:
    """Return what every answer with a token says, and note the token."""
    seen.token = issued.value
    scope = {"scope": " ".join(scopes)} if scopes else {}
    return {"access_token": issued.value, "token_type": "Bearer", "expires_in": lifetime, **scope}


def _granted(asked: str | None, grant: ClientGrant) -> list[str]:
    scopes = sorted(grant.scopes) if not asked else asked.split(" ")
    beyond = [scope for scope in scopes if scope not in grant.scopes]
    if beyond:
        raise RefusedError(refusals.scopes_not_granted(beyond))
    return scopes


def _depth(acting: dict[str, Any] | None) -> int:
    return 0 if acting is None else 1 + _depth(acting.get("act"))
