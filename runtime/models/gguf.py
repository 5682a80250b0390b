"""A GGUF file as a checkpoint: its metadata as config.json's fields, its tensors as floats.

Names, shapes and order of rows are those of the Hugging Face checkpoint that the file was made
from, so that a family needs to know one format only. Quantised tensors become float32 one by one
and are cast on the way into the model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import ModelLoadError
from ..gguf.file import Entry, GGUFFile
from ..gguf.quants import LAYOUTS
from .settings import Settings
from .weights import Stored

ARCHITECTURES = {  # general.architecture → config.json's; Mistral's files say llama
    "llama": "LlamaForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
}
NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "blk": "model.layers",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
ROPE_FACTORS = "rope_freqs.weight"
FIELDS = {  # config.json's → the file's, behind the architecture
    "hidden_size": "embedding_length",
    "intermediate_size": "feed_forward_length",
    "num_hidden_layers": "block_count",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "head_dim": "attention.key_length",
    "max_position_embeddings": "context_length",
    "rms_norm_eps": "attention.layer_norm_rms_epsilon",
    "rope_theta": "rope.freq_base",
}
ENDS = ("eos", "eot")  # tokens that end a text or a turn
CHUNK = 1 << 22  # numbers that are decoded at once


def read_settings(file: GGUFFile) -> Settings:
    """Return the fields that the file's model would have in config.json.

    Raises:
        ModelLoadError: an architecture or a scaling of positions that is not supported.
    """
    kind = str(file.fields.get("general.architecture"))
    if kind not in ARCHITECTURES:
        raise ModelLoadError(
            f"{file.path}: general.architecture is {kind!r}; "
            f"supported in GGUF files: {', '.join(ARCHITECTURES)}"
        )
    found = {
        ours: file.fields[f"{kind}.{theirs}"]
        for ours, theirs in FIELDS.items()
        if f"{kind}.{theirs}" in file.fields
    }
    values: dict[str, Any] = {
        **found,
        "architectures": [ARCHITECTURES[kind]],
        "model_type": kind,
        "tie_word_embeddings": "output.weight" not in file.entries,
        "eos_token_id": list(end_token_ids(file)),
    }
    if "token_embd.weight" in file.entries:
        values["vocab_size"] = file.entries["token_embd.weight"].shape[0]
    if (scaling := _rope_scaling(file, kind)) is not None:
        values["rope_scaling"] = scaling
    return Settings(values, str(file.path))


def end_token_ids(file: GGUFFile) -> tuple[int, ...]:
    """Return the ids that end a text or a turn."""
    named = (file.fields.get(f"tokenizer.ggml.{name}_token_id") for name in ENDS)
    return tuple(dict.fromkeys(token for token in named if token is not None))


def _rope_scaling(file: GGUFFile, kind: str) -> dict[str, Any] | None:
    scaling = file.fields.get(f"{kind}.rope.scaling.type", "none")
    if scaling == "linear":
        factor = file.fields.get(f"{kind}.rope.scaling.factor", 1.0)
        return {"rope_type": "linear", "factor": factor}
    if scaling != "none":
        raise ModelLoadError(
            f"{file.path}: {kind}.rope.scaling.type is {scaling!r}; supported: none, linear"
        )
    if ROPE_FACTORS not in file.entries:
        return None
    # Llama 3's scaling is stored as its result, the factor of each frequency; its highest is the
    # factor of the scaling, and the rest of it was the same in every model of that kind.
    stored = _decode(file, ROPE_FACTORS)
    made = {
        "rope_type": "llama3",
        "factor": float(stored.max()),
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    theta = file.fields.get(f"{kind}.rope.freq_base", 10_000.0)
    if not torch.allclose(stored, _llama3_factors(len(stored), theta, made), rtol=1e-3):
        raise ModelLoadError(f"{file.path}: {ROPE_FACTORS} is not the scaling of Llama 3")
    return made


def _llama3_factors(count: int, theta: float, scaling: Mapping[str, Any]) -> Tensor:
    """Return what divides each frequency under Llama 3's scaling, [count] f32."""
    plain = 1.0 / theta ** (torch.arange(count, dtype=torch.float64) / count)
    turns = scaling["original_max_position_embeddings"] * plain / (2 * math.pi)
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    kept = ((turns - low) / (high - low)).clamp(0, 1)
    factors: Tensor = 1 / ((1 - kept) / scaling["factor"] + kept)
    return factors.float()


