"""Do the model families agree with `transformers`? The table of docs/models.md.

Each family gets a small model with random weights, written by `save_pretrained`. Its logits are
compared over the ways in which a sequence can go through the model; then 64 tokens are chosen
greedily, in a batch, and must be those that `transformers` ranks first. Families with a star are
run through `transformers`, on our attention; so are all with `--model-impl transformers`.

    python benchmarks/models.py [--json] [FAMILY ...]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from torch import Tensor

from radixlm.runtime.config import CacheConfig, ModelConfig
from radixlm.runtime.engine.inputs import Row
from radixlm.runtime.engine.runner import Runner

VOCAB, LENGTH, GREEDY = 101, 96, 64
TIE = 1e-5  # logits nearer to each other than f32 can tell
SMALL: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 64,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "bos_token_id": None,
    "eos_token_id": 2,
    "pad_token_id": None,
}
YARN = {
    "rope_type": "yarn",
    "factor": 8.0,
    "original_max_position_embeddings": 32,
    "rope_theta": 500.0,
}
LLAMA3 = YARN | {"rope_type": "llama3", "low_freq_factor": 1.0, "high_freq_factor": 4.0}
LINEAR = {"rope_type": "linear", "factor": 4.0, "rope_theta": 500.0}
LONGROPE = {
    "rope_type": "longrope",
    "short_factor": [1.0, 1.1, 1.2, 1.3, 1.4, 1.5],
    "long_factor": [1.0, 1.5, 2.0, 3.0, 5.0, 8.0],
    "original_max_position_embeddings": 32,
    "rope_theta": 500.0,
}
EXPERTS = {"num_experts_per_tok": 2, "num_hidden_layers": 2}


@dataclass(frozen=True)
class Family:
    """A configuration of `transformers`, and the variants of it that are tried."""

    config: str  # the class of its configuration
    settings: dict[str, Any] = field(default_factory=dict)  # beyond `SMALL`
    window: dict[str, Any] | None = None  # settings that give layers one of a few tokens
    ropes: dict[str, dict[str, Any]] = field(default_factory=dict)  # settings of scaled ropes
    is_own: bool = True  # one of ours, rather than run through `transformers`


def rope(**parameters: Any) -> dict[str, Any]:
    return {"rope_parameters": parameters}


FAMILIES = {
    "Llama": Family(
        "LlamaConfig",
        ropes={
            "llama3": rope(**LLAMA3),
            "linear": rope(**LINEAR),
            "yarn": rope(**YARN),
            # Ours is set to the longest sequence from the start: all are as long as that.
            "dynamic": rope(rope_type="dynamic", factor=4.0, rope_theta=500.0)
            | {"max_position_embeddings": 32},
        },
    ),
    "Mistral": Family(
        "MistralConfig",
        {"head_dim": 32},
        window={"sliding_window": 8},
        ropes={"yarn": rope(**YARN)},
    ),
    "Qwen 2, 2.5": Family(
        "Qwen2Config",
        {"num_attention_heads": 2, "num_key_value_heads": 1},
        window={"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1},
        ropes={"yarn": rope(**YARN)},
    ),
    "Qwen 3": Family(
        "Qwen3Config",
        {"head_dim": 32, "tie_word_embeddings": True},
        window={"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1},
        ropes={"yarn": rope(**YARN)},
    ),
    "Qwen 3 MoE": Family(
        "Qwen3MoeConfig",
        EXPERTS
        | {"num_experts": 6, "moe_intermediate_size": 24, "norm_topk_prob": True, "head_dim": 32}
        | {"mlp_only_layers": [0]},
        window={"use_sliding_window": True, "sliding_window": 8},
        ropes={"yarn": rope(**YARN)},
    ),
    "Gemma 2": Family(
        "Gemma2Config",
        {"head_dim": 24, "query_pre_attn_scalar": 40, "attn_logit_softcapping": 5.0}
        | {"final_logit_softcapping": 9.0, "sliding_window": 200},
        window={"sliding_window": 8},
        ropes={"linear": rope(**LINEAR)},
    ),
    "Gemma 3": Family(
        "Gemma3TextConfig",
        {"head_dim": 24, "query_pre_attn_scalar": 40, "sliding_window": 200}
        | {"sliding_window_pattern": 3, "num_hidden_layers": 4},
        window={"sliding_window": 8},
        ropes={
            "linear": rope(
                full_attention=LINEAR,
                sliding_attention={"rope_type": "default", "rope_theta": 200.0},
            )
        },
    ),
    "Phi 3, 4": Family(
        "Phi3Config",
        {"partial_rotary_factor": 0.75},
        window={"sliding_window": 8},
        ropes={
            "longrope": rope(**LONGROPE, partial_rotary_factor=0.75)
            | {"original_max_position_embeddings": 32}
        },
    ),
    "SmolLM 3": Family(
        "SmolLM3Config",
        {"no_rope_layer_interval": 2},
        window={"use_sliding_window": True, "sliding_window": 8},
        ropes={"yarn": rope(**YARN)},
    ),
    "OLMo 2": Family("Olmo2Config", ropes={"yarn": rope(**YARN)}),
    "GPT-2": Family(
        "GPT2Config",
        {"n_embd": 64, "n_layer": 3, "n_head": 4, "n_positions": 256, "n_inner": 48},
    ),
    "OPT": Family("OPTConfig", {"ffn_dim": 48, "word_embed_proj_dim": 64}),
    "Mixtral": Family(
        "MixtralConfig",
        EXPERTS | {"num_local_experts": 6, "head_dim": 16},
        window={"sliding_window": 8},
        ropes={"yarn": rope(**YARN)},
    ),
    "gpt-oss": Family(
        "GptOssConfig",
        EXPERTS
        | {"num_local_experts": 6, "head_dim": 24, "sliding_window": 200, "swiglu_limit": 1.0}
        | rope(rope_type="default", rope_theta=500.0),
        window={"sliding_window": 8},
        ropes={"yarn": rope(**YARN, truncate=False, beta_fast=32.0, beta_slow=1.0)},
    ),
    "DeepSeek V2": Family(
        "DeepseekV2Config",
        EXPERTS
        | {"n_routed_experts": 8, "n_shared_experts": 2, "moe_intermediate_size": 24}
        | {"first_k_dense_replace": 1, "q_lora_rank": 20, "kv_lora_rank": 16}
        | {"qk_nope_head_dim": 12, "qk_rope_head_dim": 8, "v_head_dim": 10}
        | {"num_key_value_heads": 4, "routed_scaling_factor": 1.5, "n_group": 4, "topk_group": 2}
        | {"topk_method": "group_limited_greedy"},
        ropes={"yarn": rope(**YARN, mscale=0.7, mscale_all_dim=0.9)},
    ),
    "DeepSeek V2 Lite": Family(
        "DeepseekV2Config",
        EXPERTS
        | {"n_routed_experts": 6, "n_shared_experts": 1, "moe_intermediate_size": 24}
        | {"first_k_dense_replace": 0, "q_lora_rank": None, "kv_lora_rank": 16}
        | {"qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 16}
        | {"num_key_value_heads": 4, "topk_method": "greedy"},
    ),
    "GPT-NeoX": Family("GPTNeoXConfig", {"rotary_pct": 0.5}, is_own=False),
    "StarCoder 2": Family("Starcoder2Config", window={"sliding_window": 8}, is_own=False),
    "Cohere": Family("CohereConfig", {"use_qk_norm": True, "logit_scale": 1.0}, is_own=False),
    "Granite": Family(
        "GraniteConfig",
        {"attention_multiplier": 0.2, "residual_multiplier": 0.5, "logits_scaling": 2.0},
        ropes={"yarn": rope(**YARN)},
        is_own=False,
    ),
    "StableLM": Family("StableLmConfig", {"use_parallel_residual": True}, is_own=False),
}


class Reference:
    """A model of `transformers` with random weights, and its checkpoint."""

    def __init__(self, family: Family, folder: Path, **changes: Any) -> None:
        settings = SMALL | family.settings | changes
        config = getattr(transformers, family.config)(**settings)
        with torch.random.fork_rng():
            torch.manual_seed(1)
            self.model = transformers.AutoModelForCausalLM.from_config(
                config, attn_implementation="eager"
            ).eval()
            for name, parameter in self.model.named_parameters():
                # Norms and biases are made uneven too: all ones and zeros would hide a mistake.
                # Embeddings that are the head too would repeat their token if they were large.
                width = 0.05 if config.tie_word_embeddings and "embed" in name else 0.2
                centre = float(parameter.detach().mean().round()) if parameter.dim() == 1 else 0.0
                torch.nn.init.normal_(parameter, centre, width)
        for module in self.model.modules():
            if hasattr(module, "limit") and hasattr(config, "swiglu_limit"):
                module.limit = config.swiglu_limit  # before 5.18 it was 7 whatever the settings say
        self.model.save_pretrained(folder)
        self.folder = folder

    @torch.inference_mode()
    def logits(self, tokens: NDArray[np.int32]) -> Tensor:
        """Return [n, vocab] for [n] tokens."""
        found = self.model(torch.from_numpy(tokens.astype(np.int64))[None], use_cache=False)
        assert isinstance(found.logits, Tensor)
        return found.logits[0].float()


class Sequences:
    """Sequences with scattered slots, cut into rows at will."""

    def __init__(self, runner: Runner, tokens: Sequence[NDArray[np.int32]]) -> None:
        self.runner, self.tokens = runner, list(tokens)
        self.done = [0] * len(tokens)
        free = np.random.default_rng(3).permutation(runner.num_slots).astype(np.int32)
        self.slots = np.array_split(free, len(tokens))

    def step(self, counts: Sequence[int]) -> list[Tensor]:
        """Run `counts[i]` more tokens of each sequence that has a count; all logits wanted."""
        rows = []
        for index, count in enumerate(counts):
            start = self.done[index]
            self.done[index] = end = start + count
            if count:
                row = self.tokens[index][start:end], start, self.slots[index][:end], 0
                rows.append(Row(*row))
        return list(self.runner.forward(rows).split([n for n in counts if n]))

    def logits(self, passes: Sequence[Sequence[int]]) -> list[Tensor]:
        """Run all passes and return each sequence's logits, in one piece."""
        found: list[list[Tensor]] = [[] for _ in self.tokens]
        for counts in passes:
            active = [index for index, count in enumerate(counts) if count]
            for index, logits in zip(active, self.step(counts), strict=True):
                found[index].append(logits)
        return [torch.cat(parts) for parts in found]


