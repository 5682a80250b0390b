"""A GGUF file as a checkpoint: its metadata as config.json's fields, its tensors as floats.

Names, shapes and order of rows are those of the Hugging Face checkpoint that the file was made
from, so that a family needs to know one format only. Quantised tensors become float32 one by one
and are cast on the way into the model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """What is special about the files of a `general.architecture`.

    Attributes:
        family: the architecture of the Hugging Face checkpoint.
        names: parts of tensors' names, beyond `NAMES`.
        fields: of config.json, beyond `FIELDS`.
        norm_offset: what the file's norms hold beyond the checkpoint's.
        is_permuted: llama.cpp rotates neighbours instead of halves there: queries and keys have
            their rows reordered.
    """

    family: str
    names: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)
    norm_offset: float = 0.0
    is_permuted: bool = False


_GEMMA_NORMS = {
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}
_WINDOW = {"sliding_window": "attention.sliding_window"}
ARCHITECTURES = {
    "llama": Architecture(family="LlamaForCausalLM", is_permuted=True),  # Mistral's, too
    "qwen2": Architecture(family="Qwen2ForCausalLM"),
    "qwen3": Architecture(family="Qwen3ForCausalLM"),
    "gemma2": Architecture(
        family="Gemma2ForCausalLM",
        names=_GEMMA_NORMS,
        fields={
            **_WINDOW,
            "attn_logit_softcapping": "attn_logit_softcapping",
            "final_logit_softcapping": "final_logit_softcapping",
        },
        norm_offset=1.0,
    ),
    "gemma3": Architecture(
        family="Gemma3ForCausalLM",
        names=_GEMMA_NORMS,
        fields={**_WINDOW, "rope_local_base_freq": "rope.freq_base_swa"},
        norm_offset=1.0,
    ),
    "phi3": Architecture(
        family="Phi3ForCausalLM",
        names={"attn_qkv": "self_attn.qkv_proj", "ffn_up": "mlp.gate_up_proj"},
        fields={
            **_WINDOW,
            "original_max_position_embeddings": "rope.scaling.original_context_length",
        },
    ),
}
# Gemma's models of 27 billion parameters, told by their layers, scale queries by another width.
WIDE_GEMMAS = {"gemma2": 46, "gemma3": 62}
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
LONG_FACTORS = {
    "long_factor": "rope_factors_long.weight",
    "short_factor": "rope_factors_short.weight",
}
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
YARN_BETAS = {"beta_fast": 32.0, "beta_slow": 1.0}
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
    architecture = ARCHITECTURES[kind]
    found = {
        ours: file.fields[f"{kind}.{theirs}"]
        for ours, theirs in {**FIELDS, **architecture.fields}.items()
        if f"{kind}.{theirs}" in file.fields
    }
    values: dict[str, Any] = {
        **found,
        "architectures": [architecture.family],
        "model_type": kind,
        "tie_word_embeddings": "output.weight" not in file.entries,
        "eos_token_id": list(end_token_ids(file)),
    }
    if "token_embd.weight" in file.entries:
        values["vocab_size"] = file.entries["token_embd.weight"].shape[0]
    if (scaling := _rope_scaling(file, kind)) is not None:
        values["rope_scaling"] = scaling
    heads = found.get("num_attention_heads") or 1
    width = found.get("hidden_size", 0) // heads  # of a head, where the file names none
    if WIDE_GEMMAS.get(kind) == found.get("num_hidden_layers"):
        values["query_pre_attn_scalar"] = width
    elif kind in WIDE_GEMMAS:
        values["query_pre_attn_scalar"] = found.get("head_dim", width)
    rotated = file.fields.get(f"{kind}.rope.dimension_count")
    if kind == "phi3" and rotated and width:
        values["partial_rotary_factor"] = rotated / found.get("head_dim", width)
    return Settings(values, str(file.path))


def end_token_ids(file: GGUFFile) -> tuple[int, ...]:
    """Return the ids that end a text or a turn."""
    named = (file.fields.get(f"tokenizer.ggml.{name}_token_id") for name in ENDS)
    return tuple(dict.fromkeys(token for token in named if token is not None))


def _rope_scaling(file: GGUFFile, kind: str) -> dict[str, Any] | None:
    def said(name: str, default: Any = None) -> Any:
        return file.fields.get(f"{kind}.rope.scaling.{name}", default)

    if all(name in file.entries for name in LONG_FACTORS.values()):
        factors = {ours: _decode(file, name).tolist() for ours, name in LONG_FACTORS.items()}
        return {"rope_type": "longrope", **factors}
    scaling = said("type", "none")
    if scaling == "linear":
        return {"rope_type": "linear", "factor": said("factor", 1.0)}
    if scaling == "yarn":
        factor = said("factor", 1.0)
        # Theirs is a factor beyond YaRN's own.
        magnitude = said("attn_factor", 1.0) * (0.1 * math.log(max(factor, 1.0)) + 1)
        made: dict[str, Any] = {"rope_type": "yarn", "factor": factor}
        made |= {"attention_factor": magnitude}
        made |= {name: said(f"yarn_{name}", default) for name, default in YARN_BETAS.items()}
        if (trained := said("original_context_length")) is not None:
            made["original_max_position_embeddings"] = trained
        return made
    if scaling not in ("none", "longrope"):
        raise ModelLoadError(
            f"{file.path}: {kind}.rope.scaling.type is {scaling!r}; "
            "supported: none, linear, yarn, longrope"
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
        self._architecture = ARCHITECTURES[file.fields["general.architecture"]]

    @cached_property
    def _names(self) -> dict[str, str]:
        table = {**NAMES, **self._architecture.names}
        factors = (ROPE_FACTORS, *LONG_FACTORS.values())
        return {
            ".".join(table.get(part, part) for part in name.split(".")): name
            for name in self._file.entries
            if name not in factors
        }

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
        if self._architecture.is_permuted and part in ("attn_q", "attn_k"):
            tensor = self._in_halves(tensor, part)
        if self._architecture.norm_offset and part.endswith("norm"):
            tensor = tensor - self._architecture.norm_offset
        into.copy_(tensor.view(into.shape))

    def _in_halves(self, rows: Tensor, part: str) -> Tensor:
        field = "head_count" if part == "attn_q" else "head_count_kv"
        fields = self._file.fields
        heads = fields.get(f"llama.attention.{field}", fields["llama.attention.head_count"])
        pairs = rows.view(heads, len(rows) // heads // 2, 2, *rows.shape[1:])
        return pairs.transpose(1, 2).reshape(rows.shape)


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
