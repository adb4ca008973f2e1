"""Revoking: telling the server that tokens must not count any more. What was held is let go of, whatever it answers."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from attrs import define

from tokenflight.engine.state import State
from tokenflight.model.events import RevocationFailed, TokenRevoked
from tokenflight.model.failure import Failure
from tokenflight.model.key import TokenKey
from tokenflight.model.token import Token
from tokenflight.protocol.client import OAuthClient
from tokenflight.protocol.client_authentication import Attempt
from tokenflight.protocol.revocation import Doomed, build_revocation, read_revocation
from tokenflight.provider.clients import Clients
from tokenflight.provider.connection import Connection
from tokenflight.provider.credentials import Reader, in_a_thread
from tokenflight.provider.discovery import Discovery
from tokenflight.provider.exchange import prepared
from tokenflight.provider.skew import Skews
from tokenflight.provider.tries import a_few_times
from tokenflight.transport.endpoint import send


def revoked_with(*tokens: Token | None) -> list[Doomed]:
    """Return what is revoked where a key is: each access token that is held of it, here or in the store."""
    return list(dict.fromkeys(Doomed(token.access_token) for token in tokens if token is not None))


@define(eq=False, kw_only=True)
class Revoking:
    """Asks revocation endpoints, a few times where one is in trouble. No failure is raised: it is an event."""

    state: State
    clients: Clients
    discovery: Discovery
    skews: Skews
    connection: Connection

    async def __call__(self, key: TokenKey, known: OAuthClient, doomed: Iterable[Doomed]) -> bool:
        """Revoke what was held of *key* for the client *known* under its name; return whether all of it was."""
        failures = [await self._ask(key, await self._current(key, known), each) for each in doomed]
        for failure in failures:
            if failure is None:
                self.state.hooks.emit(TokenRevoked(key=key))
            else:
                self.state.hooks.emit(RevocationFailed(key=key, reason=failure.reason, status=failure.status))
        return bool(failures) and not any(failures)

    async def _current(self, key: TokenKey, known: OAuthClient) -> OAuthClient:
        """Return the client with its present secrets; where the name means another by now, the one that had it."""
        found = await self.clients.find(key.client)
        return known if isinstance(found, Failure) or found.identity != known.identity else found

    async def _ask(self, key: TokenKey, client: OAuthClient, doomed: Doomed) -> Failure | None:
        whole = await self.discovery.complete(client, "revocation")
        if isinstance(whole, Failure):
            return whole
        if whole.endpoints.revocation is None:
            return Failure(reason="no_endpoint", detail="the client knows no revocation endpoint", transient=False)
        ask = partial(self._send, key, whole, doomed)
        return await a_few_times(ask, clock=self.state.clock, retry=self.state.retry)

    async def _send(self, key: TokenKey, client: OAuthClient, doomed: Doomed, deadline: float) -> Failure | None:
        clock, reader = self.state.clock, Reader(client)
        wall = clock.wall() + self.skews.offset(str(client.token_endpoint))
        attempt = Attempt(key=key, client=client, wall=wall, read=reader.read, work=in_a_thread)
        build = partial(build_revocation, attempt, doomed)
        request = await prepared(build, client=client, clock=clock, deadline=deadline)
        if isinstance(request, Failure):
            return request
        answer = await send(self.connection.http, request, clock=clock, deadline=deadline, endpoint="revocation")
        if isinstance(answer, Failure):
            return answer
        return read_revocation(answer, client=client, wall=clock.wall(), redact=[*reader.seen, doomed.token])
