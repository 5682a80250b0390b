"""What a check says where a tokenizer, arguments or a context length are given; what it leaves."""

from __future__ import annotations

import ast
import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

import radixlm as rl
from radixlm.lang.check import Report
from radixlm.lang.check.finding import CODES
from radixlm.runtime.config import ModelConfig
from radixlm.runtime.tokenizer import Tokenizer, load_tokenizer

from ..programs import corpus

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return load_tokenizer(ModelConfig())


def codes(report: Report) -> list[str]:
    return [finding.code for finding in report]


def line_of(function: rl.Function, text: str) -> int:
    """The line of the file on which a text stands inside a function."""
    first = function.func.__code__.co_firstlineno
    lines = Path(__file__).read_text().splitlines()
    return next(n for n in range(first, len(lines) + 1) if text in lines[n - 1])


# ---- the programs that exist


FAULTS_OF_THE_CORPUS = {
    "for_range": "trailing-space",  # "1. " stands before a gen
    "caller": "trailing-space",  # "I heard Oslo. "
    "inlined": "trailing-space",  # "hey " twice
    "unbound": "unbound-variable",  # is in the corpus for just that
}


@pytest.mark.parametrize(
    "function",
    list({f.__name__: f for f, _ in (*corpus.CASES, *corpus.FAILING)}.values()),
    ids=lambda f: f.__name__,
)
def test_the_corpus_gives_no_alarm_but_for_its_true_faults(function: Any) -> None:
    expected = FAULTS_OF_THE_CORPUS.get(function.__name__)
    assert codes(function.check()) == ([] if expected is None else [expected])


@pytest.mark.parametrize(
    ("function", "arguments"), corpus.CASES, ids=[f.__name__ for f, _ in corpus.CASES]
)
def test_a_program_that_runs_has_no_errors_for_its_arguments(
    function: Any, arguments: dict[str, Any], tokenizer: Tokenizer
) -> None:
    report = function.check(**arguments, tokenizer=tokenizer, context_length=2048)
    assert not report.errors, str(report)


FAULTS_OF_EXAMPLES = {"unfinished_grammar": "invalid-ebnf"}  # it shows how a grammar is refused


def programs_of(path: Path) -> list[rl.Function]:
    """The programs of an example, which may do something when it is imported: only its defs run."""
    tree = ast.parse(path.read_text())
    kept = (ast.Import, ast.ImportFrom, ast.Assign, ast.FunctionDef, ast.ClassDef, ast.Expr)
    tree.body = [
        node
        for node in tree.body
        if isinstance(node, kept) and not (isinstance(node, ast.Expr) and _calls(node))
    ]
    spec = importlib.util.spec_from_loader(f"checked_{path.stem}", loader=None, origin=str(path))
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    module.__file__ = str(path)
    sys.modules[spec.name] = module
    exec(compile(tree, str(path), "exec"), vars(module))
    return [found for found in vars(module).values() if isinstance(found, rl.Function)]


def _calls(node: ast.Expr) -> bool:
    return isinstance(node.value, ast.Call)


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=lambda p: p.stem)
def test_the_examples_give_no_alarm(path: Path, tokenizer: Tokenizer) -> None:
    for program in programs_of(path):
        expected = FAULTS_OF_EXAMPLES.get(program.__name__)
        for report in (program.check(), program.check(tokenizer=tokenizer)):
            assert codes(report) == ([] if expected is None else [expected]), str(report)


# ---- budgets


@rl.function
def short_of_digits(s):
    s += "Date:" + rl.gen("date", regex=r" [0-9]{4}-[0-9]{2}-[0-9]{2}", max_tokens=5)


@rl.function
def enough_for_digits(s):
    s += "Date:" + rl.gen("date", regex=r" [0-9]{4}-[0-9]{2}-[0-9]{2}", max_tokens=11)


@rl.function
def short_of_a_document(s, text):
    s += rl.user(text)
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "tags": {"type": "array"}},
        "required": ["name", "tags"],
    }
    s += rl.assistant(rl.gen("x", json_schema=schema, max_tokens=4))


@rl.function
def short_of_a_sentence(s):
    s += rl.gen("x", ebnf='root ::= "The capital of " [A-Z] [a-z]+ " is not known."', max_tokens=3)


@rl.function
def hopeless(s):
    s += "Digits:" + rl.gen("x", regex=r"[0-9]{2000}", max_tokens=8)


@rl.function
def budget_from_an_argument(s, budget):
    s += "Digits:" + rl.gen("x", regex=r"[0-9]{6}", max_tokens=budget)


@pytest.mark.parametrize("function", [short_of_digits, short_of_a_document, short_of_a_sentence])
def test_a_budget_below_the_shortest_text_is_an_error_with_a_tokenizer(
    function: rl.Function, tokenizer: Tokenizer
) -> None:
    [found] = function.check(tokenizer=tokenizer)
    assert (found.code, found.severity) == ("budget", "error")
    assert found.line == line_of(function, "max_tokens=")
    assert codes(function.check()) == []  # a token might be as long


def test_a_budget_that_just_holds_the_shortest_text_is_fine(tokenizer: Tokenizer) -> None:
    assert codes(enough_for_digits.check(tokenizer=tokenizer)) == []


