import inspect
import json
import re
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel
from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12

import radixlm as rl
from radixlm.constrained.spec import GrammarSpec
from radixlm.ir.nodes import Gen, Logprobs, RoleBegin, RoleEnd, Sampling, Select, Text
from radixlm.ir.roles import RoleFormat
from radixlm.lang.expr import REGEX_BOOL, REGEX_FLOAT, REGEX_INT, REGEX_STR, Expr

SGLANG_ORDER = [
    "name",
    "max_tokens",
    "min_tokens",
    "n",
    "stop",
    "stop_token_ids",
    "stop_regex",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "frequency_penalty",
    "presence_penalty",
    "ignore_eos",
    "return_logprob",
    "logprob_start_len",
    "top_logprobs_num",
    "return_text_in_logprobs",
    "dtype",
    "choices",
    "choices_method",
    "regex",
    "json_schema",
]


def gen_of(expr: Expr) -> Gen:
    (statement,) = expr.statements
    assert isinstance(statement, Gen)
    return statement


def test_gen_takes_sglangs_arguments_in_sglangs_order_all_unsaid() -> None:
    parameters = inspect.signature(rl.gen).parameters.values()
    by_position = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert by_position == SGLANG_ORDER
    assert {parameter.default for parameter in parameters} == {None}


def test_a_gen_that_says_nothing_leaves_everything_to_run() -> None:
    assert gen_of(rl.gen()) == Gen()
    assert gen_of(rl.gen()).sampling.said() == {}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"max_tokens": 3}, {"max_new_tokens": 3}),
        ({"min_tokens": 3}, {"min_new_tokens": 3}),
        ({"stop": "x"}, {"stop": ("x",)}),
        ({"stop": ["x", "y"]}, {"stop": ("x", "y")}),
        ({"stop": []}, {"stop": ()}),
        ({"stop_token_ids": [1]}, {"stop_token_ids": (1,)}),
        ({"temperature": 0}, {"temperature": 0}),
        ({"n": 2, "top_p": 0.5, "top_k": 4}, {"n": 2, "top_p": 0.5, "top_k": 4}),
        ({"min_p": 0.1, "ignore_eos": False}, {"min_p": 0.1, "ignore_eos": False}),
        (
            {"frequency_penalty": 1, "presence_penalty": 2, "repetition_penalty": 1.5},
            {"frequency_penalty": 1, "presence_penalty": 2, "repetition_penalty": 1.5},
        ),
        ({"sampling_seed": 5}, {"sampling_seed": 5}),
    ],
)
def test_what_is_said_arrives(given: dict[str, Any], said: dict[str, Any]) -> None:
    assert gen_of(rl.gen("x", **given)) == Gen(out="x", sampling=Sampling(**said))


@pytest.mark.parametrize(
    ("given", "logprobs"),
    [
        ({}, None),
        ({"top_logprobs_num": 2}, None),  # as in SGLang, only return_logprob turns them on
        ({"return_logprob": False}, None),
        ({"return_logprob": True}, Logprobs()),
        (
            {
                "return_logprob": True,
                "logprob_start_len": 0,
                "top_logprobs_num": 2,
                "return_text_in_logprobs": True,
            },
            Logprobs(start=0, top=2, with_text=True),
        ),
    ],
)
def test_log_probabilities_are_asked_for_by_return_logprob(
    given: dict[str, Any], logprobs: Logprobs | None
) -> None:
    assert gen_of(rl.gen("x", **given)).logprobs == logprobs


@pytest.mark.parametrize(
    ("dtype", "stop", "regex", "stops"),
    [
        (int, None, REGEX_INT, (" ", "\n")),
        ("int", None, REGEX_INT, (" ", "\n")),
        (int, "x", REGEX_INT, ("x", " ", "\n")),  # SGLang fails on this one
        (float, ["x", "y"], REGEX_FLOAT, ("x", "y", " ", "\n")),
        (bool, None, REGEX_BOOL, None),
        (str, "x", REGEX_STR, ("x",)),
        ("str", None, REGEX_STR, None),
    ],
)
def test_a_dtype_is_a_regex_and_numbers_stop_at_space(
    dtype: Any, stop: Any, regex: str, stops: tuple[str, ...] | None
) -> None:
    statement = gen_of(rl.gen("x", dtype=dtype, stop=stop))
    assert (statement.regex, statement.sampling.stop) == (regex, stops)


