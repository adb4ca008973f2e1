"""Client authentication at real authorization servers: each method as it is used, and refused where it is not right."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest
from attrs import frozen
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from tests.kit.canary import canary
from tests.kit.credentials import Certificate, jwk_of, make_key, signed
from tests.kit.oidc import OidcProvider
from tests.kit.opinions import Opinion
from tests.kit.pki import publicly_trusted
from tests.servers.using import JWT, OPAQUE, client_of, found, provider, refusal

from tokenflight import (
    TOKEN_ENDPOINT,
    ClientAssertion,
    ClientSecretBasic,
    ClientSecretJWT,
    ClientSecretPost,
    InvalidClientError,
    JWTBearer,
    MutualTLS,
    OAuthClient,
    PrivateKeyJWT,
    PublicClient,
    RefreshToken,
    TokenEndpointError,
    TokenProvider,
    TokenRequestError,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
def trusted(oidc: OidcProvider, tmp_path: Path) -> Iterator[None]:
    with publicly_trusted(oidc.certificates.ca.read_bytes(), tmp_path):
        yield


def said(jwt: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and claims of a JWT that the server has verified."""
    header, claims, _ = (base64.urlsafe_b64decode(f"{part}==") for part in jwt.split("."))
    return json.loads(header), json.loads(claims)


async def refused_once(client: OAuthClient, oidc: OidcProvider, **options: Any) -> TokenRequestError:
    """Return the error of a client that is refused, after one request."""
    error = await refusal(client, **options)
    assert isinstance(error, InvalidClientError)
    assert (error.reason, error.status, error.transient, error.attempts) == ("invalid_client", 401, False, 1)
    assert len(oidc.journal()) == 1
    return error


# Secrets


@pytest.mark.proves("oidc-provider", "client_credentials + client_secret_basic")
async def test_an_odd_secret_that_is_sent_as_it_is_is_refused(oidc: OidcProvider) -> None:
    odd = oidc.clients["odd"]
    raw = ClientSecretBasic(odd.secret or "", raw=True)
    error = await refusal(OAuthClient(client_id="basic", token_endpoint=oidc.token_endpoint, authentication=raw))

    assert isinstance(error, TokenEndpointError)
    assert (error.error, error.transient, len(oidc.journal())) == ("invalid_request", False, 1)


# Assertions of a client


def shared(oidc: OidcProvider, **how: Any) -> OAuthClient:
    return found(
        oidc, name="secret-jwt", authentication=ClientSecretJWT(oidc.clients["secret-jwt"].secret or "", **how)
    )


@pytest.mark.proves("oidc-provider", "client_credentials + client_secret_jwt")
@pytest.mark.parametrize("audience", [None, TOKEN_ENDPOINT], ids=["issuer", "token endpoint"])
async def test_a_secret_signs_and_does_not_travel(oidc: OidcProvider, audience: Any) -> None:
    async with provider(shared(oidc, audience=audience)) as tokens:
        await tokens.token(audience=JWT)

    (entry,) = oidc.journal()
    header, claims = said(entry.form["client_assertion"])
    assert header == {"typ": "JWT", "alg": "HS256"}
    assert claims["aud"] == (oidc.issuer if audience is None else oidc.token_endpoint)
    assert oidc.clients["secret-jwt"].secret not in json.dumps(dict(entry.form))


@pytest.mark.proves("oidc-provider", "client_credentials + client_secret_jwt")
async def test_another_secret_signs_for_nobody(oidc: OidcProvider) -> None:
    await refused_once(found(oidc, name="secret-jwt", authentication=ClientSecretJWT(canary("other"))), oidc)


ALGORITHMS = [
    ("key-es", "ES256"),
    ("key-rsa", "RS256"),
    ("key-rsa", "PS256"),
    ("key-ed", "EdDSA"),
    ("key-ed", "Ed25519"),
]


@pytest.mark.proves("oidc-provider", "client_credentials + private_key_jwt (RS256, PS256, ES256, EdDSA)")
@pytest.mark.parametrize("audience", [None, TOKEN_ENDPOINT], ids=["issuer", "token endpoint"])
@pytest.mark.parametrize(("name", "algorithm"), ALGORITHMS)
async def test_a_private_key_signs_anew_for_each_request(
    oidc: OidcProvider, name: str, algorithm: str, audience: Any
) -> None:
    method = PrivateKeyJWT(oidc.clients[name].key or "", algorithm=algorithm, audience=audience)
    async with provider(found(oidc, name=name, authentication=method)) as tokens:
        await tokens.token(audience=JWT)
        await tokens.token(audience=OPAQUE)

    (first, claims), (second, others) = (said(entry.form["client_assertion"]) for entry in oidc.journal())
    assert first["alg"] == second["alg"] == algorithm
    assert claims["aud"] == others["aud"] == (oidc.issuer if audience is None else oidc.token_endpoint)
    assert claims["jti"] != others["jti"]


