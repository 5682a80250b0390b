"""What a constraint did to a generation, as requests and programs read it."""

from __future__ import annotations

import math

import pytest

import radixlm as rl
from radixlm.runtime.offline import Engine

PATTERN = r"(yes|no): [a-z]{3}[0-9]{2} and so on"
GREEDY = {"temperature": 0, "max_new_tokens": 40, "regex": PATTERN}


def test_a_constrained_generation_with_logprobs_says_what_was_taken_from_it(engine: Engine) -> None:
    meta = engine.generate("Well, ", GREEDY, return_logprob=True)["meta_info"]
    tokens = meta["output_token_distortion"]
    assert len(tokens) == meta["completion_tokens"] == len(meta["output_token_logprobs"])
    for (removed, rank, forced), (logprob, _, _) in zip(
        tokens, meta["output_token_logprobs"], strict=True
    ):
        assert 0 <= removed <= 1
        assert math.exp(logprob) <= 1 - removed + 1e-5, "the chosen one was not removed"
        assert not forced or removed == pytest.approx(1 - math.exp(logprob), abs=1e-5)
        assert rank == 0 or removed > 0, "greedy takes another only where the likeliest is removed"
    whole = meta["distortion"]
    assert whole["tokens"] == len(tokens)
    assert whole["forced"] == sum(forced for _, _, forced in tokens) >= meta["forced_tokens"]
    assert whole["removed_mass"] == pytest.approx(sum(removed for removed, _, _ in tokens))
    assert whole["rank"] == sum(rank for _, rank, _ in tokens)
    assert whole["displaced"] == sum(rank > 0 for _, rank, _ in tokens)
    assert whole["nats"] >= whole["removed_mass"]


def test_no_other_generation_has_one(engine: Engine) -> None:
    assert "distortion" not in engine.generate("Well, ", GREEDY)["meta_info"]
    free = {"temperature": 0, "max_new_tokens": 4}
    assert "distortion" not in engine.generate("Well, ", free, return_logprob=True)["meta_info"]


def test_a_program_reads_it_for_each_of_its_gens(engine: Engine) -> None:
    @rl.function
    def two(s: rl.ProgramState) -> None:
        s += "Well, " + rl.gen("x", regex="(yes|no)", temperature=0, return_logprob=True)
        s += rl.gen("y", max_tokens=3, temperature=0, return_logprob=True)

    state = two.run(backend=engine)
    assert state.get_meta_info("x")["distortion"]["tokens"] >= 1
    assert "distortion" not in state.get_meta_info("y")
