"""A corner of Box's API: who am I, and what may I see."""

from __future__ import annotations

import re
from typing import Any, Final

from tests.doubles.box import refusals
from tests.doubles.box.state import Issued, User
from tests.doubles.visits import Visit

from tokenflight.testing import Answer, Reply

_SEES_FILES: Final = frozenset({"item_preview", "item_download", "base_preview", "base_explorer"}) | {
    "root_readonly",
    "root_readwrite",
}
_SEES_PEOPLE: Final = frozenset({"root_readonly", "root_readwrite", "manage_managed_users"})


class Api:
    """The API of a BoxDouble: it knows which tokens live, and what each is for."""

    def __init__(self, box: Any) -> None:
        self.box = box

    def answer(self, seen: Visit) -> Reply:
        """Serve who shows a live token that is good for what it asks."""
        if seen.request.header("authorization") is None:
            return refusals.NO_TOKEN.reply()
        if seen.bearer is None or not self.box.is_live(seen.bearer):
            return refusals.TOKEN_REFUSED_REPLY
        token = self.box.house.tokens[seen.bearer]
        if seen.path == "/2.0/users/me":
            return self._me(seen, token)
        found = re.fullmatch(r"/2\.0/(file|folder)s/(\d+)", seen.path)
        if found is None:
            return Answer(404, {"type": "error", "status": 404, "code": "not_found"}).reply()
        return self._item(token, found[1], found[2])

    def _me(self, seen: Visit, token: Issued) -> Reply:
        if token.item is not None or not token.scopes & _SEES_PEOPLE:
            return refusals.TOO_LITTLE.reply()
        kind, whose = token.subject
        other = seen.request.header("as-user")
        if other is not None:
            user = self.box.house.users.get(other)
            if kind != "enterprise" or user is None or user.enterprise != whose or not token.app.enterprise_access:
                return refusals.TOO_LITTLE.reply()
            return _profile(user)
        if kind == "user":
            return _profile(self.box.house.users[whose])
        return Answer(
            200, {"type": "user", "id": f"service-{whose}", "login": f"{whose}@boxdevedition.com", "name": whose}
        ).reply()

    def _item(self, token: Issued, kind: str, id: str) -> Reply:
        item = self.box.house.items.get((kind, id))
        if token.item not in (None, item) or not token.scopes & _SEES_FILES:
            return refusals.TOO_LITTLE.reply()
        if item is None or not item.visible_to(token.subject):
            return Answer(404, {"type": "error", "status": 404, "code": "not_found"}).reply()
        return Answer(200, {"type": item.kind, "id": item.id, "etag": "0", "name": item.name}).reply()


def _profile(user: User) -> Reply:
    login = f"{user.id}@example.com"
    return Answer(200, {"type": "user", "id": user.id, "login": login, "name": user.name}).reply()
