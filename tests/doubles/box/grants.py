"""What Box's token endpoint does for each grant, once it knows the app."""

from __future__ import annotations

import re
from typing import Any, Final

from tests.doubles.box import refusals
from tests.doubles.box.assertions import RefusedError, subject_of
from tests.doubles.box.refreshing import keep
from tests.doubles.box.state import DOWNSCOPES, App, Family, Issued, Item, Refresh, Subject
from tests.doubles.tokens import peeked
from tests.doubles.visits import Visit

CODE_LIVES: Final = 30.0
TOKEN_TYPE: Final = "urn:ietf:params:oauth:token-type:access_token"
ID_TOKEN_TYPE: Final = "urn:ietf:params:oauth:token-type:id_token"

CREDENTIALS: Final = frozenset({"grant_type", "client_id", "client_secret"})
DEVICE: Final = frozenset({"box_device_id", "box_device_name"})
ACTOR: Final = frozenset({"actor_token", "actor_token_type"})
TARGET: Final = frozenset({"resource", "box_shared_link"})


def demand(seen: Visit, *names: str) -> list[str]:
    """Return the values of the fields *names*; raises RefusedError where one is missing or empty."""
    for name in names:
        if not seen.form.get(name):
            raise RefusedError(refusals.missing(name))
    return [seen.form[name] for name in names]


def allow(seen: Visit, *names: frozenset[str]) -> None:
    """Raise RefusedError where the form has a field beyond the credentials and *names*."""
    extra = sorted(set(seen.form).difference(CREDENTIALS, *names))
    if extra:
        raise RefusedError(refusals.malformed(f"not a parameter of this grant: {' '.join(extra)}"))


