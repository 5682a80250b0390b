"""GGUF files made here from checkpoints: the same logits, the same tokens, and what is refused."""

from __future__ import annotations

import os
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
import torch

from radixlm.runtime.config import CacheConfig, ModelConfig
from radixlm.runtime.engine.inputs import Row
from radixlm.runtime.engine.runner import Runner
from radixlm.runtime.errors import ModelLoadError
from radixlm.runtime.gguf.file import GGUFFile
from radixlm.runtime.offline import Engine
from radixlm.runtime.tokenizer import load_tokenizer

from .test_server import serving

SMALL: dict[str, Any] = {
    "vocab_size": 300,
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-5,
    "initializer_range": 0.1,
    "tie_word_embeddings": False,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}


YARN = {
    "rope_type": "yarn",
    "rope_theta": 10_000.0,
    "factor": 4.0,
    "original_max_position_embeddings": 16,
    "beta_fast": 16.0,
}
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10_000.0,
    "partial_rotary_factor": 0.75,
    "short_factor": [1.0 + index / 50 for index in range(24)],
    "long_factor": [1.5 + index for index in range(24)],
    "original_max_position_embeddings": 64,
}
NAMES = {
    "llama": "Llama",
    "qwen2": "Qwen2",
    "qwen3": "Qwen3",
    "gemma2": "Gemma2",
    "gemma3": "Gemma3",
    "phi3": "Phi3",
}
GEMMA = {"sliding_window": 16, "query_pre_attn_scalar": 64, "tie_word_embeddings": True}


def make_model(kind: str, **changes: Any) -> Any:
    import transformers

    name = NAMES[kind]
    settings = SMALL | changes
    if kind == "phi3":  # its heads share the hidden size
        del settings["head_dim"]
    text = "Text" if kind == "gemma3" else ""
    config = getattr(transformers, f"{name}{text}Config")(**settings)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return getattr(transformers, f"{name}ForCausalLM")(config).eval()


def write_gguf(path: Path, kind: str, model: Any, quantised: str = "F32") -> None:
    """Write a model as llama.cpp's converter would, with the gguf package and its name map.

    What is quantised is decoded again into `model`, which so stays what the file means.
    """
    gguf = pytest.importorskip("gguf", reason="the gguf package writes the files for this test")
    config = model.config
    writer = gguf.GGUFWriter(path, kind)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(64)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    if kind in ("gemma2", "gemma3"):
        writer.add_sliding_window(config.sliding_window)
    if kind == "gemma2":
        writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
        writer.add_final_logit_softcapping(config.final_logit_softcapping)
    write_rope(writer, model)
    write_tokenizer(writer, config.vocab_size)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[kind.upper()], config.num_hidden_layers)
    wanted = gguf.GGMLQuantizationType[quantised]
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            rows = parameter.numpy()
            if kind.startswith("gemma") and name.endswith("norm.weight"):
                rows = rows + 1
            if kind == "llama" and ("q_proj" in name or "k_proj" in name):
                split = rows.reshape(-1, 2, 32, *rows.shape[1:])  # heads, halves, ...
                rows = split.swapaxes(1, 2).reshape(rows.shape)
            theirs = names.get_name(name, try_suffixes=(".weight", ".bias"))
            if rows.ndim < 2 or quantised == "F32":
                writer.add_tensor(theirs, rows)
                continue
            blocks = gguf.quants.quantize(rows, wanted)
            writer.add_tensor(theirs, blocks, raw_dtype=wanted)
            rows = gguf.quants.dequantize(blocks, wanted)
            if kind == "llama" and ("q_proj" in name or "k_proj" in name):
                rows = rows.reshape(-1, 32, 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)
            parameter.copy_(torch.from_numpy(rows))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_rope(writer: Any, model: Any) -> None:
    rope = model.config.rope_parameters
    rope = rope.get("full_attention", rope)
    writer.add_rope_freq_base(rope["rope_theta"])
    if rope["rope_type"] == "llama3":
        plain = rope["rope_theta"] ** -(torch.arange(0, 64, 2) / 64)
        factors = (plain / model.model.rotary_emb.inv_freq).numpy()
        writer.add_tensor("rope_freqs.weight", factors.astype(np.float32))
    elif rope["rope_type"] == "yarn":
        writer.add_string(f"{writer.arch}.rope.scaling.type", "yarn")
        writer.add_rope_scaling_factor(rope["factor"])
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
        writer.add_rope_scaling_yarn_beta_fast(rope["beta_fast"])
    elif rope["rope_type"] == "longrope":
        writer.add_rope_dimension_count(int(64 * rope["partial_rotary_factor"]))
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
        for name in ("long", "short"):
            factors = np.array(rope[f"{name}_factor"], np.float32)
            writer.add_tensor(f"rope_factors_{name}.weight", factors)


