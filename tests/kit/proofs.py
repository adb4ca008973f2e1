"""Proofs: which test shows which grant at which system, as docs/grants.md tells it.

A test says `@pytest.mark.proves(system, what)`. A run that is told `--proofs` writes down those that passed, on every
backend; tests/docs/test_proofs.py holds the page to what the tests say of themselves.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from attrs import define, field, frozen

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "grants.md"
BEGIN, END = "<!-- proofs: written by `nox -s proofs` -->", "<!-- end of proofs -->"


@frozen(order=True)
class Proof:
    """A system, what is shown there, and the test that shows it."""

    system: str
    what: str
    file: str
    test: str


@define(eq=False)
class Proofs:
    """What a run has shown. A test that failed or was skipped on any backend shows nothing."""

    passed: set[Proof] = field(factory=set)
    broken: set[tuple[str, str]] = field(factory=set)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        file, _, name = report.nodeid.partition("::")
        test = name.partition("[")[0]
        if report.outcome != "passed":
            self.broken.add((file, test))
        elif report.when == "call":
            shown = [value for name, value in report.user_properties if name == "proves"]
            self.passed |= {Proof(*str(value).split(" · ", 1), file, test) for value in shown}

    def pytest_sessionfinish(self) -> None:
        whole = {proof for proof in self.passed if (proof.file, proof.test) not in self.broken}
        PAGE.write_text(written(PAGE.read_text("utf-8"), whole), "utf-8")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--proofs", action="store_true", help="write the proofs of this run into docs/grants.md")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--proofs", default=False) and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Proofs(), "proofs")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("proves"):
        item.user_properties.append(("proves", " · ".join(mark.args)))


def written(page: str, proofs: Iterable[Proof]) -> str:
    """Return the page with the table of *proofs* between its two marks."""
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n\n{table(proofs)}\n{END}{tail}"


def table(proofs: Iterable[Proof]) -> str:
    rows: dict[tuple[str, str], list[Proof]] = defaultdict(list)
    for proof in sorted(set(proofs)):
        rows[proof.system, proof.what].append(proof)
    lines = ["| system | grant and what of it | shown by |", "|---|---|---|"]
    for (system, what), shown in rows.items():
        tests = "<br>".join(f"[{proof.test.removeprefix('test_')}](../{proof.file})" for proof in shown)
        lines.append(f"| {system} | {what} | {tests} |")
    return "\n".join([*lines, ""])


def claimed(folder: Path = ROOT / "tests") -> Iterator[Proof]:
    """Yield what the tests say that they prove, as their text stands."""
    for path in sorted(folder.rglob("test_*.py")):
        text = path.read_text("utf-8")
        if "proves(" in text:
            yield from _of_module(ast.parse(text), path.relative_to(ROOT).as_posix())


def _of_module(tree: ast.Module, file: str) -> Iterator[Proof]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for call in node.decorator_list:
                if isinstance(call, ast.Call) and ast.unparse(call.func) == "pytest.mark.proves":
                    yield Proof(*(ast.literal_eval(argument) for argument in call.args), file, node.name)
