"""docs/grants.md says what the tests say that they prove, and the writer of it leaves out what did not pass."""

from __future__ import annotations

import pytest
from attrs import frozen
from tests.kit.proofs import BEGIN, END, PAGE, Proof, Proofs, claimed, table, written

A = Proof("Box", "jwt-bearer", "tests/dialects/test_box_jwt.py", "test_it_works")
B = Proof("Auth0", "client_credentials", "tests/dialects/test_auth0.py", "test_so_does_this")


@frozen
class Report:
    nodeid: str
    outcome: str = "passed"
    when: str = "call"
    user_properties: tuple[tuple[str, object], ...] = (("proves", "Box · jwt-bearer"),)


def test_the_page_tells_what_the_tests_claim() -> None:
    page = PAGE.read_text("utf-8")
    told = page.partition(BEGIN)[2].partition(END)[0].strip()

    assert told == table(claimed()).strip(), "the tests claim otherwise: nox -s proofs writes the page anew"


def test_a_table_has_a_row_for_each_thing_shown_with_all_its_tests() -> None:
    again = Proof(A.system, A.what, A.file, "test_it_works_too")

    assert table([A, B, again]).splitlines()[2:] == [
        "| Auth0 | client_credentials | [so_does_this](../tests/dialects/test_auth0.py) |",
        f"| Box | jwt-bearer | [it_works](../{A.file})<br>[it_works_too](../{A.file}) |",
    ]


def test_only_what_stands_between_the_marks_is_written() -> None:
    page = f"head\n{BEGIN}\nold\n{END}\ntail\n"

    assert written(page, [A]) == f"head\n{BEGIN}\n\n{table([A])}\n{END}\ntail\n"


@pytest.mark.parametrize("outcome", ["failed", "skipped"])
@pytest.mark.parametrize("when", ["setup", "call", "teardown"])
def test_what_broke_on_one_backend_is_not_shown(outcome: str, when: str) -> None:
    proofs, name = Proofs(), f"{A.file}::{A.test}"
    proofs.pytest_runtest_logreport(Report(f"{name}[asyncio]"))  # type: ignore[arg-type]
    assert proofs.passed == {A}
    proofs.pytest_runtest_logreport(Report(f"{name}[trio]", outcome, when))  # type: ignore[arg-type]

    assert proofs.broken == {(A.file, A.test)}
