"""Revoking: telling the server that tokens must not count any more. What was held is let go of, whatever it answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeAlias

from tokenflight.engine.state import State
from tokenflight.model.events import RevocationFailed, TokenRevoked
from tokenflight.model.failure import Failure
from tokenflight.model.key import TokenKey
from tokenflight.model.secret import Secret
from tokenflight.model.token import Token
from tokenflight.protocol.client import OAuthClient
from tokenflight.protocol.client_authentication import Attempt
from tokenflight.protocol.revocation import Doomed, build_revocation, read_revocation
from tokenflight.provider.clients import Clients
from tokenflight.provider.connection import Connection
from tokenflight.provider.credentials import Reader, in_a_thread
from tokenflight.provider.discovery import Discovery
from tokenflight.provider.errands import Errands
from tokenflight.provider.exchange import prepared
from tokenflight.provider.records import Records
from tokenflight.provider.skew import Skews
from tokenflight.provider.tries import a_few_times

EndSession: TypeAlias = Callable[[OAuthClient, TokenKey], Awaitable[Secret | None]]
"""Ends the session that a key lives on and returns its newest refresh token; None where there is none."""


def revoked_with(*tokens: Token | None, session: Secret | None = None) -> list[Doomed]:
    """Return what is revoked where a key is: its session's refresh token, else each access token that is held of it."""
    if session is not None:
        return [Doomed(session)]
    return list(dict.fromkeys(Doomed(token.access_token) for token in tokens if token is not None))


class Revoking:
    """Asks revocation endpoints, a few times where one is in trouble. No failure is raised: it is an event."""

    def __init__(
        self,
        *,
        state: State,
        clients: Clients,
        discovery: Discovery,
        records: Records,
        connection: Connection,
        skews: Skews,
        end_session: EndSession,
    ) -> None:
        self._state = state
        self._clients = clients
        self._discovery = discovery
        self._records = records
        self._connection = connection
        self._skews = skews
        self._end_session = end_session
        self._under_way: Errands[bool] = Errands(lambda _: False, spawn=self._state.spawn)

    def __repr__(self) -> str:
        return f"Revoking({self._under_way!r})"

    def reset(self) -> None:
        """Forget what was under way: the tasks that did it are gone."""
        self._under_way.reset()

    async def run(self, key: TokenKey, held: Token | None) -> bool:
        """Revoke what was *held* of a key and what the store has of it, which is discarded; return whether all was.

        Where the key lives on a session, that is ended for all its keys and its refresh token is what is revoked: with
        it the server lets go of what it bought (RFC 7009, section 2.1). It goes on where its caller is cancelled.
        """
        return await self._under_way.run(object(), partial(self._revoke, key, held))

    async def _revoke(self, key: TokenKey, held: Token | None) -> bool:
        emit, known = self._state.hooks.emit, self._clients.known(key.client)
        if known is None:
            return False
        record = await self._records.load(known, key, emit)
        await self._records.discard(known, key, emit)
        session = await self._end_session(known, key)
        doomed = revoked_with(held, None if record is None else record.token, session=session)
        failures = [await self._ask(key, await self._current(key, known), each) for each in doomed]
        for failure in failures:
            if failure is None:
                emit(TokenRevoked(key=key))
            else:
                emit(RevocationFailed(key=key, reason=failure.reason, status=failure.status))
        return bool(failures) and not any(failures)

    async def _current(self, key: TokenKey, known: OAuthClient) -> OAuthClient:
        """Return the client with its present secrets; where the name means another by now, the one that had it."""
        found = await self._clients.find(key.client)
        return known if isinstance(found, Failure) or found.identity != known.identity else found

    async def _ask(self, key: TokenKey, client: OAuthClient, doomed: Doomed) -> Failure | None:
        whole = await self._discovery.complete(client, "revocation")
        if isinstance(whole, Failure):
            return whole
        if whole.endpoints.revocation is None:
            return Failure(reason="no_endpoint", detail="the client knows no revocation endpoint", transient=False)
        ask = partial(self._send, key, whole, doomed)
        return await a_few_times(ask, clock=self._state.clock, retry=self._state.retry)

    async def _send(self, key: TokenKey, client: OAuthClient, doomed: Doomed, deadline: float) -> Failure | None:
        clock, reader = self._state.clock, Reader(client)
        wall = clock.wall() + self._skews.offset(str(client.token_endpoint))
        attempt = Attempt(key=key, client=client, wall=wall, read=reader.read, work=in_a_thread)
        build = partial(build_revocation, attempt, doomed)
        ready = await prepared(build, reader, client=client, connection=self._connection, clock=clock, until=deadline)
        if isinstance(ready, Failure):
            return ready
        request, carrier = ready
        answer = await carrier.send(request, clock=clock, deadline=deadline, endpoint="revocation")
        if isinstance(answer, Failure):
            return answer
        return read_revocation(answer, client=client, wall=clock.wall(), redact=[*reader.seen, doomed.token])
