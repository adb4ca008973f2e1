"""Subject tokens: what one flight presents, asked for before it takes a place, and how long what it buys may live."""

from __future__ import annotations

import math

from attrs import define, evolve, field

from tokenflight.engine.engine import Engine
from tokenflight.engine.flight import Flight, Minted
from tokenflight.engine.landing import AHEAD
from tokenflight.engine.launching import as_it_is
from tokenflight.errors import ConfigurationError, SubjectTokenExpiredError, TokenFlightError
from tokenflight.model.failure import Failure
from tokenflight.model.key import TokenKey
from tokenflight.model.policy import Life
from tokenflight.model.secret import Secret
from tokenflight.model.subject_token import SubjectToken, TokenSource
from tokenflight.model.token import Token
from tokenflight.protocol.presented import blames_actor, blames_subject_token, unverified_end
from tokenflight.provider.source import BoundSource, engine_of, outliving

_OVER = Failure(
    error=SubjectTokenExpiredError,
    reason="subject_token_expired",
    detail="the subject token is past its end: nothing was sent",
    transient=False,
    hint="ask with the present token of this subject",
)


@define(eq=False)
class _Doubt:
    """A refusal that another token of a source may heal."""

    source: TokenSource
    token: Token
    failure: Failure


@define(eq=False)
class SubjectTokens:
    """The subject token of one flight, and its actor's.

    A source is asked before the flight takes a place at the endpoint: the parent may need that very place. What was
    given by value, or has an end of its own, ends the flight once it is over.
    """

    key: TokenKey
    subject: SubjectToken
    _engine: Engine = field(repr=False)
    _label: str
    _asks: bool
    _given_until: float = math.inf
    _tokens: dict[int, Token] = field(factory=dict, repr=False)
    _doubt: _Doubt | None = field(default=None, repr=False)
    _renewed: bool = False
    sources: tuple[TokenSource, ...] = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Note what is asked before a place is taken, and when what is known by now ends, on the age clock."""
        values = [part.value for part in self.subject.parts] if self._asks else []
        self.sources = tuple(value for value in values if isinstance(value, TokenSource))
        for part in self.subject.parts:
            ends = [] if part.expires_at is None else [part.expires_at.timestamp()]
            if isinstance(part.value, Secret) and (end := unverified_end(part.value.reveal())) is not None:
                ends.append(end)
            self._given_until = min(self._given_until, *map(self._on_the_age_clock, ends), math.inf)

    @classmethod
    def of(cls, key: TokenKey, engine: Engine, label: str, *, asks: bool = True) -> SubjectTokens | None:
        """Return those of a key, presented at *label*; None where its subject is no token. *asks*: ask the sources."""
        return cls(key, key.subject, engine, label, asks) if isinstance(key.subject, SubjectToken) else None

    def over(self, now: float) -> bool:
        """Tell whether something that would be presented is past its end."""
        return now >= self.ends_by

    @property
    def ends_by(self) -> float:
        """Return until when what is bought now may be used, on the age clock."""
        ends = (self._end(source, self._tokens[id(source)]) for source in self.sources if id(source) in self._tokens)
        return min(self._given_until, *ends, math.inf)

    async def ready(self, flight: Flight) -> Failure | None:
        """Ask each source for its token; return why there is nothing to present.

        A token that is renewed ahead needs a parent that outlives it: with the old one it would end no later.
        """
        clock, entry = self._engine.state.clock, self._engine.state.entries.find(self.key)
        if clock.now() >= self._given_until:
            return _OVER
        doubt, self._doubt = self._doubt, None
        held = None if entry is None or flight.rejects else entry.life
        for source in self.sources:
            left = 0.0 if held is None or held.expires_at == math.inf else held.expires_at - clock.now()
            token = await self._asked(source, doubt, max(0.0, left))
            if isinstance(token, Failure):
                return token
            self._tokens[id(source)] = token
        if self.over(clock.now()):
            return _unavailable("gave one that is past its end")
        if self._in_vain(flight, held):
            return Failure(reason="no_gain", detail="the subject token ends no later than what it bought already")
        return None

    def _in_vain(self, flight: Flight, held: Life | None) -> bool:
        """Tell whether what is bought now would be no gain: see `Landing.weigh`."""
        moved_on = self._engine.state.dependants.overtaken(self.key)
        known = held is not None and held.expires_at < math.inf and not moved_on
        return known and held is not None and self.ends_by <= held.expires_at and flight.trigger in AHEAD

    def mends(self, failure: Failure) -> bool:
        """Tell whether to try once more, with another token of a source that this failure may be due to.

        Once in a flight, and never for a key that was refused before: its fault would renew the parent for ever.
        """
        entry = self._engine.state.entries.find(self.key)
        refused_before = entry is not None and entry.refusals > 0
        if self._renewed or refused_before or not self.sources or not blames_subject_token(failure):
            return False
        source = self.sources[-1 if blames_actor(failure) else 0]
        self._renewed = True
        self._doubt = _Doubt(source, self._tokens[id(source)], failure)
        return True

    def holds(self, source: object) -> bool:
        """Tell whether *source* is what the subject, or its actor, is known by: no credential of the client."""
        return any(source is part.value for part in self.subject.parts)

    def token(self, source: object) -> Token | None:
        """Return the token that *source* was asked for."""
        return self._tokens.get(id(source))

    def lasting(self, lifetime: float | None, sent_at: float) -> float | None:
        """Return a *lifetime* in seconds, cut where the subject token ends."""
        left = self.ends_by - sent_at
        return lifetime if left == math.inf else left if lifetime is None else min(lifetime, left)

    def bound(self, minted: Minted) -> Minted:
        """Let what was bought never outlive what it was bought with, and be due when that moves on."""
        asked = [(self._kin(source), self._tokens[id(source)]) for source in self.sources]
        rests_on = tuple((parent, token) for parent, token in asked if parent is not None)
        return evolve(minted, ends_by=self.ends_by, rests_on=rests_on)

    async def _asked(self, source: TokenSource, doubt: _Doubt | None, left: float) -> Token | Failure:
        doubted = doubt if doubt is not None and doubt.source is source else None
        if isinstance(source, BoundSource):  # its flight ends by itself, also one that stands in line
            return await self._tried(source, doubted, left + 1.0 if left else 0.0)
        clock, limit = self._engine.state.clock, self._engine.state.retry.total_timeout
        with clock.timeout_at(clock.now() + limit):
            return await self._tried(source, doubted, 0.0)
        return _unavailable(f"took over {limit:g} s")

    async def _tried(self, source: TokenSource, doubted: _Doubt | None, min_ttl: float) -> Token | Failure:
        """Ask a source, for another token than a doubted one; where it has no other, what made it doubted stands."""
        try:
            if doubted is None and min_ttl and isinstance(source, BoundSource):
                return await outliving(source, min_ttl)
            if doubted is None:
                return _checked(await source.token())
            return _checked(await source.renew(doubted.token, origin=self._label))
        except AssertionError:
            raise
        except ConfigurationError as error:
            lack = Failure(error=ConfigurationError, reason="configuration", detail=str(error), transient=False)
        except TokenFlightError as error:  # the parent has a hold-back of its own, this key needs no long one
            lack = as_it_is(error, transient=True)
        except Exception as error:
            lack = _unavailable(f"raised {type(error).__name__}")
        return lack if doubted is None else doubted.failure

    def _end(self, source: TokenSource, token: Token) -> float:
        parent = self._kin(source)
        entry = None if parent is None else self._engine.state.entries.find(parent)
        if entry is not None and entry.token is token and entry.life is not None:
            return entry.life.expires_at
        return math.inf if token.expires_at is None else self._on_the_age_clock(token.expires_at.timestamp())

    def _kin(self, source: TokenSource) -> TokenKey | None:
        """Return the key of a source of this very provider."""
        return source.key if isinstance(source, BoundSource) and engine_of(source) is self._engine else None

    def _on_the_age_clock(self, epoch: float) -> float:
        clock = self._engine.state.clock
        return clock.now() + epoch - clock.wall()


def _checked(token: object) -> Token:
    if isinstance(token, Token):
        return token
    raise ConfigurationError(f"the source of a subject token gave a {type(token).__name__}: let it return a Token")


def _unavailable(why: str) -> Failure:
    return Failure(reason="subject_token", detail=f"the source of the subject token {why}")
