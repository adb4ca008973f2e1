"""Processes: a script that ends, one that never left, one that forks; and runners of tests with loops of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOUSE = """
import logging
from tests.kit.house import client_of, state_of, real_house
# A machine under load is slow, and asyncio's debug mode says so.
logging.getLogger("asyncio").addFilter(lambda record: not record.getMessage().startswith("Executing"))
"""


def run(tmp_path: Path, script: str, *options: str, timeout: float = 30.0) -> subprocess.CompletedProcess[str]:
    path = tmp_path / "script.py"
    path.write_text(HOUSE + textwrap.dedent(script))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    return subprocess.run(
        [sys.executable, *options, str(path)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=environment,
        check=False,
    )


NEVER_LEFT = """
    import anyio, sys, time
    provider, endpoint = real_house()

    async def main():
        await provider.__aenter__()
        await provider.token(audience="orders")
        provider.source(audience="hangs", keep_warm=True)
        endpoint.hang()
        provider.source(audience="hangs too", keep_warm=True)
        await anyio.sleep(0.01)

    anyio.run(main, backend=BACKEND)
    print(time.time())
"""


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_script_that_never_leaves_ends_at_once_with_one_resource_warning(tmp_path: Path, backend: str) -> None:
    done = run(tmp_path, NEVER_LEFT.replace("BACKEND", repr(backend)), "-W", "always::ResourceWarning")
    assert done.returncode == 0, done.stderr
    assert time.time() - float(done.stdout) < 1.0
    assert done.stderr.count("ResourceWarning:") == 1, done.stderr
    assert "entered and never left: use `async with`" in done.stderr
    assert "Traceback" not in done.stderr


CLEAN = """
    import anyio
    from tokenflight import TokenProvider
    from tokenflight.testing import FakeTokenEndpoint
    endpoint = FakeTokenEndpoint(expires_in=3)
    told = []

    async def hook(event):
        told.append(event)

    async def main():
        async with endpoint.serve() as url:
            provider = TokenProvider(client_of(FakeTokenEndpoint(url=url)), hooks=[hook])
            async with provider:
                async with anyio.create_task_group() as tasks:
                    for number in range(50):
                        tasks.start_soon(lambda key=f"api-{number % 5}": provider.token(audience=key))
                endpoint.hang()
                provider.source(audience="hangs", keep_warm=True)
                await anyio.sleep(0.05)
            endpoint.up()

    anyio.run(main, backend=BACKEND)
    assert told