class GGUFTensors:
    """The tensors of a file; a `Source` under the names of the Hugging Face checkpoint."""

    def __init__(self, file: GGUFFile) -> None:
        self.path: Path = file.path
        self._file = file
        # llama.cpp rotates neighbours instead of halves: its q and k have their rows reordered.
        self._is_permuted = file.fields.get("general.architecture") == "llama"

    @cached_property
    def _names(self) -> dict[str, str]:
        return {_translated(name): name for name in self._file.entries if name != ROPE_FACTORS}

    def stored(self) -> Mapping[str, Stored]:
        """See `Source`."""
        size = self.path.stat().st_size
        found: dict[str, Stored] = {}
        for name, theirs in self._names.items():
            entry = self._file.entries[theirs]
            layout = LAYOUTS.get(entry.type_id)
            if layout is None:
                kind = f"ggml's type {entry.type_id}"
            else:
                kind = layout.name
                end = entry.offset + _num_bytes(self.path, theirs, entry)
                if end > size:
                    raise ModelLoadError(
                        f"cannot read {self.path}: it is truncated: {theirs} "
                        f"{list(entry.shape)} ends at byte {end} of {size}"
                    )
            found[name] = Stored(self.path, entry.shape, kind, layout is not None)
        return found

    def fill(self, name: str, into: Tensor) -> None:
        """See `Source`."""
        tensor = _decode(self._file, self._names[name])
        part = self._names[name].split(".")[-2]
        if self._is_permuted and part in ("attn_q", "attn_k"):
            tensor = self._in_halves(tensor, part)
        into.copy_(tensor.view(into.shape))

    def _in_halves(self, rows: Tensor, part: str) -> Tensor:
        field = "head_count" if part == "attn_q" else "head_count_kv"
        fields = self._file.fields
        heads = fields.get(f"llama.attention.{field}", fields["llama.attention.head_count"])
        pairs = rows.view(heads, len(rows) // heads // 2, 2, *rows.shape[1:])
        return pairs.transpose(1, 2).reshape(rows.shape)


def _translated(name: str) -> str:
    return ".".join(NAMES.get(part, part) for part in name.split("."))


def _num_bytes(path: Path, name: str, entry: Entry) -> int:
    layout = LAYOUTS[entry.type_id]
    if entry.shape and entry.shape[-1] % layout.count:
        raise ModelLoadError(
            f"{path}: {name} {list(entry.shape)} is {layout.name}, whose rows are made of blocks "
            f"of {layout.count}"
        )
    return math.prod(entry.shape) // layout.count * layout.num_bytes


def _decode(file: GGUFFile, name: str) -> Tensor:
    entry = file.entries[name]
    layout = LAYOUTS[entry.type_id]
    size = _num_bytes(file.path, name, entry)
    # Copy on write, as torch wants arrays that it may write to; nobody does.
    raw = np.memmap(file.path, np.uint8, "c", offset=entry.offset, shape=(size,))
    blocks = torch.from_numpy(raw).view(-1, layout.num_bytes)
    if layout.count == 1:
        return layout.decode(blocks).view(entry.shape)
    whole = torch.empty(len(blocks), layout.count)
    step = max(1, CHUNK // layout.count)
    for start in range(0, len(blocks), step):
        whole[start : start + step] = layout.decode(blocks[start : start + step])
    return whole.view(entry.shape)
