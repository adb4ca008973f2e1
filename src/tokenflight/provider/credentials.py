"""Credentials: reading secrets where they lie, and knowing later whether they are still the same."""

from __future__ import annotations

import hashlib
import inspect
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import anyio.to_thread

from tokenflight.errors import ConfigurationError
from tokenflight.model.failure import CredentialError, Failure
from tokenflight.model.secret import Secret, SecretSource
from tokenflight.model.token import Token


class Presented(Protocol):
    """What the subject of a flight presents, which is no credential of the client."""

    def holds(self, source: Any) -> bool:
        """Tell whether *source* is of this subject."""
        ...

    def token(self, source: Any) -> Token | None:
        """Return the token that *source* gave this flight already; None where it is read now."""
        ...


T = TypeVar("T")

_SALT: Final = secrets.token_bytes(16)


async def in_a_thread(work: Callable[[], T]) -> T:
    """Do in a worker thread what would hold up the loop, and return what it returns."""
    return await anyio.to_thread.run_sync(work, abandon_on_cancel=True)


class Reader:
    """Reads the secrets of one attempt.

    `changeable` tells whether a file or callable was read, which may give another secret next time; `seen` is what an
    error text must not show. What the key's *subject* presents is no credential of the client: only `seen` knows it.
    """

    def __init__(self, client: object, subject: Presented | None = None) -> None:
        self._digest = hashlib.blake2b(digest_size=16, key=_SALT)
        self._digest.update(repr(hash(client)).encode())
        self._subject = subject
        self.changeable = False
        self.seen: list[Secret] = []

    @property
    def fingerprint(self) -> bytes:
        """Return what stands for the client and all that was read, and gives away nothing of it."""
        return self._digest.digest()

    async def read(self, source: SecretSource) -> Secret:
        """Return the secret of a source: a file is read in a worker thread, a callable called and awaited.

        Raises CredentialError, transient, for a source that fails.
        """
        if self._subject is not None and self._subject.holds(source):
            return await self._presented(source, self._subject)
        if isinstance(source, Secret | str):
            secret = Secret(source)
        else:
            self.changeable = True
            secret = await self._fetch(source)
        text = secret.reveal().encode("utf-8", "surrogatepass")
        self._digest.update(len(text).to_bytes(8, "big") + text)
        self.seen.append(secret)
        return secret

    async def _presented(self, source: Any, subject: Presented) -> Secret:
        token = subject.token(source)
        if token is not None:
            secret = token.access_token
        else:
            secret = source if isinstance(source, Secret) else await self._fetch(source)
        self.seen.append(secret)
        return secret

    def note(self, fingerprint: bytes) -> None:
        """Let what was read elsewhere for this attempt count in the fingerprint: files that may be others next time."""
        self.changeable = True
        self._digest.update(len(fingerprint).to_bytes(8, "big") + fingerprint)

    async def _fetch(self, source: SecretSource) -> Secret:
        try:
            if isinstance(source, Path):
                return Secret((await in_a_thread(lambda: source.read_text("utf-8"))).strip())
            value = source()  # type: ignore[operator]  # neither a string nor a Path: a callable
            return Secret(await value if inspect.isawaitable(value) else value)
        except Exception as error:
            what = f"the file {source.name!r}" if isinstance(source, Path) else "a callable"
            why = "gave no secret" if isinstance(error, ConfigurationError) else f"raised {type(error).__name__}"
        # Outside of the except block, so that the error has no context that may hold what was read.
        raise CredentialError(Failure(reason="credential", detail=f"{what} that holds a secret {why}"))