"""


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_run_to_its_end_under_every_warning_and_debug_switch_there_is_nothing_to_say(
    tmp_path: Path, backend: str
) -> None:
    done = run(tmp_path, CLEAN.replace("BACKEND", repr(backend)), "-X", "dev", "-W", "error")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_a_provider_that_goes_with_the_interpreter_says_nothing(tmp_path: Path) -> None:
    script = """
        import asyncio, httpx
        from tokenflight import TokenProvider
        from tokenflight.testing import FakeTokenEndpoint
        provider = TokenProvider(client_of(FakeTokenEndpoint()))
        auth, source = provider.auth(audience="orders"), provider.source(audience="orders")

        class Keeper:
            def __del__(self):
                repr(provider), repr(source), provider.status(), provider.health()

        async def main():
            async with provider:
                pass

        keeper = Keeper()
        asyncio.run(main())
    """
    done = run(tmp_path, script, "-X", "dev", "-W", "error")
    assert (done.returncode, done.stderr) == (0, "")


FORKING = """
    import anyio, asyncio, os, sys, traceback
    from tokenflight import TokenProvider
    from tokenflight.testing import FakeTokenEndpoint, Delay
    endpoint = FakeTokenEndpoint()
    PARENT = os.getpid()

    async def child(provider, warm):
        try:
            await provider.token(audience="cold")
            return 3
        except Exception as error:
            assert type(error).__name__ == "ProviderClosedError", error
        async with provider:
            engine = state_of(provider)
            assert not engine.flights, engine.flights
            assert await provider.token(audience="warm") is warm
            for key in ("in the air", f"cold of {os.getpid()}", "warm enough"):
                assert (await provider.token(audience=key)).access_token
            assert (await provider.renew(audience="warm")) is not warm
            return 0

    def in_child(provider, warm):
        code = 1
        try:
            code = asyncio.run(child(provider, warm))
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)

    async def main():
        async with endpoint.serve() as url:
            provider = TokenProvider(client_of(FakeTokenEndpoint(url=url)))
            async with provider:
                warm = await provider.token(audience="warm")
                await provider.token(audience="warm enough")
                endpoint.script(Delay(1.0))
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(lambda: provider.token(audience="in the air"))
                    while len(endpoint.ledger) < 3:
                        await anyio.sleep(0.01)
                    children = []
                    for _ in range(8):
                        pid = os.fork()
                        if pid == 0:
                            in_child(provider, warm)
                        children.append(pid)
                    codes = []
                    while children:
                        pid, status = os.waitpid(-1, os.WNOHANG)
                        if pid:
                            children.remove(pid)
                            codes.append(os.waitstatus_to_exitcode(status))
                        await anyio.sleep(0.01)
                assert codes == [0] * 8, codes
                assert await provider.token(audience="warm") is warm
                assert (await provider.token(audience="in the air")).access_token
                await provider.renew(audience="warm")
            # two in each child that it had none of, one renewal each, and four by the parent
            assert len(endpoint.ledger) == 8 * 3 + 4, len(endpoint.ledger)
            assert len(endpoint.tokens) == 8 * 3 + 4

    asyncio.run(main())
    print("done", os.getpid() == PARENT)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_eight_forked_children_start_anew_with_a_warm_provider_and_a_flight_in_the_air(tmp_path: Path) -> None:
    done = run(tmp_path, FORKING)
    assert done.stdout == "done True\n", done.stderr
    assert "Traceback" not in done.stderr, done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_provider_that_was_warm_before_the_fork_serves_each_child_without_a_request(
    tmp_path: Path, backend: str
) -> None:
    script = f"""
        import anyio, os
        provider, endpoint = real_house()

        async def fetch():
            async with provider:
                return await provider.token(audience="orders")

        warm = anyio.run(fetch, backend={backend!r})
        codes = []
        for _ in range(8):
            pid = os.fork()
            if pid == 0:
                os._exit(0 if anyio.run(fetch, backend={backend!r}) is warm and len(endpoint.ledger) == 1 else 1)
            codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        print(codes)
    """
    done = run(tmp_path, script, "-W", "error")
    assert done.stdout == f"{[0] * 8}\n", done.stderr
    assert done.stderr == ""


PYTEST_ASYNCIO = """
import asyncio
import pytest
import pytest_asyncio
from tests.kit.house import house


@pytest_asyncio.fixture
async def at():
    at = house()
    async with at.provider:
        yield at


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared():
    at = house()
    async with at.provider:
        yield at


async def test_a_fixture_enters_and_leaves(at):
    assert (await at.get()).access_token


async def test_a_hanging_endpoint_does_not_hold_up_the_end_of_a_test(at):
    at.endpoint.hang()
    task = asyncio.ensure_future(at.get())
    await at.clock.settle()
    task.cancel()


@pytest.mark.asyncio(loop_scope="module")
async def test_a_module_shares_one(shared):
    assert (await shared.get()).access_token


@pytest.mark.asyncio(loop_scope="module")
async def test_a_module_shares_one_still(shared):
    await shared.get()
    assert len(shared.endpoint.ledger) == 1
"""


def test_a_fixture_of_pytest_asyncio_enters_and_leaves(tmp_path: Path) -> None:
    (tmp_path / "test_users.py").write_text(PYTEST_ASYNCIO)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    options = ["-q", "-p", "pytest_asyncio", "-p", "no:cacheprovider", "-p", "no:xdist", "-W", "error"]
    options += ["-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout
