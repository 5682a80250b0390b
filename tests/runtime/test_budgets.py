"""Constrained generations end within their budget of tokens, whole, through the engine."""

from __future__ import annotations

import json
import random
import re
from typing import Any

import jsonschema
import pytest

import radixlm as rl
from radixlm.constrained.errors import GrammarError
from radixlm.lang.backends.local import LocalBackend
from radixlm.runtime.offline import Engine

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer"},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["name", "age", "tags"],
    "additionalProperties": False,
}
TREE = {
    "type": "object",
    "properties": {"value": {"type": "number"}, "children": {"items": {"$ref": "#"}}},
    "required": ["children"],
}


def minimum(engine: Engine, **constraint: Any) -> int:
    """What the refusal of an empty budget states."""
    with pytest.raises(GrammarError, match=r"a complete text needs (\d+) tokens") as refusal:
        engine.generate("x", {"max_new_tokens": 0, **constraint})
    found = re.search(r"needs (\d+) tokens, and 0 may", str(refusal.value))
    assert found is not None
    return int(found[1])


@pytest.mark.parametrize("schema", [PERSON, TREE], ids=["flat", "recursive"])
def test_documents_are_whole_at_every_budget_from_the_minimum_up(
    engine: Engine, schema: dict[str, Any]
) -> None:
    text = json.dumps(schema)
    least = minimum(engine, json_schema=text)
    budgets = [*range(least, least + 8), 2 * least, 4 * least]
    closed = 0
    for seed, budget in enumerate(budgets):
        params = {
            "max_new_tokens": budget,
            "temperature": 1.5,
            "json_schema": text,
            "sampling_seed": seed,
        }
        result = engine.generate("A person:", params)
        jsonschema.validate(json.loads(result["text"]), schema)
        meta = result["meta_info"]
        assert meta["completion_tokens"] <= budget
        assert meta["finish_reason"]["type"] == "stop"
        closed += "closed_by_budget" in meta
    assert closed > 2
    with pytest.raises(GrammarError, match=f"needs {least} tokens, and {least - 1} may"):
        engine.generate("A person:", {"max_new_tokens": least - 1, "json_schema": text})


@pytest.mark.parametrize(
    ("constraint", "pattern"),
    [
        ({"regex": r"(ab|cde){2,9}!"}, r"(ab|cde){2,9}!"),
        ({"regex": r"[a-z]+ [0-9]{4}-[0-9]{2}"}, r"[a-z]+ [0-9]{4}-[0-9]{2}"),
        ({"choices": ["Paris", "New York", "Rio"]}, "Paris|New York|Rio"),
        ({"ebnf": 'root ::= "(" root? ")" | "x"+ "."'}, r"\(*(x+\.)?\)*"),
    ],
    ids=["groups", "date", "choices", "ebnf"],
)
def test_texts_of_every_kind_are_whole(
    engine: Engine, constraint: dict[str, Any], pattern: str
) -> None:
    least = minimum(engine, **constraint)
    for seed in range(12):
        budget = least + seed % 4
        params = {"max_new_tokens": budget, "temperature": 1.5, "sampling_seed": seed, **constraint}
        text = engine.generate("Say:", params)["text"]
        assert re.fullmatch(pattern, text), (budget, text)
        assert text.count("(") == text.count(")")


def test_it_is_said_where_the_budget_closed_a_document(engine: Engine) -> None:
    params = {"max_new_tokens": 24, "temperature": 1.5, "json_schema": json.dumps(PERSON), "n": 4}
    results = engine.generate("A person:", {**params, "sampling_seed": 3})
    assert len(results) == 4
    where = [
        r["meta_info"]["closed_by_budget"] for r in results if "closed_by_budget" in r["meta_info"]
    ]
    assert where
    for place in where:
        assert 0 <= place["at_token"] < 24
    for result in results:
        jsonschema.validate(json.loads(result["text"]), PERSON)


def test_a_text_that_could_have_gone_on_ends_by_length_and_is_whole(engine: Engine) -> None:
    params = {"max_new_tokens": 5, "regex": "[a-z ]*", "ignore_eos": True, "sampling_seed": 1}
    result = engine.generate("Say:", params)
    meta = result["meta_info"]
    assert re.fullmatch("[a-z ]*", result["text"])
    if meta["finish_reason"]["type"] == "length":
        assert meta["closed_by_budget"]["at_token"] == 5
        assert meta["closed_by_budget"]["at_char"] == len(result["text"])


def test_a_stop_string_cuts_a_text_that_is_whole_otherwise(engine: Engine) -> None:
    rng = random.Random(0)
    for _ in range(6):
        params = {
            "max_new_tokens": rng.randint(20, 40),
            "temperature": 1.5,
            "json_schema": json.dumps(PERSON),
            "stop": ["zz"],
            "sampling_seed": rng.randint(0, 99),
        }
        result = engine.generate("A person:", params)
        if result["meta_info"]["finish_reason"]["matched"] != "zz":
            jsonschema.validate(json.loads(result["text"]), PERSON)


def test_a_far_budget_changes_no_token(engine: Engine) -> None:
    """What is drawn far from the budget is what is drawn without one."""
    params = {"temperature": 1.0, "regex": "[a-z]{3}[0-9]", "sampling_seed": 5}
    texts = {
        engine.generate("Say:", {**params, "max_new_tokens": budget})["text"]
        for budget in (200, 400)
    }
    assert len(texts) == 1


@rl.function
def two_gens(s: Any, budget: int) -> None:
    s += "An id: " + rl.gen("id", max_tokens=budget, regex="[a-z]{2}(-[0-9]{4}){2,6}!")
    s += " and a list: " + rl.gen(
        "list", max_tokens=budget, json_schema={"items": {"type": "null"}}
    )


def test_each_gen_of_a_program_has_its_own_budget(engine: Engine) -> None:
    backend = LocalBackend.of(engine)
    least = minimum(engine, regex="[a-z]{2}(-[0-9]{4}){2,6}!")
    for budget in (least, least + 4):
        state = two_gens.run(budget, temperature=1.5, backend=backend)
        assert re.fullmatch("[a-z]{2}(-[0-9]{4}){2,6}!", state["id"])
        json.loads(state["list"])
    with pytest.raises(Exception, match=f"needs {least} tokens, and {least - 1} may"):
        print(two_gens.run(least - 1, backend=backend)["id"])
