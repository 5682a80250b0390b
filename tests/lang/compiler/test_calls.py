import time
from typing import Any

import radixlm as rl

CALLED: list[Any] = []


def search(query):
    CALLED.append(query)
    return query


class Client:
    def find(self, query):
        CALLED.append(query)
        return query * 2

    @property
    def limit(self):
        CALLED.append("limit")
        return 3


client = Client()


def ask(s, q, name="a"):
    """Ask."""
    s += q
    s += rl.gen(name)
    text = s[name]
    return text.strip()


def turn(q):
    return rl.user(q) + rl.assistant(rl.gen("t"))


@rl.function
def capital(s, country, mark="?"):
    s += country + mark + rl.gen("x", max_tokens=4)
    return s["x"]


@rl.function
def factorial(s, n):
    if n == 0:
        return 1
    below = factorial(n - 1)
    return n * below.ret_value


def test_other_functions_are_called_by_the_client(becomes: Any) -> None:
    @rl.function
    def f(s, q):
        found = search(q)
        s += found + f"{client.find(q)}"
        print(q)
        return time.time()

    becomes(
        f,
        """
        @hosts('client.find', 'print', 'search', 'time.time')
        def f(s, q):
            found = host('search', q)
            _1 = host('client.find', q)
            s += found + f'{_1}'
            host('print', q)
            _2 = host('time.time')
            return _2
        """,
    )
    hosts = f.compile().hosts
    assert hosts["search"] is search
    assert hosts["time.time"] is time.time
    assert CALLED == []  # nothing was executed
    assert hosts["client.find"]("a") == "aa"
    CALLED.clear()


def test_calls_keep_python_s_order(becomes: Any) -> None:
    @rl.function
    def f(s, xs):
        return [s["a"], search(1), len(xs) + search(2)]

    becomes(
        f,
        """
        @hosts('search')
        def f(s, xs):
            _1 = s['a']
            _2 = host('search', 1)
            _3 = len(xs)
            _4 = host('search', 2)
            return [_1, _2, _3 + _4]
        """,
    )


def test_calls_that_may_not_happen_become_statements(becomes: Any) -> None:
    @rl.function
    def f(s, a):
        b = a and search(1)
        c = search(2) if b else 3
        while search(c):
            s += "x"
        return [search(x) for x in c if x]  # pyright: ignore[reportGeneralTypeIssues] # never runs

    becomes(
        f,
        """
        @hosts('search')
        def f(s, a):
            _1 = a
            if _1:
                _2 = host('search', 1)
                _1 = _2
            b = _1
            if b:
                _4 = host('search', 2)
                _3 = _4
            else:
                _3 = 3
            c = _3
            while True:
                _5 = host('search', c)
                if not _5:
                    break
                s += 'x'
            _6 = []
            for _7 in c:
                if not _7:
                    continue
                _8 = host('search', _7)
                _6.append(_8)
            return _6
        """,
    )


def test_a_helper_that_gets_the_state_is_inlined(becomes: Any) -> None:
    @rl.function
    def f(s, text):
        answer = ask(s, text)
        s += answer

    becomes(
        f,
        """
        def f(s, text):
            ask_s = s
            ask_q = text
            ask_name = 'a'
            ask_s += ask_q
            ask_s += gen(out=ask_name)
            ask_text = ask_s.variable(ask_name)
            answer = ask_text.strip()
            s += answer
        """,
    )


def test_a_helper_that_makes_expressions_is_inlined(becomes: Any) -> None:
    @rl.function
    def f(s, text):
        s += turn(text)

    becomes(
        f,
        """
        def f(s, text):
            turn_q = text
            s += role_begin('user')
            s += turn_q
            s += role_end('user')
            s += role_begin('assistant')
            s += gen('t')
            s += role_end('assistant')
        """,
    )


def test_another_program_is_invoked_with_the_settings_of_its_own_run() -> None:
    bound = capital.bind(mark="!")

    @rl.function
    def f(s, names):
        a = capital.run(names[0], temperature=0.5)
        b = bound(names[1])
        s += a["x"] + b["x"]
        return [capital(name).ret_value for name in names]

    program = f.compile().program
    assert program is not None
    assert set(program.functions) == {"capital", "capital_2"}
    settings = [p.body[1].statement.sampling for p in program.functions.values()]  # type: ignore[union-attr]
    assert [s.temperature for s in settings] == [0.5, 1.0]
    assert [s.max_new_tokens for s in settings] == [4, 4]
    assert program.body[1].keywords.keys() == {"mark"}  # type: ignore[union-attr]


def test_recursion() -> None:
    program = factorial.compile().program
    assert program is not None
    assert set(program.functions) == {"factorial"}


def test_no_property_is_read() -> None:
    @rl.function
    def f(s):
        s += str(client.limit)

    assert "'client.limit' is not known yet" in str(f.compile().reason)
    assert CALLED == []


def test_names_that_are_the_same_for_different_functions_differ_in_the_program() -> None:
    def make(search: Any) -> Any:
        def helper(s, q):
            return search(q)

        return helper

    first, second = make(lambda q: q), make(len)

    @rl.function
    def f(s, q):
        return [first(s, q), second(s, q), search(q)]

    # `len` is a function that programs have themselves, under whatever name
    assert set(f.compile().hosts) == {"search", "search_2"}


def test_a_constant_that_a_function_of_the_client_may_change_is_not_compiled() -> None:
    @rl.function
    def f(s):
        seen = search("a")
        s += seen + CALLED[0]

    @rl.function
    def g(s):
        s += client.find("a") + CALLED[0]

    reason = f.compile().reason
    assert "'CALLED' is read here, and search() may change it meanwhile" in str(reason)
    assert "client.find() may change it meanwhile" in str(g.compile().reason)


def test_typed_words(becomes: Any) -> None:
    @rl.function
    def f(s):
        s += rl.gen_string("x", max_tokens=3)

    expected = rl.gen_string("x", max_tokens=3).statements[0].regex  # type: ignore[union-attr]
    becomes(f, f"def f(s):\n    s += gen('x', max_new_tokens=3, regex={expected!r})")
