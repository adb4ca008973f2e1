from __future__ import annotations

import pytest

from tokenflight.dialects.advice import Advice, hints

TABLE = (
    Advice(errors={"a"}, status=401, text="first"),
    Advice(errors={"a", "b"}, words="Quota", text="second"),
    Advice(words="organization", text="third"),
    Advice(errors={"b"}, text="fourth"),
)


@pytest.mark.parametrize(
    ("status", "error", "description", "text"),
    [
        (401, "a", None, "first"),
        (401, "a", "a quota", "first"),
        (400, "a", "the QUOTA is", "second"),
        (400, "b", "quota", "second"),
        (400, None, "your Organization!", "third"),
        (400, "b", "anything", "fourth"),
        (400, "b", None, "fourth"),
        (400, "a", "anything", None),
        (400, None, None, None),
        (400, "c", None, None),
    ],
)
def test_the_first_advice_whose_conditions_all_hold_is_given(
    status: int, error: str | None, description: str | None, text: str | None
) -> None:
    assert hints(TABLE)(status, error, description) == text


def test_a_table_may_be_any_iterable_and_is_read_once() -> None:
    hint = hints(iter(TABLE))

    assert [hint(401, "a", None), hint(401, "a", None)] == ["first", "first"]
