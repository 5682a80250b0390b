from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radixlm.ir.nodes import Gen, Logprobs, Sampling, Select, Span, Stmt, Text

SAMPLINGS = st.builds(
    Sampling,
    temperature=st.none() | st.floats(0, 2),
    top_k=st.none() | st.integers(-1, 9),
    stop=st.none() | st.lists(st.text(), max_size=2).map(tuple),
)


@given(SAMPLINGS, SAMPLINGS)
def test_said_fields_go_over_the_defaults_and_the_rest_stays(one: Sampling, two: Sampling) -> None:
    merged = msgspec.structs.asdict(one.over(two))
    for name, value in msgspec.structs.asdict(one).items():
        assert merged[name] == (getattr(two, name) if value is None else value)


@pytest.mark.parametrize(
    ("statement", "wire"),
    [
        (Text(text="a"), {"type": "text", "text": "a"}),
        (
            Gen(out="x", sampling=Sampling(n=2), logprobs=Logprobs()),
            {"type": "gen", "out": "x", "sampling": {"n": 2}, "logprobs": {}},
        ),
        (Select(choices=("a",)), {"type": "select", "choices": ["a"]}),
    ],
)
def test_statements_are_their_own_wire_form(statement: Any, wire: dict[str, Any]) -> None:
    assert msgspec.json.decode(msgspec.json.encode(statement)) == wire
    assert msgspec.json.decode(msgspec.json.encode(statement), type=Stmt) == statement


def test_a_span_prints_as_file_and_line_and_never_tells_things_apart() -> None:
    assert str(Span("/home/me/demo.py", 7)) == "demo.py:7"
    assert Span("a.py", 1) == Span("b.py", 2)
    assert hash(Span("a.py", 1)) == hash(Span("b.py", 2))
    assert Span() != "demo.py:7"
