"""Clients: from names to OAuthClient values, fixed or resolved while the program runs."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from typing import Final, TypeAlias

from tokenflight.errors import ConfigurationError
from tokenflight.model.clock import Clock
from tokenflight.model.failure import Failure
from tokenflight.protocol.client import OAuthClient
from tokenflight.provider.errands import Errands

DEFAULT: Final = "default"
ABSENT_FOR: Final = 5.0
ABSENTEES: Final = 10_000

ClientResolver: TypeAlias = Callable[[str], "OAuthClient | Awaitable[OAuthClient | None] | None"]
"""Finds a client by its name; None where there is none. Asked in every flight, never twice at once for a name."""

ClientsArgument: TypeAlias = "OAuthClient | Mapping[str, OAuthClient] | ClientResolver"
"""What a provider is made for: one client, several by name, or a resolver."""


class Clients:
    """The clients of one provider.

    *changed* is called with a name before a resolver's answer is used that differs from the last one in issuer,
    endpoint or client_id, or that is None; with the client that was known under the name.
    """

    def __init__(
        self,
        clients: ClientsArgument,
        *,
        clock: Clock,
        timeout: float,
        changed: Callable[[str, OAuthClient], Awaitable[None]],
    ) -> None:
        self._fixed: dict[str, OAuthClient] = _fixed(clients)
        self._resolver = clients if callable(clients) and not self._fixed else None
        self._clock = clock
        self._timeout = timeout
        self._changed = changed
        self._known: dict[str, OAuthClient] = {}
        self._absent: dict[str, float] = {}
        self._asking: Errands[OAuthClient | Failure] = Errands(_broken_off)

    def __repr__(self) -> str:
        return f"Clients({'a resolver' if self._resolver else ', '.join(sorted(self._fixed))})"

    def __iter__(self) -> Iterator[OAuthClient]:
        """Go through the clients that are known from the start."""
        return iter(self._fixed.values())

    @property
    def resolving(self) -> bool:
        """Tell whether a resolver is asked, so that a name may stand for another client next time."""
        return self._resolver is not None

    def reset(self) -> None:
        """Forget who was being asked for: the tasks that asked are gone."""
        self._asking.reset()

    def name(self, name: str | None) -> str:
        """Return the client name that a call means. Raises ConfigurationError where it is unknown or left open."""
        if name is None:
            if len(self._fixed) == 1:
                return next(iter(self._fixed))
            choice = f"one of {', '.join(sorted(self._fixed))}" if self._fixed else "the name your resolver knows"
            raise ConfigurationError(f"which client is meant is open: name it, {choice}")
        if not isinstance(name, str) or not name:
            raise ConfigurationError(f"a client's name is a non-empty str, not {type(name).__name__}: pass its name")
        if self._fixed and name not in self._fixed:
            raise ConfigurationError(f"there is no client {name!r}: name one of {', '.join(sorted(self._fixed))}")
        return name

    def fixed(self, name: str) -> OAuthClient | None:
        """Return the client of a name where no resolver has to be asked."""
        return self._fixed.get(name)

    def known(self, name: str) -> OAuthClient | None:
        """Return the client that a name stood for last."""
        return self._fixed.get(name) or self._known.get(name)

    def drop(self, name: str) -> None:
        """Forget what a resolver said of a name."""
        self._known.pop(name, None)
        self._absent.pop(name, None)

    async def find(self, name: str) -> OAuthClient | Failure:
        """Return the client of a name, asking the resolver, or joining who is asking it for the same name."""
        if (client := self._fixed.get(name)) is not None:
            return client
        if self._clock.now() < self._absent.get(name, 0.0):
            return _absent(name)
        return await self._asking.run(name, partial(self._ask, name))

    async def _ask(self, name: str) -> OAuthClient | Failure:
        resolver = self._resolver or _nobody
        try:
            with self._clock.timeout_at(self._clock.now() + self._timeout) as scope:
                answer = resolver(name)
                client = await answer if inspect.isawaitable(answer) else answer
        except Exception as error:
            return Failure(reason="resolver", detail=f"the resolver of client {name!r} raised {type(error).__name__}")
        if scope.cancelled_caught:
            return Failure(reason="resolver", detail=f"the resolver of client {name!r} took over {self._timeout:g} s")
        if client is not None and not isinstance(client, OAuthClient):
            kind = type(client).__name__
            return _misconfigured(
                f"the resolver of client {name!r} gave a {kind}: let it return an OAuthClient or None"
            )
        known = self._known.get(name)
        if known is not None and (client is None or client.identity != known.identity):
            await self._changed(name, known)
        if client is None:
            self._known.pop(name, None)
            if len(self._absent) >= ABSENTEES:  # names may come from outside, and there is no end to them
                self._absent.clear()
            self._absent[name] = self._clock.now() + ABSENT_FOR
            return _absent(name)
        self._known[name] = client
        self._absent.pop(name, None)
        return client


def _fixed(clients: object) -> dict[str, OAuthClient]:
    if isinstance(clients, OAuthClient):
        return {DEFAULT: clients}
    if isinstance(clients, Mapping):
        fixed = dict(clients)
        if not fixed:
            raise ConfigurationError("there is no client: give at least one OAuthClient")
        for name, client in fixed.items():
            if not isinstance(name, str) or not name or not isinstance(client, OAuthClient):
                raise ConfigurationError("clients map names to OAuthClient values: check the mapping's items")
        return fixed
    if callable(clients):
        return {}
    raise ConfigurationError(
        f"clients is an OAuthClient, a mapping of names to them, or a resolver, not {type(clients).__name__}: pass one"
    )


def _nobody(name: str) -> None:
    """Resolve nothing."""


def _misconfigured(detail: str) -> Failure:
    return Failure(error=ConfigurationError, reason="configuration", detail=detail, transient=False)


def _broken_off(name: str) -> Failure:
    """Answer those who joined a call that ended in what is no Exception: its own flight knows more."""
    return Failure(reason="resolver", detail=f"the resolver of client {name!r} was broken off")


def _absent(name: str) -> Failure:
    return _misconfigured(f"the resolver knows no client {name!r}: check the name, or add the client")