WAYS: dict[str, tuple[Sequence[int], Sequence[Sequence[int]]]] = {  # lengths, then passes
    "prefill": ([LENGTH], [[LENGTH]]),
    "chunked": ([LENGTH], [[40], [1], [37], [18]]),
    "decode": ([LENGTH], [[LENGTH - 24], *[[1]] * 24]),
    "batch": (
        [LENGTH, 9, 60, 1, 33],
        [[1, 9, 55, 0, 30], [60, 0, 1, 1, 1], [1, 0, 1, 0, 1], [33, 0, 3, 0, 1], [1, 0, 0, 0, 0]],
    ),
}


def load(folder: Path, **settings: Any) -> Runner:
    options = {"device": "cpu", "dtype": "float32"} | settings
    return Runner.load(
        ModelConfig(model_path=str(folder), **options), CacheConfig(max_total_tokens=1000)
    )


def difference(reference: Reference, runner: Runner, ways: Sequence[str]) -> float:
    """Return the largest difference between logits over these ways through the model."""
    rng = np.random.default_rng(0)
    worst = 0.0
    for way in ways:
        lengths, passes = WAYS[way]
        tokens = [rng.integers(3, VOCAB, length, dtype=np.int32) for length in lengths]
        ours = Sequences(runner, tokens).logits(passes)
        theirs = [reference.logits(one) for one in tokens]
        pairs = zip(ours, theirs, strict=True)
        found = max(float((a.cpu() - b).abs().max()) for a, b in pairs)
        worst = max(worst, found) if found == found else float("inf")  # NaN agrees with nothing
    return worst