def encrypted(key: str, passphrase: str) -> str:
    lock = serialization.BestAvailableEncryption(passphrase.encode())
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock
    return serialization.load_pem_private_key(key.encode(), None).private_bytes(*form).decode()


@frozen
class Elsewhere:
    """Signs with a key that it does not give away."""

    key: Any
    algorithm = "ES256"
    key_id = None

    async def sign(self, data: bytes) -> bytes:
        await anyio.lowlevel.checkpoint()
        first, second = decode_dss_signature(self.key.sign(data, ec.ECDSA(hashes.SHA256())))
        return first.to_bytes(32) + second.to_bytes(32)


@pytest.mark.proves("oidc-provider", "client_credentials + private_key_jwt (JWK, file, encrypted PEM, Signer)")
@pytest.mark.parametrize("form", ["JWK", "file", "encrypted file", "signer"])
async def test_a_key_is_given_in_any_form(oidc: OidcProvider, tmp_path: Path, form: str) -> None:
    pem, passphrase = oidc.clients["key-es"].key or "", canary("passphrase")
    path = tmp_path / "key.pem"
    path.touch(0o600)
    path.write_text(encrypted(pem, passphrase) if form == "encrypted file" else pem)
    methods: dict[str, PrivateKeyJWT] = {
        "JWK": PrivateKeyJWT(jwk_of(pem, "ES256", private=True)),
        "file": PrivateKeyJWT(path),
        "encrypted file": PrivateKeyJWT(path, passphrase=passphrase),
        "signer": PrivateKeyJWT(Elsewhere(serialization.load_pem_private_key(pem.encode(), None))),
    }
    async with provider(found(oidc, name="key-es", authentication=methods[form])) as tokens:
        await tokens.token()

    header, _ = said(oidc.journal()[0].form["client_assertion"])
    assert header.get("kid") == (jwk_of(pem, "ES256")["kid"] if form == "JWK" else None)


@pytest.mark.proves("oidc-provider", "client_credentials + private_key_jwt (what is wrong with it is refused)")
@pytest.mark.parametrize("wrong", ["key", "audience", "kid", "client"])
async def test_a_wrong_assertion_of_a_client_is_refused_once(oidc: OidcProvider, wrong: str) -> None:
    key = oidc.clients["key-es"].key or ""
    methods = {
        "key": PrivateKeyJWT(make_key("ES256")),
        "audience": PrivateKeyJWT(key, audience="https://elsewhere.test"),
        "kid": PrivateKeyJWT(key, key_id="another"),
        "client": PrivateKeyJWT(key),
    }
    error = await refused_once(
        found(oidc, name="key-rsa" if wrong == "client" else "key-es", authentication=methods[wrong]), oidc
    )

    assert "the key" in (error.hint or "")


@pytest.mark.proves("oidc-provider", "client_credentials + private_key_jwt (a secret in its place is refused)")
@pytest.mark.parametrize("method", [ClientSecretBasic, ClientSecretPost])
async def test_a_secret_does_not_stand_for_a_key(oidc: OidcProvider, method: Any) -> None:
    await refused_once(found(oidc, name="key-es", authentication=method(canary("secret"))), oidc)


@pytest.mark.proves("oidc-provider", "client_credentials + private_key_jwt (lost replies)")
@pytest.mark.parametrize("fault", [{"drop": True}, {"status": 503}, {"status": 429, "headers": {"Retry-After": "0"}}])
async def test_what_the_server_may_have_taken_is_never_sent_again(oidc: OidcProvider, fault: dict[str, Any]) -> None:
    oidc.fault(**fault, when="after", times=2)
    async with provider(
        found(oidc, name="key-es", authentication=PrivateKeyJWT(oidc.clients["key-es"].key or ""))
    ) as tokens:
        await tokens.token()

    assertions = [said(entry.form["client_assertion"])[1]["jti"] for entry in oidc.journal()]
    assert len(set(assertions)) == len(assertions) == 3


