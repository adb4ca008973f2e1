"""`tokenflight demo`: the main job at work, without network and credentials."""

from __future__ import annotations

import argparse
import sys
from typing import Any, Final

EXTRA: Final = frozenset({"cryptography", "joserfc", "rich", "starlette", "uvicorn"})
"""What the extra `demo` brings."""

_DESCRIPTION: Final = (
    "Lets real httpx clients loose on an authorization server and an API on loopback, breaks things, counts, and says "
    "which promises were kept. Takes about half a minute; exit code 1 where a promise was broken."
)


def add(commands: Any) -> None:
    """Add the command to a parser's subparsers."""
    parser = commands.add_parser("demo", help="show the main job at work, on loopback", description=_DESCRIPTION)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the demo; return 2 where its extra is not installed."""
    try:
        from tokenflight.demo.run import main
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in EXTRA:
            raise
        print(f"tokenflight demo needs {missing}: pip install 'tokenflight[demo]'", file=sys.stderr)
        return 2
    return main()
