"""What the texts name exists: files, links, and one test command."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\((?!https?://|#)(?P<target>[^)#\s]+)(?:#[^)]*)?\)")
SHELL = re.compile(r"^```sh\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    missing = [match["target"] for match in LINK.finditer(page.read_text("utf-8"))]

    assert [target for target in missing if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_test_and_source_file_that_is_named_exists(page: Path) -> None:
    named = re.findall(r"`((?:tests|src|docs|examples|benchmarks)/[\w./-]+)`", page.read_text("utf-8"))

    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_test_that_is_named_exists(page: Path) -> None:
    named = re.findall(r"`(tests/[\w./-]+)::(\w+)`", page.read_text("utf-8"))

    assert [f"{file}::{test}" for file, test in named if not is_defined(file, test)] == []


def is_defined(file: str, test: str) -> bool:
    path = ROOT / file
    return path.exists() and re.search(rf"^(async )?def {test}\(", path.read_text("utf-8"), re.MULTILINE) is not None


def test_every_place_of_a_token_names_its_tests_but_what_no_test_can_see() -> None:
    table = [line for line in (ROOT / "SECURITY.md").read_text("utf-8").splitlines() if line.startswith("| ")]
    untested = [row.split(" | ")[0] for row in table[1:] if "`tests/" not in row.rpartition(" | ")[2]]

    assert len(table) > 10
    assert untested == ["| a core dump, a debugger, swap"]


def test_ci_runs_the_readmes_test_command_and_contributing_names_no_other() -> None:
    demo, test = [match["code"].strip() for match in SHELL.finditer((ROOT / "README.md").read_text("utf-8"))]
    script = (ROOT / ".ci" / "run").read_text("utf-8").splitlines()

    assert demo.endswith("-m tokenflight demo")
    assert script[-1] == test
    assert SHELL.findall((ROOT / "CONTRIBUTING.md").read_text("utf-8")) == [test + "\n"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_heading_stands_between_blank_lines(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    lines = ["", *text.splitlines(), ""]
    crowded = [line for n, line in enumerate(lines) if line.startswith("#") and (lines[n - 1] or lines[n + 1])]

    assert crowded == []


def test_the_core_dependencies_are_four() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

    assert sorted(re.match(r"[a-z]+", name)[0] for name in project["dependencies"]) == [  # type: ignore[index]
        "anyio",
        "attrs",
        "httpx",
        "tenacity",
    ]
