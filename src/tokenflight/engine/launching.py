"""Launching: starting the one flight of a key, and turning whatever comes of it into an outcome."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import anyio

from tokenflight.engine.entries import Entry
from tokenflight.engine.flight import AIRBORNE, Flight, Minted
from tokenflight.engine.landing import Landing
from tokenflight.engine.state import State
from tokenflight.model.events import FlightLaunched, Trigger
from tokenflight.model.failure import CLOSED, Failure
from tokenflight.model.key import TokenKey
from tokenflight.model.token import Token

Mint: TypeAlias = Callable[[Flight], Awaitable[Minted | Failure]]
"""Brings a token for a flight, or says why there is none."""


class Launching:
    """Starts flights; callers, the schedule and rejections all come here, and there is no second path."""

    def __init__(self, state: State, landing: Landing) -> None:
        self._state = state
        self._landing = landing
        self.mint: Mint = _nothing

    def launch(
        self, entry: Entry, trigger: Trigger, *, rejected: Token | None = None, origin: str | None = None
    ) -> Flight:
        """Start the one flight of a key; the caller has seen that it is open, none is up and no brake is on."""
        state = self._state
        flight = Flight(key=entry.key, trigger=trigger, launched_at=state.clock.now(), rejected=rejected, origin=origin)
        state.flights[entry.key] = flight
        if entry.lane is not None:
            entry.lane.begin(entry.key)
        state.schedule.drop(entry)
        entry.settle()
        state.hooks.emit(FlightLaunched(key=entry.key, trigger=trigger))
        state.root.spawn(self._fly, flight, self.mint)  # type: ignore[union-attr]  # open, so there is one
        return flight

    def apart(self, key: TokenKey, trigger: Trigger, work: Mint) -> Flight:
        """Start a flight that is no renewal of *key*: nobody can join it, and of its outcome nothing is held.

        The caller has seen that it is open.
        """
        flight = Flight(key=key, trigger=trigger, launched_at=self._state.clock.now(), forgotten=True)
        self._state.root.spawn(self._fly, flight, work)  # type: ignore[union-attr]  # open, so there is one
        return flight

    async def _fly(self, flight: Flight, mint: Mint) -> None:
        root = self._state.root
        try:
            AIRBORNE.set(flight)
            flight.outcome = await mint(flight)
        except anyio.get_cancelled_exc_class():
            if root is not None and not root.closing:
                flight.outcome = _unexpected("cancelled from outside")
            raise
        except AssertionError as error:  # a test's own verdict, such as respx's: its caller sees it as it is
            flight.outcome = as_it_is(error)
        except BaseException as error:
            flight.outcome = _unexpected(type(error).__name__)
        finally:
            self._landing.land(flight)


def as_it_is(error: BaseException, *, transient: bool = False) -> Failure:
    """Carry an exception to every waiter as a copy of itself, without its frames and causes."""
    try:
        error = copy.copy(error)
    except Exception:  # one whose __init__ wants other arguments than it keeps
        return _unexpected(type(error).__name__)
    error.__traceback__ = error.__cause__ = error.__context__ = None
    return Failure(reason=type(error).__name__, detail="", transient=transient, prototype=error)


def _unexpected(what: str) -> Failure:
    return Failure(reason="unexpected", detail=f"the request for a token ended unexpectedly ({what})")


async def _nothing(flight: Flight) -> Failure:
    """Bring nothing: nothing can be launched before a mint is given."""
    return CLOSED
