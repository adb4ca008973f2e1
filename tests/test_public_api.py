"""What users can import, by name and signature, against `public_api.txt`.

A change of it is a change of the contract: write the snapshot anew, and say why in the changelog.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SNAPSHOT = Path(__file__).with_name("public_api.txt")
COMMAND = "PYTHONPATH=src python tests/test_public_api.py"
MODULES = (
    "tokenflight",
    "tokenflight.stores",
    "tokenflight.dialects.auth0",
    "tokenflight.dialects.box",
    "tokenflight.dialects.entra",
    "tokenflight.dialects.github",
    "tokenflight.dialects.google",
    "tokenflight.dialects.keycloak",
    "tokenflight.dialects.okta",
    "tokenflight.dialects.salesforce",
    "tokenflight.ext.httpx",
    "tokenflight.observe",
    "tokenflight.testing",
)


def test_names_and_signatures_are_those_of_the_snapshot() -> None:
    assert SNAPSHOT.read_text("utf-8") == snapshot(), f"if the change is meant: {COMMAND}"


def test_every_public_name_is_listed_in_order_and_exists() -> None:
    for name in MODULES:
        module = importlib.import_module(name)
        listed = getattr(module, "__all__", None)
        if listed is not None:
            assert list(listed) == sorted(listed, key=lambda each: (not each.isupper(), each)), name
            assert all(hasattr(module, each) for each in listed), name


def test_dialects_are_importable_as_modules() -> None:
    import tokenflight.dialects

    named = [getattr(tokenflight.dialects, name).__name__ for name in tokenflight.dialects.__all__]
    assert named == [name for name in MODULES if name.startswith("tokenflight.dialects.")]


def test_what_later_work_brings_is_absent() -> None:
    import tokenflight

    later = {"DeviceCode", "SQLiteStore", "RedisStore"}
    assert not later & set(dir(tokenflight))


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    import tokenflight

    with pytest.raises(AttributeError, match="module 'tokenflight' has no attribute 'TokenProvidor'"):
        tokenflight.TokenProvidor  # noqa: B018


def snapshot() -> str:
    """Return the public API as text."""
    lines = ["# The public API. Written by:", f"#     {COMMAND}"]
    for name in MODULES:
        lines += ["", "", name, "=" * len(name)]
        for each in _names(importlib.import_module(name)):
            lines += _described(each, getattr(importlib.import_module(name), each))
    return "\n".join(lines) + "\n"


def _names(module: ModuleType) -> list[str]:
    listed = getattr(module, "__all__", None)
    if listed is not None:
        return sorted(listed)
    own = (name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__)
    return sorted(name for name in own if not name.startswith("_"))


def _described(name: str, value: Any) -> list[str]:
    if inspect.isclass(value):
        return ["", *_class(name, value)]
    if inspect.isfunction(value):
        return ["", f"{name}{_signature(value)}"]
    return ["", f"{name} = {value!r}".replace("typing.", "").replace("collections.abc.", "")]


def _class(name: str, kind: type) -> Iterator[str]:
    bases = [base.__name__ for base in kind.__bases__ if base is not object and not base.__name__.startswith("_")]
    yield f"class {name}({', '.join(bases)})" if bases else f"class {name}"
    if inspect.isfunction(kind.__init__) and not getattr(kind, "_is_protocol", False):
        yield f"    {name}{_signature(kind.__init__)}"
    annotated = _annotated(kind)
    for each, member in sorted(_members(kind).items()):
        if isinstance(member, classmethod):
            yield f"    classmethod {each}{_signature(member.__func__)}"
        elif isinstance(member, property):
            yield f"    {each}: {inspect.signature(member.fget).return_annotation}"  # type: ignore[arg-type]
        elif inspect.isfunction(member) and member.__module__.startswith("tokenflight"):
            yield f"    {'async ' if inspect.iscoroutinefunction(member) else ''}{each}{_signature(member)}"
        elif inspect.isdatadescriptor(member) or each in annotated:
            yield f"    {each}: {annotated.get(each, 'as it was given')}"
        else:
            yield f"    {each}" if callable(member) else f"    {each} = {member!r}"


def _members(kind: type) -> dict[str, Any]:
    """Return what is public in a class and in its bases that are not public themselves."""
    found: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        if base is kind or (base.__module__.startswith("tokenflight") and base not in _exported()):
            found |= vars(base)
    shown = {"__call__", "__aenter__", "__aexit__", "__aiter__", "__anext__"}
    return {name: value for name, value in found.items() if name in shown or not name.startswith("_")}


def _exported() -> list[object]:
    modules = [importlib.import_module(name) for name in MODULES]
    return [getattr(module, name) for module in modules for name in _names(module)]


def _annotated(kind: type) -> dict[str, str]:
    merged: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        merged |= {name: str(text) for name, text in vars(base).get("__annotations__", {}).items()}
    return merged


def _signature(function: Any) -> str:
    made = inspect.signature(function)
    shown, star = [], False
    for name, each in list(made.parameters.items()):
        if name == "self":
            continue
        star = star or each.kind is each.VAR_POSITIONAL
        if each.kind is each.KEYWORD_ONLY and not star:
            shown.append("*")
            star = True
        shown.append(_parameter(each))
        if each.kind is each.POSITIONAL_ONLY:
            shown.append("/")
    returned = "" if made.return_annotation in (None, "None", made.empty) else f" -> {made.return_annotation}"
    while shown.count("/") > 1:
        shown.remove("/")
    return f"({', '.join(shown)}){returned}"


def _parameter(each: inspect.Parameter) -> str:
    stars = {each.VAR_POSITIONAL: "*", each.VAR_KEYWORD: "**"}.get(each.kind, "")
    kind = getattr(each.annotation, "__name__", each.annotation)
    typed = f"{stars}{each.name}" if each.annotation is each.empty else f"{stars}{each.name}: {kind}"
    if each.default is each.empty:
        return typed
    default = each.default.__name__ if inspect.isfunction(each.default) else repr(each.default)
    return f"{typed} = {default}"


if __name__ == "__main__":
    SNAPSHOT.write_text(snapshot(), "utf-8")
    sys.stdout.write(f"{SNAPSHOT} is written\n")
