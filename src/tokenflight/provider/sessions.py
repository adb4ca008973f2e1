"""Sessions: what needs a person once and lives on a refresh token from then on (RFC 6749, sections 4.1 and 6)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, TypeAlias

from attrs import evolve

from tokenflight.engine.flight import Flight, Minted
from tokenflight.engine.launching import as_it_is
from tokenflight.errors import AuthorizationResponseError, ConfigurationError, TokenValidationError
from tokenflight.model.failure import Failure
from tokenflight.model.key import Audience, Subject, TokenKey, as_audience, as_scope, as_subject
from tokenflight.model.policy import seconds
from tokenflight.model.secret import Secret
from tokenflight.model.token import Token
from tokenflight.protocol.authorization import AuthorizationCode, AuthorizationRequest, CodeExchange, begin
from tokenflight.protocol.callback import read_callback
from tokenflight.protocol.client import OAuthClient
from tokenflight.protocol.grants import check_key
from tokenflight.provider.exchange import misconfigured
from tokenflight.provider.keys import Scope

if TYPE_CHECKING:
    from tokenflight.provider.holdings import Holdings

SubjectOf: TypeAlias = Callable[[Token], "Subject | str"]
"""Tells from the token of a login whose it is."""

ANYBODY: Final = Subject("anybody")
LIFETIME: Final = 600.0
LONGEST: Final = 86_400.0
VALIDATING: Final = 10.0
_NO_ID_TOKEN: Final = Failure(
    error=TokenValidationError,
    reason="no_id_token",
    detail="openid was asked for, and no ID token came",
    transient=False,
    hint="leave openid out of the scope, or let the server issue ID tokens to the client",
)
_NOTHING: Final[Mapping[str, str]] = {}


class Sessions:
    """Begins logins, redeems them, and takes over refresh tokens; got as `TokenProvider.sessions`."""

    def __init__(self, holdings: Holdings) -> None:
        self._holdings = holdings
        self._redeemed: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"Sessions({self._holdings.lineages!r})"

    async def begin(
        self,
        *,
        client: str | None = None,
        redirect_uri: str | None = None,
        audience: Audience | str | None = None,
        scope: Scope | None = None,
        parameters: Mapping[str, str] = _NOTHING,
        lifetime: float = LIFETIME,
    ) -> AuthorizationRequest:
        """Begin a login: send the person to the `url` of what is returned, and keep it until they come back.

        *redirect_uri* goes along only where it is given; *parameters* are further ones of the authorization request,
        such as `prompt`; after *lifetime* seconds, a day at most, the login is over. Raises ConfigurationError where
        the client has no authorization endpoint or another grant than AuthorizationCode, TokenRequestError where the
        server's metadata cannot be had.
        """
        name = self._holdings.clients.name(client)
        key = TokenKey(client=name, audience=as_audience(audience), scope=as_scope(scope))
        found = await self._client(key, "authorization")
        until = self._holdings.engine.state.clock.wall() + min(seconds("lifetime", lifetime), LONGEST)
        request = begin(found, key, redirect_uri=redirect_uri, parameters=parameters, until=until)
        check_key(found, evolve(key, subject=ANYBODY))  # what its session could not ask for is told before the login
        return request

    async def redeem(
        self, request: AuthorizationRequest, callback_url: str, *, subject: Subject | str | SubjectOf
    ) -> Token:
        """Turn the callback of a login into a session of *subject* and return its first token.

        *subject* names the person in this program, or is a function of the token that does; where an ID token came, its
        validated claims are in `token.extra["id_token_claims"]`. Session and token are kept before this returns, and
        the code is sent once, whatever happens: a login whose reply was lost has to begin anew.

        Raises AuthorizationResponseError where the callback is not this login's answer or it was redeemed before,
        TokenEndpointError where the server denied it, other TokenRequestErrors where the code brought nothing, and what
        *subject* raises. With `reason` "key_set", no code was sent: the same login may be redeemed again.
        """
        key = TokenKey(client=request.client, audience=request.audience, scope=request.scope)
        callback = Secret(str(callback_url) or "?")
        del callback_url  # the code in it is good until it is spent, and a traceback shows what its frames hold
        self._holdings.engine.asking.require_open()
        client = await self._client(key)
        whole, names_issuer = await self._server(client, key)
        wall = self._holdings.engine.state.clock.wall()
        code = read_callback(request, callback.reveal(), wall=wall, issuer=client.issuer, names_issuer=names_issuer)
        if isinstance(code, Failure):
            raise code.exception(key)
        await self._make_ready(whole, request, key)
        self._redeem_once(request, key, wall)
        using = evolve(whole, grant=CodeExchange(code=code, request=request))

        async def login(flight: Flight) -> Minted | Failure:
            with self._holdings.engine.state.undisturbed():
                minted = await self._holdings.mint.once(flight, using)
                if isinstance(minted, Minted):
                    minted = await self._identified(whole, request, minted)
                return minted if isinstance(minted, Failure) else await self._keep(client, key, minted, subject)

        flight = self._holdings.engine.launching.apart(key, "login", login)
        await flight.wait()
        if isinstance(flight.outcome, Minted):
            return flight.outcome.token
        raise flight.outcome.exception(key)

    async def adopt(self, *, client: str | None = None, subject: Subject | str, refresh_token: str | Secret) -> None:
        """Go on with a refresh token that was got elsewhere, as the session of *subject*, in place of any before.

        Nothing is sent. What holds the subject's keys back is lifted; tokens that are held stay. Raises
        ConfigurationError where the client's grant spends no refresh token.
        """
        refresh_token = Secret(refresh_token)
        key = TokenKey(client=self._holdings.clients.name(client), subject=_subject(subject))
        found = await self._client(key)
        lineage = self._holdings.lineages.of(found, key)
        if lineage is None:
            raise ConfigurationError(
                f"{found.grant.grant_type} spends no refresh token: give the client grant=RefreshToken()"
            )
        await self._holdings.lineages.adopt(lineage, refresh_token, key)
        self._holdings.engine.lift(lineage.keys)

    async def _client(self, key: TokenKey, *needs: str) -> OAuthClient:
        """Return the key's client, with the endpoints that it needs."""
        client = await self._holdings.clients.find(key.client)
        if not isinstance(client, Failure) and needs:
            client = await self._holdings.discovery.complete(client, *needs)
        if isinstance(client, Failure):
            raise client.exception(key)
        return client

    async def _server(self, client: OAuthClient, key: TokenKey) -> tuple[OAuthClient, bool]:
        """Return the client with its endpoints, and whether its server is known to name itself in every callback.

        Nobody is asked for the latter alone: a client that says its token endpoint needs no metadata.
        """
        if client.token_endpoint is not None:
            return client, False
        metadata = await self._holdings.discovery.metadata(client)
        if isinstance(metadata, Failure):
            raise metadata.exception(key)
        whole = await self._holdings.discovery.complete(client)
        if isinstance(whole, Failure):
            raise whole.exception(key)
        return whole, metadata.iss_parameter_supported

    async def _make_ready(self, client: OAuthClient, request: AuthorizationRequest, key: TokenKey) -> None:
        """Raise where the tokens that have to come could not be validated: the code is kept for another try."""
        validation, deadline = self._holdings.validation, self._holdings.engine.state.clock.now() + VALIDATING
        lack = await validation.ready(client, deadline=deadline)
        if lack is None and request.nonce is not None:
            lack = await validation.ready_for_id_token(client, deadline=deadline)
        if lack is not None:
            raise lack.exception(key)

    def _redeem_once(self, request: AuthorizationRequest, key: TokenKey, wall: float) -> None:
        """Raise where this process has redeemed the request; it is remembered for as long as it could be."""
        self._redeemed = {state: end for state, end in self._redeemed.items() if end > wall}
        if request.state in self._redeemed:
            raise AuthorizationResponseError(
                "this login was redeemed before: let the person begin anew",
                key=key,
                grant_type=AuthorizationCode.grant_type,
                reason="redeemed",
                detail="this login was redeemed before",
            )
        self._redeemed[request.state] = request.expires_at.timestamp()

    async def _identified(self, client: OAuthClient, request: AuthorizationRequest, minted: Minted) -> Minted | Failure:
        """Add the validated claims of the ID token that a login with `openid` has to bring."""
        if request.nonce is None:
            return minted
        token, clock = minted.token, self._holdings.engine.state.clock
        text = token.extra.get("id_token")
        if not isinstance(text, str):
            return _NO_ID_TOKEN
        claims = await self._holdings.validation.id_token(
            client,
            text,
            nonce=request.nonce,
            access_token=token.access_token.reveal(),
            deadline=clock.now() + VALIDATING,
        )
        if isinstance(claims, Failure):
            return claims
        return evolve(minted, token=token.with_extra(id_token_claims=claims))

    async def _keep(
        self, client: OAuthClient, key: TokenKey, minted: Minted, subject: Subject | str | SubjectOf
    ) -> Minted | Failure:
        """Keep a login's session, then its token, under the name that *subject* says."""
        try:
            named = subject(minted.token) if callable(subject) else subject
        except Exception as error:
            return as_it_is(error)
        try:
            key = evolve(key, subject=_subject(named), scope=None if key.scope == client.scope else key.scope)
            check_key(client, key)
        except ConfigurationError as error:
            return misconfigured(str(error))
        holdings, token = self._holdings, minted.token
        if token.refresh_token is not None and (lineage := holdings.lineages.of(client, key)) is not None:
            await holdings.lineages.adopt(lineage, token.refresh_token, key)
            holdings.engine.lift(lineage.keys)
            # A session can repeat what a code cannot; and the refresh token is its alone.
            minted = evolve(minted, default_lifetime=client.default_lifetime, token=token.alone())
        await holdings.mint.keep(client, key, minted)
        holdings.engine.landing.plant(key, minted)
        return minted


def _subject(value: Subject | str) -> Subject:
    subject = as_subject(value)
    if not isinstance(subject, Subject):
        raise ConfigurationError("a session belongs to a subject known by its name: pass a str or a Subject")
    return subject
