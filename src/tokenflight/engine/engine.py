"""Engine: the heart of one provider, put together. Keys, callables and clocks; no OAuth word."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from tokenflight.engine.answers import Answers
from tokenflight.engine.asking import Asking
from tokenflight.engine.entries import Entry
from tokenflight.engine.hooks import EventQueue, Hook
from tokenflight.engine.landing import Landing
from tokenflight.engine.launching import Launching, Mint
from tokenflight.engine.planning import Planning
from tokenflight.engine.renewing import Renewing
from tokenflight.engine.root_task import RootTask
from tokenflight.engine.state import State
from tokenflight.errors import ProviderClosedError
from tokenflight.model.clock import Clock
from tokenflight.model.events import TokenForgotten
from tokenflight.model.key import TokenKey
from tokenflight.model.policy import RetryPolicy


class Engine:
    """One part for each idea: `asking` answers callers, `landing` and `answers` hear what flights bring."""

    def __init__(
        self, *, clock: Clock, retry: RetryPolicy, max_keys: int, max_flights: int, hooks: Iterable[Hook] = ()
    ) -> None:
        queue = EventQueue.of(hooks, clock=clock)
        self.state = State(clock=clock, retry=retry, max_keys=max_keys, max_flights=max_flights, hooks=queue)
        self.planning = Planning(self.state)
        self.landing = Landing(self.state, self.planning)
        self.answers = Answers(self.state, self.planning)
        self.launching = Launching(self.state, self.landing)
        self._renewing = Renewing(self.state, self.planning, self.launching)
        self.asking = Asking(self.state, self.planning, self.launching)

    def __repr__(self) -> str:
        return f"Engine({self.state!r})"

    async def start(self, mint: Mint, *, cleanup: Callable[[], Awaitable[None]], grace: float) -> None:
        """Start the root task; *mint* brings the tokens, *cleanup* runs last."""
        state = self.state
        state.begin_anew()
        self.launching.mint = mint
        state.root = RootTask(state.clock, self._renewing.run, state.hooks.run, cleanup=cleanup)
        for entry in state.entries:
            if entry.pins:
                self.planning.keep_warm(entry)
        await state.root.start(grace)

    async def stop(self, grace: float) -> None:
        """End the root task and with it every flight; what is held stays, pins end."""
        root = self.state.root
        if root is not None:
            if root.alive and not root.here:
                raise ProviderClosedError("the provider runs in another loop: leave it in the loop that entered it")
            await root.stop(grace)
        for flight in list(self.state.flights.values()):  # one that shields itself may outlast the grace
            self.state.abandon(flight)
            flight.land()
        for entry in self.state.entries:
            entry.pins = 0
        self.landing.end_all()

    def forget(self, entry: Entry) -> None:
        """Close a key: a flight in the air answers who joined it and leaves nothing behind."""
        flight = self.state.flights.get(entry.key)
        if flight is not None:
            self.state.abandon(flight)
        if entry.lane is not None:
            entry.lane.lift()
        self.landing.end(entry.key)
        self.state.close(entry)
        self.state.hooks.emit(TokenForgotten(key=entry.key))

    def lift(self, keys: Iterable[TokenKey]) -> None:
        """Hold *keys* and their clients back no more: somebody changed something on purpose."""
        for key in keys:
            entry = self.state.entries.find(key)
            if entry is not None:
                entry.lift()
                if entry.lane is not None:
                    entry.lane.lift()

    def clear_client(self, client: str) -> list[TokenKey]:
        """Empty every key of a client; their pins and bound sources stay. Return the keys that held a token.

        A flight that is still finding its client goes on: its answer is the new one's.
        """
        dropped = []
        for entry in self.state.entries.of_client(client):
            flight = self.state.flights.get(entry.key)
            if flight is not None and flight.boarded:
                self.state.abandon(flight)
            self.state.schedule.drop(entry)
            if entry.token is not None:
                dropped.append(entry.key)
            entry.clear()
            if entry.pins:
                self.planning.keep_warm(entry)
        self.state.lanes.drop_client(client)
        return dropped
