# ruff: noqa: F401, E731, F841, SIM105
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

import radixlm as rl
from radixlm.lang.errors import CompileError

SEEN: dict[str, list[int]] = {"a": []}
ask_a = partial(rl.gen, "a")


def search(q):
    raise AssertionError("called")


def early(s, x):
    if x:
        return 1
    return 2


def changes_list(s, items):
    items.append(1)  # here: changing 'items' in place


def changes_item(s, rows):
    for row in rows:
        row["k"] = 1  # here: changing 'row' in place


def changes_global(s):
    SEEN["a"].append(1)  # here: changing "SEEN['a']" in place


def extends_argument(s, items):
    same = items
    same += [1]  # here: changing 'same' in place


def adds_the_unknown(s, a, b):
    a += b  # here: write a = a + b


def tries(s):
    try:  # here: try; let errors pass
        s += "a"
    except ValueError:
        pass


def defines(s):
    def inner():  # here: define it at the top of the module
        return 1


def calls_argument(s, f):
    s += f(1)  # here: a call of 'f', which only a run knows


def calls_item(s, table):
    s += table["k"](1)  # here: a call of a computed function; call functions by name


def state_as_value(s):
    return [s]  # here: 's', a state, as a value


def state_to_unknown(s):
    s += "a"
    repr(s)  # here: 's', a state, as a value


def keeps_expression(s):
    g = rl.gen("x")  # here: rl.gen(...) as a value; append it where it is made


def appends_partial(s):
    s += ask_a()  # here: ask_a(), which makes expressions or gets a state


def calls_early(s):
    early(s, 1)  # here: early() returns from its middle


def bad_pattern(s):
    s += rl.gen("x", regex="(")  # here: rl.gen() fails: missing )


def two_constraints(s, pattern):
    s += rl.gen("x", regex=pattern, dtype=int)  # here: dtype and regex in one gen


def generator(s, xs):
    return sum(search(x) for x in xs)  # here: write a for statement


def raises_other(s):
    raise KeyboardInterrupt  # here: raise one of ArithmeticError


def opens(s):
    with open("x") as f:  # here: only turns, scopes and copies
        s += "a"


def imports(s):
    import os  # here: import at the top of the module


def deletes(s, d):
    del d["a"]  # here: del; leave the name alone


def takes_any(s, *words): ...  # here: the parameter *words


def two_kinds(s):
    x = "a"
    x = s.fork(2)  # here: 'x' is a value in one place and the states of a fork in another


def streams(s):
    for piece in s.text_iter():  # here: s.text_iter() in a compiled program
        search(piece)


def runs_elsewhere(s):
    other.run(backend=None)  # here: 'backend' in a call of a program


def calls_what_runs_eagerly(s):
    other_eager({})  # here: a call of deletes(), which runs eagerly (test_reasons.py:


other = rl.function(changes_list)
other_eager = rl.function(deletes)
CASES = [
    function
    for name, function in list(globals().items())
    if inspect.isfunction(function) and "# here: " in inspect.getsource(function)
]


@pytest.mark.parametrize("function", CASES, ids=lambda function: function.__name__)
def test_a_reason_names_the_line_and_what_works(function: Callable[..., Any]) -> None:
    lines, first = inspect.getsourcelines(function)
    [(line, expected)] = [
        (number, text.partition("# here: ")[2].strip())
        for number, text in enumerate(lines, first)
        if "# here: " in text
    ]
    compiled = rl.function(function).compile()
    assert compiled.program is None
    assert isinstance(compiled.reason, CompileError)
    assert str(compiled.reason).startswith(f"test_reasons.py:{line}: ")
    assert expected in f"{compiled.reason}; {compiled.reason.hint}"
    assert (line, "eager") in [(at.number, at.where) for at in compiled.lines]


def test_every_line_that_cannot_be_compiled_is_reported() -> None:
    @rl.function
    def f(s, items):
        items.append(1)
        s += "a"
        import os

    assert len(f.compile().reasons) == 2


def test_a_function_without_source() -> None:
    namespace: dict[str, Any] = {"rl": rl}
    exec("@rl.function\ndef f(s):\n    s += 'a'", namespace)
    assert "the source of 'f' cannot be found" in str(namespace["f"].compile().reason)
    assert "runs eagerly" in namespace["f"].explain()


def test_a_lambda_and_a_wrapped_function() -> None:
    function = lambda s: None
    assert "not a def" in str(rl.function(function).compile().reason)

    def wrapped(s): ...

    wrapped.__wrapped__ = early  # type: ignore[attr-defined]
    assert "another decorator" in str(rl.function(wrapped).compile().reason)


def test_a_constant_larger_than_a_program_may_be() -> None:
    many = [str(i) for i in range(9_999)]

    @rl.function
    def f(s):
        s += many[0]

    @rl.function
    def two(s):
        s += many[0] + str([[x] for x in many2])

    many2 = [[[x]] for x in many]
    assert f.compile().program is not None
    assert "a list, as a value" in str(two.compile().reason)
