"""Presented: the text of a subject token, wherever it comes from, for one request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenflight.errors import ConfigurationError
from tokenflight.model.subject_token import AssertionSource, SubjectToken, TokenSource
from tokenflight.protocol.client_authentication import has_surrogate

if TYPE_CHECKING:
    from tokenflight.model.secret import Secret
    from tokenflight.protocol.client_authentication import Attempt


async def presented_token(attempt: Attempt, subject: SubjectToken) -> str:
    """Return what *subject* presents in one attempt, asked for or made anew unless it was given by value.

    Whatever its source raises comes out. Raises ConfigurationError for a text that cannot be sent.
    """
    source = subject.value
    if isinstance(source, AssertionSource):
        return await source.made(attempt)
    secret: Secret
    if isinstance(source, TokenSource):
        secret = await attempt.read((await source.token()).access_token)
    else:
        secret = await attempt.read(source)
    text = secret.reveal()
    if has_surrogate(text):
        raise ConfigurationError("a subject token holds a lone surrogate, which has no UTF-8 form: check its source")
    return text