def test_without_a_tokenizer_only_a_hopeless_budget_is_found() -> None:
    assert codes(hopeless.check()) == ["budget"]


def test_a_budget_that_is_an_argument_is_judged_where_it_is_given(tokenizer: Tokenizer) -> None:
    assert codes(budget_from_an_argument.check(tokenizer=tokenizer)) == []
    assert codes(budget_from_an_argument.check(2, tokenizer=tokenizer)) == ["budget"]
    assert codes(budget_from_an_argument.check(16, tokenizer=tokenizer)) == []


@rl.function
def constrained_by_an_argument(s, pattern, options):
    s += "Word:" + rl.gen("word", regex=pattern, max_tokens=8)
    s += " Mood:" + rl.select("mood", options)


def test_constraints_and_options_that_are_arguments_are_judged_where_they_are_given() -> None:
    assert codes(constrained_by_an_argument.check()) == []
    assert codes(constrained_by_an_argument.check("[a-z]{1,4}", ["a", "b"])) == []
    assert codes(constrained_by_an_argument.check("[a-z", ["a"])) == ["invalid-regex"]
    assert codes(constrained_by_an_argument.check("[a-z]", [])) == ["empty-options"]
    assert codes(constrained_by_an_argument.bind(options=[]).check()) == ["empty-options"]
    for strange in (5, None, object()):  # no text: a TypeError of the run, and none of the check's
        constrained_by_an_argument.check(strange, strange)


# ---- tokens that are cut


@rl.function
def cuts_a_word(s):
    s += "The capital of France is Par" + rl.select("rest", ["is", "ma"])


@rl.function
def cuts_a_forced_word(s):
    s += "The answer to the quest" + rl.gen("rest", regex=r"ion is [a-z]{3}", max_tokens=16)


@rl.function
def ends_with_a_word(s):
    s += "The capital of France is" + rl.select("rest", [" Paris", " Parma"])


@pytest.mark.parametrize("function", [cuts_a_word, cuts_a_forced_word])
def test_a_literal_that_ends_inside_a_word_is_found_with_a_tokenizer(
    function: rl.Function, tokenizer: Tokenizer
) -> None:
    assert codes(function.check()) == []
    [found] = function.check(tokenizer=tokenizer)
    assert (found.code, found.line) == ("split-token", line_of(function, "s +="))


def test_a_literal_that_ends_with_a_word_is_fine(tokenizer: Tokenizer) -> None:
    assert codes(ends_with_a_word.check(tokenizer=tokenizer)) == []


# ---- contexts


@rl.function
def long_answer(s, text):
    s += rl.user(text) + rl.assistant(rl.gen("answer", max_tokens=200))


def test_a_prompt_longer_than_the_context_is_an_error(tokenizer: Tokenizer) -> None:
    report = long_answer.check("word " * 300, tokenizer=tokenizer, context_length=256)
    assert codes(report) == ["context-overflow"]


def test_an_answer_that_may_pass_the_context_is_a_warning(tokenizer: Tokenizer) -> None:
    report = long_answer.check("word " * 100, tokenizer=tokenizer, context_length=256)
    assert codes(report) == ["maybe-context-overflow"]
    assert codes(long_answer.check("word", tokenizer=tokenizer, context_length=512)) == []


def test_open_arguments_say_nothing_about_the_context(tokenizer: Tokenizer) -> None:
    assert codes(long_answer.check(tokenizer=tokenizer, context_length=256)) == []


# ---- functions that do not compile whole


@rl.function
def tries(s, question):
    s += question + rl.gen("answer")
    try:
        s += rl.gen("second", max_tokens=4)
    except ValueError:
        s += "again"
    s += s["second"] + rl.gen("date", regex="(?=x)[a-z]{3}", max_tokens=4)


def test_what_compiles_of_a_function_is_checked_and_the_rest_is_noted() -> None:
    report = tries.check("Q")
    assert [(f.code, f.line) for f in report] == [
        ("unbounded-gen", line_of(tries, 'rl.gen("answer")')),
        ("not-compiled", line_of(tries, "try:")),
        ("unsupported-regex", line_of(tries, '"date"')),
    ]
    assert report.errors
    assert report[1].severity == "note"


def test_a_function_without_source_is_a_note() -> None:
    made: dict[str, Any] = {"rl": rl}
    exec("def f(s):\n    s += 'x'\n", made)
    assert codes(rl.function(made["f"]).check()) == ["not-compiled"]


# ---- the report


def test_a_report_prints_place_code_and_fix() -> None:
    text = str(hopeless.check())
    assert text.startswith(f"test_check.py:{line_of(hopeless, 'max_tokens')}: error budget: ")
    assert text.splitlines()[1].startswith("    ")
    assert str(ends_with_a_word.check()) == "nothing found"


def test_given_arguments_never_make_a_branch_a_fault() -> None:
    assert codes(corpus.if_else.check(5)) == []


def test_an_argument_that_the_function_does_not_have_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="hopeless\\(\\) got an unexpected keyword argument 'x'"):
        hopeless.check(x=1)


def test_every_code_is_explained_in_the_documentation() -> None:
    written = (ROOT / "docs" / "check.md").read_text()
    assert [code for code in CODES if f"`{code}`" not in written] == []
