"""TokenAuth: a token on each request of an httpx client, and one more try where an API refuses it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import Any, Final

import httpx

from tokenflight.errors import ConfigurationError, ProviderClosedError, TokenFlightError, TokenRequestError
from tokenflight.model.origin import ANY, Origins, OriginsArgument, is_private_to_the_wire, origin_of, origins
from tokenflight.model.subject_token import TokenSource
from tokenflight.model.token import Token
from tokenflight.provider.rejection import is_acceptance, is_rejection, may_resend

_MAX_KNOWN: Final = 1_000
_WEB: Final = {"ws": "http", "wss": "https"}

_SYNCHRONOUS: Final = (
    "TokenAuth was given to a synchronous httpx.Client, which cannot wait for a token: use httpx.AsyncClient"
)


class TokenUnavailable(TokenRequestError, httpx.RequestError):  # noqa: N818  # the name is the public contract
    """No token for a request, which was not sent; the library's own error is the `__cause__`.

    It is an `httpx.RequestError`, so that `except httpx.HTTPError` catches it, and carries the `request`,
    which a pickle of it leaves behind.
    """

    def __init__(
        self, message: str = "no token for this request", *, request: httpx.Request | None = None, **fields: Any
    ) -> None:
        super().__init__(message, **fields)
        if request is not None:
            self.request = request


class TokenAuth(httpx.Auth):
    """Put a source's token on each request, and heal a 401 once.

    Args:
        source: what `TokenProvider.source()` gives, or any TokenSource.
        origins: where the token may go: a URL, an iterable of URLs (of which only the origin counts), or ANY; else
            the source's `origins`; else the first origin that a request goes to. Plain http is for loopback alone.
        retry_unauthorized: False leaves a 401 to the caller: nothing is renewed and nothing sent again.

    A request that goes elsewhere raises ConfigurationError before anything is sent; one without a token raises
    TokenUnavailable. On a 401 that refuses the token (RFC 6750, section 3) the source renews it and the request is
    sent once more, if its body can be sent again byte for byte. Where it cannot, or no newer token is had, the 401
    goes back as it came.
    """

    def __init__(
        self, source: TokenSource, *, origins: OriginsArgument = None, retry_unauthorized: bool = True
    ) -> None:
        if not (callable(getattr(source, "token", None)) and callable(getattr(source, "renew", None))):
            raise ConfigurationError(
                f"{type(source).__name__} is no token source: pass what TokenProvider.source() returns"
            )
        self.tokenflight_source = source
        self._given = _given(origins)
        self._retry = retry_unauthorized
        self._pinned: Origins | None = None
        self._known: dict[tuple[str, bytes, int | None, bytes], str] = {}
        self._known_under: Origins | None = None

    def __repr__(self) -> str:
        return f"TokenAuth({self.tokenflight_source!r})"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Refuse: a token may have to be waited for."""
        raise ConfigurationError(_SYNCHRONOUS)

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Refuse: httpx would send the request without a token."""
        raise ConfigurationError(_SYNCHRONOUS)

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Sign, send, and where the token is refused renew it and send once more.

        Nothing is held across a `yield`: httpx may drive and close this from different tasks.
        """
        url, allowed = request.url, self._allowed()
        origin = self._origin(url, allowed)
        token = await self._token(request)
        if self._allowed() is not allowed:  # a source may learn its origins on the way to a token
            origin = self._origin(url, self._allowed())
        request.headers["Authorization"] = token.header
        response = yield request
        if not self._retry or not is_rejection(response, url=url, header=token.header):
            return
        newer = await self._newer(token, origin, request)
        if newer is None:
            return
        request.headers["Authorization"] = newer.header
        response = yield request
        accepted = getattr(self.tokenflight_source, "accepted", None)
        if accepted is not None and is_acceptance(response, url=url, header=newer.header):
            accepted(newer, origin=origin)

    async def _token(self, request: httpx.Request) -> Token:
        try:
            return await self.tokenflight_source.token()
        except (ConfigurationError, ProviderClosedError):
            raise
        except TokenFlightError as error:
            raise _unavailable(error, request) from error

    async def _newer(self, rejected: Token, origin: str, request: httpx.Request) -> Token | None:
        """Have the token renewed; return the newer one, or None where the request is not to be sent again."""
        source = self.tokenflight_source
        replayable = may_resend(request)
        if not replayable and (reject := getattr(source, "reject", None)) is not None:
            reject(rejected, origin=origin)
            return None
        try:
            newer = await source.renew(rejected=rejected, origin=origin)
        except TokenFlightError:
            return None
        return newer if replayable and newer.header != rejected.header else None

    def _allowed(self) -> Origins | None:
        if self._given is not None:
            return self._given
        found: Origins | None = getattr(self.tokenflight_source, "origins", None)
        return found

    def _origin(self, url: httpx.URL, allowed: Origins | None) -> str:
        """Return the origin of *url*, to which the token may go; raise ConfigurationError where it may not."""
        if allowed is not self._known_under:
            self._known_under = allowed
            self._known = {}
        place = (url.scheme, url.raw_host, url.port, url.userinfo)
        known = self._known.get(place)
        if known is not None:
            return known
        origin = self._checked(_wire_origin(url), allowed)
        if len(self._known) < _MAX_KNOWN:
            self._known[place] = origin
        return origin

    def _checked(self, origin: str, allowed: Origins | None) -> str:
        if not is_private_to_the_wire(origin):
            raise ConfigurationError(f"{origin} is plain http, where a token could be read on its way: use https")
        if not allowed:
            allowed = self._pinned = self._pinned or frozenset({origin})
        if allowed is ANY or origin in {_normal(each) for each in allowed}:
            return origin
        raise ConfigurationError(
            f"a request goes to {origin}, and this token only to {', '.join(sorted(allowed))}: "
            f'add it, as in origins=["{origin}", ...], or use another auth for it'
        )


def _given(value: OriginsArgument) -> Origins | None:
    """Take the argument `origins`; None stays None."""
    if value is None:
        return None
    given = origins(value)
    if given is not ANY and not given:
        raise ConfigurationError("origins is empty, so that no request could be signed: name one, or leave it out")
    return given


def _wire_origin(url: httpx.URL) -> str:
    """Return the origin as it goes on the wire: the host in its ASCII form, a websocket as the http that opens it."""
    userinfo = "user@" if url.userinfo else ""  # for origin_of to refuse, without what it is
    host = url.raw_host.decode("ascii")
    port = "" if url.port is None else f":{url.port}"
    bracketed = f"[{host}]" if ":" in host else host
    return origin_of(f"{_WEB.get(url.scheme, url.scheme)}://{userinfo}{bracketed}{port}")


def _normal(origin: str) -> str:
    """Return an allowed origin in the form that `_wire_origin` gives, for a host that is written in another script."""
    return origin if origin.isascii() else _wire_origin(httpx.URL(origin))


def _unavailable(error: TokenFlightError, request: httpx.Request) -> TokenUnavailable:
    names = ("key", "grant_type", "attempts", "retry_after", "reason", "detail", "hint")
    fields = {name: getattr(error, name) for name in names if hasattr(error, name)}
    return TokenUnavailable(str(error), request=request, transient=error.transient, **fields)
