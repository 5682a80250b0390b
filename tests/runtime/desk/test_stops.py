from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radixlm.ir.stop_patterns import Match
from radixlm.runtime.desk.stops import Stops, find_stop, held_back


@pytest.mark.parametrize(
    ("text", "stops", "start", "expected"),
    [
        ("one two", ["two"], 0, (4, "two")),
        ("one two", ["three"], 0, None),
        ("abab", ["ab"], 1, (2, "ab")),
        ("one two", ["two", "one"], 0, (0, "one")),  # the earliest place wins
        ("abc", ["ab", "abc"], 0, (0, "ab")),  # then the one that was named first
        ("abc", ["abc", "ab"], 0, (0, "abc")),
        ("abc", ["a"], -5, (0, "a")),
    ],
)
def test_the_first_stop_string_is_found(
    text: str, stops: list[str], start: int, expected: tuple[int, str] | None
) -> None:
    assert find_stop(text, stops, start=start) == expected


@pytest.mark.parametrize(
    ("text", "stops", "expected"),
    [
        ("say ST", ["STOP"], 2),
        ("say STO", ["STOP", "TOP"], 3),
        ("say", ["STOP"], 0),
        ("STOP", ["STOP"], 0),  # a whole one is found, not held back
        ("", ["STOP"], 0),
        ("aaa", ["aab"], 2),
        ("x", ["x"], 0),
    ],
)
def test_the_beginning_of_a_stop_string_is_held_back(
    text: str, stops: list[str], expected: int
) -> None:
    assert held_back(text, stops) == expected


@given(st.text("ab", max_size=12), st.lists(st.text("ab", min_size=1, max_size=4), max_size=3))
def test_what_is_held_back_is_the_longest_ending_that_begins_a_stop(
    text: str, stops: list[str]
) -> None:
    truth = [
        length
        for length in range(len(text) + 1)
        for stop in stops
        if length < len(stop) and stop.startswith(text[len(text) - length :])
    ]
    assert held_back(text, stops) == max(truth, default=0)


@given(
    st.text("ab", max_size=12),
    st.lists(st.text("ab", min_size=1, max_size=4), max_size=3),
    st.integers(-3, 12),
)
def test_finding_a_stop_agrees_with_trying_every_place(
    text: str, stops: list[str], start: int
) -> None:
    hits = [
        (at, stop)
        for at in range(max(start, 0), len(text))
        for stop in stops
        if text.startswith(stop, at)
    ]
    assert find_stop(text, stops, start=start) == (hits[0] if hits else None)


@given(
    st.lists(st.text("ab", min_size=1, max_size=3), max_size=8),
    st.lists(st.text("ab", min_size=1, max_size=4), max_size=3),
)
def test_text_that_was_let_out_never_holds_the_beginning_of_a_stop(
    chunks: list[str], stops: list[str]
) -> None:
    text, shown = "", 0
    for chunk in chunks:
        text += chunk
        found = find_stop(text, stops, start=shown)
        assert found == find_stop(text, stops, start=0)
        if found:
            assert found[0] >= shown
            return
        shown = len(text) - held_back(text, stops)


@pytest.mark.parametrize(
    ("strings", "patterns", "text", "found"),
    [
        (["cd"], ["b."], "abcd", Match(1, 3, "b.")),
        (["bc"], ["cd"], "abcd", Match(1, 3, "bc")),
        (["bc"], ["b."], "abcd", Match(1, 3, "bc")),
        (["bc"], ["ab."], "abcd", Match(0, 3, "ab.")),
        (["x"], ["y"], "abcd", None),
    ],
)
@pytest.mark.parametrize("step", [1, 2, 4])
def test_of_strings_and_patterns_the_one_that_is_complete_first_ends_the_text(
    strings: list[str], patterns: list[str], text: str, found: Match | None, step: int
) -> None:
    stops = Stops(strings, patterns)
    calls = [stops.find(text[:end]) for end in range(step, len(text) + 1, step)]
    assert next((call for call in calls if call), None) == found


def test_what_may_become_a_string_or_a_pattern_is_held_back() -> None:
    stops = Stops(["STOP"], [r"\d+%"])
    held = []
    for text in ["go", "go ST", "go ST12", "go ST12x"]:
        assert stops.find(text) is None
        held.append(stops.held_back(text))
    assert held == [0, 2, 2, 0]
    assert bool(stops)
    assert not Stops((), ())
