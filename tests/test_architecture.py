"""The house holds: who may import whom and what, and how big a thing may grow.

Each rule is a function from modules to complaints. It runs on the source tree, where it must find nothing, and on small
bad modules, where it must complain: a wall that cannot be seen to fall is none.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from attrs import frozen

SOURCE = Path(__file__).parents[1] / "src" / "tokenflight"

FLOORS: tuple[tuple[str, ...], ...] = (
    ("errors", "model"),
    ("protocol", "dialects"),
    ("transport", "stores"),
    ("engine",),
    ("provider",),
    ("ext", "observe", "testing"),
    ("",),  # the door plate, tokenflight/__init__.py
    ("demo", "cli", "__main__"),  # users of it, so above it
)
"""Packages by floor; on a floor each may import from those before it."""

THIRD_PARTIES: dict[str, frozenset[str]] = {
    "errors": frozenset(),
    "model": frozenset({"attrs"}),
    "model.clock": frozenset({"anyio"}),
    "protocol": frozenset({"attrs"}),
    "protocol.private_keys": frozenset({"attrs", "cryptography", "joserfc"}),  # the extra `jwt`, inside functions only
    "protocol.verification": frozenset({"attrs", "joserfc"}),  # likewise
    "dialects": frozenset({"attrs"}),
    "transport": frozenset({"anyio", "attrs", "httpx"}),
    "transport.endpoint": frozenset({"anyio", "attrs", "httpx", "tenacity"}),
    "stores": frozenset({"anyio", "attrs"}),
    "engine": frozenset({"anyio", "attrs"}),
    "engine.root_task": frozenset({"anyio", "asyncio", "attrs", "trio"}),
    "provider": frozenset({"anyio", "attrs"}),
    "ext": frozenset({"httpx"}),
    "observe": frozenset({"attrs"}),
    "testing": frozenset({"anyio", "attrs", "httpx"}),
    "testing.settling": frozenset({"anyio", "asyncio", "trio"}),  # to see whether all other tasks wait
    "demo": frozenset({"anyio", "attrs"}),
    "demo.api": frozenset({"starlette"}),
    "demo.authority": frozenset({"starlette"}),
    "demo.box_desk": frozenset({"starlette"}),
    "demo.faults": frozenset({"attrs", "starlette"}),
    "demo.forms": frozenset({"starlette"}),
    "demo.hosting": frozenset({"anyio", "starlette", "uvicorn"}),
    "demo.live": frozenset({"anyio", "rich"}),
    "demo.run": frozenset({"anyio", "rich"}),
    "demo.signatures": frozenset({"attrs", "cryptography", "joserfc"}),  # its keys, and what their servers verify
    "demo.stage": frozenset({"anyio", "attrs", "httpx"}),
    "cli": frozenset(),
    "__main__": frozenset(),
    "": frozenset({"?"}),  # the door plate loads names lazily, by a table
}
"""What a module may import from outside; its own line stands before its package's."""

NAMED_IN_SIGNATURES = {"provider": frozenset({"httpx"})}
"""What a package may name to type checkers beside: a user's client passes through, and nothing of it is called."""

DOOR = ("provider.provider", "ext.httpx", "auth")
"""The one import upstairs: `auth()` makes its TokenAuth inside the method and names it for type checkers."""

WAITS = {"anyio.sleep", "anyio.sleep_until", "anyio.move_on_after", "anyio.fail_after", "time.sleep"}
ON_THEIR_OWN_TIME = ("transport.clock", "engine.root_task", "testing", "demo", "cli", "__main__")
"""The root task bounds its own end in real seconds: no clock of a test runs on while its loop is closing."""

SPAWNS = {"create_task", "ensure_future", "run_coroutine_threadsafe"}


@frozen
class Module:
    """A module: its dotted name below the package (empty for the door plate), text and tree."""

    name: str
    text: str
    tree: ast.Module

    @classmethod
    def of(cls, name: str, text: str) -> Module:
        return cls(name, text, ast.parse(text))

    @property
    def package(self) -> str:
        return self.name.partition(".")[0]

    def below(self, *prefixes: str) -> bool:
        return any(self.name == prefix or self.name.startswith(f"{prefix}.") for prefix in prefixes)


