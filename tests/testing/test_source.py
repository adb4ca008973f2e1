from __future__ import annotations

import pytest

from tokenflight.model.secret import Secret
from tokenflight.model.token import Token
from tokenflight.testing import StaticTokenSource

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("value", ["one", Secret("one"), Token("one")])
async def test_it_hands_out_what_it_was_given(value: str | Secret | Token) -> None:
    source = StaticTokenSource(value)
    assert (await source.token()).header == "Bearer one"
    assert (source.token_calls, source.renew_calls) == (1, 0)


async def test_a_renewal_brings_another_token_only_after_a_swap() -> None:
    source = StaticTokenSource("one")
    old = await source.token()
    assert await source.renew(old, origin="https://api.test") is old
    source.swap("two")
    assert (await source.renew()).header == (await source.token()).header == "Bearer two"
    assert source.rejections == [(old, "https://api.test"), (None, None)]
    assert "one" not in repr(source)
    assert "two" not in repr(source)
