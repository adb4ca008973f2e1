"""`python -m benchmarks.report FILE`: put the figures of a run into docs/performance.md, between its two marks."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.__main__ import number
from benchmarks.measure import Figure

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
BEGIN = "<!-- figures: begin, written by benchmarks/report.py -->"
END = "<!-- figures: end -->"


def main() -> None:
    """Rewrite the page."""
    result = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}\n\n{tables(result)}\n{END}{after}", encoding="utf-8")


def tables(result: dict[str, Any]) -> str:
    """Write a run as Markdown."""
    machine = result["machine"]
    parts = [f"{machine['python']}, {machine['system']}, {', '.join(machine['packages'])}.\n"]
    for section in result["sections"].values():
        parts.append(f"### {section['title']}\n")
        parts.append("| what | figure | quartiles | target | how much was measured |\n|---|---|---|---|---|")
        figures = [
            Figure(**{**figure, "spread": figure["spread"] and tuple(figure["spread"])})
            for figure in section["figures"]
        ]
        parts.extend(row(figure) for figure in figures)
        parts.append("")
    return "\n".join(parts)


def row(figure: Figure) -> str:
    """Write a figure as a row of its table."""
    spread = "" if figure.spread is None else f"{figure.spread[0]:.3f} – {figure.spread[1]:.3f}"
    target = "" if figure.target is None else f"≤ {figure.target:g}{'' if figure.kept else ', **not kept**'}"
    return f"| {figure.name} | {number(figure.value)} {figure.unit} | {spread} | {target} | {figure.size} |"


if __name__ == "__main__":
    main()