def greedy(reference: Reference, runner: Runner) -> dict[str, int]:
    """Choose tokens in a batch; return the last three fields of `Outcome`."""
    rng = np.random.default_rng(5)
    lengths = [7, 30, 18]
    tokens = [rng.integers(3, VOCAB, n, dtype=np.int32) for n in lengths]
    sequences = Sequences(runner, tokens)
    counts = lengths
    for _ in range(GREEDY):
        chosen = [int(logits[-1].argmax()) for logits in sequences.step(counts)]
        for index, token in enumerate(chosen):
            sequences.tokens[index] = np.append(sequences.tokens[index], np.int32(token))
        counts = [1, 1, 1]
    agreed, ties, ever = GREEDY, 0, set[int]()
    for length, sequence in zip(lengths, sequences.tokens, strict=True):
        logits = reference.logits(sequence)[length - 1 : -1]
        taken = torch.from_numpy(sequence[length:].astype(np.int64))
        ever.update(taken.tolist())
        behind = (logits.amax(-1) - logits.gather(1, taken[:, None])[:, 0]).numpy()
        ties += int(((behind > 0) & (behind < TIE)).sum())
        same = behind < TIE
        agreed = min(agreed, GREEDY if same.all() else int(same.argmin()))
    return {"greedy": agreed, "ties": ties, "distinct": len(ever)}


