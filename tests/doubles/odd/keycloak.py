"""Keycloak: one realm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from attrs import define, field
from tests.doubles.odd.checks import ACCESS_TOKEN, ASSERTION, EXCHANGE, RefusedError, WrongError, checked, fault_of
from tests.doubles.tokens import peeked
from tests.doubles.visits import Visit

from tokenflight.testing import Answer

_PROOFS: Final = ("client_id", "client_secret", "client_assertion", "client_assertion_type")
_WRONG: Final = "Invalid client or Invalid client credentials"


@define(eq=False)
class Keycloak:
    """What one realm knows.

    Attributes:
        secrets, keys: of confidential clients, by client id.
        service_accounts: client ids that may have client credentials.
        exchanging: client ids that may exchange tokens.
        audiences: client ids that may be asked for, and whether they are enabled.
        scopes: optional client scopes.
        sessions: access tokens of users.
        old: whether client credentials come with a session and a refresh token.
    """

    now: Callable[[], float]
    secrets: dict[str, str] = field(factory=dict, repr=False)
    keys: dict[str, list[dict[str, Any]]] = field(factory=dict, repr=False)
    service_accounts: set[str] = field(factory=set)
    exchanging: set[str] = field(factory=set)
    audiences: dict[str, bool] = field(factory=dict)
    scopes: set[str] = field(factory=lambda: {"email", "profile"})
    sessions: set[str] = field(factory=set, repr=False)
    old: bool = False
    origin = "https://sso.acme.test"
    paths = ("/realms/acme/protocol/openid-connect/token", "/realms/")

    def answer(self, seen: Visit, token: str) -> Answer:
        if seen.path != self.paths[0]:
            raise _refused(404, "Realm does not exist")
        if seen.form.get("grant_type") not in ("client_credentials", EXCHANGE):
            raise _refused(400, "unsupported_grant_type", "Unsupported grant_type")
        exchange = ("subject_token", "subject_token_type") if seen.form.get("grant_type") == EXCHANGE else ()
        more = ("requested_token_type", "audience") if exchange else ()
        if fault := fault_of(seen, wanted=("grant_type", *exchange), allowed=("scope", *more, *_PROOFS)):
            raise _refused(400, "invalid_request", fault)
        client = self._client(seen)
        scope = seen.form.get("scope", "email profile")
        if not set(scope.split()) <= self.scopes:
            raise _refused(400, "invalid_scope", f"Invalid scopes: {scope}")
        if exchange:
            self._exchange(seen, client)
        elif client not in self.service_accounts:
            raise _refused(401, "unauthorized_client", "Client not enabled to retrieve service account")
        return Answer(200, self._body(token, scope, exchanged=bool(exchange)))

    def _body(self, token: str, scope: str, *, exchanged: bool) -> dict[str, Any]:
        body: dict[str, Any] = {"access_token": token, "expires_in": 300, "refresh_expires_in": 0}
        body |= {"token_type": "Bearer", "not-before-policy": 1700000000, "scope": scope}
        if exchanged:
            body |= {"issued_token_type": ACCESS_TOKEN, "session_state": "6f1e0d8a"}
        elif self.old:
            body |= {"refresh_token": f"{token}-refresh", "refresh_expires_in": 1800, "session_state": "6f1e0d8a"}
        return body

    def _client(self, seen: Visit) -> str:
        text = seen.form.get("client_assertion")
        if text is not None:
            return self._signed(seen, text)
        form = (seen.form.get("client_id", ""), seen.form.get("client_secret", ""))
        client, secret = seen.basic or form
        if client not in self.secrets:
            raise _refused(401, "invalid_client", _WRONG)
        if secret != self.secrets[client]:
            raise _refused(401, "unauthorized_client", _WRONG)
        return client

    def _signed(self, seen: Visit, text: str) -> str:
        client = str((peeked(text) or {}).get("iss"))
        try:
            if seen.form.get("client_assertion_type") != ASSERTION or "client_assertion" in seen.replayed:
                raise WrongError("jti")
            issuer = f"{self.origin}/realms/acme"
            checked(text, self.keys.get(client, []), now=self.now(), longest=120, aud=issuer, iss=client, sub=client)
        except WrongError:
            raise _refused(400, "invalid_client", "Client authentication with signed JWT failed") from None
        return client

    def _exchange(self, seen: Visit, client: str) -> None:
        if client not in self.exchanging:
            raise _refused(400, "invalid_request", "Standard token exchange is not enabled for the requested client")
        if seen.form["subject_token_type"] != ACCESS_TOKEN or seen.form["subject_token"] not in self.sessions:
            raise _refused(400, "invalid_request", "Invalid token")
        audience = seen.form.get("audience")
        if audience is not None and not self.audiences.get(audience, False):
            known = audience in self.audiences
            raise _refused(400, "invalid_client", "Client disabled" if known else "Audience not found")


def _refused(status: int, error: str, text: str | None = None) -> RefusedError:
    return RefusedError(Answer(status, {"error": error} | ({} if text is None else {"error_description": text})))
