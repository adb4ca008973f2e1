"""Who presents a certificate: one client each, the current one, few enough, and closed when nothing needs them."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from tests.kit.pki import Issued, Pair, self_signed

from tokenflight.errors import EndpointUnreachableError
from tokenflight.model.failure import Failure
from tokenflight.model.secret import Secret
from tokenflight.protocol.wire import TokenAnswer, TokenRequest
from tokenflight.testing import VirtualClock
from tokenflight.transport import carriers as module
from tokenflight.transport.carriers import HINTS, PATIENCE, Carrier, Carriers
from tokenflight.transport.certificates import KeyPair

pytestmark = pytest.mark.anyio
REQUEST = TokenRequest(url="https://auth.test/token", headers={}, body=b"a=b")


class Wire(httpx.AsyncBaseTransport):
    """Answers once it is let to, or raises."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.asked = 0
        self.go_on = anyio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        if self.error is not None:
            raise self.error
        await self.go_on.wait()
        return httpx.Response(200, content=b"{}")


@pytest.fixture
async def carriers(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Carriers]:
    monkeypatch.setattr(module, "token_client", lambda context: httpx.AsyncClient(transport=Wire()))
    made = Carriers(limit=3)
    yield made
    await made.aclose()


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


def pair_at(place: Path, name: str = "client", issued: Issued | None = None) -> tuple[Pair, KeyPair]:
    pair = Pair.at(place, issued or self_signed(), name)
    return pair, KeyPair(certificate=pair.certificate, key=pair.key)


async def carrier(carriers: Carriers, pair: KeyPair, clock: VirtualClock) -> Carrier:
    found = await carriers.carrier(pair, clock)
    assert isinstance(found, Carrier)
    return found


async def send(through: Carrier, clock: VirtualClock, got: list[Any] | None = None) -> Any:
    answer = await through.send(REQUEST, clock=clock, deadline=clock.now() + 60.0)
    if got is not None:
        got.append(answer)
    return answer


def wire(of: Carrier) -> Wire:
    transport = of.http._transport
    assert isinstance(transport, Wire)
    return transport


async def test_the_same_files_have_one_carrier_until_they_change(carriers, clock, tmp_path) -> None:
    pair, files = pair_at(tmp_path)
    first = await carrier(carriers, files, clock)
    assert await carrier(carriers, files, clock) is first
    assert first.certified
    pair.write(self_signed())
    second = await carrier(carriers, files, clock)
    assert second.fingerprint != first.fingerprint
    assert (first.http.is_closed, second.http.is_closed) == (True, False)
    assert repr(carriers) == "Carriers(1 certificates)"


async def test_other_files_and_another_password_are_other_carriers(carriers, clock, tmp_path) -> None:
    issued = self_signed()
    _, one = pair_at(tmp_path, "one", issued)
    _, two = pair_at(tmp_path, "two", issued)
    locked = KeyPair(certificate=one.certificate, key=one.key, password=Secret("not needed"))
    assert len({id(await carrier(carriers, files, clock)) for files in (one, two, locked)}) == 3


async def test_the_files_are_read_once_at_a_time_however_many_ask(carriers, clock, tmp_path, monkeypatch) -> None:
    _, files = pair_at(tmp_path)
    found: list[Carrier] = []
    reading, most, read = [0], [0], module.read_identity

    def watched(*args: Any) -> Any:
        reading[0] += 1
        most[0] = max(most[0], reading[0])
        try:
            return read(*args)
        finally:
            reading[0] -= 1

    async def ask() -> None:
        found.append(await carrier(carriers, files, clock))

    monkeypatch.setattr(module, "read_identity", watched)
    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(ask)
    assert (len(found), len({id(each) for each in found}), most[0]) == (10, 1, 1)


async def test_an_old_one_closes_when_what_is_in_the_air_on_it_has_landed(carriers, clock, tmp_path) -> None:
    pair, files = pair_at(tmp_path)
    old, got = await carrier(carriers, files, clock), list[Any]()
    async with anyio.create_task_group() as group:
        for _ in range(2):
            group.start_soon(send, old, clock, got)
        await anyio.wait_all_tasks_blocked()
        pair.write(self_signed())
        assert await carrier(carriers, files, clock) is not old
        assert (old.in_the_air, old.http.is_closed) == (2, False)
        wire(old).go_on.set()
    assert all(isinstance(answer, TokenAnswer) for answer in got)
    assert old.http.is_closed


async def test_an_old_one_closes_when_what_is_in_the_air_on_it_is_cancelled(carriers, clock, tmp_path) -> None:
    pair, files = pair_at(tmp_path)
    old = await carrier(carriers, files, clock)
    async with anyio.create_task_group() as group:
        group.start_soon(send, old, clock)
        await anyio.wait_all_tasks_blocked()
        pair.write(self_signed())
        await carrier(carriers, files, clock)
        group.cancel_scope.cancel()
    assert old.http.is_closed


