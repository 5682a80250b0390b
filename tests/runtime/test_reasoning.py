"""Reasoning before a constrained answer, through an engine and in programs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

import radixlm as rl
from radixlm.constrained.errors import GrammarError
from radixlm.runtime.config import ModelConfig
from radixlm.runtime.errors import InvalidRequestError
from radixlm.runtime.offline import Engine
from radixlm.runtime.tokenizer import load_tokenizer

MARKS = {"begin": "<think>", "end": "</think>", "gap": "\n\n", "max_tokens": 6}


@pytest.fixture(scope="module")
def engine(tiny_model: str) -> Iterator[Engine]:
    with Engine(model_path=tiny_model, in_process=True, max_total_tokens=4000) as made:
        yield made


def test_so_many_tokens_are_reasoned_and_then_the_answer_is_constrained(
    engine: Engine, tiny_model: str
) -> None:
    tokenizer = load_tokenizer(ModelConfig(model_path=tiny_model))
    sampling = {"regex": "[ab]{3}", "reasoning": MARKS, "max_new_tokens": 100, "temperature": 1.5}
    for seed in range(4):
        answer = engine.generate("x", {**sampling, "sampling_seed": seed})
        text = answer["text"]
        match = re.fullmatch(r"<think>(.*?)</think>\n\n[ab]{3}", text, re.DOTALL)
        assert match, text
        ids = answer["output_ids"]
        texts = [tokenizer.decode(ids[:count]) for count in range(len(ids) + 1)]
        opened = next(count for count, text in enumerate(texts) if "<think>" in text)
        spent = next(count for count in range(opened, len(ids)) if "</" in texts[count][7:])
        assert spent - opened <= 6 + len("</")  # tokens, of which the mark begins with two at most
        assert answer["meta_info"]["finish_reason"]["type"] == "stop"


def test_a_budget_that_ends_in_the_reasoning_leaves_room_for_the_answer(engine: Engine) -> None:
    sampling = {"json_schema": {"const": [1]}, "reasoning": {**MARKS, "max_tokens": None}}
    text = engine.generate("x", {**sampling, "max_new_tokens": 40})["text"]
    assert text.endswith("</think>\n\n[1]")


def test_reasoning_before_an_answer_that_nothing_constrains_is_bounded_too(engine: Engine) -> None:
    sampling = {"reasoning": {"max_tokens": 2}, "max_new_tokens": 30, "ignore_eos": True}
    assert "</think>" in engine.generate("x", sampling)["text"][:40]


def test_marks_that_cannot_be_kept_are_refused(engine: Engine) -> None:
    with pytest.raises(GrammarError, match=r"reasoning\.end"):
        engine.generate("x", {"regex": "a", "reasoning": {"end": ""}})
    with pytest.raises(InvalidRequestError, match="reasoning"):
        engine.generate("x", {"regex": "a", "reasoning": "</think>"})


@rl.function
def weigh(s: Any) -> None:
    s += "Heads or tails? "
    s += rl.separate_reasoning(rl.gen("side", regex="heads|tails"), "qwen3", max_tokens=5)


@pytest.mark.parametrize("compiled", [True, False])
def test_a_gen_whose_thinking_is_separated_constrains_the_answer_alone(
    compiled: bool, engine: Engine
) -> None:
    state = weigh.run(backend=engine, temperature=1.0, compiled=compiled)
    assert state["side"] in ("heads", "tails")
    assert "</think>" not in state["side_reasoning_content"]
    assert state.text() == "Heads or tails? " + state["side"]
    program = weigh.compile().program
    assert program is not None


def test_the_bound_of_thinking_is_a_number_from_0() -> None:
    with pytest.raises(ValueError, match="at least 0"):
        rl.separate_reasoning(rl.gen("x"), "qwen3", max_tokens=-1)