@pytest.mark.proves("oidc-provider", "client_credentials + private_key_jwt (ClientAssertion from a file)")
async def test_an_assertion_that_somebody_else_signs_is_read_from_its_file_each_time(
    oidc: OidcProvider, tmp_path: Path
) -> None:
    path = tmp_path / "assertion"
    path.touch(0o600)

    def written(**claims: Any) -> None:
        named = {"iss": "key-es", "sub": "key-es", "aud": oidc.issuer} | claims
        path.write_text(signed(oidc.clients["key-es"].key or "", **named) + "\n")

    written()
    async with provider(found(oidc, name="key-es", authentication=ClientAssertion(path))) as tokens:
        await tokens.token(audience=JWT)
        written()
        await tokens.token(audience=OPAQUE)
        with pytest.raises(InvalidClientError):
            await tokens.token(scope="read")

    first, second, again = (entry.form["client_assertion"] for entry in oidc.journal())
    assert (first != second, second == again) == (True, True), "the server takes each of them once"


# Certificates


def certified(oidc: OidcProvider, name: str, certificate: Certificate, **fields: Any) -> OAuthClient:
    method = MutualTLS(certificate.certificate, certificate.key, self_signed=name == "self-signed")
    return found(oidc, name=name, authentication=method, **fields)


@pytest.mark.usefixtures("trusted")
@pytest.mark.proves("oidc-provider", "client_credentials + tls_client_auth (endpoint alias by discovery)")
@pytest.mark.parametrize("name", ["tls", "tls-san"])
async def test_a_certificate_is_presented_at_the_alias_that_the_issuer_names(oidc: OidcProvider, name: str) -> None:
    async with provider(certified(oidc, name, oidc.certificates.client)) as tokens:
        await tokens.token(audience=JWT)

    (entry,) = oidc.journal()
    assert (entry.form["client_id"], entry.certificate) == (name, oidc.certificates.client.fingerprint)
    assert entry.headers["host"] == oidc.mtls.removeprefix("https://")


@pytest.mark.usefixtures("trusted")
@pytest.mark.proves("oidc-provider", "client_credentials + self_signed_tls_client_auth (endpoint alias by discovery)")
async def test_a_certificate_that_the_server_knows_itself_is_presented(oidc: OidcProvider) -> None:
    known = oidc.certificates.self_signed
    async with provider(certified(oidc, "self-signed", known)) as tokens:
        await tokens.token()

    assert [entry.certificate for entry in oidc.journal()] == [known.fingerprint]


@pytest.mark.usefixtures("trusted")
@pytest.mark.proves("oidc-provider", "client_credentials + tls_client_auth (certificate-bound tokens, reload)")
async def test_tokens_are_bound_to_the_certificate_that_lies_there_now(oidc: OidcProvider, tmp_path: Path) -> None:
    path, series = tmp_path / "client.pem", (oidc.certificates.client, oidc.certificates.rotated)
    path.touch(0o600)
    path.write_bytes(series[0].both.read_bytes())
    async with provider(found(oidc, name="tls-bound", authentication=MutualTLS(path))) as tokens:
        first = await tokens.token(audience=JWT)
        path.write_bytes(series[1].both.read_bytes())
        second = await tokens.renew(rejected=first, audience=JWT)

    bound = [said(token.access_token.reveal())[1]["cnf"]["x5t#S256"] for token in (first, second)]
    assert bound == [certificate.thumbprint for certificate in series]


@pytest.mark.usefixtures("trusted")
@pytest.mark.proves("oidc-provider", "client_credentials + tls_client_auth (another certificate is refused)")
@pytest.mark.parametrize("kind", ["rogue", "expired", "self_signed"])
async def test_another_certificate_is_refused_once(oidc: OidcProvider, kind: str) -> None:
    error = await refused_once(certified(oidc, "tls", getattr(oidc.certificates, kind)), oidc)

    assert "certificate" in (error.hint or "")


@pytest.mark.usefixtures("trusted")
@pytest.mark.proves(
    "oidc-provider", "client_credentials + self_signed_tls_client_auth (another certificate is refused)"
)
async def test_a_certificate_of_the_authority_does_not_stand_for_a_self_signed_one(oidc: OidcProvider) -> None:
    await refused_once(certified(oidc, "self-signed", oidc.certificates.client), oidc)


