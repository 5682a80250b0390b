"""Each planted fault is found, with its code and on its line; near misses are left alone."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import radixlm as rl

from . import faults, innocent

MARK = re.compile(r"# fault: ([a-z-]+)")


def functions(module: object) -> list[rl.Function]:
    return [found for found in vars(module).values() if isinstance(found, rl.Function)]


def found(function: rl.Function) -> set[tuple[str, int]]:
    return {(f.code, f.line) for f in function.check() if f.severity != "note"}


def marks(function: rl.Function) -> Iterator[tuple[str, int]]:
    """What is marked inside a function, and inside the helpers of its file that it calls."""
    lines = Path(faults.__file__).read_text().splitlines()
    called = [
        helper
        for helper in vars(faults).values()
        if inspect.isfunction(helper) and helper.__name__ in function.func.__code__.co_names
    ]
    for each in (function.func, *called):
        if each.__code__.co_filename != faults.__file__:
            continue
        body, first = inspect.getsourcelines(each)
        for number in range(first, first + len(body)):
            if match := MARK.search(lines[number - 1]):
                yield match[1], number


FAULTY = [f for f in functions(faults) if list(marks(f))]


def test_there_are_enough_of_both() -> None:
    assert len(FAULTY) >= 40
    assert len(functions(innocent)) >= 20


def test_every_mark_belongs_to_a_program() -> None:
    written = len(MARK.findall(Path(faults.__file__).read_text()))
    assert sum(len(list(marks(f))) for f in FAULTY) == written


@pytest.mark.parametrize("function", FAULTY, ids=lambda f: f.__name__)
def test_a_planted_fault_is_found_on_its_line(function: rl.Function) -> None:
    report = function.check()
    assert found(function) == set(marks(function)), str(report)
    assert len({(f.line, f.code) for f in report}) == len(report), str(report)


@pytest.mark.parametrize("function", functions(innocent), ids=lambda f: f.__name__)
def test_a_near_miss_is_no_alarm(function: rl.Function) -> None:
    assert not found(function), str(function.check())
