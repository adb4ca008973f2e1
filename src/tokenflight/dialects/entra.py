"""Microsoft Entra ID (v2.0): the API travels as a scope; a secret, a certificate or a federated token authenticates."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from tokenflight.dialects.advice import Advice, hints
from tokenflight.dialects.credentials import one_authentication
from tokenflight.errors import ConfigurationError
from tokenflight.model.key import TokenKey
from tokenflight.model.secret import SecretSource
from tokenflight.protocol.assertions import TOKEN_ENDPOINT
from tokenflight.protocol.client import Dialect, Endpoints, OAuthClient
from tokenflight.protocol.client_assertions import ClientAssertion, PrivateKeyJWT
from tokenflight.protocol.client_authentication import ClientAuthentication
from tokenflight.protocol.grants import ClientCredentials
from tokenflight.protocol.jwt_bearer import JWTBearer
from tokenflight.protocol.signing import KeySource, Signer

AUTHORITY: Final = "https://login.microsoftonline.com"
_TENANT = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
_DEFAULT: Final = "/.default"
_APP: Final = "Microsoft Entra admin center > App registrations > your app"
_SECRETS: Final = f"{_APP} > Certificates & secrets"
_PERMISSIONS: Final = f"{_APP} > API permissions"


def client(
    *,
    tenant: str,
    client_id: str,
    client_secret: SecretSource | str | None = None,
    authentication: ClientAuthentication | SecretSource | str | None = None,
    authority: str = AUTHORITY,
    **fields: Any,
) -> OAuthClient:
    """Return a client of an Entra tenant; *tenant* is its id or domain, *fields* go to OAuthClient.

    *authority* is the origin of another cloud. The client's other endpoints are the tenant's, unless *fields* name
    another `token_endpoint`. Raises ConfigurationError for what is no tenant.
    """
    if not isinstance(tenant, str) or not _TENANT.fullmatch(tenant):
        raise ConfigurationError(
            "an Entra tenant is a directory id or a domain: copy it from Microsoft Entra admin center > Overview"
        )
    base = f"{authority.rstrip('/')}/{quote(tenant)}"
    defaults: dict[str, Any] = {"dialect": DIALECT}
    if "token_endpoint" not in fields:
        defaults |= {"token_endpoint": f"{base}/oauth2/v2.0/token", "endpoints": _endpoints(base)}
    proof = one_authentication(client_secret, authentication)
    return OAuthClient(client_id=client_id, authentication=proof, **{**defaults, **fields})


def on_behalf_of(**fields: Any) -> OAuthClient:
    """Return a client that goes on in its caller's name: *fields* are those of `client`.

    The subject of a call is `SubjectToken(the token that the caller brought)`.
    """
    use = {"requested_token_use": "on_behalf_of", **fields.pop("parameters", {})}
    return client(**{"grant": JWTBearer(), **fields, "parameters": use})


def certificate(
    key: KeySource, certificate: SecretSource | None = None, *, passphrase: SecretSource | None = None
) -> PrivateKeyJWT:
    """Return the authentication by a certificate that is uploaded to the app.

    *key* is its private key in PEM, or a `Signer`; *certificate* is the certificate in PEM, and None means that the
    text of *key* holds both. What is a Path or callable is read on each attempt.
    """
    if certificate is None and (isinstance(key, Mapping) or (isinstance(key, Signer) and not isinstance(key, type))):
        raise ConfigurationError("Entra finds the key by its certificate: pass certificate=, the PEM that was uploaded")
    both: Any = key if certificate is None else certificate
    algorithm = None if isinstance(key, Signer) else "PS256"
    return PrivateKeyJWT(
        key, passphrase=passphrase, algorithm=algorithm, certificate=both, audience=TOKEN_ENDPOINT, lifetime=300.0
    )


def federated_token(file: Path | str) -> ClientAssertion:
    """Return the authentication by a token file that somebody else keeps fresh, such as a Kubernetes service account's.

    *file* is its path, in pods with workload identity the value of AZURE_FEDERATED_TOKEN_FILE. It is read on each
    attempt.
    """
    return ClientAssertion(Path(file))


def _endpoints(base: str) -> Endpoints:
    return Endpoints(
        authorization=f"{base}/oauth2/v2.0/authorize",
        device=f"{base}/oauth2/v2.0/devicecode",
        jwks=f"{base}/discovery/v2.0/keys",
    )


def _form(key: TokenKey, fields: dict[str, str]) -> Mapping[str, str]:
    """Send the audience as a scope, which client credentials need."""
    audience = key.audience
    if audience is None:
        if fields["grant_type"] == ClientCredentials.grant_type and not key.scope:
            raise ConfigurationError(
                "Entra needs to know the API: pass audience= with its Application ID URI, such as "
                "https://graph.microsoft.com"
            )
        return fields
    if audience.type is not None:
        raise ConfigurationError("Entra v2.0 takes no resource beside scopes: pass the audience without a type")
    if key.scope:
        raise ConfigurationError(
            f"Entra does not join {_DEFAULT} with other scopes: pass audience= for all that was granted, or scope= "
            "with the full names"
        )
    return {name: text for name, text in fields.items() if name != "audience"} | {"scope": audience.value + _DEFAULT}


def _classify(status: int, error: str | None, description: str | None) -> str | None:
    return "invalid_target" if error == "invalid_resource" else None


ADVICE: Final = (
    Advice(words="AADSTS7000215", text=f"send the secret's value, not its id, as shown once in {_SECRETS}"),
    Advice(words="AADSTS7000222", text=f"the secret has expired: make a new one in {_SECRETS}"),
    Advice(words="AADSTS700027", text=f"upload the certificate of this key: {_SECRETS} > Certificates"),
    Advice(words="AADSTS70021", text=f"compare issuer, subject and audience with {_SECRETS} > Federated credentials"),
    Advice(words="AADSTS700016", text=f"compare tenant and client_id with {_APP} > Overview"),
    Advice(words="AADSTS90002", text="check tenant: Microsoft Entra admin center > Overview > Tenant ID"),
    Advice(words="AADSTS500011", text="the tenant knows no such API: compare audience with its Application ID URI"),
    Advice(words="AADSTS65001", text=f"have an admin consent: {_PERMISSIONS} > Grant admin consent"),
    Advice(words="AADSTS50013", text="the caller's token cannot be taken on: its aud must be this app, and be valid"),
    Advice(words="AADSTS50076", text="a policy wants the person: let the caller log in again, as it demands"),
    Advice(errors={"interaction_required"}, text="a person has to take part: let the caller log in again"),
    Advice(errors={"invalid_scope"}, text=f"pass audience= for all that was granted; it is listed in {_PERMISSIONS}"),
    Advice(errors={"invalid_client"}, text=f"compare client_id and credentials with {_SECRETS}"),
    Advice(errors={"unauthorized_client"}, text=f"check what the app may ask for: {_PERMISSIONS}"),
)
"""What to do about Entra's refusals; the first row that fits counts."""

DIALECT: Final = Dialect(form=_form, classify=_classify, hint=hints(ADVICE))
