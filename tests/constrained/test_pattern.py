from __future__ import annotations

import random
import re

import pytest

from radixlm.constrained.errors import (
    GrammarError,
    LimitError,
    MalformedError,
    UnsatisfiableError,
    UnsupportedError,
)
from radixlm.constrained.pattern import MAX_PATTERN_CHARS, lower_pattern
from radixlm.constrained.spec import GrammarSpec

from .conftest import Accepts

# Each pattern with texts: the grammar accepts exactly those that `re.fullmatch` matches.
EXACT = [
    ("", ["", "a"]),
    ("^abc$", ["abc", "^abc$", "xabc", "abc\n"]),
    (r"\Aabc\Z", ["abc", "Aabc"]),
    ("(^a|b$)", ["a", "b", "^a"]),
    ("^a|b$", ["a", "b", "ab"]),
    ("(?:ab)+", ["", "ab", "abab", "aba"]),
    ("(?P<word>a)b", ["ab", "b"]),
    ("a*?b", ["b", "aab", "aa"]),
    ("a+?", ["", "a", "aa"]),
    ("a??b", ["b", "ab", "aab"]),
    ("a{2,3}?", ["a", "aa", "aaa", "aaaa"]),
    ("a{,3}", ["", "aaa", "aaaa", "a{,3}"]),
    ("a{2,}", ["a", "aa", "aaaaa"]),
    ("a{0}b", ["b", "ab"]),
    ("a{", ["a{", "a"]),
    ("a{x}", ["a{x}", "a"]),
    ("a||b", ["", "a", "b", "ab"]),
    ("()|a", ["", "a"]),
    ("(?:a*)*b", ["b", "aab", "aa"]),
    ("(((a+)*)+)+", ["", "a", "aaa", "b"]),
    ("(((ab)+)+c)+", ["abc", "ababcabc", "ab", ""]),
    (".", ["a", "\n", "\r", "é", "😀", ""]),
    ("(?s:.)", ["a", "\n"]),
    (r"[\s\S]", ["a", "\n", "😀"]),
    (r"[]a]", ["]", "a", "b"]),
    (r"[^]a]", ["]", "a", "b", "é"]),
    (r"[a\-z]", ["-", "b", "z"]),
    (r"[$^.]", ["$", "^", ".", "a"]),
    (r"[\]\\\b]", ["]", "\\", "\b", "b"]),
    (r"[à-ü😀-😎]", ["é", "😁", "e"]),
    (r"\.\-\"\/\\", ['.-"/\\', "a"]),
    (r"\x41\u0042\U00000043\07\0", ["ABC\x07\0", "ABC"]),
    (r"\n\t\r\f\v\a", ["\n\t\r\f\v\a"]),
    (r"\N{DIGIT ONE}", ["1", "N"]),
    (r"\d\w\s", ["1a ", "a1 ", "1_\t", "1__"]),
    (r"\D\W\S", ["a-a", "é-é", "1-a", "aéa", "a-\u00a0"]),
    (r"[^\d]", ["a", "1", "é", "٣"]),
    (r"[^\w\s]", ["-", "a", " ", "é", "\u00a0"]),
    (r"[^\W]", ["a", "-"]),
    ("(?i)aB[c-d]", ["ab" + c for c in "cCdDe"]),
    ("(?i:a)b", ["Ab", "AB"]),
    ("(?x) a b # comment", ["ab", "a b"]),
    ("(?#comment)a", ["a"]),
    ("é+", ["éé", "e"]),
]


@pytest.mark.parametrize(("pattern", "texts"), EXACT)
def test_the_grammar_accepts_what_fullmatch_matches(
    accepts: Accepts, pattern: str, texts: list[str]
) -> None:
    spec = GrammarSpec.regex(pattern)
    expected = {
        text: bool(re.fullmatch(pattern, text)) and not text.endswith("c\n") for text in texts
    }
    assert {text: accepts(spec, text) for text in texts} == expected


@pytest.mark.parametrize("seed", range(60))
def test_random_patterns_agree_with_fullmatch_on_all_short_texts(
    accepts: Accepts, seed: int
) -> None:
    rng = random.Random(seed)

    def pattern(depth: int) -> str:
        if depth == 0:
            return rng.choice(["a", "b", "[ab]", "[^a]", ".", r"\w", "", "c?"])
        match rng.randrange(4):
            case 0:
                return pattern(depth - 1) + pattern(depth - 1)
            case 1:
                return f"(?:{pattern(depth - 1)}|{pattern(depth - 1)})"
            case 2:
                return f"({pattern(depth - 1)})" + rng.choice(
                    ["*", "+", "?", "{2}", "{1,2}", "*?", "{,2}"]
                )
            case _:
                return rng.choice(["^{}", "{}$", "(?:{})"]).format(f"(?:{pattern(depth - 1)})")

    text = pattern(3)
    try:
        spec = GrammarSpec.regex(text)
        lower_pattern(text)
    except UnsupportedError:
        return  # an anchor in the middle
    for length in range(4):
        for _ in range(8):
            sample = "".join(rng.choices("abc", k=length))
            assert accepts(spec, sample) == bool(re.fullmatch(text, sample)), (text, sample)


