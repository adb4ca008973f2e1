"""What a person consents to: the authorize page, codes, and refresh tokens that rotate."""

from __future__ import annotations

import base64
import hashlib
from typing import Any, Final
from urllib.parse import urlencode

from attrs import evolve
from tests.doubles.auth0 import refusals
from tests.doubles.auth0.grants import Told, allow, demand, told
from tests.doubles.auth0.refusals import RefusedError
from tests.doubles.auth0.state import Client, Code, Family, Person, Refresh
from tests.doubles.visits import Visit
from tests.kit.canary import canary

from tokenflight.testing import Answer, Reply

_CODE_LIVES: Final = 600.0
_FAMILY_LIVES: Final = 30 * 86_400.0
_BESIDE: Final = frozenset({"openid", "profile", "email", "offline_access"})
_KNOWN: Final = frozenset(
    {"response_type", "client_id", "redirect_uri", "scope", "state", "nonce", "audience", "organization"}
) | {"code_challenge", "code_challenge_method", "prompt", "connection", "login_hint", "max_age", "screen_hint"}


class Sessions:
    """The grants of an Auth0Double that live on somebody's consent.

    Attributes:
        user: who is in front of the authorize page.
        denial: error and description that the page sends back instead of a code.
        callback: parameters of the callback, replaced; None leaves one out.
        tells_issuer: whether the callback names its issuer (RFC 9207).
        rotation: whether each refresh brings a new refresh token.
        leeway: seconds for which the token before the last may be used again.
    """

    def __init__(self, double: Any) -> None:
        self.double = double
        self.user = "auth0|person"
        self.denial: tuple[str, str] | None = None
        self.callback: dict[str, str | None] = {}
        self.tells_issuer = False
        self.rotation = True
        self.leeway = 0.0

    def authorize(self, seen: Visit) -> Reply:
        """Send the browser back with a code; show a page where nobody may be sent back."""
        query = seen.query
        client = self.double.tenant.clients.get(query.get("client_id"))
        if client is None or query.get("redirect_uri") not in client.redirect_uris:
            return _page("unknown client, or callback URL mismatch")
        if set(query) - _KNOWN:
            return _page(f"unknown: {' '.join(sorted(set(query) - _KNOWN))}")
        back = self._sent_back(seen, client)
        back |= {"state": query["state"]} if "state" in query else {}
        back |= {"iss": f"{seen.origin}/"} if self.tells_issuer else {}
        kept = {name: value for name, value in (back | self.callback).items() if value is not None}
        target = query["redirect_uri"]
        return Answer(302, headers={"location": f"{target}{'&' if '?' in target else '?'}{urlencode(kept)}"}).reply()

    def _sent_back(self, seen: Visit, client: Client) -> dict[str, Any]:
        query = seen.query
        if query.get("response_type") != "code":
            return {"error": "unsupported_response_type"}
        hashed = query.get("code_challenge_method") == "S256" and len(query.get("code_challenge", "")) == 43
        if "code_challenge" in query and not hashed:
            return {"error": "invalid_request", "error_description": "code_challenge is S256 and 43 characters long"}
        if client.method == "none" and not hashed:
            return {"error": "invalid_request", "error_description": "Parameter 'code_challenge' is required"}
        if query.get("audience") not in (None, *self.double.tenant.apis):
            return {"error": "access_denied", "error_description": "Service not found"}
        organization = self.double.tenant.organizations.get(query.get("organization"))
        if "organization" in query and organization is None:
            return {"error": "invalid_request", "error_description": "parameter organization is invalid"}
        if self.denial is not None:
            return {"error": self.denial[0], "error_description": self.denial[1]}
        person = Person(
            client=client,
            user=self.user,
            audience=query.get("audience"),
            scopes=self._consented(query.get("scope", ""), query.get("audience")),
            organization=organization,
            nonce=query.get("nonce"),
        )
        return {"code": self._code(person, query["redirect_uri"], query.get("code_challenge"))}

    def _consented(self, scope: str, audience: str | None) -> tuple[str, ...]:
        api = self.double.tenant.apis.get(audience)
        known = _BESIDE | (api.scopes if api else frozenset())
        return tuple(each for each in scope.split() if each in known)

    def _code(self, person: Person, redirect_uri: str, challenge: str | None) -> str:
        until = self.double.clock.now() + _CODE_LIVES
        value = canary("code")
        self.double.tenant.codes[value] = Code(
            value=value, person=person, redirect_uri=redirect_uri, expires_at=until, challenge=challenge
        )
        return value

    def authorization_code(self, seen: Visit, client: Client) -> Told:
        """Redeem a code, once; a second time ends what the first has brought."""
        allow(seen, "code", "redirect_uri", "code_verifier")
        value, redirect_uri = demand(seen, "code", "redirect_uri")
        code = self.double.tenant.codes.get(value)
        if code is None or code.person.client is not client or self.double.clock.now() >= code.expires_at:
            raise RefusedError(refusals.WRONG_CODE)
        if code.used:
            if code.family is not None:
                code.family.revoked = True
            raise RefusedError(refusals.WRONG_CODE)
        if redirect_uri != code.redirect_uri:
            raise RefusedError(refusals.refusal(403, "invalid_grant", "The redirect URI is wrong."))
        if code.challenge != _challenge(seen.form.get("code_verifier")):
            raise RefusedError(refusals.WRONG_VERIFIER)
        code.used = True
        fields = self._tokens(seen, code.person, code.person.scopes)
        if "offline_access" in code.person.scopes:
            code.family = Family(person=code.person, expires_at=self.double.clock.now() + _FAMILY_LIVES)
            fields["refresh_token"] = self.new(code.family).value
        return fields, ()

    def refresh_token(self, seen: Visit, client: Client) -> Told:
        """Refresh; a token that is used again beyond the leeway ends its family."""
        allow(seen, "refresh_token", "scope", "audience")
        [value] = demand(seen, "refresh_token")
        token = self.double.tenant.refreshing.get(value)
        if token is None or token.family.person.client is not client or not self._good(token):
            raise RefusedError(refusals.LOST_SESSION)
        person = token.family.person
        asked = tuple(seen.form.get("scope", "").split()) or person.scopes
        if not set(asked) <= set(person.scopes):
            raise RefusedError(refusals.refusal(403, "invalid_scope", "The scope exceeds what was granted."))
        audience = seen.form.get("audience", person.audience)
        if audience not in (person.audience, *client.refreshes):
            raise RefusedError(refusals.malformed("the refresh token is for another audience"))
        fields = self._tokens(seen, evolve(person, audience=audience), asked)
        if self.rotation:
            token.used_at = self.double.clock.now() if token.used_at is None else token.used_at
            token.successors.append(self.new(token.family))
            fields["refresh_token"] = token.successors[-1].value
        return fields, ()

    def new(self, family: Family) -> Refresh:
        """Issue a refresh token."""
        token = Refresh(value=f"v1.M{canary('refresh')}", family=family)
        self.double.tenant.refreshing[token.value] = token
        return token

    def _good(self, token: Refresh) -> bool:
        now = self.double.clock.now()
        if token.family.revoked or now >= token.family.expires_at:
            return False
        if token.used_at is None:
            return True
        previous = all(successor.used_at is None for successor in token.successors)
        if previous and now < token.used_at + self.leeway:
            return True
        token.family.revoked = True
        return False

    def _tokens(self, seen: Visit, person: Person, scopes: tuple[str, ...]) -> dict[str, Any]:
        api = self.double.tenant.apis.get(person.audience)
        lifetime = self.double.lifetime(seen, api.lifetime if api else 86_400)
        now = self.double.now()
        issued = self.double.mint.personal(seen.origin, now, person, lifetime=lifetime, scope=" ".join(scopes))
        fields = told(seen, issued, lifetime, list(scopes))
        if "openid" in scopes:
            fields["id_token"] = self.double.mint.id_token(seen.origin, now, person, issued.value)
        return fields


def _challenge(verifier: str | None) -> str | None:
    if verifier is None:
        return None
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def _page(text: str) -> Reply:
    return Answer(400, f"<html><h1>{text}</h1></html>", headers={"content-type": "text/html"}).reply()
