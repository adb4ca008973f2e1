"""A state machine over provider, clock and endpoint: whatever happens in whatever order, the promises hold.

It runs on asyncio and on trio, each rule in a task of its own in one loop, so that entering and leaving, too, happen in
different tasks.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Final

import anyio
import anyio.from_thread
import pytest
from attrs import define, field
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.kit.house import house, watchdog

from tokenflight import Audience, Token, TokenFlightError, TokenKey
from tokenflight.model.events import Event, FlightFailed, FlightLaunched, KeyEvent, TokenEvicted, TokenLanded
from tokenflight.testing import (
    Answer,
    Cut,
    Delay,
    Drip,
    Error,
    FakeTokenEndpoint,
    Hang,
    Issue,
    Reset,
    Straggle,
    Throttle,
    VirtualClock,
)
from tokenflight.testing.acts import Script

KEYS: Final = tuple("abcd")
LIFETIMES: Final = (0, 0.3, 1, 1.5, 2, 10, 60, 3600, 86_400, 315_576_000, None)
LONG_WAIT: Final = 1500.0
UNKNOWN: Final = 300.0
"""What a token without a lifetime counts for: the client's default_lifetime."""

FAULTS: Final[tuple[Script, ...]] = (
    Reset(),
    Hang(),
    Throttle(),
    Throttle(0),
    Throttle(2),
    Throttle(25),
    Throttle(40),
    Throttle(700),
    Throttle("not a number"),
    Throttle(3, status=503),
    Answer(500),
    Answer(503, {"error": "temporarily_unavailable"}),
    Answer(200, "nonsense"),
    Answer(200, {"access_token": 7}),
    Answer(302, headers={"location": "https://elsewhere.test"}),
    Error("invalid_client"),
    Error("invalid_scope"),
    Error("slow_down"),
    Issue(again=True),
    Issue(fields={"expires_in": "soon"}),
    Issue(fields={"refresh_in": 1}),
    Issue(expires_in=1),
    Issue(expires_in=0),
    Issue(expires_in=None),
    Delay(0.2),
    Delay(4.0),
    Delay(20.0, Answer(500)),
    Straggle(3.0),
    Cut(),
    Drip(pause=0.05),
)


PACED: Final = ("schedule", "due", "min_ttl", "call", "pinned")
"""What launches a flight because of time or a min_ttl alone; the rest are rejections, probes and looks."""


@define(eq=False)
class Story:
    """What happened to one key since its last success; Pace holds as long as nothing explains another request."""

    sent_at: float = -math.inf
    length: float = 0.0
    explained: bool = True
    requests: int = 0
    airborne: bool = False


@define(eq=False)
class Chronicle:
    """Hears every event, and says what breaks a promise."""

    clock: VirtualClock
    endpoint: FakeTokenEndpoint = field(init=False)
    stories: defaultdict[str, Story] = field(factory=lambda: defaultdict(Story))
    broken: list[str] = field(factory=list)

    def __call__(self, event: Event) -> None:
        if not isinstance(event, KeyEvent) or event.key.audience is None:
            return
        audience = event.key.audience.value
        story, now = self.stories[audience], self.clock.now()
        if isinstance(event, FlightLaunched):
            self._launched(audience, story, event, now)
        elif isinstance(event, TokenLanded):
            sent = [entry.started for entry in self.endpoint.ledger if entry.audience == audience and entry.token]
            story.sent_at = sent[-1]
            story.length = UNKNOWN if event.lifetime is None else max(1.0, event.lifetime)
            story.explained = story.airborne = False
        elif isinstance(event, FlightFailed):
            story.explained, story.airborne = True, False
        elif isinstance(event, TokenEvicted):
            story.explained = True

    def _launched(self, audience: str, story: Story, event: FlightLaunched, now: float) -> None:
        if story.airborne:
            self.broken.append(f"two flights for {audience}")
        story.airborne = True
        pace = max(1.0, 0.05 * story.length)
        if event.trigger in PACED and not story.explained and now < story.sent_at + pace - 1e-6:
            self.broken.append(
                f"{audience}: {event.trigger} {now - story.sent_at:g} s after a success, pace {pace:g} s"
            )