@pytest.mark.parametrize(
    ("pattern", "good", "bad"),
    [
        (REGEX_INT, ["0", "-12", "+7 \n"], ["", "1.5", "x", "--1"]),
        (REGEX_FLOAT, ["0", "-1.25", ".5 ", "3"], ["", ".", "1.", "1e5"]),
        (REGEX_BOOL, ["True", "False"], ["true", ""]),
        (REGEX_STR, ['""', '"two words 2"'], ["", "bare", '"a-b"']),
    ],
)
def test_the_patterns_of_dtypes_match_such_values(
    pattern: str, good: list[str], bad: list[str]
) -> None:
    assert [re.fullmatch(pattern, text) is not None for text in good] == [True] * len(good)
    assert [text for text in bad if re.fullmatch(pattern, text)] == []


@pytest.mark.parametrize("dtype", [list, "complex", 3])
def test_an_unknown_dtype_is_a_runtime_error_that_lists_the_known(dtype: Any) -> None:
    with pytest.raises(RuntimeError, match="it must be one of int, float, bool, str"):
        rl.gen("x", dtype=dtype)


def test_a_dtype_goes_before_a_regex_with_a_warning() -> None:
    with pytest.warns(UserWarning, match="regex is ignored"):
        expr = rl.gen("x", dtype=int, regex="a+")
    assert gen_of(expr).regex == REGEX_INT


def test_a_malformed_regex_fails_where_it_is_written() -> None:
    with pytest.raises(re.error):
        rl.gen("x", regex="(")


def test_only_one_constraint_is_allowed() -> None:
    with pytest.raises(ValueError, match="only one of regex and ebnf can constrain"):
        rl.gen("x", regex="a", ebnf='root ::= "a"')


@pytest.mark.parametrize("given", ["a+", ["a+"], ("a+",)])
def test_a_stop_regex_is_one_pattern_or_several(given: Any) -> None:
    assert gen_of(rl.gen("x", stop_regex=given)).sampling.stop_regex == ("a+",)


def test_a_stop_regex_that_cannot_end_a_text_fails_where_it_is_written() -> None:
    with pytest.raises(ValueError, match="matches nothing at all"):
        rl.gen("x", stop_regex="a*")
    with pytest.raises(re.error):
        rl.gen("x", stop_regex="(")


class City(BaseModel):
    name: str


@dataclass
class Town:
    name: str


class Village(TypedDict):
    name: str


@pytest.mark.parametrize(
    ("schema", "part"),
    [
        ('{"type": "string"}', '{"type": "string"}'),
        ({"type": "string"}, '{"type": "string"}'),
        (City, '"name"'),
        (Town, '"name"'),
        (Village, '"name"'),
        (list[int], '"integer"'),
        (True, "true"),
    ],
)
def test_a_schema_may_be_text_a_dict_or_a_model(schema: Any, part: str) -> None:
    assert part in (gen_of(rl.gen("x", json_schema=schema)).json_schema or "")


@pytest.mark.parametrize("type_", [City, Town, Village, list[City], City | None])
def test_a_type_means_the_same_schema_in_a_program_and_in_compile(type_: Any) -> None:
    written = gen_of(rl.gen("x", json_schema=type_)).json_schema
    assert written is not None
    assert written == GrammarSpec.json_schema(type_).source
    assert '"additionalProperties": false' in written


def test_grammars_of_other_kinds_and_the_schemas_mode_are_kept() -> None:
    assert gen_of(rl.gen("x", gbnf='root ::= "a"')).constraint() == {"gbnf": 'root ::= "a"'}
    assert gen_of(rl.gen("x", lark='start: "a"')).constraint() == {"lark": 'start: "a"'}
    tag = {"format": {"type": "any_text"}}
    assert json.loads(gen_of(rl.gen("x", structural_tag=tag)).constraint()["structural_tag"]) == tag
    loose = gen_of(rl.gen("x", json_schema=True, schema_mode="best_effort"))
    assert loose.constraint() == {"json_schema": "true", "schema_mode": "best_effort"}
    with pytest.raises(ValueError, match="it must be strict or best_effort"):
        rl.gen("x", json_schema=True, schema_mode="loose")
    laid = gen_of(rl.gen("x", json_schema=True, property_order="any", whitespace="flexible"))
    assert laid.constraint().items() >= {"property_order": "any", "whitespace": "flexible"}.items()
    for wrong in ({"property_order": "none"}, {"whitespace": "any"}):
        with pytest.raises(ValueError, match="it must be"):
            rl.gen("x", json_schema=True, **wrong)  # type: ignore[arg-type]


