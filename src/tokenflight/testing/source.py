"""StaticTokenSource: a TokenSource that hands out what it was given."""

from __future__ import annotations

from tokenflight.model.secret import Secret
from tokenflight.model.token import Token


class StaticTokenSource:
    """A source of tokens for tests of what takes one: it asks nobody, and counts.

    Attributes:
        token_calls: how often `token` was called.
        renew_calls: how often `renew` was called.
        rejections: what `renew` was told: the rejected token, or None, and the origin, or None.
    """

    def __init__(self, token: Token | Secret | str) -> None:
        self._token = _token(token)
        self.token_calls = 0
        self.renew_calls = 0
        self.rejections: list[tuple[Token | None, str | None]] = []

    def __repr__(self) -> str:
        return f"StaticTokenSource({self._token!r}, {self.token_calls} token calls, {self.renew_calls} renew calls)"

    async def token(self) -> Token:
        """Return the token."""
        self.token_calls += 1
        return self._token

    async def renew(self, rejected: Token | None = None, *, origin: str | None = None) -> Token:
        """Note the rejection and return the token: another one only where `swap` has brought it."""
        self.renew_calls += 1
        self.rejections.append((rejected, origin))
        return self._token

    def swap(self, new: Token | Secret | str) -> None:
        """Hand out *new* from now on."""
        self._token = _token(new)


def _token(value: Token | Secret | str) -> Token:
    return value if isinstance(value, Token) else Token(value)
