from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from radixlm.ir.errors import ProgramError
from radixlm.ir.expressions import Const, Expression, Index, Items, Name, Read, Unary
from radixlm.ir.nodes import Gen, Let, Sampling, Select, Stmt, Text
from radixlm.ir.program import Do, Evaluate, Program, Return, from_json, to_json
from radixlm.ir.text import from_text, to_text, without_places
from radixlm.ir.verify import verify

from .programs import programs

EXPLORE = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])

TEXT = """\
@hosts('search')
def tool_use(s, question, n=3):
    s += f'To answer: {question!r:>{n}}'
    s += gen('x', stop=('\\n',), temperature=0.5, max_new_tokens=n, logprobs={'top': 2})
    s += select('tool', choices=('a', 'b'))
    with s.role('user'):
        s += s['x'] + 'hi'
    if s['tool'] == 'a' and n:
        branches = s.fork(3)
        for i, branch in enumerate(branches):
            branch += gen('y')
        join(branches, 'concate_and_append')
    elif n > 2:
        found = host('search', s.text(), k=-3)
        found.append({*()})
    else:
        other = invoke('other', question)
        return other.ret_value
    while not n:
        break
    raise_('ValueError', f'{n}')


def other(s, question):
    s += question"""


def test_a_text_is_read_and_printed_as_it_was() -> None:
    program = from_text(TEXT)
    verify(program)
    assert (
        str(program)
        == to_text(program)
        == TEXT.replace(
            "max_new_tokens=n, logprobs={'top': 2}", "logprobs={'top': 2}, max_new_tokens=n"
        )
    )


@EXPLORE
@given(programs())
def test_the_text_form_is_read_back_to_an_equal_program(program: Program) -> None:
    again = from_text(to_text(program))
    assert to_json(without_places(again)) == to_json(without_places(program))
    assert without_places(again) == without_places(program)


@EXPLORE
@given(programs())
def test_the_json_form_is_read_back_to_an_equal_program(program: Program) -> None:
    again = from_json(to_json(program))
    assert again == program
    assert to_json(again) == to_json(program)
    assert again.hash() == program.hash()


@EXPLORE
@given(programs())
def test_the_verifier_accepts_every_random_program(program: Program) -> None:
    verify(program)


def test_the_hash_ignores_files_and_is_stable() -> None:
    helper = Program(name="g", body=(Return(),))
    program = Program(name="f", body=(Return(),), functions={"g": helper})
    moved = msgspec.structs.replace(
        program, file="b.py", functions={"g": msgspec.structs.replace(helper, file="b.py")}
    )
    assert program.hash() == moved.hash()
    assert program.hash() != msgspec.structs.replace(program, name="h").hash()
    assert program.hash() == HASH


def test_equal_programs_have_equal_hashes_on_both_ends_of_a_wire() -> None:
    cold = Gen(out="x", sampling=Sampling(temperature=0))
    program = Program(name="f", body=(do(cold), do(Gen(sampling=Sampling()))))
    fresh = Do(statement=cold, state=Name(name="s"))
    assert program.hash() == from_json(to_json(program)).hash()
    assert program.hash() == msgspec.structs.replace(program, body=(fresh, program.body[1])).hash()


HASH = "c571d8970676770303f6904963ba887dc16c9cd459a87169f5fc605ac9453524"


A = Name(name="a")


def do(statement: Stmt, **holes: Expression) -> Do:
    return Do(statement=statement, holes={k.replace("__", "."): v for k, v in holes.items()})


@pytest.mark.parametrize(
    ("block", "line"),
    [
        (do(Text(text="a")), "s += 'a'"),
        (do(Text(text=""), text=A), "s += a"),
        (do(Text(text="a"), text=A), "s += text('a', **{'text': a})"),
        (do(Text(text=""), text=Const(value="a")), "s += text('', **{'text': 'a'})"),
        (do(Select(choices=()), choices=A), "s += select(choices=a)"),
        (do(Let(out="x", value=None), value=A), "s += let('x', value=a)"),
        (do(Let(out="x", value=[1])), "s += let('x', [1])"),
        (do(Gen(sampling=Sampling(n=2)), sampling__top_k=A), "s += gen(n=2, top_k=a)"),
        (do(Gen(), logprobs__top=A), "s += gen(**{'logprobs.top': a})"),
        (Evaluate(value=Unary(operator="-", operand=Const(value=5))), "-const(5)"),
        (Evaluate(value=Const(value=-5)), "-5"),
        (Evaluate(value=Index(value=Name(name="s"), index=A)), "name('s')[a]"),
        (Evaluate(value=Read(state=Name(name="s"), name=A)), "s[a]"),
        (Evaluate(value=Items(kind="set")), "{*()}"),
        (Evaluate(value=Const(value="a")), "const('a')"),
    ],
)
def test_what_python_would_read_differently_is_said_by_name(block: Any, line: str) -> None:
    program = Program(name="f", body=(block,))
    assert to_text(program) == f"def f(s):\n    {line}"
    assert without_places(from_text(to_text(program))) == program


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no program"),
        ("x = 1", "text:1: this outside of a function"),
        ("def f(s):\n    import os", "text:2: the statement Import"),
        ("def f(s):\n    s += gen('x', nonsense=1)", "text:2: the argument 'nonsense' of gen"),
        ("def f(s):\n    s += gen('x', n='many')", "this statement cannot be"),
        ("def f(s):\n    s += gen('x', 'y')", "so many arguments"),
        ("def f(s):\n    s += x.y", "text:2: reading the attribute 'y'"),
        ("def f(s):\n    join(x, 'sideways')", "this statement cannot be"),
        ("def f(s):\n    with open(x): pass", "text:2: this after with"),
        ("def f(s):\n    with s.role(5, x): pass", "a string must stand"),
        ("def f(s):\n    x = fstring(x)", "a value in fstring"),
        ("def f(s):\n    x = fstring(hole(x, conversion='q'))", "this statement cannot be"),
        ("def f(s):\n    x = host()", "this call"),
        ("def f(s):\n    s += gen(**x)", r"this after \*\*"),
        ("def f(x): pass", "these parameters"),
        ("def f(s, *x): pass", "these parameters"),
        ("@cached\ndef f(s): pass", "text:1: this decorator"),
        ("def f(s:", "text:1: "),
        ("def f(s):\n    \0", "null bytes"),
        ("def f(s):\n    x = " + "(" * 500, "too many nested parentheses"),
        ("def f(s):\n    x = " + "-" * 50_000 + "x", "cannot be read"),
    ],
)
def test_a_text_that_is_no_program_is_an_error_with_its_line(text: str, message: str) -> None:
    with pytest.raises(ProgramError, match=message):
        from_text(text)