@dataclass(frozen=True)
class Outcome:
    """The largest difference of logits in each column, None where there is nothing to compare."""

    family: str
    prefill: float
    chunked: float
    decode: float
    batch: float
    window: float | None
    ropes: dict[str, float]
    greedy: int  # steps that agree, of `GREEDY`
    ties: int  # of them, tokens less than `TIE` behind the first, which rounding may exchange
    distinct: int  # different tokens: a model that repeats one would agree too easily


def measure(name: str, **settings: Any) -> Outcome:
    """Compare one family; `settings` are of `ModelConfig`."""
    family = FAMILIES[name]

    def variant(changes: dict[str, Any], **more: Any) -> tuple[Reference, Runner]:
        folder = Path(tempfile.mkdtemp(dir=temporary))
        return Reference(family, folder, **changes), load(folder, **settings, **more)

    with tempfile.TemporaryDirectory() as temporary:
        plain = variant({})
        columns = {way: difference(*plain, [way]) for way in WAYS}
        every = list(WAYS)
        window = difference(*variant(family.window), every) if family.window else None
        # Sequences of full length only: what "dynamic" does depends on it.
        whole = ["prefill", "chunked", "decode"]
        ropes = {
            kind: difference(*variant(changes, context_length=LENGTH), whole)
            for kind, changes in family.ropes.items()
        }
        chosen = greedy(*plain)
    return Outcome(family=name, **columns, window=window, ropes=ropes, **chosen)


def table(outcomes: Sequence[Outcome]) -> str:
    """Return the outcomes as a table in Markdown."""

    def cell(value: float | None) -> str:
        return "—" if value is None else f"{value:.0e}"

    lines = [
        "| family | prefill | chunked | decode | mixed batch | window | rope scaling | greedy |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in outcomes:
        numbers = (one.prefill, one.chunked, one.decode, one.batch, one.window)
        ropes = ", ".join(f"{kind} {cell(value)}" for kind, value in one.ropes.items()) or "—"
        whose = one.family if FAMILIES[one.family].is_own else f"{one.family} *"
        cells = [whose, *map(cell, numbers), ropes, f"{one.greedy} of {GREEDY}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("families", nargs="*", help=f"of {', '.join(FAMILIES)}; none: all")
    parser.add_argument("--model-impl", default="auto", help="auto, native or transformers")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    options = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()
    outcomes = [
        measure(name, model_impl=options.model_impl) for name in options.families or FAMILIES
    ]
    print(table(outcomes))
    if options.json:
        print(json.dumps({"families": [asdict(outcome) for outcome in outcomes]}))


if __name__ == "__main__":
    main()
