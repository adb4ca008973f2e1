"""Who rests on whom: never more of them than keys."""

from __future__ import annotations

from tests.kit.bench import key

from tokenflight.engine.dependants import Dependants

PARENT, OTHER, CHILD, SECOND = (key(name) for name in ("parent", "other", "child", "second"))


def test_children_are_known_by_their_parents_until_dropped() -> None:
    known = Dependants()
    known.note(CHILD, [PARENT, OTHER])
    known.note(SECOND, [PARENT])
    assert (known.of(PARENT), known.of(OTHER), known.of(CHILD)) == ((CHILD, SECOND), (CHILD,), ())
    assert len(known) == 2
    known.drop(CHILD)
    assert (known.of(PARENT), known.of(OTHER), len(known)) == ((SECOND,), (), 1)
    known.drop(SECOND)
    known.drop(SECOND)
    assert (known.of(PARENT), len(known), known._of) == ((), 0, {})


def test_a_child_that_lands_anew_rests_on_its_new_parents_alone() -> None:
    known = Dependants()
    known.note(CHILD, [PARENT])
    known.note(CHILD, [OTHER])
    assert (known.of(PARENT), known.of(OTHER)) == ((), (CHILD,))
    known.note(CHILD, [])
    assert (known.of(OTHER), len(known)) == ((), 0)


def test_a_child_named_twice_by_one_parent_is_one() -> None:
    known = Dependants()
    known.note(CHILD, [PARENT, PARENT])
    assert known.of(PARENT) == (CHILD,)
    known.drop(CHILD)
    assert known._of == {}


def test_it_is_overtaken_until_it_holds_another_token() -> None:
    known = Dependants()
    known.overtake(CHILD)
    assert not known.overtaken(CHILD), "who rests on nobody is never"
    known.note(CHILD, [PARENT])
    known.overtake(CHILD)
    assert known.overtaken(CHILD)
    known.note(CHILD, [PARENT])
    assert not known.overtaken(CHILD)
    known.overtake(CHILD)
    known.drop(CHILD)
    assert not known.overtaken(CHILD)
