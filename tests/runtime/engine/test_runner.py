"""Logits of the whole executor against `transformers`, on random weights in the real format."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from radixlm.runtime.config import CacheConfig, ModelConfig
from radixlm.runtime.engine.inputs import Row
from radixlm.runtime.engine.runner import Runner
from radixlm.runtime.errors import ModelLoadError

SMALL = {
    "vocab_size": 101,
    "hidden_size": 128,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.15,
    "eos_token_id": 2,
}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
    "rope_theta": 1000.0,
}
SHAPES: dict[str, dict[str, Any]] = {
    "grouped": {},
    "multi_head": {"num_key_value_heads": 4},
    "multi_query": {"num_key_value_heads": 1},
    "tied": {"tie_word_embeddings": True},
    "wide_heads": {"head_dim": 64},
    "biases": {"attention_bias": True, "mlp_bias": True},
    "rope_llama3": {"rope_parameters": LLAMA3},
    "rope_linear": {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 500.0}},
}
SETTINGS: dict[str, Any] = {"device": "cpu", "dtype": "float32"}
Pair = tuple[LlamaForCausalLM, Path]


def write_checkpoint(folder: Path, **changes: Any) -> Pair:
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**SMALL | changes)).eval()
    for name, parameter in model.named_parameters():
        if name.endswith(("norm.weight", "bias")):  # else all ones and all zeros
            torch.nn.init.normal_(parameter, 0.5, 0.3)
    model.save_pretrained(folder)
    return model, folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Pair]:
    made: dict[str, Pair] = {}

    def make(shape: str) -> Pair:
        if shape not in made:
            made[shape] = write_checkpoint(tmp_path_factory.mktemp(shape), **SHAPES[shape])
        return made[shape]

    return make


@pytest.fixture(autouse=True, params=["compiled", "torch"])
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run every test on both passes."""
    monkeypatch.setitem(SETTINGS, "disable_cpu_kernels", request.param == "torch")


def load(folder: Path, **settings: Any) -> Runner:
    options = SETTINGS | settings
    return Runner.load(
        ModelConfig(model_path=str(folder), **options), CacheConfig(max_total_tokens=700)
    )


