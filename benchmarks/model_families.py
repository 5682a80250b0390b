"""The families that `models.py` compares, as small configurations of `transformers`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

VOCAB = 101
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
    tower: str = ""  # the class of the configuration of a tower that sees; prompts hold images


TOWER: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": 12,
    "patch_size": 4,
}


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
    "LLaVA (CLIP, Llama)": Family("LlamaConfig", tower="CLIPVisionConfig"),
    "LLaVA (SigLIP, Qwen 2)": Family(
        "Qwen2Config",
        {"num_attention_heads": 2, "num_key_value_heads": 1},
        tower="SiglipVisionConfig",
    ),
}
