from typing import Any

import pytest

import radixlm as rl
from radixlm import gen as G
from radixlm.ir.nodes import Gen, Sampling
from radixlm.ir.program import Do

GREETING = "Hi"
LIMITS = {"max_tokens": 3, "stop": "x"}


def test_texts_that_are_known_are_one_text(becomes: Any) -> None:
    @rl.function
    def f(s):
        s += GREETING + ", " + f"{GREETING}!"

    becomes(f, "def f(s):\n    s += 'Hi, Hi!'")


def test_indented_functions_keep_the_text_in_triple_quotes(becomes: Any) -> None:
    @rl.function
    def f(s):
        s += """a
  b"""

    becomes(f, "def f(s):\n    s += 'a\\n  b'")


def test_an_f_string_is_one_hole(becomes: Any) -> None:
    @rl.function
    def f(s, q, n=2):
        s += f"Q{n:>3}: {q!r}\n"

    becomes(f, """def f(s, q, n=2):\n    s += f'Q{n:>3}: {q!r}\\n'""")


def test_words_are_known_by_identity_under_any_name(becomes: Any) -> None:
    @rl.function
    def f(s, q):
        s += rl.user(q) + rl.assistant_begin() + G("a", stop=["\n"]) + rl.assistant_end()

    becomes(
        f,
        r"""
        def f(s, q):
            s += role_begin('user')
            s += q
            s += role_end('user')
            s += role_begin('assistant')
            s += gen('a', stop=('\n',))
            s += role_end('assistant')
        """,
    )


def test_a_local_name_hides_a_word() -> None:
    @rl.function
    def f(s, gen):
        s += gen("x")

    reason = f.compile().reason
    assert "a call of 'gen', which only a run knows" in str(reason)


def test_constant_calls_go_through_the_word_itself() -> None:
    @rl.function
    def f(s):
        s += rl.gen("n", dtype=int, stop=["."], max_tokens=5)

    program = f.compile().program
    assert program is not None
    [do] = program.body
    assert isinstance(do, Do)
    assert [do.statement] == list(
        rl.gen("n", dtype=int, stop=["."], max_tokens=5).statements  # type: ignore[comparison-overlap]
    )


def test_arguments_that_depend_on_the_run_are_holes() -> None:
    @rl.function
    def f(s, n, stop, schema):
        s += rl.gen(f"x{n}", n, temperature=0.5, stop=stop, json_schema=schema)

    program = f.compile().program
    assert program is not None
    [do] = program.body
    assert isinstance(do, Do)
    assert do.statement == Gen(sampling=Sampling(temperature=0.5))
    assert set(do.holes) == {"out", "sampling.max_new_tokens", "sampling.stop", "json_schema"}


def test_a_dict_that_is_known_is_unpacked(becomes: Any) -> None:
    @rl.function
    def f(s):
        s += rl.gen("x", **LIMITS)

    becomes(f, "def f(s):\n    s += gen('x', max_new_tokens=3, stop=('x',))")


def test_choices_that_may_be_none_are_asked_for_at_the_run(becomes: Any) -> None:
    @rl.function
    def f(s, options=None):
        s += rl.gen("x", choices=options, max_tokens=3)

    becomes(
        f,
        """
        def f(s, options=None):
            if options is None:
                s += gen('x', max_new_tokens=3)
            else:
                s += select('x', choices=options)
        """,
    )


def test_gen_with_choices_is_a_select(becomes: Any) -> None:
    @rl.function
    def f(s, a):
        s += rl.gen("x", choices=["yes", "no"], choices_method=rl.greedy_token_selection)
        s += rl.select("y", [a, "b"])

    becomes(
        f,
        """
        def f(s, a):
            s += select('x', choices=('yes', 'no'), method='greedy_token_selection')
            s += select('y', choices=[a, 'b'])
        """,
    )


def test_reads_happen_before_anything_of_the_row_is_appended(becomes: Any) -> None:
    @rl.function
    def f(s):
        s += s["x"] + rl.gen("x") + s["x"]

    becomes(
        f,
        """
        def f(s):
            _1 = s['x']
            _2 = s['x']
            s += '' + _1
            s += gen('x')
            s += '' + _2
        """,
    )


def test_a_choice_of_mixes_becomes_an_if(becomes: Any) -> None:
    @rl.function
    def f(s, ask):
        s += rl.gen("x") if ask else "nothing"
        s += "a" + (rl.gen("y") if ask else s.text()) + "b"

    becomes(
        f,
        """
        def f(s, ask):
            if ask:
                s += gen('x')
            else:
                s += 'nothing'
            if ask:
                pass
            else:
                _1 = s.text()
            s += 'a'
            if ask:
                s += gen('y')
            else:
                s += '' + _1
            s += 'b'
        """,
    )


def test_the_words_of_states(becomes: Any) -> None:
    @rl.function
    def f(s, n):
        with s.user(), s.var_scope(f"v{n}"):
            s += "hi"
        s.assistant("so " + rl.gen("a"))
        s["n"] = n
        s["n"] += 1
        s.set_var("m", s.get_var("n"))
        return s.messages(), s.get_meta_info("a"), "a" in s, "b" not in s

    becomes(
        f,
        """
        def f(s, n):
            with s.role('user'):
                with s.scope(f'v{n}'):
                    s += 'hi'
            s += role_begin('assistant')
            s += 'so '
            s += gen('a')
            s += role_end('assistant')
            s['n'] = n
            s['n'] = s['n'] + 1
            s['m'] = s['n']
            return (s.messages(), s.get_meta_info('a'), s.bound('a'), not s.bound('b'))
        """,
    )


@pytest.mark.parametrize("value", [5, None])
def test_what_is_no_text_is_left_to_the_run(value: int | None) -> None:
    @rl.function
    def f(s):
        s += value

    program = f.compile().program
    assert program is not None
    [do] = program.body
    assert isinstance(do, Do)
    assert set(do.holes) == {"text"}
