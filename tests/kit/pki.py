"""A small public key infrastructure: authorities, certificates with their keys, and contexts that ask for them."""

from __future__ import annotations

import base64
import hashlib
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import anyio
import certifi
import pytest
import trustme
from anyio.abc import SocketAttribute, SocketStream
from attrs import define, field, frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from tokenflight.transport import endpoint

PKCS8 = PrivateFormat.PKCS8


@frozen
class Issued:
    """A certificate and its key, in PEM."""

    certificate: bytes
    key: bytes = field(repr=False)

    @property
    def der(self) -> bytes:
        """Return the certificate itself."""
        return ssl.PEM_cert_to_DER_cert(self.certificate.decode())

    @property
    def thumbprint(self) -> str:
        """Return its `x5t#S256`."""
        return base64.urlsafe_b64encode(hashlib.sha256(self.der).digest()).decode().rstrip("=")

    def encrypted(self, password: str, kind: PrivateFormat = PKCS8) -> Issued:
        """Return it with its key encrypted."""
        key = serialization.load_pem_private_key(self.key, None)
        locked = key.private_bytes(Encoding.PEM, kind, BestAvailableEncryption(password.encode()))
        return Issued(self.certificate, locked)


@define(eq=False)
class Pair:
    """Where a certificate and its key lie."""

    certificate: Path
    key: Path

    @classmethod
    def at(cls, place: Path, issued: Issued, name: str = "client") -> Pair:
        pair = cls(place / f"{name}.pem", place / f"{name}.key")
        pair.write(issued)
        return pair

    def write(self, issued: Issued) -> None:
        """Replace both files, one after the other, each at once."""
        for path, content in ((self.certificate, issued.certificate), (self.key, issued.key)):
            fresh = path.with_suffix(".new")
            fresh.touch(0o600)
            fresh.write_bytes(content)
            fresh.replace(path)


@frozen
class Authority:
    """Who issues certificates to clients and to the server."""

    ca: trustme.CA = field(factory=trustme.CA)

    def client(self, name: str = "client", *, expired: bool = False) -> Issued:
        """Issue a certificate for a client."""
        ends = datetime.now(UTC) + timedelta(days=-1 if expired else 30)
        issued = self.ca.issue_cert(common_name=name, not_before=ends - timedelta(days=60), not_after=ends)
        return Issued(issued.cert_chain_pems[0].bytes(), issued.private_key_pem.bytes())

    def server(self, *trusted: bytes, needed: bool = True, newest: bool = True) -> ssl.SSLContext:
        """Return a server's context that asks for certificates of this authority, or for any of *trusted* instead."""
        context = _server_context()
        roots = trusted or (self.ca.cert_pem.bytes(),)
        context.load_verify_locations(cadata="".join(root.decode() for root in roots))
        context.verify_mode = ssl.CERT_REQUIRED if needed else ssl.CERT_OPTIONAL
        if not newest:
            context.maximum_version = ssl.TLSVersion.TLSv1_2
        return context


def self_signed(name: str = "client") -> Issued:
    """Return a certificate that nobody but its owner has signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .sign(key, hashes.SHA256())
    )
    return Issued(certificate.public_bytes(Encoding.PEM), key.private_bytes(Encoding.PEM, PKCS8, NoEncryption()))


@cache
def authority() -> Authority:
    """Return the one that servers of tests belong to."""
    return Authority()


def _server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().ca.issue_cert("127.0.0.1").configure_cert(context)
    return context


@contextmanager
def public_authority(place: Path) -> Iterator[None]:
    """Let the authority of the tests be one of those that every program trusts."""
    with publicly_trusted(authority().ca.cert_pem.bytes(), place):
        yield


@contextmanager
def publicly_trusted(ca: bytes, place: Path) -> Iterator[None]:
    """Let the authority with this certificate (PEM) be the one that every program trusts."""
    bundle = place / "public.pem"
    bundle.write_bytes(ca)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(certifi, "where", lambda: str(bundle))
        endpoint._usual_context.cache_clear()
        yield
    endpoint._usual_context.cache_clear()


@asynccontextmanager
async def alerting(context: ssl.SSLContext) -> AsyncIterator[str]:
    """Serve nothing but handshakes, and send the alert of one that fails, as most servers do; yield the URL."""

    async def shake(stream: SocketStream) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_side=True)
        async with stream:
            with suppress(ssl.SSLError, anyio.EndOfStream, anyio.BrokenResourceError):
                while not await _shaken(tls, outgoing, stream):
                    incoming.write(await stream.receive())
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                await stream.send(outgoing.read() or b" ")
                await stream.send_eof()
                while True:  # what is closed before it was read ends in a reset, which would overtake the alert
                    await stream.receive()

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, shake)
        yield f"https://127.0.0.1:{listener.extra(SocketAttribute.local_port)}/token"
        group.cancel_scope.cancel()


async def _shaken(tls: ssl.SSLObject, outgoing: ssl.MemoryBIO, stream: SocketStream) -> bool:
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        await stream.send(outgoing.read() or b"")
        return False
    return True