class Sequences:
    """Random sequences with scattered slots, cut into rows at will."""

    def __init__(self, runner: Runner, lengths: Sequence[int], seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.runner = runner
        self.tokens = [rng.integers(0, runner.vocab_size, n, dtype=np.int32) for n in lengths]
        free = rng.permutation(runner.num_slots).astype(np.int32)
        self.slots = np.split(free[: sum(lengths)], np.cumsum(lengths)[:-1])
        self.done = [0] * len(lengths)

    def row(self, index: int, count: int, wanted: int) -> Row:
        start = self.done[index]
        self.done[index] = end = start + count
        tokens, slots = self.tokens[index][start:end], self.slots[index][:end]
        return Row(tokens=tokens, start=start, slots=slots, logits_from=count - wanted)

    def step(self, counts: Sequence[int]) -> list[Tensor]:
        """Run `counts[i]` more tokens of each sequence that has a count; all logits wanted."""
        rows = [self.row(i, n, n) for i, n in enumerate(counts) if n]
        return list(self.runner.forward(rows).split([n for n in counts if n]))


def reference(model: LlamaForCausalLM, tokens: NDArray[np.int32]) -> Tensor:
    with torch.inference_mode():
        logits = model(torch.from_numpy(tokens.astype(np.int64))[None]).logits[0]
    assert isinstance(logits, Tensor)
    return logits


def assert_close(ours: Tensor, theirs: Tensor) -> None:
    assert ours.dtype == torch.float32
    assert float((ours.cpu() - theirs.float()).abs().max()) < 1e-4


@pytest.mark.parametrize("shape", SHAPES)
def test_logits_of_a_whole_prompt_agree(shape: str, checkpoint: Callable[[str], Pair]) -> None:
    model, folder = checkpoint(shape)
    sequences = Sequences(load(folder), [150])
    (ours,) = sequences.step([150])
    assert_close(ours, reference(model, sequences.tokens[0]))


@pytest.mark.parametrize("shape", SHAPES)
def test_logits_of_any_cut_into_mixed_passes_agree(
    shape: str, checkpoint: Callable[[str], Pair]
) -> None:
    model, folder = checkpoint(shape)
    sequences = Sequences(load(folder), [140, 9, 75, 1, 33])
    passes = (
        [1, 9, 70, 0, 30],
        [60, 0, 1, 1, 1],
        [1, 0, 1, 0, 1],
        [77, 0, 1, 0, 1],
        [1, 0, 2, 0, 0],
    )
    found: list[list[Tensor]] = [[] for _ in sequences.tokens]
    for counts in passes:
        active = [index for index, count in enumerate(counts) if count]
        for index, logits in zip(active, sequences.step(counts), strict=True):
            found[index].append(logits)
    for tokens, parts in zip(sequences.tokens, found, strict=True):
        assert_close(torch.cat(parts), reference(model, tokens))


def test_decoding_token_by_token_agrees(checkpoint: Callable[[str], Pair]) -> None:
    model, folder = checkpoint("grouped")
    sequences = Sequences(load(folder), [40])
    ours = torch.cat([sequences.step([1])[0] for _ in range(40)])
    assert_close(ours, reference(model, sequences.tokens[0]))


def test_only_wanted_positions_have_logits_in_row_order(
    checkpoint: Callable[[str], Pair],
) -> None:
    model, folder = checkpoint("grouped")
    sequences = Sequences(load(folder), [10, 6, 8])
    rows = [sequences.row(0, 10, 3), sequences.row(1, 6, 0), sequences.row(2, 8, 1)]
    ours = sequences.runner.forward(rows)
    theirs = [reference(model, tokens) for tokens in sequences.tokens]
    assert_close(ours, torch.cat([theirs[0][-3:], theirs[2][-1:]]))


def test_a_pass_may_want_no_logits(checkpoint: Callable[[str], Pair]) -> None:
    sequences = Sequences(load(checkpoint("grouped")[1]), [5])
    assert sequences.runner.forward([sequences.row(0, 5, 0)]).shape == (0, 101)


def test_a_shared_prefix_in_the_pool_is_read_by_both_sequences(
    checkpoint: Callable[[str], Pair],
) -> None:
    model, folder = checkpoint("grouped")
    sequences = Sequences(load(folder), [30, 30])
    sequences.tokens[1][:20] = sequences.tokens[0][:20]
    sequences.slots[1][:20] = sequences.slots[0][:20]
    sequences.step([20, 0])
    sequences.done[1] = 20
    first, second = sequences.step([10, 10])
    assert_close(first, reference(model, sequences.tokens[0])[20:])
    assert_close(second, reference(model, sequences.tokens[1])[20:])


def test_a_row_of_nan_leaves_the_others_alone(checkpoint: Callable[[str], Pair]) -> None:
    model, folder = checkpoint("grouped")
    sequences = Sequences(load(folder), [20, 40, 30])
    sequences.step([19, 39, 29])
    sequences.runner.pool.keys[0][int(sequences.slots[0][3])] = torch.nan
    broken, *others = sequences.step([1, 1, 1])
    assert broken.isnan().all()
    for logits, tokens in zip(others, sequences.tokens[1:], strict=True):
        assert_close(logits, reference(model, tokens)[-1:])


def test_bfloat16_stays_near(checkpoint: Callable[[str], Pair]) -> None:
    _, folder = checkpoint("grouped")
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    sequences = Sequences(load(folder, dtype="bfloat16"), [50, 60])
    sequences.step([45, 20])
    ours = sequences.step([5, 40])
    for logits, tokens in zip(ours, sequences.tokens, strict=True):
        theirs = reference(model, tokens)[-len(logits) :].float()
        assert float((logits - theirs).norm() / theirs.norm()) < 0.03


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device")
@pytest.mark.parametrize("shape", SHAPES)
def test_cuda_agrees_too(shape: str, checkpoint: Callable[[str], Pair]) -> None:
    model, folder = checkpoint(shape)
    sequences = Sequences(load(folder, device="cuda"), [140, 33, 70])
    first = sequences.step([100, 32, 60])
    second = sequences.step([39, 1, 1])
    third = sequences.step([1, 0, 9])
    for index, parts in enumerate(
        ([first[0], second[0], third[0]], [first[1], second[1]], [first[2], second[2], third[1]])
    ):
        assert_close(torch.cat(parts), reference(model, sequences.tokens[index]))


def test_facts_come_from_the_checkpoint(checkpoint: Callable[[str], Pair]) -> None:
    runner = load(checkpoint("grouped")[1])
    assert runner.vocab_size == 101
    assert runner.context_length == 256
    assert runner.num_layers == 2
    assert runner.num_slots == 700
    assert runner.eos_token_ids == (2,)
    assert runner.model_type == "llama"
    assert runner.architectures == ("LlamaForCausalLM",)
    assert (runner.dtype, str(runner.device)) == (torch.float32, "cpu")


def test_end_tokens_are_those_of_both_files(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [7, 2]}')
    assert load(tmp_path).eos_token_ids == (2, 7)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"context_length": 257}, "context_length is 257; .* at most 256 positions"),
        ({"dtype": "int8"}, "dtype is 'int8'; it must be auto or one of float32, bfloat16"),
        ({"device": "tpu"}, "device is 'tpu'; it must be auto, cpu or cuda"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    settings: dict[str, Any], message: str, checkpoint: Callable[[str], Pair]
) -> None:
    with pytest.raises(ModelLoadError, match=message):
        load(checkpoint("grouped")[1], **settings)


def test_a_path_that_is_no_folder_is_named() -> None:
    with pytest.raises(ModelLoadError, match="'no/such/model' is no folder"):
        load(Path(os.fspath("no/such/model")))
