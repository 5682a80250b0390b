import asyncio
from typing import Any

import pytest

from radixlm.ir.nodes import RoleBegin, RoleEnd, Stmt, Text
from radixlm.ir.prefix import constant_prefix
from radixlm.ir.text import from_text


def prefix(text: str, unknown: tuple[str, ...] = (), **known: Any) -> tuple[Stmt, ...]:
    return asyncio.run(constant_prefix(from_text(text), known, frozenset(unknown)))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("s += 'a'\n    s += 'b'\n    s += gen('x')\n    s += 'c'", "ab"),
        ("s += 'a'\n    s += f'b{q}c'\n    s += 'd'", "ab"),
        ("s += 'a' + k + 'b' + q + 'c'", "aKb"),
        ("s += q\n    s += 'a'", ""),
        ("s += 'a'\n    s += select('x', choices=('u', 'v'))", "a"),
        ("for e in many:\n        s += f'{e};'\n    s += q", "1;2;"),
        ("s += 'a'\n    if q:\n        s += 'b'", "a"),
        ("s += 'a'\n    if k == 'K':\n        s += 'b'\n    s += q", "ab"),
        ("s += 'a'\n    x = host('f', 1)\n    s += 'b'", "a"),
        ("s += 'a'\n    y = s.fork(2)\n    s += 'b'", "a"),
        ("s += 'a'\n    s += s['x']", "a"),
        ("s += 'a'\n    s += s.text()\n    s += 'b'", "a"),
        ("s += let('x', 5)\n    s += 'a'\n    s += str(s.bound('x'))", "a"),
        ("s += 'a'\n    raise_('ValueError')\n    s += 'b'", "a"),
        ("s += 'a'\n    while True:\n        k = k", "a"),
        ("s += 'a'\n    return 1", "a"),
        ("s += d\n    s += q", "D"),
    ],
)
def test_the_text_before_the_first_step_that_only_a_run_can_take(body: str, expected: str) -> None:
    program = f"@hosts('f')\ndef f(s, q, k, many, d='D'):\n    {body}"
    found = prefix(program, unknown=("q",), k="K", many=[1, 2])
    assert found == ((Text(text=expected),) if expected else ())


def test_turns_belong_to_it_and_one_that_is_cut_short_stays_open() -> None:
    text = """
def f(s, q):
    s += role_begin('system')
    s += 'a'
    s += role_end('system')
    with s.role('user'):
        s += 'b'
        s += q
        s += 'c'
"""
    system = (RoleBegin(role="system"), Text(text="a"), RoleEnd(role="system"))
    assert prefix(text, unknown=("q",)) == (*system, RoleBegin(role="user"), Text(text="b"))
    whole = (RoleBegin(role="user"), Text(text="bxc"), RoleEnd(role="user"))
    assert prefix(text, q="x") == (*system, *whole)


def test_an_argument_that_may_be_anything_hides_its_default() -> None:
    assert prefix("def f(s, d='D'):\n    s += d", unknown=("d",)) == ()
    assert prefix("def f(s, d='D'):\n    s += d") == (Text(text="D"),)
