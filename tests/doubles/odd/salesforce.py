"""Salesforce: one org and the login host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, field
from tests.doubles.odd.checks import JWT_BEARER, RefusedError, WrongError, checked, fault_of
from tests.doubles.tokens import peeked
from tests.doubles.visits import Visit

from tokenflight.testing import Answer


@define(eq=False)
class Salesforce:
    """What one org knows.

    Attributes:
        keys: public JWKs of apps, by consumer key.
        secrets: of apps, by consumer key.
        users: usernames, and whether they approved.
        again: the token that is given as long as its session lasts.
    """

    now: Callable[[], float]
    keys: dict[str, list[dict[str, Any]]] = field(factory=dict, repr=False)
    secrets: dict[str, str] = field(factory=dict, repr=False)
    users: dict[str, bool] = field(factory=dict)
    again: str | None = field(default=None, repr=False)
    origin = "https://acme.my.salesforce.com"
    paths = ("/services/oauth2/token",)

    def answer(self, seen: Visit, token: str) -> Answer:
        if seen.form.get("grant_type") == JWT_BEARER:
            self._signed(seen)
        else:
            self._secret(seen)
        now = int(self.now() * 1000)
        identity = "https://login.salesforce.com/id/00Dxx0000001gPL/005xx000001SwiU"
        body = {"access_token": self.again or token, "signature": "c2lnbmF0dXJl", "scope": "api"}
        where = {"instance_url": "https://acme.my.salesforce.com", "id": identity}
        return Answer(200, body | where | {"token_type": "Bearer", "issued_at": str(now)})

    def _secret(self, seen: Visit) -> None:
        wanted = ("grant_type", "client_id", "client_secret")
        if fault_of(seen, wanted=wanted) or seen.form["grant_type"] != "client_credentials":
            raise _refused("unsupported_grant_type", "grant type not supported")
        if seen.form["client_id"] not in self.secrets:
            raise _refused("invalid_client_id", "client identifier invalid")
        if seen.form["client_secret"] != self.secrets[seen.form["client_id"]]:
            raise _refused("invalid_client", "invalid client credentials")

    def _signed(self, seen: Visit) -> None:
        if fault := fault_of(seen, wanted=("grant_type", "assertion")):
            raise _refused("invalid_request", fault)
        text = seen.form["assertion"]
        claims = peeked(text) or {}
        app, user = claims.get("iss"), claims.get("sub")
        if app not in self.keys:
            raise _refused("invalid_client_id", "client identifier invalid")
        try:
            login = "https://login.salesforce.com"
            checked(text, self.keys[app], now=self.now(), longest=300, aud=login)
        except WrongError as error:
            words = "audience is invalid" if str(error) == "aud" else "invalid assertion"
            raise _refused("invalid_grant", words) from None
        if "assertion" in seen.replayed or user not in self.users:
            raise _refused("invalid_grant", "invalid assertion")
        if not self.users[user]:
            raise _refused("invalid_grant", "user hasn't approved this consumer")


def _refused(error: str, text: str) -> RefusedError:
    return RefusedError(Answer(400, {"error": error, "error_description": text}))
