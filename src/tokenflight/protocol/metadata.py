"""Metadata: what an authorization server says of itself (RFC 8414), and what of it a client believes.

well_known ─► read_metadata ─► Document ─► seen_by a client ─► Metadata ─► completed: it knows where to ask
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from attrs import asdict, evolve, field, frozen

from tokenflight.errors import ConfigurationError, MalformedResponseError, TokenEndpointError
from tokenflight.model.failure import Failure
from tokenflight.model.origin import origin_of
from tokenflight.protocol.answers import TokenAnswer, Unreadable, read_document, retry_after
from tokenflight.protocol.client import Endpoints, OAuthClient, endpoint_origin

MTLS_METHODS: Final = frozenset({"tls_client_auth", "self_signed_tls_client_auth"})
"""Client authentication by certificate (RFC 8705, section 2): its endpoints have aliases."""

_MEMBERS: Final[Mapping[str, str]] = {
    "token_endpoint": "token_endpoint",
    "authorization": "authorization_endpoint",
    "revocation": "revocation_endpoint",
    "introspection": "introspection_endpoint",
    "device": "device_authorization_endpoint",
    "jwks": "jwks_uri",
}
"""Endpoints by our names, and by those in a document (RFC 8414, section 2; RFC 8628, section 4)."""

_ALIASED: Final = frozenset(_MEMBERS) - {"authorization", "jwks"}
"""What a client itself asks with its certificate (RFC 8705, section 5)."""

_ONCE: Final = frozenset({"issuer", "mtls_endpoint_aliases", *_MEMBERS.values()})
_MAX_URL: Final = 2_048
_MAX_METHODS: Final = 20
_PASSING: Final = frozenset({408, 425, 429})


@frozen(kw_only=True)
class Document:
    """What an issuer says, as far as it can be read; of its URLs only the form is known to be good."""

    issuer: str
    named: Mapping[str, str] = field(factory=dict, hash=False)
    aliases: Mapping[str, str] = field(factory=dict, hash=False)
    iss_parameter_supported: bool = False
    code_challenge_methods: frozenset[str] = frozenset()


@frozen(kw_only=True)
class Metadata:
    """What one client believes of its issuer's metadata: each URL is the client's own word, or one that it trusts.

    Attributes:
        issuer: as the client spells it.
        token_endpoint, authorization, revocation, introspection, device, jwks: URLs; for a client that authenticates by
            certificate the aliases (RFC 8705, section 5) where there are some. None where there is none to trust.
        iss_parameter_supported: whether an authorization response names its issuer (RFC 9207, section 3).
        code_challenge_methods: of PKCE (RFC 7636); empty where the server does not say.
        elsewhere: origins of endpoints that are neither on the issuer's site nor listed, by name.
    """

    issuer: str
    token_endpoint: str | None = None
    authorization: str | None = None
    revocation: str | None = None
    introspection: str | None = None
    device: str | None = None
    jwks: str | None = None
    iss_parameter_supported: bool = False
    code_challenge_methods: frozenset[str] = frozenset()
    elsewhere: Mapping[str, str] = field(factory=dict, hash=False)


def well_known(issuer: str) -> tuple[str, str]:
    """Return where an issuer's metadata may lie: by RFC 8414 (section 3.1), then by OpenID Connect Discovery.

    RFC 8414 stands first: there a path that belongs to one tenant of a host cannot speak for another.
    """
    parts = urlsplit(issuer)
    root, path = f"{parts.scheme}://{parts.netloc}", parts.path.removesuffix("/")
    return f"{root}/.well-known/oauth-authorization-server{path}", f"{root}{path}/.well-known/openid-configuration"


def read_metadata(answer: TokenAnswer, *, issuer: str, wall: float) -> Document | Failure:
    """Read what came from a well-known URL of *issuer*; *wall* is Unix time.

    It is a JSON object that names this very issuer, to the letter (RFC 8414, section 3.3), and no endpoint twice.
    Never raises; a failure holds nothing of the body.
    """
    if not answer.succeeded:
        return _absent(answer, issuer, wall)
    fields = read_document(answer.body, once=_ONCE)
    if isinstance(fields, Unreadable):
        return Failure(
            error=MalformedResponseError,
            reason="metadata",
            detail=f"the metadata of {issuer} cannot be used: {fields.why}",
            status=answer.status,
            hint="check issuer, or give token_endpoint",
        )
    if fields.get("issuer") != issuer:
        return _another_issuer(fields.get("issuer"), issuer)
    methods = fields.get("code_challenge_methods_supported")
    return Document(
        issuer=issuer,
        named=_urls(fields),
        aliases=_urls(fields.get("mtls_endpoint_aliases")),
        iss_parameter_supported=fields.get("authorization_response_iss_parameter_supported") is True,
        code_challenge_methods=_names(methods),
    )


def seen_by(document: Document, client: OAuthClient) -> Metadata:
    """Return what *client* believes of its issuer's metadata.

    What the client says itself wins. A URL counts that is on the issuer's site, or on an origin that the client names
    for another of its endpoints. The site is the issuer's host and its subdomains; https on any port, since the
    certificate proves the host; plain http at the issuer's own origin alone.
    """
    own: dict[str, str | None] = {"token_endpoint": client.token_endpoint, **asdict(client.endpoints)}
    listed = {endpoint_origin(name, url) for name, url in own.items() if url is not None}
    certified = client.authentication.method in MTLS_METHODS
    seen, elsewhere = dict(own), {}
    for name in _MEMBERS:
        alias = document.aliases.get(name) if certified and name in _ALIASED else None
        url = alias or document.named.get(name)
        if own[name] is not None or url is None:
            continue
        origin = origin_of(url)
        if origin in listed or _on_site(origin, document.issuer):
            seen[name] = url
        else:
            elsewhere[name] = origin
    return Metadata(
        issuer=document.issuer,
        iss_parameter_supported=document.iss_parameter_supported,
        code_challenge_methods=document.code_challenge_methods,
        elsewhere=elsewhere,
        **seen,
    )


def completed(client: OAuthClient, metadata: Metadata, needs: Collection[str] = ()) -> OAuthClient | Failure:
    """Return *client* with its endpoints filled in, or why it cannot be: one that it *needs* lies elsewhere.

    A token endpoint is always needed. One of the others that the server does not have stays None.
    """
    for name in ("token_endpoint", *needs):
        if (origin := metadata.elsewhere.get(name)) is not None:
            return _misplaced(name, origin, metadata.issuer)
    if metadata.token_endpoint is None:
        return refused(
            f"the metadata of {metadata.issuer} name no token endpoint that can be used: "
            "check issuer, or give token_endpoint"
        )
    named = {name: getattr(metadata, name) for name in _MEMBERS if name != "token_endpoint"}
    return evolve(client, token_endpoint=metadata.token_endpoint, endpoints=Endpoints(**named))


def refused(detail: str, status: int | None = None) -> Failure:
    """Return the Failure of metadata that a client must not use, or that are not there."""
    return Failure(error=ConfigurationError, reason="metadata", detail=detail, transient=False, status=status)


def _absent(answer: TokenAnswer, issuer: str, wall: float) -> Failure:
    status = answer.status
    if status not in _PASSING and status < 500:
        return refused(
            f"{origin_of(issuer)} answered {status} where the metadata of {issuer} should be: "
            "check issuer, or give token_endpoint",
            status,
        )
    return Failure(
        error=TokenEndpointError,
        reason=f"http_{status}",
        detail=f"{origin_of(issuer)} answered {status} where the metadata of {issuer} should be",
        status=status,
        retry_after=retry_after(answer.headers, wall),
    )


def _another_issuer(said: object, issuer: str) -> Failure:
    slash = isinstance(said, str) and said.removesuffix("/") == issuer.removesuffix("/")
    how = "which differs by the slash at its end" if slash else "or none"
    return refused(
        f"what lies where the metadata of {issuer} should be names another issuer, {how}: "
        "set issuer to what the server calls itself, to the letter"
    )


def _misplaced(name: str, origin: str, issuer: str) -> Failure:
    is_token = name == "token_endpoint"
    what = "token" if is_token else name
    setting = "token_endpoint" if is_token else f"endpoints=Endpoints({name}=...)"
    return refused(
        f"the metadata of {issuer} put the {what} endpoint at {origin}, which is not on the issuer's site: "
        f"where that is right, give {setting} with its URL"
    )


def _urls(fields: Any) -> dict[str, str]:
    """Return the endpoints that have a usable form; the others count as not there."""
    named = fields if isinstance(fields, dict) else {}
    found = {name: named.get(member) for name, member in _MEMBERS.items()}
    return {name: url for name, url in found.items() if isinstance(url, str) and _usable(name, url)}


def _usable(name: str, url: str) -> bool:
    try:
        return len(url) <= _MAX_URL and bool(endpoint_origin(name, url))
    except ConfigurationError:
        return False


def _names(value: object) -> frozenset[str]:
    listed = value if isinstance(value, list) else []
    return frozenset(name for name in listed[:_MAX_METHODS] if isinstance(name, str) and len(name) <= _MAX_METHODS)


def _on_site(origin: str, issuer: str) -> bool:
    site = origin_of(issuer)
    if origin == site:
        return True
    host, theirs = urlsplit(site).hostname or "", urlsplit(origin)
    below = (theirs.hostname or "").endswith(f".{host}") and not _is_address(host)
    return theirs.scheme == "https" and (theirs.hostname == host or below)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