class Grants:
    """The grants of a BoxDouble, which lends its house, clock, desk and rotation."""

    def __init__(self, box: Any) -> None:
        self.box = box

    def client_credentials(self, seen: Visit, app: App) -> dict[str, Any]:
        """Give a token to an enterprise's service account, or to a user."""
        allow(seen, frozenset({"box_subject_type", "box_subject_id"}))
        kind, whose = demand(seen, "box_subject_type", "box_subject_id")
        if kind not in ("enterprise", "user"):
            raise RefusedError(refusals.malformed("box_subject_type is enterprise or user"))
        return self._told(self._new(seen, app, subject_of(self.box.house, app, kind, whose)))

    def jwt_bearer(self, seen: Visit, app: App) -> dict[str, Any]:
        """Give a token to whom an assertion speaks for."""
        allow(seen, frozenset({"assertion"}), DEVICE)
        [assertion] = demand(seen, "assertion")
        replayed = "assertion" in seen.replayed
        subject = self.box.desk.subject(assertion, app, now=self.box.now(), replayed=replayed)
        return self._told(self._new(seen, app, subject))

    def authorization_code(self, seen: Visit, app: App) -> dict[str, Any]:
        """Give a pair for a code, which lives 30 s and works once."""
        allow(seen, frozenset({"code", "redirect_uri"}), DEVICE)
        [value] = demand(seen, "code")
        code = self.box.house.codes.get(value)
        if code is None or code.app is not app or code.used:
            raise RefusedError(refusals.UNKNOWN_CODE)
        if self.box.clock.now() >= code.expires_at:
            raise RefusedError(refusals.EXPIRED_CODE)
        if "redirect_uri" in seen.form and seen.form["redirect_uri"] != code.redirect_uri:
            raise RefusedError(refusals.malformed("redirect_uri_mismatch"))
        code.used = True
        return self.pair(seen, Family(app=app, subject=code.subject))

    def refresh_token(self, seen: Visit, app: App) -> dict[str, Any]:
        """Give a new pair for a refresh token."""
        allow(seen, frozenset({"refresh_token"}), DEVICE)
        [value] = demand(seen, "refresh_token")
        token = self.box.rotation.used(self.box.house, value, app, self.box.clock.now())
        return self.pair(seen, token.family, token)

    def pair(self, seen: Visit, family: Family, refresh: Refresh | None = None) -> dict[str, Any]:
        """Return an access token of a family, with *refresh* or a first refresh token."""
        refresh = refresh or self.box.rotation.new(self.box.house, family, self.box.clock.now())
        access = self._new(seen, family.app, family.subject)
        access.family = family
        keep(family, access, self.box.clock.now())
        return self._told(access, refresh_token=refresh.value)

    def token_exchange(self, seen: Visit, app: App | None) -> dict[str, Any]:
        """Narrow a token down, for somebody outside of Box where an actor token comes along."""
        allow(seen, frozenset({"subject_token", "subject_token_type", "scope"}), TARGET, ACTOR)
        text, kind, scope = demand(seen, "subject_token", "subject_token_type", "scope")
        if kind != TOKEN_TYPE:
            raise RefusedError(refusals.malformed("subject_token_type is not supported"))
        if set(seen.form) >= TARGET:
            raise RefusedError(refusals.malformed("resource and box_shared_link exclude each other"))
        held = self._subject_token(seen, text, app)
        scopes = self._narrowed(scope, held)
        actor = self._actor(seen, held.app, scopes)
        item = self._item(seen, held)
        issued = self._new(seen, held.app, held.subject, prefix="1!")
        issued.scopes, issued.item, issued.actor, issued.family = scopes, item, actor, held.family
        if held.family is not None:
            keep(held.family, issued, self.box.clock.now())
        names = scope.split()
        return self._told(issued, restricted_to=_restricted(names, item), issued_token_type=TOKEN_TYPE)

    def _subject_token(self, seen: Visit, text: str, app: App | None) -> Issued:
        """Return what is exchanged: a token that lives, or what an assertion would have been given."""
        claims = peeked(text)
        if claims is None:
            held: Issued | None = self.box.house.tokens.get(text)
            if held is None or not self.box.is_live(text) or app not in (None, held.app):
                raise RefusedError(refusals.WRONG_SUBJECT_TOKEN)
            return held
        signer = self.box.house.apps.get(claims.get("iss"))
        if signer is None or signer.kind != "jwt" or app not in (None, signer):
            raise RefusedError(refusals.WRONG_SUBJECT_TOKEN)
        replayed = "subject_token" in seen.replayed
        subject = self.box.desk.subject(text, signer, now=self.box.now(), replayed=replayed)
        return Issued(value="", app=signer, subject=subject, scopes=signer.scopes)

    def _narrowed(self, scope: str, held: Issued) -> frozenset[str]:
        scopes = frozenset(scope.split(" "))
        if not scopes <= held.scopes | DOWNSCOPES:
            raise RefusedError(refusals.refusal("invalid_scope", "The scope is unknown"))
        if not scopes <= held.scopes:
            raise RefusedError(refusals.scope_not_held(self.box.scope_refusal))
        return scopes

    def _actor(self, seen: Visit, app: App, scopes: frozenset[str]) -> Subject | None:
        if not ACTOR & set(seen.form):
            return None
        text, kind = demand(seen, "actor_token", "actor_token_type")
        if kind != ID_TOKEN_TYPE or "item_preview" not in scopes:
            raise RefusedError(refusals.malformed("an actor has actor_token_type id_token and scope item_preview"))
        replayed = "actor_token" in seen.replayed
        return self.box.desk.actor(text, app, now=self.box.now(), replayed=replayed)  # type: ignore[no-any-return]

    def _item(self, seen: Visit, held: Issued) -> Item | None:
        """Return what the token is restricted to; raises RefusedError where its subject does not see it."""
        if not TARGET & set(seen.form):
            return held.item
        house = self.box.house
        if "box_shared_link" in seen.form:
            item: Item | None = house.links.get(seen.form["box_shared_link"])
        else:
            found = re.fullmatch(r"(.*)/2\.0/(file|folder)s/(\d+)", seen.form["resource"])
            known = house.items.get((found[2], found[3])) if found else None
            item = known if found and found[1] == self.box.resources else None
        if item is None or not item.visible_to(held.subject) or held.item not in (None, item):
            raise RefusedError(refusals.INVISIBLE_RESOURCE)
        return item

    def _new(self, seen: Visit, app: App, subject: Subject, prefix: str = "") -> Issued:
        issued: Issued = self.box.issue(app.id, subject, expires_in=self.box.lifetime(seen), prefix=prefix)
        seen.token = issued.value
        return issued

    def _told(self, issued: Issued, **fields: Any) -> dict[str, Any]:
        lifetime = {} if issued.expires_in is None else {"expires_in": issued.expires_in}
        told = {"access_token": issued.value, **lifetime, "restricted_to": [], "token_type": "bearer"}
        return {**told, **fields}


def _restricted(scopes: list[str], item: Item | None) -> list[dict[str, Any]]:
    if item is None:
        return [{"scope": scope} for scope in scopes]
    thing = {"type": item.kind, "id": item.id, "sequence_id": "0", "etag": "0", "name": item.name}
    return [{"scope": scope, "object": thing} for scope in scopes]
