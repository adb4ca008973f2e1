"""Okta: an org's own authorization server, and a custom one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from attrs import define, field
from tests.doubles.odd.checks import ASSERTION, RefusedError, WrongError, checked, fault_of
from tests.doubles.tokens import peeked
from tests.doubles.visits import Visit

from tokenflight.testing import Answer

_REQUEST: Final = "ZyXwVu1234567890abcdefgh"
_JWT: Final = ("client_assertion", "client_assertion_type")


@define(eq=False)
class Okta:
    """What one org knows.

    Attributes:
        keys: public JWKs of service apps, by client id.
        secrets: of web apps that may have client credentials at the custom server, by client id.
        scopes: that all of them may have.
        dpop: client ids that have to prove possession.
        shape: how refusals come: `oauth` or `api`.
    """

    now: Callable[[], float]
    keys: dict[str, list[dict[str, Any]]] = field(factory=dict, repr=False)
    secrets: dict[str, str] = field(factory=dict, repr=False)
    scopes: set[str] = field(factory=set)
    dpop: set[str] = field(factory=set)
    shape: str = "oauth"
    origin = "https://acme.okta.com"
    paths = ("/oauth2/v1/token", "/oauth2/default/v1/token")

    def answer(self, seen: Visit, token: str) -> Answer:
        proof = () if seen.basic else _JWT
        fault = fault_of(seen, wanted=("grant_type", "scope", *proof))
        if fault:
            raise self._refused(400, "invalid_request", f"The request is malformed: {fault}.")
        if seen.form["grant_type"] != "client_credentials":
            raise self._refused(400, "unsupported_grant_type", "The authorization grant type is not supported.")
        client = self._basic(seen) if seen.basic else self._signed(seen)
        if client in self.dpop:
            raise self._refused(400, "invalid_dpop_proof", "The DPoP proof JWT header is missing.")
        if not set(seen.form["scope"].split()) <= self.scopes:
            raise self._refused(400, "invalid_scope", "One or more scopes are not configured for the server resource.")
        body = {"token_type": "Bearer", "expires_in": 3600, "access_token": token, "scope": seen.form["scope"]}
        return Answer(200, body, headers={"x-okta-request-id": _REQUEST})

    def _basic(self, seen: Visit) -> str:
        assert seen.basic is not None
        client, secret = seen.basic
        if seen.path == self.paths[0] or secret != self.secrets.get(client):
            raise self._refused(
                401, "invalid_client", "The client secret supplied for a confidential client is invalid."
            )
        return client

    def _signed(self, seen: Visit) -> str:
        text = seen.form["client_assertion"]
        client = str((peeked(text) or {}).get("iss"))
        try:
            if seen.form["client_assertion_type"] != ASSERTION or "client_assertion" in seen.replayed:
                raise WrongError("jti")
            url = self.origin + seen.path
            checked(text, self.keys.get(client, []), now=self.now(), longest=3600, aud=url, iss=client, sub=client)
        except WrongError as error:
            words = "audience" if str(error) == "aud" else error
            raise self._refused(401, "invalid_client", f"The {words} of the client_assertion is invalid.") from None
        return client

    def _refused(self, status: int, error: str, text: str) -> RefusedError:
        body: dict[str, Any] = {"error": error, "error_description": text}
        if self.shape == "api":
            body = {"errorCode": error, "errorSummary": text, "errorLink": error, "errorId": "oae1", "errorCauses": []}
        return RefusedError(Answer(status, body, headers={"x-okta-request-id": _REQUEST}))
