"""The `tokenflight` command."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Final

from tokenflight.cli import demo

COMMANDS: Final = (demo,)
"""Each module adds its command to the parser and names the function that runs it."""

INTERRUPTED: Final = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; *arguments* are those of this process where None is given."""
    parser = argparse.ArgumentParser(prog="tokenflight", description="Fresh OAuth 2 access tokens for async programs.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add(commands)
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options))
    except KeyboardInterrupt:
        return INTERRUPTED