@pytest.mark.proves("oidc-provider", "client_credentials + tls_client_auth (the user's own http client)")
async def test_the_user_s_http_client_presents_its_own_certificate(oidc: OidcProvider) -> None:
    client = found(oidc, name="tls", authentication=MutualTLS())
    context = oidc.certificates.trusting(oidc.certificates.client)
    async with httpx.AsyncClient(verify=context, trust_env=False) as http, TokenProvider(client, http=http) as tokens:
        await tokens.token()

    assert [entry.certificate for entry in oidc.journal()] == [oidc.certificates.client.fingerprint]


@pytest.mark.proves("oidc-provider", "client_credentials + tls_client_auth (no certificate is refused)")
async def test_no_certificate_is_refused_once(oidc: OidcProvider) -> None:
    client, context = found(oidc, name="tls", authentication=MutualTLS()), oidc.certificates.trusting()
    async with httpx.AsyncClient(verify=context, trust_env=False) as http, TokenProvider(client, http=http) as tokens:
        for attempts in (1, 0):
            with pytest.raises(InvalidClientError) as caught:
                await tokens.token()
            assert caught.value.attempts == attempts

    assert [(entry.status, entry.certificate) for entry in oidc.journal()] == [(401, None)]


@pytest.mark.proves("oidc-provider", "client_credentials + tls_client_auth (an authority that is not trusted)")
async def test_a_server_of_an_authority_that_is_not_trusted_hears_nothing(oidc: OidcProvider) -> None:
    async with provider(certified(oidc, "tls", oidc.certificates.client)) as tokens:
        with pytest.raises(TokenRequestError) as caught:
            await tokens.token()

    assert (caught.value.reason, oidc.journal()) == ("tls", [])


# None


@pytest.mark.proves("oidc-provider", "jwt-bearer + none")
async def test_a_public_client_proves_nothing_but_what_it_presents(oidc: OidcProvider) -> None:
    grant = JWTBearer(oidc.clients["bearer-public"].key or "")
    async with provider(found(oidc, name="bearer-public", authentication=PublicClient(), grant=grant)) as tokens:
        await tokens.token(subject="carol", audience=JWT)

    (entry,) = oidc.journal()
    assert (entry.form["client_id"], "authorization" in entry.headers) == ("bearer-public", False)


@pytest.mark.proves("oidc-provider", "refresh_token + none (a client with a secret is refused)")
async def test_a_client_that_has_a_secret_is_none_without_it(oidc: OidcProvider) -> None:
    refresh_token = oidc.mint("web")
    async with provider(found(oidc, name="web", authentication=PublicClient(), grant=RefreshToken())) as tokens:
        await tokens.sessions.adopt(subject="alice", refresh_token=refresh_token)
        with pytest.raises(TokenRequestError) as caught:
            await tokens.token(subject="alice")

    assert isinstance(caught.value, InvalidClientError)
    assert "give authentication" in (caught.value.hint or "")
    assert len(oidc.journal()) == 1


# The other servers


@pytest.mark.proves("Authlib", "client_credentials + private_key_jwt (RS256)")
@pytest.mark.parametrize("audience", [None, TOKEN_ENDPOINT], ids=["issuer", "token endpoint"])
async def test_authlib_takes_assertions_of_a_client(authlib: Opinion, audience: Any) -> None:
    method = PrivateKeyJWT(authlib.clients["key"].key or "", audience=audience)
    async with provider(client_of(authlib, "key", authentication=method, issuer=authlib.issuer)) as tokens:
        assert (await tokens.token(scope="read")).scope == {"read"}
        assert (await tokens.token(scope="write")).scope == {"write"}


@pytest.mark.proves("Authlib", "client_credentials + private_key_jwt (another key or audience is refused)")
@pytest.mark.parametrize("wrong", ["key", "audience"])
async def test_authlib_refuses_a_wrong_assertion_by_400(authlib: Opinion, wrong: str) -> None:
    key = authlib.clients["key"].key or ""
    other = PrivateKeyJWT(make_key("RS256")), PrivateKeyJWT(key, audience="https://elsewhere.test")
    method = other[wrong == "audience"]
    error = await refusal(client_of(authlib, "key", authentication=method, issuer=authlib.issuer))

    assert isinstance(error, InvalidClientError)
    assert (error.reason, error.status, error.transient, error.attempts) == ("invalid_client", 400, False, 1)