async def test_the_longest_unused_makes_room_and_one_in_use_stays(carriers, clock, tmp_path) -> None:
    pairs = [pair_at(tmp_path, str(number))[1] for number in range(5)]
    made = [await carrier(carriers, files, clock) for files in pairs[:3]]
    async with anyio.create_task_group() as group:
        group.start_soon(send, made[0], clock)
        await anyio.wait_all_tasks_blocked()
        await carrier(carriers, pairs[1], clock)
        await carrier(carriers, pairs[3], clock)
        assert [each.http.is_closed for each in made] == [False, False, True]
        await carrier(carriers, pairs[4], clock)
        assert [each.http.is_closed for each in made] == [False, True, True]
        assert len(carriers._slots) == 3
        wire(made[0]).go_on.set()
    assert await carrier(carriers, pairs[0], clock) is made[0]


async def test_where_all_are_in_use_there_may_be_more_for_a_while(carriers, clock, tmp_path) -> None:
    pairs = [pair_at(tmp_path, str(number))[1] for number in range(5)]
    async with anyio.create_task_group() as group:
        for files in pairs[:4]:
            group.start_soon(send, await carrier(carriers, files, clock), clock)
            await anyio.wait_all_tasks_blocked()
        assert len(carriers._slots) == 4
        group.cancel_scope.cancel()
    await carrier(carriers, pairs[4], clock)
    assert len(carriers._slots) == 3
    assert sum(not each.http.is_closed for each in carriers._former) == 0


async def test_one_that_never_was_of_any_use_makes_room_too(carriers, clock, tmp_path) -> None:
    missing = [KeyPair(certificate=tmp_path / str(number)) for number in range(5)]
    assert all([isinstance(await carriers.carrier(files, clock), Failure) for files in missing])
    assert len(carriers._slots) == 3


async def test_files_that_are_of_no_use_for_a_while_do_not_stop_the_old_certificate(carriers, clock, tmp_path) -> None:
    pair, files = pair_at(tmp_path)
    old, content = await carrier(carriers, files, clock), pair.key.read_bytes()
    for _ in range(2):
        pair.key.unlink()
        assert await carrier(carriers, files, clock) is old
        await clock.advance(PATIENCE - 0.1)
        assert await carrier(carriers, files, clock) is old
        pair.key.write_bytes(content)
        assert await carrier(carriers, files, clock) is old


async def test_and_stop_it_after_that_until_they_are_of_use_again(carriers, clock, tmp_path) -> None:
    pair, files = pair_at(tmp_path)
    old, content = await carrier(carriers, files, clock), pair.key.read_bytes()
    pair.key.unlink()
    await carrier(carriers, files, clock)
    await clock.advance(PATIENCE)
    failure = await carriers.carrier(files, clock)
    assert isinstance(failure, Failure)
    assert (failure.reason, failure.transient) == ("credential", True)
    pair.key.write_bytes(content)
    assert await carrier(carriers, files, clock) is old


async def test_who_is_cancelled_while_the_files_are_read_blocks_nobody(carriers, clock, tmp_path, monkeypatch) -> None:
    _, files = pair_at(tmp_path)
    read, go_on, done = module.read_identity, threading.Event(), threading.Semaphore(0)

    def slow(*args: Any) -> Any:
        go_on.wait(10)
        try:
            return read(*args)
        finally:
            done.release()

    monkeypatch.setattr(module, "read_identity", slow)
    with anyio.move_on_after(0.02) as scope:
        await carriers.carrier(files, clock)
    assert scope.cancelled_caught
    assert not carriers._slots[files.name].busy
    go_on.set()
    await carrier(carriers, files, clock)
    for _ in range(2):
        assert done.acquire(timeout=10), "the thread that was left to itself ends too"


async def test_leaving_closes_all_of_them_even_where_one_cannot_be(carriers, clock, tmp_path, monkeypatch) -> None:
    pair, files = pair_at(tmp_path, "one")
    made = [await carrier(carriers, files, clock), await carrier(carriers, pair_at(tmp_path, "two")[1], clock)]

    async def fails() -> None:
        raise OSError

    async with anyio.create_task_group() as group:
        group.start_soon(send, made[0], clock)
        await anyio.wait_all_tasks_blocked()
        pair.write(self_signed())
        made.append(await carrier(carriers, files, clock))
        monkeypatch.setattr(wire(made[0]), "aclose", fails)
        await carriers.aclose()
        group.cancel_scope.cancel()
    assert [each.http.is_closed for each in made] == [True, True, True]
    assert repr(carriers) == "Carriers(0 certificates)"


@pytest.mark.parametrize("certified", [True, False])
async def test_only_where_a_certificate_counts_does_a_broken_connection_hint_at_it(clock, certified) -> None:
    for error, reason in (
        (httpx.ReadError("broken"), "reset"),
        (httpx.RemoteProtocolError("Server disconnected without sending a response."), "reset"),
        (httpx.ConnectTimeout("late"), "timeout"),
    ):
        async with httpx.AsyncClient(transport=Wire(error)) as http:
            failure = await send(Carrier(http=http, certified=certified), clock)
        assert (failure.error, failure.reason, failure.transient, failure.counts) == (
            EndpointUnreachableError,
            reason,
            True,
            True,
        )
        assert failure.hint == (HINTS.get(reason) if certified else None)


async def test_the_name_of_another_endpoint_is_handed_on(clock) -> None:
    async with httpx.AsyncClient(transport=Wire(httpx.ReadError("broken"))) as http:
        through = Carrier(http=http)
        failure = await through.send(REQUEST, clock=clock, deadline=clock.now() + 1.0, endpoint="revocation")
    assert isinstance(failure, Failure)
    assert "revocation endpoint" in failure.detail
