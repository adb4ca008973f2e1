"""The `tokenflight` command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tokenflight.cli import main
from tokenflight.cli.demo import EXTRA
from tokenflight.demo import run


def demo_without(module: str) -> subprocess.CompletedProcess[str]:
    """Run the command in an interpreter that cannot import *module*."""
    code = f"import sys; sys.modules[{module!r}] = None; from tokenflight.cli import main; sys.exit(main(['demo']))"
    paths = os.pathsep.join(str(Path(path).resolve()) for path in sys.path)
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": paths},
    )


@pytest.mark.parametrize("missing", sorted(EXTRA))
def test_demo_without_its_extra_says_in_one_line_what_to_install(missing: str) -> None:
    finished = demo_without(missing)

    assert (finished.returncode, finished.stdout) == (2, "")
    assert finished.stderr == f"tokenflight demo needs {missing}: pip install 'tokenflight[demo]'\n"


def test_another_missing_module_is_not_blamed_on_the_extra() -> None:
    finished = demo_without("tokenflight.demo.acts")

    assert finished.returncode == 1
    assert "ModuleNotFoundError" in finished.stderr


def test_the_exit_code_is_the_demos(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "main", lambda: 1)

    assert main(["demo"]) == 1


def test_an_interrupted_command_exits_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "main", interrupt)

    assert main(["demo"]) == 130


@pytest.mark.parametrize("arguments", [[], ["sing"], ["demo", "--loud"]])
def test_what_the_command_does_not_know_is_a_usage_error(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)

    assert caught.value.code == 2
    assert "usage: tokenflight" in capsys.readouterr().err


def test_help_names_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])

    assert caught.value.code == 0
    assert "demo" in capsys.readouterr().out
