from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from tests.kit.canary import canary, exposed, sightings

FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "in bytes": lambda secret: repr(secret.encode()),
    "json": lambda secret: json.dumps({"secret": secret}),
    "quoted": lambda secret: quote(secret, safe=""),
    "percent-encoded throughout": lambda secret: "".join(f"%{ord(letter):02X}" for letter in secret),
    "hex": lambda secret: secret.encode().hex().upper(),
    "basic": lambda secret: base64.b64encode(f"client:{secret}".encode()).decode(),
    "basic, shifted by one": lambda secret: base64.b64encode(f"client1:{secret}".encode()).decode(),
    "basic, shifted by two": lambda secret: base64.b64encode(f"client12:{secret}".encode()).decode(),
    "url-safe base64": lambda secret: base64.urlsafe_b64encode(secret.encode()).decode(),
    "its first twelve characters": lambda secret: secret[:12],
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_canary_is_recognised_in_any_form(form: Callable[[str], str]) -> None:
    assert len(sightings(f"before {form(canary('secret'))} after")) == 1


def test_what_is_no_canary_is_left_alone() -> None:
    assert sightings("a log line, a Token(Bearer ***) and bm8gY2FuYXJ5IGhlcmU=") == []


def library(source: str) -> Any:
    """Compile a function that stands in no file of the tests."""
    names: dict[str, Any] = {}
    exec(compile(source, "/somewhere/library.py", "exec"), names)
    return names["call"]


def test_the_locals_of_a_librarys_frames_are_exposed_and_those_of_tests_are_not() -> None:
    local = secret = canary("secret")
    call = library("def call(run):\n    kept = 'harmless'\n    return run()")
    with pytest.raises(ZeroDivisionError) as clean:
        call(lambda: 1 / (0 * len(local)))
    assert "kept = 'harmless'" in exposed(clean.value)
    assert not sightings(exposed(clean.value))
    with pytest.raises(ZeroDivisionError) as leaking:
        library("def call(body):\n    return 1 / 0")(secret)
    assert sightings(exposed(leaking.value))


def test_causes_contexts_groups_notes_and_attributes_are_exposed() -> None:
    def with_cause() -> Exception:
        error = ValueError("outer")
        error.__cause__ = KeyError(canary("cause"))
        return error

    def with_context() -> Exception:
        error = ValueError("outer")
        error.__context__ = with_cause()
        error.__suppress_context__ = True
        return error

    def with_note() -> Exception:
        error = ValueError("outer")
        error.add_note(canary("note"))
        return error

    def with_attribute() -> Exception:
        error = ValueError("outer")
        error.request = {"body": canary("attribute")}  # type: ignore[attr-defined]
        return error

    for error in (with_cause(), with_context(), with_note(), with_attribute(), ExceptionGroup("g", [with_note()])):
        assert sightings(exposed(error)), error


def test_an_error_that_points_at_itself_and_a_local_without_repr_are_survived() -> None:
    error = ValueError("loop")
    error.__context__ = ValueError("other")
    error.__context__.__context__ = error
    call = library(
        "def call():\n    class Mute:\n        def __repr__(self): raise OSError\n    mute = Mute()\n    1 / 0"
    )
    assert "loop" in exposed(error)
    with pytest.raises(ZeroDivisionError) as caught:
        call()
    assert "<no repr: OSError>" in exposed(caught.value)
