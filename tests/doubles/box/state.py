"""What Box knows: apps, enterprises, users, items, and the tokens that are out."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any, Final, Literal, TypeAlias

from attrs import define, field, frozen

Kind: TypeAlias = Literal["ccg", "jwt", "oauth"]
Subject: TypeAlias = tuple[str, str]
"""`enterprise`, `user` or `external`, and the id."""

DOWNSCOPES: Final = (
    frozenset(f"annotation_{name}" for name in ("edit", "view_all", "view_self"))
    | frozenset(f"base_{name}" for name in ("explorer", "picker", "preview", "sidebar", "upload"))
    | frozenset(f"item_{name}" for name in ("delete", "download", "preview", "rename", "share", "upload"))
)
"""What a token may be narrowed to."""

SCOPES: Final = DOWNSCOPES | {"root_readonly", "root_readwrite", "manage_managed_users"}


@define(eq=False, kw_only=True)
class App:
    """A platform app as the developer console holds it.

    Attributes:
        kind: what it may ask with: `ccg` client credentials, `jwt` assertions, `oauth` codes and refresh tokens.
        enterprises: whose admins authorized it.
        user_tokens: "Generate user access tokens".
        enterprise_access: "App + Enterprise Access", without which only app users are within reach.
        keys: public JWKs, each with its `kid`.
        unsigned_actors: whether actor tokens of `alg` none are taken.
    """

    id: str
    secret: str = field(repr=False)
    kind: Kind = "ccg"
    enterprises: frozenset[str] = frozenset()
    user_tokens: bool = True
    enterprise_access: bool = True
    keys: Collection[Mapping[str, Any]] = ()
    unsigned_actors: bool = False
    redirect_uris: tuple[str, ...] = ()
    scopes: frozenset[str] = SCOPES


@frozen(kw_only=True)
class User:
    """A user of an enterprise; an app user belongs to one app and has no login of its own."""

    id: str
    enterprise: str
    name: str = "Aaron Levie"
    app_user: bool = False


@frozen(kw_only=True)
class Item:
    """A file or folder. `seen_by`: who sees it; None for everybody in the house."""

    kind: Literal["file", "folder"]
    id: str
    name: str = "Test"
    seen_by: frozenset[Subject] | None = None

    def visible_to(self, subject: Subject) -> bool:
        """Tell whether *subject* sees the item."""
        return self.seen_by is None or subject in self.seen_by


@define(eq=False, kw_only=True)
class Issued:
    """An access token that is out. Moments are readings of the clock that lifetimes go by."""

    value: str = field(repr=False)
    app: App
    subject: Subject
    scopes: frozenset[str]
    expires_in: float | None = None
    expires_at: float = math.inf
    item: Item | None = None
    actor: Subject | None = None
    family: Family | None = None
    revoked: bool = False


@define(eq=False, kw_only=True)
class Refresh:
    """A refresh token: when its 60 days are over, when it was used first, and how often."""

    value: str = field(repr=False)
    family: Family
    expires_at: float
    used_at: float | None = None
    uses: int = 0
    successors: list[Refresh] = field(factory=list, repr=False)


@define(eq=False, kw_only=True)
class Family:
    """All that came of one code."""

    app: App
    subject: Subject
    latest: list[Refresh] = field(factory=list, repr=False)
    access: list[Issued] = field(factory=list, repr=False)
    revoked: bool = False


@define(eq=False, kw_only=True)
class Code:
    """An authorization code."""

    value: str = field(repr=False)
    app: App
    subject: Subject
    redirect_uri: str | None
    expires_at: float
    used: bool = False


@define(eq=False)
class House:
    """Everything that Box knows, by id or value."""

    apps: dict[str, App] = field(factory=dict)
    enterprises: set[str] = field(factory=set)
    users: dict[str, User] = field(factory=dict)
    items: dict[tuple[str, str], Item] = field(factory=dict)
    links: dict[str, Item | None] = field(factory=dict)
    """Shared links; None is one with a password."""
    tokens: dict[str, Issued] = field(factory=dict, repr=False)
    refreshing: dict[str, Refresh] = field(factory=dict, repr=False)
    codes: dict[str, Code] = field(factory=dict, repr=False)
