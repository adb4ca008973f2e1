"""The kit that runs servers: they end with the session, one that cannot start says why, and packages come once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.kit import node
from tests.kit.processes import MissingError, running

SERVER = """
import json, os, sys
said = json.loads(sys.stdin.readline())
print(json.dumps({"ready": True, "said": said}), flush=True)
sys.stdin.read()
open(said["end"], "w").write("ended with stdin")
"""


def test_a_server_gets_its_settings_and_ends_with_its_stdin(tmp_path: Path) -> None:
    end = tmp_path / "end"
    with running([sys.executable, "-c", SERVER], {"end": str(end)}, log=tmp_path / "log") as told:
        assert told == {"ready": True, "said": {"end": str(end)}}
        assert not end.exists()
    assert end.read_text() == "ended with stdin"


def test_a_server_that_does_not_get_ready_is_an_error_that_shows_its_log(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no room')"]
    with pytest.raises(RuntimeError, match="no room"), running(command, {}, log=tmp_path / "log"):
        pytest.fail("it is not ready")


def locked(folder: Path) -> Path:
    """Write a lock file that names no package."""
    package = {"name": "nothing", "private": True}
    lock = {"name": "nothing", "lockfileVersion": 3, "requires": True, "packages": {"": {"name": "nothing"}}}
    (folder / "package.json").write_text(json.dumps(package))
    (folder / "package-lock.json").write_text(json.dumps(lock))
    return folder


def test_packages_are_installed_once_for_a_lock_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, runs = locked(tmp_path), []
    run = subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda command, **options: runs.append(command) or run(command, **options))
    node.install(folder)
    node.install(folder)
    assert len(runs) == 1

    text = (folder / "package-lock.json").read_text()
    (folder / "package-lock.json").write_text(text + "\n")
    node.install(folder)
    assert len(runs) == 2


def test_packages_that_cannot_be_installed_are_missing(tmp_path: Path) -> None:
    folder = locked(tmp_path)
    (folder / "package.json").write_text(json.dumps({"name": "nothing", "dependencies": {"koa": "3.2.1"}}))

    with pytest.raises(MissingError, match="npm ci"):
        node.install(folder)


def test_a_missing_node_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node.util, "find_spec", lambda name: None)
    with pytest.raises(MissingError, match="extra `test`"):
        node.node()


def test_the_lock_file_names_no_address_of_packages() -> None:
    lock = json.loads((Path(__file__).parents[1] / "servers" / "package-lock.json").read_text())
    assert lock["packages"]["node_modules/oidc-provider"]["version"] == "9.13.3"
    assert all("integrity" in package for name, package in lock["packages"].items() if name)
    assert not any("resolved" in package for package in lock["packages"].values())