def write_tokenizer(writer: Any, size: int) -> None:
    """Write a vocabulary of all bytes, one merge, and tokens for the turns of a talk."""
    from tokenizers import pre_tokenizers

    tokens = [*sorted(pre_tokenizers.ByteLevel.alphabet()), "th"]
    special = [f"<|{index}|>" for index in range(size - len(tokens))]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens + special)
    writer.add_token_types([1] * len(tokens) + [3] * len(special))
    writer.add_token_merges(["t h"])
    writer.add_eos_token_id(len(tokens))
    writer.add_chat_template(
        "{% for m in messages %}<|1|>{{ m.role }} {{ m.content }}<|0|>{% endfor %}"
        "{% if add_generation_prompt %}<|1|>assistant {% endif %}"
    )


def logits(path: Path, **settings: Any) -> torch.Tensor:
    config = ModelConfig(model_path=str(path), device="cpu", dtype="float32", **settings)
    runner = Runner.load(config, CacheConfig(max_total_tokens=64))
    tokens = np.arange(40, dtype=np.int32) * 7 % 300
    slots = np.arange(40, dtype=np.int32)
    return runner.forward([Row(tokens=tokens, start=0, slots=slots, logits_from=0)])


@pytest.mark.parametrize(
    ("kind", "quantised", "changes"),
    [
        ("llama", "F32", {}),
        ("llama", "Q8_0", {"tie_word_embeddings": True}),
        ("llama", "F16", {"rope_parameters": LLAMA3}),
        ("qwen2", "Q4_0", {}),
        ("qwen3", "BF16", {}),
        ("qwen3", "F32", {"rope_parameters": YARN}),
        ("gemma2", "F32", GEMMA),
        ("gemma3", "Q8_0", GEMMA | {"num_hidden_layers": 6}),
        ("phi3", "F32", {"rope_parameters": LONGROPE, "pad_token_id": 0}),
    ],
)
def test_logits_are_those_of_the_model_that_the_file_was_made_from(
    kind: str, quantised: str, changes: dict[str, Any], tmp_path: Path
) -> None:
    model = make_model(kind, **changes)
    path = tmp_path / "model.gguf"
    write_gguf(path, kind, model, quantised)
    with torch.inference_mode():
        theirs = model(torch.arange(40)[None] * 7 % 300).logits[0]
    assert float((logits(path) - theirs).abs().max()) < 2e-4


