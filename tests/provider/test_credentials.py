"""Reading secrets: anew on each attempt, in nobody's way, and without a word of what was read."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from tests.kit.town import client

from tokenflight import Secret
from tokenflight.model.failure import CredentialError
from tokenflight.provider import credentials
from tokenflight.provider.credentials import Reader

pytestmark = pytest.mark.anyio
CANARY = "CNRY-5ec4e7"


async def test_a_secret_is_itself_and_will_be_the_same_next_time() -> None:
    for source in (CANARY, Secret(CANARY)):
        reader = Reader(client())
        assert await reader.read(source) == Secret(CANARY)
        assert not reader.changeable
        assert reader.seen == [Secret(CANARY)]


async def test_a_file_is_read_in_a_worker_thread_each_time_anew_without_white_space_around_it(tmp_path: Path) -> None:
    path, threads = tmp_path / "secret", []

    class Watched(type(path)):  # type: ignore[misc]
        def read_text(self, *args: Any, **options: Any) -> str:
            threads.append(threading.current_thread())
            return str(super().read_text(*args, **options))

    reader, watched = Reader(client()), Watched(path)
    for text in ("first", "sécond"):
        path.write_text(f" {text}\n", "utf-8")
        assert await reader.read(watched) == Secret(text)
    assert reader.changeable
    assert threading.main_thread() not in threads


async def test_a_callable_is_called_each_time_and_awaited_where_need_be() -> None:
    async def vault() -> str:
        return "from afar"

    for source, text in ((lambda: "near", "near"), (lambda: Secret("wrapped"), "wrapped"), (vault, "from afar")):
        reader = Reader(client())
        assert await reader.read(source) == Secret(text)
        assert reader.changeable


def fails() -> str:
    raise LookupError(CANARY)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (fails, "a callable that holds a secret raised LookupError"),
        (lambda: "", "a callable that holds a secret gave no secret"),
        (lambda: 7, "a callable that holds a secret gave no secret"),
        (
            Path("/nowhere/CNRY-not-this/secret.txt"),
            "the file 'secret.txt' that holds a secret raised FileNotFoundError",
        ),
    ],
)
async def test_a_source_that_fails_is_transient_and_says_no_more_than_the_type(source, told) -> None:
    with pytest.raises(CredentialError) as raised:
        await Reader(client()).read(source)
    failure = raised.value.failure
    assert (failure.reason, failure.detail, failure.transient, failure.counts) == ("credential", told, True, False)
    assert raised.value.__context__ is raised.value.__cause__ is None
    assert CANARY not in repr(vars(raised.value)) + str(raised.value)


async def test_an_empty_file_gives_no_secret(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.write_text("\n")
    with pytest.raises(CredentialError) as raised:
        await Reader(client()).read(path)
    assert raised.value.failure.detail == "the file 'empty' that holds a secret gave no secret"


async def print_of(*sources: Any, of: object = None) -> bytes:
    reader = Reader(client() if of is None else of)
    for source in sources:
        await reader.read(source)
    return reader.fingerprint


async def test_the_fingerprint_is_the_same_for_the_same_and_another_for_anything_else() -> None:
    same = await print_of("a", "b")
    assert await print_of(lambda: "a", Secret("b")) == same
    others = [
        await print_of("a"),
        await print_of("b", "a"),
        await print_of("ab"),
        await print_of("a", "b", "c"),
        await print_of("a", "b", of=client("another")),
        await print_of("a", "b", of=client(secret="another")),
        await print_of(),
    ]
    assert len({same, *others}) == len(others) + 1


async def test_the_fingerprint_gives_away_nothing_and_means_nothing_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    before = await print_of(CANARY)
    assert len(before) == 16
    assert CANARY.encode() not in before
    monkeypatch.setattr(credentials, "_SALT", b"another process")
    assert await print_of(CANARY) != before


async def test_a_secret_without_a_utf8_form_has_a_fingerprint_too() -> None:
    assert await print_of("\ud800") != await print_of("\ud801")