@pytest.mark.parametrize(
    ("pattern", "texts"),
    [(r"\d", "٣"), (r"\w", "é"), (r"\s", "\u00a0"), ("(?i)k", "\u212a"), ("(?i)é", "É")],
)
def test_classes_are_narrower_than_pythons_but_never_wider(
    accepts: Accepts, pattern: str, texts: str
) -> None:
    assert re.fullmatch(pattern, texts)
    assert not accepts(GrammarSpec.regex(pattern), texts)


@pytest.mark.parametrize(
    ("pattern", "construct"),
    [
        ("a(?=b)b", "lookahead or lookbehind"),
        ("(?<=a)b", "lookahead or lookbehind"),
        ("a(?!b).", "negative lookahead"),
        ("(?<!a)b", "negative lookahead or lookbehind"),
        (r"(a)\1", "back-reference"),
        ("(?P<x>a)(?P=x)", "back-reference"),
        ("(a)?(?(1)b|c)", "conditional"),
        (r"\bfoo", r"\b"),
        (r"\Bfoo", r"\B"),
        ("(?>a+)b", "atomic"),
        ("a++b", "possessive"),
        ("(?m)^a$", "(?m)"),
        ("(?m:^a)", "(?m)"),
        ("a^b", "^ inside"),
        ("a$b", "$ inside"),
        ("(^a)*", "^ inside"),
        ("(?i)[^k]", "negated set"),
    ],
)
def test_what_cannot_be_enforced_is_refused_by_name(pattern: str, construct: str) -> None:
    re.compile(pattern)
    with pytest.raises(UnsupportedError) as caught:
        lower_pattern(pattern)
    assert construct in caught.value.reason


@pytest.mark.parametrize(
    ("pattern", "error"),
    [
        ("(", MalformedError),
        ("a)", MalformedError),
        ("*a", MalformedError),
        ("a**", MalformedError),
        ("[a", MalformedError),
        ("[z-a]", MalformedError),
        (r"\p{L}", MalformedError),
        ("a{3,1}", MalformedError),
        (r"\ud800", UnsatisfiableError),
        (r"[^\s\S]", UnsatisfiableError),
        ("a{100001}", LimitError),
        ("(((ab?)+b?)+b?)+", LimitError),
        ("(a{1000}){1000}", LimitError),
        ("a{99999999999999999999}", LimitError),
        ("(" * 5000 + ")" * 5000, LimitError),
        ("a" * (MAX_PATTERN_CHARS + 1), LimitError),
    ],
)
def test_a_bad_pattern_is_refused(pattern: str, error: type[GrammarError]) -> None:
    with pytest.raises(error):
        lower_pattern(pattern)


SEARCHED = ["", "a", "b", "ab", "ba", "aab", "abab", "bb", 'a"b', "a\\b", "a\nb", "aébc", "abc"]


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "a",
        "^a",
        "a$",
        "^a$",
        "^a|b$",
        "(^a|b$)",
        "^(a|b)",
        "a|b",
        "a.b",
        r"\W",
        "^.*$",
        "^[^a]*$",
        "(a)(b)",
    ],
)
@pytest.mark.parametrize(("low", "high"), [(0, None), (0, 3), (2, 3), (2, None)])
def test_a_searched_pattern_agrees_with_search_within_the_length(
    accepts: Accepts, pattern: str, low: int, high: int | None
) -> None:
    bounds = {"minLength": low} | ({} if high is None else {"maxLength": high})
    spec = GrammarSpec.json_schema({"type": "string", "pattern": pattern, **bounds})
    for text in SEARCHED:
        expected = bool(re.search(pattern, text, re.ASCII)) and low <= len(text) <= (high or 99)
        quoted = GrammarSpec.choices([text]).source[1:-1]
        try:
            taken = accepts(spec, quoted)
            # A counted set leaves out what JSON would escape.
            assert taken == expected or (high and "\\" in quoted and not taken), text
        except UnsupportedError:
            assert (low, high) != (0, None)
        except UnsatisfiableError:
            assert not expected


@pytest.mark.parametrize(
    ("pattern", "low", "high", "yes", "no"),
    [
        ("^[a-z]+$", 2, 4, ["ab", "abcd"], ["a", "abcde"]),
        ("^id-(?:[0-9]{2})*$", 4, 8, ["id-12", "id-1234"], ["id-", "id-123456"]),
        ("^a", 0, 3, ["a", "abc"], ["abcd", "b"]),
        ("^a.c$", 1, 9, ["abc"], ["ac"]),
    ],
)
def test_length_bounds_narrow_the_one_part_that_varies(
    accepts: Accepts, pattern: str, low: int, high: int, yes: list[str], no: list[str]
) -> None:
    spec = GrammarSpec.json_schema({"pattern": pattern, "minLength": low, "maxLength": high})
    assert all(accepts(spec, f'"{text}"') for text in yes)
    assert not any(accepts(spec, f'"{text}"') for text in no)


def test_length_bounds_that_leave_nothing_are_refused(accepts: Accepts) -> None:
    for pattern in ("^abc$", "^[a-z]{5,}$"):
        with pytest.raises(UnsatisfiableError):
            accepts(
                GrammarSpec.json_schema({"type": "string", "pattern": pattern, "maxLength": 2}),
                '"a"',
            )
