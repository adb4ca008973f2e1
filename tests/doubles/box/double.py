"""BoxDouble: Box's token endpoint, its authorize page and a corner of its API."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from typing import Any, ClassVar, Final

from tests.doubles.box import refusals
from tests.doubles.box.api import Api
from tests.doubles.box.assertions import Desk, RefusedError
from tests.doubles.box.authorizing import Consent, authorize
from tests.doubles.box.grants import CREDENTIALS, Grants
from tests.doubles.box.refreshing import Rotation, revoke
from tests.doubles.box.state import App, Family, House, Issued, Item, Subject, User
from tests.doubles.server import Route, ServerDouble
from tests.doubles.tokens import AnyToken, text_of
from tests.doubles.visits import FORM, Visit
from tests.kit.canary import canary

from tokenflight.testing import Reply, Request

TOKEN: Final = "/oauth2/token"  # a path
REVOKE: Final = "/oauth2/revoke"
AUTHORIZE: Final = "/api/oauth2/authorize"
_EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
_HEADERS: Final = (
    ("content-type", "application/json"),
    ("cache-control", "no-store"),
    ("strict-transport-security", "max-age=31536000"),
    ("set-cookie", "box_visitor_id=6501; path=/; secure; httponly"),
)


class BoxDouble(ServerDouble):
    """Box as its documentation and its users describe it, strict where it is vague.

    Attributes:
        house: apps, enterprises, users, items and what is out.
        desk: checks assertions; its audience is Box's real token URL, wherever the double lives.
        rotation: what happens to refresh tokens.
        consent: what the person at the authorize page does.
        scope_refusal: how a scope is refused that a subject token lacks: `json`, `empty` or `header`.
        slashes_escaped: whether refusals come with escaped slashes.
        resources: what the URL of a file or folder begins with.
    """

    url_in_memory: ClassVar[str] = "https://api.box.com"

    def __init__(self, *, lifetimes: Sequence[float] = (3600, 4123, 4175, 4200), **options: Any) -> None:
        super().__init__(**options)
        self.house = House()
        self.desk = Desk(self.house, "https://api.box.com/oauth2/token")
        self.rotation = Rotation()
        self.consent = Consent()
        self.scope_refusal: refusals.Shape = "json"
        self.slashes_escaped = False
        self.resources = "https://api.box.com"
        self._lifetimes: Iterator[float] = cycle(lifetimes)
        self._grants = Grants(self)
        self._api = Api(self)

    @property
    def token_requests(self) -> list[Visit]:
        """Return the requests that came to the token endpoint."""
        return self.visits(TOKEN)

    def app(self, id: str = "the-app", secret: str = "", **fields: Any) -> App:
        """Make an app that the admins of all enterprises so far have authorized, unless *fields* say otherwise."""
        fields = {"enterprises": frozenset(self.house.enterprises), **fields}
        app = self.house.apps[id] = App(id=id, secret=secret or canary("secret"), **fields)
        return app

    def enterprise(self, id: str, *, users: Sequence[str] = (), app_users: Sequence[str] = ()) -> None:
        """Make an enterprise with users."""
        self.house.enterprises.add(id)
        for user in (*users, *app_users):
            self.house.users[user] = User(id=user, enterprise=id, app_user=user in app_users)

    def item(self, kind: Any, id: str, *, seen_by: Sequence[Subject] | None = None, link: str | None = None) -> Item:
        """Make a file or folder, with a shared link where one is given."""
        item = Item(kind=kind, id=id, seen_by=None if seen_by is None else frozenset(seen_by))
        self.house.items[kind, id] = item
        if link is not None:
            self.house.links[link] = item
        return item

    def issue(
        self, app: str, subject: Subject, *, expires_in: float | None = None, scopes: Any = None, prefix: str = ""
    ) -> Issued:
        """Issue a token without being asked: an app token, or a developer's. Without *expires_in* it has no end."""
        known = self.house.apps[app]
        until = math.inf if expires_in is None else self.clock.now() + expires_in
        scopes = known.scopes if scopes is None else frozenset(scopes)
        value = prefix + canary("access")
        issued = Issued(value=value, app=known, subject=subject, scopes=scopes, expires_in=expires_in, expires_at=until)
        self.house.tokens[value] = issued
        return issued

    def session(self, app: str, user: str) -> dict[str, Any]:
        """Return what a redeemed code would have brought: a pair to begin with."""
        seen = self._entry_of_nobody()
        return self._grants.pair(seen, Family(app=self.house.apps[app], subject=("user", user)))

    def is_live(self, token: AnyToken) -> bool:
        """Tell whether an access token was issued here, is not past its end and was not revoked."""
        issued = self.house.tokens.get(text_of(token))
        return issued is not None and not issued.revoked and self.clock.now() < issued.expires_at

    def invalidate(self, token: AnyToken) -> None:
        """Let the API refuse a token from now on."""
        self.house.tokens[text_of(token)].revoked = True

    def lifetime(self, seen: Visit) -> Any:
        """Return the lifetime of the next token."""
        return self._lifetime(seen, self._lifetimes)

    def _routes(self) -> tuple[Route, ...]:
        return (
            ("POST", TOKEN, self._token),
            ("POST", REVOKE, self._revoke),
            ("GET", AUTHORIZE, lambda seen: authorize(self, seen)),
            ("GET", "/2.0/", self._api.answer),
        )

    def _token(self, seen: Visit) -> Reply:
        try:
            fields = self._granted(seen)
        except RefusedError as refused:
            answer = refused.answer
            return (refusals.escaped(answer) if self.slashes_escaped and answer.content else answer).reply()
        return Reply(headers=_HEADERS, body=json.dumps(fields).encode())

    def _granted(self, seen: Visit) -> dict[str, Any]:
        """Go through the checks in Box's order: form, grant, credentials, kind of app, admin, grant."""
        _check_form(seen)
        grant = seen.form.get("grant_type", "")
        if not grant:
            raise RefusedError(refusals.missing("grant_type"))
        table = self._table()
        if grant not in table:
            raise RefusedError(refusals.UNKNOWN_GRANT)
        kind, respond = table[grant]
        anonymous = grant == _EXCHANGE and not CREDENTIALS - {"grant_type"} & set(seen.form) and seen.basic is None
        app = None if anonymous else self._app(seen)
        if app is not None and kind not in (None, app.kind):
            raise RefusedError(refusals.WRONG_KIND_OF_APP)
        if app is not None and not app.enterprises:
            raise RefusedError(refusals.NOT_AUTHORIZED)
        return respond(seen, app)

    def _table(self) -> dict[str, tuple[str | None, Callable[[Visit, Any], dict[str, Any]]]]:
        grants = self._grants
        return {
            "client_credentials": ("ccg", grants.client_credentials),
            "urn:ietf:params:oauth:grant-type:jwt-bearer": ("jwt", grants.jwt_bearer),
            "authorization_code": ("oauth", grants.authorization_code),
            "refresh_token": ("oauth", grants.refresh_token),
            _EXCHANGE: (None, grants.token_exchange),
        }

    def _app(self, seen: Visit) -> App:
        """Return the app whose id and secret stand in the body, and nowhere else."""
        app = self.house.apps.get(seen.form.get("client_id", ""))
        if app is None or seen.request.header("authorization") or seen.form.get("client_secret") != app.secret:
            raise RefusedError(refusals.WRONG_CLIENT)
        return app

    def _revoke(self, seen: Visit) -> Reply:
        """End a token; one of a pair ends the pair."""
        try:
            _check_form(seen)
            app = self._app(seen)
            if set(seen.form) != {"client_id", "client_secret", "token"} or not seen.form["token"]:
                raise RefusedError(refusals.malformed("client_id, client_secret and token are what is wanted"))
        except RefusedError as refused:
            return refused.answer.reply()
        refresh, issued = self.house.refreshing.get(seen.form["token"]), self.house.tokens.get(seen.form["token"])
        known = refresh.family if refresh else issued
        if known is not None and known.app is app:
            family = known if isinstance(known, Family) else known.family
            if family is not None:
                revoke(family)
            if issued is not None:
                issued.revoked = True
        return Reply(headers=_HEADERS[1:])

    def _entry_of_nobody(self) -> Visit:
        return self._entry(Request(method="POST", url=self.url + TOKEN))


def _check_form(seen: Visit) -> None:
    if seen.content_type != FORM or not seen.readable:
        raise RefusedError(refusals.malformed(f"the body must be {FORM}"))
    if seen.repeated:
        raise RefusedError(refusals.malformed(f"repeated: {' '.join(seen.repeated)}"))
    if seen.query:
        raise RefusedError(refusals.malformed("parameters belong into the body"))