def test_another_thing_as_a_schema_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="json_schema must be a dict"):
        rl.gen("x", json_schema=3)


def test_a_users_stop_list_is_copied() -> None:
    stops = ["x"]
    backend = rl.ScriptedBackend(
        ["1", "2"], roles=RoleFormat(parts={"user": ("", "")}, stop=("<end>",))
    )

    @rl.function
    def twice(s: rl.ProgramState) -> None:
        s += rl.gen("a", stop=stops, dtype=int) + rl.gen("b", stop=stops)

    twice.run(backend=backend, stop=stops).sync()
    assert stops == ["x"]
    assert [call.gen.sampling.stop for call in backend.calls if call.gen] == [
        ("x", " ", "\n", "<end>"),
        ("x", "<end>"),
    ]


# ---- select


def test_choices_make_a_gen_a_select_without_sampling() -> None:
    expr = rl.gen("x", choices=["a", "b"], temperature=1.0, regex="(", max_tokens=3)
    assert expr.statements == (Select(out="x", choices=("a", "b")),)


@pytest.mark.parametrize(
    "method",
    [
        rl.token_length_normalized,
        rl.greedy_token_selection,
        rl.unconditional_likelihood_normalized,
    ],
)
def test_a_choices_method_is_carried_by_name(method: Any) -> None:
    by_gen = rl.gen("x", choices=["a"], choices_method=method)
    assert by_gen.statements == (Select(out="x", choices=("a",), method=method.name),)
    assert rl.select("x", ["a"], choices_method=method).statements == by_gen.statements


@pytest.mark.parametrize(
    ("choices", "error"),
    [(None, ValueError), ([], ValueError), ("abc", ValueError), ([1, 2], TypeError)],
)
def test_select_wants_a_list_of_texts(choices: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="options"):
        rl.select("x", choices)


def test_an_unknown_choices_method_lists_the_known() -> None:
    from radixlm.lang.choices import ChoicesMethod

    with pytest.raises(ValueError, match=r"no choices method is named 'best'; known: .*greedy"):
        ChoicesMethod("best")


# ---- expressions


def test_plus_joins_expressions_and_strings_on_either_side() -> None:
    expr = "a" + rl.gen("x") + "b" + rl.gen("y")
    assert expr.statements == (Text(text="a"), Gen(out="x"), Text(text="b"), Gen(out="y"))
    left = rl.gen("x")
    _ = left + "more"
    assert left.statements == (Gen(out="x"),)  # the operands stay as they were


@pytest.mark.parametrize("other", [1, None, ["a"]])
def test_plus_with_anything_else_is_a_type_error(other: Any) -> None:
    with pytest.raises(TypeError, match="unsupported operand"):
        _ = rl.gen("x") + other
    with pytest.raises(TypeError, match=r"unsupported operand|can only concatenate"):
        _ = other + rl.gen("x")


@pytest.mark.parametrize("name", ["system", "user", "assistant"])
def test_a_role_wraps_its_content(name: str) -> None:
    begin, end = RoleBegin(role=name), RoleEnd(role=name)
    assert getattr(rl, name)("Hi").statements == (begin, Text(text="Hi"), end)
    assert getattr(rl, name)("Hi" + rl.gen("x")).statements == (
        begin,
        Text(text="Hi"),
        Gen(out="x"),
        end,
    )
    assert getattr(rl, f"{name}_begin")().statements == (begin,)
    assert getattr(rl, f"{name}_end")().statements == (end,)
    assert rl.role(name, "Hi").statements == getattr(rl, name)("Hi").statements
    with pytest.raises(ValueError, match=f"{name}_begin"):
        getattr(rl, name)()


@pytest.mark.parametrize(("short", "dtype"), [(rl.gen_int, int), (rl.gen_string, str)])
def test_typed_gens_are_gens_with_a_dtype(short: Any, dtype: type) -> None:
    names = list(inspect.signature(short).parameters)
    given: list[Any] = ["x", 5, 2, ("a",), (1,), ("b+",), 0.5, 0.6, 7, 0.1, 0.2, 0.3]
    values: dict[str, Any] = dict(zip(names, given, strict=False))
    values |= {"ignore_eos": True, "return_logprob": True, "logprob_start_len": 1}
    values |= {"top_logprobs_num": 2, "return_text_in_logprobs": True}
    assert set(values) == set(names)
    assert short(**values).statements == rl.gen(**values, dtype=dtype).statements