@frozen
class Import:
    """One imported module, the functions around it, and whether only type checkers see it."""

    target: str
    inside: tuple[str, ...]
    typing_only: bool
    line: int


@cache
def the_house() -> tuple[Module, ...]:
    modules = []
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        modules.append(Module.of(".".join(part for part in parts if part != "__init__"), path.read_text("utf-8")))
    return tuple(modules)


def imports(module: Module) -> Iterator[Import]:
    yield from _imports(module.tree, (), typing_only=False)


def _imports(node: ast.AST, inside: tuple[str, ...], *, typing_only: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(alias.name, inside, typing_only, child.lineno)
        elif isinstance(child, ast.ImportFrom):
            for alias in child.names:
                yield Import(f"{child.module}.{alias.name}", inside, typing_only, child.lineno)
        elif isinstance(child, ast.Call) and ast.unparse(child.func).rpartition(".")[2] in {
            "import_module",
            "__import__",
        }:
            named = child.args[0] if child.args else None
            yield Import(
                str(named.value) if isinstance(named, ast.Constant) else "?", inside, typing_only, child.lineno
            )
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            for statement in child.body:
                yield from _imports(ast.Module([statement], []), inside, typing_only=True)
            for statement in child.orelse:
                yield from _imports(ast.Module([statement], []), inside, typing_only=typing_only)
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _imports(child, (*inside, child.name), typing_only=typing_only)
        else:
            yield from _imports(child, inside, typing_only=typing_only)


def own(target: str, names: set[str]) -> str | None:
    """Return which of our modules an import reaches: the longest name there is; None where it is not ours."""
    first, _, rest = target.partition(".")
    if first != "tokenflight":
        return None
    while rest and rest not in names:
        rest = rest.rpartition(".")[0]
    return rest


def floor_of(package: str) -> tuple[int, int]:
    for floor, packages in enumerate(FLOORS):
        if package in packages:
            return floor, packages.index(package)
    raise AssertionError(f"{package}: no floor is known for it; give it one in FLOORS")


def walls(modules: tuple[Module, ...]) -> Iterator[str]:
    """A module imports from lower floors, from its own package, and from packages before it on its own floor."""
    names = {module.name for module in modules}
    for module in modules:
        for found in imports(module):
            target = own(found.target, names)
            if target is None or target.partition(".")[0] == module.package:
                continue
            if floor_of(target.partition(".")[0]) < floor_of(module.package):
                continue
            upstairs_for_types = (module.package, found.typing_only) == ("errors", True) and target.startswith("model.")
            through_the_door = (module.name, target) == DOOR[:2] and (found.typing_only or DOOR[2] in found.inside)
            if not upstairs_for_types and not through_the_door:
                yield f"{module.name}:{found.line} imports {target or 'the door plate'}, which is not below it"


def third_parties(modules: tuple[Module, ...]) -> Iterator[str]:
    """Only the table's packages come in from outside; asyncio counts as one, a name that is computed is none (`?`)."""
    for module in modules:
        allowed = THIRD_PARTIES.get(module.name, THIRD_PARTIES.get(module.package, frozenset()))
        for found in imports(module):
            first = found.target.partition(".")[0]
            outside = first not in sys.stdlib_module_names or first == "asyncio"
            if found.typing_only:
                outside &= first not in NAMED_IN_SIGNATURES.get(module.package, ())
            if outside and first not in {"tokenflight", *allowed}:
                yield f"{module.name}:{found.line} imports {first}"


def cycles(modules: tuple[Module, ...]) -> Iterator[str]:
    """No module imports itself over others, as far as the imports at its top level go."""
    names = {module.name for module in modules}
    edges = {
        module.name: {
            target
            for found in imports(module)
            if not found.inside and not found.typing_only and (target := own(found.target, names)) is not None
        }
        for module in modules
    }
    for start in edges:
        seen: set[str] = set()
        ahead = edges[start] - {start}
        while ahead:
            seen |= ahead
            ahead = {target for name in ahead for target in edges.get(name, ())} - seen
        if start and start in seen:
            yield f"{start} imports itself in a circle"


def public_only(modules: list[Module]) -> Iterator[str]:
    """The demo is a user's program: it knows the door plate, the dialects and `observe`, and no room behind."""
    names = {module.name for module in modules}
    for module in modules:
        for found in imports(module) if module.below("demo") else ():
            target = own(found.target, names)
            if target and not Module.of(target, "").below("demo", "dialects", "observe"):
                yield f"{module.name}:{found.line} imports {target}, which is no user's"


def functions(module: Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef, text: list[str]) -> int:
    """Count the lines of a body, without its docstring, blank lines and comments."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    if not body:
        return 0
    lines = (line.strip() for line in text[body[0].lineno - 1 : body[-1].end_lineno])
    return sum(1 for line in lines if line and not line.startswith("#"))


def sizes(modules: tuple[Module, ...]) -> Iterator[str]:
    """A module has 300 lines at most, a function 30 of code and five positional parameters beside self."""
    for module in modules:
        text = module.text.splitlines()
        if len(text) > 300:
            yield f"{module.name} has {len(text)} lines"
        for function in functions(module):
            if (count := code_lines(function, text)) > 30:
                yield f"{module.name}:{function.lineno} {function.name} has {count} lines"
            positional = [arg.arg for arg in (*function.args.posonlyargs, *function.args.args)]
            if len(positional) - (positional[:1] in (["self"], ["cls"])) > 5:
                yield f"{module.name}:{function.lineno} {function.name} takes {len(positional)} positional parameters"


def names(modules: tuple[Module, ...]) -> Iterator[str]:
    """No module is a drawer for what had no place, and nothing is left to be done later."""
    for module in modules:
        if module.name.rpartition(".")[2] in {"utils", "util", "helpers", "common", "misc"}:
            yield f"{module.name} says nothing of what it holds"
        for number, line in enumerate(module.text.splitlines(), 1):
            if re.search(r"\b(TODO|FIXME|XXX)\b", line):
                yield f"{module.name}:{number} leaves something to be done"


def calls(modules: tuple[Module, ...]) -> Iterator[str]:
    """Tasks start in task groups, waits and draws go by the clock, and only the command prints."""
    for module in modules:
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            if called.rpartition(".")[2] in SPAWNS and module.name != "engine.root_task":
                yield f"{module.name}:{node.lineno} starts a task outside the root task"
            if called in WAITS and not module.below(*ON_THEIR_OWN_TIME):
                yield f"{module.name}:{node.lineno} waits past the clock"
            if called == "print" and not module.below("cli", "demo"):
                yield f"{module.name}:{node.lineno} prints"
        drawn = [found for found in imports(module) if found.target.partition(".")[0] == "random"]
        if drawn and not module.below(*ON_THEIR_OWN_TIME):
            yield f"{module.name}:{drawn[0].line} draws past the clock"


def held_across_yield(modules: tuple[Module, ...]) -> Iterator[str]:
    """No lock or scope is held while a generator is suspended; a context manager's own yield is what it is for."""
    for module in modules:
        for function in functions(module):
            if any(
                "contextmanager" in ast.unparse(mark) or "fixture" in ast.unparse(mark)
                for mark in function.decorator_list
            ):
                continue
            for node in _of_this_function(function):
                inner = _of_this_function(node) if isinstance(node, ast.With | ast.AsyncWith) else ()
                if any(isinstance(part, ast.Yield | ast.YieldFrom) for part in inner):
                    yield f"{module.name}:{node.lineno} {function.name} yields inside a with"


def _of_this_function(node: ast.AST) -> Iterator[ast.stmt | ast.expr]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            continue
        if isinstance(child, ast.stmt | ast.expr):
            yield child
        yield from _of_this_function(child)


Rule = Callable[[tuple[Module, ...]], Iterator[str]]
RULES: tuple[Rule, ...] = (walls, third_parties, cycles, public_only, sizes, names, calls, held_across_yield)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_holds(rule: Rule) -> None:
    assert list(rule(the_house())) == []


def test_every_package_has_a_floor_and_a_line_in_the_table() -> None:
    packages = {module.package for module in the_house()}

    assert packages <= {package for floor in FLOORS for package in floor}
    assert packages <= set(THIRD_PARTIES)


def test_tenacity_is_allowed_in_one_module_and_asyncio_in_one_of_the_engine() -> None:
    assert [name for name, allowed in THIRD_PARTIES.items() if "tenacity" in allowed] == ["transport.endpoint"]
    assert [name for name, allowed in THIRD_PARTIES.items() if "asyncio" in allowed] == [
        "engine.root_task",
        "testing.settling",
    ]


LONG = "def f():\n    '''D.'''\n" + "    x = 1\n" * 31
LINES = "x = 1\n" * 301
UPSTAIRS = "from tokenflight.ext.httpx import TokenAuth\n"

BAD: tuple[tuple[Rule, str, str], ...] = (
    (walls, "model.token", "from tokenflight.protocol.wire import parse"),
    (walls, "model.token", "import tokenflight.engine.flight"),
    (walls, "model.token", "from tokenflight import engine"),
    (walls, "model.token", "from tokenflight import OAuthClient"),
    (walls, "model.token", "if TYPE_CHECKING:\n    from tokenflight.engine.flight import Flight"),
    (walls, "model.token", "def f():\n    from tokenflight.provider.mint import mint"),
    (walls, "errors", "from tokenflight.model.key import TokenKey"),
    (walls, "errors", "if TYPE_CHECKING:\n    pass\nelse:\n    from tokenflight.model.key import TokenKey"),
    (walls, "protocol.wire", "from tokenflight.dialects import box"),
    (walls, "transport.clock", "from tokenflight.stores.memory import MemoryStore"),
    (walls, "engine.flight", "from tokenflight.provider import mint"),
    (walls, "provider.provider", UPSTAIRS),
    (walls, "provider.provider", f"def source(self):\n    {UPSTAIRS}"),
    (walls, "provider.mint", f"def auth(self):\n    {UPSTAIRS}"),
    (walls, "provider.provider", "def auth(self):\n    from tokenflight.testing.clock import VirtualClock"),
    (walls, "ext.httpx", "from tokenflight.observe import x"),
    (third_parties, "errors", "import attrs"),
    (third_parties, "model.policy", "import anyio"),
    (third_parties, "protocol.wire", "import httpx"),
    (third_parties, "protocol.wire", "def f():\n    import httpx"),
    (third_parties, "transport.clock", "from tenacity import retry"),
    (third_parties, "engine.flight", "x = importlib.import_module('trio.testing')"),
    (third_parties, "engine.flight", "import_module(name)"),
    (walls, "model.token", "def f():\n    import_module('tokenflight.engine.flight')"),
    (third_parties, "engine.flight", "import asyncio"),
    (third_parties, "engine.flight", "from trio import Event"),
    (third_parties, "observe.logging", "import structlog"),
    (third_parties, "provider.provider", "import httpx"),
    (cycles, "engine.flight", "from tokenflight.engine.entries import Entry"),
    (public_only, "demo.stage", "from tokenflight.engine.flight import Flight"),
    (public_only, "demo.stage", "from tokenflight.testing.clock import VirtualClock"),
    (public_only, "demo.tally", "from tokenflight.model.events import Event"),
    (third_parties, "demo.acts", "import starlette"),
    (third_parties, "cli.demo", "import rich"),
    (walls, "provider.mint", "from tokenflight.demo.books import Books"),
    (sizes, "engine.flight", LINES),
    (sizes, "engine.flight", LONG),
    (sizes, "engine.flight", "def f(a, b, c, d, e, f): ..."),
    (sizes, "engine.flight", "class A:\n    def f(self, a, b, c, d, e, f): ..."),
    (names, "engine.utils", ""),
    (names, "engine.flight", "x = 1  # TODO: more"),
    (calls, "engine.flight", "asyncio.create_task(f())"),
    (calls, "engine.flight", "loop.create_task(f())"),
    (calls, "engine.flight", "async def f():\n    await anyio.sleep(1)"),
    (calls, "transport.endpoint", "with anyio.move_on_after(1): ..."),
    (calls, "engine.flight", "import random"),
    (calls, "provider.provider", "print(1)"),
    (held_across_yield, "ext.httpx", "async def f(self):\n    async with self.lock:\n        yield 1"),
    (held_across_yield, "ext.httpx", "def f(self):\n    with a:\n        if b:\n            x = yield from g()"),
)  # fmt: skip

GOOD: tuple[tuple[Rule, str, str], ...] = (
    (walls, "errors", "if TYPE_CHECKING:\n    from tokenflight.model.key import TokenKey"),
    (walls, "dialects.box", "from tokenflight.protocol.client import OAuthClient"),
    (walls, "provider.provider", f"def auth(self):\n    {UPSTAIRS}"),
    (walls, "provider.provider", f"if TYPE_CHECKING:\n    {UPSTAIRS}"),
    (walls, "demo.run", "from tokenflight.testing.clock import VirtualClock"),
    (public_only, "demo.stage", "from tokenflight import OAuthClient"),
    (public_only, "demo.stage", "from tokenflight.dialects import box"),
    (public_only, "demo.tally", "from tokenflight.observe import Event"),
    (third_parties, "demo.hosting", "from uvicorn import Server"),
    (third_parties, "model.clock", "import anyio"),
    (third_parties, "transport.endpoint", "import tenacity"),
    (third_parties, "engine.root_task", "import asyncio"),
    (third_parties, "provider.provider", "if TYPE_CHECKING:\n    import httpx"),
    (cycles, "engine.flight", "def f():\n    from tokenflight.engine.entries import Entry"),
    (sizes, "engine.flight", "def f(a, b, c, d, e, *, f): ..."),
    (sizes, "engine.flight", "def f():\n    '''" + "D.\n" * 40 + "'''\n    return 1"),
    (calls, "transport.clock", "import random\nasync def f():\n    await anyio.sleep(1)"),
    (held_across_yield, "ext.httpx", "async def f(self):\n    async with self.lock:\n        x = 1\n    yield x"),
    (held_across_yield, "ext.httpx", "@contextmanager\ndef f(self):\n    with a:\n        yield 1"),
    (held_across_yield, "ext.httpx", "def f(self):\n    with a:\n        g = lambda: (yield)\n"),
)  # fmt: skip


ROOMS = (
    "",
    "protocol.wire",
    "protocol.client",
    "dialects.box",
    "stores.memory",
    "provider.mint",
    "ext.httpx",
    "observe",
)


def house_with(name: str, text: str) -> tuple[Module, ...]:
    """Return a house of empty rooms in which one is replaced."""
    rooms = dict.fromkeys(
        (*(module.name for module in the_house()), *ROOMS, "engine", "engine.flight", "testing.clock"), ""
    )
    rooms["engine.entries"] = "from tokenflight.engine.flight import Flight"
    rooms[name] = text
    return tuple(Module.of(room, source) for room, source in rooms.items())


@pytest.mark.parametrize(("rule", "name", "text"), BAD)
def test_a_broken_rule_is_found(rule: Rule, name: str, text: str) -> None:
    assert list(rule(house_with(name, text))) != []


@pytest.mark.parametrize(("rule", "name", "text"), GOOD)
def test_what_is_allowed_passes(rule: Rule, name: str, text: str) -> None:
    assert list(rule(house_with(name, text))) == []


def test_a_package_without_a_floor_is_found() -> None:
    with pytest.raises(AssertionError, match="give it one in FLOORS"):
        list(walls(house_with("cellar.pump", "from tokenflight.model.key import TokenKey")))
