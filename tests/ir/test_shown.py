"""Which arguments of a program are images and nothing else."""

from __future__ import annotations

import pytest

from radixlm.ir.budget import Budget
from radixlm.ir.errors import FuelError, ProgramError
from radixlm.ir.fuel import Limits
from radixlm.ir.images import MAX_URL_CHARACTERS, reference
from radixlm.ir.media import with_urls
from radixlm.ir.nodes import Image
from radixlm.ir.program import Do, Program
from radixlm.ir.shown import Shown, find_shown
from radixlm.ir.text_parse import from_text
from radixlm.ir.verify import verify

BODIES = [
    ("s += image(p)", {"p"}),
    ("s += image(p[0])\n    s += image(p[i])", {"p"}),
    ("for each in p:\n        s += image(each)", {"p"}),
    ("one = p[0]\n    s += image(one)", {"p"}),
    ('invoke("other", p)', {"p"}),
    ('invoke("other", seen=p)', {"p"}),
    ('s += image(p)\n    s += f"from {p}"', set()),
    ("for each in p:\n        s += image(each)\n        s += each", set()),
    ('s += image(p + ".png")', set()),
    ("for each in p[1:]:\n        s += image(each)", set()),
    ("one = p[0]\n    one.append(1)\n    s += image(one)", set()),
    ('host("look", p)\n    s += image(p)', set()),
    ("s += i", set()),
]


@pytest.mark.parametrize(("body", "expected"), BODIES)
def test_a_parameter_is_shown_if_nothing_else_is_done_with_it(
    body: str, expected: set[str]
) -> None:
    other = "def other(s, seen):\n    s += image(seen)\n"
    text = f'@hosts("look")\ndef f(s, p, i):\n    {body}\n{other}'
    assert find_shown(from_text(text)).parameters == expected


def test_a_callee_that_reads_what_it_is_given_counts() -> None:
    text = (
        "def f(s, p):\n    invoke('g', p)\ndef g(s, seen):\n    s += image(seen)\n    s += seen\n"
    )
    assert find_shown(from_text(text)) == Shown(frozenset(), True)


def test_an_image_that_the_program_names_is_no_hole() -> None:
    assert not find_shown(from_text('def f(s):\n    s += image("https://example.org/a")')).has_holes
    assert find_shown(from_text('def f(s):\n    s += image("a" + "b")')).has_holes


def test_no_image_stands_in_a_program_itself() -> None:
    url = "data:image/png;base64," + "A" * MAX_URL_CHARACTERS
    with pytest.raises(ProgramError, match=r"\$.body\[0\]: an image of \d+ characters") as caught:
        verify(Program(name="f", body=(Do(statement=Image(url=url)),)))
    assert "beside the program" in str(caught.value.hint)
    verify(Program(name="f", body=(Do(statement=Image(url=reference(url))),)))


def test_a_reference_is_of_the_content() -> None:
    assert reference("data:image/png;base64,AA==") == reference("data:image/png;base64,AA==")
    assert reference("data:image/png;base64,AA==") != reference("data:image/png;base64,AB==")


def test_messages_are_readdressed_and_the_given_ones_stay() -> None:
    part = {"type": "image_url", "image_url": {"url": "a"}}
    text = {"type": "text", "text": "a"}
    given = [{"role": "user", "content": [part, text]}, {"role": "assistant", "content": "a"}]
    moved = {"type": "image_url", "image_url": {"url": "b"}}
    assert with_urls(given, {"a": "b"}) == [
        {"role": "user", "content": [moved, text]},
        {"role": "assistant", "content": "a"},
    ]
    assert part["image_url"] == {"url": "a"}


def test_images_are_counted() -> None:
    budget = Budget(Limits(images=2))
    budget.show()
    budget.show()
    with pytest.raises(FuelError, match="shown 3 images; at most 2 are allowed"):
        budget.show()
