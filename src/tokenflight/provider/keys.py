"""Keys: from what a caller typed to the key that it means."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias

from attrs import evolve

from tokenflight.engine.entries import Entry
from tokenflight.model.key import AnySubject, Audience, TokenKey, as_audience, as_scope, as_subject
from tokenflight.protocol.grants import check_key
from tokenflight.provider.clients import Clients

Scope: TypeAlias = str | Iterable[str]
Typed: TypeAlias = tuple[str | None, AnySubject | str | None, Audience | str | None, Scope | None]
"""Client, subject, audience and scope as they were typed."""

ALIASES: Final = 10_000


class Keys:
    """Normalises what is asked for, and remembers for repeated calls which entry it led to."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self.aliases: dict[Typed, Entry] = {}

    def key(self, typed: Typed) -> TokenKey:
        """Return the key that is meant. Raises ConfigurationError where the client cannot be asked for it.

        A scope that is the client's own is no scope of the call's. What a resolver's client can carry is checked in
        the flight.
        """
        client, subject, audience, scope = typed
        key = TokenKey(
            client=self._clients.name(client),
            subject=as_subject(subject),
            audience=as_audience(audience),
            scope=as_scope(scope),
        )
        fixed = self._clients.fixed(key.client)
        if fixed is None:
            return key
        check_key(fixed, key)
        return evolve(key, scope=None) if key.scope == fixed.scope else key

    def remember(self, typed: Typed, entry: Entry) -> None:
        """Let the same words lead to *entry* from now on, where they can be remembered.

        A fleeting key's are not: they hold a token of somebody's, which is to go with the entry.
        """
        scope = typed[3]
        if isinstance(scope, str | frozenset | tuple | None) and not entry.key.fleeting:
            if len(self.aliases) >= ALIASES:
                self.aliases.clear()
            self.aliases[typed] = entry