class Machine(RuleBasedStateMachine):
    backend: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.dog = watchdog(60)
        self.dog.__enter__()
        self.context = anyio.from_thread.start_blocking_portal(self.backend)
        self.portal = self.context.__enter__()
        self.scopes: list[anyio.CancelScope] = []
        self.waiting = 0
        self.broken: list[str] = []
        self.entered = False
        self.held: dict[str, Token] = {}

    @initialize(
        seed=st.integers(0, 2**32), max_keys=st.sampled_from([1, 2, 3, 100]), flights=st.sampled_from([1, 2, 20])
    )
    def build(self, seed: int, max_keys: int, flights: int) -> None:
        clock = VirtualClock(seed)
        self.chronicle = Chronicle(clock)
        self.at = house(clock=clock, max_keys=max_keys, max_flights=flights, hooks=[self.chronicle], expires_in=60)
        self.chronicle.endpoint = self.at.endpoint
        self.do(self._enter)

    def do(self, call: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        """Do one thing in the loop, then let everything settle."""

        async def step() -> Any:
            result = await call(*args)
            await self.at.clock.settle()
            return result

        result = self.portal.call(step)
        assert not self.broken, self.broken
        assert not self.chronicle.broken, self.chronicle.broken
        return result

    async def _enter(self) -> None:
        await self.at.provider.__aenter__()
        self.entered = True

    async def _leave(self) -> None:
        await self.at.provider.__aexit__(None, None, None)
        self.entered = False

    def ask(self, call: Callable[[], Awaitable[Token]], audience: str) -> None:
        """Ask in a task of its own, which may wait until the end of the story."""

        async def asking() -> None:
            self.waiting += 1
            try:
                with anyio.CancelScope() as scope:
                    self.scopes.append(scope)
                    token = await call()
                    self.judge(token)
                    self.held[audience] = token
            except TokenFlightError as error:
                if error.__cause__ is not None or error.__context__ is not None:
                    self.broken.append(f"{error!r} drags something along")
            except Exception as error:
                self.broken.append(f"{error!r} is none of the tree")
            finally:
                self.waiting -= 1
                self.scopes.remove(scope)

        self.portal.start_task_soon(asking)
        self.do(anyio.lowlevel.checkpoint)

    def judge(self, token: Token) -> None:
        """See that a token is not past its end; one that lives less than a second counts as if it lived one."""
        if token.expires_at is None:
            return
        value, now = token.access_token.reveal(), self.at.clock.now()
        sent = [entry.started for entry in self.at.endpoint.ledger if entry.token == value]
        end = max(self.at.endpoint.tokens[value].expires_at, sent[-1] + 1.0)
        if now >= end:
            self.broken.append(f"a token that ended at {end:g} was handed out at {now:g}")

    @rule(audience=st.sampled_from(KEYS), min_ttl=st.sampled_from([0.0, 0.0, 0.0, 0.5, 5.0, 100.0, 5000.0]))
    def call(self, audience: str, min_ttl: float) -> None:
        self.ask(lambda: self.at.get(audience, min_ttl=min_ttl), audience)

    @rule(audience=st.sampled_from(KEYS), count=st.integers(2, 5))
    def calls(self, audience: str, count: int) -> None:
        for _ in range(count):
            self.ask(lambda: self.at.get(audience), audience)

    @precondition(lambda self: self.held)
    @rule()
    def longer(self) -> None:
        """Ask for more than any token that is held has left."""
        audience = next(reversed(self.held))
        self.ask(lambda: self.at.get(audience, min_ttl=1e9), audience)

    @precondition(lambda self: self.held)
    @rule(window=st.sampled_from(["due_at", "urgent_at", "expires_at"]), late=st.sampled_from([0.0, 1e-3, 0.01]))
    def ripen(self, window: str, late: float) -> None:
        """Ask again when a token has just come to the next part of its life."""
        audience = next(reversed(self.held))
        entry = self.at.state.entries.find(TokenKey(client="default", audience=Audience(audience)))
        life = None if entry is None else entry.life
        moment = math.inf if life is None else getattr(life, window)
        if moment - self.at.clock.now() <= 200.0:
            self.do(self.at.clock.advance, max(0.0, moment + late - self.at.clock.now()))
            self.ask(lambda: self.at.get(audience), audience)

    @rule(audience=st.sampled_from(KEYS), origin=st.sampled_from([None, "https://api.test", "https://other.test"]))
    def renew(self, audience: str, origin: str | None) -> None:
        self.chronicle.stories[audience].explained = True
        rejected = self.held.get(audience)
        self.ask(lambda: self.at.provider.renew(audience=audience, rejected=rejected, origin=origin), audience)

    @rule(audience=st.sampled_from(KEYS))
    def forget(self, audience: str) -> None:
        story = self.chronicle.stories[audience]
        if story.airborne:
            self.at.endpoint.ledger.waive("flights", because="a flight that is forgotten goes on for who joined it")
        story.explained, story.airborne = True, False
        self.do(lambda: self.at.provider.forget(audience=audience))

    @rule(audience=st.sampled_from(KEYS))
    def pin(self, audience: str) -> None:
        self.do(self._pin, audience)

    async def _pin(self, audience: str) -> None:
        self.at.provider.source(audience=audience, keep_warm=True)

    @rule(which=st.integers(0, 20))
    def cancel(self, which: int) -> None:
        if which < len(self.scopes):
            self.do(self._cancel, which)

    async def _cancel(self, which: int) -> None:
        self.scopes[which].cancel()

    @rule(seconds=st.sampled_from([0.0, 0.05, 0.3, 1.0, 2.5, 5.0, 10.0, 30.0, 45.0, 200.0]))
    def advance(self, seconds: float) -> None:
        self.do(self.at.clock.advance, seconds)

    @precondition(lambda self: self.calm)
    @rule(seconds=st.sampled_from([3000.0, 4_000.0]))
    def sleep(self, seconds: float) -> None:
        self.do(self.at.clock.advance, seconds)

    @property
    def calm(self) -> bool:
        """Tell whether hours may pass: thousands of requests for tokens of seconds would show nothing new."""
        lifetimes = self.at.endpoint.expires_in
        long = isinstance(lifetimes, list) and all(life is None or life >= 60 for life in lifetimes)
        return long and self.at.endpoint._outage is None

    @rule(acts=st.lists(st.sampled_from(FAULTS), min_size=1, max_size=5))
    def script(self, acts: list[Script]) -> None:
        self.at.endpoint.script(*acts)

    @rule(act=st.sampled_from((*FAULTS, Issue(), Issue())))
    def always(self, act: Script) -> None:
        self.at.endpoint.always(act)

    @rule(lifetimes=st.lists(st.sampled_from(LIFETIMES), min_size=1, max_size=4))
    def live(self, lifetimes: list[float | None]) -> None:
        self.at.endpoint.expires_in = lifetimes

    @rule(how=st.sampled_from(["down", "hang", "up", "up"]))
    def outage(self, how: str) -> None:
        getattr(self.at.endpoint, how)()

    @precondition(lambda self: self.entered)
    @rule()
    def leave(self) -> None:
        self.do(self._leave)
        assert self.waiting == 0
        assert self.at.quiet()
        for story in self.chronicle.stories.values():
            story.airborne = False

    @precondition(lambda self: not self.entered)
    @rule()
    def enter(self) -> None:
        self.do(self._enter)

    @invariant()
    def never_two_flights_for_a_key(self) -> None:
        if hasattr(self, "at"):
            self.at.endpoint.ledger.check()

    def teardown(self) -> None:
        try:
            if hasattr(self, "at"):
                self.end()
        finally:
            self.context.__exit__(None, None, None)
            self.dog.__exit__(None, None, None)

    def end(self) -> None:
        """See that everybody who waits gets something, and every flight ends, once the endpoint is well."""
        endpoint = self.at.endpoint
        endpoint.up()
        endpoint._queue.clear()
        endpoint.always()
        endpoint.expires_in = 3600
        self.do(self.at.clock.advance, LONG_WAIT)
        assert self.waiting == 0
        assert all(flight.waiting == 0 for flight in self.at.state.flights.values())
        if self.entered:
            self.do(self._leave)
        assert self.at.quiet()


def _run(backend: str, *, examples: int, steps: int) -> None:
    machine = type(f"On_{backend}", (Machine,), {"backend": backend})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_whatever_happens_the_promises_hold(backend: str) -> None:
    _run(backend, examples=100, steps=50)


@pytest.mark.long
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_whatever_happens_for_long_the_promises_hold(backend: str) -> None:
    _run(backend, examples=3000, steps=80)
