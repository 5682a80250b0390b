import pytest
from hypothesis import given
from hypothesis import strategies as st
from radixlm.runtime.desk.stops import find_stop, held_back

TEXTS = st.text("ab", max_size=12)
STOPS = st.lists(st.text("ab", min_size=1, max_size=4), max_size=4)


@pytest.mark.parametrize(
    ("text", "stops", "start", "found"),
    [
        ("one. two.", ["."], 0, (3, ".")),
        ("one. two.", ["."], 4, (8, ".")),
        ("one", ["."], 0, None),
        ("one", [], 0, None),
        ("", ["."], 0, None),
        ("a. b", ["b", "."], 0, (1, ".")),  # the earlier place wins over the earlier name
        ("stop!", ["stop", "stop!"], 0, (0, "stop")),  # at one place the earlier name
        ("stop!", ["stop!", "stop"], 0, (0, "stop!")),
        ("ab", ["a"], -5, (0, "a")),
    ],
)
def test_the_first_stop_is_found(
    text: str, stops: list[str], start: int, found: tuple[int, str] | None
) -> None:
    assert find_stop(text, stops, start=start) == found


@given(TEXTS, STOPS, st.integers(-3, 12))
def test_finding_agrees_with_trying_every_place(text: str, stops: list[str], start: int) -> None:
    hits = [
        (at, stop)
        for at in range(max(start, 0), len(text))
        for stop in stops
        if text.startswith(stop, at)
    ]
    assert find_stop(text, stops, start=start) == (hits[0] if hits else None)


@pytest.mark.parametrize(
    ("text", "stops", "held"),
    [
        ("say </", ["</s>"], 2),
        ("say </s", ["</s>"], 3),
        ("say </s>", ["</s>"], 0),  # that one is whole: `find_stop` cuts it
        ("say", ["</s>"], 0),
        ("aa", ["aab"], 2),
        ("xa", ["ab", "xab"], 2),
        ("", ["ab"], 0),
        ("a", ["a"], 0),
    ],
)
def test_what_may_become_a_stop_is_held_back(text: str, stops: list[str], held: int) -> None:
    assert held_back(text, stops) == held


@given(TEXTS, STOPS)
def test_holding_back_agrees_with_trying_every_length(text: str, stops: list[str]) -> None:
    beginnings = {stop[:length] for stop in stops for length in range(len(stop))}
    longest = max(
        (n for n in range(len(text) + 1) if text[len(text) - n :] in beginnings), default=0
    )
    assert held_back(text, stops) == longest


@given(st.lists(st.text("ab", min_size=1, max_size=3), max_size=8), STOPS)
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
