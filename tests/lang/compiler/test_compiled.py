import subprocess
import sys
from typing import Any

import pytest

import radixlm as rl
from radixlm.ir.text import to_text
from radixlm.ir.verify import verify

PREFIX = "one"
NAMES = ["a"]


def helper(q):
    return q


@rl.function
def uses_globals(s):
    s += PREFIX + NAMES[0] + helper("x")


@rl.function
def explained(s, q):
    """Ask."""
    s += q
    found = helper(s["x"])
    if found:
        s += "b"


@rl.function
def not_compiled(s, q):
    s += "a"
    del q


def test_a_function_is_compiled_once() -> None:
    assert uses_globals.compile() is uses_globals.compile()


def test_a_global_that_changed_compiles_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    before = uses_globals.compile()
    monkeypatch.setattr(sys.modules[__name__], "PREFIX", "two")
    after = uses_globals.compile()
    assert after is not before
    assert after.program is not None
    assert "'two'" in to_text(after.program)


def test_a_list_changed_in_place_compiles_anew() -> None:
    before = uses_globals.compile()
    NAMES.append("b")
    try:
        assert uses_globals.compile() is not before
    finally:
        NAMES.pop()


def test_another_function_under_the_same_name_compiles_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    uses_globals.compile()
    other: Any = lambda q: q  # noqa: E731
    monkeypatch.setattr(sys.modules[__name__], "helper", other)
    assert uses_globals.compile().hosts == {"helper": other}


def test_values_are_told_apart_by_type() -> None:
    number: Any = 1

    @rl.function
    def f(s):
        s += str(number)

    before = f.compile()
    number = True
    assert f.compile() is not before


def test_a_closure_that_changes_and_one_that_is_bound_later() -> None:
    @rl.function
    def f(s):
        s += later

    assert "'later' is not known yet" in str(f.compile().reason)
    later = "x"
    assert f.compile().program is not None


def test_a_program_passes_the_verifier_and_names_its_file() -> None:
    program = explained.compile().program
    assert program is not None
    verify(program)
    assert program.file == __file__
    assert program.hosts == ("helper",)


def test_explain_marks_each_line_and_shows_the_program() -> None:
    text = explained.explain()
    line = explained.func.__code__.co_firstlineno
    assert f"{line + 3:5} server |     s += q\n" in text
    assert (
        f'{line + 4:5} host   |     found = helper(s["x"])    # the client calls helper()' in text
    )
    program = explained.compile().program
    assert program is not None
    assert to_text(program).strip() in text


def test_explain_says_why_a_function_runs_eagerly() -> None:
    text = not_compiled.explain()
    line = not_compiled.func.__code__.co_firstlineno
    assert "runs eagerly" in text.splitlines()[0]
    assert f"{line + 2:5} eager  |     s += 'a'".replace("'", '"') in text
    assert f"{line + 3:5} eager  |     del q    # del; leave the name alone" in text


def test_importing_the_package_does_not_import_the_compiler() -> None:
    code = "import radixlm, sys; sys.exit('radixlm.lang.compiler' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
