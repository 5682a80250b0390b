import json as j
import re
from json import loads as parse
from typing import Any

import radixlm as rl

DEBUG = False
ROWS = [{"q": "a", "n": 1}]


def test_loops_and_tests(becomes: Any) -> None:
    @rl.function
    def f(s, items):
        total = 0
        for i, item in enumerate(items):
            if item == "stop":
                break
            if not item:
                continue
            total += i
        else:
            s += "all"
        while total > 0:
            total -= 1
        return total

    becomes(
        f,
        """
        def f(s, items):
            total = 0
            for i, item in enumerate(items):
                if item == 'stop':
                    break
                if not item:
                    continue
                total = total + i
            else:
                s += 'all'
            while total > 0:
                total = total - 1
            return total
        """,
    )


def test_assignments(becomes: Any) -> None:
    @rl.function
    def f(s, pair):
        """Say."""
        a, (b, c) = pair
        d: dict[str, Any] = {}
        d["k"] = a
        x = y = b + c
        x, y = y, x
        found = [x]
        found += [y]
        found.append(d)

    becomes(
        f,
        """
        def f(s, pair):
            a, (b, c) = pair
            d = {}
            d['k'] = a
            _1 = b + c
            x = _1
            y = _1
            x, y = (y, x)
            found = [x]
            found.extend([y])
            found.append(d)
        """,
    )


def test_a_test_that_is_known_leaves_one_branch(becomes: Any) -> None:
    @rl.function
    def f(s):
        if DEBUG:
            import sys

            print(sys)
        else:
            s += "a"

    becomes(f, "def f(s):\n    s += 'a'")


def test_constants_that_are_no_scalars_are_bound_once(becomes: Any) -> None:
    @rl.function
    def f(s):
        for row in ROWS:
            s += row["q"] + str(ROWS[0]["n"])

    becomes(
        f,
        """
        def f(s):
            ROWS = [{'q': 'a', 'n': 1}]
            for row in ROWS:
                s += row['q'] + str(ROWS[0]['n'])
        """,
    )


def test_fixed_functions_under_any_name(becomes: Any) -> None:
    @rl.function
    def f(s, text):
        return parse(text), j.dumps(text), re.findall("a", text), len(text)

    becomes(
        f,
        """
        def f(s, text):
            return (json.loads(text), json.dumps(text), re.findall('a', text), len(text))
        """,
    )


def test_assert_and_raise(becomes: Any) -> None:
    @rl.function
    def f(s, n):
        assert n > 0, f"{n} is too small"
        if n > 9:
            raise ValueError("too large")
        raise LookupError

    becomes(
        f,
        """
        def f(s, n):
            if not n > 0:
                raise_('AssertionError', f'{n} is too small')
            if n > 9:
                raise_('ValueError', 'too large')
            raise_('LookupError')
        """,
    )


def test_forks(becomes: Any) -> None:
    @rl.function
    def f(s, names):
        forks = s.fork(len(names))
        for fork, name in zip(forks, names, strict=True):
            fork += name + rl.gen("x")
        forks += "!"
        forks[0] += rl.gen("y")
        first = forks[0]
        texts = [one["x"] for one in forks]
        forks.join()
        with s.copy() as c:
            c += "aside"
        return first["y"], texts, len(forks)

    becomes(
        f,
        """
        def f(s, names):
            forks = s.fork(len(names))
            for fork, name in zip(forks, names, strict=True):
                fork += '' + name
                fork += gen('x')
            forks += '!'
            forks[0] += gen('y')
            first = forks[0]
            texts = [one.variable('x') for one in forks]
            join(forks)
            _1 = s.fork(1)
            c = _1[0]
            c += 'aside'
            join(_1)
            return (first.variable('y'), texts, len(forks))
        """,
    )


def test_an_item_for_each_branch(becomes: Any) -> None:
    @rl.function
    def f(s):
        forks = s.fork(2)
        forks += ["a", rl.gen("b")]
        forks.join("concate_and_append")

    becomes(
        f,
        """
        def f(s):
            forks = s.fork(2)
            if len(forks) != 2:
                raise_('ValueError', '2 items for a fork of another number of branches')
            forks[0] += 'a'
            forks[1] += gen('b')
            join(forks, 'concate_and_append')
        """,
    )


def test_lines_are_those_of_the_file() -> None:
    @rl.function
    def f(s):
        s += "a"

        s += "b"

    program = f.compile().program
    assert program is not None
    first = f.func.__code__.co_firstlineno
    assert [step.line - first for step in program.body] == [2, 4]
    assert program.file == __file__
