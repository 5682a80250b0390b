"""Forced runs through an engine: fewer passes, and nothing else that a request could notice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from radixlm.constrained.errors import GrammarError
from radixlm.runtime.offline import Engine
from radixlm.runtime.tokenizer import Tokenizer

ADDRESS = {
    "type": "object",
    "properties": {
        "customer_identifier": {"type": "string", "pattern": "^[a-z]{3}$"},
        "shipping_address": {
            "type": "object",
            "properties": {
                "street_name": {"enum": ["red_apple_lane", "red_ant_road"]},
                "postal_code": {"type": "integer", "minimum": 0, "maximum": 99},
            },
            "required": ["street_name", "postal_code"],
            "additionalProperties": False,
        },
        "is_express_delivery": {"type": "boolean"},
    },
    "required": ["customer_identifier", "shipping_address", "is_express_delivery"],
    "additionalProperties": False,
}
CONSTRAINTS: list[dict[str, Any]] = [
    {"json_schema": json.dumps(ADDRESS)},
    {"json_schema": json.dumps({"type": "array", "items": {"const": "naïve 東京"}, "maxItems": 3})},
    {"json_schema": json.dumps({"const": {"alpha": "beta gamma"}})},
    {"regex": r"The (capital|population) of France is [A-Z][a-z]{2,5}, as everybody knows\."},
    {"ebnf": 'root ::= "speak, " ("speak" | "hear") " before we proceed any further" [.!]'},
    {"choices": ["First Citizen", "First Servingman", "Second"]},
]
PROMPT = "First Citizen: before we proceed any further, hear me speak."


@pytest.fixture(scope="module")
def without(tiny_model: str) -> Iterator[Engine]:
    """An engine that samples every token."""
    with Engine(
        model_path=tiny_model, in_process=True, max_total_tokens=6000, disable_forced_runs=True
    ) as made:
        yield made


def ask(engine: Engine, constraint: dict[str, Any], **fields: Any) -> Any:
    sampling = {"temperature": 0, "max_new_tokens": 200, **constraint, **fields.pop("sampling", {})}
    return engine.generate(PROMPT, sampling, **fields)


def logprobs(engine: Engine, ids: list[int], start: int) -> list[float]:
    """The log-probabilities of `ids` after `start`, scored as a prompt."""
    meta = engine.generate(
        input_ids=ids,
        sampling_params={"max_new_tokens": 0},
        return_logprob=True,
        logprob_start_len=start - 1,
    )["meta_info"]
    return [score for score, *_ in meta["input_token_logprobs"][1:]]


@pytest.mark.parametrize("constraint", CONSTRAINTS)
def test_greedy_differs_from_sampling_every_token_by_canonical_tokens_alone(
    engine: Engine, without: Engine, tokenizer: Tokenizer, constraint: dict[str, Any]
) -> None:
    forced, sampled = ask(engine, constraint), ask(without, constraint)
    assert sampled["meta_info"]["forced_tokens"] == 0
    assert forced["meta_info"]["forced_tokens"] > 0
    ids, others = forced["output_ids"], sampled["output_ids"]
    same = next((i for i, (a, b) in enumerate(zip(ids, others, strict=False)) if a != b), len(ids))
    if same == len(ids):
        assert forced["text"] == sampled["text"]
        return
    # Up to there all is equal; what follows was forced: no other text could have come.
    a, b = tokenizer.decode(ids[: same + 1]), tokenizer.decode(others[: same + 1])
    longer, shorter = max(a, b, key=len), min(a, b, key=len)
    assert longer.startswith(shorter.rstrip("\ufffd"))


@pytest.mark.parametrize("constraint", CONSTRAINTS)
@pytest.mark.parametrize("temperature", [0, 1.5])
def test_logprobs_are_those_of_the_model_for_every_token(
    engine: Engine, tokenizer: Tokenizer, constraint: dict[str, Any], temperature: float
) -> None:
    sampling = {"temperature": temperature, "sampling_seed": 3}
    plain = ask(engine, constraint, sampling=sampling)
    result = ask(
        engine, constraint, sampling=sampling, return_logprob=True, top_logprobs_num=2,
        token_ids_logprob=[7], logprob_start_len=2,
    )  # fmt: skip
    meta, ids = result["meta_info"], result["output_ids"]
    assert ids == plain["output_ids"]
    assert meta["forced_tokens"] == plain["meta_info"]["forced_tokens"] > 0
    rows = meta["output_token_logprobs"]
    assert [token for _, token, _ in rows] == ids
    for part in ("output_top_logprobs", "output_token_ids_logprobs"):
        assert len(meta[part]) == len(ids)
    prompt = tokenizer.encode(PROMPT)
    truth = logprobs(engine, [*prompt, *ids], len(prompt))
    assert [score for score, *_ in rows] == pytest.approx(truth, abs=1e-4)
    scored = [score for score, *_ in meta["input_token_logprobs"][1:]]
    assert scored == pytest.approx(logprobs(engine, prompt, 3), abs=1e-4)


def test_the_prompt_is_counted_where_a_run_begins_with_the_answer(engine: Engine) -> None:
    engine.flush_cache()
    for cached in (False, True):
        meta = ask(engine, CONSTRAINTS[2])["meta_info"]
        assert meta["forced_tokens"] > 0
        assert meta["cached_tokens"] + meta["computed_tokens"] == meta["prompt_tokens"]
        assert (meta["cached_tokens"] > 0) == cached


def test_every_limit_is_kept_and_the_text_complete(engine: Engine) -> None:
    whole = ask(engine, CONSTRAINTS[2])
    length = len(whole["output_ids"])
    for limit in range(length + 2, 0, -1):
        sampling = {"max_new_tokens": limit}
        try:
            cut = ask(engine, CONSTRAINTS[2], sampling=sampling)
        except GrammarError:  # below what the document needs
            assert limit < length
            break
        scored = ask(engine, CONSTRAINTS[2], sampling=sampling, return_logprob=True)
        assert scored["output_ids"] == cut["output_ids"]
        assert json.loads(cut["text"]) == json.loads(whole["text"])  # a space may be left out
        assert len(cut["output_ids"]) <= limit
        if limit >= length:
            assert cut["output_ids"] == whole["output_ids"]


def test_a_stop_string_and_a_stop_token_end_a_run_where_they_come(engine: Engine) -> None:
    whole = ask(engine, CONSTRAINTS[2])
    cut = ask(engine, CONSTRAINTS[2], sampling={"stop": "ta g"}, return_logprob=True)
    assert cut["text"] == whole["text"].partition("ta g")[0]
    meta = cut["meta_info"]
    assert meta["finish_reason"] == {"type": "stop", "matched": "ta g"}
    assert (
        meta["forced_tokens"] <= meta["completion_tokens"] < whole["meta_info"]["completion_tokens"]
    )
    assert len(meta["output_token_logprobs"]) == meta["completion_tokens"]
    token = whole["output_ids"][3]
    cut = ask(engine, CONSTRAINTS[2], sampling={"stop_token_ids": [token]})
    assert cut["output_ids"] == whole["output_ids"][: whole["output_ids"].index(token) + 1]
    assert cut["meta_info"]["finish_reason"] == {"type": "stop", "matched": token}


def test_a_seed_gives_the_same_samples_again_and_all_are_documents(engine: Engine) -> None:
    sampling = {
        "temperature": 1.2, "sampling_seed": 11, "frequency_penalty": 0.7,
        "presence_penalty": 0.3, "repetition_penalty": 1.2, "n": 3,
    }  # fmt: skip
    one = ask(engine, CONSTRAINTS[0], sampling=sampling)
    two = ask(engine, CONSTRAINTS[0], sampling=sampling)
    assert [r["output_ids"] for r in one] == [r["output_ids"] for r in two]
    assert all(json.loads(result["text"]) for result in one)


def test_a_stream_tells_the_same_tokens_in_order(engine: Engine) -> None:
    whole = ask(engine, CONSTRAINTS[0])
    for wants in (False, True):
        last: dict[str, Any] = {}
        for chunk in ask(engine, CONSTRAINTS[0], stream=True, return_logprob=wants):
            assert chunk["text"].startswith(last.get("text", ""))
            last = chunk
        assert last["text"] == whole["text"]
        assert last["meta_info"]["forced_tokens"] == whole["meta_info"]["forced_tokens"]


def test_a_pool_that_is_too_small_for_all_changes_nothing(tiny_model: str, engine: Engine) -> None:
    prompts = [f"{PROMPT} {index}" for index in range(5)]
    sampling = {
        "temperature": 1.0, "sampling_seed": 5, "max_new_tokens": 200, "frequency_penalty": 0.7,
        "repetition_penalty": 1.2, **CONSTRAINTS[0],
    }  # fmt: skip
    alone = [engine.generate(prompt, sampling, return_logprob=True) for prompt in prompts]
    with Engine(
        model_path=tiny_model, in_process=True, check_invariants=True, max_total_tokens=220
    ) as small:
        together = small.generate(prompts, sampling, return_logprob=True)
    assert [r["output_ids"] for r in together] == [r["output_ids"] for r in alone]
    assert sum(r["meta_info"]["num_retractions"] for r in together) > 0
    for a, b in zip(together, alone, strict=True):
        assert a["meta_info"]["forced_tokens"] == b["meta_info"]["forced_tokens"]
        rows = [[score for score, *_ in r["meta_info"]["output_token_logprobs"]] for r in (a, b)]
        assert rows[0] == pytest.approx(rows[1], abs=1e-4)


def test_the_server_counts_forced_tokens(engine: Engine) -> None:
    def state() -> dict[str, Any]:
        found: dict[str, Any] = engine.get_server_info()["internal_states"][0]
        return found

    before = state()
    meta = ask(engine, CONSTRAINTS[0])["meta_info"]
    after = state()
    assert after["forced_tokens"] - before["forced_tokens"] == meta["forced_tokens"]
    assert after["generated_tokens"] - before["generated_tokens"] == meta["completion_tokens"]
    passes = after["steps"] - before["steps"]
    # A device that runs ahead has launched a pass more when the host finds out that a run follows.
    a_run = 2 if torch.cuda.is_available() else 1
    assert passes <= a_run * (meta["completion_tokens"] - meta["forced_tokens"]) + 1


def test_requests_that_are_cut_off_leave_nothing_behind(engine: Engine) -> None:
    async def leave() -> None:
        stream = await engine.async_generate(
            PROMPT, {"max_new_tokens": 200, **CONSTRAINTS[0]}, stream=True
        )
        async for _ in stream:
            break
        await stream.aclose()

    asyncio.run(leave())
    meta = ask(engine, CONSTRAINTS[0])["meta_info"]
    assert meta["finish_reason"]["type"] == "stop"
    assert engine.get_server_info()["internal_states"][0]["running"] == 0
