"""Salesforce: a JWT for the login host, or client credentials at the org's own; no token says when it ends."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from tokenflight.dialects.advice import Advice, hints
from tokenflight.dialects.credentials import one_authentication
from tokenflight.errors import ConfigurationError
from tokenflight.model.key import TokenKey
from tokenflight.model.secret import SecretSource
from tokenflight.protocol.assertions import Assertion
from tokenflight.protocol.client import Dialect, Endpoints, OAuthClient
from tokenflight.protocol.client_authentication import ClientAuthentication, PublicClient
from tokenflight.protocol.jwt_bearer import JWTBearer
from tokenflight.protocol.signing import KeySource

LOGIN: Final = "https://login.salesforce.com"
SANDBOX: Final = "https://test.salesforce.com"
_LIFETIME: Final = 900.0
"""Seconds after which a token in use is renewed: it ends with its session, of which the answer says nothing."""

_DOMAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?")
_APP: Final = "Salesforce Setup > External Client App Manager (or App Manager) > your app"


def client(
    *,
    domain: str,
    client_id: str,
    client_secret: SecretSource | str | None = None,
    authentication: ClientAuthentication | SecretSource | str | None = None,
    **fields: Any,
) -> OAuthClient:
    """Return a client of an org; *domain* is its My Domain host name, *fields* go to OAuthClient.

    The client's other endpoints are the org's, unless *fields* name another `token_endpoint`.
    """
    if not isinstance(domain, str) or not _DOMAIN.fullmatch(domain):
        raise ConfigurationError(
            "a Salesforce domain is a bare host name: write it like acme.my.salesforce.com, without https:// and path"
        )
    base = f"https://{domain.lower()}/services/oauth2"
    defaults: dict[str, Any] = {"dialect": DIALECT, "default_lifetime": _LIFETIME}
    if "token_endpoint" not in fields:
        defaults |= {"token_endpoint": f"{base}/token", "endpoints": _endpoints(base)}
    proof = one_authentication(client_secret, authentication)
    return OAuthClient(client_id=client_id, authentication=proof, **{**defaults, **fields})


def jwt_client(
    *,
    domain: str,
    client_id: str,
    key: KeySource,
    passphrase: SecretSource | None = None,
    login: str = LOGIN,
    **fields: Any,
) -> OAuthClient:
    """Return a client that signs for a user: the subject of a call is a username. It has no secret.

    *key* is the private key of the certificate that the app holds; *login* is what the JWT is made for, `SANDBOX` for
    sandboxes. The other arguments are those of `client`.
    """
    assertion = Assertion(key, passphrase=passphrase, algorithm=None, audience=login, lifetime=180.0)
    proof = PublicClient(send_client_id=False)
    grant = JWTBearer(assertion)
    return client(domain=domain, client_id=client_id, **{"authentication": proof, "grant": grant, **fields})


def _endpoints(base: str) -> Endpoints:
    return Endpoints(
        revocation=f"{base}/revoke",
        authorization=f"{base}/authorize",
        introspection=f"{base}/introspect",
    )


def _form(key: TokenKey, fields: dict[str, str]) -> Mapping[str, str]:
    """Refuse an audience, and an assertion for nobody."""
    if key.audience is not None:
        raise ConfigurationError("a Salesforce token is for the whole org: leave the audience out")
    if fields["grant_type"] == JWTBearer.grant_type and key.subject is None:
        raise ConfigurationError("Salesforce wants to know for whom: pass subject= with a username of the org")
    return fields


def _classify(status: int, error: str | None, description: str | None) -> str | None:
    """Read the codes that no RFC knows."""
    if error == "invalid_client_id":
        return "invalid_client"
    if error == "unknown_error" and "retry" in (description or "").lower():
        return "temporarily_unavailable"
    return "invalid_grant" if error in ("invalid_app_access", "inactive_user", "inactive_org") else None


ADVICE: Final = (
    Advice(
        words="hasn't approved",
        text=f"approve the app for this user: {_APP} > Policies > Permitted Users: Admin approved users are "
        "pre-authorized, and give the user's profile or permission set access",
    ),
    Advice(
        errors={"invalid_app_access"},
        text=f"give the user's profile or permission set access to the app: {_APP} > Policies",
    ),
    Advice(
        words="audience", text="login= is salesforce.LOGIN, and salesforce.SANDBOX for sandboxes: check which it is"
    ),
    Advice(words="assertion", text=f"upload the certificate of this key: {_APP} > Settings > Use digital signatures"),
    Advice(
        words="not supported on this domain",
        text="client credentials go to the org itself: pass domain= with its My Domain host name",
    ),
    Advice(
        words="client credentials user",
        text=f"say as whom the app acts: {_APP} > Policies > Client Credentials Flow > Run As",
    ),
    Advice(
        errors={"invalid_client_id", "invalid_client"},
        text=f"compare client_id and secret with {_APP} > Settings > Consumer Key and Secret",
    ),
    Advice(errors={"inactive_user", "inactive_org"}, text="the user or the org is not active: ask an admin of the org"),
)
"""What to do about Salesforce's refusals; the first row that fits counts."""

DIALECT: Final = Dialect(form=_form, classify=_classify, hint=hints(ADVICE))
