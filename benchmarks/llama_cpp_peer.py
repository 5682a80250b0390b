"""llama.cpp as a contestant of `cpu.py`: a GGUF file of a Llama checkpoint, and greedy decoding.

Needs `pip install llama-cpp-python gguf`. Sequences of a batch are decoded together, one context
with a part for each; its KV cache is float16, llama.cpp's default. The file has no vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

NAMES = {  # of a layer's tensors, in the checkpoint → in GGUF
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
CHUNK = 512  # tokens of prompts in a call


def write_gguf(model: Any, dtype: str, path: Path) -> None:
    """Write a `LlamaForCausalLM` of `transformers`, matrices in `dtype`, norms in float32."""
    import gguf

    config = model.config
    head_dim = config.hidden_size // config.num_attention_heads
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(getattr(config, "head_dim", None) or head_dim)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("none")
    stored = getattr(gguf.GGMLQuantizationType, {"float32": "F32", "bfloat16": "BF16"}[dtype])
    for name, values in _tensors(model):
        kind = stored if values.ndim == 2 else gguf.GGMLQuantizationType.F32
        writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _tensors(model: Any) -> Iterator[tuple[str, NDArray[np.float32]]]:
    config, held = model.config, model.state_dict()
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    outer = {"token_embd": "model.embed_tokens", "output_norm": "model.norm"}
    if not config.tie_word_embeddings:
        outer["output"] = "lm_head"
    for name, source in outer.items():
        yield f"{name}.weight", held[f"{source}.weight"].float().numpy()
    for layer in range(config.num_hidden_layers):
        for source, name in NAMES.items():
            values = held[f"model.layers.{layer}.{source}.weight"].float().numpy()
            if name in heads:  # halves of a head to pairs: llama.cpp rotates neighbours
                halves = values.reshape(heads[name], 2, -1, values.shape[1])
                values = np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(values.shape)
            yield f"blk.{layer}.{name}.weight", values


class LlamaCpp:
    """A loaded file. Call it with prompts and how many tokens to generate of each."""

    def __init__(self, path: Path, *, batch: int, length: int, threads: int) -> None:
        """Load the file.

        Args:
            path: of the GGUF file.
            batch: sequences at most.
            length: tokens of each at most.
            threads: for prompts and for decoding.
        """
        import llama_cpp

        self._api: Any = llama_cpp
        self._log = llama_cpp.llama_log_callback(lambda *_: None)  # must outlive the context
        llama_cpp.llama_log_set(self._log, None)
        self._model = llama_cpp.llama_model_load_from_file(
            str(path).encode(), llama_cpp.llama_model_default_params()
        )
        options = llama_cpp.llama_context_default_params()
        options.n_ctx, options.n_seq_max = batch * (-(-length // 256) * 256), batch
        options.n_batch = options.n_ubatch = CHUNK
        options.n_threads = options.n_threads_batch = threads
        self._context = llama_cpp.llama_init_from_model(self._model, options)
        assert self._context, "llama.cpp does not load the file"
        vocab = llama_cpp.llama_model_get_vocab(self._model)
        self._vocab_size = llama_cpp.llama_vocab_n_tokens(vocab)
        self._batch = llama_cpp.llama_batch_init(CHUNK, 0, 1)

    def __call__(self, prompts: list[list[int]], new_tokens: int) -> None:
        """Generate greedily."""
        api = self._api
        api.llama_memory_clear(api.llama_get_memory(self._context), True)
        last: list[int] = []
        for sequence, prompt in enumerate(prompts):
            for begin in range(0, len(prompt), CHUNK):
                part = prompt[begin : begin + CHUNK]
                entries = [(token, begin + i, sequence) for i, token in enumerate(part)]
                self._decode(entries, [len(entries) - 1])
            last += self._likeliest([len(entries) - 1])
        for step in range(new_tokens - 1):
            position = len(prompts[0]) + step
            entries = [(token, position, sequence) for sequence, token in enumerate(last)]
            self._decode(entries, range(len(entries)))
            last = self._likeliest(range(len(entries)))

    def close(self) -> None:
        """Free it."""
        self._api.llama_batch_free(self._batch)
        self._api.llama_free(self._context)
        self._api.llama_model_free(self._model)

    def _decode(self, entries: list[tuple[int, int, int]], wanted: Any) -> None:
        batch = self._batch
        batch.n_tokens = len(entries)
        for index, (token, position, sequence) in enumerate(entries):
            batch.token[index], batch.pos[index] = token, position
            batch.n_seq_id[index], batch.seq_id[index][0] = 1, sequence
            batch.logits[index] = index in wanted
        assert self._api.llama_decode(self._context, batch) == 0, "llama_decode failed"

    def _likeliest(self, rows: Any) -> list[int]:
        found: list[int] = []
        for row in rows:
            logits = self._api.llama_get_logits_ith(self._context, row)
            found.append(int(np.ctypeslib.as_array(logits, (self._vocab_size,)).argmax()))
        return found
