"""Discovery: from an issuer to a client that knows where to ask. Read once for everybody, kept for a day at most."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from typing import Final
from weakref import WeakKeyDictionary

from attrs import define, evolve, field

from tokenflight.engine.launching import as_it_is
from tokenflight.engine.state import State
from tokenflight.errors import EndpointUnreachableError, ProviderClosedError
from tokenflight.model.failure import Failure
from tokenflight.model.policy import backoff_permanent, backoff_without, server_pause
from tokenflight.protocol.client import OAuthClient
from tokenflight.protocol.metadata import Document, Metadata, completed, read_metadata, seen_by, well_known
from tokenflight.provider.connection import Connection
from tokenflight.provider.errands import Errands
from tokenflight.provider.tries import a_few_times
from tokenflight.transport.endpoint import fetch

KEPT_FOR: Final = 86_400.0
DOUBTED_AFTER: Final = 60.0
ISSUERS: Final = 1_000


@define(eq=False)
class _Issuer:
    """What is known of one issuer. Moments are readings of the age clock.

    `clients` are those that this very document completed: a client with plain http warns once and not in each flight.
    """

    document: Document | None = None
    read_at: float = 0.0
    fresh_until: float = 0.0
    not_before: float = 0.0
    failures: int = 0
    failure: Failure | None = None
    clients: WeakKeyDictionary[OAuthClient, OAuthClient] = field(factory=WeakKeyDictionary)


class Discovery:
    """Completes the clients of one provider from their issuers' metadata (RFC 8414, OpenID Connect Discovery).

    A document counts for a day at most. One that cannot be read, or in which who asks for it finds no endpoint to
    trust, never replaces another that was good; it is asked for again after a pause. Up to 1,000 issuers are known.
    """

    def __init__(self, *, state: State, connection: Connection) -> None:
        self._state = state
        self._connection = connection
        self._issuers: OrderedDict[str, _Issuer] = OrderedDict()
        self._reading: Errands[Document | Failure] = Errands(_broken_off, spawn=state.spawn)

    def __repr__(self) -> str:
        return f"Discovery({len(self._issuers)} issuers)"

    def reset(self) -> None:
        """Forget who was being asked: the tasks that asked are gone."""
        self._reading.reset()

    def known(self, client: OAuthClient) -> OAuthClient | None:
        """Return the client ready to be used where nothing has to be asked for; None where something has."""
        if client.token_endpoint is not None or client.issuer is None:
            return client
        issuer = self._issuers.get(client.issuer)
        if issuer is None or issuer.document is None or self._state.clock.now() >= issuer.fresh_until:
            return None
        whole = self._completed(issuer, issuer.document, client, ())
        return None if isinstance(whole, Failure) else whole

    async def complete(self, client: OAuthClient, *needs: str) -> OAuthClient | Failure:
        """Return the client with a token endpoint, and with those of its other endpoints filled in that its issuer has.

        It is returned as it is where it has a token endpoint and all that it *needs*, named as in `Endpoints`, or names
        no issuer. A need that the issuer does not have stays None; one that lies elsewhere is a Failure.
        """
        missing = [name for name in needs if getattr(client.endpoints, name) is None]
        if client.issuer is None or (client.token_endpoint is not None and not missing):
            return client
        issuer = self._issuer(client.issuer)
        document = await self._document(issuer, client)
        if isinstance(document, Failure):
            return document
        whole = self._completed(issuer, document, client, needs)
        now = self._state.clock.now()
        if isinstance(whole, Failure) and now >= max(issuer.read_at + DOUBTED_AFTER, issuer.not_before):
            # Once whoever runs the server has put it right, nobody waits for the end of the day.
            document = await self._reading.run(client.issuer, partial(self._read, issuer, client))
            return document if isinstance(document, Failure) else self._completed(issuer, document, client, needs)
        return whole

    async def metadata(self, client: OAuthClient) -> Metadata | Failure:
        """Return what the client believes of its issuer's metadata; where it names no issuer, what it says itself."""
        if client.issuer is None:
            return seen_by(Document(issuer=""), client)
        document = await self._document(self._issuer(client.issuer), client)
        return document if isinstance(document, Failure) else seen_by(document, client)

    def _completed(
        self, issuer: _Issuer, document: Document, client: OAuthClient, needs: tuple[str, ...]
    ) -> OAuthClient | Failure:
        kept = issuer.clients.get(client) if document is issuer.document else None
        if kept is not None and all(getattr(kept.endpoints, name) for name in needs):
            return kept
        whole = completed(client, seen_by(document, client), needs)
        if not isinstance(whole, Failure):
            issuer.clients[client] = whole
        return whole

    def _issuer(self, name: str) -> _Issuer:
        """Find or make what is known of an issuer; the one asked for longest ago makes room."""
        issuer = self._issuers.setdefault(name, _Issuer())
        self._issuers.move_to_end(name)
        while len(self._issuers) > ISSUERS:
            self._issuers.popitem(last=False)
        return issuer

    async def _document(self, issuer: _Issuer, client: OAuthClient) -> Document | Failure:
        now = self._state.clock.now()
        if issuer.document is not None and now < max(issuer.fresh_until, issuer.not_before):
            return issuer.document
        if issuer.failure is not None and now < issuer.not_before:
            return issuer.failure
        return await self._reading.run(str(client.issuer), partial(self._read, issuer, client))

    async def _read(self, issuer: _Issuer, client: OAuthClient) -> Document | Failure:
        """Ask the issuer and keep what was good; a document in which nothing can be trusted replaces no other."""
        found = await self._tried(str(client.issuer), once=issuer.document is not None)
        if isinstance(found, Document):
            whole = completed(client, seen_by(found, client))
            if issuer.document is None or not isinstance(whole, Failure):
                return self._keep(issuer, found)
            found = whole
        return self._fail(issuer, found)

    def _keep(self, issuer: _Issuer, document: Document) -> Document:
        clock = self._state.clock
        issuer.document, issuer.failure, issuer.failures = document, None, 0
        issuer.read_at, issuer.not_before = clock.now(), 0.0
        issuer.fresh_until = issuer.read_at + KEPT_FOR * clock.uniform(0.75, 1.0)
        issuer.clients.clear()
        return document

    def _fail(self, issuer: _Issuer, failure: Failure) -> Document | Failure:
        """Let nobody ask for a while: longer where there is a document to go on with."""
        clock = self._state.clock
        issuer.failure, issuer.failures = failure.held_back(), issuer.failures + 1
        if issuer.document is None:
            pause = backoff_without(issuer.failures, self._state.retry, clock.uniform)
        else:
            pause = backoff_permanent(issuer.failures, clock.uniform)
        issuer.not_before = clock.now() + max(pause, server_pause(failure.retry_after or 0.0, 1))
        return issuer.document or failure

    async def _tried(self, issuer: str, *, once: bool) -> Document | Failure:
        """Look for the issuer's document, a few times where nothing else is known."""
        retry = self._state.retry
        if once:
            retry = evolve(retry, attempts=1)
        return await a_few_times(partial(self._look, issuer), clock=self._state.clock, retry=retry)

    async def _look(self, issuer: str, deadline: float) -> Document | Failure:
        """Look in both places, until *deadline* on the age clock; where neither has it, say what tells most.

        Whatever an issuer answers where it has no document (a page, a redirect, an error) is no reason to stop; but
        who does not answer, or wants to be left alone, is not asked again.
        """
        clock, failures = self._state.clock, list[Failure]()
        for url in well_known(issuer):
            try:
                answer = await fetch(self._connection.http, url, clock=clock, deadline=deadline)
            except AssertionError as error:  # of a test's own transport
                return as_it_is(error)
            if isinstance(answer, Failure):
                found: Document | Failure = answer
            else:
                found = read_metadata(answer, issuer=issuer, wall=clock.wall())
            if isinstance(found, Document):
                return found
            failures.append(found)
            if found.throttled or (found.status is None and found.error is EndpointUnreachableError):
                break
        return min(failures, key=_reticence)


def _reticence(failure: Failure) -> int:
    """Order failures: trouble that may pass, then a document that cannot be used, then none at all."""
    return 0 if failure.transient else 1 if failure.status is None else 2


def _broken_off(issuer: str) -> Failure:
    return Failure(
        error=ProviderClosedError,
        reason="closed",
        detail=f"the metadata of {issuer} were not read: the provider is not entered, or was left meanwhile; "
        "put `async with provider:` around what asks",
    )
