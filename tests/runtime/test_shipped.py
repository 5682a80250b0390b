"""The model that ships: its files, its agreement with transformers, and that it talks sense."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from radixlm.runtime.config import SHIPPED_MODEL, CacheConfig, ModelConfig
from radixlm.runtime.engine.inputs import Row
from radixlm.runtime.engine.runner import Runner
from radixlm.runtime.offline import Engine
from radixlm.runtime.tokenizer import load_tokenizer

CONVERSATION = [
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "user", "content": "What is the capital of France?"},
    {"role": "assistant", "content": "The capital of France is Paris."},
    {"role": "tool", "content": '{"population": 2100000}'},
    {"role": "user", "content": "Thanks!"},
]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine(in_process=True, check_invariants=True) as engine:
        yield engine


def ask(engine: Engine, question: str, **sampling: Any) -> Any:
    tokenizer = load_tokenizer(ModelConfig())
    prompt = tokenizer.render([{"role": "user", "content": question}])
    settings = {"temperature": 0, "max_new_tokens": 48, **sampling}
    return engine.generate(input_ids=prompt, sampling_params=settings)


def test_it_is_small() -> None:
    assert (SHIPPED_MODEL / "model.safetensors").stat().st_size <= 16_000_000


def test_its_vocabulary_has_between_4k_and_8k_entries() -> None:
    assert 4_000 <= json.loads((SHIPPED_MODEL / "config.json").read_text())["vocab_size"] <= 8_192


@pytest.mark.slow
def test_transformers_loads_it_unchanged_and_agrees_on_the_logits() -> None:
    from transformers import AutoModelForCausalLM

    theirs = AutoModelForCausalLM.from_pretrained(str(SHIPPED_MODEL), dtype=torch.float32).eval()
    ours = Runner.load(ModelConfig(device="cpu"), CacheConfig(max_total_tokens=2048))
    tokens = np.array(load_tokenizer(ModelConfig()).render(CONVERSATION), dtype=np.int32)
    row = Row(tokens=tokens, start=0, slots=np.arange(len(tokens), dtype=np.int32), logits_from=0)
    with torch.inference_mode():
        expected = theirs(torch.from_numpy(tokens.astype(np.int64))[None]).logits[0]
    assert (ours.forward([row]) - expected).abs().max() < 1e-4


def test_its_turns_written_one_by_one_are_what_its_chat_template_writes() -> None:
    tokenizer = load_tokenizer(ModelConfig())
    roles = tokenizer.role_format()
    text = roles.preamble
    for message in CONVERSATION:
        prefix, suffix = roles.part(message["role"])
        text += prefix + message["content"] + suffix
    assert tokenizer.encode(text) == tokenizer.render(CONVERSATION, add_generation_prompt=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What is the capital of France?", "Paris"),
        ("What is the capital of Japan?", "Tokyo"),
        ("Tell me the capital of Italy.", "Rome"),
        ("Which city is the capital of Egypt?", "Cairo"),
    ],
)
def test_it_knows_capitals(engine: Engine, question: str, answer: str) -> None:
    assert answer in ask(engine, question)["text"]


@pytest.mark.slow
def test_the_same_question_again_computes_one_token_and_answers_the_same(engine: Engine) -> None:
    first, second = (ask(engine, "What is the capital of Spain?") for _ in range(2))
    assert second["text"] == first["text"]
    assert second["meta_info"]["computed_tokens"] == 1
