"""The demo as a whole: once for real, and with acts of our own to see what is shown and returned."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from rich.console import Console

from tokenflight.demo import promises
from tokenflight.demo.acts import first_cancelled
from tokenflight.demo.live import LiveView
from tokenflight.demo.programme import Act
from tokenflight.demo.promises import ColdCallers, Promise
from tokenflight.demo.run import perform
from tokenflight.demo.stage import Stage, put_up
from tokenflight.demo.view import PlainView

ESCAPE = "\x1b"
COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-7][;m]")


async def two_requests(stage: Stage) -> ColdCallers:
    stage.troubles += ["the API answered 500"] * 3
    return ColdCallers(callers=1000, served=997, requests=2, ahead=0)


CANCELLED = Act("The first caller is cancelled", first_cancelled, promises.first_cancelled)
BROKEN = Act("A request too many", two_requests, promises.cold_callers)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """Run the command as a user would who sends its output to a file, and wants colours even there."""
    return subprocess.run(
        [sys.executable, "-m", "tokenflight", "demo"],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        cwd=tmp_path_factory.mktemp("demo"),
        env={**os.environ, "FORCE_COLOR": "1", "PYTHONPATH": os.pathsep.join(absolute(sys.path))},
    )


def absolute(paths: list[str]) -> list[str]:
    return [str(Path(path).resolve()) for path in paths]


def test_the_demo_keeps_every_promise_and_exits_with_0(finished: subprocess.CompletedProcess[str]) -> None:
    report = finished.stdout.rpartition("\n\n")[0].rpartition("\n\n")[2].splitlines()

    assert [line for line in report if not line.startswith("kept ")] == [], finished.stdout
    assert len(report) == 18
    assert (finished.returncode, finished.stderr) == (0, "")


def test_the_demo_says_how_long_it_took(finished: subprocess.CompletedProcess[str]) -> None:
    total = re.search(r"^18 of 18 promises kept, in (\d+) s$", finished.stdout, re.MULTILINE)

    assert total is not None
    assert int(total[1]) <= 90  # 30 where the machine has nothing else to do


def test_without_a_terminal_the_demo_prints_plain_lines_of_ascii(finished: subprocess.CompletedProcess[str]) -> None:
    assert ESCAPE not in finished.stdout
    assert finished.stdout.isascii()
    assert re.search(r"^ *\d+\.\d s  .* calls, 0 failed; .*; keys: \d+ fresh", finished.stdout, re.MULTILINE)


@pytest.mark.anyio
async def test_a_broken_promise_is_said_with_its_count_and_is_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    code = await perform(PlainView(), (CANCELLED, BROKEN))

    lines = capsys.readouterr().out.splitlines()
    assert code == 1
    assert "BROKEN  1,000 cold callers on one key are 1 request" in "\n".join(lines)
    assert "997 served, 2 token requests" in "\n".join(lines)
    assert lines[-2].startswith("1 of 2 promises kept")
    assert lines[-1] == "3 calls failed: the API answered 500"


@pytest.mark.anyio
@pytest.mark.parametrize("width", [80, 140])
@pytest.mark.parametrize("no_color", [False, True])
async def test_on_a_terminal_the_demo_shows_a_table_of_keys_and_then_the_report(width: int, no_color: bool) -> None:
    screen = io.StringIO()
    console = Console(
        file=screen, force_terminal=True, width=width, height=30, no_color=no_color, color_system="standard"
    )

    with LiveView(console).open() as view:
        view.note("a line of the library's log")
        code = await perform(view, (CANCELLED, BROKEN))

    shown = screen.getvalue()
    assert code == 1
    for words in (
        "verdict",
        "next refresh",
        "requests",
        "waits",
        "a line of the library's log",
        "1 of 2 promises kept",
    ):
        assert words in shown
    assert "99 of 99 served, 1 token request" in shown
    assert bool(COLOUR.search(shown)) is not no_color


@pytest.mark.anyio
async def test_a_small_terminal_shows_the_latest_promises_and_the_keys() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=140, height=24)
    view = LiveView(console)
    for number in range(30):
        view.judged(Promise(f"promise {number:02}", "counted", kept=True))

    async with put_up() as stage:
        await stage.call(stage.orders("invoices"))
        with view.open(), anyio.move_on_after(1.0):
            await view.watch(stage)

    frame = screen.getvalue()
    assert "promise 29" in frame
    assert "promise 00" not in frame
    assert "orders · invoices.example" in frame
