"""Access tokens that are JWTs: what a client may check of them before it keeps one (RFC 9068, section 4)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from attrs import Attribute, field, frozen

from tokenflight.errors import ConfigurationError
from tokenflight.model.key import TokenKey
from tokenflight.protocol.claims import LEEWAY, check_audience, check_issuer, check_times
from tokenflight.protocol.compact import Invalid
from tokenflight.protocol.verification import ALGORITHMS, Claims, require_joserfc

_MAX_LEEWAY: Final = 300.0


def _algorithms(value: Iterable[str]) -> tuple[str, ...]:
    """Take names of algorithms; one of a shared secret, or `none`, verifies nothing here."""
    names = () if isinstance(value, str) or not isinstance(value, Iterable) else tuple(value)
    if not names or not all(isinstance(name, str) and name in ALGORITHMS for name in names):
        raise ConfigurationError(f"algorithms is a list of JWT algorithms: name some of {', '.join(ALGORITHMS)}")
    return names


def _text(instance: object, attribute: Attribute[Any], value: object) -> None:
    if value is not None and (not isinstance(value, str) or not value):
        raise ConfigurationError(f"{attribute.name} is text: write it exactly as the tokens have it, or leave it out")


def _leeway(instance: object, attribute: Attribute[Any], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MAX_LEEWAY:
        raise ConfigurationError(f"leeway is a number of seconds: set it from 0 to {_MAX_LEEWAY:g}")


@frozen(kw_only=True)
class AccessTokenValidation:
    """Check each new access token before it is used: a client's field `validation`, off by default.

    It needs the extra `jwt`, and a server whose access tokens are JWTs.

    Attributes:
        algorithms: those that may have signed it, all asymmetric.
        issuer: its `iss`, compared exactly; None is the client's issuer.
        audience: what its `aud` must hold; None is the value of the audience that was asked for.
        typ: the `typ` of its header, such as "at+jwt" (RFC 9068, section 2.1); None demands none.
        leeway: seconds by which the server's clock and ours may differ.

    Raises ConfigurationError for what cannot work, and where joserfc is not installed.
    """

    algorithms: tuple[str, ...] = field(default=tuple(ALGORITHMS), converter=_algorithms)
    issuer: str | None = field(default=None, validator=_text)
    audience: str | None = field(default=None, validator=_text)
    typ: str | None = field(default=None, validator=_text)
    leeway: float = field(default=LEEWAY, validator=_leeway)

    def __attrs_post_init__(self) -> None:
        """Fail now, and not when the first token comes."""
        require_joserfc()

    def check_key(self, key: TokenKey) -> None:
        """Raise ConfigurationError for a key whose tokens could be meant for anybody."""
        if self.audience is None and key.audience is None:
            raise ConfigurationError(
                f"the access tokens of client {key.client!r} are validated, and for which audience is open: "
                "pass audience=... in the call, or give AccessTokenValidation(audience=...)"
            )

    def check(self, claims: Claims, *, issuer: str | None, key: TokenKey, wall: float) -> Invalid | None:
        """Say why a verified token is not the one that was asked for; None where it is.

        *issuer* is the client's own. Reasons: `issuer`, `audience`, `expired`, `not_yet_valid`, `type`. *wall* is Unix
        time.
        """
        asked_for = None if key.audience is None else key.audience.value
        return (
            check_issuer(claims, self.issuer or issuer)
            or check_audience(claims, self.audience or asked_for)
            or check_times(claims, wall=wall, leeway=self.leeway)
            or self._check_typ(claims)
        )

    def _check_typ(self, claims: Claims) -> Invalid | None:
        if self.typ is None or _media_type(claims.typ or "") == _media_type(self.typ):
            return None
        return Invalid(reason="type", detail="it is a JWT of another kind (typ)")


def _media_type(typ: str) -> str:
    """Return a `typ` for comparison: without case and without `application/` (RFC 7515, section 4.1.9)."""
    return typ.lower().removeprefix("application/")
