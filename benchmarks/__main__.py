"""`python -m benchmarks`: measure everything in one run and print it; `--json FILE` also writes it down."""

from __future__ import annotations

import argparse
import json
import logging
import platform
import sys
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import anyio
from attrs import asdict

from benchmarks import auth, crowd, engine, fast_path, imports, memory, signing
from benchmarks.measure import Figure

SECTIONS: dict[str, tuple[str, Callable[[float], Awaitable[list[Figure]]]]] = {
    "fast_path": ("A call for a held token", fast_path.run),
    "auth": ("A request that carries it", auth.run),
    "crowd": ("Ten thousand at once", crowd.run),
    "memory": ("What is held for a key, and what it does while nobody asks", memory.run),
    "engine": ("Behind the callers", engine.run),
    "signing": ("Signing", signing.run),
    "imports": ("Importing", imports.run),
}
PACKAGES = ("httpx", "anyio", "attrs", "tenacity")


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="section", help=f"some of: {', '.join(SECTIONS)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file too")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full sizes and rounds, such as 0.1")
    options = parser.parse_args()
    if unknown := set(options.sections) - set(SECTIONS):
        parser.error(f"there is no section {', '.join(sorted(unknown))}")
    logging.getLogger("tokenflight").setLevel(logging.ERROR)
    result: dict[str, Any] = {"machine": _machine(), "scale": options.scale, "sections": {}}
    print(f"Python {result['machine']['python']}, {', '.join(result['machine']['packages'])}")
    for name, (title, run) in SECTIONS.items():
        if options.sections and name not in options.sections:
            continue
        print(f"\n{title}")
        figures = anyio.run(run, options.scale)
        for figure in figures:
            print(f"  {line(figure)}", flush=True)
        result["sections"][name] = {"title": title, "figures": [asdict(figure) for figure in figures]}
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def line(figure: Figure) -> str:
    """Put a figure into a line of text."""
    spread = "" if figure.spread is None else f"  ({figure.spread[0]:.3f} to {figure.spread[1]:.3f})"
    target = "" if figure.target is None else f"  {'within' if figure.kept else 'ABOVE'} {figure.target:g}"
    size = f"  [{figure.size}]" if figure.size else ""
    return f"{figure.name:<54} {number(figure.value):>9} {figure.unit}{spread}{target}{size}"


def number(value: float) -> str:
    """Write a number with as many digits as it deserves."""
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def _machine() -> dict[str, Any]:
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": platform.system(),
        "packages": [f"{name} {version(name)}" for name in PACKAGES],
    }


if __name__ == "__main__":
    sys.exit(main())
