"""Token exchange: a token of a subject buys another one, narrower or for another API (RFC 8693)."""

from __future__ import annotations

from typing import Any

from attrs import Attribute, field, frozen

from tokenflight.errors import ConfigurationError
from tokenflight.model.key import TokenKey
from tokenflight.model.subject_token import ACCESS_TOKEN, SubjectToken
from tokenflight.protocol.client_authentication import Attempt, RequestParts
from tokenflight.protocol.grants import audience_fields, scope_fields
from tokenflight.protocol.presented import presented_token


def _is_uri(instance: object, attribute: Attribute[Any], value: object) -> None:
    if value is not None and (not isinstance(value, str) or not value):
        raise ConfigurationError("requested_token_type is a URI: pass one, such as ACCESS_TOKEN, or leave it out")


@frozen(kw_only=True)
class TokenExchange:
    """The call's subject is a `SubjectToken`, which is presented for the token that is wanted.

    Scope and audience travel as they do with ClientCredentials; an actor of the subject token goes along.

    Args:
        requested_token_type: which type of token is wanted, a URI of RFC 8693, section 3; None leaves that to the
            server, which then gives an access token.

    Raises ConfigurationError for what is no text.
    """

    requested_token_type: str | None = field(default=None, validator=_is_uri)
    grant_type = "urn:ietf:params:oauth:grant-type:token-exchange"
    repeatable = True
    carries = frozenset({"subject"})

    @property
    def wants_another_type(self) -> bool:
        """Tell whether what is wanted is no access token, so that its type may be `N_A` (RFC 8693, section 2.2.1)."""
        return self.requested_token_type not in (None, ACCESS_TOKEN)

    def fields(self, key: TokenKey, scope: frozenset[str]) -> dict[str, str]:
        """Return the types of the tokens that are presented and wanted, the scope and the audience.

        Raises ConfigurationError for a subject that is no token, and for an actor that has an actor itself.
        """
        subject = _subject_token(key)
        fields = {"subject_token_type": subject.type}
        if subject.actor is not None:
            fields["actor_token_type"] = subject.actor.type
        if self.requested_token_type is not None:
            fields["requested_token_type"] = self.requested_token_type
        return fields | scope_fields(scope) | audience_fields(key)

    async def present(self, attempt: Attempt) -> RequestParts:
        """Return the subject token, and the actor's where there is one."""
        subject = _subject_token(attempt.key)
        fields = {"subject_token": await presented_token(attempt, subject)}
        if subject.actor is not None:
            fields["actor_token"] = await presented_token(attempt, subject.actor)
        return RequestParts(fields=fields)


def _subject_token(key: TokenKey) -> SubjectToken:
    if not isinstance(key.subject, SubjectToken):
        raise ConfigurationError("token exchange presents the token of a subject: pass subject=SubjectToken(...)")
    if key.subject.actor is not None and key.subject.actor.actor is not None:
        raise ConfigurationError("token exchange has no place for the actor of an actor: leave it out")
    return key.subject
