"""Entra: one tenant's v2.0 endpoint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from attrs import define, field
from tests.doubles.odd.checks import ASSERTION, JWT_BEARER, RefusedError, WrongError, checked, fault_of
from tests.doubles.visits import Visit

from tokenflight.testing import Answer

TENANT: Final = "8eaef023-2b34-4da1-9baa-8bc8c9d6a490"
_TRACE: Final = "24053e5f-0000-0000-0000-4d1b8e8a1c00"
_CORRELATION: Final = "f1a2b3c4-0000-0000-0000-000000000042"
_PROOFS: Final = ("client_secret", "client_assertion", "client_assertion_type")


@define(eq=False)
class Entra:
    """What one tenant knows.

    Attributes:
        secrets: by client id.
        certificates: public JWKs by the certificate's SHA-256 thumbprint, by client id.
        federated: tokens of other issuers that are trusted, by client id.
        resources: Application ID URIs of the tenant's APIs.
        callers: tokens of users that apps may take on.
        answer_with: fields that the next answers have beside.
    """

    now: Callable[[], float]
    secrets: dict[str, str] = field(factory=dict, repr=False)
    certificates: dict[str, dict[str, Any]] = field(factory=dict, repr=False)
    federated: dict[str, str] = field(factory=dict, repr=False)
    resources: set[str] = field(factory=set)
    callers: set[str] = field(factory=set, repr=False)
    answer_with: dict[str, Any] = field(factory=dict)
    origin = "https://login.microsoftonline.com"
    paths = (f"/{TENANT}/oauth2/v2.0/token",)

    def answer(self, seen: Visit, token: str) -> Answer:
        grant = seen.form.get("grant_type", "")
        more = {"client_credentials": (), JWT_BEARER: ("assertion", "requested_token_use")}.get(grant)
        if more is None:
            raise refused("unsupported_grant_type", 70003, "The app requested an unsupported grant type.")
        fault = fault_of(seen, wanted=("grant_type", "client_id", "scope", *more), allowed=_PROOFS)
        if fault or seen.request.header("authorization"):
            raise refused("invalid_request", 900144, f"The request body is not as it must be: {fault}.")
        self._authenticate(seen)
        scope = self._on_behalf_of(seen) if more else self._default(seen)
        body = {"token_type": "Bearer", **scope, "expires_in": 3599, "ext_expires_in": 3599, "access_token": token}
        return Answer(200, body | self.answer_with, headers={"x-ms-request-id": _TRACE})

    def _default(self, seen: Visit) -> dict[str, str]:
        resource, default, rest = seen.form["scope"].partition("/.default")
        if not default or rest:
            raise refused("invalid_scope", 1002012, "The provided value for scope is not valid: use /.default.")
        if resource not in self.resources:
            raise refused("invalid_resource", 500011, f"The resource principal named {resource} was not found.")
        return {}

    def _on_behalf_of(self, seen: Visit) -> dict[str, str]:
        if seen.form["requested_token_use"] != "on_behalf_of":
            raise refused("invalid_request", 90023, "requested_token_use is not supported.")
        if seen.form["assertion"] not in self.callers:
            raise refused("invalid_grant", 50013, "Assertion failed signature validation.")
        return {"scope": seen.form["scope"]}

    def _authenticate(self, seen: Visit) -> None:
        client, proof = seen.form["client_id"], {name for name in _PROOFS if name in seen.form}
        if client not in {*self.secrets, *self.certificates, *self.federated}:
            raise refused("unauthorized_client", 700016, f"Application with identifier '{client}' was not found.")
        if proof == {"client_secret"}:
            if seen.form["client_secret"] != self.secrets.get(client):
                raise refused("invalid_client", 7000215, "Invalid client secret provided. Send the value, not the ID.")
        elif proof == {"client_assertion", "client_assertion_type"} and seen.form["client_assertion_type"] == ASSERTION:
            self._check_assertion(seen, client)
        else:
            raise refused("invalid_client", 7000218, "The request body must contain client_assertion or client_secret.")

    def _check_assertion(self, seen: Visit, client: str) -> None:
        text = seen.form["client_assertion"]
        if text == self.federated.get(client):
            return
        known = self.certificates.get(client, {})
        if not known:
            raise refused("invalid_client", 70021, "No matching federated identity record found.")
        url = f"{self.origin}{self.paths[0]}"
        try:
            keys = list(known.values())
            read = checked(
                text, keys, now=self.now(), longest=600, algorithms=("PS256",), aud=url, iss=client, sub=client
            )
        except WrongError as error:
            raise refused("invalid_client", 700027, f"The certificate's key did not sign this: {error}.") from None
        if read.header.get("x5t#S256") not in known or "client_assertion" in seen.replayed or not read.claims["jti"]:
            raise refused("invalid_client", 700027, "The certificate with this identifier is not registered.")


def refused(error: str, number: int, text: str) -> RefusedError:
    """Refuse as Entra does, with everything it tells."""
    told = f"AADSTS{number}: {text} Trace ID: {_TRACE} Correlation ID: {_CORRELATION} Timestamp: 2026-11-22 10:00:00Z"
    body = {
        "error": error,
        "error_description": told,
        "error_codes": [number],
        "timestamp": "2026-11-22 10:00:00Z",
        "trace_id": _TRACE,
        "correlation_id": _CORRELATION,
        "error_uri": f"https://login.microsoftonline.com/error?code={number}",
    }
    return RefusedError(Answer(401 if error == "invalid_client" else 400, body))
