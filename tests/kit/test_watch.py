from __future__ import annotations

import asyncio
import logging
import socket
import warnings
from collections.abc import Callable
from contextlib import suppress

import anyio
import httpx
import pytest
import trio
from tests.kit.canary import canary
from tests.kit.watch import watching

from tokenflight.errors import TokenRequestError
from tokenflight.testing import Delay, FakeTokenEndpoint, VirtualClock

FORM = {"grant_type": "client_credentials", "client_id": "service"}
logger = logging.getLogger("tokenflight.some.module")


def log_it() -> None:
    logger.debug("asking with %s", canary("secret"))


def log_it_in_a_traceback() -> None:
    try:
        raise ValueError(canary("secret"))
    except ValueError:
        logger.info("it failed", exc_info=True)


def log_it_as_extra() -> None:
    logger.warning("asking", extra={"form": FORM | {"client_secret": canary("secret")}})


def warn_of_it() -> None:
    with pytest.warns(UserWarning, match="bad secret"):
        warnings.warn(f"bad secret: {canary('secret')}", stacklevel=2)


def raise_it() -> None:
    with pytest.raises(TokenRequestError):
        raise TokenRequestError(canary("secret"))


def log_a_token() -> None:
    async def main() -> None:
        async with httpx.AsyncClient(transport=FakeTokenEndpoint().transport()) as http:
            response = await http.post("https://auth.test/", data=FORM | {"client_secret": canary("secret")})
            logger.debug("got %s", response.text)

    asyncio.run(main())


@pytest.mark.parametrize(
    "slip",
    [log_it, log_it_in_a_traceback, log_it_as_extra, warn_of_it, raise_it, log_a_token],
    ids=lambda f: f.__name__,
)
def test_a_secret_that_shows_is_found(slip: Callable[[], None]) -> None:
    with watching() as watch:
        slip()
    assert len(watch.findings) >= 1
    assert all(finding.startswith("secrets: a secret shows in a ") for finding in watch.findings)


def test_what_an_exchange_logs_shows_no_secret() -> None:
    async def main() -> None:
        endpoint = FakeTokenEndpoint()
        async with endpoint.serve() as url, httpx.AsyncClient() as http:
            await http.post(url, data=FORM, auth=("service", canary("secret")))

    with watching() as watch:
        asyncio.run(main())
    assert watch.findings == []


def test_an_open_socket_is_found() -> None:
    with watching() as watch:
        left = socket.socket()
    left.close()
    assert len(watch.findings) == 1
    assert "is still open: socket:" in watch.findings[0]


def test_a_task_that_outlives_its_asyncio_loop_is_found() -> None:
    async def main() -> None:
        tasks.append(asyncio.ensure_future(anyio.sleep_forever()))
        await asyncio.sleep(0)

    tasks: list[asyncio.Task[None]] = []
    with watching() as watch:
        asyncio.run(main())
    assert len(watch.findings) == 1
    assert "outlives its loop" in watch.findings[0]


def test_a_system_task_that_outlives_its_trio_run_is_found() -> None:
    async def main() -> None:
        trio.lowlevel.spawn_system_task(trio.sleep_forever)

    with watching() as watch:
        trio.run(main)
    assert watch.findings == ["tasks: the system task trio.sleep_forever outlives its run"]


def test_an_exception_that_nobody_retrieves_is_found() -> None:
    async def fail() -> None:
        raise KeyError("unseen")

    async def main() -> None:
        task = asyncio.ensure_future(fail())
        await asyncio.sleep(0)
        del task

    with watching() as watch:
        asyncio.run(main())
    assert any("never retrieved" in finding for finding in watch.findings)


def test_a_broken_rule_in_a_ledger_is_found_though_the_double_is_gone() -> None:
    async def main() -> None:
        clock = VirtualClock()
        endpoint = FakeTokenEndpoint(clock=clock)
        endpoint.always(Delay(1))
        async with httpx.AsyncClient(transport=endpoint.transport()) as http, anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(http.post, endpoint.url)
            await clock.advance(2)

    with watching() as watch:
        asyncio.run(main())
    assert len(watch.findings) == 1
    assert "flights: request 2" in watch.findings[0]


def test_a_finding_can_be_waived_for_a_reason() -> None:
    with watching() as watch:
        watch.waive("secrets", because="the test shows one on purpose")
        log_it()
    assert watch.findings == []
    with pytest.raises(AssertionError, match="write it down"):
        watch.waive("tasks", because="")


def test_the_doings_of_one_test_are_not_found_in_the_next() -> None:
    with watching() as first:
        log_it()
    with watching() as second:
        with suppress(ValueError):
            raise ValueError(canary("not ours to watch"))
        logger.debug("nothing to see")
    assert (len(first.findings), second.findings) == (1, [])