@pytest.mark.slow
def test_a_file_is_served_to_the_openai_client(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write_gguf(path, "llama", make_model("llama"), "Q8_0")
    talk: Any = [{"role": "user", "content": "the 東京"}]
    options = ("--device", "cpu", "--max-total-tokens", "256", "--served-model-name", "file")
    with (
        serving(str(path), *options) as (_, url),
        openai.OpenAI(base_url=url + "/v1", api_key="none") as client,
    ):
        assert [model.id for model in client.models.list()] == ["file"]
        said = client.chat.completions.create(
            model="file",
            messages=talk,
            max_tokens=8,
            temperature=0,
            extra_body={"ignore_eos": True},
        )
        assert said.usage is not None
        assert said.usage.completion_tokens == 8
        fields: Any = {"model": "file", "messages": talk, "max_tokens": 8, "temperature": 0}
        pieces = client.chat.completions.create(
            **fields, stream=True, extra_body={"regex": "(Paris|Lyon) [0-9]"}
        )
        text = "".join(chunk.choices[0].delta.content or "" for chunk in pieces)
        assert re.fullmatch("(Paris|Lyon) [0-9]", text)


@pytest.mark.parametrize("quantization", ["int8", "int4-32"])
def test_what_a_file_holds_in_any_way_can_be_held_in_fewer_bits(
    quantization: str, tmp_path: Path
) -> None:
    path = tmp_path / "model.gguf"
    write_gguf(path, "llama", make_model("llama"), "Q8_0")
    plain, held = logits(path), logits(path, quantization=quantization)
    error = (held - plain).norm() / plain.norm()
    assert 1e-3 < error < (0.05 if quantization == "int8" else 0.6)


def test_a_file_is_all_that_an_engine_needs(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write_gguf(path, "qwen3", make_model("qwen3"))
    tokenizer = load_tokenizer(ModelConfig(model_path=str(path)))
    ids = tokenizer.render([{"role": "user", "content": "the 東京"}])
    assert tokenizer.decode(ids, skip_special_tokens=False) == (
        "<|1|>user the 東京<|0|><|1|>assistant "
    )
    assert tokenizer.encode("th") == [256]
    with Engine(model_path=path, in_process=True, device="cpu", max_total_tokens=128) as engine:
        asked = engine.generate("the", {"max_new_tokens": 8, "temperature": 0, "regex": "[0-9]{3}"})
        assert asked["text"].isdigit()
        assert asked["meta_info"]["finish_reason"]["type"] == "stop"
        assert engine.desk.model.eos_token_ids == (257,)


@pytest.mark.parametrize("name", ["gpt-2", "llama-spm", "phi-3"])
def test_real_files_tokenizers_encode_and_decode_the_vectors(name: str) -> None:
    if "RADIXLM_DATA" not in os.environ:
        pytest.skip("RADIXLM_DATA does not name the folder of shared data")
    path = Path(os.environ["RADIXLM_DATA"]) / "tokenizers" / "ggml" / f"ggml-vocab-{name}.gguf"
    tokenizer = load_tokenizer(ModelConfig(model_path=str(path)))
    texts = path.with_suffix(".gguf.inp").read_text(encoding="utf-8")
    wanted = path.with_suffix(".gguf.out").read_text().splitlines()
    cases = texts.split("\n__ggml_vocab_test__\n")
    assert len(wanted) == 46
    for text, line in zip(cases, wanted, strict=False):
        ids = [int(token) for token in line.split()]
        assert tokenizer.encode(text, add_special_tokens=False) == ids, text
        assert tokenizer.decode(ids, skip_special_tokens=False) == text
    assert tokenizer.has_chat_template == (name == "phi-3")
    assert len(tokenizer.encode("a")) == (1 if name == "gpt-2" else 2), "BOS"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "its header is damaged: it ends after 0 bytes"),
        (b"GGML" + bytes(40), "it does not begin with GGUF"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "version 1; 2 and 3 are known"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 9), "it ends after 24 bytes; is it truncated"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1 << 60), "is it truncated"),
    ],
)
def test_a_damaged_header_is_named(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelLoadError, match=rf"cannot read \S*bad\.gguf: .*{message}"):
        GGUFFile.read(path)


def test_a_truncated_file_and_an_unknown_architecture_are_named(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write_gguf(path, "qwen2", make_model("qwen2"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-4096])
    with pytest.raises(ModelLoadError, match=r"model\.gguf: it is truncated: \S+ \[.*ends at byte"):
        logits(path)
    path.write_bytes(whole.replace(b"qwen2", b"qwen9"))
    with pytest.raises(ModelLoadError, match=r"architecture is 'qwen9'; supported in GGUF files"):
        logits(path)
