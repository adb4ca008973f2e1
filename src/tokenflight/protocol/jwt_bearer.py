"""JWT bearer: a signed statement about a subject buys a token for it (RFC 7523, section 2.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from attrs import evolve, field, frozen
from attrs.converters import optional

from tokenflight.errors import ConfigurationError
from tokenflight.model.key import NO_SCOPE, AnySubject, TokenKey
from tokenflight.model.subject_token import SubjectToken
from tokenflight.protocol.assertions import NO_MEMBERS, Assertion, Members
from tokenflight.protocol.client_authentication import Attempt, RequestParts
from tokenflight.protocol.grants import audience_fields, effective_scope, scope_fields
from tokenflight.protocol.presented import presented_token
from tokenflight.protocol.signing import KeySource

_PARTS: Final = ("subject_type", "scope", "audience")
_TAKEN: Final = frozenset({"iss", "sub", "aud", "exp", "iat", "nbf", "jti"})


def _assertion(value: Assertion | KeySource) -> Assertion:
    return value if isinstance(value, Assertion) else Assertion(value)


def _inside(value: Mapping[str, str]) -> Members:
    members = Members(value, frozenset())
    if not members.keys() <= set(_PARTS) or not all(isinstance(claim, str) and claim for claim in members.values()):
        raise ConfigurationError(f"inside says which claim each of {', '.join(_PARTS)} goes into: pass a dict of these")
    if _TAKEN & set(members.values()):
        raise ConfigurationError("inside names a claim that the assertion sets itself: name another")
    return members


@frozen
class JWTBearer:
    """An assertion about the subject is presented for a token, a new one for each request.

    With a key it is signed here: its `sub` is the id of the call's subject. Without one it is the call's subject
    itself, a `SubjectToken` that somebody else issued. Scope and audience travel as they do with ClientCredentials.

    Args:
        key: a private key, see `Assertion`, or an `Assertion` that says more than a key; None presents the
            call's SubjectToken.
        inside: what travels in the assertion and not in the form: the claim for each of `scope`, `audience` and
            `subject_type`, such as `{"scope": "scope"}`.

    The assertion's `aud` is the client's issuer, else its token endpoint, unless the Assertion says otherwise.
    Raises ConfigurationError for what cannot work.
    """

    key: Assertion | None = field(default=None, converter=optional(_assertion))
    inside: Members = field(default=NO_MEMBERS, kw_only=True, converter=_inside)
    grant_type = "urn:ietf:params:oauth:grant-type:jwt-bearer"
    repeatable = True

    def __attrs_post_init__(self) -> None:
        """Check what no field can see alone."""
        if self.inside and self.key is None:
            raise ConfigurationError("inside is for an assertion that is signed here: pass a key, or leave it out")
        if self.key is not None and self.key.claims.keys() & set(self.inside.values()):
            raise ConfigurationError("a claim is said by the assertion and by inside: leave one out")

    @property
    def carries(self) -> frozenset[str]:
        """Return what travels in the assertion: the subject, and what `inside` names."""
        return frozenset({"subject"} | (self.inside.keys() & {"scope", "audience"}))

    @property
    def named_by(self) -> tuple[object, ...]:
        """Return what the assertion says, but for what the key of a call does."""
        return self.inside.text, None if self.key is None else self.key.named_by

    def fields(self, key: TokenKey, scope: frozenset[str]) -> dict[str, str]:
        """Return `scope` and `audience` or `resource`, each where there is one that goes into the form.

        Raises ConfigurationError for a subject that cannot be presented, or not whole.
        """
        self._check_subject(key.subject)
        outside = evolve(key, audience=None) if "audience" in self.inside else key
        return scope_fields(NO_SCOPE if "scope" in self.inside else scope) | audience_fields(outside)

    async def present(self, attempt: Attempt) -> RequestParts:
        """Return the assertion."""
        subject: Any = attempt.key.subject  # of the one kind that `fields` lets through
        if self.key is None:
            made = await presented_token(attempt, subject)
        else:
            sub = None if subject is None else subject.id
            made = await self.key.made(attempt, subject=sub, claims=self._claims(attempt))
        return RequestParts(fields={"assertion": made})

    def _check_subject(self, subject: AnySubject | None) -> None:
        if self.key is None:
            if not isinstance(subject, SubjectToken):
                raise ConfigurationError(
                    "jwt-bearer without a key presents the subject's own token: pass subject=SubjectToken(...), "
                    "or give JWTBearer a key to sign with"
                )
            if subject.actor is not None:
                raise ConfigurationError("jwt-bearer has no place for an actor: use TokenExchange, or leave it out")
        elif isinstance(subject, SubjectToken):
            raise ConfigurationError(
                "jwt-bearer with a key signs for a subject's id and cannot present a token: pass the id, "
                "or JWTBearer() without a key"
            )
        elif subject is not None and self.key.subject is not None:
            raise ConfigurationError("the assertion has a subject of its own: leave it out there or in the call")
        elif subject is not None and subject.type is not None and "subject_type" not in self.inside:
            raise ConfigurationError(
                'the subject has a type, which goes nowhere: pass inside={"subject_type": claim}, or no type'
            )

    def _claims(self, attempt: Attempt) -> dict[str, Any]:
        key = attempt.key
        scope = effective_scope(attempt.client, key)
        values = {
            "subject_type": getattr(key.subject, "type", None),
            "scope": " ".join(sorted(scope)) or None,
            "audience": None if key.audience is None else key.audience.value,
        }
        return {claim: values[part] for part, claim in self.inside.items() if values[part] is not None}
