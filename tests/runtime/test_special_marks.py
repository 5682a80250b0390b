"""Marks that a tokenizer holds as special tokens: written by their ids, and shown."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import radixlm as rl
from radixlm.constrained import auto_backend
from radixlm.constrained.spec import GrammarSpec, Reasoning
from radixlm.constrained.trial import try_out
from radixlm.runtime.calls import open_parser
from radixlm.runtime.calls.formats import FORMATS
from radixlm.runtime.calls.grammar import forced_calls
from radixlm.runtime.calls.tool import Tool
from radixlm.runtime.offline import Engine
from radixlm.runtime.tokenizer import Tokenizer

from .calls.texts import joined
from .conftest import write_tiny_model
from .vocabularies import real

CHANNELS = ("<|start|>", "<|channel|>", "<|constrain|>", "<|message|>", "<|end|>")
MARKS = ("[THINK]", "[/THINK]", "[TOOL_CALLS]", *CHANNELS)
THINKING = {"begin": "[THINK]", "end": "[/THINK]", "gap": "\n", "max_tokens": 4}
FLAG: dict[str, Any] = {
    "type": "object",
    "properties": {"on": {"type": "boolean"}},
    "required": ["on"],
    "additionalProperties": False,
}
TOOLS = [Tool("switch", FLAG), Tool("lamp", FLAG)]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder: Path = tmp_path_factory.mktemp("marked")
    write_tiny_model(folder, marks=MARKS)
    with Engine(model_path=str(folder), in_process=True, max_total_tokens=4000) as made:
        yield made


def marks_in(answer: Any, tokenizer: Tokenizer) -> list[str]:
    """Return the special tokens of an answer, in order."""
    texts = tokenizer.token_texts(answer["output_ids"])
    return [text for text in texts if text in MARKS]


@pytest.mark.parametrize("forces", [True, False])
def test_reasoning_is_opened_and_closed_by_the_special_tokens(forces: bool, engine: Engine) -> None:
    asked = {"json_schema": FLAG, "reasoning": THINKING, "max_new_tokens": 60, "temperature": 1.5}
    if not forces:  # with a bound of its own the end is sampled, not forced
        asked["reasoning"] = {**THINKING, "max_tokens": None}
    tokenizer = engine.desk.tokenizer
    for seed in range(4):
        answer = engine.generate("x", {**asked, "sampling_seed": seed})
        assert marks_in(answer, tokenizer) == ["[THINK]", "[/THINK]"]
        thought, mark, said = answer["text"].partition("[/THINK]\n")
        assert thought.startswith("[THINK]")
        assert mark
        assert json.loads(said).keys() == {"on"}


@pytest.mark.parametrize("name", ["mistral", "gpt-oss"])
def test_forced_calls_have_the_special_tokens_of_their_format(name: str, engine: Engine) -> None:
    written = FORMATS[name]
    format_ = forced_calls(written, TOOLS, is_one=True, stops={"<|call|>"})
    tag = {"type": "structural_tag", "format": format_}
    answer = engine.generate("x", {"structural_tag": tag, "max_new_tokens": 60})
    wanted = {
        "mistral": ["[TOOL_CALLS]"],
        "gpt-oss": ["<|channel|>", "<|constrain|>", "<|message|>"],
    }
    assert marks_in(answer, engine.desk.tokenizer) == wanted[name]
    parser = open_parser(written, dict.fromkeys(("switch", "lamp"), FLAG), streams=False)
    _, _, [(called, arguments)] = joined(parser.feed(answer["text"]) + parser.finish())
    assert called in ("switch", "lamp")
    assert json.loads(arguments).keys() == {"on"}
    assert answer["meta_info"]["forced_tokens"] >= len(wanted[name])


def test_special_tokens_that_are_no_marks_of_the_request_stay_hidden(engine: Engine) -> None:
    bias = {engine.desk.tokenizer.encode("[THINK]", add_special_tokens=False)[0]: 100.0}
    answer = engine.generate("x", {"max_new_tokens": 4, "logit_bias": bias})
    assert marks_in(answer, engine.desk.tokenizer) == ["[THINK]"] * 4
    assert answer["text"] == ""


@rl.function
def weigh(s: Any) -> None:
    s += "Heads or tails? "
    s += rl.separate_reasoning(rl.gen("side", regex="heads|tails"), "mistral", max_tokens=5)


def test_a_program_separates_thinking_between_special_tokens(engine: Engine) -> None:
    state = weigh.run(backend=engine, temperature=1.0)
    assert state["side"] in ("heads", "tails")
    assert "THINK]" not in state["side_reasoning_content"]


@pytest.mark.slow
def test_a_real_tokenizer_gives_its_special_tokens_to_marks() -> None:
    tokenizer = real("llama-3.1")
    stop = tokenizer.encode("<|eot_id|>", add_special_tokens=False)
    mark, end = ("<|python_tag|>", "<|eom_id|>")
    ids = [tokenizer.encode(one, add_special_tokens=False)[0] for one in (mark, end)]
    vocabulary = tokenizer.vocabulary(128_256, stop)
    spec = GrammarSpec.json_schema(FLAG).after(Reasoning(mark, end, max_tokens=8))
    grammar = auto_backend.Compiler(vocabulary).compile(spec)
    try_out(grammar)
    matcher = grammar.matcher()
    run = tokenizer.spelling(vocabulary).run([], matcher.forced())
    assert run == ((ids[0],), 1)
    assert matcher.accept(ids[0])
    rng = random.Random(0)
    words = tokenizer.encode(" so it may be", add_special_tokens=False)
    for token in rng.sample(words, 3):
        assert matcher.accept(token)
    assert not matcher.accept(ids[0])
    assert matcher.accept(ids[1])
    run = tokenizer.spelling(vocabulary).run([ids[1]], matcher.forced())
    assert tokenizer.decode(list(run.tokens)) == '{"on":'
    assert grammar.completion.minimum is not None
