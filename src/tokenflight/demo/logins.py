"""Logins: codes, and refresh tokens of which each is spent once (RFC 6749, sections 4.1 and 6)."""

from __future__ import annotations

import secrets
import time
from typing import Final

from attrs import define, field

from tokenflight.demo.books import Books
from tokenflight.demo.forms import Refused

CODE_LIVES: Final = 30.0
GRACE: Final = 30.0
"""For how many seconds a spent refresh token is taken again, from whoever did not get the reply."""


@define(eq=False)
class Login:
    """All that came of one person's login at one app. `newest` is to be spent next; `before` was spent for it."""

    client: str
    person: str
    newest: str = field(default="", repr=False)
    before: str = field(default="", repr=False)
    spent_at: float = 0.0
    alive: bool = True


class Logins:
    """Strict: whoever spends a refresh token again, beyond the grace, ends the login."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._codes: dict[str, tuple[Login, float]] = {}
        self._by_token: dict[str, Login] = {}

    def code(self, client: str, person: str) -> str:
        """Return a code for somebody who has logged in at an app."""
        code = secrets.token_urlsafe(16)
        self._codes[code] = Login(client, person), time.monotonic() + CODE_LIVES
        return code

    def redeemed(self, code: str, client: str) -> Login:
        """Return the login that a code stands for, with its first refresh token. Raises Refused."""
        login, until = self._codes.pop(code, (None, 0.0))
        if login is None or login.client != client or time.monotonic() >= until:
            raise Refused(400, "invalid_grant", "Auth code doesn't exist or is invalid for the client")
        self._books.logins.append(login.person)
        return self._rotated(login)

    def refreshed(self, refresh_token: str, client: str) -> Login:
        """Spend a refresh token; return its login, which has the next one. Raises Refused."""
        login = self._by_token.get(refresh_token)
        if login is None or login.client != client or not login.alive:
            raise Refused(400, "invalid_grant", "Invalid refresh token")
        self._books.spent[refresh_token] += 1
        again = refresh_token == login.before and time.monotonic() < login.spent_at + GRACE
        if refresh_token != login.newest and not again:
            login.alive = False
            self._books.lost.append(login.person)
            raise Refused(400, "invalid_grant", "Refresh token was spent before")
        if not again:
            login.before, login.spent_at = refresh_token, time.monotonic()
        return self._rotated(login)

    def _rotated(self, login: Login) -> Login:
        login.newest = secrets.token_urlsafe(24)
        self._by_token[login.newest] = login
        return login
