import re

import pytest
from hypothesis import HealthCheck, given, settings

from radixlm.ir.picture import LABEL_CHARACTERS, to_mermaid
from radixlm.ir.program import Program
from radixlm.ir.text import from_text

from .programs import programs

LABEL = r'"(?:[\w .,=+*/!?()\'-]|#\d+;)*"'
BODIES = "|".join(
    rf"{start}{LABEL}{end}"
    for start, end in [
        (r"\[", r"\]"),
        (r"\(", r"\)"),
        (r"\(\(", r"\)\)"),
        (r"\(\[", r"\]\)"),
        (r"\[\[", r"\]\]"),
        (r"\[/", r"/\]"),
        (r"\{", r"\}"),
        (r"\{\{", r"\}\}"),
    ]
)
NODE = re.compile(rf"(n\d+)(?:{BODIES})", re.ASCII)
BOX = re.compile(rf"subgraph [bf]\d+\[{LABEL}\]", re.ASCII)
ARROW = re.compile(
    rf"(n\d+) (?:-->(?:\|(?:yes|no|each|done)\|)?|-\.->\|{LABEL}\|) (n\d+)", re.ASCII
)


def lines(program: Program) -> list[str]:
    first, *rest = to_mermaid(program).splitlines()
    assert first == "flowchart TD"
    return [line.strip() for line in rest]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(programs())
def test_every_line_is_a_node_a_box_or_an_arrow_between_nodes(program: Program) -> None:
    nodes: set[str] = set()
    arrows: list[tuple[str, ...]] = []
    open_boxes = 0
    for line in lines(program):
        if match := NODE.fullmatch(line):
            assert match[1] not in nodes
            nodes.add(match[1])
        elif match := ARROW.fullmatch(line):
            arrows.append(match.groups())
        elif line == "end":
            open_boxes -= 1
        else:
            assert BOX.fullmatch(line), line
            open_boxes += 1
        assert open_boxes >= 0
    assert open_boxes == 0
    assert {end for arrow in arrows for end in arrow} <= nodes


@pytest.mark.parametrize(
    ("body", "arrows"),
    [
        (["s += gen('x')", "s += s['x']"], ['n1 -.->|"x"| n2', "n1 --> n2"]),
        (["s += a"], ['n0 -.->|"a"| n1']),
        (["x = a", "x = a", "s += x"], ['n2 -.->|"x"| n3']),
        (
            ["if a:", "    x = 1", "else:", "    x = 2", "s += x"],
            ["n1 -->|yes| n2", "n1 -->|no| n3", 'n2 -.->|"x"| n4', 'n3 -.->|"x"| n4'],
        ),
        (["if a:", "    return a", "s += a"], ["n1 -->|yes| n2", "n1 -->|no| n3"]),
        (
            ["while s['x'] == 'a':", "    s += gen('x')"],
            ["n1 -->|yes| n2", "n2 --> n1", 'n2 -.->|"x"| n1'],
        ),
        (
            ["for i in a:", "    s += y", "    if i:", "        break", "    y = i", "s += y"],
            ["n1 -->|each| n2", "n4 --> n6", "n5 --> n1", "n1 -->|done| n6", 'n5 -.->|"y"| n2'],
        ),
        (["while a:", "    continue", "else:", "    s += a"], ["n2 --> n1", "n1 -->|no| n3"]),
        (["with s.scope('x'):", "    s += a", "s += s['x']"], ['n1 -.->|"x"| n3']),
        (["b = s.fork(2)", "join(b)"], ['n1 -.->|"b"| n2']),
        (["s['x'] = a", "s += s['x']"], ['n1 -.->|"x"| n2']),
    ],
)
def test_arrows_show_what_follows_and_what_is_read(body: list[str], arrows: list[str]) -> None:
    drawn = lines(from_text("\n    ".join(["def f(s, a):", *body])))
    assert [arrow for arrow in arrows if arrow not in drawn] == []


def test_a_value_that_is_always_replaced_has_no_arrow() -> None:
    drawn = lines(from_text("def f(s, a):\n    x = a\n    x = a\n    s += x"))
    assert 'n1 -.->|"x"| n3' not in drawn


def test_nothing_follows_a_return() -> None:
    drawn = lines(from_text("def f(s):\n    return 1\n    s += 'a'"))
    assert not any(line.startswith("n1 -") for line in drawn)


def test_labels_name_the_variable_and_its_constraint_and_are_escaped_and_cut() -> None:
    drawn = lines(from_text("def f(s):\n    s += gen('x', regex='[\"<]')"))
    assert drawn[1] == "n1(\"s += gen('x', regex='#91;#34;#60;#93;')\")"
    drawn = lines(from_text(f"def f(s):\n    s += '{'a' * 200}'"))
    assert drawn[1].count("a") == LABEL_CHARACTERS - len("s += '…")


def test_a_program_that_is_invoked_has_a_box_of_its_own() -> None:
    drawn = lines(from_text("def f(s):\n    t = invoke('g')\ndef g(s, a):\n    s += a"))
    box = drawn.index('subgraph f2["g"]')
    assert drawn[box + 1 : box + 4] == ['n2(["g(s, a)"])', 'n3["s += a"]', "end"]
