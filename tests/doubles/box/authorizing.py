"""Box's authorize page, and the person in front of it."""

from __future__ import annotations

from typing import Any, Final, Literal
from urllib.parse import urlencode

from attrs import frozen
from tests.doubles.box.grants import CODE_LIVES
from tests.doubles.box.state import App, Code
from tests.doubles.visits import Visit
from tests.kit.canary import canary

from tokenflight.testing import Answer, Reply

_KNOWN: Final = frozenset({"response_type", "client_id", "redirect_uri", "state", "scope"})


@frozen(kw_only=True)
class Consent:
    """What comes of a visit: a code for *user*, a denial, an app that its enterprise forbids, or a callback gone wrong.

    `user` is whoever is logged in; None, the first that is known.
    """

    outcome: Literal["granted", "denied", "forbidden", "wrong_state", "no_state"] = "granted"
    user: str | None = None


def authorize(box: Any, seen: Visit) -> Reply:
    """Send the browser back with a code; show a page where nobody may be sent back."""
    query, app = seen.query, box.house.apps.get(seen.query.get("client_id"))
    if app is None or app.kind != "oauth" or query.get("response_type") != "code":
        return _page("invalid_client: there is no such app, or it is of another kind")
    if set(query) - _KNOWN:
        return _page(f"unknown: {' '.join(sorted(set(query) - _KNOWN))}")
    if "redirect_uri" in query and query["redirect_uri"] not in app.redirect_uris:
        return _page("redirect_uri_mismatch")
    if "redirect_uri" not in query and len(app.redirect_uris) != 1:
        return _page("redirect_uri_missing")
    target = query.get("redirect_uri", app.redirect_uris[0])
    told = urlencode(_told(box, app, query))
    return Answer(302, headers={"location": f"{target}{'&' if '?' in target else '?'}{told}"}).reply()


def _told(box: Any, app: App, query: dict[str, str]) -> dict[str, str]:
    state = {"state": query["state"]} if "state" in query else {}
    match box.consent.outcome:
        case "denied":
            return {"error": "access_denied", "error_description": "The user denied access to your application"} | state
        case "forbidden":
            return {"error": "server_error", "error_description": "107"} | state
        case "wrong_state":
            state = {"state": "somebody-elses"}
        case "no_state":
            state = {}
    return {"code": _code(box, app, query)} | state


def _code(box: Any, app: App, query: dict[str, str]) -> str:
    user = box.consent.user or next(iter(box.house.users))
    until = box.clock.now() + CODE_LIVES
    redirect_uri = query.get("redirect_uri")
    code = Code(value=canary("code"), app=app, subject=("user", user), redirect_uri=redirect_uri, expires_at=until)
    box.house.codes[code.value] = code
    return code.value


def _page(text: str) -> Reply:
    return Answer(400, f"<html><h1>{text}</h1></html>", headers={"content-type": "text/html"}).reply()
