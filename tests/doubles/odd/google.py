"""Google's token endpoint for service accounts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, field
from tests.doubles.odd.checks import JWT_BEARER, RefusedError, WrongError, checked, fault_of
from tests.doubles.tokens import key, peeked, signed
from tests.doubles.visits import Visit

from tokenflight.testing import Answer


@define(eq=False)
class Google:
    """What is known of accounts.

    Attributes:
        accounts: public JWKs by e-mail address.
        delegated: users that accounts may act for.
        id_tokens: those that were issued.
    """

    now: Callable[[], float]
    accounts: dict[str, list[dict[str, Any]]] = field(factory=dict, repr=False)
    delegated: set[str] = field(factory=set)
    id_tokens: list[str] = field(factory=list, repr=False)
    origin = "https://oauth2.googleapis.com"
    paths = ("/token",)

    def answer(self, seen: Visit, token: str) -> Answer:
        if fault_of(seen, wanted=("grant_type", "assertion")) or seen.request.header("authorization"):
            raise _refused("invalid_request", "Bad Request")
        if seen.form["grant_type"] != JWT_BEARER:
            raise _refused("unsupported_grant_type", f"Invalid grant_type: {seen.form['grant_type']}")
        claims = self._read(seen)
        user = claims.get("sub")
        if user is not None and user not in self.delegated:
            raise RefusedError(
                Answer(401, {"error": "unauthorized_client", "error_description": "Client is unauthorized to retrieve"})
            )
        if "target_audience" in claims:
            now = int(self.now())
            told = {"iss": "https://accounts.google.com", "aud": claims["target_audience"], "email": claims["iss"]}
            id_token = signed(told | {"iat": now, "exp": now + 3600, "sub": "1"}, key("google"))
            self.id_tokens.append(id_token)
            return Answer(200, {"id_token": id_token})
        return Answer(200, {"access_token": token, "expires_in": 3599, "token_type": "Bearer"})

    def _read(self, seen: Visit) -> dict[str, Any]:
        text = seen.form["assertion"]
        email = str((peeked(text) or {}).get("iss"))
        if email not in self.accounts:
            raise _refused("invalid_grant", "Invalid grant: account not found")
        url = self.origin + self.paths[0]
        try:
            claims = checked(text, self.accounts[email], now=self.now(), longest=3600, aud=url).claims
        except WrongError as error:
            if str(error) in ("exp", "iat"):
                raise _refused("invalid_grant", _TIME) from None
            raise _refused("invalid_grant", "Invalid JWT Signature.") from None
        if ("scope" in claims) == ("target_audience" in claims) or "assertion" in seen.replayed:
            raise _refused("invalid_scope", "Invalid OAuth scope or ID token audience provided.")
        return claims


_TIME = (
    "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp "
    "values in the JWT claim."
)


def _refused(error: str, text: str) -> RefusedError:
    return RefusedError(Answer(400, {"error": error, "error_description": text}))
