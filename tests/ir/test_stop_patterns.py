import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radixlm.ir.stop_patterns import (
    MAX_MATCH,
    Match,
    StopPattern,
    StopScanner,
    check_stop_patterns,
)


def scan(text: str, *patterns: str) -> Match | None:
    return StopScanner.of(patterns).feed(text)


@pytest.mark.parametrize(
    ("pattern", "text", "span"),
    [
        ("a+b", "xxaaab", (2, 6)),
        ("b|abc", "zabc", (2, 3)),  # the text ends where a match first ends
        ("ab|b", "zab", (1, 3)),  # of two that end there the one that began first counts
        (r"\bEND", "xEND END", (5, 8)),
        (r"\BEND", "END xEND", (5, 8)),
        (r"(?i)stop\s*:", "StoP  :", (0, 7)),
        (r"(?i:s)top", "sTOP Stop", (5, 9)),
        (r"^Q\d", "aQ1 Q2", None),
        (r"(?m)^Q\d", "a\nQ1", (2, 4)),
        (r"[^\W\d_]{3}!", "12ab äbc!", (5, 9)),
        (r"(?:a|ab)*c", "ababc", (0, 5)),
        (r"x{2,3}?y", "xxxxy", (1, 5)),
        ("a.b", "a\nba-b", (3, 6)),
        ("(?s)a.b", "a\nb", (0, 3)),
    ],
)
def test_a_text_ends_where_the_pattern_is_first_found(
    pattern: str, text: str, span: tuple[int, int] | None
) -> None:
    found = scan(text, pattern)
    assert (None if found is None else (found.start, found.end)) == span


def test_of_several_patterns_the_one_found_first_ends_the_text() -> None:
    assert scan("abcd", "cd", "bc") == Match(1, 3, "bc")
    assert scan("abc", "c", "bc") == Match(1, 3, "bc")
    assert scan("abc", "[bc]c", "bc") == Match(1, 3, "[bc]c")


PARTS = ["a", "b", "[ab]", ".", "a*", "b+", "(?:ab)?", "a{1,2}", "(?:a|bb)", "^", r"\b", "c"]


@settings(max_examples=300)
@given(st.lists(st.sampled_from(PARTS), min_size=1, max_size=4), st.text("abc ", max_size=10))
def test_the_scanner_agrees_with_re_on_every_beginning_of_the_text(
    parts: list[str], text: str
) -> None:
    pattern = "".join(parts)
    try:
        StopPattern(pattern)
    except ValueError:
        return
    compiled = re.compile(pattern)
    expected = None
    for end in range(1, len(text) + 1):
        starts = [start for start in range(end) if compiled.fullmatch(text[:end], start)]
        starts = [s for s in starts if not pattern.startswith("^") or s == 0]
        if starts:
            expected = (starts[0], end)
            break
    found = scan(text, pattern)
    assert (None if found is None else (found.start, found.end)) == expected


@given(st.lists(st.text("ab!", min_size=1, max_size=3), max_size=8))
def test_text_that_was_let_out_is_never_taken_back(pieces: list[str]) -> None:
    patterns = ("a+b!", "ba{2}")
    scanner, text, shown = StopScanner.of(patterns), "", 0
    for piece in pieces:
        text += piece
        found = scanner.feed(piece)
        assert found == scan(text, *patterns)
        if found is not None:
            assert found.start >= shown
            return
        assert 0 <= scanner.held <= len(text) - shown
        shown = len(text) - scanner.held


def test_only_what_may_become_a_match_is_held_back() -> None:
    scanner = StopScanner.of([r"\nUser \d+:"])
    held = []
    for piece in ["Hello", "\n", "User", " 1", "2", "x", "\nUser 3"]:
        scanner.feed(piece)
        held.append(scanner.held)
    assert held == [0, 1, 5, 7, 8, 0, 7]


def test_a_match_that_grows_too_long_is_given_up() -> None:
    scanner = StopScanner.of(["a[^b]*b"])
    scanner.feed("a" + "x" * (MAX_MATCH - 1))
    assert scanner.held == MAX_MATCH
    scanner.feed("x")
    assert scanner.held == 0
    assert scanner.feed("b") is None
    assert scan("a" + "x" * (MAX_MATCH - 2) + "b", "a[^b]*b") is not None


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("a*", "matches nothing at all"),
        ("^", r"\\b or \^"),
        ("a$", r"write \\n"),
        (r"a\Z", r"write \\n"),
        (r"a\b", r"\\b or \^"),
        ("a(?=b)", "looks ahead"),
        ("(?<!a)b", "looks ahead or behind"),
        (r"(a)\1", "refers back"),
        ("a*+b", "possessive"),
        ("(?>a)b", "possessive"),
        ("(a{0,99}){0,99}b", "over 500 places"),
        ("a" * 1001, "1001 characters"),
    ],
)
def test_a_pattern_that_cannot_end_a_text_is_refused_with_a_remedy(
    pattern: str, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        StopPattern(pattern)


def test_what_is_no_pattern_is_refused() -> None:
    with pytest.raises(re.error):
        check_stop_patterns("(")
    with pytest.raises(TypeError, match="not 5"):
        check_stop_patterns([5])  # type: ignore[list-item]
    assert check_stop_patterns("a") == check_stop_patterns(["a"]) == ("a",)


def test_time_is_linear_for_patterns_on_which_backtracking_is_not() -> None:
    begin = time.process_time()
    for pattern in ("(a+)+b", "(a|aa)*b", "(a?){200}b"):
        assert scan("a" * 500, pattern) is None
    assert time.process_time() - begin < 5  # `re` takes longer than anybody can wait
