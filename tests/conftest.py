"""What every test of the suite runs under: two backends, and the watch (see tests/kit/watch.py)."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator

import pytest
from tests.kit import patches
from tests.kit.canary import sightings
from tests.kit.proofs import pytest_addoption, pytest_configure, pytest_runtest_setup
from tests.kit.watch import Watch, watching

__all__ = ["pytest_addoption", "pytest_configure", "pytest_runtest_setup"]

_FAILED = pytest.StashKey[bool]()

patches.install()


@pytest.fixture(scope="module", params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(autouse=True)
def watch(request: pytest.FixtureRequest) -> Iterator[Watch]:
    """Fail a test for what it leaves behind or lets slip; `watch.waive(kind, because=…)` for what is its very point."""
    with watching() as watch:
        yield watch
    if watch.findings and not request.node.stash.get(_FAILED, False):
        pytest.fail("\n".join(watch.findings), pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and os.environ.get("CI") == "true" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and CI=true leaves nothing out: install what it needs ({report.longrepr})"
    if report.failed:
        item.stash[_FAILED] = True
    elif report.when == "teardown" and not item.stash.get(_FAILED, False):
        shown = [sight for name, text in report.sections if "std" in name for sight in sightings(text)]
        if shown:
            report.outcome = "failed"
            report.longrepr = "\n".join(f"a secret shows in captured output: …{sight}…" for sight in shown)
    return report
