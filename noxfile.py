"""Sessions for contributors and CI alike: `nox` runs the default ones, `nox -l` lists all."""

import os
from pathlib import Path

import nox

nox.needs_version = ">=2025.5"
nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "typing", "tests", "coverage"]

PYTHONS = nox.project.python_versions(nox.project.load_toml("pyproject.toml"))
PROVED = "*/tokenflight/model/*,*/tokenflight/protocol/*,*/tokenflight/engine/*,*/tokenflight/provider/*"
LOWEST = ("anyio==4.16.0", "attrs==24.1.0", "httpx==0.27.0", "tenacity==9.0.0")

SOCKETS = "tests/sockets"
REAL = (SOCKETS, "tests/servers")
"""What takes real seconds, on real sockets or against real servers."""


def without(folders: tuple[str, ...]) -> list[str]:
    """Return the options that leave folders out."""
    return [f"--ignore={folder}" for folder in folders]


def see_pyenv() -> None:
    """Put pyenv's interpreters ahead of its shims, which exist for versions that are not switched on too."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    found = [str(path.parent) for version in PYTHONS for path in sorted(root.glob(f"versions/*/bin/python{version}"))]
    os.environ["PATH"] = os.pathsep.join([*found, os.environ.get("PATH", "")])


see_pyenv()


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and layout."""
    session.install("ruff>=0.17,<0.18")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def typing(session: nox.Session) -> None:
    """Check the package, and users' code in tests/typing, as 3.11 and 3.13 see them."""
    session.install("-e", ".[test]")
    users = [folder for folder in ("examples", "tests/typing") if Path(folder).is_dir()]
    for version in (PYTHONS[0], PYTHONS[-1]):
        session.run("mypy", "--python-version", version, "src", *users)
        session.run("pyright", "--pythonversion", version, "src", *users)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the suite against the built package; what takes real seconds runs by itself."""
    session.install(".[test]")
    if session.posargs:
        session.run("pytest", *session.posargs)
        return
    measured = ["--cov", "--cov-report="] if session.python == PYTHONS[0] else []
    session.run("pytest", "-n", "2", "--dist", "worksteal", "--ignore", SOCKETS, *measured)
    session.run("pytest", SOCKETS, *measured, *(["--cov-append"] if measured else []))


@nox.session
def coverage(session: nox.Session) -> None:
    """Report what the first of the test sessions covered; four packages are covered whole, branches too."""
    session.install("coverage")
    session.run("coverage", "report", success_codes=[0, 2])
    session.run("coverage", "report", "--include", PROVED, "--fail-under", "100")


@nox.session
def lowest(session: nox.Session) -> None:
    """Run the quick part of the suite on the oldest dependencies that are allowed."""
    session.install(".[test]", *LOWEST)
    session.run("pytest", *without(REAL), *session.posargs)


@nox.session
def examples(session: nox.Session) -> None:
    """Run the examples."""
    session.install("-e", ".[test]")
    session.run("pytest", "tests/examples", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Run every Python block of README and docs, offline, and check that what they name exists."""
    session.install("-e", ".[test]")
    session.run("pytest", "tests/docs", *session.posargs)


@nox.session
def proofs(session: nox.Session) -> None:
    """Run what shows each grant at each system, and write docs/grants.md from what passed."""
    session.install("-e", ".[test]")
    session.run("pytest", "--proofs", "tests/dialects", "tests/servers", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Print the ratios of docs/performance.md."""
    session.install(".[test]")
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session
def long(session: nox.Session) -> None:
    """Run the proofs that take minutes."""
    session.install(".[test]")
    session.run("pytest", "-m", "long", *session.posargs)
